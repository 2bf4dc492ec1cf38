//! What a network is beyond addresses: what carries its frames, and what its gateway lets through.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Result};

/// What a bridge does with packets from outside that are addressed to its containers (Docker's
/// `com.docker.network.bridge.gateway_mode_ipv4` and `…_ipv6`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// Only what comes by published ports of the host is let in.
    #[default]
    Nat,
    /// Published ports are translated, and everything that is routed here is let in.
    NatUnprotected,
    /// Nothing is translated: published ports are open at the containers' own addresses.
    Routed,
    /// The bridge has no address: not even the host reaches the containers.
    Isolated,
}

impl FromStr for GatewayMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nat" => Ok(Self::Nat),
            "nat-unprotected" => Ok(Self::NatUnprotected),
            "routed" => Ok(Self::Routed),
            "isolated" => Ok(Self::Isolated),
            other => Err(Error::new(Kind::Invalid, format!("unknown gateway mode {other}"))),
        }
    }
}

/// What a network lets through, and with which addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// What is let in by IPv4.
    pub gateway4: GatewayMode,
    /// What is let in by IPv6.
    pub gateway6: GatewayMode,
    /// Interfaces from which published ports are open at the containers' own addresses too.
    pub trusted: Vec<String>,
    /// Whether they are open so from everywhere: what [`FabricConfig`](crate::FabricConfig) says.
    #[serde(skip)]
    pub(crate) direct: bool,
    /// The host's address for traffic that leaves; the outgoing interface's without.
    pub source4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub source6: Option<Ipv6Addr>,
    /// Whether the bridge gets no IPv4 address, though containers get them.
    pub no_address4: bool,
    /// Whether the link was there before the network and outlives it, with the addresses it had.
    pub adopted: bool,
}

impl Policy {
    /// Returns the mode of one family.
    pub fn gateway(&self, is_ipv4: bool) -> GatewayMode {
        if is_ipv4 { self.gateway4 } else { self.gateway6 }
    }

    /// Whether published ports may be open at containers' own addresses.
    pub(crate) fn opens_ports(&self, is_ipv4: bool) -> bool {
        self.direct || !self.trusted.is_empty() || self.gateway(is_ipv4) == GatewayMode::Routed
    }
}

/// What carries a network's frames.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Medium {
    /// A bridge of ours.
    #[default]
    Bridge,
    /// Links of their own on a link of the host (`macvlan`).
    Macvlan {
        /// The host's link, made if it is `name.vlan` or [`dummy`](Medium::dummy_name) and absent.
        parent: String,
        /// How frames pass between the links.
        mode: MacvlanMode,
    },
    /// Addresses of their own on a link of the host (`ipvlan`).
    Ipvlan {
        /// As for `macvlan`.
        parent: String,
        /// At which layer packets are told apart.
        mode: IpvlanMode,
        /// How packets pass between the links.
        flag: IpvlanFlag,
    },
}

impl Medium {
    /// The host's link beneath, unless it is a bridge.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Self::Bridge => None,
            Self::Macvlan { parent, .. } | Self::Ipvlan { parent, .. } => Some(parent),
        }
    }

    /// The name as in `network create --driver`.
    pub fn driver(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
        }
    }

    /// The name of the link to nowhere beneath a network without a parent: `dm-` or `di-` and the
    /// first twelve digits of the network's id.
    pub fn dummy_name(driver: &str, network_id: &str) -> String {
        let prefix = if driver == "ipvlan" { "di-" } else { "dm-" };
        format!("{prefix}{}", network_id.get(..12).unwrap_or(network_id))
    }

    /// Whether links have link addresses of their own.
    pub(crate) fn has_own_mac(&self) -> bool {
        !matches!(self, Self::Ipvlan { .. })
    }

    /// Whether containers send everything to the link, without a gateway.
    pub fn is_routed_by_link(&self) -> bool {
        matches!(self, Self::Ipvlan { mode, .. } if *mode != IpvlanMode::L2)
    }
}

/// `MACVLAN_MODE_*` of `linux/if_link.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Links reach each other and the outside.
    #[default]
    Bridge,
    /// Links reach the outside alone.
    Private,
    /// Links reach each other by way of a switch outside that sends frames back.
    Vepa,
    /// One link has the parent for itself.
    Passthru,
}

impl MacvlanMode {
    /// The kernel's number.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Private => 1,
            Self::Vepa => 2,
            Self::Bridge => 4,
            Self::Passthru => 8,
        }
    }
}

/// `IPVLAN_MODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// By the address, within a network segment.
    #[default]
    L2,
    /// By the host's routes; no broadcasts.
    L3,
    /// As `L3`, passing the host's firewall and connection tracking.
    L3s,
}

impl IpvlanMode {
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::L2 => 0,
            Self::L3 => 1,
            Self::L3s => 2,
        }
    }
}

/// `IPVLAN_F_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanFlag {
    /// Links reach each other.
    #[default]
    Bridge,
    /// They do not.
    Private,
    /// They do by way of a switch outside.
    Vepa,
}

impl IpvlanFlag {
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Bridge => 0,
            Self::Private => 1,
            Self::Vepa => 2,
        }
    }
}

/// Reads a word by a table; an empty one means the default.
fn word<T: Default + Copy>(text: &str, table: &[(&str, T)]) -> Option<T> {
    if text.is_empty() {
        return Some(T::default());
    }
    table.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

impl FromStr for MacvlanMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let table = [
            ("bridge", Self::Bridge),
            ("private", Self::Private),
            ("vepa", Self::Vepa),
            ("passthru", Self::Passthru),
        ];
        word(text, &table).ok_or_else(|| unknown("macvlan mode", text, "'bridge' mode is the macvlan"))
    }
}

impl FromStr for IpvlanMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let table = [("l2", Self::L2), ("l3", Self::L3), ("l3s", Self::L3s)];
        word(text, &table).ok_or_else(|| unknown("ipvlan mode", text, "'l2' mode is the ipvlan"))
    }
}

impl FromStr for IpvlanFlag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let table = [
            ("bridge", Self::Bridge),
            ("private", Self::Private),
            ("vepa", Self::Vepa),
        ];
        word(text, &table).ok_or_else(|| unknown("ipvlan flag", text, "'bridge' is the ipvlan"))
    }
}

fn unknown(what: &str, text: &str, default: impl fmt::Display) -> Error {
    let message = format!("requested {what} '{text}' is not valid, {default} driver default");
    Error::new(Kind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_docker_does() {
        assert_eq!("".parse::<MacvlanMode>().unwrap(), MacvlanMode::Bridge);
        assert_eq!("l3s".parse::<IpvlanMode>().unwrap(), IpvlanMode::L3s);
        let message = |error: Error| error.to_string();
        assert_eq!(
            message("x".parse::<MacvlanMode>().unwrap_err()),
            "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"
        );
        assert_eq!(
            message("x".parse::<IpvlanFlag>().unwrap_err()),
            "requested ipvlan flag 'x' is not valid, 'bridge' is the ipvlan driver default"
        );
        assert_eq!(
            message("nat4".parse::<GatewayMode>().unwrap_err()),
            "unknown gateway mode nat4"
        );
    }

    #[test]
    fn records_without_a_policy_are_read() {
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
        let text = serde_json::to_string(&Medium::Bridge).unwrap();
        assert_eq!(serde_json::from_str::<Medium>(&text).unwrap(), Medium::Bridge);
    }
}
