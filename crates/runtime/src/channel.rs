//! What the runtime and the process it has cloned say to each other before the program is executed.
//!
//! ```text
//!   runtime                                   child
//!     │  clone3                         ───►   │
//!     │  ◄──── Cloned(pidfd)                   │ only when it joins a user namespace
//!     │  maps, OOM score; Go            ───►   │ only with a new user namespace
//!     │  cgroup; Go                     ───►   │ it has mounted what needs no cgroup meanwhile
//!     │  ◄──── Hooks;  Go               ───►   │ only with prestart and createRuntime hooks
//!     │  ◄──── Console(master)                 │ only with a terminal
//!     │  ◄──── Limits; resource limits; Go ─►  │ only in a user namespace
//!     │  ◄──── Ready                           │ only when it waits to be started
//!     │  ◄──── Executing, end of stream        │ execve closes its end
//!     │  ◄──── Failed(error)                   │ instead of any of these
//! ```
//!
//! A message is one packet: a letter and what belongs to it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::context::Context as _;
use crate::error::{Error, Kind, Result};

/// What the child reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// The process that goes on as the container's, made by one between.
    Cloned(OwnedFd),
    /// It is time for the hooks that run in the runtime's namespaces.
    Hooks,
    /// It is time for the resource limits, which it cannot raise itself.
    Limits,
    /// The terminal's master.
    Console(OwnedFd),
    /// All is made; it waits to be started.
    Ready,
    /// Only execve is left.
    Executing,
    /// It has given up.
    Failed(Error),
    /// Its end is closed.
    Closed,
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes both ends.
pub(crate) fn pair() -> Result<(Channel, Channel)> {
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context(|| "cannot make a socket pair".into())?;
    Ok((Channel(one), Channel(other)))
}

/// The longest packet; longer errors are cut.
const LONGEST: usize = 4096;

impl Channel {
    /// Tells the child to go on.
    pub(crate) fn go(&self) -> Result<()> {
        self.send(b"G", None)
    }

    /// Waits until told to go on. The runtime's end is an error.
    pub(crate) fn wait(&self) -> Result<()> {
        let mut buffer = [0_u8; 1];
        match retry_on_intr(|| rustix::io::read(&self.0, &mut buffer[..])) {
            Ok(1) => Ok(()),
            Ok(_) => Err(Error::new(Kind::Internal, "the runtime has gone away")),
            Err(errno) => Err(errno).context(|| "cannot hear the runtime".into()),
        }
    }

    /// Sends a report.
    pub(crate) fn report(&self, report: &Report) -> Result<()> {
        match report {
            Report::Cloned(process) => self.send(b"P", Some(process.as_fd())),
            Report::Hooks => self.send(b"H", None),
            Report::Limits => self.send(b"L", None),
            Report::Console(master) => self.send(b"C", Some(master.as_fd())),
            Report::Ready => self.send(b"R", None),
            Report::Executing => self.send(b"X", None),
            Report::Failed(error) => self.send(&failure(error), None),
            Report::Closed => Ok(()),
        }
    }

    /// Waits for a report.
    pub(crate) fn hear(&self) -> Result<Report> {
        let mut buffer = [0_u8; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut buffer)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        });
        let length = match received {
            Ok(message) => message.bytes,
            Err(Errno::CONNRESET) => 0,
            Err(errno) => return Err(errno).context(|| "cannot hear the container's init".into()),
        };
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        parse(&buffer[..length], fd)
    }

    fn send(&self, packet: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.into_iter().collect();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&fds));
        }
        let packet = [IoSlice::new(packet)];
        retry_on_intr(|| sendmsg(&self.0, &packet, &mut control, SendFlags::NOSIGNAL))
            .map(drop)
            .context(|| "cannot reach the other side".into())
    }
}

fn parse(packet: &[u8], fd: Option<OwnedFd>) -> Result<Report> {
    let Some((&letter, rest)) = packet.split_first() else {
        return Ok(Report::Closed);
    };
    Ok(match (letter, fd) {
        (b'P', Some(process)) => Report::Cloned(process),
        (b'C', Some(master)) => Report::Console(master),
        (b'H', _) => Report::Hooks,
        (b'L', _) => Report::Limits,
        (b'R', _) => Report::Ready,
        (b'X', _) => Report::Executing,
        (b'F', _) => Report::Failed(failed(rest)),
        _ => return Err(garbled()),
    })
}

fn garbled() -> Error {
    Error::new(Kind::Internal, "the container's init sent a garbled message")
}

const KINDS: [Kind; 8] = [
    Kind::NotFound,
    Kind::Invalid,
    Kind::Conflict,
    Kind::Unsupported,
    Kind::Forbidden,
    Kind::CommandNotFound,
    Kind::CommandNotExecutable,
    Kind::Internal,
];

fn failure(error: &Error) -> Vec<u8> {
    let kind = KINDS.iter().position(|&kind| kind == error.kind());
    let kind = kind.and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX);
    let mut packet = vec![b'F', kind];
    packet.extend_from_slice(error.chain().as_bytes());
    packet.truncate(LONGEST);
    packet
}

fn failed(rest: &[u8]) -> Error {
    let (kind, text) = rest.split_first().unwrap_or((&u8::MAX, &[]));
    let kind = KINDS.get(usize::from(*kind)).copied().unwrap_or(Kind::Internal);
    Error::new(kind, String::from_utf8_lossy(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_arrives_as_it_was_sent() {
        let (parent, child) = pair().unwrap();
        let error = Error::new(Kind::CommandNotFound, "exec: \"x\": not here");
        child.report(&Report::Failed(error)).unwrap();
        let Report::Failed(error) = parent.hear().unwrap() else {
            panic!("another report");
        };
        assert_eq!(error.kind(), Kind::CommandNotFound);
        assert_eq!(error.chain(), "exec: \"x\": not here");
    }

    #[test]
    fn a_long_error_is_cut_and_the_end_is_seen() {
        let (parent, child) = pair().unwrap();
        let error = Error::new(Kind::Internal, "x".repeat(3 * LONGEST));
        child.report(&Report::Failed(error)).unwrap();
        drop(child);
        assert!(matches!(parent.hear().unwrap(), Report::Failed(_)));
        assert!(matches!(parent.hear().unwrap(), Report::Closed));
        assert!(parent.go().is_err());
    }

    #[test]
    fn descriptors_travel() {
        let (parent, child) = pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        child.report(&Report::Console(write)).unwrap();
        let Report::Console(write) = parent.hear().unwrap() else {
            panic!("another report");
        };
        rustix::io::write(&write, b"a").unwrap();
        assert_eq!(rustix::io::read(&read, &mut [0; 4]).unwrap(), 1);
    }
}
