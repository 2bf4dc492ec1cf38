//! Forgets connections that a change of published ports made stale
//! (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! Translation is decided once per connection. A UDP "connection" lasts while packets keep coming,
//! so a client that went on sending while its container was away would go on missing the new one.

use std::net::IpAddr;

use corten_sys::netlink::Protocol as Netlink;

use crate::netlink::{Attribute, Connection, Messages, Reply, flags};
use crate::{PortBinding, Protocol, Result};

const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
const TUPLE_ORIGINAL: u16 = 1;
const ID: u16 = 12;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const V4_DESTINATION: u16 = 2;
const V6_DESTINATION: u16 = 4;
const PROTO_NUMBER: u16 = 1;
const PROTO_DESTINATION: u16 = 3;
const HEADER: usize = 4;

/// Where a connection's first packet went.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    protocol: u8,
    address: IpAddr,
    port: u16,
}

/// Forgets the UDP connections to the bindings' host ports, of the calling thread's network
/// namespace. `host` are this host's addresses, for bindings to any.
pub(crate) fn forget(bindings: &[PortBinding], host: &[IpAddr]) -> Result<usize> {
    let udp: Vec<_> = bindings.iter().filter(|one| one.protocol == Protocol::Udp).collect();
    if udp.is_empty() {
        return Ok(0);
    }
    let mut connection = Connection::open(Netlink::Netfilter)?;
    let mut list = Messages::new();
    list.push(GET, flags::DUMP, "list connections", |message| {
        message.header(&[0; HEADER])
    });
    let entries = connection.dump(&list)?;
    let mut removal = Messages::new();
    for entry in &entries {
        let stale = read_target(entry).is_some_and(|target| udp.iter().any(|binding| concerns(binding, &target, host)));
        if stale {
            delete(&mut removal, entry);
        }
    }
    // Entries that ended by themselves meanwhile are refused, and no loss.
    let _ = connection.request(&removal);
    usize::try_from(removal.last())
        .map_err(|error| crate::Error::new(crate::Kind::Internal, "too many connections").because(error))
}

fn concerns(binding: &PortBinding, target: &Target, host: &[IpAddr]) -> bool {
    let addressed = if binding.host_ip.is_unspecified() {
        target.address.is_ipv4() == binding.host_ip.is_ipv4()
            && (target.address.is_loopback() || host.contains(&target.address))
    } else {
        target.address == binding.host_ip
    };
    addressed && target.protocol == binding.protocol.number() && target.port == binding.host_port
}

fn read_target(entry: &Reply) -> Option<Target> {
    let tuple = entry.attributes(HEADER).find(|one| one.kind == TUPLE_ORIGINAL)?;
    let part = |kind| tuple.nested().find(|one| one.kind == kind);
    let (ip, proto) = (part(TUPLE_IP)?, part(TUPLE_PROTO)?);
    let field = |of: Attribute<'_>, kind| of.nested().find(|one| one.kind == kind).map(|one| one.value.to_vec());
    let v4 = field(ip, V4_DESTINATION).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    let v6 = field(ip, V6_DESTINATION).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    Some(Target {
        protocol: *field(proto, PROTO_NUMBER)?.first()?,
        address: v4.map(IpAddr::from).or_else(|| v6.map(IpAddr::from))?,
        port: u16::from_be_bytes(field(proto, PROTO_DESTINATION)?.try_into().ok()?),
    })
}

fn delete(removal: &mut Messages, entry: &Reply) {
    let family = entry.payload.first().copied().unwrap_or_default();
    removal.push(DELETE, flags::ACK, "forget a connection", |message| {
        message.header(&[family, 0, 0, 0]);
        for part in entry.attributes(HEADER) {
            match part.kind {
                TUPLE_ORIGINAL => message.nested(TUPLE_ORIGINAL, |tuple| tuple.raw(part.value)),
                ID => message.bytes(ID, part.value),
                _ => {}
            }
        }
    });
}
