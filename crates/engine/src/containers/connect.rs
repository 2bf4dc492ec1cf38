//! `network connect` and `network disconnect`: for containers that run, and those that will.

use std::{
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use corten_api::network::{ConnectRequest, DisconnectRequest, EndpointSettings};
use corten_network::name_sockets;
use corten_shim::protocol::{Request, Target};

use super::{
    Container, Containers, Inner, State,
    changing::Changing,
    ended, etc,
    modes::{self, Network},
    network::{self, Joined, OnNetwork},
    record::Record,
};
use crate::{
    crash,
    error::{Error, Kind, Result, blocking},
    networks::{Driver, Hold, NetworkInfo, Place, PortMap, dns_names},
};

/// What a further network has brought.
struct Connected {
    joined: Joined,
    on: OnNetwork,
    /// For the shim.
    descriptors: Vec<OwnedFd>,
    request: Request,
    /// Where the relays of ports published before lead now, if that may have changed.
    targets: Option<Vec<Target>>,
}

impl Containers {
    /// Puts a container on a further network: at once when it runs, else when it is started.
    ///
    /// # Errors
    /// `NotFound` for either, `Invalid` for settings that make no sense or networks that exclude each
    /// other, `Forbidden` when a running container is on it already.
    pub async fn connect(&self, network: &str, request: ConnectRequest) -> Result<()> {
        let container = self.find(&request.container)?;
        let _operation = container.operation.lock().await;
        let settings = request.endpoint_config.unwrap_or_default();
        let record = container.record();
        check_mode(&record)?;
        let pid = match &record.state {
            State::Removing(_) | State::Dead(_) => return Err(marked(&container)),
            state => state.running().map(|running| running.pid),
        };
        let Some(pid) = pid else {
            return self.connect_later(&container, network, settings);
        };
        let (inner, held, network) = (Arc::clone(&self.0), Arc::clone(&container), network.to_owned());
        let connected = blocking(move || connect_now(&inner, &held, &record, pid, &network, settings)).await;
        let connected = connected.inspect_err(|_| Changing::end(&container))?;
        let Connected {
            joined,
            on,
            descriptors,
            request,
            targets,
        } = connected;
        if !descriptors.is_empty() {
            container.link()?.call(request, descriptors).await?;
        }
        container.move_relays(&joined.ports, targets).await;
        Changing::end(&container);
        container.edit(|record| {
            record.ports = joined.ports;
            let settings = record.networks.entry(on.network).or_default();
            *settings = on.settings;
            if record.state.running().is_none() {
                ended::forget_addresses(settings);
            }
        })?;
        self.give_back_if_ended(&container);
        Ok(())
    }

    /// Takes a container off a network.
    ///
    /// # Errors
    /// `NotFound` for either, `Internal` in Docker's words when it is not on the network.
    pub async fn disconnect(&self, network: &str, request: DisconnectRequest) -> Result<()> {
        let container = self.find(&request.container)?;
        let _operation = container.operation.lock().await;
        let record = container.record();
        let found = self.0.networks.find(network);
        let running = record.state.running().map(|running| running.pid);
        let (Some(pid), false) = (running, found.is_err() && request.force) else {
            return self.disconnect_later(&container, network, found.ok());
        };
        let info = found?;
        if info.driver == Driver::Host {
            return Err(Error::invalid(
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(&container));
        let left = blocking(move || disconnect_now(&inner, &held, &record, pid, &info)).await;
        let (joined, targets) = left.inspect_err(|_| Changing::end(&container))?;
        container.move_relays(&joined.ports, targets).await;
        Changing::end(&container);
        container.edit(|record| joined.correct(record))
    }

    /// Only what was asked for changes.
    fn connect_later(&self, container: &Container, network: &str, mut settings: EndpointSettings) -> Result<()> {
        let found = self.0.networks.find(network).ok();
        let name = found.as_ref().map_or(network, |info| info.name.as_str()).to_owned();
        self.0.networks.check_endpoint(network, &settings)?;
        let record = container.record();
        if record.networks.contains_key(&name) {
            return Ok(());
        }
        if let Some(info) = &found {
            check_combination(&self.0, &record, info)?;
            if info.user_defined {
                let aliases = settings.aliases.clone().unwrap_or_default();
                let names = dns_names(&record.name, &aliases, &record.id, &record.config.hostname);
                settings.dns_names = Some(names);
            }
        }
        container.edit(|record| drop(record.networks.insert(name, settings)))
    }

    fn disconnect_later(&self, container: &Container, network: &str, found: Option<NetworkInfo>) -> Result<()> {
        if matches!(container.lock().record.state, State::Removing(_) | State::Dead(_)) {
            return Err(marked(container));
        }
        let name = found.as_ref().map_or(network, |info| info.name.as_str());
        if !container.lock().record.networks.contains_key(name) {
            return Err(Error::internal(format!(
                "container {} is not connected to the network {name}",
                container.id
            )));
        }
        container.edit(|record| drop(record.networks.remove(name)))?;
        if let Some(info) = found {
            self.0.networks.tell(&info.id, "disconnect", &container.id);
        }
        Ok(())
    }

    /// The container may have ended, and given back all it had, while it was being connected.
    fn give_back_if_ended(&self, container: &Container) {
        if container.lock().record.state.running().is_none() {
            self.0.networks.detach(&container.id);
        }
    }
}

impl Container {
    /// Has the shim pass on what comes to relayed ports to where they lead now. The container goes on
    /// without, should it not listen.
    pub(super) async fn move_relays(&self, ports: &PortMap, targets: Option<Vec<Target>>) {
        let Some(targets) = targets.filter(|_| ports.values().flatten().next().is_some()) else {
            return;
        };
        // One that has ended meanwhile has no ports.
        let Ok(link) = self.link() else {
            return;
        };
        if let Err(error) = link.call(Request::Relays { targets }, Vec::new()).await {
            let error = Error::from(error).report();
            tracing::warn!(
                container = self.id,
                error,
                "relayed ports may lead to an earlier address"
            );
        }
    }
}

fn connect_now(
    inner: &Inner,
    container: &Container,
    record: &Record,
    pid: i32,
    network: &str,
    settings: EndpointSettings,
) -> Result<Connected> {
    let info = inner.networks.find(network)?;
    let mut joined = running(container, record);
    if joined.get(&info.name).is_some() {
        return Err(Error::new(
            Kind::Forbidden,
            format!(
                "endpoint with name {} already exists in network {}",
                record.name, info.name
            ),
        ));
    }
    check_combination(inner, record, &info)?;
    inner.networks.check_endpoint(network, &settings)?;
    let netns = network::namespace_of(pid)?;
    let before = inner.networks.gateways(&record.id);
    let request = network::request(record, &info, &settings, joined.networks.is_empty());
    let change = Changing {
        link: inner.networks.link_name(&request)?,
        gone: None,
    };
    change.begin(container)?;
    let attached = inner.networks.attach(request, Place::Existing(netns.as_fd()))?;
    crash::point("connect:attached");
    let on = OnNetwork {
        network: info.name.clone(),
        asked: info.name.clone(),
        settings: attached.settings,
        link: Some(attached.link),
        has_names: info.user_defined,
    };
    joined.networks.push(on.clone());
    let rest = || -> Result<Connected> {
        let (mut kept, mut targets) = (Hold::default(), None);
        if inner.networks.gateways(&record.id) != before {
            (kept, targets) = publish(inner, record, &mut joined)?;
        }
        let (mut descriptors, relays) = (kept.sockets, kept.relays);
        let hold = u32::try_from(descriptors.len()).map_err(|_| Error::invalid("too many published ports"))?;
        let names = info.user_defined && !joined.names;
        if names {
            let sockets = name_sockets(netns.as_fd())?;
            descriptors.extend([sockets.udp, sockets.tcp]);
            joined.names = true;
        }
        joined.write(container)?;
        crash::point("connect:noted");
        etc::change_hosts(container, record, None, Some(&on.settings))?;
        if joined.names {
            etc::write_resolver(inner, container, record, &joined, &inner.settings.now())?;
        }
        Ok(Connected {
            joined,
            on,
            descriptors,
            request: Request::Network { hold, relays, names },
            targets,
        })
    };
    rest().inspect_err(|_| {
        // The first error tells more than one of taking it back.
        let _ = inner.networks.leave(&record.id, &info.id, netns.as_fd(), &record.ports);
    })
}

/// Has published ports lead to where the container's default route is now.
fn publish(inner: &Inner, record: &Record, joined: &mut Joined) -> Result<(Hold, Option<Vec<Target>>)> {
    if joined.ports.values().flatten().next().is_some() {
        let targets = inner.networks.republish(&record.id, &joined.ports)?;
        return Ok((Hold::default(), Some(targets)));
    }
    let leader = super::standby::leader(inner, record);
    let hold = network::publish(inner, record, leader.as_deref(), joined)?;
    Ok((hold, None))
}

fn disconnect_now(
    inner: &Inner,
    container: &Container,
    record: &Record,
    pid: i32,
    info: &NetworkInfo,
) -> Result<(Joined, Option<Vec<Target>>)> {
    let mut joined = running(container, record);
    let Some(at) = joined.networks.iter().position(|on| on.network == info.name) else {
        return Err(Error::internal(format!(
            "container {} is not connected to network {}",
            record.id, info.name
        )));
    };
    let gone = joined.networks.remove(at);
    if let Some(link) = &gone.link {
        let change = Changing {
            link: link.inside.clone(),
            gone: Some(gone.settings.clone()),
        };
        change.begin(container)?;
    }
    joined.write(container)?;
    crash::point("disconnect:noted");
    let mut targets = None;
    if info.has_links() {
        let netns = network::namespace_of(pid)?;
        targets = inner
            .networks
            .leave(&record.id, &info.id, netns.as_fd(), &joined.ports)?;
    } else {
        inner.networks.quit(&record.id, &info.id);
    }
    etc::change_hosts(container, record, Some(&gone.settings), None)?;
    if joined.names {
        etc::write_resolver(inner, container, record, &joined, &inner.settings.now())?;
    }
    Ok((joined, targets))
}

/// The networks of a running container, from its bundle, or from its record.
fn running(container: &Container, record: &Record) -> Joined {
    Joined::read(container).unwrap_or_else(|| {
        let networks = record.networks.iter().map(|(name, settings)| OnNetwork {
            network: name.clone(),
            asked: name.clone(),
            settings: settings.clone(),
            link: None,
            has_names: settings.dns_names.is_some(),
        });
        Joined {
            networks: networks.collect(),
            ports: record.ports.clone(),
            ..Joined::default()
        }
    })
}

/// A container in another's namespace has no networks of its own.
fn check_mode(record: &Record) -> Result<()> {
    match modes::network(&record.host_config.network_mode) {
        Network::Container(_) => Err(shared()),
        _ => Ok(()),
    }
}

/// Docker's rules for which networks go together.
fn check_combination(inner: &Inner, record: &Record, new: &NetworkInfo) -> Result<()> {
    let is_host = matches!(modes::network(&record.host_config.network_mode), Network::Host);
    if new.driver == Driver::Host && !is_host {
        return Err(Error::invalid(
            "container cannot be disconnected from host network or connected to host network",
        ));
    }
    for name in record.networks.keys() {
        let Ok(own) = inner.networks.find(name) else {
            continue;
        };
        if own.driver == Driver::Host || new.driver == Driver::Host {
            return Err(shared());
        }
        if own.driver == Driver::None || new.driver == Driver::None {
            return Err(Error::invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
    }
    Ok(())
}

fn shared() -> Error {
    Error::invalid(
        "container sharing network namespace with another container or host cannot be connected to any other network",
    )
}

fn marked(container: &Container) -> Error {
    Error::internal(format!(
        "Container {} is marked for removal and cannot be connected or disconnected to the network",
        container.id
    ))
}
