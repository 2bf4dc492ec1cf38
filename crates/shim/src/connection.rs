//! Frames on a stream socket, for both sides of the [`protocol`](crate::protocol).
//!
//! [`encode`] and [`Decoder`] turn messages into bytes and back and do no I/O. [`Outgoing`] and
//! [`Incoming`] do one `sendmsg(2)` or `recvmsg(2)` a call, so that they serve a non-blocking
//! socket in any event loop; [`Connection`] puts them together over a blocking one.
//!
//! ```text
//!   frame:  ┌──────────────┬───────────────┐
//!           │ length (LE32)│ JSON …        │   first byte carries SCM_RIGHTS
//!           └──────────────┴───────────────┘
//! ```
//!
//! The kernel takes at most [`MAX_DESCRIPTORS`] with one byte; the rest of a longer list travels
//! with the bytes that follow. A receiver sees only their order, which is the order of the frames.
//!
//! ```
//! use corten_shim::connection::Connection;
//! use corten_shim::protocol::{Call, Request};
//!
//! let (near, far) = std::os::unix::net::UnixStream::pair()?;
//! let (mut engine, mut shim) = (Connection::new(near), Connection::new(far));
//! engine.send(&Call { number: 7, request: Request::State }, Vec::new())?;
//! let call: Call = shim.receive()?.expect("the other side is open");
//! assert_eq!(call.number, 7);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::MAX_FRAME;

/// How many descriptors the kernel passes with one message (`unix(7)`, `SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;
/// How many received descriptors may wait for the frame that names them.
const MAX_WAITING: usize = 65_536;
/// The length before a frame's JSON.
const HEADER: usize = 4;
/// How much one `recvmsg` takes.
const CHUNK: usize = 8 << 10;
/// The capacity that an empty buffer may keep.
const KEPT: usize = 4 << 10;

/// Returns the frame that carries `message`.
///
/// # Errors
///
/// `InvalidInput` when the frame would be longer than [`MAX_FRAME`].
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - HEADER;
    match u32::try_from(length) {
        Ok(field) if length <= MAX_FRAME => {
            frame[..HEADER].copy_from_slice(&field.to_le_bytes());
            Ok(frame)
        }
        _ => Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!("message of {length} bytes is longer than {MAX_FRAME}"),
        )),
    }
}

/// Finds the frames in a stream of bytes.
///
/// It keeps what it was fed and no more, whatever length a frame claims.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the JSON of the next frame, or none until more is fed.
    ///
    /// # Errors
    ///
    /// `InvalidData` when the frame claims to be longer than [`MAX_FRAME`]; the stream is then of no use.
    pub fn next_frame(&mut self) -> io::Result<Option<&[u8]>> {
        let rest = &self.bytes[self.taken..];
        let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else {
            self.release();
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("frame of {length} bytes is longer than {MAX_FRAME}"),
            ));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.taken + HEADER;
        self.taken = start + length;
        Ok(Some(&self.bytes[start..start + length]))
    }

    /// Returns the message in the next frame, or none until more is fed.
    ///
    /// # Errors
    ///
    /// `InvalidData` when the frame is too long or does not hold such a message.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(frame) = self.next_frame()? else {
            return Ok(None);
        };
        serde_json::from_slice(frame)
            .map(Some)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
    }

    /// Whether the stream stands between two frames.
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Gives a large buffer back once all in it has been taken.
    fn release(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
            self.taken = 0;
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
            }
        }
    }
}

/// Frames that wait to be sent, with their descriptors.
#[derive(Debug, Default)]
pub struct Outgoing {
    frames: VecDeque<Frame>,
    waiting: usize,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

impl Outgoing {
    /// Appends a frame made by [`encode`] and the descriptors that it names.
    pub fn push(&mut self, frame: Vec<u8>, descriptors: Vec<OwnedFd>) {
        self.waiting += frame.len();
        self.frames.push_back(Frame {
            bytes: frame,
            sent: 0,
            descriptors,
        });
    }

    /// Whether everything has been sent.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Sends once what the socket takes; call it until [`is_empty`](Self::is_empty) or `WouldBlock`.
    ///
    /// Descriptors are closed here as soon as they are sent.
    ///
    /// # Errors
    ///
    /// As of `sendmsg(2)`: `WouldBlock` when a non-blocking socket is full, `BrokenPipe` when nobody reads.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<()> {
        let Some(frame) = self.frames.front_mut() else {
            return Ok(());
        };
        let rest = &frame.bytes[frame.sent..];
        let descriptors = frame.descriptors.len().min(MAX_DESCRIPTORS);
        // One byte for each full load of descriptors, so that the last load has a byte too.
        let bytes = match frame.descriptors.len() > descriptors {
            true => &rest[..1],
            false => rest,
        };
        let sent = send_once(socket.as_fd(), bytes, &frame.descriptors[..descriptors])?;
        frame.descriptors.drain(..descriptors);
        frame.sent += sent;
        self.waiting -= sent;
        if frame.sent == frame.bytes.len() {
            self.frames.pop_front();
        }
        Ok(())
    }
}

fn send_once(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(ErrorKind::InvalidInput.into());
    }
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(sent) => return Ok(sent),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What has been received and not yet understood: bytes, and descriptors in their order.
#[derive(Debug, Default)]
pub struct Incoming {
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
}

impl Incoming {
    /// Receives once what is there and returns how many bytes that was, 0 at the stream's end.
    ///
    /// Call [`next_message`](Self::next_message) until it gives none before receiving again.
    ///
    /// # Errors
    ///
    /// As of `recvmsg(2)`; `InvalidData` when descriptors were lost (this process may have no more)
    /// or pile up unnamed.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let mut bytes = [0; CHUNK];
        let length = self.receive_once(socket.as_fd(), &mut bytes)?;
        self.decoder.feed(&bytes[..length]);
        Ok(length)
    }

    fn receive_once(&mut self, socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let parts = &mut [IoSliceMut::new(bytes)];
            match rustix::net::recvmsg(socket, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        let truncated = received.flags.contains(rustix::net::ReturnFlags::CTRUNC);
        if truncated || self.descriptors.len() > MAX_WAITING {
            return Err(invalid("descriptors were lost"));
        }
        Ok(received.bytes)
    }

    /// Returns the next message, or none until more is received.
    ///
    /// # Errors
    ///
    /// `InvalidData` as [`Decoder::next_message`].
    pub fn next_message<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        if self.decoder.is_empty() {
            // No frame is left that could name them.
            self.descriptors.clear();
        }
        self.decoder.next_message()
    }

    /// Takes the first `count` descriptors, which the message just returned names.
    ///
    /// # Errors
    ///
    /// `InvalidData` when there are fewer.
    pub fn take_descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        if count > self.descriptors.len() {
            return Err(invalid("a message names descriptors that did not come with it"));
        }
        Ok(self.descriptors.drain(..count).collect())
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}

/// A blocking connection.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    incoming: Incoming,
}

impl Connection {
    /// Speaks frames on `socket`, which must be blocking.
    pub fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            incoming: Incoming::default(),
        }
    }

    /// Sends `message` and the descriptors it names, and waits until the kernel has both.
    ///
    /// # Errors
    ///
    /// As [`encode`] and [`Outgoing::send`].
    pub fn send<T: Serialize>(&mut self, message: &T, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let mut outgoing = Outgoing::default();
        outgoing.push(encode(message)?, descriptors);
        while !outgoing.is_empty() {
            outgoing.send(&self.socket)?;
        }
        Ok(())
    }

    /// Waits for a message; none when the other side has closed the connection.
    ///
    /// # Errors
    ///
    /// As [`Incoming::receive`]; `UnexpectedEof` when the stream ends within a frame.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.incoming.next_message()? {
                return Ok(Some(message));
            }
            if self.incoming.receive(&self.socket)? == 0 {
                return match self.incoming.decoder.is_empty() {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Takes descriptors as [`Incoming::take_descriptors`].
    ///
    /// # Errors
    ///
    /// As [`Incoming::take_descriptors`].
    pub fn take_descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        self.incoming.take_descriptors(count)
    }

    /// Returns the socket and what was received ahead, to go on in an event loop.
    pub fn into_parts(self) -> (UnixStream, Incoming) {
        (self.socket, self.incoming)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        encode(&text).unwrap()
    }

    #[test]
    fn frame_is_length_and_json() {
        assert_eq!(frame("ab"), b"\x04\0\0\0\"ab\"");
    }

    #[test]
    fn too_long_frames_are_refused_on_both_sides() {
        assert!(encode(&"x".repeat(MAX_FRAME)).is_err());
        let mut decoder = Decoder::default();
        decoder.feed(&u32::MAX.to_le_bytes());
        assert_eq!(decoder.next_frame().unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn descriptors_follow_their_frames() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut near, mut far) = (Connection::new(near), Connection::new(far));
        let many = |count: usize| -> Vec<OwnedFd> {
            (0..count)
                .map(|_| rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap())
                .collect()
        };
        near.send(&"none", Vec::new()).unwrap();
        near.send(&"two", many(2)).unwrap();
        near.send(&"crowd", many(2 * MAX_DESCRIPTORS + 3)).unwrap();
        near.send(&"one", many(1)).unwrap();
        drop(near);
        for (text, count) in [("none", 0), ("two", 2), ("crowd", 2 * MAX_DESCRIPTORS + 3), ("one", 1)] {
            assert_eq!(far.receive::<String>().unwrap().as_deref(), Some(text));
            assert_eq!(far.take_descriptors(count).unwrap().len(), count);
        }
        assert_eq!(far.receive::<String>().unwrap(), None);
        assert!(far.take_descriptors(1).is_err());
    }

    #[test]
    fn end_within_a_frame_is_an_error() {
        let (near, far) = UnixStream::pair().unwrap();
        rustix::io::write(&near, &frame("cut")[..5]).unwrap();
        drop(near);
        let error = Connection::new(far).receive::<String>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(texts in prop::collection::vec(".{0,40}", 0..8), step in 1_usize..20) {
            let stream: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(step) {
                decoder.feed(piece);
                while let Some(text) = decoder.next_message::<String>().unwrap() {
                    seen.push(text);
                }
            }
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(seen, texts);
        }

        #[test]
        fn any_bytes_are_taken_or_refused(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..16)) {
            let mut decoder = Decoder::default();
            for piece in pieces {
                decoder.feed(&piece);
                while let Ok(Some(_)) = decoder.next_frame() {}
            }
        }
    }
}
