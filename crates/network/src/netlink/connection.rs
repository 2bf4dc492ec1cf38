//! Sends messages and collects what the kernel answers.
//!
//! The kernel answers requests while it takes them, so an answer is there when `send` returns.

use std::io;

use corten_sys::netlink::{NetlinkSocket, Protocol};

use super::reader::{Reply, attributes, u32_at};
use super::writer::Messages;
use crate::{Error, Result};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const DUMP_INTERRUPTED: u16 = 0x10;
const ACK_HAS_TEXT: u16 = 0x200;
const ATTR_MSG: u16 = 1;
/// The kernel fits the datagrams of a dump to the reader's buffer.
const BUFFER: usize = 16 * 1024;

/// A socket with its receive buffer.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: NetlinkSocket,
    buffer: Vec<u8>,
}

impl Connection {
    /// Opens a connection in the calling thread's network namespace.
    pub(crate) fn open(protocol: Protocol) -> Result<Self> {
        let socket =
            NetlinkSocket::open(protocol).map_err(|error| Error::from_io("cannot open a netlink socket", error))?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
        })
    }

    pub(crate) fn socket(&self) -> &NetlinkSocket {
        &self.socket
    }

    /// Frees the receive buffer until it is needed again.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    /// Sends messages that all ask for an acknowledgement, and returns the other answers.
    ///
    /// The kernel goes on after a message it refuses; the first refusal is the error.
    pub(crate) fn request(&mut self, messages: &Messages) -> Result<Vec<Reply>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        self.send(messages)?;
        let mut answers = Vec::new();
        let mut failure = None;
        loop {
            for reply in self.receive(messages)? {
                if reply.kind != ERROR {
                    answers.push(reply);
                    continue;
                }
                if let Some(error) = refusal(&reply, messages) {
                    failure.get_or_insert(error);
                }
                if reply.sequence == messages.last() {
                    return failure.map_or(Ok(answers), Err);
                }
            }
        }
    }

    /// Sends a batch that the kernel takes or refuses as a whole: only the message numbered
    /// `acknowledged` asks for an acknowledgement, and `begin` is the one that stands for all.
    pub(crate) fn transact(&mut self, messages: &Messages, acknowledged: u32) -> Result<()> {
        const BEGIN: u32 = 1;
        self.send(messages)?;
        let mut failure = None;
        loop {
            for reply in self.receive(messages)?.into_iter().filter(|reply| reply.kind == ERROR) {
                if let Some(error) = refusal(&reply, messages) {
                    failure.get_or_insert(error);
                }
                if reply.sequence == acknowledged || reply.sequence == BEGIN {
                    return failure.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends one dump request and returns the whole list, again if it changed meanwhile.
    pub(crate) fn dump(&mut self, message: &Messages) -> Result<Vec<Reply>> {
        loop {
            if let Some(list) = self.dump_once(message)? {
                return Ok(list);
            }
        }
    }

    fn dump_once(&mut self, message: &Messages) -> Result<Option<Vec<Reply>>> {
        self.send(message)?;
        let mut list = Vec::new();
        let mut interrupted = false;
        loop {
            for reply in self.receive(message)? {
                interrupted |= reply.flags & DUMP_INTERRUPTED != 0;
                match reply.kind {
                    DONE => return Ok((!interrupted).then_some(list)),
                    ERROR => match refusal(&reply, message) {
                        Some(error) => return Err(error),
                        None => return Ok(Some(list)),
                    },
                    _ => list.push(reply),
                }
            }
        }
    }

    fn send(&self, messages: &Messages) -> Result<()> {
        self.socket
            .send(messages.bytes())
            .map_err(|error| Error::from_io(format!("cannot {}", messages.purpose(messages.last())), error))
    }

    fn receive(&mut self, messages: &Messages) -> Result<Vec<Reply>> {
        self.buffer.resize(BUFFER, 0);
        let length = self.socket.receive(&mut self.buffer).map_err(|error| {
            Error::from_io(
                format!("cannot hear whether to {} worked", messages.purpose(messages.last())),
                error,
            )
        })?;
        Ok(Reply::split(&self.buffer[..length]))
    }

    /// Waits for one datagram of notifications.
    pub(crate) fn notifications(&mut self) -> io::Result<Vec<Reply>> {
        self.buffer.resize(BUFFER, 0);
        let length = self.socket.receive(&mut self.buffer)?;
        Ok(Reply::split(&self.buffer[..length]))
    }
}

/// Reads an `NLMSG_ERROR`, which is an acknowledgement when its number is 0.
fn refusal(reply: &Reply, messages: &Messages) -> Option<Error> {
    let number = i32::from_ne_bytes(u32_at(&reply.payload, 0)?.to_ne_bytes());
    if number == 0 {
        return None;
    }
    let mut message = format!("cannot {}", messages.purpose(reply.sequence));
    if reply.flags & ACK_HAS_TEXT != 0 {
        // The refused message's header stands between the number and the texts.
        let texts = attributes(reply.payload.get(20..).unwrap_or_default());
        for text in texts.filter(|attribute| attribute.kind == ATTR_MSG) {
            message = format!("{message} ({})", text.string());
        }
    }
    Some(Error::from_io(message, io::Error::from_raw_os_error(-number)))
}
