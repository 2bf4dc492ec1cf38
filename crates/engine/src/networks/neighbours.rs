//! Links between containers of the default bridge, where it keeps neighbours apart (`--icc=false`): the one
//! that links reaches the ports that the other exposes.

use std::net::IpAddr;

use corten_network::{NeighbourLink, Neighbours};

use super::Networks;
use crate::error::Result;

/// The network on which links work.
const BRIDGE: &str = "bridge";

impl Networks {
    /// Lets a container through to ports of others, as `80` and `tcp` at an address, in place of those before.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn open_neighbours(&self, container_id: &str, targets: &[(IpAddr, &str, u16)]) -> Result<()> {
        let Some((bridge, from)) = self.kept_apart(container_id) else {
            return Ok(());
        };
        let link = |(to, protocol, port): &(IpAddr, &str, u16)| {
            Some(NeighbourLink {
                bridge: bridge.clone(),
                from,
                to: *to,
                protocol: protocol.parse().ok()?,
                port: *port,
            })
        };
        let links = targets.iter().filter_map(link).collect();
        Ok(self.fabric()?.open_neighbours(container_id, links)?)
    }

    /// The default bridge's link and a container's address on it, if neighbours are kept apart there.
    fn kept_apart(&self, container_id: &str) -> Option<(String, IpAddr)> {
        let state = self.state();
        let network = state.find(BRIDGE).ok()?;
        let plan = &network.record.bridge.as_ref()?.plan;
        let address = network.attachment(container_id)?.v4?.addr();
        (plan.neighbours == Neighbours::Isolated).then(|| (plan.name.clone(), address))
    }
}
