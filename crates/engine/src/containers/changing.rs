//! Changes of a running container's networks, made whole after an engine has died in the middle of one.
//!
//! A file in the bundle says which link comes or goes, from before the first step until the shim has what is
//! its own. An engine that finds it when it starts removes the link if the container is not on its network,
//! puts default routes where they belong, and hands over what the shim may lack.

use std::{os::fd::AsFd, sync::Arc};

use corten_api::network::EndpointSettings;
use corten_network::name_sockets;
use corten_shim::protocol::Request;
use serde::{Deserialize, Serialize};

use super::{
    Container, Containers, Inner, etc,
    network::{Joined, namespace_of},
};
use crate::error::{Error, Result, blocking};

/// What is changing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Changing {
    /// The link's name in the container.
    pub(super) link: String,
    /// The container's settings on a network that it leaves.
    pub(super) gone: Option<EndpointSettings>,
}

impl Changing {
    const FILE: &str = "changing.json";

    /// Notes that the change begins.
    pub(super) fn begin(&self, container: &Container) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::internal("cannot write networks").source(e))?;
        Ok(corten_sys::fs::write_atomic(container.bundle.join(Self::FILE), bytes)?)
    }

    /// Notes that it is over.
    pub(super) fn end(container: &Container) {
        if let Err(error) = corten_sys::fs::if_there(corten_sys::fs::remove_file(container.bundle.join(Self::FILE))) {
            tracing::warn!(container = container.id, %error, "a change of networks looks unfinished");
        }
    }

    fn read(container: &Container) -> Option<Self> {
        let bytes = corten_sys::fs::read(container.bundle.join(Self::FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

impl Containers {
    /// Finishes what an earlier engine has begun, of containers that run. Call it when all networks are
    /// known, before anything else changes.
    pub(super) async fn finish_changes(&self) {
        for container in self.0.all() {
            let pid = container.lock().record.state.running().map(|running| running.pid);
            let (Some(pid), Some(change)) = (pid, Changing::read(&container)) else {
                continue;
            };
            if let Err(error) = self.finish_change(&container, pid, change).await {
                let error = error.report();
                tracing::error!(container = container.id, error, "a change of networks is unfinished");
            }
            Changing::end(&container);
        }
    }

    async fn finish_change(&self, container: &Arc<Container>, pid: i32, change: Changing) -> Result<()> {
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(container));
        let names = blocking(move || settle(&inner, &held, pid, &change)).await?;
        if let Some(sockets) = names {
            let request = Request::Network {
                hold: 0,
                relays: Vec::new(),
                names: true,
            };
            container.link()?.call(request, vec![sockets.udp, sockets.tcp]).await?;
        }
        Ok(())
    }
}

/// Returns the sockets for names, if the shim has none and should.
fn settle(
    inner: &Inner,
    container: &Container,
    pid: i32,
    change: &Changing,
) -> Result<Option<corten_network::NameSockets>> {
    let netns = namespace_of(pid)?;
    inner.networks.settle(&container.id, netns.as_fd(), &change.link)?;
    let record = container.record();
    let Some(joined) = Joined::read(container) else {
        return Ok(None);
    };
    for on in joined.networks.iter().filter(|on| on.link.is_some()) {
        etc::change_hosts(container, &record, Some(&on.settings), Some(&on.settings))?;
    }
    let is_gone = |gone: &&EndpointSettings| {
        let mut networks = joined.networks.iter();
        !networks.any(|on| on.settings.endpoint_id == gone.endpoint_id)
    };
    etc::change_hosts(container, &record, change.gone.as_ref().filter(is_gone), None)?;
    if !joined.names {
        return Ok(None);
    }
    etc::write_resolver(inner, container, &record, &joined, &inner.settings.now())?;
    // The address is in use where the shim has them.
    Ok(name_sockets(netns.as_fd()).ok())
}
