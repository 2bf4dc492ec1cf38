//! Mount attributes by descriptor (mount_setattr(2), Linux 5.12); the rest of the new mount calls are rustix's.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::mount::{OpenTreeFlags, open_tree};

pub use rustix::mount::{MountAttrFlags, MountPropagationFlags};

/// A copy of the mount at the root of a mount namespace, without those on it, mounted nowhere: what
/// lies below a container's mounts shows in it.
///
/// It visits the namespace on a thread of its own (`setns(2)`, `open_tree(2)`).
///
/// # Errors
/// As setns(2) and open_tree(2).
pub fn root_mount_of(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let visit = || {
        crate::namespace::unshare_files()?;
        crate::namespace::setns(namespace, crate::namespace::Namespaces::MOUNT)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(open_tree(rustix::fs::CWD, "/", flags)?)
    };
    match std::thread::scope(|scope| scope.spawn(visit).join()) {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// How far a change reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// The mount alone.
    #[default]
    Mount,
    /// The mount and all below it (`AT_RECURSIVE`).
    Tree,
}

/// What to change on a mount.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Attributes to set.
    pub set: MountAttrFlags,
    /// Attributes to clear.
    pub clear: MountAttrFlags,
    /// The propagation to set, if any.
    pub propagation: MountPropagationFlags,
    /// The user namespace whose map the mount gets (`MOUNT_ATTR_IDMAP`), for good; the mount has to be detached.
    pub id_map: Option<BorrowedFd<'a>>,
}

impl Default for Change<'_> {
    fn default() -> Self {
        Self {
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            propagation: MountPropagationFlags::empty(),
            id_map: None,
        }
    }
}

/// `struct mount_attr`.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Changes the mount that a descriptor refers to.
///
/// # Errors
/// As mount_setattr(2): `EPERM` for what a more privileged namespace has locked, `EINVAL` when the
/// descriptor isn't a mount's root.
pub fn mount_setattr(mount: BorrowedFd<'_>, reach: Reach, change: &Change<'_>) -> io::Result<()> {
    set_attributes(mount.as_raw_fd(), c"", libc::AT_EMPTY_PATH, reach, change)
}

/// Changes the mount at a path.
///
/// # Errors
/// As [`mount_setattr`].
pub fn mount_setattr_path(path: &CStr, reach: Reach, change: &Change<'_>) -> io::Result<()> {
    set_attributes(libc::AT_FDCWD, path, 0, reach, change)
}

fn set_attributes(
    directory: libc::c_int,
    path: &CStr,
    flags: libc::c_int,
    reach: Reach,
    change: &Change<'_>,
) -> io::Result<()> {
    const AT_RECURSIVE: libc::c_int = 0x8000;
    let mut attributes = Attributes {
        set: u64::from(change.set.bits()),
        clear: u64::from(change.clear.bits()),
        propagation: u64::from(change.propagation.bits()),
        user_namespace: 0,
    };
    if let Some(namespace) = change.id_map {
        attributes.set |= u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits());
        attributes.user_namespace = u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
    }
    let flags = match reach {
        Reach::Mount => flags,
        Reach::Tree => flags | AT_RECURSIVE,
    };
    // SAFETY: `path` is a terminated string, `attributes` has the layout and the size given of the
    // kernel's `struct mount_attr`; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
