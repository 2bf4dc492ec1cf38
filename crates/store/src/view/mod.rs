//! A container's files as its processes would see them: its root with its mounts, for copies in and out.
//!
//! Nothing is mounted for it, and no path is given to the kernel that a container could bend: a walk
//! goes name by name from held folders, reads links itself, and steps onto a mount's source where one
//! is due. So it works alike for a container that runs, one that does not, and one that changes links
//! under a copy: wherever the walk comes out, it is inside.
//!
//! ```text
//!   path ─► walk ─► Spot (held file or folder) ─► stat, pack, unpack
//! ```

mod pack;
mod stat;
mod unpack;
mod walk;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::Result;
use crate::snapshots::EMPTY;
use crate::store::Store;

pub use stat::PathStat;
pub use unpack::UnpackOptions;

/// A container's root with its mounts.
#[derive(Debug)]
pub struct View {
    root: OwnedFd,
    root_read_only: bool,
    mounts: Vec<Mounted>,
    /// What shows where only mounts are: a folder without anything.
    empty: OwnedFd,
}

/// Something mounted in a container.
#[derive(Debug)]
struct Mounted {
    /// Where, without links; no slash at the end.
    at: Vec<u8>,
    source: OwnedFd,
    read_only: bool,
}

impl Store {
    /// A view of a container's root, which the caller holds.
    ///
    /// # Errors
    /// Internal when the data root cannot be read.
    pub fn view(&self, root: OwnedFd, access: crate::Access) -> Result<View> {
        let empty = self.inner.overlay.join(EMPTY);
        corten_sys::fs::create_dir_all_mode(&empty, 0o755)?;
        Ok(View {
            root,
            root_read_only: access == crate::Access::ReadOnly,
            mounts: Vec::new(),
            empty: crate::unpack::open_root(&empty)?,
        })
    }
}

impl View {
    /// Puts a file or folder of the host, held, at a path of the container, over what is there. Links
    /// on the way are followed as they are now.
    ///
    /// # Errors
    /// Invalid when the path leads nowhere.
    pub fn mount(&mut self, destination: &str, source: OwnedFd, access: crate::Access) -> Result<()> {
        let walked = self.walk(destination.as_bytes(), walk::Last::Follow)?;
        let mut at = walked.end().path.clone();
        for missing in &walked.missing {
            at.push(b'/');
            at.extend_from_slice(missing);
        }
        self.mounts.push(Mounted {
            at,
            source,
            read_only: access == crate::Access::ReadOnly,
        });
        Ok(())
    }

    /// Opens a file or folder of the host to be mounted, with its own links followed.
    ///
    /// # Errors
    /// When it is not there.
    pub fn source(path: &Path) -> std::io::Result<OwnedFd> {
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| corten_sys::fs::with_path("open", path, errno.into()))
    }

    /// Opens a regular file for reading, whatever links lead to it.
    ///
    /// # Errors
    /// When there is none.
    pub fn open_file(&self, path: &str) -> Result<std::fs::File> {
        let spot = self.find(path.as_bytes(), walk::Last::Follow)?;
        if !spot.is_file() {
            return Err(crate::Error::invalid(format!("{path} is not a regular file")));
        }
        Ok(std::fs::File::from(
            spot.reopen(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?,
        ))
    }

    fn mounted_at(&self, path: &[u8]) -> Option<&Mounted> {
        self.mounts.iter().rev().find(|mount| mount.at == path)
    }

    /// Whether something is mounted at a path or below it.
    fn is_busy(&self, path: &[u8]) -> bool {
        self.mounted_at(path).is_some() || self.mounts_below(path).next().is_some()
    }

    /// The next names, below a path, on the ways to mounts.
    fn mounts_below<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let rest = move |mount: &'a Mounted| mount.at.strip_prefix(path)?.strip_prefix(b"/");
        let first = |rest: &'a [u8]| rest.split(|byte| *byte == b'/').next();
        self.mounts.iter().filter_map(rest).filter_map(first)
    }
}

fn held(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0)
}
