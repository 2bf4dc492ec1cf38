//! Published ports as map elements.
//!
//! Three maps a family, looked up in this order: one host address and port; any host address and
//! a port; and a range of ports that keep their numbers, on one or any address. The first two are
//! hash tables; the last is an interval set, in which a range of thousands is one element. A set a
//! family has the ports that are open at containers' own addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{PortBinding, Protocol};

/// Ranges shorter than this are single elements: hash tables are quicker to change and to search.
const SHORTEST_RANGE: u16 = 16;

/// A map of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MapName {
    /// One IPv4 address and port of the host.
    Addressed4,
    /// A port on any IPv4 address of the host.
    Any4,
    /// A range of ports on one or any IPv4 address.
    Range4,
    /// One IPv6 address and port of the host.
    Addressed6,
    /// A port on any IPv6 address of the host.
    Any6,
    /// A range of ports on one or any IPv6 address.
    Range6,
    /// Containers' IPv4 addresses and ports that may be reached without translation.
    Open4,
    /// Containers' IPv6 addresses and ports that may be reached without translation.
    Open6,
}

impl MapName {
    pub(crate) const ALL: [Self; 8] = [
        Self::Addressed4,
        Self::Any4,
        Self::Range4,
        Self::Addressed6,
        Self::Any6,
        Self::Range6,
        Self::Open4,
        Self::Open6,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Addressed4 => "addressed4",
            Self::Any4 => "any4",
            Self::Range4 => "range4",
            Self::Addressed6 => "addressed6",
            Self::Any6 => "any6",
            Self::Range6 => "range6",
            Self::Open4 => "open4",
            Self::Open6 => "open6",
        }
    }

    pub(crate) fn is_ipv4(self) -> bool {
        match self {
            Self::Addressed4 | Self::Any4 | Self::Range4 | Self::Open4 => true,
            Self::Addressed6 | Self::Any6 | Self::Range6 | Self::Open6 => false,
        }
    }

    /// Returns whether it is a set: keys without anything they lead to.
    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::Open4 | Self::Open6)
    }

    /// Returns whether the key has the host's address.
    pub(crate) fn has_address(self) -> bool {
        !matches!(self, Self::Any4 | Self::Any6)
    }

    /// Returns whether keys are intervals and ports keep their numbers.
    pub(crate) fn is_range(self) -> bool {
        match self {
            Self::Range4 | Self::Range6 | Self::Open4 | Self::Open6 => true,
            Self::Addressed4 | Self::Any4 | Self::Addressed6 | Self::Any6 => false,
        }
    }
}

/// An entry: packets of the protocol to the host's addresses and ports go to the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    pub(crate) protocol: Protocol,
    /// First and last host address; unspecified where the key has none.
    pub(crate) host: (IpAddr, IpAddr),
    /// First and last host port.
    pub(crate) ports: (u16, u16),
    pub(crate) container: IpAddr,
    /// The container's port; ranges keep the host's.
    pub(crate) container_port: Option<u16>,
}

/// Turns bindings into elements, those that continue each other into ranges.
pub(crate) fn elements(bindings: &[PortBinding]) -> Vec<(MapName, Element)> {
    let mut sorted = bindings.to_vec();
    sorted.retain(|binding| binding.host_port != 0);
    sorted.sort_by_key(|binding| {
        (
            binding.protocol,
            binding.host_ip,
            binding.container_ip,
            binding.host_port,
        )
    });
    sorted.dedup();
    let mut found = Vec::new();
    for run in sorted.chunk_by(continues) {
        let [first, .., last] = run else {
            found.extend(run.iter().map(single));
            continue;
        };
        if last.host_port - first.host_port + 1 >= SHORTEST_RANGE {
            found.push(range(first, last.host_port));
        } else {
            found.extend(run.iter().map(single));
        }
    }
    found
}

/// Turns bindings into the set of ports open at containers' own addresses, for those containers that
/// have such ports.
pub(crate) fn openings(bindings: &[PortBinding], is_open: impl Fn(IpAddr) -> bool) -> Vec<(MapName, Element)> {
    let mut ports: Vec<_> = bindings
        .iter()
        .filter(|binding| is_open(binding.container_ip))
        .map(|binding| (binding.protocol, binding.container_ip, binding.container_port))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let follows = |a: &(Protocol, IpAddr, u16), b: &(Protocol, IpAddr, u16)| {
        (a.0, a.1, a.2.checked_add(1)) == (b.0, b.1, Some(b.2))
    };
    let runs = ports.chunk_by(follows);
    runs.filter_map(|run| Some((run.first()?, run.last()?)))
        .map(|((protocol, address, first), (_, _, last))| {
            let map = if address.is_ipv4() {
                MapName::Open4
            } else {
                MapName::Open6
            };
            let element = Element {
                protocol: *protocol,
                host: (*address, *address),
                ports: (*first, *last),
                container: *address,
                container_port: None,
            };
            (map, element)
        })
        .collect()
}

fn continues(a: &PortBinding, b: &PortBinding) -> bool {
    let keeps = |binding: &PortBinding| binding.host_port == binding.container_port;
    (a.protocol, a.host_ip, a.container_ip) == (b.protocol, b.host_ip, b.container_ip)
        && a.host_port.checked_add(1) == Some(b.host_port)
        && keeps(a)
        && keeps(b)
}

fn single(binding: &PortBinding) -> (MapName, Element) {
    let map = match (binding.host_ip.is_ipv4(), binding.host_ip.is_unspecified()) {
        (true, true) => MapName::Any4,
        (true, false) => MapName::Addressed4,
        (false, true) => MapName::Any6,
        (false, false) => MapName::Addressed6,
    };
    let element = Element {
        protocol: binding.protocol,
        host: (binding.host_ip, binding.host_ip),
        ports: (binding.host_port, binding.host_port),
        container: binding.container_ip,
        container_port: Some(binding.container_port),
    };
    (map, element)
}

fn range(first: &PortBinding, last: u16) -> (MapName, Element) {
    let (map, everything) = match first.host_ip {
        IpAddr::V4(_) => (MapName::Range4, IpAddr::V4(Ipv4Addr::BROADCAST)),
        IpAddr::V6(_) => (MapName::Range6, IpAddr::V6(Ipv6Addr::from_bits(u128::MAX))),
    };
    let end = if first.host_ip.is_unspecified() {
        everything
    } else {
        first.host_ip
    };
    let element = Element {
        protocol: first.protocol,
        host: (first.host_ip, end),
        ports: (first.host_port, last),
        container: first.container_ip,
        container_port: None,
    };
    (map, element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host: &str, host_port: u16, container_port: u16) -> PortBinding {
        let host_ip: IpAddr = host.parse().unwrap();
        let container = if host_ip.is_ipv4() { "172.17.0.2" } else { "fd00::2" };
        PortBinding {
            protocol: Protocol::Tcp,
            host_ip,
            host_port,
            container_ip: container.parse().unwrap(),
            container_port,
        }
    }

    fn check(bindings: &[PortBinding], expected: &[(MapName, u16, u16)]) {
        let found: Vec<_> = elements(bindings)
            .into_iter()
            .map(|(map, element)| (map, element.ports.0, element.ports.1))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn bindings_become_elements_and_ranges() {
        check(&[binding("0.0.0.0", 80, 80)], &[(MapName::Any4, 80, 80)]);
        check(&[binding("::", 80, 80)], &[(MapName::Any6, 80, 80)]);
        check(&[binding("127.0.0.1", 80, 8080)], &[(MapName::Addressed4, 80, 80)]);
        let long: Vec<_> = (8000..=8100).map(|port| binding("0.0.0.0", port, port)).collect();
        check(&long, &[(MapName::Range4, 8000, 8100)]);
        let shifted: Vec<_> = (1..40).map(|port| binding("::1", port, port + 1)).collect();
        assert!(elements(&shifted).iter().all(|(map, _)| *map == MapName::Addressed6));
        let mut holed = long;
        holed.remove(50);
        check(&holed, &[(MapName::Range4, 8000, 8049), (MapName::Range4, 8051, 8100)]);
        check(&[binding("0.0.0.0", 0, 80)], &[]);
        let ends: Vec<_> = (65500..=65535).map(|port| binding("0.0.0.0", port, port)).collect();
        check(&ends, &[(MapName::Range4, 65500, 65535)]);
    }

    #[test]
    fn open_ports_are_the_containers() {
        let all = [
            binding("0.0.0.0", 8080, 80),
            binding("0.0.0.0", 0, 81),
            binding("::", 0, 80),
        ];
        let found = openings(&all, |address| address.is_ipv4());
        let seen: Vec<_> = found.iter().map(|(map, one)| (*map, one.ports)).collect();
        assert_eq!(seen, [(MapName::Open4, (80, 81))]);
    }
}
