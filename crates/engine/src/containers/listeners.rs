//! A container's TCP sockets, as the kernel lists them for its network namespace (`proc(5)`, `/proc/net/tcp`).

use std::{collections::BTreeSet, net::IpAddr};

const LISTEN: u8 = 0x0A;
/// Established, half open, and those that still have something to say.
const ALIVE: [u8; 7] = [0x01, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0B];

/// The ports at which somebody listens whom others can reach.
pub(super) fn listening(pid: i32) -> BTreeSet<u16> {
    let reachable = sockets(pid).into_iter().filter(|socket| socket.state == LISTEN);
    let reachable = reachable.filter(|socket| !socket.local.0.is_loopback());
    reachable.map(|socket| socket.local.1).collect()
}

/// How many connections others have to ports.
pub(super) fn connected(pid: i32, ports: &BTreeSet<u16>) -> usize {
    let all = sockets(pid).into_iter();
    all.filter(|socket| ALIVE.contains(&socket.state) && ports.contains(&socket.local.1))
        .filter(|socket| !socket.remote.0.is_loopback())
        .count()
}

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    state: u8,
}

fn sockets(pid: i32) -> Vec<Socket> {
    let mut all = Vec::new();
    for file in ["tcp", "tcp6"] {
        // A process that has ended has no sockets, and a kernel without IPv6 no such file.
        let text = corten_sys::fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default();
        all.extend(text.lines().filter_map(line));
    }
    all
}

fn line(text: &str) -> Option<Socket> {
    let mut words = text.split_whitespace().skip(1);
    Some(Socket {
        local: address(words.next()?)?,
        remote: address(words.next()?)?,
        state: u8::from_str_radix(words.next()?, 16).ok()?,
    })
}

/// `0100007F:1F90`: words of 32 bits in the machine's order.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let read = line("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1").unwrap();
        assert_eq!(read.local, (IpAddr::from([127, 0, 0, 1]), 8080));
        assert_eq!(read.state, LISTEN);
        let mapped = "0: 0000000000000000FFFF0000020011AC:0050 00000000000000000000000000000000:0000 01 x";
        assert_eq!(line(mapped).unwrap().local, (IpAddr::from([172, 17, 0, 2]), 80));
        assert_eq!(line("  sl  local_address rem_address   st tx_queue"), None);
    }

    #[test]
    fn own_sockets_are_found() {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(listening(own).contains(&port));
    }
}
