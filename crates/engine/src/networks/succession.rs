//! Ports and names that pass from one running container to another: from a leader to its stand-by.
//!
//! A stand-by publishes no port and answers to no name that its leader has. When it takes over, the ports
//! change hands in one transaction of the firewall, and the two change roles.

use corten_network::{HostPorts, PortBinding, PortRequest};
use corten_shim::protocol::HeldPort;

use super::{
    Hold, Networks, PortMap, State,
    ports::{self, Ends, Wanted},
    record::Attachment,
    relays,
};
use crate::error::Result;

/// A container and what it publishes.
#[derive(Debug, Clone, Copy)]
pub struct Publisher<'a> {
    /// Its id.
    pub container_id: &'a str,
    /// Ports as published.
    pub ports: &'a PortMap,
}

/// What came of publishing.
#[derive(Debug, Default)]
pub struct Published {
    /// Ports as published.
    pub ports: PortMap,
    /// What keeps them.
    pub hold: Hold,
    /// Ports that wait, for the leader has them.
    pub withheld: PortMap,
}

/// What the two containers have after a take-over.
#[derive(Debug, Default)]
pub struct TakenOver {
    /// Ports as published by the one that stood by.
    pub ports: PortMap,
    /// Ports as published by the other.
    pub left: PortMap,
    /// Ports with which the other stands by now.
    pub withheld: PortMap,
    /// What keeps ports that nobody had.
    pub hold: Hold,
}

impl Networks {
    /// Notes that a container stands by for another, from before its first network on.
    pub fn stand_by(&self, container_id: &str, leader: &str) {
        let mut state = self.state();
        state.standbys.insert(container_id.to_owned(), leader.to_owned());
    }

    /// Whether a container is known to stand by for none.
    pub fn leads(&self, container_id: &str) -> bool {
        !self.state().standbys.contains_key(container_id)
    }

    /// The container that stands by for another.
    pub fn standby_of(&self, leader: &str) -> Option<String> {
        let state = self.state();
        let found = state.standbys.iter().find(|(_, other)| *other == leader);
        found.map(|(standby, _)| standby.clone())
    }

    /// Gives the stand-by its ports and names: those that the leader has in one step, and the others as
    /// when a container starts. The two have changed roles then.
    ///
    /// # Errors
    /// `Conflict` for ports that a third one has; what the kernel refuses. Nothing has changed then.
    pub fn take_over(
        &self,
        standby: Publisher<'_>,
        leader: Option<Publisher<'_>>,
        withheld: &PortMap,
    ) -> Result<TakenOver> {
        let fabric = self.fabric()?;
        let ends = self.ends_of(standby.container_id)?;
        let mut moved: Vec<PortBinding> = Vec::new();
        let mut taken = TakenOver {
            ports: standby.ports.clone(),
            ..TakenOver::default()
        };
        let mut all = ports::published(standby.ports, ends);
        let mut rest = Vec::new();
        let theirs = leader.map(|leader| keys(leader.ports)).unwrap_or_default();
        for wish in ports::wanted(withheld, ends)? {
            match theirs.port_for(&wish) {
                Some(port) => {
                    let bindings = ports::bindings(&wish, port, ends);
                    show(&mut taken.ports, &wish.port, &bindings);
                    moved.extend(bindings);
                }
                None => rest.push(wish),
            }
        }
        let settings = &self.0.settings;
        let requests: Vec<PortRequest> = rest.iter().map(|wish| wish.request.clone()).collect();
        let reserved = fabric.reserve_all(standby.container_id, &requests)?;
        for (wish, reserved) in rest.iter().zip(reserved) {
            let bindings = ports::bindings(wish, reserved.port, ends);
            show(&mut taken.ports, &wish.port, &bindings);
            let relays = relays::plan(&bindings, reserved.sockets.len(), taken.hold.sockets.len(), settings);
            taken.hold.relays.extend(relays);
            taken.hold.sockets.extend(reserved.sockets);
            all.extend(bindings);
        }
        all.extend(moved.iter().copied());
        match leader {
            None => fabric.publish(standby.container_id, &all)?,
            Some(leader) => {
                (taken.left, taken.withheld) = split(leader.ports, &moved);
                let left = ports::published(&taken.left, self.ends_of(leader.container_id)?);
                fabric.publish_together(&[(leader.container_id, &left), (standby.container_id, &all)])?;
            }
        }
        self.exchange_names(standby.container_id, leader.map(|leader| leader.container_id));
        Ok(taken)
    }

    /// Takes ports from a restored container that another one has taken over, before the rules are written.
    pub fn disclaim(&self, container_id: &str, left: &PortMap) {
        let mut state = self.state();
        let ends = state.ends(container_id, self.0.settings.default_ip);
        let bindings = ports::published(left, ends);
        for published in &mut state.published {
            if published.owner == container_id {
                published.bindings.clone_from(&bindings);
            }
        }
    }

    fn ends_of(&self, container_id: &str) -> Result<Ends> {
        let settings = &self.0.settings;
        Ok(Ends {
            crosses: settings.relays && self.fabric()?.has_ipv6(),
            ..self.state().ends(container_id, settings.default_ip)
        })
    }

    fn exchange_names(&self, standby: &str, leader: Option<&str>) {
        let mut changed = Vec::new();
        {
            let mut state = self.state();
            state.standbys.remove(standby);
            if let Some(leader) = leader {
                state.standbys.insert(leader.to_owned(), standby.to_owned());
            }
            for (id, network) in &mut state.networks {
                let Some(attachment) = network.attachments.get_mut(standby) else {
                    continue;
                };
                attachment.names.append(&mut attachment.hidden);
                let names = attachment.names.clone();
                if let Some(leader) = leader.and_then(|leader| network.attachments.get_mut(leader)) {
                    hide(leader, &names);
                }
                changed.push(id.clone());
            }
        }
        changed.iter().for_each(|id| self.write_zone(id));
    }
}

impl State {
    /// Hides names of stand-bys that their leaders have: of one, or of all.
    pub(super) fn hide_names(&mut self, only: Option<&str>) {
        for (standby, leader) in &self.standbys {
            if only.is_some_and(|only| only != standby) {
                continue;
            }
            for network in self.networks.values_mut() {
                let Some(names) = network.attachments.get(leader).map(|leader| leader.names.clone()) else {
                    continue;
                };
                if let Some(attachment) = network.attachments.get_mut(standby) {
                    hide(attachment, &names);
                }
            }
        }
    }
}

/// Hides names that another one answers to; a container's own name, the first, stays.
fn hide(attachment: &mut Attachment, others: &[String]) {
    let rest = attachment.names.split_off(attachment.names.len().min(1));
    let (hidden, kept): (Vec<_>, Vec<_>) = rest.into_iter().partition(|name| others.contains(name));
    attachment.names.extend(kept);
    attachment.hidden.extend(hidden);
}

/// Splits off what a leader has, so that its stand-by waits for that: the ports to publish now, and those
/// to publish later.
pub(super) fn withhold(wanted: Vec<Wanted>, leader: &PortMap) -> (Vec<Wanted>, PortMap) {
    let theirs = keys(leader);
    let mut later = PortMap::new();
    let mut now = Vec::new();
    for wish in wanted {
        let Some(port) = theirs.port_for(&wish) else {
            now.push(wish);
            continue;
        };
        let entry = later.entry(wish.port.clone()).or_default().get_or_insert_default();
        entry.extend(
            wish.request
                .host_ips
                .iter()
                .map(|host| corten_api::container::PortBinding {
                    host_ip: host.to_string(),
                    host_port: port.to_string(),
                }),
        );
    }
    (now, later)
}

/// Whether a socket holds a port that is published.
pub fn holds(held: HeldPort, ports: &PortMap) -> bool {
    let mut all = keys(ports).0.into_iter();
    all.any(|key| {
        let same = key.host == held.host.ip() || (key.host.is_unspecified() && is_any6(held));
        same && key.host_port == held.host.port() && held.datagrams == (key.protocol == corten_network::Protocol::Udp)
    })
}

fn is_any6(held: HeldPort) -> bool {
    held.host.is_ipv6() && held.host.ip().is_unspecified()
}

/// A published port of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    protocol: corten_network::Protocol,
    host: std::net::IpAddr,
    host_port: u16,
    container_port: u16,
}

#[derive(Default)]
struct Keys(Vec<Key>);

fn keys(ports: &PortMap) -> Keys {
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let Ok((container_port, protocol)) = ports::parse_port(port) else {
            continue;
        };
        for binding in bindings.iter().flatten() {
            if let (Ok(host), Ok(host_port)) = (binding.host_ip.parse(), binding.host_port.parse()) {
                all.push(Key {
                    protocol,
                    host,
                    host_port,
                    container_port,
                });
            }
        }
    }
    Keys(all)
}

impl Keys {
    /// The port that they have of those that are wished for, at all addresses wished for.
    fn port_for(&self, wish: &Wanted) -> Option<u16> {
        let request = &wish.request;
        let has = |host, port| {
            let mut ours = self.0.iter();
            ours.any(|key| (key.protocol, key.host, key.host_port) == (request.protocol, host, port))
        };
        let whole = |port| !request.host_ips.is_empty() && request.host_ips.iter().all(|host| has(*host, port));
        match request.ports {
            HostPorts::One(port) => Some(port).filter(|port| whole(*port)),
            HostPorts::Range(first, last) => {
                let same = self.0.iter().filter(|key| key.container_port == request.container_port);
                let ports = same.map(|key| key.host_port);
                ports
                    .filter(|port| (first..=last).contains(port))
                    .find(|port| whole(*port))
            }
            HostPorts::Any => None,
        }
    }
}

fn show(shown: &mut PortMap, port: &str, bindings: &[PortBinding]) {
    let entry = shown.entry(port.to_owned()).or_default().get_or_insert_default();
    entry.extend(bindings.iter().map(ports::show));
}

/// What is left of published ports without some, and those.
fn split(ports: &PortMap, without: &[PortBinding]) -> (PortMap, PortMap) {
    let (mut left, mut gone) = (PortMap::new(), PortMap::new());
    for (port, bindings) in ports {
        let protocol = ports::parse_port(port).map(|(_, protocol)| protocol).ok();
        let is_gone = |shown: &corten_api::container::PortBinding| {
            without.iter().any(|binding| {
                Some(binding.protocol) == protocol
                    && binding.host_ip.to_string() == shown.host_ip
                    && binding.host_port.to_string() == shown.host_port
            })
        };
        let (out, rest): (Vec<_>, Vec<_>) = bindings.iter().flatten().cloned().partition(is_gone);
        left.insert(port.clone(), (!rest.is_empty()).then_some(rest));
        if !out.is_empty() {
            gone.insert(port.clone(), Some(out));
        }
    }
    (left, gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(list: &[(&str, &[(&str, &str)])]) -> PortMap {
        let shown = |(ip, port): &(&str, &str)| corten_api::container::PortBinding {
            host_ip: (*ip).to_owned(),
            host_port: (*port).to_owned(),
        };
        list.iter()
            .map(|(port, all)| ((*port).to_owned(), Some(all.iter().map(shown).collect())))
            .collect()
    }

    fn ends() -> Ends {
        Ends {
            v4: Some([172, 17, 0, 3].into()),
            crosses: true,
            ..Ends::none([0, 0, 0, 0].into())
        }
    }

    #[test]
    fn what_the_leader_has_waits() {
        let leader = map(&[
            ("80/tcp", &[("0.0.0.0", "8080"), ("::", "8080"), ("127.0.0.1", "9001")]),
            ("53/udp", &[("0.0.0.0", "53")]),
        ]);
        let wishes = map(&[
            ("80/tcp", &[("", "8080"), ("127.0.0.1", "9000-9003"), ("", "8081")]),
            ("90/tcp", &[("127.0.0.1", "53"), ("", "")]),
        ]);
        let (now, later) = withhold(ports::wanted(&wishes, ends()).unwrap(), &leader);
        let now: Vec<_> = now.iter().map(|wish| wish.request.ports).collect();
        assert_eq!(now, [HostPorts::One(8081), HostPorts::One(53), HostPorts::Any]);
        let expected = map(&[("80/tcp", &[("0.0.0.0", "8080"), ("::", "8080"), ("127.0.0.1", "9001")])]);
        assert_eq!(later, expected);
    }

    #[test]
    fn what_passes_on_is_split_off() {
        let leader = map(&[("80/tcp", &[("0.0.0.0", "8080"), ("0.0.0.0", "32768")])]);
        let wishes = ports::wanted(&map(&[("81/tcp", &[("0.0.0.0", "8080")])]), ends()).unwrap();
        let moved = ports::bindings(&wishes[0], 8080, ends());
        let (left, gone) = split(&leader, &moved);
        assert_eq!(left, map(&[("80/tcp", &[("0.0.0.0", "32768")])]));
        assert_eq!(gone, map(&[("80/tcp", &[("0.0.0.0", "8080")])]));
    }

    #[test]
    fn one_socket_holds_a_port_of_both_versions() {
        let held = |host: &str, datagrams| HeldPort {
            host: host.parse().unwrap(),
            datagrams,
        };
        let ports = map(&[("80/tcp", &[("0.0.0.0", "8080")])]);
        assert!(holds(held("[::]:8080", false), &ports) && holds(held("0.0.0.0:8080", false), &ports));
        assert!(!holds(held("[::]:8080", true), &ports) && !holds(held("127.0.0.1:8080", false), &ports));
    }

    #[test]
    fn names_of_the_leader_are_hidden() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut attachment = Attachment {
            names: names(&["new-web-1", "web-1", "web", "abc"]),
            ..Attachment::default()
        };
        hide(&mut attachment, &names(&["web-1", "web", "def"]));
        assert_eq!(attachment.names, names(&["new-web-1", "abc"]));
        assert_eq!(attachment.hidden, names(&["web-1", "web"]));
    }
}
