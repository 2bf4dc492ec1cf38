//! Where names are asked for inside a container: sockets at 127.0.0.11, reached at port 53.
//!
//! The sockets have ports of their own, so that a program of the container may have port 53 itself,
//! and a small table in the container's namespace changes the port of what goes to and fro. It
//! changes packets one by one and keeps no track of connections: that would cost all other packets of
//! the container too. Questions are changed before connections are tracked and answers after, so
//! that a program which does track them sees the same port both ways.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{BorrowedFd, OwnedFd};

use corten_sys::netlink::Protocol as Subsystem;
use corten_sys::netns;
use rustix::net::{AddressFamily, SocketFlags, SocketType, getsockname};

use crate::firewall::encode::{self, Transaction};
use crate::netlink::{Connection, Message, flags};
use crate::{Error, Kind, Protocol, Result};

/// Where containers ask for names.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

const TABLE: &str = "names";
const PORT: u16 = 53;
const BACKLOG: i32 = 16;

/// Sockets at which a container's questions arrive; give them to the container's shim.
#[derive(Debug)]
pub struct NameSockets {
    /// For datagrams.
    pub udp: OwnedFd,
    /// Listens.
    pub tcp: OwnedFd,
}

/// Makes sockets in a namespace that answer at [`NAME_SERVER`], port 53, in place of earlier ones.
///
/// # Errors
/// `Unsupported` when the kernel cannot change packets, `Internal` for what else the kernel refuses.
pub fn name_sockets(netns: BorrowedFd<'_>) -> Result<NameSockets> {
    netns::run_in(netns, || {
        let sockets = open().map_err(|error| Error::from_io("cannot listen for names", error.into()))?;
        let ports = (port(&sockets.udp), port(&sockets.tcp));
        let (Ok(udp), Ok(tcp)) = ports else {
            return Err(Error::new(Kind::Internal, "a socket for names has no port"));
        };
        close_later(redirect(udp, tcp)?);
        Ok(sockets)
    })
    .map_err(|error| Error::from_io("cannot enter the container's network", error))?
}

fn open() -> rustix::io::Result<NameSockets> {
    let (udp, tcp) = (bound(SocketType::DGRAM)?, bound(SocketType::STREAM)?);
    rustix::net::listen(&tcp, BACKLOG)?;
    Ok(NameSockets { udp, tcp })
}

fn bound(kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(NAME_SERVER, 0))?;
    Ok(socket)
}

fn port(socket: &OwnedFd) -> rustix::io::Result<u16> {
    let address = getsockname(socket)?;
    Ok(SocketAddrV4::try_from(address)?.port())
}

/// Closes a connection without waiting for it: the kernel first frees what the connection's transactions
/// deleted, for which all processors must have passed a quiet state. That takes 10 to 20 ms.
fn close_later(connection: Connection) {
    let thread = std::thread::Builder::new().name("names".to_owned());
    if let Err(error) = thread.spawn(move || drop(connection)) {
        tracing::debug!(%error, "a connection is closed at once");
    }
}

/// Makes the table, in one transaction, from inside the namespace.
fn redirect(udp: u16, tcp: u16) -> Result<Connection> {
    let mut connection = Connection::open(Subsystem::Netfilter)?;
    let mut transaction = Transaction::new();
    for (kind, flag) in [
        (encode::NEWTABLE, flags::CREATE),
        (encode::DELTABLE, 0),
        (encode::NEWTABLE, flags::CREATE),
    ] {
        push(&mut transaction, kind, flag, |message| {
            message.string(encode::TABLE_NAME, TABLE)
        });
    }
    for (name, hook, priority) in [(QUESTIONS, LOCAL_OUT, -300), (ANSWERS, POSTROUTING, 300)] {
        push(&mut transaction, encode::NEWCHAIN, flags::CREATE, |message| {
            chain(message, name, hook, priority);
        });
    }
    for (protocol, own) in [(Protocol::Udp, udp), (Protocol::Tcp, tcp)] {
        for change in [Change::question(protocol, own), Change::answer(protocol, own)] {
            push(
                &mut transaction,
                encode::NEWRULE,
                flags::CREATE | flags::APPEND,
                |message| {
                    change.rule(message);
                },
            );
        }
    }
    let (messages, last) = transaction.finish();
    connection.transact(&messages, last)?;
    Ok(connection)
}

fn push(transaction: &mut Transaction, kind: u16, flag: u16, fill: impl FnOnce(&mut Message<'_>)) {
    let purpose = "redirect questions for names in the container's network".to_owned();
    transaction.push(kind, flag, encode::NFPROTO_IPV4, purpose, fill);
}

const QUESTIONS: &str = "questions";
const ANSWERS: &str = "answers";
const LOCAL_OUT: u32 = 3;
const POSTROUTING: u32 = 4;

fn chain(message: &mut Message<'_>, name: &str, hook: u32, priority: i32) {
    const ACCEPT: u32 = 1;
    message.string(1, TABLE);
    message.string(3, name);
    message.nested(4, |place| {
        place.be32(1, hook);
        place.bytes(2, &priority.to_be_bytes());
    });
    message.be32(5, ACCEPT);
    message.string(7, "filter");
}

/// One rule: packets at this address and port get another port.
struct Change {
    chain: &'static str,
    protocol: Protocol,
    /// Where the address stands in the network header.
    address_at: u32,
    /// Where the port stands in the transport header.
    port_at: u32,
    from: u16,
    to: u16,
}

impl Change {
    fn question(protocol: Protocol, own: u16) -> Self {
        Self {
            chain: QUESTIONS,
            protocol,
            address_at: 16,
            port_at: 2,
            from: PORT,
            to: own,
        }
    }

    fn answer(protocol: Protocol, own: u16) -> Self {
        Self {
            chain: ANSWERS,
            protocol,
            address_at: 12,
            port_at: 0,
            from: own,
            to: PORT,
        }
    }

    fn rule(&self, message: &mut Message<'_>) {
        const REGISTER: u32 = 1;
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        const INTERNET_CHECKSUM: u32 = 1;
        let checksum_at = if self.protocol == Protocol::Udp { 6 } else { 16 };
        message.string(encode::RULE_TABLE, TABLE);
        message.string(encode::RULE_CHAIN, self.chain);
        message.nested(encode::RULE_EXPRESSIONS, |list| {
            encode::payload(list, NETWORK_HEADER, self.address_at, 4, REGISTER);
            encode::equals(list, &NAME_SERVER.octets());
            encode::meta(list, encode::META_L4PROTO, REGISTER);
            encode::equals(list, &[self.protocol.number()]);
            encode::payload(list, TRANSPORT_HEADER, self.port_at, 2, REGISTER);
            encode::equals(list, &self.from.to_be_bytes());
            encode::expression(list, "immediate", |immediate| {
                immediate.be32(1, REGISTER);
                immediate.nested(2, |value| value.bytes(1, &self.to.to_be_bytes()));
            });
            encode::expression(list, "payload", |payload| {
                payload.be32(2, TRANSPORT_HEADER);
                payload.be32(3, self.port_at);
                payload.be32(4, 2);
                payload.be32(5, REGISTER);
                payload.be32(6, INTERNET_CHECKSUM);
                payload.be32(7, checksum_at);
            });
        });
    }
}
