//! What there is of a project on an engine.

use corten_api::{container::Summary, filters::Filters, network::Network, volume::Volume};
use corten_client::Client;

use super::Target;
use crate::{labels, model::Project};

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The project's containers, those of `run` included.
    pub containers: Vec<Summary>,
    /// All networks.
    pub networks: Vec<Network>,
    /// All volumes.
    pub volumes: Vec<Volume>,
}

/// The service that a container belongs to.
pub fn service_of(container: &Summary) -> &str {
    container.labels.get(labels::SERVICE).map_or("", String::as_str)
}

/// A container's number in its service.
pub fn number_of(container: &Summary) -> u32 {
    let number = container.labels.get(labels::NUMBER);
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A container's name.
pub fn name_of(container: &Summary) -> &str {
    let name = container
        .names
        .iter()
        .find(|name| !name.trim_start_matches('/').contains('/'));
    name.map_or(&container.id, |name| name).trim_start_matches('/')
}

/// Whether a container was made by `run`.
pub fn is_one_off(container: &Summary) -> bool {
    container
        .labels
        .get(labels::ONE_OFF)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Whether a container belongs to no service of the project any more.
pub fn is_orphan(project: &Project, container: &Summary) -> bool {
    if is_one_off(container) {
        return matches!(container.state.as_str(), "exited" | "dead");
    }
    let service = service_of(container);
    !project.services.contains_key(service) && !project.disabled.contains_key(service)
}

impl Observed {
    /// Asks the engine, for all kinds at once.
    ///
    /// # Errors
    /// When the engine refuses or cannot be reached.
    pub async fn ask(client: &Client, project: &str) -> corten_client::Result<Self> {
        let mut filters = Filters::default();
        filters.add("label", format!("{}={project}", labels::PROJECT));
        let none = Filters::default();
        let (containers, networks, volumes) = tokio::try_join!(
            client.containers(true, 0, false, &filters),
            client.networks(&none),
            client.volumes(&none),
        )?;
        Ok(Self {
            containers,
            networks,
            volumes: volumes.volumes,
        })
    }

    /// A service's containers, by number; without those of `run`.
    pub fn of_service(&self, service: &str) -> Vec<&Summary> {
        let all = self.containers.iter();
        let mut list: Vec<_> = all
            .filter(|container| service_of(container) == service && !is_one_off(container))
            .collect();
        list.sort_by_key(|container| (number_of(container), container.created));
        list
    }

    /// The network of that name; the project's own when there are several.
    pub fn network(&self, project: &str, name: &str) -> Option<&Network> {
        let mut named = self.networks.iter().filter(|network| network.name == name);
        let ours = |network: &&Network| network.labels.get(labels::PROJECT).is_some_and(|p| p == project);
        named.clone().find(ours).or_else(|| named.next())
    }

    /// The volume of that name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }
}

/// A container that is there.
pub(super) fn target(container: &Summary) -> Target {
    Target {
        service: service_of(container).to_owned(),
        number: number_of(container),
        name: name_of(container).to_owned(),
        id: Some(container.id.clone()),
    }
}
