//! The server at 127.0.0.11 of a container: sockets for the rules in [`corten_shim::names`].
//!
//! ```text
//!   container ─ udp, tcp ─► Names ─ known ──► answer
//!                             │
//!                             └─ unknown ──► Forwarding ─► servers of the host or of the user
//! ```
//!
//! Both kinds of file are read again for each question, and so is the host's resolv.conf for each one
//! that is passed on: they are small, and then whatever changes is known at once. Everything is
//! bounded: questions that are being asked elsewhere, clients by TCP, and how long each may take.

mod client;
mod forwarding;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use corten_shim::names::message::{Query, Refusal, code, refuse_unread};
use corten_shim::names::{self, Decision, FILE, Settings, decide};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use crate::poll::{EventFlags, Poll, Source};
use client::Client;
use forwarding::{Forwarding, Progress, Server};

/// How many questions may be asked elsewhere at a time.
const MOST_FORWARDED: usize = 256;
/// How many clients may be connected by TCP.
const MOST_CLIENTS: usize = 32;
/// How many datagrams are taken before others have their turn.
const AT_ONCE: usize = 16;
/// The longest question.
const LONGEST: usize = 4096;
/// The longest message.
const LONGEST_MESSAGE: usize = 65_535;
/// Where the host's servers are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What of the server is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A datagram has come.
    Datagram,
    /// A client connects.
    Listener,
    /// A client by TCP.
    Client(u32),
    /// A question that is asked elsewhere.
    Forwarding(u32),
}

/// Who asked.
#[derive(Debug, Clone, Copy)]
enum Asker {
    Datagram(SocketAddr),
    Client(u32),
}

/// The server of a container.
pub(crate) struct Names {
    udp: OwnedFd,
    tcp: OwnedFd,
    bundle: PathBuf,
    /// The container's first process, as the host counts.
    pid: i32,
    forwarded: BTreeMap<u32, (Asker, Forwarding)>,
    clients: BTreeMap<u32, Client>,
    next: u32,
    turn: usize,
}

impl Names {
    /// Serves on two sockets that are bound: one for datagrams, one that listens.
    pub(crate) fn new(poll: &Poll, udp: OwnedFd, tcp: OwnedFd, bundle: PathBuf, pid: i32) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&udp, true)?;
        rustix::io::ioctl_fionbio(&tcp, true)?;
        poll.add(&udp, Source::Names(Ready::Datagram), EventFlags::IN)?;
        poll.add(&tcp, Source::Names(Ready::Listener), EventFlags::IN)?;
        Ok(Self {
            udp,
            tcp,
            bundle,
            pid,
            forwarded: BTreeMap::new(),
            clients: BTreeMap::new(),
            next: 0,
            turn: 0,
        })
    }

    /// Serves no more.
    pub(crate) fn close(self, poll: &Poll) {
        poll.remove(&self.udp);
        poll.remove(&self.tcp);
        self.clients.into_values().for_each(|client| client.close(poll));
        self.forwarded
            .into_values()
            .for_each(|(_, forwarding)| forwarding.close(poll));
    }

    /// Goes on with what is ready.
    pub(crate) fn ready(&mut self, poll: &Poll, what: Ready, flags: EventFlags) {
        match what {
            Ready::Datagram => self.datagrams(poll),
            Ready::Listener => self.accept(poll),
            Ready::Client(number) => self.client_ready(poll, number, flags),
            Ready::Forwarding(number) => {
                self.forwarding_ready(poll, number, |poll, forwarding| forwarding.ready(poll, flags))
            }
        }
    }

    /// When something has waited for long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let forwarded = self.forwarded.values().map(|(_, forwarding)| forwarding.deadline());
        forwarded.chain(self.clients.values().map(Client::deadline)).min()
    }

    /// Gives up what has waited for long enough.
    pub(crate) fn give_up(&mut self, poll: &Poll) {
        if self.forwarded.is_empty() && self.clients.is_empty() {
            return;
        }
        let now = Instant::now();
        let late = self
            .forwarded
            .iter()
            .filter(|(_, (_, forwarding))| forwarding.deadline() <= now);
        for number in late.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.forwarding_ready(poll, number, |poll, forwarding| forwarding.next(poll));
        }
        let idle = self.clients.iter().filter(|(_, client)| client.deadline() <= now);
        for number in idle.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.drop_client(poll, number);
        }
    }

    fn datagrams(&mut self, poll: &Poll) {
        let mut buffer = [0; LONGEST];
        for _ in 0..AT_ONCE {
            let Ok((length, _, sender)) = rustix::net::recvfrom(&self.udp, &mut buffer, RecvFlags::empty()) else {
                return;
            };
            if let Some(sender) = sender.and_then(|sender| SocketAddr::try_from(sender).ok()) {
                self.question(poll, Asker::Datagram(sender), &buffer[..length.min(LONGEST)]);
            }
        }
    }

    /// Answers a question, or asks others.
    fn question(&mut self, poll: &Poll, asker: Asker, message: &[u8]) {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(Refusal::Silent) => return self.ignore(poll, asker),
            Err(Refusal::Code(code)) => {
                let answer = refuse_unread(message, code).unwrap_or_default();
                return self.reply(poll, asker, &answer);
            }
        };
        let settings = self.settings();
        let read = |path: &std::path::Path| corten_sys::fs::read_to_string(path).ok();
        self.turn = self.turn.wrapping_add(1);
        let answer = match decide(&query.question, &settings, self.turn, read) {
            Decision::Answer(records) => {
                let limit = match asker {
                    Asker::Datagram(_) => query.limit(),
                    Asker::Client(_) => LONGEST_MESSAGE,
                };
                query.answer(message, &records, limit)
            }
            Decision::Fail => query.refuse(message, code::FAILED),
            Decision::Forward if self.forwarded.len() >= MOST_FORWARDED => query.refuse(message, code::REFUSED),
            Decision::Forward => return self.forward(poll, asker, message, query, &settings),
        };
        self.reply(poll, asker, &answer);
    }

    fn settings(&self) -> Settings {
        // Without it nobody is known, and the host's servers are asked.
        let text = corten_sys::fs::read_to_string(self.bundle.join(FILE)).unwrap_or_default();
        Settings::parse(&text)
    }

    fn forward(&mut self, poll: &Poll, asker: Asker, message: &[u8], query: Query, settings: &Settings) {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let is_stream = matches!(asker, Asker::Client(_));
        let servers = self.servers(settings);
        let forwarding = Forwarding::new(number, message.to_vec(), query, servers, is_stream);
        self.forwarded.insert(number, (asker, forwarding));
        self.forwarding_ready(poll, number, |poll, forwarding| forwarding.next(poll));
    }

    /// Those that the user named, within the container's network; else the host's, within its own.
    fn servers(&self, settings: &Settings) -> Vec<Server> {
        let (addresses, pid): (Vec<IpAddr>, _) = match settings.servers.is_empty() {
            false => (settings.servers.clone(), Some(self.pid)),
            true => {
                let text = corten_sys::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
                (names::servers(&text), None)
            }
        };
        let server = |address| Server { address, pid };
        addresses.into_iter().map(server).collect()
    }

    fn forwarding_ready(&mut self, poll: &Poll, number: u32, act: impl FnOnce(&Poll, &mut Forwarding) -> Progress) {
        let Some((asker, forwarding)) = self.forwarded.get_mut(&number) else {
            return;
        };
        let asker = *asker;
        if let Progress::Done(answer) = act(poll, forwarding) {
            if let Some((_, forwarding)) = self.forwarded.remove(&number) {
                forwarding.close(poll);
            }
            self.reply(poll, asker, &answer);
        }
    }

    fn reply(&mut self, poll: &Poll, asker: Asker, answer: &[u8]) {
        match asker {
            Asker::Datagram(address) => {
                // What does not arrive is asked for again.
                let _ = rustix::net::sendto(&self.udp, answer, SendFlags::DONTWAIT, &address);
            }
            Asker::Client(number) => {
                let sent = self.clients.get_mut(&number).map(|client| client.answer(poll, answer));
                match sent {
                    Some(Ok(())) => self.next_of_client(poll, number),
                    Some(Err(_)) => self.drop_client(poll, number),
                    None => {}
                }
            }
        }
    }

    /// Does nothing with what is no question; a client that sends such things is left.
    fn ignore(&mut self, poll: &Poll, asker: Asker) {
        if let Asker::Client(number) = asker {
            self.drop_client(poll, number);
        }
    }

    fn accept(&mut self, poll: &Poll) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = rustix::net::accept_with(&self.tcp, flags) else {
            return;
        };
        if self.clients.len() >= MOST_CLIENTS {
            return;
        }
        self.next = self.next.wrapping_add(1);
        if let Ok(client) = Client::new(poll, self.next, socket) {
            self.clients.insert(self.next, client);
        }
    }

    fn client_ready(&mut self, poll: &Poll, number: u32, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        match client.ready(poll, flags) {
            Ok(()) => self.next_of_client(poll, number),
            Err(_) => self.drop_client(poll, number),
        }
    }

    /// Takes up a client's next question, if it has come and the last one is answered.
    fn next_of_client(&mut self, poll: &Poll, number: u32) {
        if let Some(message) = self.clients.get_mut(&number).and_then(Client::next_question) {
            self.question(poll, Asker::Client(number), &message);
        }
    }

    fn drop_client(&mut self, poll: &Poll, number: u32) {
        if let Some(client) = self.clients.remove(&number) {
            client.close(poll);
        }
    }
}

/// Opens a socket within the network of a process, or here. The program has one thread.
fn socket_of(pid: Option<i32>, open: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let Some(pid) = pid else {
        return open();
    };
    let there = corten_sys::fs::open(format!("/proc/{pid}/ns/net"))?;
    let here = corten_sys::netns::current()?;
    corten_sys::netns::enter(there.as_fd())?;
    let socket = open();
    corten_sys::netns::enter(here.as_fd())?;
    socket
}

/// How long a server or a client may take.
const PATIENCE: Duration = Duration::from_secs(4);
