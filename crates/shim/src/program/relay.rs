//! Published ports that address translation cannot do: an IPv6 port of the host for a container with
//! IPv4 alone, and `::1`, which the kernel never translates.
//!
//! Connections come to the sockets that hold the ports. What each sends is passed on to the container
//! and back, a little at a time: the rest of the loop has its turn in between. All of it waits in an
//! epoll instance of its own, so that a thousand ports are one descriptor in the loop.

mod datagrams;
mod streams;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_shim::protocol::{Relay, Target};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use self::datagrams::Datagrams;
use self::streams::{Pair, Side};
use crate::ports::local_address;

/// How much is passed on at once.
const SCRATCH: usize = 64 << 10;
/// How many things are done in one turn.
const EVENTS: usize = 32;
/// Connections at once; two descriptors each must fit into the usual limit.
const PAIRS: usize = 400;
/// How many may wait to be taken (the kernel's own limit, `net.core.somaxconn`, is lower or the same).
const BACKLOG: i32 = 4096;

/// What can be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// A socket that holds a port.
    Port(u32),
    /// A side of a pair.
    Pair(u32, Side),
    /// The container's answers to a client's datagrams.
    Flow(u32),
}

impl Ready {
    fn data(self) -> EventData {
        let (kind, number) = match self {
            Self::Port(number) => (0, number),
            Self::Pair(number, Side::Client) => (1, number),
            Self::Pair(number, Side::Server) => (2, number),
            Self::Flow(number) => (3, number),
        };
        EventData::new_u64(kind << 32 | u64::from(number))
    }

    fn of(data: EventData) -> Self {
        let number = u32::try_from(data.u64() & u64::from(u32::MAX)).unwrap_or(0);
        match data.u64() >> 32 {
            0 => Self::Port(number),
            1 => Self::Pair(number, Side::Client),
            2 => Self::Pair(number, Side::Server),
            _ => Self::Flow(number),
        }
    }
}

/// A descriptor's registration; without interest it has none, or ends would be told again and again.
#[derive(Debug)]
struct Watch(EventFlags);

impl Watch {
    const NONE: Self = Self(EventFlags::empty());

    fn set(&mut self, epoll: &OwnedFd, fd: impl AsFd, ready: Ready, interest: EventFlags) -> io::Result<()> {
        if self.0 == interest {
            return Ok(());
        }
        match (self.0.is_empty(), interest.is_empty()) {
            (true, _) => epoll::add(epoll, fd, ready.data(), interest)?,
            (false, true) => epoll::delete(epoll, fd)?,
            (false, false) => epoll::modify(epoll, fd, ready.data(), interest)?,
        }
        self.0 = interest;
        Ok(())
    }
}

/// A socket that holds a port, and where what comes there goes, if anywhere.
#[derive(Debug)]
enum Port {
    Streams(TcpListener, Option<SocketAddr>, Watch),
    Datagrams(UdpSocket, Option<SocketAddr>),
    /// It is another container's now.
    Released,
}

impl Port {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Streams(socket, ..) => Some(socket.as_fd()),
            Self::Datagrams(socket, _) => Some(socket.as_fd()),
            Self::Released => None,
        }
    }
}

/// All relays of a container.
#[derive(Debug)]
pub(crate) struct Relays {
    epoll: OwnedFd,
    ports: Vec<Port>,
    /// How many ports, from the first on, are watched.
    watched: usize,
    pairs: BTreeMap<u32, Pair>,
    next: u32,
    datagrams: Datagrams,
    /// Whether no connections are taken until one has ended.
    paused: bool,
}

impl Relays {
    /// Begins to serve at the sockets, which don't block, once they are [watched](Self::watch).
    pub(crate) fn new(sockets: Vec<(OwnedFd, Relay)>) -> io::Result<Self> {
        let mut relays = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            ports: Vec::new(),
            watched: 0,
            pairs: BTreeMap::new(),
            next: 0,
            datagrams: Datagrams::default(),
            paused: false,
        };
        relays.add_all(sockets);
        Ok(relays)
    }

    /// Serves at further sockets, once they are [watched](Self::watch).
    pub(crate) fn add_all(&mut self, sockets: Vec<(OwnedFd, Relay)>) {
        for (socket, relay) in sockets {
            // A port that cannot be served goes on being held, and refuses.
            let _ = self.add(socket, &relay);
        }
    }

    fn add(&mut self, socket: OwnedFd, relay: &Relay) -> io::Result<()> {
        let port = if relay.datagrams {
            Port::Datagrams(UdpSocket::from(socket), Some(relay.to))
        } else {
            rustix::net::listen(&socket, BACKLOG)?;
            Port::Streams(TcpListener::from(socket), Some(relay.to), Watch::NONE)
        };
        self.ports.push(port);
        Ok(())
    }

    /// Takes what comes to all ports from now on, and what has come.
    pub(crate) fn watch(&mut self) {
        let interest = if self.paused {
            EventFlags::empty()
        } else {
            EventFlags::IN
        };
        for (number, port) in (0..).zip(&mut self.ports).skip(self.watched) {
            let ready = Ready::Port(number);
            // It fails only for want of the kernel's memory; then the port is held, and not served.
            let _ = match port {
                Port::Datagrams(socket, _) => {
                    epoll::add(&self.epoll, &*socket, ready.data(), EventFlags::IN).map_err(io::Error::from)
                }
                Port::Streams(listener, _, watch) => watch.set(&self.epoll, &*listener, ready, interest),
                Port::Released => Ok(()),
            };
        }
        self.watched = self.ports.len();
    }

    /// Has what comes to the ports go elsewhere from now on, or nowhere; connections that stand are left
    /// alone. Returns the targets whose ports are not served here.
    pub(crate) fn retarget(&mut self, targets: &[Target]) -> Vec<Target> {
        let mut rest = targets.to_vec();
        for (number, port) in (0..).zip(&mut self.ports) {
            let (own, datagrams, to) = match port {
                Port::Streams(socket, to, _) => (local_address(&*socket), false, to),
                Port::Datagrams(socket, to) => (local_address(&*socket), true, to),
                Port::Released => continue,
            };
            let is_own = |target: &Target| Some(target.host) == own && target.datagrams == datagrams;
            let new = targets.iter().find(|target| is_own(target)).map(|target| target.to);
            rest.retain(|target| !is_own(target));
            if datagrams && *to != new {
                self.datagrams.close(number);
            }
            *to = new;
        }
        rest
    }

    /// The sockets that are served.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ports.iter().filter_map(Port::socket)
    }

    /// Closes sockets, which others have copies of; connections that came by them go on.
    pub(crate) fn release(&mut self, is_meant: impl Fn(BorrowedFd<'_>) -> bool) {
        for (number, port) in (0..).zip(&mut self.ports) {
            if !port.socket().is_some_and(&is_meant) {
                continue;
            }
            // While a copy is open the kernel would go on telling of it here. It fails only for what is
            // not watched.
            let _ = match &mut *port {
                Port::Streams(listener, _, watch) => {
                    watch.set(&self.epoll, &*listener, Ready::Port(number), EventFlags::empty())
                }
                Port::Datagrams(socket, _) => {
                    self.datagrams.close(number);
                    epoll::delete(&self.epoll, &*socket).map_err(io::Error::from)
                }
                Port::Released => Ok(()),
            };
            *port = Port::Released;
        }
    }

    /// Does what can be done now, or some of it.
    pub(crate) fn turn(&mut self) {
        let mut events = Vec::<Event>::with_capacity(EVENTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let space = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.epoll, space, Some(&now)).is_err() {
            return;
        }
        let mut scratch = vec![0; SCRATCH];
        for event in &events {
            match Ready::of(event.data) {
                Ready::Port(number) => self.port_ready(number, &mut scratch),
                Ready::Pair(number, side) => self.pair_ready(number, side, &mut scratch),
                Ready::Flow(number) => {
                    let ports = &self.ports;
                    let port = |index: u32| match ports.get(usize::try_from(index).ok()?)? {
                        Port::Datagrams(socket, _) => Some(socket),
                        Port::Streams(..) | Port::Released => None,
                    };
                    self.datagrams.answer(number, port, &mut scratch);
                }
            }
        }
    }

    fn port_ready(&mut self, number: u32, scratch: &mut [u8]) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        match self.ports.get(index) {
            Some(Port::Streams(listener, to, _)) => match listener.accept() {
                Ok((client, _)) => {
                    // Without a target the client finds its connection closed.
                    if let Some(to) = *to {
                        self.begin(client, to);
                    }
                }
                Err(error) if is_passing(&error) => {}
                // No descriptors are left.
                Err(_) => self.pause(true),
            },
            Some(Port::Datagrams(socket, to)) => {
                self.datagrams.pass(&self.epoll, (number, socket), *to, scratch);
            }
            Some(Port::Released) | None => {}
        }
    }

    fn begin(&mut self, client: TcpStream, to: SocketAddr) {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        // A client whose connection cannot be passed on finds it closed.
        if let Ok(pair) = Pair::new(&self.epoll, number, client, to) {
            self.pairs.insert(number, pair);
        }
        if self.pairs.len() >= PAIRS {
            self.pause(true);
        }
    }

    fn pair_ready(&mut self, number: u32, side: Side, scratch: &mut [u8]) {
        let Some(pair) = self.pairs.get_mut(&number) else {
            return;
        };
        let goes_on = pair.ready(&self.epoll, number, side, scratch);
        if !matches!(goes_on, Ok(true)) {
            self.pairs.remove(&number);
            self.pause(false);
        }
    }

    /// Takes no connections, or takes them again.
    fn pause(&mut self, pause: bool) {
        if self.paused == pause || (pause && self.pairs.is_empty()) {
            return;
        }
        self.paused = pause;
        let interest = if pause { EventFlags::empty() } else { EventFlags::IN };
        for (number, port) in (0..).zip(&mut self.ports).take(self.watched) {
            if let Port::Streams(listener, _, watch) = port {
                // It fails only for want of the kernel's memory; then some ports wait longer.
                let _ = watch.set(&self.epoll, &*listener, Ready::Port(number), interest);
            }
        }
    }
}

impl AsFd for Relays {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Whether an error means to wait for another event, not an end.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    /// Serves `::1` from a thread until dropped; returns the port.
    struct Server(std::sync::Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>, u16);

    impl Server {
        fn start(datagrams: bool, to: SocketAddr) -> Self {
            let (socket, port): (OwnedFd, u16) = if datagrams {
                let socket = UdpSocket::bind("[::1]:0").unwrap();
                socket.set_nonblocking(true).unwrap();
                let port = socket.local_addr().unwrap().port();
                (socket.into(), port)
            } else {
                let socket = TcpListener::bind("[::1]:0").unwrap();
                socket.set_nonblocking(true).unwrap();
                let port = socket.local_addr().unwrap().port();
                (socket.into(), port)
            };
            let relay = Relay {
                socket: 0,
                datagrams,
                to,
            };
            let mut relays = Relays::new(vec![(socket, relay)]).unwrap();
            relays.watch();
            let stop = std::sync::Arc::new(AtomicBool::new(false));
            let told = stop.clone();
            let thread = std::thread::spawn(move || {
                while !told.load(Ordering::Relaxed) {
                    let mut ready = [rustix::event::PollFd::new(&relays, rustix::event::PollFlags::IN)];
                    let patience = Timespec {
                        tv_sec: 0,
                        tv_nsec: 10_000_000,
                    };
                    rustix::event::poll(&mut ready, Some(&patience)).unwrap();
                    relays.turn();
                }
            });
            Self(stop, Some(thread), port)
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
            self.1.take().unwrap().join().unwrap();
        }
    }

    #[test]
    fn streams_go_both_ways_and_half_close() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(false, target.local_addr().unwrap());
        let mut client = TcpStream::connect(("::1", server.2)).unwrap();
        let (mut inside, _) = target.accept().unwrap();
        let long: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&long).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"done");
            });
            let mut seen = Vec::new();
            inside.read_to_end(&mut seen).unwrap();
            assert!(seen == long, "{} bytes", seen.len());
            inside.write_all(b"done").unwrap();
            drop(inside);
        });
    }

    #[test]
    fn ports_lead_elsewhere_when_told() {
        let targets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let host = socket.local_addr().unwrap();
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.connect(host).unwrap();
        let target = |number: usize| Target {
            host,
            datagrams: true,
            to: targets[number].local_addr().unwrap(),
        };
        let relay = Relay {
            socket: 0,
            datagrams: true,
            to: target(0).to,
        };
        let mut relays = Relays::new(vec![(socket.into(), relay)]).unwrap();
        relays.watch();
        let send = |relays: &mut Relays, text: &[u8]| {
            client.send(text).unwrap();
            relays.turn();
        };
        let seen = |number: usize| {
            let mut seen = [0; 9];
            targets[number].set_nonblocking(true).unwrap();
            targets[number]
                .recv(&mut seen)
                .ok()
                .map(|length| seen[..length].to_vec())
        };
        send(&mut relays, b"a");
        assert_eq!((seen(0), seen(1)), (Some(b"a".to_vec()), None));
        let foreign = Target {
            host: "[::1]:1".parse().unwrap(),
            ..target(1)
        };
        assert_eq!(relays.retarget(&[target(1), foreign]), [foreign]);
        send(&mut relays, b"b");
        assert_eq!((seen(0), seen(1)), (None, Some(b"b".to_vec())));
        assert!(relays.retarget(&[]).is_empty());
        send(&mut relays, b"c");
        assert_eq!((seen(0), seen(1)), (None, None));
    }

    #[test]
    fn refused_connections_are_closed() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = Server::start(false, closed);
        let mut client = TcpStream::connect(("::1", server.2)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert!(matches!(client.read(&mut [0; 9]), Ok(0) | Err(_)));
    }

    #[test]
    fn datagrams_find_their_client() {
        let target = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Server::start(true, target.local_addr().unwrap());
        let clients = [(); 2].map(|()| UdpSocket::bind("[::1]:0").unwrap());
        for (number, client) in (0_u8..).zip(&clients) {
            client.connect(("::1", server.2)).unwrap();
            client.send(&[number]).unwrap();
        }
        for _ in &clients {
            let mut seen = [0; 9];
            let (length, from) = target.recv_from(&mut seen).unwrap();
            target.send_to(&seen[..length], from).unwrap();
        }
        for (number, client) in (0_u8..).zip(&clients) {
            let mut seen = [0; 9];
            assert_eq!(client.recv(&mut seen).unwrap(), 1);
            assert_eq!(seen[0], number);
        }
    }
}
