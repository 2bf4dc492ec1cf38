//! The root of a container that does not run, mounted where nobody sees it: for export, copying
//! files in and out, and the like.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use corten_sys::overlay::{Overlay, takes_layers_one_by_one};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::{Folders, Snapshots};
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
        let mount = self.mount_detached(id, access)?;
        // The mount's own descriptor cannot be read; the open folder keeps the mount alive.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&mount, ".", flags, Mode::empty())?)
    }

    /// Mounts a container's root nowhere, for the caller to attach it; it is unmounted when the
    /// descriptor is closed before that. Only for containers that do not run.
    ///
    /// # Errors
    /// As [`open_root`](Self::open_root).
    pub fn mount_detached(&self, id: &str, access: Access) -> Result<OwnedFd> {
        let folders = self.folders(id)?;
        let failed = |errno: Errno| {
            let why = corten_sys::fs::reason(&errno.into());
            Error::internal(format!(
                "cannot mount the root of container {}: {why}",
                id.get(..12).unwrap_or(id)
            ))
        };
        let mount = match takes_layers_one_by_one() {
            true => mount(&folders, access),
            false => mount_by_text(&folders, access),
        };
        mount.map_err(failed)
    }
}

fn mount(folders: &Folders, access: Access) -> rustix::io::Result<OwnedFd> {
    let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key: &str, value: &Path| rustix::mount::fsconfig_set_string(&overlay, key, value);
    match access {
        Access::ReadOnly => set("lowerdir+", &folders.upper)?,
        Access::ReadWrite => {
            set("upperdir", &folders.upper)?;
            set("workdir", &folders.work)?;
        }
    }
    for lower in &folders.lower {
        set("lowerdir+", lower)?;
    }
    rustix::mount::fsconfig_create(&overlay)?;
    rustix::mount::fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes(access))
}

/// Mounts a root on a kernel before 6.8.
fn mount_by_text(folders: &Folders, access: Access) -> rustix::io::Result<OwnedFd> {
    let mut overlay = Overlay {
        lower: folders.lower.iter().map(PathBuf::as_path).collect(),
        ..Overlay::default()
    };
    match access {
        Access::ReadOnly => overlay.lower.insert(0, &folders.upper),
        Access::ReadWrite => overlay.options.extend([
            ("upperdir", Some(folders.upper.as_os_str())),
            ("workdir", Some(folders.work.as_os_str())),
        ]),
    }
    // It leaves the calling thread with a current folder of its own.
    let mounted = std::thread::scope(|scope| scope.spawn(|| overlay.mount(attributes(access))).join());
    match mounted {
        Ok(result) => result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn attributes(access: Access) -> MountAttrFlags {
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    match access {
        Access::ReadOnly => attributes | MountAttrFlags::MOUNT_ATTR_RDONLY,
        Access::ReadWrite => attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_mount_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            corten_sys::fs::create_dir(&path).unwrap();
            corten_sys::fs::write(path.join(format!("in-{name}")), name).unwrap();
            corten_sys::fs::write(path.join("top"), name).unwrap();
            path
        };
        let folders = Folders {
            lower: vec![make("two"), make("one")],
            upper: make("upper"),
            work: folder.path().join("work"),
            merged: folder.path().join("merged"),
        };
        corten_sys::fs::create_dir(&folders.work).unwrap();
        for mount in [mount, mount_by_text] {
            for (access, new) in [(Access::ReadOnly, Err(Errno::ROFS)), (Access::ReadWrite, Ok(()))] {
                let root = mount(&folders, access).unwrap();
                for name in ["in-one", "in-two", "in-upper"] {
                    rustix::fs::statat(&root, name, rustix::fs::AtFlags::empty()).expect(name);
                }
                let top = rustix::fs::openat(&root, "top", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
                let mut text = [0; 8];
                let length = rustix::io::read(top, &mut text).unwrap();
                assert_eq!(&text[..length], b"upper");
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
                let made = rustix::fs::openat(&root, "new", flags, Mode::from_raw_mode(0o600)).map(drop);
                assert_eq!(made, new, "{access:?}");
            }
        }
    }
}
