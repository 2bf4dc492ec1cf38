//! A tmpfs that starts with what it covers (`tmpcopyup`).
//!
//! The copy goes from one held folder to another; symbolic links are copied, never followed.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, chmodat, chownat, mkdirat, mknodat, openat,
    readlinkat, statat, symlinkat, utimensat,
};
use rustix::fs::{Gid, Uid};
use rustix::mount::MountAttrFlags;

use super::detached::new_file_system;
use super::options::Options;
use crate::context::{Context as _, invalid};
use crate::error::Result;

/// How deep folders may lie in each other.
const DEEPEST: u32 = 256;

/// Makes a tmpfs with a copy of the folder in it.
pub(crate) fn filled_tmpfs(source: &str, options: &Options, folder: &OwnedFd) -> Result<OwnedFd> {
    let mut writable = options.clone();
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    writable.attributes.set -= read_only;
    writable.tree_attributes.set -= read_only;
    let tmpfs = new_file_system("tmpfs", source, &writable)?;
    let from = openat(folder, ".", DIRECTORY, Mode::empty()).context(|| "cannot read the folder below".into())?;
    copy_folder(&from, tmpfs.as_fd(), 0)?;
    if options.is_read_only() {
        let change = corten_sys::mount::Change {
            set: read_only,
            ..Default::default()
        };
        corten_sys::mount::mount_setattr(tmpfs.as_fd(), Default::default(), &change)
            .context(|| "cannot make the tmpfs read-only".into())?;
    }
    Ok(tmpfs)
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn copy_folder(from: &OwnedFd, to: BorrowedFd<'_>, depth: u32) -> Result<()> {
    if depth > DEEPEST {
        return Err(invalid("tmpcopyup: folders lie too deep in each other"));
    }
    let mut entries = Dir::read_from(from).context(|| "tmpcopyup: cannot list a folder".into())?;
    while let Some(entry) = entries.read() {
        let entry = entry.context(|| "tmpcopyup: cannot list a folder".into())?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let naming = || format!("tmpcopyup: cannot copy {name:?}");
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).context(naming)?;
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            mkdirat(to, name, Mode::from_raw_mode(0o700)).context(naming)?;
            let below = openat(from, name, DIRECTORY, Mode::empty()).context(naming)?;
            let copy = openat(to, name, DIRECTORY, Mode::empty()).context(naming)?;
            copy_folder(&below, copy.as_fd(), depth + 1)?;
        }
        FileType::Symlink => {
            let target = readlinkat(from, name, Vec::new()).context(naming)?;
            symlinkat(&target, to, name).context(naming)?;
        }
        FileType::RegularFile => copy_file(from, to, name)?,
        kind => mknodat(to, name, kind, mode, stat.st_rdev).context(naming)?,
    }
    keep(to, name, &stat, mode)
}

fn copy_file(from: &OwnedFd, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let naming = || format!("tmpcopyup: cannot copy {name:?}");
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut source = std::fs::File::from(openat(from, name, read, Mode::empty()).context(naming)?);
    let target = openat(to, name, write, Mode::from_raw_mode(0o600)).context(naming)?;
    std::io::copy(&mut source, &mut std::fs::File::from(target))
        .map(drop)
        .context(naming)
}

/// Gives the copy its owner, mode and times.
fn keep(to: BorrowedFd<'_>, name: &CStr, stat: &Stat, mode: Mode) -> Result<()> {
    let naming = || format!("tmpcopyup: cannot give {name:?} its owner, mode and times");
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    chownat(to, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).context(naming)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        chmodat(to, name, mode, AtFlags::empty()).context(naming)?;
    }
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    utimensat(to.as_fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW).context(naming)
}
