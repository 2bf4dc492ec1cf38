//! A process's standard streams: descriptors of the caller's, or a terminal of the container's own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corten_oci::runtime::ConsoleSize;
use rustix::fs::{FileType, Mode, OFlags, fchown, fstat, makedev, openat};
use rustix::process::{Gid, Uid, ioctl_tiocsctty};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::context::{Context as _, invalid};
use crate::error::Result;

/// What a process gets as its standard streams.
#[derive(Debug)]
pub enum Stdio {
    /// The caller's own.
    Inherit,
    /// Standard input, output and error.
    Streams([OwnedFd; 3]),
    /// A terminal, of this size if given, whose other end the caller gets.
    Terminal(Option<ConsoleSize>),
}

/// Both ends of a terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The end for the caller.
    pub(crate) master: OwnedFd,
    /// The end for the process.
    pub(crate) slave: OwnedFd,
}

impl Terminal {
    /// Opens one in a devpts file system.
    pub(crate) fn open_in(devpts: impl AsFd, size: Option<ConsoleSize>) -> Result<Self> {
        let master = openat(devpts, "ptmx", FLAGS, Mode::empty());
        Self::new(master.context(|| "cannot open a terminal".into())?, size)
    }

    /// Takes the other end of a multiplexer just opened, which has to be one.
    pub(crate) fn new(master: OwnedFd, size: Option<ConsoleSize>) -> Result<Self> {
        let naming = || "cannot open a terminal".to_owned();
        let stat = fstat(&master).context(naming)?;
        let character = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if !character || stat.st_rdev != makedev(5, 2) {
            return Err(invalid("cannot open a terminal: \"/dev/ptmx\" is something else"));
        }
        unlockpt(&master).context(naming)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).context(naming)?;
        if let Some(size) = size {
            resize(master.as_fd(), size)?;
        }
        Ok(Self { master, slave })
    }
}

/// How a terminal's multiplexer is opened.
pub(crate) const FLAGS: OFlags = OFlags::RDWR.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Sets a terminal's size, for either end of it.
///
/// # Errors
/// It is no terminal.
pub fn resize(terminal: BorrowedFd<'_>, size: ConsoleSize) -> Result<()> {
    let cut = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let size = Winsize {
        ws_row: cut(size.height),
        ws_col: cut(size.width),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).context(|| "cannot set the terminal's size".into())
}

/// Makes the descriptors the process's standard streams.
pub(crate) fn take_streams(streams: [BorrowedFd<'_>; 3]) -> Result<()> {
    let naming = || "cannot set up the standard streams".to_owned();
    rustix::stdio::dup2_stdin(streams[0]).context(naming)?;
    rustix::stdio::dup2_stdout(streams[1]).context(naming)?;
    rustix::stdio::dup2_stderr(streams[2]).context(naming)
}

/// Makes a terminal the streams and the controlling terminal of the process, which leads its session.
pub(crate) fn take_terminal(slave: BorrowedFd<'_>) -> Result<()> {
    take_streams([slave; 3])?;
    ioctl_tiocsctty(slave).context(|| "cannot get the controlling terminal".into())
}

/// Gives the standard streams to the process's user, so that it can open `/dev/stdout` again.
///
/// The null device is everyone's; what cannot change hands stays (runc: `fixStdioPermissions`).
pub(crate) fn give_streams(uid: u32, gid: u32) {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for stream in streams {
        let Ok(stat) = fstat(stream) else { continue };
        if stat.st_uid == uid || stat.st_rdev == makedev(1, 3) {
            continue;
        }
        // Read-only file systems, sockets of user namespaces: the stream works all the same.
        let _ = fchown(stream, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    }
}
