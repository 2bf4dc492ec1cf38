//! A terminal's master: handed to a socket, or served to the caller's own terminal.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use corten_oci::runtime::ConsoleSize;
use corten_sys::process::PidFd;
use corten_sys::signal::{SignalFd, SignalSet, block};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::context::Context as _;
use crate::error::Result;
use crate::terminal::resize;

/// Sends a master to a unix socket (runc's `--console-socket`).
pub(super) fn send(path: &Path, master: &OwnedFd) -> Result<()> {
    let naming = || format!("cannot send the terminal to {path:?}");
    let socket = UnixStream::connect(path).context(naming)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let name = [IoSlice::new(b"/dev/ptmx")];
    sendmsg(&socket, &name, &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .context(naming)
}

/// What interrupts the wait for a process.
const SIGCHLD: i32 = 17;
const SIGWINCH: i32 = 28;
/// Signals that are the caller's own affair: faults, job control of its terminal, SIGPIPE, and Go's SIGURG.
const OWN: [i32; 10] = [4, 5, 6, 7, 8, 11, 13, 23, SIGCHLD, SIGWINCH];

/// The caller's signals, kept from it to be passed on.
pub(super) struct Signals(SignalFd);

impl Signals {
    /// Blocks them; to be done before the process is made, so that none is lost.
    pub(super) fn take() -> Result<Self> {
        let mut set = SignalSet::ALL;
        for signal in OWN {
            set = set.without(signal);
        }
        let set = set.with(SIGWINCH);
        block(set).context(|| "cannot block signals".into())?;
        Ok(Self(SignalFd::new(set).context(|| "cannot take signals".into())?))
    }
}

/// Waits for a process's end and returns its exit code; passes signals on to it, and, with a master,
/// what is typed and shown.
pub(super) fn attend(process: &PidFd, signals: &Signals, mut master: Option<OwnedFd>) -> Result<i32> {
    let _raw = master.as_ref().and_then(|_| Raw::enter());
    if let Some(master) = &master {
        copy_size(master.as_fd());
    }
    let mut typing = master.is_some();
    loop {
        let mut fds = vec![
            PollFd::new(process, PollFlags::IN),
            PollFd::new(&signals.0, PollFlags::IN),
        ];
        if let Some(master) = &master {
            fds.push(PollFd::new(master, PollFlags::IN));
        }
        let input = stdin();
        if typing {
            fds.push(PollFd::new(&input, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            result => result.context(|| "cannot wait for the process".into())?,
        };
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            pass_on(process, signals, master.as_ref())?;
        }
        if let Some(terminal) = &master {
            if typing && ready.get(3) == Some(&true) {
                typing = copy(stdin(), terminal.as_fd());
            }
            if ready[2] {
                // What was written before the end is shown before the end is told.
                if copy(terminal.as_fd(), stdout()) {
                    continue;
                }
                master = None;
                typing = false;
            }
        }
        if ready[0] {
            let ended = process.wait().context(|| "cannot wait for the process".into())?;
            return Ok(ended.code());
        }
    }
}

fn pass_on(process: &PidFd, signals: &Signals, master: Option<&OwnedFd>) -> Result<()> {
    let signal = signals.0.read().context(|| "cannot read signals".into())?;
    if signal == SIGWINCH {
        if let Some(master) = master {
            copy_size(master.as_fd());
        }
    } else {
        // It may have ended by now, which the next round finds out.
        let _ = process.send_signal(signal);
    }
    Ok(())
}

/// Copies what is there. False at the end of either side.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0_u8; 8192];
    let Ok(length @ 1..) = read(from, &mut buffer) else {
        return false;
    };
    let mut left = &buffer[..length];
    while !left.is_empty() {
        match write(to, left) {
            Ok(written) => left = &left[written..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return false,
        }
    }
    true
}

fn copy_size(master: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        let size = ConsoleSize {
            height: size.ws_row.into(),
            width: size.ws_col.into(),
        };
        // Without a size programs take their default.
        let _ = resize(master, size);
    }
}

/// The caller's terminal, every key passed on as it is, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}
