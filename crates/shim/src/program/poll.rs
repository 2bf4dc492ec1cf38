//! `epoll(7)`: what the loop waits for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::Timespec;
pub(crate) use rustix::event::epoll::EventFlags;
use rustix::event::epoll::{self, CreateFlags, Event, EventData};

use crate::names::Ready;

/// What can wake the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A child has changed its state.
    Children,
    /// Somebody connects to the socket in the bundle.
    Listener,
    /// The kernel ran out of the cgroup's memory.
    OutOfMemory,
    /// A control connection.
    Control(u32),
    /// An output of the process of that number.
    Output(u32, bool),
    /// The input of the process of that number.
    Input(u32),
    /// A client of the process of that number.
    Client(u32, u32),
    /// The server of names.
    Names(Ready),
    /// Relays of published ports.
    Relays,
}

const PROCESS_BITS: u32 = 24;
const PROCESS_MASK: u64 = (1 << PROCESS_BITS) - 1;

impl Source {
    fn token(self) -> u64 {
        let pack = |kind: u64, process: u32, rest: u32| {
            kind << 56 | (u64::from(process) & PROCESS_MASK) << 32 | u64::from(rest)
        };
        match self {
            Self::Children => pack(0, 0, 0),
            Self::Listener => pack(1, 0, 0),
            Self::OutOfMemory => pack(2, 0, 0),
            Self::Control(number) => pack(3, 0, number),
            Self::Output(process, second) => pack(4, process, u32::from(second)),
            Self::Input(process) => pack(5, process, 0),
            Self::Client(process, client) => pack(6, process, client),
            Self::Names(Ready::Datagram) => pack(7, 0, 0),
            Self::Names(Ready::Listener) => pack(7, 1, 0),
            Self::Names(Ready::Client(number)) => pack(7, 2, number),
            Self::Names(Ready::Forwarding(number)) => pack(7, 3, number),
            Self::Relays => pack(8, 0, 0),
        }
    }

    fn of(token: u64) -> Self {
        let low = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
        let process = low(token >> 32 & PROCESS_MASK);
        let rest = low(token);
        match token >> 56 {
            0 => Self::Children,
            1 => Self::Listener,
            2 => Self::OutOfMemory,
            3 => Self::Control(rest),
            4 => Self::Output(process, rest != 0),
            5 => Self::Input(process),
            6 => Self::Client(process, rest),
            8 => Self::Relays,
            _ => Self::Names(match process {
                0 => Ready::Datagram,
                1 => Ready::Listener,
                2 => Ready::Client(rest),
                _ => Ready::Forwarding(rest),
            }),
        }
    }
}

/// No events but an end or an error, each told once: other flags would be told again and again.
pub(crate) const PAUSED: EventFlags = EventFlags::ET;

/// An epoll instance.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// A descriptor's registration, which must be ended by [`Poll::remove`] before the descriptor is
/// closed: other processes may hold the same open file.
#[derive(Debug)]
pub(crate) struct Watch {
    source: Source,
    interest: EventFlags,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(16),
        })
    }

    /// Starts to wait for `interest` on `fd`.
    pub(crate) fn add(&self, fd: impl AsFd, source: Source, interest: EventFlags) -> io::Result<Watch> {
        epoll::add(&self.epoll, fd, EventData::new_u64(source.token()), interest)?;
        Ok(Watch { source, interest })
    }

    /// Waits for `interest` instead of what was waited for.
    pub(crate) fn set(&self, fd: impl AsFd, watch: &mut Watch, interest: EventFlags) {
        if watch.interest == interest {
            return;
        }
        let data = EventData::new_u64(watch.source.token());
        // It cannot fail for a descriptor that is registered, which a watch is the proof of.
        if epoll::modify(&self.epoll, fd, data, interest).is_ok() {
            watch.interest = interest;
        }
    }

    /// Ends the wait.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        // It fails only when the descriptor is not registered, which is as good.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits at most `milliseconds`, for ever without, and returns what happened.
    pub(crate) fn wait(&mut self, milliseconds: Option<u32>) -> io::Result<Vec<(Source, EventFlags)>> {
        let timeout = milliseconds.map(|milliseconds| Timespec {
            tv_sec: i64::from(milliseconds / 1000),
            tv_nsec: i64::from(milliseconds % 1000) * 1_000_000,
        });
        self.events.clear();
        let space = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, space, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened = |event: &Event| (Source::of(event.data.u64()), event.flags);
        Ok(self.events.iter().map(happened).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_their_sources() {
        for source in [
            Source::Children,
            Source::Listener,
            Source::OutOfMemory,
            Source::Control(u32::MAX),
            Source::Output(0, false),
            Source::Output(7, true),
            Source::Input(0xff_ffff),
            Source::Client(3, 9),
            Source::Names(Ready::Datagram),
            Source::Names(Ready::Listener),
            Source::Names(Ready::Client(5)),
            Source::Names(Ready::Forwarding(u32::MAX)),
            Source::Relays,
        ] {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
