//! Listens for changes of nftables by others and restores what they removed.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Weak;
use std::thread::JoinHandle;

use corten_sys::netlink::Protocol;
use rustix::event::{PollFd, PollFlags, poll};

use crate::firewall::{CHANGES, is_change};
use crate::netlink::Connection;
use crate::{Error, Fabric, Result, Verdict};

/// A restorer in the background; dropping it stops it.
#[derive(Debug)]
pub struct Watch {
    /// Closing it wakes the thread.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the thread. `own` is the port id of the socket that makes the fabric's own changes.
    pub(crate) fn start(fabric: Weak<Fabric>, own: u32) -> Result<Self> {
        let failed = |error| Error::from_io("cannot watch nftables", error);
        let connection = Connection::open(Protocol::Netfilter)?;
        connection.socket().join(CHANGES).map_err(failed)?;
        let (reader, stop) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let thread = std::thread::Builder::new()
            .name("nftables watch".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || run(&fabric, connection, &reader, own))
            .map_err(failed)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn run(fabric: &Weak<Fabric>, mut connection: Connection, stop: &OwnedFd, own: u32) {
    while wait(&connection, stop) {
        let changed = match connection.notifications() {
            Ok(messages) => messages.iter().any(|message| is_change(message, own)),
            // Notifications were lost: something happened.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => true,
            Err(error) => {
                tracing::warn!(%error, "no longer watching nftables");
                return;
            }
        };
        let Some(fabric) = fabric.upgrade() else {
            return;
        };
        if changed {
            restore(&fabric);
        }
    }
}

/// Waits for a notification; `false` means to stop.
fn wait(connection: &Connection, stop: &OwnedFd) -> bool {
    loop {
        let mut ready = [
            PollFd::from_borrowed_fd(connection.socket().as_fd(), PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) if !ready[1].revents().is_empty() => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn restore(fabric: &Fabric) {
    match fabric.verify_or_restore() {
        Ok(Verdict::Intact) => {}
        Ok(Verdict::Restored) => tracing::warn!("nftables rules were removed; put them back"),
        Err(error) => tracing::error!(%error, "cannot restore nftables rules"),
    }
}
