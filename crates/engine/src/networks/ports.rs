//! Published ports: from what the API calls them to what the firewall needs, and back.

use std::net::IpAddr;

use corten_api::container::PortBinding as Shown;
use corten_network::{HostPorts, PortBinding, PortRequest, Protocol};

use super::PortMap;
use crate::error::{Error, Result};

/// Addresses that a container's ports are published to, and the host's address if none is named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) v4: Option<IpAddr>,
    pub(super) v6: Option<IpAddr>,
    pub(super) host: IpAddr,
    /// Whether the ports are open at the IPv4 address itself, instead of being translated.
    pub(super) routed4: bool,
    /// The same for IPv6.
    pub(super) routed6: bool,
    /// Whether IPv6 ports of the host lead to the IPv4 address where there is no other.
    pub(super) crosses: bool,
}

impl Ends {
    /// No address to publish to.
    pub(super) fn none(host: IpAddr) -> Self {
        Self {
            v4: None,
            v6: None,
            host,
            routed4: false,
            routed6: false,
            crosses: false,
        }
    }

    /// Takes over the addresses of a family that has none yet.
    pub(super) fn add(&mut self, other: Self) {
        if self.v4.is_none() {
            (self.v4, self.routed4) = (other.v4, other.routed4);
        }
        if self.v6.is_none() {
            (self.v6, self.routed6) = (other.v6, other.routed6);
        }
    }

    fn is_routed(&self, container: IpAddr) -> bool {
        if container.is_ipv4() {
            self.routed4
        } else {
            self.routed6
        }
    }
}

/// One binding that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `80/tcp`.
    pub(super) port: String,
    /// For IPv4 and IPv6 alike, the same port; without host addresses where nothing is translated.
    pub(super) request: PortRequest,
    /// The container's addresses at which the port itself is open.
    routed: Vec<IpAddr>,
}

/// Plans the reservations: one for each binding.
///
/// Without a host address a port is published on all the host's IPv4 addresses, and on all its
/// IPv6 addresses when the container has one, or the IPv4 one stands for it. Where packets are routed, not translated, it is open at
/// the container's address, whatever address and port of the host was asked for.
pub(super) fn wanted(ports: &PortMap, ends: Ends) -> Result<Vec<Wanted>> {
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let (container_port, protocol) = parse_port(port)?;
        for binding in bindings.iter().flatten() {
            let mut host_ips = host_addresses(&binding.host_ip, ends)?;
            let ports = host_ports(&binding.host_port)?;
            let targets: Vec<_> = host_ips
                .iter()
                .filter_map(|host| container_address(*host, ends))
                .collect();
            let Some(container_ip) = targets.first().copied() else {
                continue;
            };
            host_ips.retain(|host| container_address(*host, ends).is_some_and(|address| !ends.is_routed(address)));
            let request = PortRequest {
                protocol,
                ports: if host_ips.is_empty() { HostPorts::One(0) } else { ports },
                host_ips,
                container_ip,
                container_port,
                one_socket: false,
            };
            all.push(Wanted {
                port: port.clone(),
                request,
                routed: targets.into_iter().filter(|address| ends.is_routed(*address)).collect(),
            });
        }
    }
    // Fixed ports first, so that one chosen freely is never in the way of one asked for.
    all.sort_by_key(|wanted| match wanted.request.ports {
        HostPorts::One(_) => 0,
        HostPorts::Range(..) => 1,
        HostPorts::Any => 2,
    });
    Ok(all)
}

/// What one reservation means for the firewall.
pub(super) fn bindings(wanted: &Wanted, host_port: u16, ends: Ends) -> Vec<PortBinding> {
    let request = &wanted.request;
    let bind = |host_ip: IpAddr, host_port: u16, container_ip: IpAddr| PortBinding {
        protocol: request.protocol,
        host_ip,
        host_port,
        container_ip,
        container_port: request.container_port,
    };
    let hosts = request.host_ips.iter();
    let translated = hosts.filter_map(|host| Some(bind(*host, host_port, container_address(*host, ends)?)));
    let routed = wanted
        .routed
        .iter()
        .map(|address| bind(any_like(*address), 0, *address));
    translated.chain(routed).collect()
}

/// The unspecified address of the same version.
fn any_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0_u16; 8]),
    }
}

/// A binding as `NetworkSettings.Ports` shows it.
pub(super) fn show(binding: &PortBinding) -> Shown {
    Shown {
        host_ip: binding.host_ip.to_string(),
        host_port: match binding.host_port {
            0 => String::new(),
            port => port.to_string(),
        },
    }
}

/// Reads published ports back: what [`show`] wrote.
pub(super) fn published(ports: &PortMap, ends: Ends) -> Vec<PortBinding> {
    let ends = Ends { crosses: true, ..ends };
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let Ok((container_port, protocol)) = parse_port(port) else {
            continue;
        };
        for binding in bindings.iter().flatten() {
            let host_port = match binding.host_port.as_str() {
                "" => Ok(0),
                text => text.parse(),
            };
            let (Ok(host_ip), Ok(host_port)) = (binding.host_ip.parse(), host_port) else {
                continue;
            };
            let container_ip = container_address(host_ip, ends);
            all.extend(container_ip.map(|container_ip| PortBinding {
                protocol,
                host_ip,
                host_port,
                container_ip,
                container_port,
            }));
        }
    }
    all
}

/// Reads `80/tcp`.
pub(super) fn parse_port(text: &str) -> Result<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let port = port
        .parse()
        .map_err(|_| Error::invalid(format!("invalid port specification: \"{text}\"")))?;
    Ok((port, protocol.parse()?))
}

fn host_ports(text: &str) -> Result<HostPorts> {
    let bad = || Error::invalid(format!("invalid port specification: \"{text}\""));
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    match text.split_once('-') {
        None if text.is_empty() || text == "0" => Ok(HostPorts::Any),
        None => Ok(HostPorts::One(number(text)?)),
        Some((first, last)) => match (number(first)?, number(last)?) {
            (first, last) if first == last => Ok(HostPorts::One(first)),
            (first, last) if first < last => Ok(HostPorts::Range(first, last)),
            _ => Err(bad()),
        },
    }
}

fn host_addresses(text: &str, ends: Ends) -> Result<Vec<IpAddr>> {
    if !text.is_empty() {
        let bracketless = text.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = bracketless
            .parse()
            .map_err(|_| Error::invalid(format!("invalid IP address: {text}")))?;
        return Ok(vec![address]);
    }
    let mut all = Vec::new();
    if container_address(ends.host, ends).is_some() {
        all.push(ends.host);
    }
    let any6 = IpAddr::from([0_u16; 8]);
    if ends.host.is_unspecified() && ends.host.is_ipv4() && container_address(any6, ends).is_some() {
        all.push(any6);
    }
    Ok(all)
}

fn container_address(host: IpAddr, ends: Ends) -> Option<IpAddr> {
    match host {
        IpAddr::V4(_) => ends.v4,
        IpAddr::V6(_) => ends.v6.or(ends.v4.filter(|_| ends.crosses && !ends.routed4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(v6: bool) -> Ends {
        Ends {
            v4: Some(IpAddr::from([172, 17, 0, 2])),
            v6: v6.then(|| "fd00::2".parse().unwrap()),
            host: IpAddr::from([0, 0, 0, 0]),
            routed4: false,
            routed6: false,
            crosses: false,
        }
    }

    #[test]
    fn ipv6_ports_lead_to_containers_without() {
        let ends = Ends {
            crosses: true,
            ..ends(false)
        };
        let wanted = wanted(&map(&[("80/tcp", &[("", "8080"), ("::1", "8081")])]), ends).unwrap();
        let bound = bindings(&wanted[0], 8080, ends);
        let shown: Vec<_> = bound.iter().map(|binding| show(binding).host_ip).collect();
        assert_eq!(shown, ["0.0.0.0", "::"]);
        assert!(bound[1].is_relayed_only() && bound[1].container_ip.is_ipv4());
        assert_eq!(wanted[1].request.host_ips.len(), 1);
    }

    #[test]
    fn routed_ports_are_open_at_the_container() {
        let ends = Ends {
            routed6: true,
            ..ends(true)
        };
        let ports = map(&[("80/tcp", &[("", "8080")])]);
        let wanted = wanted(&ports, ends).unwrap();
        assert_eq!(wanted[0].request.host_ips.len(), 1);
        let shown: Vec<_> = bindings(&wanted[0], 8080, ends).iter().map(show).collect();
        assert_eq!(
            (shown[0].host_ip.as_str(), shown[0].host_port.as_str()),
            ("0.0.0.0", "8080")
        );
        assert_eq!((shown[1].host_ip.as_str(), shown[1].host_port.as_str()), ("::", ""));
        let shown = PortMap::from([("80/tcp".to_owned(), Some(shown))]);
        assert_eq!(published(&shown, ends)[1].host_port, 0);
    }

    fn map(list: &[(&str, &[(&str, &str)])]) -> PortMap {
        let shown = |(ip, port): &(&str, &str)| Shown {
            host_ip: (*ip).to_owned(),
            host_port: (*port).to_owned(),
        };
        list.iter()
            .map(|(port, all)| ((*port).to_owned(), Some(all.iter().map(shown).collect())))
            .collect()
    }

    #[test]
    fn bindings_become_reservations() {
        let ports = map(&[
            ("53/udp", &[("127.0.0.1", "")]),
            ("80/tcp", &[("", "8080"), ("", "9000-9010")]),
        ]);
        let wanted = wanted(&ports, ends(false)).unwrap();
        let seen: Vec<_> = wanted.iter().map(|w| (w.port.as_str(), w.request.ports)).collect();
        assert_eq!(
            seen,
            [
                ("80/tcp", HostPorts::One(8080)),
                ("80/tcp", HostPorts::Range(9000, 9010)),
                ("53/udp", HostPorts::Any)
            ]
        );
        assert_eq!(wanted[0].request.host_ips, [IpAddr::from([0, 0, 0, 0])]);
        let bound = bindings(&wanted[0], 8080, ends(false));
        assert_eq!((bound.len(), show(&bound[0]).host_ip.as_str()), (1, "0.0.0.0"));
    }

    #[test]
    fn both_families_share_a_port() {
        let wanted = wanted(&map(&[("80/tcp", &[("", "")])]), ends(true)).unwrap();
        assert_eq!(wanted[0].request.host_ips.len(), 2);
        let bound = bindings(&wanted[0], 40000, ends(true));
        let shown: Vec<_> = bound.iter().map(|binding| show(binding).host_ip).collect();
        assert_eq!(shown, ["0.0.0.0", "::"]);
        assert!(bound[1].container_ip.is_ipv6());
    }

    #[test]
    fn published_ports_are_read_back() {
        let ports = map(&[("80/tcp", &[("0.0.0.0", "8080"), ("::", "8080")])]);
        assert_eq!(published(&ports, ends(true)).len(), 2);
        assert!(published(&ports, ends(false))[1].is_relayed_only());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(wanted(&map(&[("x/tcp", &[("", "1")])]), ends(false)).is_err());
        assert!(wanted(&map(&[("80/tcp", &[("", "2-1")])]), ends(false)).is_err());
        assert!(wanted(&map(&[("80/tcp", &[("nohost", "1")])]), ends(false)).is_err());
    }
}
