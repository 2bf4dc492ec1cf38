//! What a network's driver and options mean for its endpoints.

use std::net::IpAddr;

use corten_network::{GatewayMode, MacAddress, Medium, Subnet};

use super::{
    Network, State, drivers,
    ports::Ends,
    record::{Attachment, Record},
};
use crate::error::Result;

impl Network {
    /// Where containers send what is for others: nowhere on networks without a way out.
    pub(super) fn gateways(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        let Some(bridge) = self.record.bridge.as_ref().filter(|_| self.record.is_routed()) else {
            return (None, None);
        };
        let own = |subnet: &Option<Subnet>| subnet.as_ref().map(Subnet::gateway);
        (
            own(&self.v4).map(|own| bridge.route4.unwrap_or(own)),
            own(&self.v6).map(|own| bridge.route6.unwrap_or(own)),
        )
    }

    /// Where a container's ports are published to.
    pub(super) fn ends(&self, attachment: &Attachment, host: IpAddr) -> Ends {
        let Some(bridge) = self.record.bridge.as_ref().filter(|_| self.record.publishes()) else {
            return Ends::none(host);
        };
        let policy = &bridge.plan.policy;
        Ends {
            v4: attachment.v4.map(|net| net.addr()),
            v6: attachment.v6.map(|net| net.addr()),
            host,
            routed4: policy.gateway4 == GatewayMode::Routed,
            routed6: policy.gateway6 == GatewayMode::Routed,
            crosses: false,
        }
    }
}

impl State {
    /// Checks that a new network shares nothing with another that only one can have.
    pub(super) fn check_conflicts(&self, record: &Record) -> Result<()> {
        let Some(new) = &record.bridge else {
            return Ok(());
        };
        self.networks.values().try_for_each(|other| match &other.record.bridge {
            Some(bridge) => drivers::check_conflict((&record.id, &new.plan), (&other.record.id, &bridge.plan)),
            None => Ok(()),
        })
    }
}

impl Record {
    /// What containers' links are called, before their number.
    pub(super) fn link_prefix(&self) -> &str {
        let bridge = self.bridge.as_ref();
        bridge.and_then(|bridge| bridge.link_prefix.as_deref()).unwrap_or("eth")
    }

    /// A link address as the API shows it: `ipvlan` links have their parent's.
    pub(super) fn shown_mac(&self, mac: MacAddress) -> String {
        match self.bridge.as_ref().map(|bridge| &bridge.plan.medium) {
            Some(Medium::Ipvlan { .. }) => String::new(),
            _ => mac.to_string(),
        }
    }
}
