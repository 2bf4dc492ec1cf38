//! Waits for the shims that are this engine's children, so that none is left as a zombie.
//!
//! The exit status means nothing: the shim's own record counts. Shims of an earlier engine belong
//! to the host's init.

use std::{os::fd::OwnedFd, process::Child};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;

/// Waits for a child to end, without a thread.
pub(super) async fn reap(mut child: Child) {
    if let Some(pidfd) = open(&child) {
        // When the descriptor cannot be watched, the blocking wait below still does it.
        let _ = pidfd.readable().await;
    }
    // Its end was seen or cannot be seen any other way.
    let _ = tokio::task::spawn_blocking(move || child.wait()).await;
}

fn open(child: &Child) -> Option<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(child.id()).ok()?)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    super::readiness::watch_readable(pidfd).ok()
}
