//! Hashes that tell whether a container, a network or a volume is still as its definition says.
//!
//! They are Compose's own, of the definition in JSON, so that either tool finds up to date what the other made:
//! `com.docker.compose.config-hash` on containers, networks and volumes.

use sha2::{Digest, Sha256};

use crate::{
    model::{Network, Render, Service, Volume},
    output::Format,
};

/// A service's hash: without what does not matter to a container that exists.
pub fn service(service: &Service) -> String {
    let mut service = service.clone();
    service.build = None;
    service.pull_policy.clear();
    service.scale = None;
    if let Some(deploy) = &mut service.deploy {
        deploy.replicas = None;
    }
    service.depends_on.clear();
    service.profiles.clear();
    of(&service)
}

/// A network's hash.
pub fn network(network: &Network) -> String {
    of(network)
}

/// A volume's hash.
pub fn volume(volume: &Volume) -> String {
    let mut volume = volume.clone();
    if volume.driver.is_empty() {
        "local".clone_into(&mut volume.driver);
    }
    of(&volume)
}

fn of(value: &impl Render) -> String {
    let json = value.render(Format::Json).json(None);
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Compose 2.40 prints it for these services.
    #[test]
    fn agrees_with_compose() {
        let text = "services: {two: {image: b, entrypoint: echo \"a b\" 'c' d\\ e, command: [], x-a: {}}}";
        let sources = crate::Sources {
            files: vec!["-".into()],
            input: Some(text.to_owned()),
            default_name: "t".to_owned(),
            ..crate::Sources::default()
        };
        let project = crate::load(&sources).expect("loads").value;
        assert_eq!(
            service(&project.services["two"]),
            "260ef7c55ba81170e7f0936ce6070960074746b06794b9cd26590029bb30125f"
        );
    }
}
