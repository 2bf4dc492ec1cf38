//! Network namespaces: `network_namespaces(7)`, `setns(2)`, `unshare(2)`.
//!
//! A thread, not the process, is in a namespace. To work in another one without losing one's own,
//! [`run_in`] and [`run_in_new`] use a thread of their own that ends with the work; sockets opened
//! there stay in the namespace.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Opens the calling thread's network namespace.
pub fn current() -> io::Result<OwnedFd> {
    Ok(crate::fs::open("/proc/thread-self/ns/net")?.into())
}

/// Moves the calling thread into the namespace.
pub fn enter(netns: BorrowedFd<'_>) -> io::Result<()> {
    rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Moves the calling thread into a new namespace.
pub fn unshare() -> io::Result<()> {
    // SAFETY: a new network namespace changes nothing that other threads share; the flag that
    // could, CLONE_FILES, is not given.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
    Ok(())
}

/// Returns whether two descriptors are of the same namespace.
pub fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> io::Result<bool> {
    let (a, b) = (rustix::fs::fstat(a)?, rustix::fs::fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// Runs the work in the namespace, on a thread of its own, and waits for it.
pub fn run_in<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(|| {
        enter(netns)?;
        Ok(work())
    })
}

/// Runs the work in a new namespace, on a thread of its own; returns the namespace too.
pub fn run_in_new<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<(OwnedFd, T)> {
    on_thread(|| {
        unshare()?;
        Ok((current()?, work()))
    })
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .stack_size(256 * 1024)
            .spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Returns whether the calling thread is in the namespace.
pub fn is_current(netns: BorrowedFd<'_>) -> io::Result<bool> {
    same(current()?.as_fd(), netns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_elsewhere_leaves_the_caller_at_home() {
        let home = current().unwrap();
        let (new, inside) = run_in_new(|| current().unwrap()).unwrap();
        assert!(same(new.as_fd(), inside.as_fd()).unwrap());
        assert!(!same(new.as_fd(), home.as_fd()).unwrap());
        assert!(run_in(new.as_fd(), || is_current(new.as_fd()).unwrap()).unwrap());
        assert!(is_current(home.as_fd()).unwrap());
    }
}
