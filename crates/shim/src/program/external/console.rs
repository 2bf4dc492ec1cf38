//! The socket on which a runtime hands over a terminal's master (`--console-socket`).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

const NAME: &str = "console.sock";

/// A socket that waits for one terminal.
#[derive(Debug)]
pub(super) struct Console {
    folder: OwnedFd,
    listener: UnixListener,
}

impl Console {
    /// Makes the socket.
    pub(super) fn listen(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        // One of an earlier process may be there.
        let _ = rustix::fs::unlinkat(&folder, NAME, AtFlags::empty());
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()))?;
        listener.set_nonblocking(true)?;
        Ok(Self { folder, listener })
    }

    /// Where the runtime finds it: a short way, however long the bundle's path is.
    pub(super) fn address(&self) -> String {
        format!("/proc/{}/fd/{}/{NAME}", std::process::id(), self.folder.as_raw_fd())
    }

    /// Takes the terminal that the runtime, which has ended by now, has sent.
    pub(super) fn take(self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 4096];
        let mut buffers = [IoSliceMut::new(&mut name)];
        recvmsg(&stream, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut masters = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let mut masters = masters.by_ref().flatten();
        masters
            .next()
            .ok_or_else(|| io::Error::other("the runtime has sent no terminal"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // The next one makes room for itself.
        let _ = rustix::fs::unlinkat(&self.folder, NAME, AtFlags::empty());
    }
}
