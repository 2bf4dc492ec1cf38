//! An attached client: a socket that gets a process's output and gives it input.
//!
//! The socket may be the far end of a user's connection and stays as it came, blocking or not; each
//! call says `MSG_DONTWAIT`. Output that the socket does not take at once waits here, and the
//! process's output is not read before it is gone, so that nothing is lost and little is kept.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use crate::detach::DetachKeys;
use crate::json_line::Stream;
use crate::poll::{EventFlags, PAUSED, Poll, Source, Watch};
use corten_shim::protocol::Attach;

/// How much unread input is taken off a client's socket when it is closed.
const DISCARDED: usize = 1 << 20;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    watch: Watch,
    /// Whether the process has a terminal, whose output travels without frames.
    tty: bool,
    /// Whether it still gives input.
    pub(crate) input: bool,
    wants: [bool; 2],
    /// Whether it still takes output.
    output: bool,
    keys: Option<DetachKeys>,
    waiting: Vec<u8>,
    sent: usize,
}

/// What came from a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Input, or nothing for now.
    Input,
    /// The client sends no more.
    End,
    /// The client typed its detach keys.
    Detached,
}

impl Client {
    /// Takes a client in.
    pub(crate) fn new(poll: &Poll, source: Source, socket: OwnedFd, tty: bool, attach: &Attach) -> io::Result<Self> {
        let watch = poll.add(&socket, source, PAUSED)?;
        let keys = match tty {
            true => DetachKeys::new(attach.detach_keys.clone()),
            false => None,
        };
        Ok(Self {
            socket,
            watch,
            tty,
            input: attach.stdin,
            wants: [attach.stdout, attach.stderr],
            output: true,
            keys,
            waiting: Vec::new(),
            sent: 0,
        })
    }

    /// Whether output of `stream` must wait for this client.
    pub(crate) fn holds_up(&self, stream: Stream) -> bool {
        self.is_behind() && self.wants[stream.index()]
    }

    /// Whether output waits for the socket.
    pub(crate) fn is_behind(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// Whether nothing more can pass in either direction.
    pub(crate) fn is_gone(&self) -> bool {
        !self.output && !self.input
    }

    /// Sends output, or keeps it until the socket takes it.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.output || !self.wants[stream.index()] {
            return;
        }
        let header = match self.tty {
            true => Vec::new(),
            false => frame_header(stream, bytes.len()),
        };
        let sent = match self.is_behind() {
            true => 0,
            false => self.send(&header, bytes),
        };
        if self.output {
            let of_header = sent.min(header.len());
            self.waiting.extend_from_slice(&header[of_header..]);
            self.waiting.extend_from_slice(&bytes[sent - of_header..]);
        }
    }

    /// Sends what waits; call it when the socket can be written.
    pub(crate) fn flush(&mut self) {
        if self.is_behind() {
            let waiting = std::mem::take(&mut self.waiting);
            self.sent += self.send(&[], &waiting[self.sent..]);
            self.waiting = waiting;
        }
        if !self.is_behind() {
            self.waiting = Vec::new();
            self.sent = 0;
        }
    }

    /// Sends what the socket takes now and returns how much that is; finds out when nobody reads.
    fn send(&mut self, header: &[u8], bytes: &[u8]) -> usize {
        let parts = [IoSlice::new(header), IoSlice::new(bytes)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            let mut control = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.socket, &parts, &mut control, flags) {
                Ok(sent) => return sent,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return 0,
                Err(_) => {
                    self.end_output();
                    return 0;
                }
            }
        }
    }

    /// Stops sending: nobody reads.
    pub(crate) fn end_output(&mut self) {
        self.output = false;
        self.waiting = Vec::new();
        self.sent = 0;
    }

    /// Receives input once, by way of `scratch`, and appends it to `out`.
    pub(crate) fn receive(&mut self, scratch: &mut [u8], out: &mut Vec<u8>) -> Received {
        match rustix::net::recv(&self.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Received::End,
            Ok((length, _)) => self.typed(&scratch[..length], out),
            Err(Errno::INTR | Errno::AGAIN) => Received::Input,
            Err(_) => {
                self.end_output();
                Received::End
            }
        }
    }

    /// Takes input in that was read from the client.
    pub(crate) fn typed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Received {
        let Some(keys) = &mut self.keys else {
            out.extend_from_slice(bytes);
            return Received::Input;
        };
        match keys.filter(bytes, out) {
            true => Received::Detached,
            false => Received::Input,
        }
    }

    /// Waits for what this client can do next; it may give input when `ready` for it.
    pub(crate) fn watch(&mut self, poll: &Poll, ready: bool) {
        let mut interest = EventFlags::empty();
        if self.input && ready {
            interest |= EventFlags::IN;
        }
        if self.is_behind() {
            interest |= EventFlags::OUT;
        }
        if interest.is_empty() {
            interest = PAUSED;
        }
        poll.set(&self.socket, &mut self.watch, interest);
    }

    /// Ends the connection in both directions.
    ///
    /// Input that nobody read is taken off first: the kernel would make an error of it at the far
    /// end, and the client would lose the output that it has not read yet.
    pub(crate) fn close(self, poll: &Poll) {
        poll.remove(&self.socket);
        // It fails when the far end has closed already.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        let mut scratch = [0; 4096];
        let mut left = DISCARDED;
        while let Ok((length @ 1.., _)) = rustix::net::recv(&self.socket, &mut scratch, RecvFlags::DONTWAIT) {
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Docker API, `POST /containers/{id}/attach`, "Stream format".
fn frame_header(stream: Stream, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let kind = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    let mut header = vec![kind, 0, 0, 0];
    header.extend_from_slice(&length);
    header
}
