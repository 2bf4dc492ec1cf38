//! Filling a new volume with what the image has at its place (Docker: "Populate a volume using a container").

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use corten_store::{Access, Store};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid};

use super::record::{MountRecord, Record};
use crate::{
    error::{Error, Result},
    volumes::Volumes,
};

/// Fills each volume of a container that is empty and wants to be filled.
pub(super) fn volumes(store: &Store, volumes: &Volumes, record: &Record) -> Result<()> {
    let wanting: Vec<&MountRecord> = record
        .mounts
        .iter()
        .filter(|mount| mount.fill && mount.point.kind == "volume" && mount.subpath.is_empty())
        .collect();
    let mut empty = Vec::new();
    for mount in wanting {
        let held = volumes.hold(&mount.point.name)?;
        if is_empty(&held.path) {
            empty.push((mount, held));
        }
    }
    if empty.is_empty() {
        return Ok(());
    }
    let root = store.snapshots().open_root(&record.id, Access::ReadOnly)?;
    for (mount, held) in empty {
        fill(&root, &mount.point.destination, &held.path).map_err(|e| {
            Error::internal(format!("cannot fill volume {} from the image", mount.point.name)).source(e)
        })?;
    }
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    corten_sys::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Copies a folder of a root into another, with owners, modes, times and attributes.
fn fill(root: &OwnedFd, source: &str, target: &Path) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let from = match rustix::fs::openat2(root, source, flags, Mode::empty(), resolve) {
        Ok(from) => from,
        // The image has nothing there.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let to = rustix::fs::open(target, flags, Mode::empty())?;
    copy_folder(&from, &to)
}

fn copy_folder(from: &OwnedFd, to: &OwnedFd) -> std::io::Result<()> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        copy_entry(from.as_fd(), to.as_fd(), name, &stat)?;
    }
    let stat = rustix::fs::fstat(from)?;
    copy_attributes(from, to)?;
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    Ok(rustix::fs::futimens(to, &times(&stat))?)
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> std::io::Result<()> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    let kind = FileType::from_raw_mode(stat.st_mode);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, mode)?;
            let source = rustix::fs::openat(from, name, read | OFlags::DIRECTORY, Mode::empty())?;
            let target = rustix::fs::openat(to, name, read | OFlags::DIRECTORY, Mode::empty())?;
            return copy_folder(&source, &target);
        }
        FileType::RegularFile => {
            let source = rustix::fs::openat(from, name, read, Mode::empty())?;
            let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, name, create, Mode::RUSR | Mode::WUSR)?;
            std::io::copy(
                &mut File::from(source.try_clone()?),
                &mut File::from(target.try_clone()?),
            )?;
            rustix::fs::fchown(
                &target,
                Some(Uid::from_raw(stat.st_uid)),
                Some(Gid::from_raw(stat.st_gid)),
            )?;
            rustix::fs::fchmod(&target, mode)?;
            copy_attributes(&source, &target)?;
            return Ok(rustix::fs::futimens(&target, &times(stat))?);
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(OsStr::from_bytes(link.to_bytes()), to, name)?;
        }
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
        FileType::Unknown => return Ok(()),
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::utimensat(
        to,
        name,
        &times(stat),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn times(stat: &Stat) -> Timestamps {
    let spec = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: spec(stat.st_atime, stat.st_atime_nsec),
        last_modification: spec(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Copies extended attributes but those of overlayfs itself.
fn copy_attributes(from: impl AsFd, to: impl AsFd) -> std::io::Result<()> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(&from, &mut names[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut value = vec![0_u8; 64 << 10];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") {
            continue;
        }
        let name = CString::new(name)?;
        let size = rustix::fs::fgetxattr(&from, name.as_c_str(), &mut value[..])?;
        match rustix::fs::fsetxattr(&to, name.as_c_str(), &value[..size], rustix::fs::XattrFlags::empty()) {
            // The volume's file system has no such attributes.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
