//! Which containers come before others when several are started again: after the engine's restart or the machine's.

use std::{sync::Arc, time::Duration};

use corten_api::container::HostConfig;

use super::{Container, Containers, State};

/// How long a container is waited for by those that need it. Then they are tried without it, and say what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Containers that one needs, by the names its configuration has for them.
fn needed(host: &HostConfig) -> Vec<&str> {
    let named = [&host.links, &host.volumes_from].into_iter().flatten().flatten();
    let named = named.map(|text| text.split_once(':').map_or(text.as_str(), |(name, _)| name));
    let shared = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
    let shared = shared.into_iter().filter_map(|mode| mode.strip_prefix("container:"));
    let all = named.chain(shared);
    all.map(|name| name.trim_start_matches('/')).collect()
}

impl Containers {
    /// Waits until the containers that one needs, and that are about to be started as well, have been.
    pub(super) async fn wait_for_needed(&self, container: &Arc<Container>) {
        let record = container.record();
        let all = needed(&record.host_config).into_iter();
        let others: Vec<_> = all.filter_map(|name| self.find(name).ok()).collect();
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
}
