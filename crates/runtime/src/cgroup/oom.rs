//! Word from the kernel that it killed a process of a cgroup for lack of memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use corten_sys::fs;
use rustix::event::EventfdFlags;
use rustix::fs::inotify;

use super::setting::write_file;
use super::stats::pairs;

/// Tells when processes of a cgroup are killed for lack of memory.
///
/// The descriptor becomes readable when something may have happened; [`OomEvents::drain`] says what.
#[derive(Debug)]
pub struct OomEvents {
    source: File,
    counter: PathBuf,
    seen: u64,
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl OomEvents {
    /// Listens to a v1 memory cgroup (Linux `cgroup-v1/memory.rst` "OOM Control").
    pub(super) fn v1(folder: &Path) -> io::Result<Self> {
        let counter = folder.join("memory.oom_control");
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let control = fs::open(&counter)?;
        let pair = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        write_file(&folder.join("cgroup.event_control"), &pair)?;
        Self::new(event, counter)
    }

    /// Listens to a v2 cgroup, whose `memory.events` changes.
    pub(super) fn v2(folder: &Path) -> io::Result<Self> {
        let counter = folder.join("memory.events");
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&events, &counter, inotify::WatchFlags::MODIFY)
            .map_err(|error| fs::with_path("inotify_add_watch", &counter, error.into()))?;
        Self::new(events, counter)
    }

    fn new(source: OwnedFd, counter: PathBuf) -> io::Result<Self> {
        let seen = kills(&counter)?;
        Ok(Self {
            source: File::from(source),
            counter,
            seen,
        })
    }

    /// Takes what has come and returns whether a process was killed since the last time.
    ///
    /// The kernel also wakes us when the cgroup is removed and, in version 2, when it merely
    /// reclaims; so the counter decides.
    ///
    /// # Errors
    /// The counter cannot be read though the cgroup is there.
    pub fn drain(&mut self) -> io::Result<bool> {
        let mut buffer = [0_u8; 4096];
        loop {
            match self.source.read(&mut buffer) {
                Ok(0) => break,
                // An eventfd gives its count and is empty then; inotify may hold more.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let now = kills(&self.counter)?;
        let killed = now > self.seen;
        self.seen = self.seen.max(now);
        Ok(killed)
    }
}

/// The line `oom_kill` of `memory.oom_control` (v1, Linux 4.13) or `memory.events` (v2); 0 once the
/// cgroup is gone.
pub(super) fn kills(counter: &Path) -> io::Result<u64> {
    match fs::read_to_string(counter) {
        Ok(text) => Ok(pairs(&text).get("oom_kill").copied().unwrap_or(0)),
        Err(error)
            if super::setting::is(&error, rustix::io::Errno::NOENT)
                || super::setting::is(&error, rustix::io::Errno::NODEV) =>
        {
            Ok(0)
        }
        Err(error) => Err(error),
    }
}
