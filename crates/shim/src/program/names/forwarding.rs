//! A question that is asked elsewhere: of one server after the other until one has an answer.
//!
//! The question is passed on as it came, but for its number, from a port of its own; so is the answer.
//! What came by TCP is asked by TCP.

use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use corten_shim::names::message::{Query, code, id, response_code, set_id};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{LONGEST_MESSAGE, PATIENCE, Ready, socket_of};
use crate::poll::{EventFlags, Poll, Source};

const PORT: u16 = 53;

/// Whom to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub(super) address: IpAddr,
    /// In whose network; none for the host's.
    pub(super) pid: Option<i32>,
}

/// Whether there is an answer.
#[derive(Debug)]
pub(super) enum Progress {
    Waiting,
    Done(Vec<u8>),
}

pub(super) struct Forwarding {
    number: u32,
    /// With a number of ours.
    message: Vec<u8>,
    /// The client's number.
    id: [u8; 2],
    query: Query,
    servers: std::vec::IntoIter<Server>,
    is_stream: bool,
    attempt: Option<Attempt>,
    /// A refusal of a server, which is the answer if no other gives a better one.
    refusal: Option<Vec<u8>>,
    deadline: Instant,
}

/// The exchange with one server.
struct Attempt {
    socket: OwnedFd,
    watch: crate::poll::Watch,
    /// What is to be sent by TCP yet.
    outgoing: Vec<u8>,
    /// What was received by TCP.
    incoming: Vec<u8>,
}

impl Forwarding {
    pub(super) fn new(number: u32, mut message: Vec<u8>, query: Query, servers: Vec<Server>, is_stream: bool) -> Self {
        let id = id(&message).unwrap_or_default();
        let [a, b, ..] = std::hash::RandomState::new().build_hasher().finish().to_ne_bytes();
        set_id(&mut message, [a, b]);
        Self {
            number,
            message,
            id,
            query,
            servers: servers.into_iter(),
            is_stream,
            attempt: None,
            refusal: None,
            deadline: Instant::now() + PATIENCE,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn close(self, poll: &Poll) {
        if let Some(attempt) = &self.attempt {
            poll.remove(&attempt.socket);
        }
    }

    /// Asks the next server; when there is none, the question has failed.
    pub(super) fn next(&mut self, poll: &Poll) -> Progress {
        if let Some(attempt) = self.attempt.take() {
            poll.remove(&attempt.socket);
        }
        while let Some(server) = self.servers.next() {
            if let Ok(attempt) = self.ask(poll, server) {
                self.attempt = Some(attempt);
                self.deadline = Instant::now() + PATIENCE;
                return Progress::Waiting;
            }
        }
        let failure = || self.query.refuse(&self.message, code::FAILED);
        let answer = self.refusal.take().unwrap_or_else(failure);
        self.done(answer)
    }

    /// Goes on when the server has something to say, or can be told something.
    pub(super) fn ready(&mut self, poll: &Poll, flags: EventFlags) -> Progress {
        let received = match self.is_stream {
            true => self.stream_ready(poll, flags),
            false => self.datagram(),
        };
        match received {
            Ok(None) => Progress::Waiting,
            Ok(Some(answer)) => self.judge(poll, answer),
            Err(_) => self.next(poll),
        }
    }

    /// Takes an answer, unless it is none, or another server may know better.
    fn judge(&mut self, poll: &Poll, answer: Vec<u8>) -> Progress {
        match response_code(&answer, &self.message, self.query.end) {
            // Not from the server, or of another question.
            None => Progress::Waiting,
            Some(code::FAILED | code::REFUSED) => {
                self.refusal = Some(answer);
                self.next(poll)
            }
            Some(_) => self.done(answer),
        }
    }

    fn done(&self, mut answer: Vec<u8>) -> Progress {
        set_id(&mut answer, self.id);
        Progress::Done(answer)
    }

    fn ask(&self, poll: &Poll, server: Server) -> io::Result<Attempt> {
        let address = SocketAddr::new(server.address, PORT);
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let kind = if self.is_stream {
            SocketType::STREAM
        } else {
            SocketType::DGRAM
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_of(server.pid, || Ok(rustix::net::socket_with(family, kind, flags, None)?))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let (mut outgoing, mut interest) = (Vec::new(), EventFlags::IN);
        if self.is_stream {
            let length = u16::try_from(self.message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            outgoing.extend(length.to_be_bytes());
            outgoing.extend_from_slice(&self.message);
            interest |= EventFlags::OUT;
        } else {
            rustix::net::send(&socket, &self.message, SendFlags::DONTWAIT)?;
        }
        let watch = poll.add(&socket, Source::Names(Ready::Forwarding(self.number)), interest)?;
        Ok(Attempt {
            socket,
            watch,
            outgoing,
            incoming: Vec::new(),
        })
    }

    fn datagram(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(attempt) = &self.attempt else {
            return Ok(None);
        };
        let mut buffer = vec![0; LONGEST_MESSAGE];
        match rustix::net::recv(&attempt.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(Some(buffer[..length.min(buffer.len())].to_vec())),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn stream_ready(&mut self, poll: &Poll, flags: EventFlags) -> io::Result<Option<Vec<u8>>> {
        let Some(attempt) = &mut self.attempt else {
            return Ok(None);
        };
        attempt.send(poll)?;
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(None);
        }
        attempt.receive()
    }
}

impl Attempt {
    fn send(&mut self, poll: &Poll) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.socket, &self.outgoing, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        poll.set(&self.socket, &mut self.watch, EventFlags::IN);
        Ok(())
    }

    /// Receives what is there; an answer once it is whole.
    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((length, _)) => self.incoming.extend_from_slice(&buffer[..length.min(buffer.len())]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(length) = self.incoming.first_chunk().map(|length| u16::from_be_bytes(*length)) else {
            return Ok(None);
        };
        let end = 2 + usize::from(length);
        Ok(self.incoming.get(2..end).map(<[u8]>::to_vec))
    }
}
