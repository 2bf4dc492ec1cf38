//! What a container listens at, and who is connected to it: the sockets of its network namespace.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use corten_network::{
    Protocol,
    sockets::{Socket, States, tcp},
};

use crate::error::{Error, Result, blocking};

/// A port inside a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    /// TCP or UDP.
    pub(super) protocol: Protocol,
    /// Its number.
    pub(super) number: u16,
}

impl Port {
    /// Reads `80/tcp`; none for protocols without sockets that could be seen.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = protocol.parse().ok().filter(|protocol| *protocol != Protocol::Sctp)?;
        let number = number.parse().ok()?;
        Some(Self { protocol, number })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// The ports at which somebody listens whom others can reach.
///
/// # Errors
/// When the kernel does not tell. A process that has ended listens nowhere.
pub(super) async fn listening(pid: i32) -> Result<BTreeSet<Port>> {
    blocking(move || {
        let streams = sockets(pid, States::Listening)?.into_iter();
        let streams = streams.filter(|socket| !socket.local.ip().is_loopback());
        let mut ports: BTreeSet<_> = streams
            .map(|socket| Port {
                protocol: Protocol::Tcp,
                number: socket.local.port(),
            })
            .collect();
        // Not every kernel has `sock_diag` for UDP. Datagrams leave nothing behind that would make this table long.
        for file in ["udp", "udp6"] {
            // A process that has ended has no sockets, and a kernel without IPv6 no such file.
            let table = corten_sys::fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
            ports.extend(table.lines().filter_map(receiver).map(|number| Port {
                protocol: Protocol::Udp,
                number,
            }));
        }
        Ok(ports)
    })
    .await
}

/// How many connections others have to ports.
///
/// # Errors
/// As above.
pub(super) async fn connected(pid: i32, ports: &BTreeSet<u16>) -> Result<usize> {
    let sockets = blocking(move || sockets(pid, States::Connected)).await?.into_iter();
    let to_ports = sockets.filter(|socket| ports.contains(&socket.local.port()));
    Ok(to_ports.filter(|socket| !socket.remote.ip().is_loopback()).count())
}

fn sockets(pid: i32, states: States) -> Result<Vec<Socket>> {
    let netns = match corten_sys::fs::open(format!("/proc/{pid}/ns/net")) {
        Ok(netns) => netns,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::from(error)),
    };
    tcp(netns.as_fd(), states).map_err(Error::from)
}

/// The port of a line of `/proc/net/udp` (proc(5)) whose socket takes datagrams of others.
fn receiver(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    let (_, other) = words.next()?.split_once(':')?;
    let is_connected = u16::from_str_radix(other, 16).ok()? != 0;
    let number = u16::from_str_radix(port, 16).ok()?;
    (!is_connected && !address_of(address)?.is_loopback()).then_some(number)
}

/// `0100007F`: words of 32 bits in the machine's order.
fn address_of(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let short = <[u8; 4]>::try_from(bytes.as_slice()).map(|four| Ipv4Addr::from(four).into());
    let long = || <[u8; 16]>::try_from(bytes.as_slice()).map(|all| Ipv6Addr::from(all).to_canonical());
    short.or_else(|_| long()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_written() {
        for text in ["80/tcp", "53/udp"] {
            assert_eq!(Port::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Port::parse("9/sctp"), None);
        assert_eq!(Port::parse("x/tcp"), None);
    }

    #[test]
    fn receivers_of_datagrams_are_seen() {
        let line = |local: &str, remote: &str| receiver(&format!("  12: {local} {remote} 07 00000000:00000000 00:0 0"));
        assert_eq!(line("00000000:14B4", "00000000:0000"), Some(5300));
        assert_eq!(line("0100007F:14B4", "00000000:0000"), None, "only itself reaches it");
        assert_eq!(
            line("00000000:14B4", "020011AC:0035"),
            None,
            "it has somebody to speak with"
        );
        let mapped = "0000000000000000FFFF0000020011AC:0050";
        assert_eq!(line(mapped, "00000000000000000000000000000000:0000"), Some(80));
        assert_eq!(receiver("  sl  local_address rem_address   st tx_queue"), None);
    }
}
