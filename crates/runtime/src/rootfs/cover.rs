//! Paths of the container that cannot be read, and paths that cannot be written.
//!
//! Both are looked up once, and what was found is what is covered: the null device that hides a
//! file is the host's, checked to be it (CVE-2025-31133), never what the container calls so.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use corten_sys::mount::Reach;
use rustix::fs::{FileType, Mode, OFlags, fstat, makedev};
use rustix::io::Errno;

use super::detached::{copy_of, new_file_system, put, read_only_copy};
use super::options::Options;
use super::place::{Shape, find, shape};
use crate::context::{Context as _, invalid};
use crate::error::Result;

/// Opens the host's null device; to be done before the root is entered.
pub(crate) fn null_device() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty());
    let null = null.context(|| "cannot open \"/dev/null\"".into())?;
    let stat = fstat(&null).context(|| "cannot look at \"/dev/null\"".into())?;
    let character = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !character || stat.st_rdev != makedev(1, 3) {
        return Err(invalid("\"/dev/null\" of the host isn't the null device"));
    }
    Ok(null)
}

/// Hides paths: files behind the null device, folders behind an empty one. Missing ones are skipped.
pub(crate) fn mask(root: BorrowedFd<'_>, paths: &[String], null: &OwnedFd) -> Result<()> {
    // Only a mount that is in place can be copied (until Linux 6.15), so the first is kept.
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let Some(place) = find_present(root, path)? else {
            continue;
        };
        let naming = || format!("cannot mask {path:?}");
        match (shape(&place)?, &empty) {
            (Shape::File, _) => put(copy_of(null, Reach::Mount).context(naming)?, place).context(naming)?,
            (Shape::Directory, Some(folder)) => {
                put(copy_of(folder, Reach::Mount).context(naming)?, place).context(naming)?;
            }
            (Shape::Directory, None) => {
                let options = Options::parse(&["ro", "nr_blocks=1", "nr_inodes=1"]);
                let folder = new_file_system("tmpfs", "tmpfs", &options)?;
                put(&folder, place).context(naming)?;
                empty = Some(folder);
            }
        }
    }
    Ok(())
}

/// Makes paths read-only. Missing ones are skipped.
pub(crate) fn protect(root: BorrowedFd<'_>, paths: &[String]) -> Result<()> {
    for path in paths {
        let Some(place) = find_present(root, path)? else {
            continue;
        };
        let copy = read_only_copy(place.as_fd())?;
        put(copy, place).context(|| format!("cannot make {path:?} read-only"))?;
    }
    Ok(())
}

fn find_present(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>> {
    match find(root, path) {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).context(|| format!("cannot open {path:?}")),
    }
}
