//! rtnetlink: links, addresses and routes (`rtnetlink(7)`, `linux/if_link.h`).
//!
//! Functions that change something append a message to a batch; functions that ask take a
//! connection.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;

use crate::netlink::{Attribute, Connection, Message, Messages, Reply, flags};
use crate::{Error, MacAddress, Medium, Result};

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE`, `IFLA_VLAN_ID`.
const FIRST_OPTION: u16 = 1;
const IPVLAN_FLAGS: u16 = 2;
const BRPORT_HAIRPIN: u16 = 4;
const BRPORT_ISOLATED: u16 = 33;
/// Unicast, multicast, broadcast.
const BRPORT_FLOODS: [u16; 3] = [9, 27, 30];
const INET6_ADDR_GEN_MODE: u16 = 8;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_TABLE: u16 = 15;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const TYPE_UNICAST: u8 = 1;

const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u8 = 10;
const UP: u32 = 1;

const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;

/// What the kernel says of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LinkState {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) master: Option<u32>,
    pub(crate) alias: String,
}

/// What to change of a link.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkChange<'a> {
    pub(crate) up: Option<bool>,
    pub(crate) mtu: Option<u32>,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) name: Option<&'a str>,
    pub(crate) master: Option<u32>,
    pub(crate) alias: Option<&'a str>,
}

/// Appends the creation of a bridge; the link address is fixed, or it would change with the ports
/// and leave the containers' neighbour caches wrong.
pub(crate) fn add_bridge(batch: &mut Messages, name: &str, mtu: u32, mac: MacAddress) {
    let create = flags::ACK | flags::CREATE | flags::EXCL;
    batch.push(NEWLINK, create, format!("create bridge {name}"), |message| {
        link_header(message, AF_UNSPEC, 0, None);
        message.string(IFLA_IFNAME, name);
        message.u32(IFLA_MTU, mtu);
        message.bytes(IFLA_ADDRESS, &mac.0);
        message.nested(IFLA_LINKINFO, |info| info.string(INFO_KIND, "bridge"));
    });
}

/// Appends the creation of a veth pair: one end here, the other in `netns`, both down.
pub(crate) fn add_veth(batch: &mut Messages, host: &str, peer: &str, netns: BorrowedFd<'_>) {
    let create = flags::ACK | flags::CREATE | flags::EXCL;
    batch.push(NEWLINK, create, format!("create link {host}"), |message| {
        link_header(message, AF_UNSPEC, 0, None);
        message.string(IFLA_IFNAME, host);
        message.nested(IFLA_LINKINFO, |info| {
            info.string(INFO_KIND, "veth");
            info.nested(INFO_DATA, |data| {
                data.nested(VETH_PEER, |end| {
                    link_header(end, AF_UNSPEC, 0, None);
                    end.string(IFLA_IFNAME, peer);
                    let fd = u32::try_from(netns.as_raw_fd()).unwrap_or(u32::MAX);
                    end.u32(IFLA_NET_NS_FD, fd);
                });
            });
        });
    });
}

/// Appends the creation of a link to nowhere.
pub(crate) fn add_dummy(batch: &mut Messages, name: &str) {
    let create = flags::ACK | flags::CREATE | flags::EXCL;
    batch.push(NEWLINK, create, format!("create link {name}"), |message| {
        link_header(message, AF_UNSPEC, 0, None);
        message.string(IFLA_IFNAME, name);
        message.nested(IFLA_LINKINFO, |info| info.string(INFO_KIND, "dummy"));
    });
}

/// Appends the creation of a link for one VLAN of another link.
pub(crate) fn add_vlan(batch: &mut Messages, name: &str, lower: u32, id: u16) {
    let create = flags::ACK | flags::CREATE | flags::EXCL;
    batch.push(NEWLINK, create, format!("create link {name}"), |message| {
        link_header(message, AF_UNSPEC, 0, None);
        message.string(IFLA_IFNAME, name);
        message.u32(IFLA_LINK, lower);
        message.nested(IFLA_LINKINFO, |info| {
            info.string(INFO_KIND, "vlan");
            info.nested(INFO_DATA, |data| data.bytes(FIRST_OPTION, &id.to_ne_bytes()));
        });
    });
}

/// Appends the creation of a `macvlan` or `ipvlan` link in `netns`, down.
pub(crate) fn add_sublink(batch: &mut Messages, medium: &Medium, lower: u32, name: &str, netns: BorrowedFd<'_>) {
    let create = flags::ACK | flags::CREATE | flags::EXCL;
    batch.push(NEWLINK, create, format!("create link {name}"), |message| {
        link_header(message, AF_UNSPEC, 0, None);
        message.string(IFLA_IFNAME, name);
        message.u32(IFLA_LINK, lower);
        message.u32(IFLA_NET_NS_FD, u32::try_from(netns.as_raw_fd()).unwrap_or(u32::MAX));
        message.nested(IFLA_LINKINFO, |info| {
            info.string(INFO_KIND, medium.driver());
            info.nested(INFO_DATA, |data| match medium {
                Medium::Bridge => {}
                Medium::Macvlan { mode, .. } => data.u32(FIRST_OPTION, mode.number()),
                Medium::Ipvlan { mode, flag, .. } => {
                    data.bytes(FIRST_OPTION, &mode.number().to_ne_bytes());
                    data.bytes(IPVLAN_FLAGS, &flag.number().to_ne_bytes());
                }
            });
        });
    });
}

/// Appends a change of a link.
pub(crate) fn change_link(batch: &mut Messages, index: u32, change: &LinkChange<'_>, name: &str) {
    batch.push(NEWLINK, flags::ACK, format!("set up link {name}"), |message| {
        link_header(message, AF_UNSPEC, index, change.up);
        if let Some(name) = change.name {
            message.string(IFLA_IFNAME, name);
        }
        if let Some(mtu) = change.mtu {
            message.u32(IFLA_MTU, mtu);
        }
        if let Some(mac) = change.mac {
            message.bytes(IFLA_ADDRESS, &mac.0);
        }
        if let Some(alias) = change.alias {
            message.string(IFLA_IFALIAS, alias);
        }
        if let Some(master) = change.master {
            message.u32(IFLA_MASTER, master);
        }
    });
}

/// Keeps the kernel from giving a link a link-local address when it goes up. Links without IPv6
/// get none anyway.
pub(crate) fn no_link_local(connection: &mut Connection, index: u32, name: &str) -> Result<()> {
    const ADDR_GEN_MODE_NONE: u8 = 1;
    let mut batch = Messages::new();
    batch.push(NEWLINK, flags::ACK, format!("set up link {name}"), |message| {
        link_header(message, AF_UNSPEC, index, None);
        message.nested(IFLA_AF_SPEC, |families| {
            families.nested(AF_INET6.into(), |inet6| {
                inet6.u8(INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE);
            });
        });
    });
    match connection.request(&batch) {
        Err(error) if error.kind() == crate::Kind::Unsupported => Ok(()),
        result => result.map(drop),
    }
}

/// Makes the kernel act at once on a link that went up: else a worker does it later, and packets
/// are lost until then.
pub(crate) fn settle(connection: &Connection, name: &str) -> Result<()> {
    connection
        .socket()
        .link_detected(name)
        .map(drop)
        .map_err(|error| Error::from_io(format!("cannot ask for the state of link {name}"), error))
}

/// A bridge port's behaviour towards the other ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PortMode {
    /// Frames may go back to where they came from.
    pub(crate) hairpin: bool,
    /// Frames do not go to other isolated ports.
    pub(crate) isolated: bool,
    /// Frames for nobody known, for groups or for all do not go there.
    pub(crate) quiet: bool,
}

/// Appends a change of a link as a port of its bridge.
pub(crate) fn change_port(batch: &mut Messages, index: u32, mode: PortMode, name: &str) {
    batch.push(SETLINK, flags::ACK, format!("set up bridge port {name}"), |message| {
        link_header(message, AF_BRIDGE, index, None);
        message.nested(IFLA_PROTINFO, |port| {
            port.u8(BRPORT_HAIRPIN, mode.hairpin.into());
            port.u8(BRPORT_ISOLATED, mode.isolated.into());
            for flood in BRPORT_FLOODS {
                port.u8(flood, (!mode.quiet).into());
            }
        });
    });
}

/// Appends the removal of a link.
pub(crate) fn delete_link(batch: &mut Messages, index: u32, name: &str) {
    batch.push(DELLINK, flags::ACK, format!("delete link {name}"), |message| {
        link_header(message, AF_UNSPEC, index, None);
    });
}

/// Appends an address; one that is there already stays. IPv6 addresses are used at once, without
/// looking for duplicates: the engine hands each out once.
pub(crate) fn add_address(batch: &mut Messages, index: u32, address: IpNet, name: &str) {
    let flag = flags::ACK | flags::CREATE | flags::REPLACE;
    batch.push(NEWADDR, flag, format!("add address {address} to {name}"), |message| {
        address_body(message, index, address);
        match address {
            IpNet::V4(net) if net.prefix_len() < 31 => {
                message.bytes(IFA_BROADCAST, &net.broadcast().octets());
            }
            IpNet::V4(_) => {}
            IpNet::V6(_) => message.u32(IFA_FLAGS, IFA_F_NODAD),
        }
    });
}

/// Appends the removal of an address.
pub(crate) fn delete_address(batch: &mut Messages, index: u32, address: IpNet, name: &str) {
    batch.push(
        DELADDR,
        flags::ACK,
        format!("remove address {address} from {name}"),
        |message| {
            address_body(message, index, address);
        },
    );
}

/// Appends a default route.
pub(crate) fn add_default_route(batch: &mut Messages, index: u32, gateway: IpAddr) {
    let flag = flags::ACK | flags::CREATE | flags::REPLACE;
    batch.push(NEWROUTE, flag, format!("add default route via {gateway}"), |message| {
        let family = family(gateway);
        message.header(&[
            family,
            0,
            0,
            0,
            TABLE_MAIN,
            PROTOCOL_BOOT,
            SCOPE_UNIVERSE,
            TYPE_UNICAST,
            0,
            0,
            0,
            0,
        ]);
        message.bytes(RTA_GATEWAY, &octets(gateway));
        message.u32(RTA_OIF, index);
    });
}

/// Appends a default route to whatever the link leads to.
pub(crate) fn add_link_route(batch: &mut Messages, index: u32, is_ipv4: bool) {
    let flag = flags::ACK | flags::CREATE | flags::REPLACE;
    batch.push(NEWROUTE, flag, "add default route", |message| {
        let (family, scope) = match is_ipv4 {
            true => (AF_INET, SCOPE_LINK),
            false => (AF_INET6, SCOPE_UNIVERSE),
        };
        message.header(&[
            family,
            0,
            0,
            0,
            TABLE_MAIN,
            PROTOCOL_BOOT,
            scope,
            TYPE_UNICAST,
            0,
            0,
            0,
            0,
        ]);
        message.u32(RTA_OIF, index);
    });
}

/// Finds a link by name.
pub(crate) fn find(connection: &mut Connection, name: &str) -> Result<Option<LinkState>> {
    let mut ask = Messages::new();
    ask.push(GETLINK, flags::ACK, format!("look up link {name}"), |message| {
        link_header(message, AF_UNSPEC, 0, None);
        message.string(IFLA_IFNAME, name);
    });
    match connection.request(&ask) {
        Ok(replies) => Ok(replies.first().map(read_link)),
        Err(error) if error.errno() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists all links of the namespace.
pub(crate) fn list(connection: &mut Connection) -> Result<Vec<LinkState>> {
    let mut ask = Messages::new();
    ask.push(GETLINK, flags::DUMP, "list links", |message| {
        link_header(message, AF_UNSPEC, 0, None);
    });
    Ok(connection.dump(&ask)?.iter().map(read_link).collect())
}

/// Lists all addresses of the namespace with the index of their link.
pub(crate) fn addresses(connection: &mut Connection) -> Result<Vec<(u32, IpNet)>> {
    let mut ask = Messages::new();
    ask.push(GETADDR, flags::DUMP, "list addresses", |message| {
        message.header(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0]);
    });
    Ok(connection.dump(&ask)?.iter().filter_map(read_address).collect())
}

/// Lists the destinations of the main table's routes with the index of their link, default routes
/// left out.
pub(crate) fn routes(connection: &mut Connection) -> Result<Vec<(u32, IpNet)>> {
    let mut ask = Messages::new();
    ask.push(GETROUTE, flags::DUMP, "list routes", |message| {
        message.header(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
    Ok(connection.dump(&ask)?.iter().filter_map(read_route).collect())
}

fn link_header(message: &mut Message<'_>, family: u8, index: u32, up: Option<bool>) {
    let (flag, mask) = match up {
        Some(true) => (UP, UP),
        Some(false) => (0, UP),
        None => (0, 0),
    };
    let mut header = [0; LINK_HEADER];
    header[0] = family;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flag.to_ne_bytes());
    header[12..16].copy_from_slice(&mask.to_ne_bytes());
    message.header(&header);
}

fn address_body(message: &mut Message<'_>, index: u32, address: IpNet) {
    let [a, b, c, d] = index.to_ne_bytes();
    message.header(&[family(address.addr()), address.prefix_len(), 0, 0, a, b, c, d]);
    message.bytes(IFA_LOCAL, &octets(address.addr()));
    message.bytes(IFA_ADDRESS, &octets(address.addr()));
}

fn read_link(reply: &Reply) -> LinkState {
    let number = |at: usize| {
        let bytes = reply.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_ne_bytes).unwrap_or_default()
    };
    let mut link = LinkState {
        index: number(4),
        up: number(8) & UP != 0,
        ..Default::default()
    };
    for attribute in reply.attributes(LINK_HEADER) {
        match attribute.kind {
            IFLA_IFNAME => attribute.string().clone_into(&mut link.name),
            IFLA_MTU => link.mtu = attribute.u32(),
            IFLA_IFALIAS => attribute.string().clone_into(&mut link.alias),
            IFLA_MASTER => link.master = Some(attribute.u32()),
            IFLA_LINKINFO => {
                let kind = attribute.nested().find(|info| info.kind == INFO_KIND);
                link.kind = kind.map(|kind| kind.string().to_owned()).unwrap_or_default();
            }
            _ => {}
        }
    }
    link
}

fn read_address(reply: &Reply) -> Option<(u32, IpNet)> {
    let prefix = *reply.payload.get(1)?;
    let index = u32::from_ne_bytes(reply.payload.get(4..8)?.try_into().ok()?);
    let find = |kind| {
        reply
            .attributes(ADDRESS_HEADER)
            .find(|attribute| attribute.kind == kind)
    };
    let address = find(IFA_LOCAL).or_else(|| find(IFA_ADDRESS))?;
    Some((index, IpNet::new(read_ip(address)?, prefix).ok()?))
}

fn read_route(reply: &Reply) -> Option<(u32, IpNet)> {
    let prefix = *reply.payload.get(1)?;
    let find = |kind| reply.attributes(ROUTE_HEADER).find(|attribute| attribute.kind == kind);
    let table = find(RTA_TABLE).map(|table| table.u32());
    if prefix == 0 || table != Some(TABLE_MAIN.into()) {
        return None;
    }
    let link = find(RTA_OIF).map(|link| link.u32()).unwrap_or_default();
    Some((link, IpNet::new(read_ip(find(RTA_DST)?)?, prefix).ok()?))
}

fn read_ip(attribute: Attribute<'_>) -> Option<IpAddr> {
    match attribute.value.len() {
        4 => <[u8; 4]>::try_from(attribute.value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(attribute.value).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Returns an address as it goes over the wire.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// Checks an interface name by the kernel's rules: 1 to 15 bytes, no slash, colon or space.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let bad_byte = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0;
    if name.is_empty() || name.len() > 15 || name == "." || name == ".." || name.bytes().any(bad_byte) {
        return Err(
            Error::new(crate::Kind::Invalid, format!("interface name \"{name}\" is invalid"))
                .hint("interface names have 1 to 15 bytes and no slash, colon or space"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_kernel() {
        for good in ["eth0", "br-0123456789ab", "a.b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "0123456789abcdef"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
