//! Services that share namespaces or mounts with the container of another service.
//!
//! Such a container belongs to the one it shares with: when that is made anew, so must it be. Compose puts the
//! other's id into the definition before it takes the hash.

use crate::model::Service;

/// The services that a service shares with.
pub(crate) fn services(service: &Service) -> impl Iterator<Item = &str> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let modes = modes.into_iter().filter_map(|mode| mode.strip_prefix("service:"));
    let volumes = service.volumes_from.iter().filter_map(|from| volumes_of(from));
    modes.chain(volumes)
}

fn volumes_of(from: &str) -> Option<&str> {
    let name = from.split(':').next().unwrap_or(from);
    (name != "container").then_some(name)
}

/// The service with containers in the place of the services that it shares with, as far as they are there.
pub(crate) fn resolved<'a>(service: &Service, container: impl Fn(&str) -> Option<&'a str>) -> Service {
    let mut resolved = service.clone();
    for mode in [&mut resolved.network_mode, &mut resolved.ipc, &mut resolved.pid] {
        if let Some(id) = mode.strip_prefix("service:").and_then(&container) {
            *mode = format!("container:{id}");
        }
    }
    for from in &mut resolved.volumes_from {
        let id = match volumes_of(from) {
            Some(name) => container(name),
            None => from.split(':').nth(1),
        };
        if let Some(id) = id {
            *from = id.to_owned();
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_take_the_place_of_services() {
        let service = Service {
            network_mode: "service:base".to_owned(),
            pid: "host".to_owned(),
            volumes_from: ["data:ro", "container:other:ro"].map(str::to_owned).to_vec(),
            ..Service::default()
        };
        assert_eq!(services(&service).collect::<Vec<_>>(), ["base", "data"]);
        let resolved = resolved(&service, |name| (name == "base").then_some("id"));
        assert_eq!((&*resolved.network_mode, &*resolved.pid), ("container:id", "host"));
        assert_eq!(resolved.volumes_from, ["data:ro", "other"]);
    }
}
