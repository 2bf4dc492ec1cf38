//! The root of a container that does not run, mounted where nobody sees it: for export, copying
//! files in and out, and the like.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::Snapshots;
use crate::error::{Error, Result};

/// What is to be done with a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Writing too.
    ReadWrite,
}

impl Snapshots<'_> {
    /// Mounts a container's root detached and opens it; it is unmounted when the descriptor is
    /// closed. Only for containers that do not run: a running one's root is `/proc/<pid>/root`.
    ///
    /// # Errors
    /// `NotFound` when the root is not there, Internal when it cannot be mounted.
    pub fn open_root(&self, id: &str, access: Access) -> Result<OwnedFd> {
        let folders = self.folders(id)?;
        let failed = |errno: rustix::io::Errno| {
            let why = corten_sys::fs::reason(&errno.into());
            Error::internal(format!(
                "cannot mount the root of container {}: {why}",
                id.get(..12).unwrap_or(id)
            ))
        };
        let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
        let set = |key: &str, value: &std::path::Path| rustix::mount::fsconfig_set_string(&overlay, key, value);
        match access {
            Access::ReadOnly => set("lowerdir+", &folders.upper).map_err(failed)?,
            Access::ReadWrite => {
                set("upperdir", &folders.upper).map_err(failed)?;
                set("workdir", &folders.work).map_err(failed)?;
            }
        }
        for lower in &folders.lower {
            set("lowerdir+", lower).map_err(failed)?;
        }
        rustix::mount::fsconfig_create(&overlay).map_err(failed)?;
        let attributes = match access {
            Access::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
            Access::ReadWrite => MountAttrFlags::empty(),
        };
        let attributes = attributes | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let mount = rustix::mount::fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)?;
        // The mount's own descriptor cannot be read; the open folder keeps the mount alive.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&mount, ".", flags, Mode::empty()).map_err(failed)
    }
}
