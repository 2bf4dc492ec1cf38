//! Published ports as map elements.
//!
//! Three maps a family, looked up in this order: one host address and port; any host address and
//! a port; and a range of ports that keep their numbers, on one or any address. The first two are
//! hash tables; the last is an interval set, in which a range of thousands is one element.

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
}

impl MapName {
    pub(crate) const ALL: [Self; 6] = [
        Self::Addressed4,
        Self::Any4,
        Self::Range4,
        Self::Addressed6,
        Self::Any6,
        Self::Range6,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Addressed4 => "addressed4",
            Self::Any4 => "any4",
            Self::Range4 => "range4",
            Self::Addressed6 => "addressed6",
            Self::Any6 => "any6",
            Self::Range6 => "range6",
        }
    }

    pub(crate) fn is_ipv4(self) -> bool {
        match self {
            Self::Addressed4 | Self::Any4 | Self::Range4 => true,
            Self::Addressed6 | Self::Any6 | Self::Range6 => false,
        }
    }

    /// Returns whether the key has the host's address.
    pub(crate) fn has_address(self) -> bool {
        match self {
            Self::Any4 | Self::Any6 => false,
            Self::Addressed4 | Self::Range4 | Self::Addressed6 | Self::Range6 => true,
        }
    }

    /// Returns whether keys are intervals and ports keep their numbers.
    pub(crate) fn is_range(self) -> bool {
        match self {
            Self::Range4 | Self::Range6 => true,
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
        let ends: Vec<_> = (65500..=65535).map(|port| binding("0.0.0.0", port, port)).collect();
        check(&ends, &[(MapName::Range4, 65500, 65535)]);
    }
}
