//! Containers on networks: attaching and detaching.

use std::{
    net::IpAddr,
    os::fd::{BorrowedFd, OwnedFd},
};

use corten_api::network::EndpointSettings;
use corten_network::{BridgePlan, EndpointPlan, Fabric, MacAddress, PortRequest, Subnet};
use corten_shim::protocol::{Relay, Target};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    Network, NetworkInfo, Networks, PortMap, Published,
    places::Gateways,
    ports::{self, Ends},
    record::Attachment,
    wishes::Wishes,
};
use crate::{
    error::{Error, Kind, Result},
    identifiers,
    settings::Settings,
};

/// A container's wish to be on a network with links.
#[derive(Debug, Clone, Copy)]
pub struct AttachRequest<'a> {
    /// Its id.
    pub container_id: &'a str,
    /// Its name.
    pub container_name: &'a str,
    /// Its host name.
    pub hostname: &'a str,
    /// The network's name or id.
    pub network: &'a str,
    /// What was asked for: addresses, aliases.
    pub settings: &'a EndpointSettings,
    /// The link address, if one was asked for; else empty.
    pub mac: &'a str,
}

/// What a container got.
#[derive(Debug)]
pub struct Attached {
    /// The namespace with the link, if it is a new one; it lives as long as a process or descriptor
    /// holds it.
    pub netns: Option<OwnedFd>,
    /// The network.
    pub network: NetworkInfo,
    /// The settings, filled in.
    pub settings: EndpointSettings,
    /// The link.
    pub link: LinkNames,
}

/// What a container's link is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkNames {
    /// The end in the host's namespace.
    pub host: String,
    /// The end in the container's.
    pub inside: String,
}

/// What keeps a container's published ports, for its shim to hold while it runs.
#[derive(Debug, Default)]
pub struct Hold {
    /// Sockets that keep the ports from other programs.
    pub sockets: Vec<OwnedFd>,
    /// At which of them the shim serves.
    pub relays: Vec<Relay>,
}

/// Where a link is made.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a fresh namespace.
    New,
    /// In one that exists.
    Existing(BorrowedFd<'a>),
}

/// Addresses taken for a container, with what it needs to know to use them.
struct Taken {
    network: NetworkInfo,
    bridge: String,
    endpoint: EndpointPlan,
    settings: EndpointSettings,
}

impl Networks {
    /// Makes a container's link to a network. Blocks for a millisecond or less.
    ///
    /// The default route leads through the link if the network ranks before the container's others
    /// ([`Gateways`]). Ports follow with [`Networks::publish`].
    ///
    /// # Errors
    /// As [`Networks::find`]; `Forbidden` and `Conflict` for what is taken. Nothing is left behind then.
    pub fn attach(&self, request: AttachRequest<'_>, place: Place<'_>) -> Result<Attached> {
        let fabric = self.fabric()?;
        let taken = self.take(request)?;
        let made = match place {
            Place::New => fabric
                .attach(&taken.bridge, &taken.endpoint)
                .map(|endpoint| (Some(endpoint.netns), endpoint.link)),
            Place::Existing(netns) => fabric
                .attach_existing(netns, &taken.bridge, &taken.endpoint)
                .map(|link| (None, link)),
        };
        let Taken { network, settings, .. } = taken;
        let (netns, link) = match made {
            Ok(made) => made,
            Err(error) => {
                self.forget(&network.id, request.container_id);
                return Err(error.into());
            }
        };
        let link = LinkNames {
            host: link.host_ifname,
            inside: link.ifname,
        };
        if let Some(network) = self.state().networks.get_mut(&network.id)
            && let Some(attachment) = network.attachments.get_mut(request.container_id)
        {
            attachment.link = link.clone();
        }
        self.write_zone(&network.id);
        self.emit(&network.id, "connect", Some(request.container_id));
        Ok(Attached {
            netns,
            network,
            settings,
            link,
        })
    }

    /// Takes a running container off one network: its link goes, the default route and published ports
    /// move to another of its networks. Takes some 20 ms. Returns where its relays lead now, if that may
    /// have changed.
    ///
    /// # Errors
    /// As [`Networks::find`]; `Internal` when it is not on the network, in Docker's words.
    pub fn leave(
        &self,
        container_id: &str,
        network: &str,
        netns: BorrowedFd<'_>,
        ports: &PortMap,
    ) -> Result<Option<Vec<Target>>> {
        let fabric = self.fabric()?;
        let (info, attachment, before) = {
            let mut state = self.state();
            let info = state.find(network)?.info();
            let before = state.gateways(container_id);
            let network = state.networks.get_mut(&info.id).ok_or_else(|| gone(network))?;
            let Some(attachment) = network.attachments.remove(container_id) else {
                return Err(Error::internal(format!(
                    "container {container_id} is not connected to network {}",
                    info.name
                )));
            };
            (info, attachment, before)
        };
        self.write_zone(&info.id);
        // The address is nobody's before the link has gone.
        let unlinked = match attachment.link.host.as_str() {
            "" => fabric.detach_inside(netns, &attachment.link.inside),
            host => fabric.detach(host),
        };
        let unlinked = unlinked.map_err(Error::from);
        if let Some(network) = self.state().networks.get_mut(&info.id) {
            network.release(&attachment);
        }
        let moved = self.move_gateways(container_id, netns, &before, ports);
        self.emit(&info.id, "disconnect", Some(container_id));
        unlinked.and(moved)
    }

    /// After a container has come to a network or left one: has default routes and ports where they
    /// belong now.
    fn move_gateways(
        &self,
        container_id: &str,
        netns: BorrowedFd<'_>,
        before: &Gateways,
        ports: &PortMap,
    ) -> Result<Option<Vec<Target>>> {
        let fabric = self.fabric()?;
        let now = self.state().gateways(container_id);
        if now == *before {
            return Ok(None);
        }
        for gateway in now.routes() {
            fabric.route(netns, &gateway.bridge, &gateway.ifname, gateway.address)?;
        }
        self.republish(container_id, ports).map(Some)
    }

    /// Publishes at a container's present addresses what it has published before: the host's ports are
    /// still its own. Returns where the container's relays lead now.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn republish(&self, container_id: &str, ports: &PortMap) -> Result<Vec<Target>> {
        let ends = self.state().ends(container_id, self.0.settings.default_ip);
        let bindings = ports::published(ports, ends);
        if bindings.is_empty() && ports.values().flatten().next().is_none() {
            return Ok(Vec::new());
        }
        self.fabric()?.publish(container_id, &bindings)?;
        Ok(super::relays::targets(&bindings, &self.0.settings))
    }

    /// Where the relays of a running container lead, that publishes these ports.
    pub fn relay_targets(&self, container_id: &str, ports: &PortMap) -> Vec<Target> {
        let ends = self.state().ends(container_id, self.0.settings.default_ip);
        super::relays::targets(&ports::published(ports, ends), &self.0.settings)
    }

    /// Publishes a container's ports, through the networks that give it its default routes.
    ///
    /// Returns the ports as published, and what is to be held while the container runs; ports that
    /// `leader` has, for which it stands by, wait.
    ///
    /// # Errors
    /// `Conflict` for ports that are taken; [`Networks::detach`] takes back what was published.
    pub fn publish(&self, container_id: &str, ports: &PortMap, leader: Option<&PortMap>) -> Result<Published> {
        if ports.values().flatten().next().is_none() {
            return Ok(Published {
                ports: ports.keys().map(|port| (port.clone(), None)).collect(),
                ..Published::default()
            });
        }
        let fabric = self.fabric()?;
        let (ends, who) = {
            let state = self.state();
            let ends = state.ends(container_id, self.0.settings.default_ip);
            (ends, state.endpoint_with_ports(container_id))
        };
        let settings = &self.0.settings;
        let ends = Ends {
            crosses: settings.relays && fabric.has_ipv6(),
            ..ends
        };
        let wanted = ports::wanted(ports, ends)?;
        let (wanted, withheld) = match leader {
            Some(leader) => super::succession::withhold(wanted, leader),
            None => (wanted, PortMap::new()),
        };
        let (ports, hold) = publish(fabric, (container_id, &who), (ports, wanted), ends, settings)?;
        Ok(Published { ports, hold, withheld })
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
        if network.record.configuration.is_some() {
            return Err(Error::new(
                Kind::Forbidden,
                "cannot create endpoint on configuration-only network",
            ));
        }
        if network.record.bridge.is_some() {
            return Err(Error::invalid(format!("network {} needs a link", network.record.name)));
        }
        let attachment = Attachment {
            endpoint_id: identifiers::random(),
            container_name: container_name.to_owned(),
            ..Attachment::default()
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

    /// Counts a container on the network `host` or `none` no more.
    pub fn quit(&self, container_id: &str, network_id: &str) {
        self.forget(network_id, container_id);
        self.emit(network_id, "disconnect", Some(container_id));
    }

    /// Takes a container off all its networks: releases addresses, ports and rules. Doing it again
    /// is no error. The links vanish with the namespace.
    pub fn detach(&self, container_id: &str) {
        let (mut left, mut addresses) = (Vec::new(), Vec::new());
        let mut had_link = false;
        {
            let mut state = self.state();
            state.standbys.remove(container_id);
            for network in state.networks.values_mut() {
                if let Some(attachment) = network.attachments.remove(container_id) {
                    network.release(&attachment);
                    had_link |= attachment.mac.is_some();
                    addresses.extend(attachment.v4.map(|net| net.addr()));
                    left.push(network.record.id.clone());
                }
            }
        }
        if had_link && let Ok(fabric) = self.fabric() {
            unpublish(fabric, container_id, &addresses);
        }
        for id in left {
            self.write_zone(&id);
            self.emit(&id, "disconnect", Some(container_id));
        }
    }

    fn take(&self, request: AttachRequest<'_>) -> Result<Taken> {
        let mut state = self.state();
        let id = state.find(request.network)?.record.id.clone();
        let used = state.link_names(request.container_id);
        let network = state.networks.get_mut(&id).ok_or_else(|| gone(request.network))?;
        let mut taken = network.take(request, &used)?;
        state.hide_names(Some(request.container_id));
        // What ranks before it already has the route.
        let gateways = state.gateways(request.container_id);
        if gateways.v4.as_ref().is_none_or(|first| first.network_id != id) {
            taken.endpoint.gateway4 = None;
        }
        if gateways.v6.as_ref().is_none_or(|first| first.network_id != id) {
            taken.endpoint.gateway6 = None;
        }
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
    /// Takes addresses for a container and counts it as attached. `used` are its other links' names.
    fn take(&mut self, request: AttachRequest<'_>, used: &[String]) -> Result<Taken> {
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
        let wishes = Wishes::read(request.settings, request.mac)?;
        let ifname = self.link_name(wishes.ifname.as_deref(), used)?;
        let v4 = allocate(self.v4.as_mut(), wishes.v4)?;
        let v6 = match allocate(self.v6.as_mut(), wishes.v6) {
            Ok(v6) => v6,
            Err(error) => {
                give_back(self.v4.as_mut(), v4);
                return Err(error);
            }
        };
        let attachment = Attachment {
            endpoint_id: identifiers::random(),
            container_name: request.container_name.to_owned(),
            mac: Some(wishes.mac.unwrap_or_else(|| mac_for(v4, v6))),
            v4,
            v6,
            names: self.dns_names(request).unwrap_or_default(),
            hidden: Vec::new(),
            priority: request.settings.gw_priority,
            link: LinkNames {
                host: String::new(),
                inside: ifname,
            },
        };
        let mut taken = self.taken(request, &bridge.plan, &attachment);
        taken.endpoint.link_local = wishes.link_local;
        taken.endpoint.settings = wishes.settings;
        self.attachments.insert(request.container_id.to_owned(), attachment);
        Ok(taken)
    }

    fn taken(&self, request: AttachRequest<'_>, bridge: &BridgePlan, attachment: &Attachment) -> Taken {
        let (gateway4, gateway6) = self.gateways();
        let endpoint = EndpointPlan {
            ifname: attachment.link.inside.clone(),
            ipv4: attachment
                .v4
                .and_then(|net| if let IpNet::V4(net) = net { Some(net) } else { None }),
            ipv6: attachment
                .v6
                .and_then(|net| if let IpNet::V6(net) = net { Some(net) } else { None }),
            link_local: Vec::new(),
            gateway4: gateway4.and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }),
            gateway6: gateway6.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None }),
            mac: attachment.mac.unwrap_or(MacAddress([0x02, 0x42, 0, 0, 0, 0])),
            mtu: bridge.mtu,
            settings: Vec::new(),
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
            network: self.info(),
            bridge: bridge.name.clone(),
            endpoint,
            settings,
        }
    }

    /// The name of a container's link: the one asked for, else the first free one.
    pub(super) fn link_name(&self, asked: Option<&str>, used: &[String]) -> Result<String> {
        let is_free = |name: &String| !used.contains(name);
        if let Some(asked) = asked {
            let name = asked.to_owned();
            return match is_free(&name) {
                true => Ok(name),
                false => Err(Error::conflict(format!("interface name {name} is already in use"))),
            };
        }
        let prefix = self.record.link_prefix();
        let mut names = (0..=used.len()).map(|number| format!("{prefix}{number}"));
        Ok(names.find(is_free).unwrap_or_else(|| format!("{prefix}0")))
    }

    /// The names a container answers to on a user's network.
    fn dns_names(&self, request: AttachRequest<'_>) -> Option<Vec<String>> {
        let aliases = request.settings.aliases.as_deref().unwrap_or_default();
        let names = || dns_names(request.container_name, aliases, request.container_id, request.hostname);
        (!self.record.predefined).then(names)
    }

    /// Marks a restored container's addresses as taken.
    pub(super) fn reclaim(&mut self, attachment: &Attachment) {
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

/// Names by which others know a container on a user's network, its own first.
pub(crate) fn dns_names(name: &str, aliases: &[String], id: &str, hostname: &str) -> Vec<String> {
    let short = identifiers::short(id);
    let mut names: Vec<String> = Vec::new();
    let all = [name]
        .into_iter()
        .chain(aliases.iter().map(String::as_str))
        .chain([short, hostname]);
    for name in all {
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Reserves and publishes what a container asked for; `who` names its endpoint in messages.
fn publish(
    fabric: &Fabric,
    (container_id, who): (&str, &str),
    (ports, wanted): (&PortMap, Vec<ports::Wanted>),
    ends: Ends,
    settings: &Settings,
) -> Result<(PortMap, Hold)> {
    let request = |wish: &ports::Wanted| PortRequest {
        one_socket: super::relays::can_share(settings),
        ..wish.request.clone()
    };
    let requests: Vec<_> = wanted.iter().map(request).collect();
    let reserved = fabric.reserve_all(container_id, &requests).map_err(|error| {
        Error::from(error).context(format!(
            "driver failed programming external connectivity on endpoint {who}"
        ))
    })?;
    let mut shown: PortMap = ports.keys().map(|port| (port.clone(), None)).collect();
    let (mut all, mut hold) = (Vec::new(), Hold::default());
    for (wish, reserved) in wanted.iter().zip(reserved) {
        let bindings = ports::bindings(wish, reserved.port, ends);
        let entry = shown.entry(wish.port.clone()).or_default().get_or_insert_default();
        entry.extend(bindings.iter().map(ports::show));
        let sockets = reserved.sockets.len();
        let relays = super::relays::plan(&bindings, sockets, hold.sockets.len(), settings);
        hold.relays.extend(relays);
        hold.sockets.extend(reserved.sockets);
        all.extend(bindings);
    }
    if !all.is_empty() {
        fabric.publish(container_id, &all)?;
    }
    Ok((shown, hold))
}

fn unpublish(fabric: &Fabric, container_id: &str, addresses: &[IpAddr]) {
    let unpublished = fabric.unpublish(container_id);
    if let Err(error) = unpublished.and(fabric.close_neighbours(container_id, addresses)) {
        let error = Error::from(error).report();
        tracing::error!(
            container = container_id,
            error,
            "the container's ports cannot be taken back"
        );
    }
}

fn allocate(subnet: Option<&mut Subnet>, wanted: Option<IpAddr>) -> Result<Option<IpNet>> {
    let Some(subnet) = subnet else {
        return Ok(None);
    };
    let address = match wanted {
        None => subnet.allocate()?,
        Some(address) => {
            subnet.request(address)?;
            address
        }
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

fn gone(network: &str) -> Error {
    Error::not_found(format!("network {network} not found"))
}
