//! Containers on networks, known again after a restart of the engine.

use std::net::IpAddr;

use corten_api::network::EndpointSettings;
use corten_network::{BridgePlan, Fabric, PublishedState};
use ipnet::IpNet;

use super::{LinkNames, Networks, PortMap, ports, record::Attachment};
use crate::error::{Error, Result};

/// A container's place on a network as it was before the engine started anew.
#[derive(Debug, Clone)]
pub struct Restored<'a> {
    /// The network's name.
    pub network: &'a str,
    /// The settings, filled in.
    pub settings: &'a EndpointSettings,
    /// The link, if it is known.
    pub link: Option<&'a LinkNames>,
}

impl Networks {
    /// Knows again a container that goes on running since before the engine started: its places on
    /// networks, its addresses and what it publishes. Call [`Networks::restored`] after the last.
    ///
    /// # Errors
    /// `NotFound` when a network is gone; the others are restored all the same.
    pub fn restore<'a>(
        &self,
        container_id: &str,
        name: &str,
        places: impl IntoIterator<Item = Restored<'a>>,
        ports: &PortMap,
    ) -> Result<()> {
        let mut outcome = Ok(());
        let mut state = self.state();
        for place in places {
            let id = match state.find(place.network) {
                Ok(network) => network.record.id.clone(),
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            };
            let Some(network) = state.networks.get_mut(&id) else {
                continue;
            };
            let attachment = attachment_of(name, &place);
            network.reclaim(&attachment);
            network.attachments.insert(container_id.to_owned(), attachment);
        }
        let ends = state.ends(container_id, self.0.settings.default_ip);
        let bindings = ports::published(ports, ends);
        if !bindings.is_empty() {
            state.published.push(PublishedState {
                owner: container_id.to_owned(),
                bindings,
            });
        }
        outcome
    }

    /// Makes the kernel agree with all that is known, in one step: bridges, rules, and what the
    /// restored containers publish; and keeps watch over the rules from now on. Call it once when
    /// the engine starts, before the first [`Networks::attach`]. Blocks.
    ///
    /// # Errors
    /// What the kernel refuses. A bridge that cannot be made is logged and left out.
    pub fn restored(&self) -> Result<()> {
        let Ok(fabric) = self.fabric() else {
            return Ok(());
        };
        let (plans, published) = {
            let mut state = self.state();
            state.hide_names(None);
            let bridges = state
                .networks
                .values()
                .filter_map(|network| network.record.bridge.as_ref());
            (
                bridges.map(|bridge| bridge.plan.clone()).collect::<Vec<_>>(),
                std::mem::take(&mut state.published),
            )
        };
        if let Err(error) = fabric.restore(&plans, published.clone()) {
            tracing::error!(
                error = Error::from(error).report(),
                "not all bridges can be made at once"
            );
            let possible: Vec<_> = plans.into_iter().filter(|plan| is_possible(fabric, plan)).collect();
            fabric.restore(&possible, published)?;
        }
        self.remove_strays();
        let watch = fabric.watch()?;
        self.state().watch = Some(watch);
        self.write_zones();
        Ok(())
    }
}

fn is_possible(fabric: &Fabric, plan: &BridgePlan) -> bool {
    match fabric.ensure_bridge(plan) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(
                bridge = plan.name,
                error = Error::from(error).report(),
                "the bridge is left out"
            );
            false
        }
    }
}

/// A restored container's place, from its record.
fn attachment_of(name: &str, place: &Restored<'_>) -> Attachment {
    let settings = place.settings;
    let net = |address: &str, prefix: u8| {
        address
            .parse::<IpAddr>()
            .ok()
            .and_then(|address| IpNet::new(address, prefix).ok())
    };
    Attachment {
        endpoint_id: settings.endpoint_id.clone(),
        container_name: name.to_owned(),
        mac: settings.mac_address.parse().ok(),
        v4: net(&settings.ip_address, settings.ip_prefix_len),
        v6: net(&settings.global_ipv6_address, settings.global_ipv6_prefix_len),
        names: settings.dns_names.clone().unwrap_or_default(),
        hidden: Vec::new(),
        priority: settings.gw_priority,
        link: place.link.cloned().unwrap_or_default(),
    }
}
