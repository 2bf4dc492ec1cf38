//! Descriptors that whoever started this process passed on (`sd_listen_fds(3)`).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes `count` descriptors from number `first` on, and closes them on exec from now on.
///
/// Call it once, before anything else may have opened descriptors of these numbers by itself.
///
/// # Errors
/// `EBADF` when one of them is not open; those before it are closed then.
pub fn take(first: RawFd, count: RawFd) -> io::Result<Vec<OwnedFd>> {
    (first..first.saturating_add(count))
        .map(|number| {
            // SAFETY: fcntl(2) with F_SETFD takes any number and touches no memory.
            if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the call above shows that the descriptor is open; the caller, who is told that
            // these numbers were passed on to it, is their only owner.
            Ok(unsafe { OwnedFd::from_raw_fd(number) })
        })
        .collect()
}
