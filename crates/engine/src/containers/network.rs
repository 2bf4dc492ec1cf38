//! A container's places on networks: made when it starts, changed while it runs.
//!
//! What it has while it runs is kept in its bundle, beside the record: for an engine that finds it
//! started, connected or disconnected, and the record of that unwritten.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use corten_api::network::EndpointSettings;
use corten_network::{NameSockets, name_sockets};
use serde::{Deserialize, Serialize};

use super::{
    Container, Inner,
    modes::{self, Network},
    record::Record,
    standby,
};
use crate::{
    error::{Error, Result},
    networks::{AttachRequest, Hold, LinkNames, NetworkInfo, Place, PortMap},
};

/// The networks a running container is on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Joined {
    /// In the order in which they were joined.
    pub(super) networks: Vec<OnNetwork>,
    /// Ports as published.
    pub(super) ports: PortMap,
    /// Whether the shim answers names.
    pub(super) names: bool,
    /// For which container it stands by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) standby: Option<Standby>,
}

/// What a container waits for that stands by for another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Standby {
    /// The id of the other.
    pub(super) leader: String,
    /// Ports that it is to publish, which the other has.
    pub(super) ports: PortMap,
}

/// One network of a running container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OnNetwork {
    /// Its name.
    pub(super) network: String,
    /// What the user called it.
    pub(super) asked: String,
    /// The settings, filled in.
    pub(super) settings: EndpointSettings,
    /// The link; none on `host` and `none`.
    pub(super) link: Option<LinkNames>,
    /// Whether containers know each other by name there.
    pub(super) has_names: bool,
}

impl Joined {
    pub(super) const FILE: &str = "networks.json";

    /// Keeps it in the bundle.
    pub(super) fn write(&self, container: &Container) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::internal("cannot write networks").source(e))?;
        Ok(corten_sys::fs::write_atomic(container.bundle.join(Self::FILE), bytes)?)
    }

    /// What a container's last start gave.
    pub(super) fn read(container: &Container) -> Option<Self> {
        let bytes = corten_sys::fs::read(container.bundle.join(Self::FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Puts it into the record, in place of what was asked for.
    pub(super) fn record(self, record: &mut Record) {
        for on in self.networks {
            if on.asked != on.network {
                record.networks.remove(&on.asked);
            }
            record.networks.insert(on.network, on.settings);
        }
        record.ports = self.ports;
    }

    /// Makes a record agree with it, of a container that was running when an engine was killed.
    pub(super) fn correct(self, record: &mut Record) {
        let is_on = |name: &String| self.networks.iter().any(|on| on.network == *name);
        record.networks.retain(|name, _| is_on(name));
        for on in self.networks {
            let own = record.networks.entry(on.network).or_default();
            // Its name may have changed since.
            if own.endpoint_id != on.settings.endpoint_id {
                *own = on.settings;
            }
        }
        record.ports = self.ports;
    }

    pub(super) fn get(&self, network: &str) -> Option<&OnNetwork> {
        self.networks.iter().find(|on| on.network == network)
    }
}

/// What joining a container's networks has made.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// The namespace with the links; none when the container has another's, or nothing but `lo`.
    pub(super) netns: Option<OwnedFd>,
    /// What keeps published ports from other programs.
    pub(super) hold: Hold,
    /// Where names are asked for.
    pub(super) names: Option<NameSockets>,
    /// The networks.
    pub(super) joined: Joined,
}

/// Joins all networks of a container that is about to start. What was joined before a failure is
/// given back with the rest of the start.
pub(super) fn join(inner: &Inner, record: &Record) -> Result<Made> {
    let mut made = Made::default();
    if let Network::Container(_) = modes::network(&record.host_config.network_mode) {
        return Ok(made);
    }
    let join = |made: &mut Made| {
        let leader = standby::leader(inner, record);
        if let Some(leader) = &leader {
            inner.networks.stand_by(&record.id, &leader.id);
        }
        for (asked, settings) in asked(record) {
            join_one(inner, record, made, asked, settings)?;
        }
        let Some(netns) = &made.netns else {
            return Ok(());
        };
        if made.joined.networks.iter().any(|on| on.has_names) {
            made.names = Some(name_sockets(netns.as_fd())?);
            made.joined.names = true;
        }
        made.hold = publish(inner, record, leader.as_deref(), &mut made.joined)?;
        Ok(())
    };
    join(&mut made).map_err(|e: Error| e.context("failed to set up container networking"))?;
    Ok(made)
}

/// The networks asked for, that of `--network` first; it alone when the container has none left.
fn asked(record: &Record) -> Vec<(&str, EndpointSettings)> {
    let mode = match modes::network(&record.host_config.network_mode) {
        Network::Named(name) => name,
        Network::None => "none",
        Network::Host => "host",
        Network::Container(_) => return Vec::new(),
    };
    if record.networks.is_empty() {
        return vec![(mode, EndpointSettings::default())];
    }
    let networks = record.networks.iter();
    let mut all: Vec<_> = networks
        .map(|(name, settings)| (name.as_str(), settings.clone()))
        .collect();
    all.sort_by_key(|(name, _)| *name != mode);
    all
}

/// Publishes a container's ports, but those that the container has for which it stands by.
pub(super) fn publish(inner: &Inner, record: &Record, leader: Option<&Container>, joined: &mut Joined) -> Result<Hold> {
    let held = leader.map(|leader| leader.lock().record.ports.clone());
    let published = inner
        .networks
        .publish(&record.id, &wanted_ports(record), held.as_ref())?;
    joined.ports = published.ports;
    joined.standby = leader.map(|leader| Standby {
        leader: leader.id.clone(),
        ports: published.withheld,
    });
    Ok(published.hold)
}

fn join_one(inner: &Inner, record: &Record, made: &mut Made, asked: &str, settings: EndpointSettings) -> Result<()> {
    let info = inner.networks.find(asked)?;
    let on = if info.has_links() {
        let place = made
            .netns
            .as_ref()
            .map_or(Place::New, |netns| Place::Existing(netns.as_fd()));
        let is_first = made.joined.networks.is_empty();
        let attached = inner
            .networks
            .attach(request(record, &info, &settings, is_first), place)?;
        if let Some(netns) = attached.netns {
            made.netns = Some(netns);
        }
        OnNetwork {
            asked: asked.to_owned(),
            settings: attached.settings,
            link: Some(attached.link),
            has_names: info.user_defined,
            network: info.name,
        }
    } else {
        let settings = inner.networks.join(&record.id, &record.name, &info.id, &settings)?;
        OnNetwork {
            asked: asked.to_owned(),
            settings,
            link: None,
            has_names: false,
            network: info.name,
        }
    };
    made.joined.networks.push(on);
    Ok(())
}

/// A request for a link; the container's own wish for a link address goes to its first network.
pub(super) fn request<'a>(
    record: &'a Record,
    info: &'a NetworkInfo,
    settings: &'a EndpointSettings,
    is_first: bool,
) -> AttachRequest<'a> {
    AttachRequest {
        container_id: &record.id,
        container_name: &record.name,
        hostname: &record.config.hostname,
        network: &info.id,
        settings,
        mac: if is_first { &record.config.mac_address } else { "" },
    }
}

/// The ports to publish: those asked for, and with `-P` every exposed one that was not.
pub(super) fn wanted_ports(record: &Record) -> PortMap {
    let mut ports = record.host_config.port_bindings.clone();
    for port in record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        let bindings = ports.entry(port.clone()).or_default();
        if record.host_config.publish_all_ports && bindings.as_ref().is_none_or(Vec::is_empty) {
            *bindings = Some(vec![corten_api::container::PortBinding::default()]);
        }
    }
    ports
}

/// The network namespace of a process.
pub(super) fn namespace_of(pid: i32) -> Result<OwnedFd> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    Ok(corten_sys::fs::open(path)?.into())
}
