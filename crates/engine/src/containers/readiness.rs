//! Waiting in a task until a descriptor can be read.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Watches a descriptor for being readable.
#[expect(
    deprecated,
    reason = "the unsafe replacement asks for a descriptor that stays the same and open: an OwnedFd does"
)]
pub(super) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}
