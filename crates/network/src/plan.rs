//! What the engine asks for: bridges, endpoints and published ports as plain values.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::{Error, GatewayMode, Kind, Medium, Policy, Result};

/// Kinds of network.
///
/// `Host` and `None` need nothing from this crate (the runtime makes the empty namespace and brings
/// `lo` up); what the others need is their [`Medium`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of ours with address translation.
    Bridge,
    /// The host's own namespace.
    Host,
    /// A namespace with `lo` alone.
    #[serde(rename = "null")]
    None,
    /// Links of their own on a link of the host.
    Macvlan,
    /// Addresses of their own on a link of the host.
    Ipvlan,
}

impl FromStr for Driver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bridge" => Ok(Self::Bridge),
            "host" => Ok(Self::Host),
            "null" => Ok(Self::None),
            "macvlan" => Ok(Self::Macvlan),
            "ipvlan" => Ok(Self::Ipvlan),
            other => Err(Error::new(Kind::NotFound, format!("plugin \"{other}\" not found"))),
        }
    }
}

/// Whether containers on one bridge may talk to each other directly (Docker's `enable_icc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Neighbours {
    /// They may.
    Open,
    /// They may not, except by published ports (the bridge's ports are isolated).
    Isolated,
}

/// Whether traffic leaves a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Containers reach the outside with the host's address (Docker's `enable_ip_masquerade`).
    Masqueraded,
    /// Containers reach the outside with their own address.
    Routed,
    /// Nothing is forwarded in or out (Docker's `--internal`).
    Internal,
}

/// A network's link as it shall be: a bridge or, by its medium, what stands in a bridge's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgePlan {
    /// Interface name, at most 15 bytes, e.g. `corten0` or `br-0123456789ab`; for other media a
    /// name that endpoints are attached by, without a link of that name.
    pub name: String,
    /// The gateway's own address with the subnet's prefix length, e.g. `172.17.0.1/16`.
    pub ipv4: Vec<Ipv4Net>,
    /// The same for IPv6; empty when the network has none.
    pub ipv6: Vec<Ipv6Net>,
    /// Largest packet; 1500 by default in Docker.
    pub mtu: u32,
    /// Whether traffic leaves, and with which source address.
    pub reach: Reach,
    /// Whether containers see each other.
    pub neighbours: Neighbours,
    /// What carries the frames.
    #[serde(default)]
    pub medium: Medium,
    /// What is let through.
    #[serde(default)]
    pub policy: Policy,
}

impl BridgePlan {
    /// A bridge of Docker's defaults, without addresses yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            mtu: 1500,
            reach: Reach::Masqueraded,
            neighbours: Neighbours::Open,
            medium: Medium::Bridge,
            policy: Policy::default(),
        }
    }

    /// The addresses that the bridge itself gets.
    pub(crate) fn own_addresses(&self) -> impl Iterator<Item = IpNet> + '_ {
        let has4 = !self.policy.no_address4 && self.policy.gateway4 != GatewayMode::Isolated;
        let has6 = self.policy.gateway6 != GatewayMode::Isolated;
        let v4 = self.ipv4.iter().filter(move |_| has4).map(|net| IpNet::V4(*net));
        v4.chain(self.ipv6.iter().filter(move |_| has6).map(|net| IpNet::V6(*net)))
    }
}

/// An interface of a container as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPlan {
    /// Name inside the container, `eth0` for the first.
    pub ifname: String,
    /// Address with the subnet's prefix length.
    pub ipv4: Option<Ipv4Net>,
    /// IPv6 address with the subnet's prefix length; without one IPv6 is off on the interface.
    pub ipv6: Option<Ipv6Net>,
    /// Further addresses, for the link alone.
    pub link_local: Vec<IpNet>,
    /// Default route by IPv4; `None` on internal networks and for all but the first network.
    pub gateway4: Option<Ipv4Addr>,
    /// Default route by IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// Link address; [`MacAddress::for_ipv4`] when the user asks for none.
    pub mac: MacAddress,
    /// Largest packet, as the bridge's.
    pub mtu: u32,
    /// Kernel settings of the interface in the container's namespace, the last to be made.
    pub settings: Vec<LinkSetting>,
}

/// A kernel setting of one interface (`Documentation/networking/ip-sysctl.rst`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSetting {
    /// The part of the kernel: `ipv4`, `ipv6` or `mpls`.
    pub family: String,
    /// The kind of settings: `conf` or `neigh`.
    pub kind: String,
    /// What is set, as `log_martians`.
    pub name: String,
    /// The value.
    pub value: String,
}

/// What one container may do to another on a bridge that keeps neighbours apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighbourLink {
    /// The bridge.
    pub bridge: String,
    /// Who may.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// By which protocol.
    pub protocol: Protocol,
    /// At which port of the other.
    pub port: u16,
}

/// A container's link to a bridge, as made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The veth's end in the host's namespace; keep it in the endpoint's record. Empty where the
    /// container's end is all there is (`macvlan`, `ipvlan`).
    pub host_ifname: String,
    /// The end in the container.
    pub ifname: String,
    /// The container's link address.
    pub mac: MacAddress,
}

/// A fresh namespace with its first link.
#[derive(Debug)]
pub struct Endpoint {
    /// The network namespace; hand it to the runtime and close it: the namespace then lives as
    /// long as the container's processes, and the kernel reaps the link with it.
    pub netns: OwnedFd,
    /// The link in it.
    pub link: Link,
}

/// A link address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Makes Docker's classic address `02:42` followed by the IPv4 address: stable when a container
    /// gets its address again, so that neighbours' caches stay right.
    pub fn for_ipv4(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// Makes `02:42` followed by the last four bytes of an IPv6 address, for networks without IPv4.
    pub fn for_ipv6(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        Self([0x02, 0x42, octets[12], octets[13], octets[14], octets[15]])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::new(Kind::Invalid, format!("{text} is not a valid mac address"));
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

/// Transport protocols whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Returns the IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            other => Err(Error::new(Kind::Invalid, format!("Invalid proto: {other}"))),
        }
    }
}

/// One published port: what arrives at the host's address and port goes to the container's.
///
/// Host port 0 means that nothing is translated: the container's port is open to who can route to
/// its address (see [`GatewayMode::Routed`]).
///
/// Address translation keeps the version of IP, and reaches nothing that comes from `::1`: bindings
/// of an IPv6 address to an IPv4 one, and to `::1`, work by a relay alone, which is not in this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortBinding {
    /// Transport.
    pub protocol: Protocol,
    /// The host's address; unspecified (`0.0.0.0`, `::`) means every address of the host,
    /// loopback included.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's address.
    pub container_ip: IpAddr,
    /// The container's port.
    pub container_port: u16,
}

impl PortBinding {
    /// Returns whether address translation cannot do it.
    pub fn is_relayed_only(&self) -> bool {
        let crosses = self.host_ip.is_ipv4() != self.container_ip.is_ipv4();
        crosses || (self.host_ip.is_ipv6() && self.host_ip.is_loopback())
    }
}

/// The ports one container publishes, as kept in the engine's record and given back to
/// [`Fabric::restore`](crate::Fabric::restore).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedState {
    /// Who publishes: a container's or endpoint's id.
    pub owner: String,
    /// What is published.
    pub bindings: Vec<PortBinding>,
}

/// Which host port a binding may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPorts {
    /// The next free one of the kernel's ephemeral range (`net.ipv4.ip_local_port_range`,
    /// 32768–60999 by default), in sequence.
    Any,
    /// This one.
    One(u16),
    /// The first free one of an inclusive range.
    Range(u16, u16),
}

/// A host port wanted for one container port, on one or several host addresses at once
/// (`0.0.0.0` and `::` together get the same port number).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// Transport.
    pub protocol: Protocol,
    /// Host addresses to reserve, all or none.
    pub host_ips: Vec<IpAddr>,
    /// Acceptable ports.
    pub ports: HostPorts,
    /// The container's address, for messages.
    pub container_ip: IpAddr,
    /// The container's port, for messages.
    pub container_port: u16,
    /// Whether one socket may hold the port at all addresses of IPv4 and of IPv6: for those who serve
    /// it for IPv6 alone, and don't mind to serve IPv4 as well where no rule translates.
    pub one_socket: bool,
}

/// A reserved host port.
#[derive(Debug)]
pub struct Reserved {
    /// The port, the same on every address asked for.
    pub port: u16,
    /// Bound sockets that keep the port from other processes, one for each address in their order, or
    /// [one for all](PortRequest::one_socket); they don't block. They are to be held
    /// as long as the port is published: give them to the container's shim and close them here.
    pub sockets: Vec<OwnedFd>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_read_and_print() {
        let mac = MacAddress::for_ipv4(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02:42:AC-11:00:02".parse::<MacAddress>().unwrap(), mac);
        for bad in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
            "0g:42:ac:11:00:02",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_drivers_are_missing_plugins() {
        let error = "nosuch".parse::<Driver>().unwrap_err();
        assert_eq!(error.to_string(), "plugin \"nosuch\" not found");
    }
}
