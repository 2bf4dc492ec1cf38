//! A container's places on several networks: which comes first, and where the outside is.

use std::net::IpAddr;

use corten_network::Subnet;

use super::{Network, Networks, State, ports::Ends, record::Attachment};

/// A container's way to the outside by one version of IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The network.
    pub network_id: String,
    /// The link inside the container.
    pub ifname: String,
    /// The gateway's address.
    pub address: IpAddr,
    /// What the network's own link is called.
    pub(super) bridge: String,
}

/// A container's default routes: of its networks, the first that has a gateway.
///
/// Networks come by their endpoints' priority, the highest first; then those that are not internal,
/// those with more gateways, and by name (Docker's order, `libnetwork`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateways {
    /// For IPv4.
    pub v4: Option<Gateway>,
    /// For IPv6.
    pub v6: Option<Gateway>,
}

impl Gateways {
    /// Those that there are.
    pub fn routes(&self) -> impl Iterator<Item = &Gateway> {
        [&self.v4, &self.v6].into_iter().flatten()
    }
}

impl Networks {
    /// A container's default routes as they should be.
    pub fn gateways(&self, container_id: &str) -> Gateways {
        self.state().gateways(container_id)
    }

    /// The names of a container's networks, in the order in which they are asked for names.
    pub fn places(&self, container_id: &str) -> Vec<String> {
        let state = self.state();
        let places = state.places(container_id);
        places.iter().map(|(network, _)| network.record.name.clone()).collect()
    }
}

impl State {
    /// A container's places, the first in rank first.
    pub(super) fn places(&self, container_id: &str) -> Vec<(&Network, &Attachment)> {
        let of_container = |network| {
            let attachment = Network::attachment(network, container_id)?;
            Some((network, attachment))
        };
        let mut places: Vec<_> = self.networks.values().filter_map(of_container).collect();
        places.sort_by_cached_key(|(network, attachment)| {
            let (v4, v6) = network.gateways();
            let missing = usize::from(v4.is_none()) + usize::from(v6.is_none());
            let name = network.record.name.clone();
            (
                std::cmp::Reverse(attachment.priority),
                network.record.internal,
                missing,
                name,
            )
        });
        places
    }

    pub(super) fn gateways(&self, container_id: &str) -> Gateways {
        let mut gateways = Gateways::default();
        for (network, attachment) in self.places(container_id) {
            let found = |address: IpAddr| Gateway {
                network_id: network.record.id.clone(),
                ifname: attachment.link.inside.clone(),
                address,
                bridge: network
                    .record
                    .bridge
                    .as_ref()
                    .map(|bridge| bridge.plan.name.clone())
                    .unwrap_or_default(),
            };
            let (v4, v6) = network.gateways();
            gateways.v4 = gateways
                .v4
                .or_else(|| v4.filter(|_| attachment.v4.is_some()).map(found));
            gateways.v6 = gateways
                .v6
                .or_else(|| v6.filter(|_| attachment.v6.is_some()).map(found));
        }
        gateways
    }

    /// Where a container's published ports lead: its addresses on the networks of its default routes.
    pub(super) fn ends(&self, container_id: &str, default_ip: IpAddr) -> Ends {
        let gateways = self.gateways(container_id);
        let found = |gateway: &Option<Gateway>| {
            let network = self.networks.get(&gateway.as_ref()?.network_id)?;
            let host = network.record.bridge.as_ref().and_then(|bridge| bridge.host_ip);
            Some(network.ends(network.attachment(container_id)?, host.unwrap_or(default_ip)))
        };
        let (v4, v6) = (found(&gateways.v4), found(&gateways.v6));
        let mut ends = Ends::none(v4.or(v6).map_or(default_ip, |ends| ends.host));
        if let Some(v4) = v4 {
            ends.add(Ends { v6: None, ..v4 });
        }
        if let Some(v6) = v6 {
            ends.add(Ends { v4: None, ..v6 });
        }
        ends
    }

    /// The endpoint through which ports are published, as messages name it.
    pub(super) fn endpoint_with_ports(&self, container_id: &str) -> String {
        let places = self.places(container_id);
        let first = places.first().map(|(_, attachment)| attachment);
        first.map_or_else(String::new, |attachment| {
            format!("{} ({})", attachment.container_name, attachment.endpoint_id)
        })
    }

    /// What a container's links are called inside.
    pub(super) fn link_names(&self, container_id: &str) -> Vec<String> {
        let attachments = self
            .networks
            .values()
            .filter_map(|network| network.attachment(container_id));
        attachments.map(|attachment| attachment.link.inside.clone()).collect()
    }
}

impl Network {
    pub(super) fn attachment(&self, container_id: &str) -> Option<&Attachment> {
        self.attachments.get(container_id)
    }

    /// Whether an address is in one of the network's subnets.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let subnets = self.v4.iter().chain(&self.v6);
        subnets.map(Subnet::range).any(|range| range.contains(&address))
    }
}
