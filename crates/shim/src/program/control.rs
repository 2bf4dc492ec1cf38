//! Control connections: the engine's, and those of an engine that came later.
//!
//! Nothing here waits. What a connection does not read is kept up to a bound; then it is closed, as
//! it is after anything that is not the [protocol](crate::protocol).

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use corten_shim::connection::{Incoming, Outgoing, encode};

use crate::poll::{EventFlags, Poll, Source, Watch};
use corten_shim::protocol::{Call, Message};

/// How much may wait for a connection's reader.
const BACKLOG: usize = 1 << 20;

/// A connection.
#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixStream,
    watch: Watch,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Whether it gets events.
    pub(crate) subscribed: bool,
}

impl Control {
    /// Goes on with a connection of which `incoming` has been received.
    pub(crate) fn new(poll: &Poll, number: u32, socket: UnixStream, incoming: Incoming) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let watch = poll.add(&socket, Source::Control(number), EventFlags::IN)?;
        Ok(Self {
            socket,
            watch,
            incoming,
            outgoing: Outgoing::default(),
            subscribed: false,
        })
    }

    /// Receives what is there and returns the calls in it.
    ///
    /// # Errors
    ///
    /// When the connection is of no more use: it has ended, or it does not speak the protocol.
    pub(crate) fn receive(&mut self) -> io::Result<()> {
        match self.incoming.receive(&self.socket) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the next call that was received, with the descriptors it names.
    ///
    /// # Errors
    ///
    /// When it is not the protocol.
    pub(crate) fn next_call(&mut self) -> io::Result<Option<(Call, Vec<OwnedFd>)>> {
        let Some(call) = self.incoming.next_message::<Call>()? else {
            return Ok(None);
        };
        let descriptors = self.incoming.take_descriptors(call.request.descriptors())?;
        Ok(Some((call, descriptors)))
    }

    /// Sends a message with the descriptors it names, or keeps both until they can be sent.
    ///
    /// # Errors
    ///
    /// When the other side is gone, or reads too little.
    pub(crate) fn send(&mut self, poll: &Poll, message: &Message, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        self.outgoing.push(encode(message)?, descriptors);
        self.flush(poll)?;
        match self.outgoing.len() > BACKLOG {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    ///
    /// When the other side is gone.
    pub(crate) fn flush(&mut self, poll: &Poll) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.outgoing.send(&self.socket) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut interest = EventFlags::IN;
        if !self.outgoing.is_empty() {
            interest |= EventFlags::OUT;
        }
        poll.set(&self.socket, &mut self.watch, interest);
        Ok(())
    }

    /// Whether everything has been sent.
    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Closes the connection.
    pub(crate) fn close(self, poll: &Poll) {
        poll.remove(&self.socket);
    }
}
