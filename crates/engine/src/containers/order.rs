//! Which containers come before others when several are started again: after the engine's restart or the machine's.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use corten_api::container::HostConfig;

use super::{Container, Containers, State, record::Record};

/// How long a container is waited for by those that need it. Then they are tried without it, and say what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Labels of Compose's containers.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// Containers that one needs, by the names its configuration has for them.
fn needed(host: &HostConfig) -> Vec<&str> {
    let named = [&host.links, &host.volumes_from].into_iter().flatten().flatten();
    let named = named.map(|text| text.split_once(':').map_or(text.as_str(), |(name, _)| name));
    let shared = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
    let shared = shared.into_iter().filter_map(|mode| mode.strip_prefix("container:"));
    let all = named.chain(shared);
    all.map(|name| name.trim_start_matches('/')).collect()
}

/// The project of a container that Compose made, and the services there that it depends on
/// (`com.docker.compose.depends_on`: `db:service_healthy:false,cache:service_started:true`).
fn depended_on(labels: &BTreeMap<String, String>) -> Option<(&str, Vec<&str>)> {
    let project = labels.get(PROJECT)?;
    let services = labels.get(DEPENDS_ON)?.split(',');
    let services = services.map(|on| on.split_once(':').map_or(on, |(name, _)| name));
    Some((project, services.filter(|name| !name.is_empty()).collect()))
}

impl Containers {
    /// The containers of services that one depends on.
    fn dependencies(&self, record: &Record) -> Vec<Arc<Container>> {
        let Some((project, services)) = depended_on(&record.config.labels).filter(|(_, all)| !all.is_empty()) else {
            return Vec::new();
        };
        let mut all = self.0.all();
        all.retain(|other| {
            let other = other.record();
            let labels = &other.config.labels;
            let service = labels.get(SERVICE).map(String::as_str);
            labels.get(PROJECT).is_some_and(|other| other == project)
                && service.is_some_and(|one| services.contains(&one))
        });
        all
    }

    /// Waits until the containers that one needs, and that are about to be started as well, have been.
    pub(super) async fn wait_for_needed(&self, container: &Arc<Container>) {
        let record = container.record();
        let all = needed(&record.host_config).into_iter();
        let mut others: Vec<_> = all.filter_map(|name| self.find(name).ok()).collect();
        others.extend(self.dependencies(&record));
        for other in others.iter().filter(|other| other.id != container.id) {
            let mut status = other.status.subscribe();
            let started = async { while is_coming(other) && status.changed().await.is_ok() {} };
            if tokio::time::timeout(PATIENCE, started).await.is_err() {
                tracing::warn!(
                    container = container.id,
                    needed = other.id,
                    "a container is started without one that it needs"
                );
            }
        }
    }
}

/// Whether a container will run, and does not yet.
fn is_coming(container: &Container) -> bool {
    matches!(container.lock().record.state, State::Restarting(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_need_are_known() {
        let host = HostConfig {
            links: Some(vec!["/db:alias".into(), "plain".into()]),
            volumes_from: Some(vec!["data:ro".into()]),
            network_mode: "container:net".into(),
            pid_mode: "host".into(),
            ipc_mode: "container:ipc".into(),
            ..HostConfig::default()
        };
        assert_eq!(needed(&host), ["db", "plain", "data", "net", "ipc"]);
        assert!(needed(&HostConfig::default()).is_empty());
    }

    #[test]
    fn what_compose_says_is_known() {
        let labels =
            |on: &str| BTreeMap::from([(PROJECT.to_owned(), "shop".into()), (DEPENDS_ON.to_owned(), on.into())]);
        let told = labels("db:service_healthy:false,cache:service_started:true,old");
        assert_eq!(depended_on(&told), Some(("shop", vec!["db", "cache", "old"])));
        assert_eq!(depended_on(&labels("")), Some(("shop", vec![])));
        assert_eq!(depended_on(&BTreeMap::new()), None);
    }
}
