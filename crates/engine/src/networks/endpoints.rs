//! Containers on networks: attaching, detaching, and taking over after a restart of the engine.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    os::fd::{BorrowedFd, OwnedFd},
};

use corten_api::network::EndpointSettings;
use corten_network::{BridgePlan, EndpointPlan, Fabric, MacAddress, PublishedState, Subnet};
use ipnet::IpNet;

use super::{
    Network, Networks, PortMap,
    ports::{self, Ends},
    record::Attachment,
};
use crate::{
    error::{Error, Kind, Result},
    identifiers,
};

/// A container's wish to be on a bridge network.
#[derive(Debug, Clone, Copy)]
pub struct AttachRequest<'a> {
    /// Its id.
    pub container_id: &'a str,
    /// Its name.
    pub container_name: &'a str,
    /// The network's name or id.
    pub network: &'a str,
    /// What was asked for: addresses, aliases.
    pub settings: &'a EndpointSettings,
    /// The link address, if one was asked for; else empty.
    pub mac: &'a str,
    /// Ports to publish; a host port may be empty (any) or a range.
    pub ports: &'a PortMap,
}

/// What a container got.
#[derive(Debug)]
pub struct Attached {
    /// The namespace with the link; it lives as long as a process or descriptor holds it.
    pub netns: OwnedFd,
    /// The network's name.
    pub network_name: String,
    /// The settings, filled in.
    pub settings: EndpointSettings,
    /// Ports as published.
    pub ports: PortMap,
    /// Sockets that keep published ports from other programs: hold them while the container runs.
    pub hold: Vec<OwnedFd>,
}

/// A further link of a container.
#[derive(Debug)]
pub struct AttachedFurther {
    /// The network's name.
    pub network_name: String,
    /// The settings, filled in.
    pub settings: EndpointSettings,
    /// Ports as published.
    pub ports: PortMap,
    /// As [`Attached::hold`].
    pub hold: Vec<OwnedFd>,
}

/// Where a link is made.
enum Place<'a> {
    /// In a fresh namespace, as `eth0`, with the default route.
    New,
    /// In one that exists, under a further name.
    Existing(BorrowedFd<'a>, u32),
}

/// Addresses taken for a container, with what it needs to know to use them.
struct Taken {
    network_id: String,
    network_name: String,
    bridge: String,
    endpoint: EndpointPlan,
    settings: EndpointSettings,
    ends: Ends,
}

impl Networks {
    /// Makes a container's first link to a bridge network, in a namespace of its own, and publishes
    /// its ports. Blocks for less than a millisecond.
    ///
    /// # Errors
    /// As [`Networks::find`]; `Forbidden` and `Conflict` for addresses and ports that are taken.
    /// Nothing is left behind then.
    pub fn attach(&self, request: AttachRequest<'_>) -> Result<Attached> {
        let (further, netns) = self.link(request, Place::New)?;
        let AttachedFurther {
            network_name,
            settings,
            ports,
            hold,
        } = further;
        let netns = netns.ok_or_else(|| Error::internal("a link was made without a namespace"))?;
        Ok(Attached {
            netns,
            network_name,
            settings,
            ports,
            hold,
        })
    }

    /// Makes a container's further link, `eth<index>`, in the namespace it has. Its ports are
    /// published through the first link that can; pass an empty map here for others.
    ///
    /// # Errors
    /// As [`Networks::attach`].
    pub fn attach_further(
        &self,
        request: AttachRequest<'_>,
        netns: BorrowedFd<'_>,
        index: u32,
    ) -> Result<AttachedFurther> {
        self.link(request, Place::Existing(netns, index))
            .map(|(further, _)| further)
    }

    /// Counts a container on the network `host` or `none`, which need no link.
    ///
    /// # Errors
    /// As [`Networks::find`]; `Invalid` for a bridge network.
    pub fn join(
        &self,
        container_id: &str,
        container_name: &str,
        network: &str,
        asked: &EndpointSettings,
    ) -> Result<EndpointSettings> {
        let mut state = self.state();
        let id = state.find(network)?.record.id.clone();
        let network = state.networks.get_mut(&id).ok_or_else(|| gone(network))?;
        if network.record.bridge.is_some() {
            return Err(Error::invalid(format!("network {} needs a link", network.record.name)));
        }
        let attachment = Attachment {
            endpoint_id: identifiers::random(),
            container_name: container_name.to_owned(),
            mac: None,
            v4: None,
            v6: None,
        };
        let settings = EndpointSettings {
            network_id: id.clone(),
            endpoint_id: attachment.endpoint_id.clone(),
            ..asked.clone()
        };
        network.attachments.insert(container_id.to_owned(), attachment);
        drop(state);
        self.emit(&id, "connect", Some(container_id));
        Ok(settings)
    }

    /// Takes a container off all its networks: releases addresses, ports and rules. Doing it again
    /// is no error. The links vanish with the namespace.
    pub fn detach(&self, container_id: &str) {
        let mut left = Vec::new();
        let mut had_link = false;
        {
            let mut state = self.state();
            for network in state.networks.values_mut() {
                if let Some(attachment) = network.attachments.remove(container_id) {
                    network.release(&attachment);
                    had_link |= attachment.mac.is_some();
                    left.push(network.record.id.clone());
                }
            }
        }
        if had_link && let Ok(fabric) = self.fabric() {
            unpublish(fabric, container_id);
        }
        for id in left {
            self.emit(&id, "disconnect", Some(container_id));
        }
    }

    /// Knows again a container that goes on running since before the engine started: its places on
    /// networks, its addresses and what it publishes. Call [`Networks::restored`] after the last.
    ///
    /// # Errors
    /// `NotFound` when a network is gone; the others are restored all the same.
    pub fn restore(
        &self,
        container_id: &str,
        name: &str,
        endpoints: &BTreeMap<String, EndpointSettings>,
        ports: &PortMap,
    ) -> Result<()> {
        let mut outcome = Ok(());
        let mut ends = Ends::none(self.0.settings.default_ip);
        let mut state = self.state();
        for (network_name, settings) in endpoints {
            let id = match state.find(network_name) {
                Ok(network) => network.record.id.clone(),
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            };
            let Some(network) = state.networks.get_mut(&id) else {
                continue;
            };
            let attachment = attachment_of(name, settings);
            network.reclaim(&attachment);
            ends.add(network.ends(&attachment, ends.host));
            network.attachments.insert(container_id.to_owned(), attachment);
        }
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
        let watch = fabric.watch()?;
        self.state().watch = Some(watch);
        Ok(())
    }

    /// Takes note of a container's new name.
    pub fn renamed(&self, container_id: &str, name: &str) {
        let mut state = self.state();
        for attachment in state
            .networks
            .values_mut()
            .filter_map(|n| n.attachments.get_mut(container_id))
        {
            name.clone_into(&mut attachment.container_name);
        }
    }

    /// The steps of a link: take addresses, make it, publish; undone in reverse.
    fn link(&self, request: AttachRequest<'_>, place: Place<'_>) -> Result<(AttachedFurther, Option<OwnedFd>)> {
        let fabric = self.fabric()?;
        let taken = self.take(request, &place)?;
        let undo = |error: Error| {
            unpublish(fabric, request.container_id);
            self.forget(&taken.network_id, request.container_id);
            error
        };
        let netns = match place {
            Place::New => fabric
                .attach(&taken.bridge, &taken.endpoint)
                .map(|endpoint| Some(endpoint.netns)),
            Place::Existing(netns, _) => fabric
                .attach_existing(netns, &taken.bridge, &taken.endpoint)
                .map(|_| None),
        };
        let netns = netns.map_err(|error| undo(error.into()))?;
        let (ports, hold) = publish(fabric, request, &taken).map_err(undo)?;
        self.emit(&taken.network_id, "connect", Some(request.container_id));
        let Taken {
            network_name, settings, ..
        } = taken;
        Ok((
            AttachedFurther {
                network_name,
                settings,
                ports,
                hold,
            },
            netns,
        ))
    }

    fn take(&self, request: AttachRequest<'_>, place: &Place<'_>) -> Result<Taken> {
        let mut state = self.state();
        let id = state.find(request.network)?.record.id.clone();
        let network = state.networks.get_mut(&id).ok_or_else(|| gone(request.network))?;
        let taken = network.take(request, place, self.0.settings.default_ip)?;
        Ok(taken)
    }

    fn forget(&self, network_id: &str, container_id: &str) {
        if let Some(network) = self.state().networks.get_mut(network_id)
            && let Some(attachment) = network.attachments.remove(container_id)
        {
            network.release(&attachment);
        }
    }
}

impl Network {
    /// Takes addresses for a container and counts it as attached.
    fn take(&mut self, request: AttachRequest<'_>, place: &Place<'_>, default_ip: IpAddr) -> Result<Taken> {
        let Some(bridge) = self.record.bridge.clone() else {
            return Err(Error::invalid(format!("network {} has no links", self.record.name)));
        };
        if self.attachments.contains_key(request.container_id) {
            return Err(Error::new(
                Kind::Forbidden,
                format!(
                    "endpoint with name {} already exists in network {}",
                    request.container_name, self.record.name
                ),
            ));
        }
        let wanted = request.settings.ipam_config.clone().unwrap_or_default();
        self.check_wishes(&wanted.ipv4_address, bridge.v4.as_ref())?;
        self.check_wishes(&wanted.ipv6_address, bridge.v6.as_ref())?;
        let asked_mac = [request.settings.mac_address.as_str(), request.mac]
            .into_iter()
            .find(|mac| !mac.is_empty());
        let asked_mac = asked_mac.map(str::parse::<MacAddress>).transpose()?;
        let v4 = allocate(self.v4.as_mut(), &wanted.ipv4_address)?;
        let v6 = match allocate(self.v6.as_mut(), &wanted.ipv6_address) {
            Ok(v6) => v6,
            Err(error) => {
                give_back(self.v4.as_mut(), v4);
                return Err(error);
            }
        };
        let mac = asked_mac.unwrap_or_else(|| mac_for(v4, v6));
        let attachment = Attachment {
            endpoint_id: identifiers::random(),
            container_name: request.container_name.to_owned(),
            mac: Some(mac),
            v4,
            v6,
        };
        let taken = self.taken(
            request,
            place,
            &bridge.plan,
            &attachment,
            bridge.host_ip.unwrap_or(default_ip),
        );
        self.attachments.insert(request.container_id.to_owned(), attachment);
        Ok(taken)
    }

    fn check_wishes(&self, address: &str, range: Option<&super::record::Range>) -> Result<()> {
        if address.is_empty() {
            return Ok(());
        }
        if self.record.predefined {
            return Err(Error::invalid(
                "user specified IP address is supported on user defined networks only",
            ));
        }
        if range.is_none_or(|range| !range.chosen_by_user) {
            return Err(Error::invalid(
                "user specified IP address is supported only when connecting to networks with user configured subnets",
            ));
        }
        Ok(())
    }

    fn taken(
        &self,
        request: AttachRequest<'_>,
        place: &Place<'_>,
        bridge: &BridgePlan,
        attachment: &Attachment,
        host: IpAddr,
    ) -> Taken {
        let (gateway4, gateway6) = self.gateways();
        let prefix = self.record.link_prefix();
        let (ifname, has_route) = match place {
            Place::New => (format!("{prefix}0"), true),
            Place::Existing(_, index) => (format!("{prefix}{index}"), false),
        };
        let endpoint = EndpointPlan {
            ifname,
            ipv4: attachment
                .v4
                .and_then(|net| if let IpNet::V4(net) = net { Some(net) } else { None }),
            ipv6: attachment
                .v6
                .and_then(|net| if let IpNet::V6(net) = net { Some(net) } else { None }),
            gateway4: gateway4
                .filter(|_| has_route)
                .and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }),
            gateway6: gateway6
                .filter(|_| has_route)
                .and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }),
            mac: attachment.mac.unwrap_or(MacAddress([0x02, 0x42, 0, 0, 0, 0])),
            mtu: bridge.mtu,
        };
        let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
        let is_shown = !bridge.medium.is_routed_by_link();
        let settings = EndpointSettings {
            mac_address: self.record.shown_mac(endpoint.mac),
            network_id: self.record.id.clone(),
            endpoint_id: attachment.endpoint_id.clone(),
            gateway: text(gateway4.filter(|_| is_shown)),
            ip_address: text(attachment.v4.map(|net| net.addr())),
            ip_prefix_len: attachment.v4.map_or(0, |net| net.prefix_len()),
            ipv6_gateway: text(gateway6.filter(|_| is_shown)),
            global_ipv6_address: text(attachment.v6.map(|net| net.addr())),
            global_ipv6_prefix_len: attachment.v6.map_or(0, |net| net.prefix_len()),
            dns_names: self.dns_names(request),
            ..request.settings.clone()
        };
        Taken {
            network_id: self.record.id.clone(),
            network_name: self.record.name.clone(),
            bridge: bridge.name.clone(),
            endpoint,
            settings,
            ends: self.ends(attachment, host),
        }
    }

    /// The names a container answers to on a user's network.
    fn dns_names(&self, request: AttachRequest<'_>) -> Option<Vec<String>> {
        if self.record.predefined {
            return None;
        }
        let mut names = vec![request.container_name.to_owned()];
        let short = identifiers::short(request.container_id).to_owned();
        for name in request.settings.aliases.iter().flatten().cloned().chain([short]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names)
    }

    /// Marks a restored container's addresses as taken.
    fn reclaim(&mut self, attachment: &Attachment) {
        for (subnet, net) in [(self.v4.as_mut(), attachment.v4), (self.v6.as_mut(), attachment.v6)] {
            if let (Some(subnet), Some(net)) = (subnet, net)
                && let Err(error) = subnet.request(net.addr())
            {
                tracing::warn!(address = %net.addr(), %error, "a running container's address is not its own");
            }
        }
    }

    fn release(&mut self, attachment: &Attachment) {
        give_back(self.v4.as_mut(), attachment.v4);
        give_back(self.v6.as_mut(), attachment.v6);
    }
}

/// Reserves and publishes what a container asked for.
fn publish(fabric: &Fabric, request: AttachRequest<'_>, taken: &Taken) -> Result<(PortMap, Vec<OwnedFd>)> {
    let wanted = ports::wanted(request.ports, taken.ends)?;
    let requests: Vec<_> = wanted.iter().map(|wish| wish.request.clone()).collect();
    let reserved = fabric.reserve_all(request.container_id, &requests).map_err(|error| {
        Error::from(error).context(format!(
            "driver failed programming external connectivity on endpoint {} ({})",
            request.container_name, taken.settings.endpoint_id
        ))
    })?;
    let mut shown: PortMap = request.ports.keys().map(|port| (port.clone(), None)).collect();
    let (mut all, mut hold) = (Vec::new(), Vec::new());
    for (wish, reserved) in wanted.iter().zip(reserved) {
        let bindings = ports::bindings(wish, reserved.port, taken.ends);
        let entry = shown.entry(wish.port.clone()).or_default().get_or_insert_default();
        entry.extend(bindings.iter().map(ports::show));
        all.extend(bindings);
        hold.extend(reserved.sockets);
    }
    if !all.is_empty() {
        fabric.publish(request.container_id, &all)?;
    }
    Ok((shown, hold))
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

fn unpublish(fabric: &Fabric, container_id: &str) {
    if let Err(error) = fabric.unpublish(container_id) {
        let error = Error::from(error).report();
        tracing::error!(
            container = container_id,
            error,
            "the container's ports cannot be taken back"
        );
    }
}

fn allocate(subnet: Option<&mut Subnet>, wanted: &str) -> Result<Option<IpNet>> {
    let Some(subnet) = subnet else {
        return Ok(None);
    };
    let address = if wanted.is_empty() {
        subnet.allocate()?
    } else {
        let address = wanted
            .parse()
            .map_err(|_| Error::invalid(format!("invalid IP address: {wanted}")))?;
        subnet.request(address)?;
        address
    };
    Ok(Some(subnet.with_prefix(address)))
}

fn give_back(subnet: Option<&mut Subnet>, net: Option<IpNet>) {
    if let (Some(subnet), Some(net)) = (subnet, net) {
        subnet.release(net.addr());
    }
}

fn mac_for(v4: Option<IpNet>, v6: Option<IpNet>) -> MacAddress {
    match (v4, v6) {
        (Some(IpNet::V4(net)), _) => MacAddress::for_ipv4(net.addr()),
        (_, Some(IpNet::V6(net))) => MacAddress::for_ipv6(net.addr()),
        _ => MacAddress([0x02, 0x42, 0, 0, 0, 0]),
    }
}

/// A restored container's place, from its record.
fn attachment_of(name: &str, settings: &EndpointSettings) -> Attachment {
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
    }
}

fn gone(network: &str) -> Error {
    Error::not_found(format!("network {network} not found"))
}
