//! Containers that stand by for others, to take over what those are reached by.
//!
//! ```text
//!   leader  ── ports, names ──►  clients          stand-by  (runs; nobody reaches it)
//!                   take over
//!   stand-by (connections end)   clients  ◄── ports, names ──  leader
//! ```
//! A container made with the annotation [`ANNOTATION`] stands by for the one it names while that runs. Ports
//! change hands in one transaction of the firewall; the sockets that hold them are copied from shim to shim. So
//! no connection is refused, and those that stand go on. When a leader ends, its stand-by takes over by itself.
//!
//! Who has which ports lies in the bundles. An engine that dies in the middle leaves one of: nothing done; both
//! bundles with the ports, where the leader by the files' word is whoever stands by for nobody; or sockets still
//! to be copied. [`Containers::settle_ports`] and [`Containers::settle_sockets`] finish those.

use std::{collections::BTreeSet, os::fd::OwnedFd, sync::Arc, time::Duration};

use corten_network::Protocol;
use corten_shim::protocol::{HeldPort, Relay, Request};

use super::{
    Container, Containers, Inner, link,
    listeners::{self, Port},
    network::{Joined, Standby},
    record::Record,
};
use crate::{
    crash,
    error::{Error, Kind, Result, blocking},
    networks::{PortMap, Publisher, TakenOver, holds},
};

/// The annotation of a container with the id or name of the one for which it stands by.
pub const ANNOTATION: &str = "corten.stands-by-for";
/// The pause between two looks at a container's sockets.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two looks at connections: the kernel walks all of the host's.
const LONG_PAUSE: Duration = Duration::from_millis(500);

/// How a container takes over.
#[derive(Debug, Clone, Copy, Default)]
pub struct TakeOver {
    /// How long to wait until it listens where the other one does.
    pub listening: Duration,
    /// How long to wait afterwards until the other one's connections have ended.
    pub draining: Duration,
}

/// The running container for which one stands by.
pub(super) fn leader(inner: &Inner, record: &Record) -> Option<Arc<Container>> {
    let made = record.host_config.annotations.as_ref();
    let made = made.and_then(|annotations| annotations.get(ANNOTATION));
    let leader = inner.find(record.stands_by_for.as_ref().or(made)?).ok()?;
    (leader.id != record.id && is_running(&leader)).then_some(leader)
}

fn is_running(container: &Container) -> bool {
    container.lock().record.state.running().is_some()
}

impl Containers {
    /// Has a container take over from the one for which it stands by. The two change roles.
    ///
    /// # Errors
    /// `NotModified` when it stands by for none; `Conflict` when it does not run, does not listen in time, or
    /// when a port that its leader did not have is taken. Nothing has changed then.
    pub async fn take_over(&self, name: &str, how: TakeOver) -> Result<()> {
        let container = self.find(name)?;
        let standby = standby(&container)?;
        let leader = self.find(&standby.leader).ok();
        if let Some(leader) = &leader {
            listen(&container, leader, &standby.ports, how.listening).await?;
        }
        {
            // In one order, so that two cannot wait for each other.
            let mut both: Vec<_> = leader.iter().chain([&container]).collect();
            both.sort_by_key(|container| &container.id);
            let mut held = Vec::new();
            for container in both {
                held.push(container.operation.lock().await);
            }
            self.take_over_held(&container, leader.as_ref()).await?;
        }
        if let Some(leader) = &leader {
            drain(leader, &standby.ports, how.draining).await;
        }
        Ok(())
    }

    async fn take_over_held(&self, container: &Arc<Container>, leader: Option<&Arc<Container>>) -> Result<()> {
        if !is_running(container) {
            return Err(container.not_running());
        }
        let running = leader.filter(|leader| is_running(leader)).cloned();
        let sockets = match &running {
            Some(leader) => sockets(leader).await?,
            None => Vec::new(),
        };
        let (inner, held, left) = (Arc::clone(&self.0), Arc::clone(container), running.clone());
        let taken = blocking(move || exchange(&inner, &held, left.as_deref())).await?;
        if !taken.hold.sockets.is_empty() {
            hold(container, taken.hold.sockets, taken.hold.relays).await?;
        }
        if let Some(leader) = &running {
            self.pass(container, leader, sockets).await?;
        }
        crash::point("takeover:held");
        container.edit(|record| record.ports = taken.ports)?;
        if let Some(leader) = leader {
            let id = container.id.clone();
            leader.edit(|record| {
                record.stands_by_for = Some(id);
                if record.state.running().is_some() {
                    record.ports = taken.left;
                }
            })?;
        }
        Ok(())
    }

    /// Passes sockets to the container that has their ports now.
    async fn pass(&self, container: &Container, leader: &Container, sockets: Vec<(HeldPort, OwnedFd)>) -> Result<()> {
        let published = |container: &Container| Joined::read(container).unwrap_or_default().ports;
        let (ports, left) = (published(container), published(leader));
        let (passed, sockets): (Vec<_>, Vec<_>) = sockets.into_iter().filter(|(held, _)| holds(*held, &ports)).unzip();
        if passed.is_empty() {
            return Ok(());
        }
        let targets = self.0.networks.relay_targets(&container.id, &ports);
        let relay = |(number, held): (u32, &HeldPort)| {
            let mut targets = targets.iter();
            let target = targets.find(|target| (target.host, target.datagrams) == (held.host, held.datagrams))?;
            Some(Relay {
                socket: number,
                datagrams: target.datagrams,
                to: target.to,
            })
        };
        hold(container, sockets, (0..).zip(&passed).filter_map(relay).collect()).await?;
        let given: Vec<_> = passed.into_iter().filter(|held| !holds(*held, &left)).collect();
        // One that has ended meanwhile holds nothing.
        let _ = link::ask(&leader.bundle, Request::Release { ports: given }).await;
        Ok(())
    }

    /// A leader has ended: the container that stands by for it takes over.
    pub(super) fn promote_standby_of(&self, leader: &Container) {
        if let Some(id) = self.0.networks.standby_of(&leader.id) {
            self.promote(id);
        }
    }

    /// A container has been started as a stand-by, and its leader may have ended meanwhile.
    pub(super) fn promote_if_alone(&self, container: &Container) {
        if self.0.networks.leads(&container.id) {
            return;
        }
        let leader = leader(&self.0, &container.record());
        if leader.is_none() && standby(container).is_ok() {
            self.promote(container.id.clone());
        }
    }

    fn promote(&self, id: String) {
        if self.0.shutting_down.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        let containers = self.clone();
        tokio::spawn(async move {
            containers.wait_recovered().await;
            match containers.take_over(&id, TakeOver::default()).await {
                Ok(()) => tracing::info!(container = id, "took over from a container that has ended"),
                Err(error) if error.kind() == Kind::NotModified => {}
                Err(error) => tracing::warn!(container = id, error = error.report(), "cannot take over"),
            }
        });
    }

    /// Where an earlier engine died while ports changed hands: says who has them, before rules are written.
    pub(super) fn settle_ports(&self) {
        for (container, leader) in self.successions() {
            let Some(mut left) = leader.as_deref().and_then(Joined::read) else {
                continue;
            };
            let Some(leader) = leader else { continue };
            let Some(own) = Joined::read(&container) else { continue };
            let (rest, gone) = without(&left.ports, &own.ports);
            if gone.is_empty() {
                continue;
            }
            self.0.networks.disclaim(&leader.id, &rest);
            self.0.networks.stand_by(&leader.id, &container.id);
            left.ports.clone_from(&rest);
            left.standby = Some(Standby {
                leader: container.id.clone(),
                ports: gone,
            });
            let written = left.write(&leader).and_then(|()| {
                leader.edit(|record| {
                    record.stands_by_for = Some(container.id.clone());
                    record.ports = rest;
                })
            });
            if let Err(error) = written {
                tracing::error!(
                    container = leader.id,
                    error = error.report(),
                    "cannot record who has a port"
                );
            }
        }
    }

    /// Likewise: has sockets where their ports are.
    pub(super) async fn settle_sockets(&self) {
        for (container, leader) in self.successions() {
            let Some(leader) = leader else {
                self.promote_if_alone(&container);
                continue;
            };
            let passed = match sockets(&leader).await {
                Ok(sockets) => self.pass(&container, &leader, sockets).await,
                Err(error) => Err(error),
            };
            if let Err(error) = passed {
                tracing::error!(
                    container = container.id,
                    error = error.report(),
                    "cannot take over ports of an earlier container"
                );
            }
        }
    }

    /// Running containers that have taken over, each with the one that stands by for it; and those that wait for
    /// one that is gone.
    fn successions(&self) -> Vec<(Arc<Container>, Option<Arc<Container>>)> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for container in self.0.all().into_iter().filter(|container| is_running(container)) {
            let record = container.record();
            let annotated = record
                .host_config
                .annotations
                .as_ref()
                .is_some_and(|annotations| annotations.contains_key(ANNOTATION));
            if !annotated && record.stands_by_for.is_none() {
                continue;
            }
            let other = leader(&self.0, &record);
            let waits = standby(&container).is_ok();
            match (other, waits) {
                // By its bundle it leads, whatever it was made as.
                (Some(other), false) => {
                    if seen.insert((container.id.clone(), other.id.clone())) {
                        found.push((container, Some(other)));
                    }
                }
                (Some(other), true) => {
                    if standby(&other).is_err() && seen.insert((other.id.clone(), container.id.clone())) {
                        found.push((other, Some(container)));
                    }
                }
                (None, true) => found.push((container, None)),
                (None, false) => {}
            }
        }
        found
    }
}

/// What a container waits for.
fn standby(container: &Container) -> Result<Standby> {
    let standby = Joined::read(container)
        .filter(|_| is_running(container))
        .and_then(|joined| joined.standby);
    standby.ok_or_else(|| Error::new(Kind::NotModified, ""))
}

/// The part that blocks: the firewall, then the bundles.
fn exchange(inner: &Inner, container: &Container, leader: Option<&Container>) -> Result<TakenOver> {
    let mut joined = Joined::read(container).unwrap_or_default();
    let Some(standby) = joined.standby.take() else {
        return Err(Error::new(Kind::NotModified, ""));
    };
    let mut left = leader.map(|leader| (leader, Joined::read(leader).unwrap_or_default()));
    let own = Publisher {
        container_id: &container.id,
        ports: &joined.ports,
    };
    let other = left.as_ref().map(|(leader, left)| Publisher {
        container_id: &leader.id,
        ports: &left.ports,
    });
    let taken = inner.networks.take_over(own, other, &standby.ports)?;
    crash::point("takeover:published");
    joined.ports = taken.ports.clone();
    joined.write(container)?;
    crash::point("takeover:noted");
    if let Some((leader, left)) = &mut left {
        left.ports = taken.left.clone();
        left.standby = Some(Standby {
            leader: container.id.clone(),
            ports: taken.withheld.clone(),
        });
        left.write(leader)?;
    }
    crash::point("takeover:left");
    Ok(taken)
}

/// Copies of the sockets that hold a container's ports.
async fn sockets(container: &Container) -> Result<Vec<(HeldPort, OwnedFd)>> {
    link::ports(&container.bundle).await.map_err(|error| {
        Error::from(error)
            .context(format!("cannot take over ports of container {}", container.id))
            .hint("one that an earlier version started must be restarted first")
    })
}

/// Has a container's shim hold sockets, and serve at some.
async fn hold(container: &Container, sockets: Vec<OwnedFd>, relays: Vec<Relay>) -> Result<()> {
    let hold = u32::try_from(sockets.len()).map_err(|_| Error::invalid("too many published ports"))?;
    let request = Request::Network {
        hold,
        relays,
        names: false,
    };
    container.link()?.call(request, sockets).await?;
    Ok(())
}

fn pid(container: &Container) -> Option<i32> {
    container.lock().record.state.running().map(|running| running.pid)
}

/// Waits until a container listens wherever the other one does whose ports it is to have.
async fn listen(container: &Container, leader: &Container, ports: &PortMap, patience: Duration) -> Result<()> {
    let wanted = answering(leader, ports).await?;
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let pid = pid(container).ok_or_else(|| container.not_running())?;
        let ours = listeners::listening(pid).await?;
        let Some(missing) = wanted.difference(&ours).next() else {
            return Ok(());
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::conflict(format!(
                "container {} does not listen at port {missing} within {} s",
                container.record().name,
                patience.as_secs()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The ports inside a stand-by at which somebody must listen, because somebody does where they lead now.
async fn answering(leader: &Container, ports: &PortMap) -> Result<BTreeSet<Port>> {
    let theirs = Joined::read(leader).unwrap_or_default().ports;
    let listening = match pid(leader) {
        Some(pid) => listeners::listening(pid).await?,
        None => BTreeSet::new(),
    };
    let answers = |wanted: &Key| {
        let mut bound = theirs
            .iter()
            .flat_map(|(port, list)| keys(port, list).map(move |key| (port, key)));
        bound.any(|(port, key)| key == *wanted && Port::parse(port).is_some_and(|port| listening.contains(&port)))
    };
    let wanted = ports
        .iter()
        .filter(|(port, list)| keys(port, list).any(|key| answers(&key)));
    Ok(wanted.filter_map(|(port, _)| Port::parse(port)).collect())
}

/// Waits until a container's connections have ended that came by ports which another one has now.
async fn drain(container: &Container, ports: &PortMap, patience: Duration) {
    // The ports inside may have other numbers than the new container's: those are known by the bundle.
    let own = Joined::read(container).and_then(|joined| joined.standby);
    let ports = own.map_or_else(|| ports.clone(), |standby| standby.ports);
    let ports = ports.keys().filter_map(|port| Port::parse(port));
    let ports = ports.filter(|port| port.protocol == Protocol::Tcp);
    let ports = ports.map(|port| port.number).collect();
    let deadline = tokio::time::Instant::now() + patience;
    let mut pause = PAUSE;
    while let Some(pid) = pid(container) {
        let connected = listeners::connected(pid, &ports).await.unwrap_or_else(|error| {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot see connections"
            );
            0
        });
        if connected == 0 || tokio::time::Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONG_PAUSE);
    }
}

/// Published ports without those that another one has, and these.
fn without(ports: &PortMap, others: &PortMap) -> (PortMap, PortMap) {
    let taken: BTreeSet<_> = others.iter().flat_map(|(port, list)| keys(port, list)).collect();
    let (mut left, mut gone) = (PortMap::new(), PortMap::new());
    for (port, list) in ports {
        let is_taken = |binding: &corten_api::container::PortBinding| taken.contains(&key(port, binding));
        let (out, rest): (Vec<_>, Vec<_>) = list.iter().flatten().cloned().partition(is_taken);
        left.insert(port.clone(), (!rest.is_empty()).then_some(rest));
        if !out.is_empty() {
            gone.insert(port.clone(), Some(out));
        }
    }
    (left, gone)
}

/// A port of the host: protocol, address, number.
type Key = (String, String, String);

fn key(port: &str, binding: &corten_api::container::PortBinding) -> Key {
    let protocol = port.split_once('/').map_or("tcp", |(_, protocol)| protocol);
    (protocol.to_owned(), binding.host_ip.clone(), binding.host_port.clone())
}

fn keys<'a>(
    port: &'a str,
    list: &'a Option<Vec<corten_api::container::PortBinding>>,
) -> impl Iterator<Item = Key> + 'a {
    let bound = list.iter().flatten().filter(|binding| !binding.host_port.is_empty());
    bound.map(move |binding| key(port, binding))
}
