//! Datagrams: each client has a socket to the container, by which its answers are known.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventFlags};

use super::Ready;

/// How long a client is remembered that sends nothing and gets nothing (Docker's proxy: as long).
const MEMORY: Duration = Duration::from_secs(90);
/// Clients at once; the oldest is forgotten for a further one.
const FLOWS: usize = 200;
/// Datagrams in one turn.
const ROUNDS: usize = 16;

/// All clients of all ports.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    flows: BTreeMap<u32, Flow>,
    by_client: HashMap<(u32, SocketAddr), u32>,
    next: u32,
}

#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    port: u32,
    client: SocketAddr,
    last: Instant,
}

impl Datagrams {
    /// Passes on what has come to a port.
    pub(super) fn pass(
        &mut self,
        epoll: &OwnedFd,
        port: (u32, &UdpSocket),
        to: Option<SocketAddr>,
        scratch: &mut [u8],
    ) {
        let (number, socket) = port;
        for _ in 0..ROUNDS {
            let Ok((length, client)) = socket.recv_from(scratch) else {
                return;
            };
            let Some(to) = to else {
                continue;
            };
            let datagram = scratch.get(..length).unwrap_or_default();
            if let Ok(flow) = self.flow(epoll, number, client, to) {
                flow.last = Instant::now();
                // Datagrams may be lost.
                let _ = flow.socket.send(datagram);
            }
        }
    }

    /// Forgets a port's clients.
    pub(super) fn close(&mut self, port: u32) {
        self.flows.retain(|_, flow| flow.port != port);
        self.by_client.retain(|(own, _), _| *own != port);
    }

    /// Gives a client the container's answers.
    pub(super) fn answer<'a>(&mut self, number: u32, port: impl Fn(u32) -> Option<&'a UdpSocket>, scratch: &mut [u8]) {
        let Some(flow) = self.flows.get_mut(&number) else {
            return;
        };
        let Some(socket) = port(flow.port) else {
            return;
        };
        flow.last = Instant::now();
        for _ in 0..ROUNDS {
            let Ok(length) = flow.socket.recv(scratch) else {
                return;
            };
            let _ = socket.send_to(scratch.get(..length).unwrap_or_default(), flow.client);
        }
    }

    fn flow(&mut self, epoll: &OwnedFd, port: u32, client: SocketAddr, to: SocketAddr) -> io::Result<&mut Flow> {
        let known = self.by_client.get(&(port, client)).copied();
        let number = match known {
            Some(number) => number,
            None => self.begin(epoll, port, client, to)?,
        };
        self.flows
            .get_mut(&number)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn begin(&mut self, epoll: &OwnedFd, port: u32, client: SocketAddr, to: SocketAddr) -> io::Result<u32> {
        self.forget();
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        epoll::add(epoll, &socket, Ready::Flow(number).data(), EventFlags::IN)?;
        let flow = Flow {
            socket,
            port,
            client,
            last: Instant::now(),
        };
        self.flows.insert(number, flow);
        self.by_client.insert((port, client), number);
        Ok(number)
    }

    /// Forgets those who have been silent for long, and one more if there are too many.
    fn forget(&mut self) {
        let oldest = self.flows.values().map(|flow| flow.last).min();
        let full = self.flows.len() >= FLOWS;
        let is_old = |flow: &Flow| flow.last.elapsed() > MEMORY || (full && Some(flow.last) == oldest);
        let old: Vec<u32> = self
            .flows
            .iter()
            .filter(|(_, flow)| is_old(flow))
            .map(|(number, _)| *number)
            .collect();
        for flow in old.into_iter().filter_map(|number| self.flows.remove(&number)) {
            self.by_client.remove(&(flow.port, flow.client));
        }
    }
}
