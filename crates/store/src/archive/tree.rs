//! Writes a tree of files as a tar, from a held folder and following no symbolic link.
//!
//! In the order of names, as Go's `filepath.Walk`; times in whole seconds, as Docker writes them;
//! of extended attributes capabilities and the users' own.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::error::{Error, Result};
use crate::ingest::{IngestRequest, Ingestion};
use crate::layers::{Layer, Layers};
use crate::lease::Lease;
use crate::snapshots::MountPoints;
use crate::tar::{Device, Entry, EntryKind, Time, Writer};
use crate::unpack::OPAQUE;

/// Writes everything below a folder as a tar: a container's root for `docker export`.
///
/// # Errors
/// Internal when something cannot be read or written. What vanishes meanwhile is left out.
pub fn export(root: BorrowedFd<'_>, out: &mut dyn Write) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(root, ".", flags, Mode::empty())?;
    let mut tree = Tree {
        writer: Writer::new(out),
        links: HashMap::new(),
        whiteouts: Whiteouts::AsTheyAre,
        left_out: HashSet::new(),
    };
    tree.folder(root.as_fd(), b"")?;
    tree.writer.finish()?;
    Ok(())
}

impl Layers<'_> {
    /// Makes a layer of what a container changed in its root: `docker commit` and build steps. The
    /// container's root stays as it is; what a runtime `made` in it to mount there is left out.
    ///
    /// # Errors
    /// `NotFound` when the root is not there.
    pub fn from_snapshot(&self, lease: &Lease, snapshot: &str, made: &MountPoints) -> Result<Layer> {
        let left_out = self.0.snapshots().left_out(snapshot, made)?;
        let upper = self.0.snapshots().folders(snapshot)?.upper;
        let root = crate::unpack::open_root(&upper)?;
        let Ingestion::Ready(mut ingest) = self.0.layer_ingest(lease, IngestRequest::default())? else {
            return Err(Error::internal("a layer without a digest cannot be there already"));
        };
        write_changes(root.as_fd(), left_out, &mut ingest)?;
        ingest.finish()
    }
}

fn write_changes(root: BorrowedFd<'_>, left_out: HashSet<Vec<u8>>, out: &mut dyn Write) -> Result<()> {
    let buffered = io::BufWriter::with_capacity(128 * 1024, out);
    let mut tree = Tree {
        writer: Writer::new(buffered),
        links: HashMap::new(),
        whiteouts: Whiteouts::AsOci,
        left_out,
    };
    tree.root_mode(root)?;
    tree.folder(root, b"")?;
    tree.writer.finish()?;
    Ok(())
}

/// What overlayfs's marks of deletion become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whiteouts {
    /// Nothing: a mounted root has none to be seen.
    AsTheyAre,
    /// `.wh.` files.
    AsOci,
}

struct Tree<W: Write> {
    writer: Writer<W>,
    /// Where files with several names were first met, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    whiteouts: Whiteouts,
    /// Paths from the root that are not written.
    left_out: HashSet<Vec<u8>>,
}

impl<W: Write> Tree<W> {
    /// The root itself has an entry only when its mode or owner is not the usual one.
    fn root_mode(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        let stat = rustix::fs::fstat(root)?;
        if stat.st_mode & 0o7777 != 0o755 || stat.st_uid != 0 || stat.st_gid != 0 {
            let entry = entry(b"./", EntryKind::Folder, &stat);
            self.writer.entry(&entry, &mut io::empty())?;
        }
        Ok(())
    }

    fn folder(&mut self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        for name in names(folder)? {
            let path = if path.is_empty() {
                name.as_bytes().to_vec()
            } else {
                [path, name.as_bytes()].join(&b'/')
            };
            if self.left_out.contains(&path) {
                continue;
            }
            match self.member(folder, &name, &path) {
                Ok(()) => {}
                Err(error) if error.kind() == crate::Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn member(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<()> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.subfolder(folder, name, path),
            FileType::RegularFile => self.file(folder, name, path),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new()).map_err(missing)?;
                self.other(
                    folder,
                    name,
                    entry(path, EntryKind::Symlink(target.into_bytes()), &stat),
                    &stat,
                )
            }
            FileType::Fifo => self.other(folder, name, entry(path, EntryKind::Fifo, &stat), &stat),
            FileType::CharacterDevice if stat.st_rdev == 0 && self.whiteouts == Whiteouts::AsOci => {
                let at = path.len() - name.to_bytes().len();
                let path = [&path[..at], b".wh.", name.to_bytes()].concat();
                let mut entry = entry(&path, EntryKind::File, &stat);
                (entry.size, entry.mode) = (0, 0);
                Ok(self.writer.entry(&entry, &mut io::empty())?)
            }
            FileType::CharacterDevice => self.other(
                folder,
                name,
                entry(path, EntryKind::CharDevice(device(&stat)), &stat),
                &stat,
            ),
            FileType::BlockDevice => self.other(
                folder,
                name,
                entry(path, EntryKind::BlockDevice(device(&stat)), &stat),
                &stat,
            ),
            // Tar has no sockets, and nobody is behind a stored one.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    fn subfolder(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(missing)?;
        let stat = rustix::fs::fstat(&fd)?;
        let mut entry = entry(&[path, b"/"].concat(), EntryKind::Folder, &stat);
        entry.xattrs = xattrs(&proc_path(&fd))?;
        self.writer.entry(&entry, &mut io::empty())?;
        if self.whiteouts == Whiteouts::AsOci && is_opaque(&fd) {
            let mut mark = Entry::new(&[path, b"/.wh..wh..opq"].concat(), EntryKind::File, 0);
            mark.modified = entry.modified;
            self.writer.entry(&mark, &mut io::empty())?;
        }
        self.folder(fd.as_fd(), path)
    }

    fn file(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(missing)?;
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::not_found("the file was replaced meanwhile"));
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                let entry = entry(path, EntryKind::HardLink(first.clone()), &stat);
                return Ok(self.writer.entry(&entry, &mut io::empty())?);
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        let mut entry = entry(path, EntryKind::File, &stat);
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        entry.xattrs = xattrs(&proc_path(&fd))?;
        Ok(self.writer.entry(&entry, &mut File::from(fd))?)
    }

    fn other(&mut self, folder: BorrowedFd<'_>, name: &CStr, mut entry: Entry, stat: &Stat) -> Result<()> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                entry.kind = EntryKind::HardLink(first.clone());
            } else {
                self.links.insert((stat.st_dev, stat.st_ino), entry.path.clone());
            }
        }
        let path = [
            format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(),
            name.to_bytes(),
        ]
        .concat();
        entry.xattrs = xattrs(&path)?;
        Ok(self.writer.entry(&entry, &mut io::empty())?)
    }
}

/// The names in a folder, sorted.
fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn entry(path: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
    let mut entry = Entry::new(path, kind, stat.st_mode & 0o7777);
    (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
    entry.modified = Time {
        seconds: stat.st_mtime,
        nanoseconds: 0,
    };
    entry
}

pub(crate) fn device(stat: &Stat) -> Device {
    Device {
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
    }
}

pub(crate) fn proc_path(fd: &OwnedFd) -> Vec<u8> {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes()
}

/// What an image keeps of a file's extended attributes. A path through `/proc/self/fd` itself is
/// followed to the held file; one with a name after it is not followed further.
pub(crate) fn xattrs(path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let held = path.iter().filter(|byte| **byte == b'/').count() == 4;
    let mut list = vec![0; 64 * 1024];
    let listed = match held {
        true => rustix::fs::listxattr(path, &mut list[..]),
        false => rustix::fs::llistxattr(path, &mut list[..]),
    };
    let length = match listed {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOENT | rustix::io::Errno::RANGE) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = vec![0; 64 * 1024];
        let got = match held {
            true => rustix::fs::getxattr(path, name, &mut value[..]),
            false => rustix::fs::lgetxattr(path, name, &mut value[..]),
        };
        if let Ok(length) = got {
            value.truncate(length);
            found.push((name.to_vec(), value));
        }
    }
    Ok(found)
}

fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

fn is_opaque(fd: &OwnedFd) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(fd, OPAQUE, &mut value).is_ok_and(|length| length == 1 && value[0] == b'y')
}

/// What vanished between listing and looking is not there; everything else is an error.
fn missing(errno: rustix::io::Errno) -> Error {
    match errno {
        rustix::io::Errno::NOENT | rustix::io::Errno::LOOP => Error::not_found("it vanished meanwhile"),
        other => other.into(),
    }
}
