//! Netlink sockets: `netlink(7)`, `rtnetlink(7)` and the netfilter subsystems.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Which part of the kernel a socket speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes: `NETLINK_ROUTE`.
    Route,
    /// nftables and conntrack: `NETLINK_NETFILTER`.
    Netfilter,
    /// The sockets of a namespace: `NETLINK_SOCK_DIAG` (`sock_diag(7)`).
    SockDiag,
}

/// A bound netlink socket of the network namespace in which it was opened; it stays there when
/// its thread moves on.
#[derive(Debug)]
pub struct NetlinkSocket {
    fd: OwnedFd,
    port: u32,
}

impl NetlinkSocket {
    /// Opens a socket with extended error texts (Linux 4.12) and short acknowledgements (4.3).
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
            Protocol::SockDiag => libc::NETLINK_SOCK_DIAG,
        };
        // SAFETY: socket(2) takes no pointers.
        let raw = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, number) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just returned by socket(2), and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        let port = bind(fd.as_fd())?;
        let socket = Self { fd, port };
        socket.set_option(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)?;
        socket.set_option(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)?;
        Ok(socket)
    }

    /// Returns the port id by which the kernel names this socket in notifications it causes.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Joins a multicast group.
    pub fn join(&self, group: u32) -> io::Result<()> {
        let value = i32::try_from(group).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.set_option(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, value)
    }

    /// Makes the kernel check dump requests and heed their filters (Linux 4.20).
    pub fn strict_checking(&self) -> io::Result<()> {
        self.set_option(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1)
    }

    /// Enlarges the send and receive buffers beyond the system's limits (`CAP_NET_ADMIN`).
    pub fn enlarge_buffers(&self, bytes: i32) -> io::Result<()> {
        self.set_option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)?;
        self.set_option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
    }

    /// Sends one datagram of messages to the kernel.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.fd, messages, rustix::net::SendFlags::empty())?;
        Ok(())
    }

    /// Receives one datagram from the kernel, waiting for it; datagrams of other processes are
    /// dropped. One that does not fit the buffer is an error.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (length, sender) = self.receive_any(buffer)?;
            if sender != 0 {
                continue;
            }
            if length > buffer.len() {
                return Err(io::Error::other("netlink message does not fit the buffer"));
            }
            return Ok(length);
        }
    }

    /// Asks whether a link of the socket's namespace has its carrier (`ETHTOOL_GLINK`,
    /// `netdevice(7)`).
    ///
    /// The kernel takes up pending changes of the link's state before it answers: without the
    /// question they wait for a worker, up to a second, and packets are dropped meanwhile.
    pub fn link_detected(&self, name: &str) -> io::Result<bool> {
        const ETHTOOL_GLINK: u32 = 0x0a;
        const SIOCETHTOOL: libc::Ioctl = 0x8946;
        // `struct ethtool_value`: the command, and room for the answer.
        let mut value = [ETHTOOL_GLINK, 0];
        // SAFETY: ifreq consists of integers and a pointer, for which zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // The last byte stays zero.
        let room = request.ifr_name.len() - 1;
        if name.len() > room {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: `request` and the `value` to which it points are live locals laid out as
        // SIOCETHTOOL with ETHTOOL_GLINK wants them.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(value[1] != 0)
        }
    }

    fn receive_any(&self, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
        let mut address = empty_address();
        let mut size = address_size();
        // SAFETY: `buffer` is valid for writes of its length, `address` and `size` are live locals
        // of the types that AF_NETLINK fills in.
        let length = unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_TRUNC,
                (&raw mut address).cast(),
                &raw mut size,
            )
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        Ok((length, address.nl_pid))
    }

    fn set_option(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        // SAFETY: the value is a live `int`, which all options used here take, and its size is
        // given.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of_as::<i32>(),
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Binds to a port id of the kernel's choice and returns it.
fn bind(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut address = empty_address();
    // SAFETY: `address` is a live sockaddr_nl and its size is given.
    let result = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), address_size()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut size = address_size();
    // SAFETY: `address` and `size` are live locals, large enough for a sockaddr_nl.
    let result = unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut size) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(address.nl_pid)
    }
}

fn empty_address() -> libc::sockaddr_nl {
    // SAFETY: sockaddr_nl consists of integers, for which zero is a value.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    address
}

fn address_size() -> libc::socklen_t {
    size_of_as::<libc::sockaddr_nl>()
}

fn size_of_as<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_asked_for_their_carrier() {
        let socket = NetlinkSocket::open(Protocol::Route).unwrap();
        assert!(socket.link_detected("lo").unwrap());
        assert!(socket.link_detected("nosuch").is_err());
        assert!(socket.link_detected("a-name-that-is-too-long").is_err());
    }

    #[test]
    fn a_socket_has_a_port_and_hears_the_kernel() {
        let socket = NetlinkSocket::open(Protocol::Route).unwrap();
        assert_ne!(socket.port(), 0);
        // NLMSG_NOOP with NLM_F_ACK: length 16, type 1, flags 5, sequence 7, port 0.
        let mut message = Vec::new();
        message.extend(16u32.to_ne_bytes());
        message.extend(1u16.to_ne_bytes());
        message.extend(5u16.to_ne_bytes());
        message.extend(7u32.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        socket.send(&message).unwrap();
        let mut buffer = [0; 512];
        let length = socket.receive(&mut buffer).unwrap();
        assert!(length >= 36);
        assert_eq!(buffer[8..12], 7u32.to_ne_bytes());
    }
}
