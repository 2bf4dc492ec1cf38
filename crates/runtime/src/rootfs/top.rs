//! Makes the process's root its mount namespace's root.
//!
//! They differ when the engine was started in a chroot. Everything above the chroot would then still be in the
//! container's mount namespace after pivot_root(2), and whoever enters the namespace, as `exec` and `cp` do, starts at
//! the top of it (setns(2)): outside. A process in the container with `CAP_SYS_CHROOT` could climb there, too.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use corten_sys::mount::{Change, MountPropagationFlags, Reach, mount_setattr_path};
use corten_sys::namespace::{Namespaces, setns};
use corten_sys::process::PidFd;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, fchdir, getpid, pivot_root};

use super::detached::{copy_of, put};
use crate::context::Context as _;
use crate::error::Result;

/// Cuts the mount namespace off the host's, and leaves in it only what is below the process's root, which is returned.
///
/// Nothing that is mounted or unmounted from here on reaches the host; copies already taken keep their peers.
pub(super) fn separate() -> Result<OwnedFd> {
    let naming = || "cannot cut the mount namespace off the host's".to_owned();
    let before = root().context(naming)?;
    let myself = PidFd::open(getpid().as_raw_nonzero().get()).context(naming)?;
    // To the top: that is where it leads, even to the namespace that one is in.
    setns(myself.as_fd(), Namespaces::MOUNT).context(naming)?;
    let change = Change {
        propagation: MountPropagationFlags::DOWNSTREAM,
        ..Change::default()
    };
    mount_setattr_path(c"/", Reach::Tree, &change).context(naming)?;
    let top = root().context(naming)?;
    if place(before.as_fd()).context(naming)? == place(top.as_fd()).context(naming)? {
        return Ok(top);
    }
    let naming = || "cannot leave the engine's chroot".to_owned();
    let tree = copy_of(&before, Reach::Tree).context(naming)?;
    put(&tree, &top).context(naming)?;
    enter(tree.as_fd())?;
    Ok(tree)
}

/// Makes a mount, which lies over the process's root, the root of the namespace, and lets go of the one before.
pub(super) fn enter(root: BorrowedFd<'_>) -> Result<()> {
    fchdir(root).context(|| "cannot enter the root".into())?;
    // The old root ends up over the new one, and the dot means the upper of the two.
    pivot_root(".", ".").context(|| "pivot_root".into())?;
    unmount(".", UnmountFlags::DETACH).context(|| "cannot let go of the host's root".into())?;
    chdir("/").context(|| "cannot enter the root".into())
}

fn root() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/", flags, Mode::empty())
}

/// The mount that a folder is in (`STATX_MNT_ID`, Linux 5.8), and the folder's number.
fn place(folder: BorrowedFd<'_>) -> rustix::io::Result<(u64, u64)> {
    let asked = StatxFlags::MNT_ID | StatxFlags::INO;
    let stat = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, asked)?;
    Ok((stat.stx_mnt_id, stat.stx_ino))
}
