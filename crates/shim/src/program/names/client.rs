//! A client by TCP: questions with their length before them (RFC 1035, section 4.2.2), one at a time.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{PATIENCE, Ready};
use crate::poll::{EventFlags, PAUSED, Poll, Source, Watch};

/// How much of what a client sends ahead is kept.
const AHEAD: usize = 8192;

#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    watch: Watch,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Whether a question is not answered yet.
    busy: bool,
    /// Whether the client sends no more.
    ended: bool,
    since: Instant,
}

impl Client {
    pub(super) fn new(poll: &Poll, number: u32, socket: OwnedFd) -> io::Result<Self> {
        let watch = poll.add(&socket, Source::Names(Ready::Client(number)), EventFlags::IN)?;
        Ok(Self {
            socket,
            watch,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            busy: false,
            ended: false,
            since: Instant::now(),
        })
    }

    /// When it has been silent for too long.
    pub(super) fn deadline(&self) -> Instant {
        // Three servers may be asked for it, one after the other.
        self.since + PATIENCE * 4
    }

    /// Receives and sends what can be.
    ///
    /// # Errors
    ///
    /// When the client is gone or finished.
    pub(super) fn ready(&mut self, poll: &Poll, flags: EventFlags) -> io::Result<()> {
        if flags.intersects(EventFlags::ERR) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP) && self.incoming.len() < AHEAD {
            let mut buffer = [0; 4096];
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.ended = true,
                Ok((length, _)) => {
                    self.incoming.extend_from_slice(&buffer[..length.min(buffer.len())]);
                    self.since = Instant::now();
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.flush(poll)
    }

    /// The next question, once the last one is answered.
    pub(super) fn next_question(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes(*self.incoming.first_chunk()?));
        if self.busy || self.incoming.len() < 2 + length {
            return None;
        }
        self.busy = true;
        let question = self.incoming[2..2 + length].to_vec();
        self.incoming.drain(..2 + length);
        Some(question)
    }

    /// Sends the answer to the question that was taken last.
    ///
    /// # Errors
    ///
    /// When the client is gone or finished.
    pub(super) fn answer(&mut self, poll: &Poll, answer: &[u8]) -> io::Result<()> {
        self.busy = false;
        self.since = Instant::now();
        let length = u16::try_from(answer.len()).map_err(|_| ErrorKind::InvalidData)?;
        self.outgoing.extend(length.to_be_bytes());
        self.outgoing.extend_from_slice(answer);
        self.flush(poll)
    }

    pub(super) fn close(self, poll: &Poll) {
        poll.remove(&self.socket);
    }

    fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match rustix::net::send(&self.socket, &self.outgoing, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.ended && !self.busy && self.outgoing.is_empty() && !self.has_question() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut interest = PAUSED;
        if !self.ended && self.incoming.len() < AHEAD {
            interest = EventFlags::IN;
        }
        if !self.outgoing.is_empty() {
            interest |= EventFlags::OUT;
        }
        poll.set(&self.socket, &mut self.watch, interest);
        Ok(())
    }

    fn has_question(&self) -> bool {
        let length = self
            .incoming
            .first_chunk()
            .map(|length| usize::from(u16::from_be_bytes(*length)));
        length.is_some_and(|length| self.incoming.len() >= 2 + length)
    }
}
