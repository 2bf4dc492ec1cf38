//! Containers on engines with an API below 1.44: those take one network with a container, and connect it to others later.

use corten_api::{
    container::CreateRequest,
    network::{ConnectRequest, EndpointSettings},
};
use corten_client::{Client, RemoveOptions};

use crate::{
    error::Result,
    model::{Project, Service},
};

/// The first minor version of the API by which a container is made in several networks.
const SEVERAL: u32 = 44;

/// Makes a container and connects it to all of its networks; gives its id.
///
/// # Errors
/// The engine's refusal. A container that cannot be connected is removed.
pub async fn create_container(
    client: &Client,
    project: &Project,
    service: &Service,
    name: &str,
    mut request: CreateRequest,
) -> Result<String> {
    let later = match is_older(&client.api_version()) {
        true => set_apart(project, service, &mut request),
        false => Vec::new(),
    };
    let made = client.create_container(name, &service.platform, &request).await?;
    for (network, place) in later {
        let request = ConnectRequest {
            container: made.id.clone(),
            endpoint_config: Some(place),
        };
        if let Err(error) = client.connect_network(&network, &request).await {
            let options = RemoveOptions {
                force: true,
                ..RemoveOptions::default()
            };
            // What could not be connected is the reason that is told.
            let _ = client.remove_container(&made.id, options).await;
            return Err(error.into());
        }
    }
    Ok(made.id)
}

fn is_older(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(u32::MAX));
    parts.next() == Some(1) && parts.next().is_some_and(|minor| minor < SEVERAL)
}

/// Takes all networks from a request but the one that it is made in; gives them in the order of their priority.
fn set_apart(project: &Project, service: &Service, request: &mut CreateRequest) -> Vec<(String, EndpointSettings)> {
    let first = &request.host_config.network_mode;
    let places = &mut request.networking_config.endpoints_config;
    if let Some(place) = places.get_mut(first) {
        // A place's own address came with the same version.
        request.config.mac_address = std::mem::take(&mut place.mac_address);
    }
    let keys = service.networks_by_priority().into_iter();
    let names = keys.filter_map(|key| Some(&project.networks.get(key)?.name));
    let later = names.filter(|name| *name != first);
    later.filter_map(|name| places.remove_entry(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn versions() {
        for (version, expected) in [
            ("1.24", true),
            ("1.43", true),
            ("1.44", false),
            ("1.51", false),
            ("2.0", false),
        ] {
            assert_eq!(is_older(version), expected, "{version}");
        }
    }
}
