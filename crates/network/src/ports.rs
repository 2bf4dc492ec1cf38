//! Host ports: which container has which, and the sockets that keep them from other processes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};

use crate::{Error, HostPorts, Kind, PortBinding, PortRequest, Protocol, Reserved, Result};

/// Who has which host port: pure data.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    claims: BTreeMap<(Protocol, u16), Vec<(IpAddr, String)>>,
    /// The port last given to a request for any, by protocol.
    last: BTreeMap<Protocol, u16>,
}

impl PortTable {
    /// Notes that the owner has the binding's host port.
    pub(crate) fn claim(&mut self, owner: &str, binding: &PortBinding) {
        let claims = self.claims.entry((binding.protocol, binding.host_port)).or_default();
        let claim = (binding.host_ip, owner.to_owned());
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }

    /// Frees all the owner's ports.
    pub(crate) fn release(&mut self, owner: &str) {
        self.claims.retain(|_, claims| {
            claims.retain(|(_, holder)| holder != owner);
            !claims.is_empty()
        });
    }

    /// Returns the address of those wanted that a container has at this port already.
    fn taken(&self, protocol: Protocol, hosts: &[IpAddr], port: u16) -> Option<IpAddr> {
        let claims = self.claims.get(&(protocol, port))?;
        let clashes = |host: &IpAddr| claims.iter().any(|(other, _)| clash(*host, *other));
        hosts.iter().copied().find(clashes)
    }

    /// Lists the ports to try, in order.
    fn candidates(&self, request: &PortRequest, ephemeral: (u16, u16)) -> impl Iterator<Item = u16> + use<> {
        let (first, then) = match request.ports {
            HostPorts::One(port) => (port..=port, 0..0),
            HostPorts::Range(first, last) => (first..=last, 0..0),
            HostPorts::Any => {
                let (first, last) = ephemeral;
                let next = match self.last.get(&request.protocol) {
                    Some(port) if (first..last).contains(port) => port + 1,
                    _ => first,
                };
                (next..=last, first..next)
            }
        };
        first.chain(then)
    }
}

/// Two claims on a port clash when a packet could be meant for both.
fn clash(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// What the host does with ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    /// The range from which programs get ports that ask for any.
    pub(crate) ephemeral: (u16, u16),
    /// Whether IPv6 sockets are for IPv6 alone unless they say otherwise.
    pub(crate) only6: bool,
}

/// Finds a port that no container and no process has, and claims it.
pub(crate) fn reserve(table: &mut PortTable, owner: &str, request: &PortRequest, host: Host) -> Result<Reserved> {
    let mut failure = None;
    for port in table.candidates(request, host.ephemeral) {
        match try_port(table, request, port, host) {
            Ok(sockets) => {
                claim_all(table, owner, request, port);
                return Ok(Reserved { port, sockets });
            }
            Err(error) if error.kind() == Kind::Conflict => {
                failure.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    let single = matches!(request.ports, HostPorts::One(_));
    match failure {
        Some(error) if single => Err(error),
        _ => Err(Error::new(Kind::Conflict, "all ports are allocated")),
    }
}

fn claim_all(table: &mut PortTable, owner: &str, request: &PortRequest, port: u16) {
    for host_ip in &request.host_ips {
        table.claim(
            owner,
            &PortBinding {
                protocol: request.protocol,
                host_ip: *host_ip,
                host_port: port,
                container_ip: request.container_ip,
                container_port: request.container_port,
            },
        );
    }
    if request.ports == HostPorts::Any {
        table.last.insert(request.protocol, port);
    }
}

fn try_port(table: &PortTable, request: &PortRequest, port: u16, host: Host) -> Result<Vec<OwnedFd>> {
    if let Some(host) = table.taken(request.protocol, &request.host_ips, port) {
        let address = SocketAddr::new(host, port);
        return Err(Error::new(
            Kind::Conflict,
            format!("Bind for {address} failed: port is already allocated"),
        ));
    }
    // Where that fails, one socket an address says which is taken.
    if is_for_one_socket(request)
        && let Ok(socket) = hold_both(request.protocol, port, host)
    {
        return Ok(vec![socket]);
    }
    let mut sockets = Vec::new();
    for address in &request.host_ips {
        let address = SocketAddr::new(*address, port);
        match hold(request.protocol, address, host) {
            Ok(socket) => sockets.push(socket),
            // Without SCTP sockets in the kernel no process can take the port either.
            Err(Errno::PROTONOSUPPORT) if request.protocol == Protocol::Sctp => {}
            Err(errno) => return Err(refused(request, address, errno)),
        }
    }
    Ok(sockets)
}

/// Whether one socket can hold what was asked for: a port at all addresses, IPv4 and IPv6.
fn is_for_one_socket(request: &PortRequest) -> bool {
    let [a, b] = request.host_ips.as_slice() else {
        return false;
    };
    let everywhere = a.is_unspecified() && b.is_unspecified() && a.is_ipv4() != b.is_ipv4();
    request.one_socket && everywhere && request.protocol != Protocol::Sctp
}

fn refused(request: &PortRequest, address: SocketAddr, errno: Errno) -> Error {
    let container = SocketAddr::new(request.container_ip, request.container_port);
    let (kind, reason) = match errno {
        Errno::ADDRINUSE => (Kind::Conflict, "address already in use".to_owned()),
        Errno::ADDRNOTAVAIL => (Kind::Invalid, "cannot assign requested address".to_owned()),
        other => (Kind::Internal, corten_sys::fs::reason(&other.into())),
    };
    let message = format!(
        "failed to bind host port for {address}:{container}/{}: {reason}",
        request.protocol
    );
    Error::new(kind, message)
}

/// Holds an address with a socket that nobody can connect to: what is not translated, as from
/// `::1`, is refused at once.
///
/// A port that is only bound may be shared by programs that set `SO_REUSEADDR` all of them, so this
/// one does not. Where a closed connection of an earlier server is in the way, it does, and listens
/// instead.
fn hold(protocol: Protocol, address: SocketAddr, host: Host) -> rustix::io::Result<OwnedFd> {
    match open(protocol, address, Hold::Bound, host) {
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp => open(protocol, address, Hold::Listening, host),
        result => result,
    }
}

/// Holds a port at all addresses of both versions of IP with one such socket.
fn hold_both(protocol: Protocol, port: u16, host: Host) -> rustix::io::Result<OwnedFd> {
    open(protocol, (Ipv6Addr::UNSPECIFIED, port).into(), Hold::Both, host)
}

/// How a socket keeps a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Bound,
    /// Bound for IPv4, too.
    Both,
    Listening,
}

/// Opens a socket that does not block, as whoever serves the port wants it.
fn open(protocol: Protocol, address: SocketAddr, hold: Hold, host: Host) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, Some(number))?;
    let only6 = hold != Hold::Both;
    if address.is_ipv6() && only6 != host.only6 {
        sockopt::set_ipv6_v6only(&socket, only6)?;
    }
    if hold == Hold::Listening {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)?;
    if hold == Hold::Listening {
        listen(&socket, 1)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: (u16, u16) = (32768, 32770);
    const HOST: Host = Host {
        ephemeral: RANGE,
        only6: false,
    };

    fn request(hosts: &[&str], ports: HostPorts) -> PortRequest {
        PortRequest {
            protocol: Protocol::Tcp,
            host_ips: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ports,
            container_ip: "172.17.0.2".parse().unwrap(),
            container_port: 80,
            one_socket: true,
        }
    }

    fn claimed(table: &mut PortTable, owner: &str, host: &str, port: u16) {
        claim_all(table, owner, &request(&[host], HostPorts::One(port)), port);
    }

    #[test]
    fn claims_clash_on_the_same_and_on_any_address() {
        let mut table = PortTable::default();
        claimed(&mut table, "a", "0.0.0.0", 80);
        claimed(&mut table, "b", "127.0.0.1", 81);
        let taken =
            |table: &PortTable, host: &str, port| table.taken(Protocol::Tcp, &[host.parse().unwrap()], port).is_some();
        assert!(taken(&table, "0.0.0.0", 80) && taken(&table, "10.0.0.1", 80));
        assert!(taken(&table, "0.0.0.0", 81) && taken(&table, "127.0.0.1", 81));
        assert!(!taken(&table, "10.0.0.1", 81) && !taken(&table, "::", 80));
        assert!(table.taken(Protocol::Udp, &["0.0.0.0".parse().unwrap()], 80).is_none());
        table.release("a");
        assert!(!taken(&table, "0.0.0.0", 80) && taken(&table, "127.0.0.1", 81));
    }

    #[test]
    fn any_port_goes_on_from_the_last() {
        let mut table = PortTable::default();
        let any = request(&["0.0.0.0"], HostPorts::Any);
        assert_eq!(table.candidates(&any, RANGE).collect::<Vec<_>>(), [32768, 32769, 32770]);
        claim_all(&mut table, "a", &any, 32769);
        assert_eq!(table.candidates(&any, RANGE).collect::<Vec<_>>(), [32770, 32768, 32769]);
        claim_all(&mut table, "a", &any, 32770);
        assert_eq!(table.candidates(&any, RANGE).collect::<Vec<_>>(), [32768, 32769, 32770]);
    }

    #[test]
    fn containers_conflicts_have_docker_s_words() {
        let mut table = PortTable::default();
        claimed(&mut table, "a", "0.0.0.0", 8080);
        let message = |hosts: &[&str]| {
            let wanted = request(hosts, HostPorts::One(8080));
            reserve(&mut table, "b", &wanted, HOST).unwrap_err().to_string()
        };
        let mut message = message;
        assert_eq!(
            message(&["0.0.0.0"]),
            "Bind for 0.0.0.0:8080 failed: port is already allocated"
        );
        assert_eq!(
            message(&["127.0.0.1"]),
            "Bind for 127.0.0.1:8080 failed: port is already allocated"
        );
    }

    #[test]
    fn processes_conflicts_have_docker_s_words() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let mut table = PortTable::default();
        let wanted = request(&["127.0.0.1"], HostPorts::One(port));
        assert_eq!(
            reserve(&mut table, "b", &wanted, HOST).unwrap_err().to_string(),
            format!(
                "failed to bind host port for 127.0.0.1:{port}:172.17.0.2:80/tcp: \
                 address already in use"
            )
        );
        drop(held);
        let reserved = reserve(&mut table, "b", &wanted, HOST).unwrap();
        assert_eq!((reserved.port, reserved.sockets.len()), (port, 1));
        // The standard library sets SO_REUSEADDR.
        let late = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn one_socket_holds_both_versions() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let mut table = PortTable::default();
        let both = request(&["0.0.0.0", "::"], HostPorts::One(port));
        let refusal = reserve(&mut table, "a", &both, HOST).unwrap_err().to_string();
        assert!(
            refusal.starts_with(&format!("failed to bind host port for 0.0.0.0:{port}:")),
            "{refusal}"
        );
        drop(held);
        let reserved = reserve(&mut table, "a", &both, HOST).unwrap();
        assert_eq!(reserved.sockets.len(), 1);
        for address in ["127.0.0.1", "::1"] {
            let late = std::net::TcpListener::bind((address, port)).unwrap_err();
            assert_eq!(late.kind(), std::io::ErrorKind::AddrInUse);
        }
        drop(reserved);
        table.release("a");
        let apart = PortRequest {
            one_socket: false,
            ..both
        };
        assert_eq!(reserve(&mut table, "a", &apart, HOST).unwrap().sockets.len(), 2);
    }

    #[test]
    fn closed_connections_are_no_obstacle() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        // The server closes first, and its side of the connection lingers.
        drop(listener.accept().unwrap());
        drop(listener);
        std::io::Read::read(&mut client, &mut [0]).unwrap();
        drop(client);
        assert!(hold(Protocol::Tcp, address, HOST).is_ok());
    }
}
