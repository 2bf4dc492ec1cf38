//! Namespaces: kinds, unshare(2), and user namespaces made only for their id maps.

use std::io;
use std::ops::{BitAnd, BitOr, BitOrAssign};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use crate::fs;
use crate::process::{Clone, Forked, clone3, exit};

/// A set of kinds of namespaces (`CLONE_NEW…`, namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u64);

impl Namespaces {
    /// None.
    pub const NONE: Self = Self(0);
    /// Mounts.
    pub const MOUNT: Self = Self(0x0002_0000);
    /// The cgroup root.
    pub const CGROUP: Self = Self(0x0200_0000);
    /// Host and domain name.
    pub const UTS: Self = Self(0x0400_0000);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(0x0800_0000);
    /// User and group ids.
    pub const USER: Self = Self(0x1000_0000);
    /// Process ids.
    pub const PID: Self = Self(0x2000_0000);
    /// Network.
    pub const NETWORK: Self = Self(0x4000_0000);
    /// The boot and monotonic clocks (Linux 5.6).
    pub const TIME: Self = Self(0x80);

    /// Returns the kernel's flags.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` are in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Namespaces {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Namespaces {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for Namespaces {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Gives the calling thread a root and a current folder of its own (unshare(2), `CLONE_FS`), so that
/// it may join another mount namespace.
///
/// # Errors
/// As unshare(2).
pub fn unshare_files() -> io::Result<()> {
    // SAFETY: unshare(2) takes no pointer; the flag changes nothing but which root and current folder
    // this thread's later path lookups use.
    if unsafe { libc::unshare(libc::CLONE_FS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives the calling thread new namespaces (unshare(2)).
///
/// [`Namespaces::PID`] and [`Namespaces::TIME`] take effect for children only.
///
/// # Errors
/// As unshare(2): `EPERM`, `EINVAL`, `ENOSPC`, `EUSERS`.
pub fn unshare(namespaces: Namespaces) -> io::Result<()> {
    let flags = libc::c_int::try_from(namespaces.bits()).map_err(io::Error::other)?;
    // SAFETY: only namespace flags can be in the set, never CLONE_FILES, CLONE_VM or CLONE_FS, so
    // the thread goes on sharing its memory and descriptors with the rest of the process.
    if unsafe { libc::unshare(flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Joins namespaces behind a descriptor: one namespace's, or, for several kinds at once, a pidfd
/// (setns(2), Linux 5.8 for pidfds).
///
/// # Errors
/// As setns(2): `EINVAL` for a descriptor of another kind, `EPERM`.
pub fn setns(namespace: std::os::fd::BorrowedFd<'_>, kinds: Namespaces) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let flags = libc::c_int::try_from(kinds.bits()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open; the call changes the thread's namespaces, no memory.
    if unsafe { libc::setns(namespace.as_raw_fd(), flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a user namespace with these maps (lines of `/proc/<pid>/uid_map`) and no process in it.
///
/// It serves as the map of an id-mapped mount (mount_setattr(2)).
///
/// # Errors
/// As [`clone3`], which needs a process of one thread; or as the kernel refuses the maps.
pub fn user_namespace(uid_map: &str, gid_map: &str) -> io::Result<OwnedFd> {
    let (wait, done) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let clone = Clone {
        namespaces: Namespaces::USER,
        ..Clone::default()
    };
    match clone3(&clone)? {
        Forked::Child => {
            drop(done);
            // An error ends the wait as well.
            let _ = rustix::io::read(&wait, &mut [0_u8; 1]);
            exit(0)
        }
        Forked::Parent { pid, child } => {
            let made = fs::write(format!("/proc/{pid}/uid_map"), uid_map)
                .and_then(|()| fs::write(format!("/proc/{pid}/gid_map"), gid_map))
                .and_then(|()| {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                    Ok(rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty())?)
                });
            drop(done);
            child.wait()?;
            made
        }
    }
}
