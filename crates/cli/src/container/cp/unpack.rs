//! An archive that comes, as files of this machine.
//!
//! The archive is made by someone else: nothing of it gets outside of the folder, whatever its names
//! and links say (`openat2(2)`, `RESOLVE_BENEATH`).

use std::{
    fs::File,
    io::{self, BufReader, Read, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
};

use bytes::{Buf as _, Bytes};
use corten_tar::{Entry, EntryKind, Limits, Reader, Time};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags},
    io::Errno,
};
use tokio::sync::mpsc;

use super::paths::Rename;
use crate::error::{Error, Result, reason};

/// Pieces of an archive, as they come.
pub(super) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// Unpacks an archive into a folder; everything becomes the caller's.
pub(super) fn into(pieces: Pieces, folder: &str, rename: Option<&Rename>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|e| Error::new(format!("open {folder}: {}", reason(&e.into()))))?;
    let mut unpacker = Unpacker {
        root,
        shown: folder,
        folder_times: Vec::new(),
    };
    let input = BufReader::with_capacity(
        128 * 1024,
        Input {
            pieces,
            current: Bytes::new(),
        },
    );
    let mut reader = Reader::new(input, (), Limits::default());
    let failed = |e: io::Error| Error::new(reason(&e));
    while let Some(mut entry) = reader.next().map_err(failed)? {
        if let Some(rename) = rename {
            entry.path = rename.apply(&entry.path);
            if let EntryKind::HardLink(target) = &mut entry.kind {
                *target = rename.apply(target);
            }
        }
        unpacker.entry(&entry, &mut reader)?;
    }
    unpacker.set_folder_times();
    reader.finish().map_err(failed)?;
    Ok(())
}

struct Input {
    pieces: Pieces,
    current: Bytes,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

struct Unpacker<'a> {
    root: OwnedFd,
    shown: &'a str,
    /// Set at the end, because making entries changes them.
    folder_times: Vec<(Vec<u8>, Time)>,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, reader: &mut Reader<impl io::BufRead, ()>) -> Result<()> {
        let Some(path) = clean(&entry.path) else {
            return Err(Error::new(format!(
                "\"{}\" is outside of \"{}\"",
                String::from_utf8_lossy(&entry.path),
                self.shown
            )));
        };
        if path.is_empty() || entry.kind == EntryKind::Global {
            return Ok(());
        }
        let (parent, name) = split(&path);
        let place = self.parent(parent).map_err(|e| self.failed(&path, e.into()))?;
        self.replace(&place, name, &path, entry)?;
        self.make(&place, name, &path, entry, reader)
            .map_err(|e| self.failed(&path, e))
    }

    fn failed(&self, path: &[u8], error: io::Error) -> Error {
        let path = String::from_utf8_lossy(path);
        Error::new(format!(
            "open {}/{path}: {}",
            self.shown.trim_end_matches('/'),
            reason(&error)
        ))
    }

    fn open(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::BENEATH)
    }

    /// The folder of an entry, made where it is missing.
    fn parent(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        match self.open(path) {
            Err(Errno::NOENT) if !path.is_empty() => {
                let (above, name) = split(path);
                let above = self.parent(above)?;
                match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => self.open(path),
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        }
    }

    /// Takes away what an entry replaces; a folder and something else do not replace each other.
    fn replace(&self, place: &OwnedFd, name: &[u8], path: &[u8], entry: &Entry) -> Result<()> {
        let stat = match rustix::fs::statat(place, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat.map_err(|e| self.failed(path, e.into()))?,
        };
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        match (is_folder, entry.kind == EntryKind::Folder) {
            (true, true) => Ok(()),
            (false, false) => {
                rustix::fs::unlinkat(place, name, AtFlags::empty()).map_err(|e| self.failed(path, e.into()))
            }
            (was_folder, _) => {
                let (old, new) = match was_folder {
                    true => ("directory", "non-directory"),
                    false => ("non-directory", "directory"),
                };
                let path = String::from_utf8_lossy(path);
                let shown = self.shown.trim_end_matches('/');
                Err(Error::new(format!(
                    "cannot overwrite {old} \"{shown}/{path}\" with {new} \"{}\"",
                    self.shown
                )))
            }
        }
    }

    fn make(
        &mut self,
        place: &OwnedFd,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
        reader: &mut Reader<impl io::BufRead, ()>,
    ) -> io::Result<()> {
        let mode = Mode::from_raw_mode(entry.mode & 0o7777);
        match &entry.kind {
            EntryKind::File => return file(place, name, entry, reader),
            EntryKind::Folder => {
                match rustix::fs::mkdirat(place, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = rustix::fs::openat(place, name, flags, Mode::empty())?;
                rustix::fs::fchmod(&folder, mode)?;
                self.folder_times.push((path.to_vec(), entry.modified));
                return Ok(());
            }
            EntryKind::HardLink(target) => {
                let target = clean(target).ok_or(Errno::INVAL)?;
                let (parent, target) = split(&target);
                let from = self.open(parent)?;
                return Ok(rustix::fs::linkat(&from, target, place, name, AtFlags::empty())?);
            }
            EntryKind::Symlink(target) => rustix::fs::symlinkat(&target[..], place, name)?,
            EntryKind::Fifo => rustix::fs::mknodat(place, name, FileType::Fifo, mode, 0)?,
            EntryKind::CharDevice(device) => {
                let number = rustix::fs::makedev(device.major, device.minor);
                rustix::fs::mknodat(place, name, FileType::CharacterDevice, mode, number)?;
            }
            EntryKind::BlockDevice(device) => {
                let number = rustix::fs::makedev(device.major, device.minor);
                rustix::fs::mknodat(place, name, FileType::BlockDevice, mode, number)?;
            }
            EntryKind::Global => {}
        }
        Ok(rustix::fs::utimensat(
            place,
            name,
            &times(entry.modified),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    fn set_folder_times(&mut self) {
        for (path, time) in std::mem::take(&mut self.folder_times) {
            if let Ok(folder) = self.open(&path) {
                // The files are there, which is what was asked for.
                let _ = rustix::fs::futimens(&folder, &times(time));
            }
        }
    }
}

fn file(place: &OwnedFd, name: &[u8], entry: &Entry, reader: &mut Reader<impl io::BufRead, ()>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(place, name, flags, Mode::RUSR | Mode::WUSR)?);
    match &entry.sparse {
        None => reader.content(|bytes| file.write_all(bytes))?,
        Some(chunks) => {
            file.set_len(entry.size)?;
            for chunk in chunks {
                let mut at = chunk.offset;
                io::copy(&mut Read::take(&mut *reader, chunk.len), &mut At(&file, &mut at))?;
            }
        }
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode & 0o7777))?;
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| key == b"security.capability") {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // Only root may, and not every file system can.
        let _ = rustix::fs::setxattr(path, &key[..], value, XattrFlags::empty());
    }
    Ok(rustix::fs::futimens(&file, &times(entry.modified))?)
}

/// Writes at a place of a file.
struct At<'a>(&'a File, &'a mut u64);

impl io::Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write_at(bytes, *self.1)?;
        *self.1 += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn times(time: Time) -> Timestamps {
    let stamp = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    Timestamps {
        last_access: stamp,
        last_modification: stamp,
    }
}

/// A name without slashes at its ends, empty parts and dots; none if it leads outside.
fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn archive(entries: &[Entry]) -> Vec<u8> {
        let mut writer = corten_tar::Writer::new(Vec::new());
        for entry in entries {
            writer.entry(entry, &mut &b"content"[..]).unwrap();
        }
        writer.finish().unwrap()
    }

    fn unpack(folder: &Path, entries: &[Entry]) -> Result<()> {
        let (sender, pieces) = mpsc::channel(1);
        sender.try_send(Ok(archive(entries).into())).unwrap();
        drop(sender);
        into(pieces, &folder.to_string_lossy(), None)
    }

    #[test]
    fn nothing_gets_outside() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("in");
        corten_sys::fs::create_dir(&folder).unwrap();
        let file = |path: &[u8]| {
            let mut entry = Entry::new(path, EntryKind::File, 0o644);
            (entry.size, entry.stored) = (7, 7);
            entry
        };
        let link = |path: &[u8], target: &[u8]| Entry::new(path, EntryKind::Symlink(target.to_vec()), 0o777);
        unpack(&folder, &[file(b"../out")]).unwrap_err();
        unpack(&folder, &[link(b"up", b".."), file(b"up/out")]).unwrap_err();
        unpack(&folder, &[link(b"abs", b"/"), file(b"abs/tmp/corten-out")]).unwrap_err();
        let hard = Entry::new(b"hard", EntryKind::HardLink(b"../secret".to_vec()), 0o644);
        unpack(&folder, &[hard]).unwrap_err();
        unpack(&folder, &[link(b"same", b"sub"), file(b"sub/a"), file(b"same/b")]).unwrap();
        assert!(folder.join("sub/b").is_file());
        let left: Vec<_> = corten_sys::fs::read_dir(outer.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
    }
}
