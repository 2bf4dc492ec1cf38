//! The TCP sockets of a network namespace, asked for by their states (`sock_diag(7)`, `linux/inet_diag.h`).
//!
//! `/proc/net/tcp` would tell the same, but it walks the host's whole table at every read and lists connections that
//! linger in `TIME_WAIT`, of which a busy server has tens of thousands: reading it can take seconds. Here the kernel
//! leaves out what is not asked for; listening sockets have a table of their own.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
};

use corten_sys::{netlink::Protocol, netns};

use crate::{
    Error, Result,
    netlink::{Connection, Messages, Reply, flags},
};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// What follows the four bytes at the beginning of `struct inet_diag_req_v2`: the states, and any socket.
const ANY_SOCKET: [u8; 48] = [0; 48];
const TCP: u8 = 6;
const FAMILIES: [u8; 2] = [2, 10];
const V6: u8 = 10;

/// What a socket is doing, as `include/net/tcp_states.h` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// It waits for connections.
    Listening,
    /// It is connected, half open, or still has something to say or to hear. Not `TIME_WAIT`.
    Connected,
}

impl States {
    /// A bit for each state.
    fn bits(self) -> u32 {
        const LISTEN: u32 = 0x0A;
        let states: &[u32] = match self {
            Self::Listening => &[LISTEN],
            Self::Connected => &[0x01, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0B],
        };
        states.iter().fold(0, |bits, state| bits | 1 << state)
    }
}

/// One socket's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// Its own address.
    pub local: SocketAddr,
    /// The other end's; unspecified when it listens.
    pub remote: SocketAddr,
}

/// Lists the TCP sockets of a network namespace that are in one of these states. IPv4 addresses are told as such, also
/// those of IPv6 sockets.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel has no `sock_diag` for TCP.
pub fn tcp(netns: BorrowedFd<'_>, states: States) -> Result<Vec<Socket>> {
    let opened = netns::run_in(netns, || Connection::open(Protocol::SockDiag))
        .map_err(|error| Error::from_io("cannot enter a network namespace", error))?;
    let mut connection = opened?;
    let mut found = Vec::new();
    for family in FAMILIES {
        let replies = connection.dump(&request(family, states))?;
        found.extend(replies.iter().filter_map(socket));
    }
    Ok(found)
}

fn request(family: u8, states: States) -> Messages {
    let mut list = Messages::new();
    list.push(BY_FAMILY, flags::DUMP, "list TCP sockets", |message| {
        message.raw(&[family, TCP, 0, 0]);
        message.raw(&states.bits().to_ne_bytes());
        message.raw(&ANY_SOCKET);
    });
    list
}

/// Reads a `struct inet_diag_msg`: family, state, timer, retransmissions; ports; addresses.
fn socket(reply: &Reply) -> Option<Socket> {
    let bytes = &reply.payload;
    let family = *bytes.first()?;
    let port = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let address = |at: usize| {
        if family == V6 {
            let address = <[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?;
            return Some(IpAddr::from(address).to_canonical());
        }
        <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok().map(IpAddr::from)
    };
    Some(Socket {
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use super::*;

    fn own(states: States) -> Vec<Socket> {
        tcp(netns::current().unwrap().as_fd(), states).unwrap()
    }

    #[test]
    fn listeners_and_connections_are_told_apart() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let local = listener.local_addr().unwrap();
            let client = TcpStream::connect(local).unwrap();
            let (server, remote) = listener.accept().unwrap();
            let has = |states, wanted: fn(&Socket, SocketAddr, SocketAddr) -> bool| {
                own(states).iter().any(|socket| wanted(socket, local, remote))
            };
            let listens = |socket: &Socket, local: SocketAddr, _| socket.local == local && socket.remote.port() == 0;
            let serves = |socket: &Socket, local: SocketAddr, remote: SocketAddr| {
                (socket.local, socket.remote) == (local, remote)
            };
            assert!(has(States::Listening, listens) && !has(States::Listening, serves));
            assert!(has(States::Connected, serves) && !has(States::Connected, listens));
            // What only lingers is not told.
            drop(server);
            drop(client);
            let mut patience = 2000;
            while has(States::Connected, serves) && patience > 0 {
                std::thread::park_timeout(std::time::Duration::from_millis(5));
                patience -= 1;
            }
            assert!(!has(States::Connected, serves));
        }
    }

    #[test]
    fn other_namespaces_have_their_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (netns, ()) = netns::run_in_new(|| ()).unwrap();
        assert_eq!(tcp(netns.as_fd(), States::Listening).unwrap(), []);
        let local = listener.local_addr().unwrap();
        assert!(own(States::Listening).iter().any(|socket| socket.local == local));
    }

    #[test]
    fn ipv4_over_ipv6_is_told_as_ipv4() {
        let mut payload = vec![V6, 1, 0, 0, 0, 80, 1, 0];
        payload.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 172, 17, 0, 2]);
        payload.extend([0; 16]);
        let reply = Reply {
            kind: BY_FAMILY,
            flags: 0,
            sequence: 1,
            port: 0,
            payload,
        };
        let socket = socket(&reply).unwrap();
        assert_eq!(socket.local, "172.17.0.2:80".parse().unwrap());
        assert_eq!(socket.remote, "[::]:256".parse().unwrap());
    }
}
