//! A tar into a container (Docker API `PUT /containers/{id}/archive`).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::View;
use super::walk::{Last, Spot};
use crate::error::{Error, Result};
use crate::pipeline::Format;
use crate::tar::{Device, Entry, EntryKind, Reader, Time};
use crate::unpack::{Limits, accept_unsupported, clean_name, copy_content, is_wanted, times};

/// The mode of folders that an archive takes for granted.
const IMPLIED: Mode = Mode::from_raw_mode(0o755);

/// How to unpack.
#[derive(Debug, Clone, Copy, Default)]
pub struct UnpackOptions {
    /// Whether a file that would replace a folder, or a folder a file, is refused.
    pub keep_kinds: bool,
    /// Whose everything becomes: user and group; the archive's own when none.
    pub owner: Option<(u32, u32)>,
}

impl View {
    /// Whether a path leads to a folder that can be written.
    ///
    /// # Errors
    /// `NotFound` when nothing is there, Invalid when it is no folder, Forbidden when it is read-only;
    /// the message says whether the root is, or a volume.
    pub fn check_target(&self, path: &str) -> Result<()> {
        let spot = self.find(path.as_bytes(), Last::Follow)?;
        if !spot.is_folder() {
            return Err(Error::invalid("extraction point is not a directory"));
        }
        let in_mount = self.mounts.iter().any(|mount| {
            spot.path == mount.at
                || spot
                    .path
                    .strip_prefix(&mount.at[..])
                    .is_some_and(|rest| rest.starts_with(b"/"))
        });
        match (spot.read_only, in_mount) {
            (false, _) => Ok(()),
            (true, true) => Err(Error::invalid("mounted volume is marked read-only")),
            (true, false) => Err(Error::invalid("container rootfs is marked read-only")),
        }
    }

    /// Unpacks a tar, plain or compressed, into the folder at a path.
    ///
    /// # Errors
    /// As [`View::check_target`]; Invalid when it is no tar, or ends early: what came before stays.
    pub fn unpack(&self, path: &str, input: &mut dyn Read, options: UnpackOptions) -> Result<()> {
        self.check_target(path)?;
        let folder = self.find(path.as_bytes(), Last::Follow)?;
        let mut input = BufReader::with_capacity(128 * 1024, input);
        match Format::of(input.fill_buf()?)? {
            Format::Plain => self.entries(folder, input, options),
            Format::Gzip => {
                let inflated = flate2::bufread::MultiGzDecoder::new(input);
                self.entries(folder, BufReader::with_capacity(128 * 1024, inflated), options)
            }
            Format::Zstd => {
                let inflated = zstd::Decoder::with_buffer(input)?;
                self.entries(folder, BufReader::with_capacity(128 * 1024, inflated), options)
            }
        }
    }

    fn entries(&self, folder: Spot, input: impl BufRead, options: UnpackOptions) -> Result<()> {
        let mut reader = Reader::new(input, (), Limits::default().reader());
        let mut unpacker = Unpacker {
            view: self,
            folder,
            options,
            parent: None,
            folder_times: Vec::new(),
        };
        while let Some(entry) = reader.next()? {
            unpacker.entry(&entry, &mut reader)?;
        }
        unpacker.set_folder_times()?;
        reader.finish()?;
        Ok(())
    }
}

struct Unpacker<'a> {
    view: &'a View,
    folder: Spot,
    options: UnpackOptions,
    /// Where the last entry was, by the path it had in the archive.
    parent: Option<(Vec<u8>, Spot)>,
    /// Set at the end, because making entries changes them.
    folder_times: Vec<(Vec<u8>, Time)>,
}

impl Unpacker<'_> {
    fn entry<R: BufRead>(&mut self, entry: &Entry, reader: &mut Reader<R, ()>) -> Result<()> {
        let path = clean_name(&entry.path)?;
        // The folder itself stays as it is.
        if path.is_empty() || entry.kind == EntryKind::Global {
            return Ok(());
        }
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], &path[..]),
        };
        let shown = || format!("cannot write {}", String::from_utf8_lossy(&self.folder.join(&path)));
        let shown = shown();
        let place = self.parent(folder).map_err(|error| error.context(&shown))?;
        self.make(&place, name, entry, reader)
            .map_err(|error| match error.kind() {
                crate::Kind::Internal => error.context(&shown),
                _ => error,
            })
    }

    /// The folder of an entry, made with those around it where it is missing.
    fn parent(&mut self, folder: &[u8]) -> Result<Spot> {
        if let Some((known, spot)) = &self.parent
            && known == folder
        {
            return Ok(spot.clone());
        }
        let walked = self.view.walk(&self.folder.join(folder), Last::Follow)?;
        let mut place = walked.end().clone();
        for name in &walked.missing {
            writable(&place)?;
            rustix::fs::mkdirat(&place.fd, &name[..], IMPLIED)?;
            if let Some((uid, gid)) = self.options.owner {
                let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                rustix::fs::chownat(&place.fd, &name[..], uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            place = self.view.child(&place, name)?;
        }
        if !place.is_folder() {
            return Err(Errno::NOTDIR.into());
        }
        self.parent = Some((folder.to_vec(), place.clone()));
        Ok(place)
    }

    fn make<R: BufRead>(&mut self, place: &Spot, name: &[u8], entry: &Entry, reader: &mut Reader<R, ()>) -> Result<()> {
        let is_folder = entry.kind == EntryKind::Folder;
        let existing = match self.view.child(place, name) {
            Err(Errno::NOENT) => None,
            found => Some(found?),
        };
        if let Some(existing) = existing {
            self.check_kinds(&existing, is_folder)?;
            if is_folder && existing.is_folder() {
                return self.existing_folder(&existing, entry);
            }
            writable(place)?;
            self.remove(place, name, &existing)?;
        }
        writable(place)?;
        match &entry.kind {
            EntryKind::File => self.file(place, name, entry, reader),
            EntryKind::Folder => {
                rustix::fs::mkdirat(&place.fd, name, Mode::RWXU)?;
                let made = self.view.child(place, name)?;
                self.existing_folder(&made, entry)
            }
            EntryKind::HardLink(target) => self.hard_link(place, name, target),
            EntryKind::Symlink(target) => {
                rustix::fs::symlinkat(&target[..], &place.fd, name)?;
                self.attributes_at(place, name, entry)
            }
            EntryKind::Fifo => self.node(place, name, entry, FileType::Fifo, 0),
            EntryKind::CharDevice(numbers) => self.node(place, name, entry, FileType::CharacterDevice, of(*numbers)),
            EntryKind::BlockDevice(numbers) => self.node(place, name, entry, FileType::BlockDevice, of(*numbers)),
            EntryKind::Global => Ok(()),
        }
    }

    fn check_kinds(&self, existing: &Spot, is_folder: bool) -> Result<()> {
        if !self.options.keep_kinds || existing.is_folder() == is_folder {
            return Ok(());
        }
        let (old, new) = if is_folder {
            ("non-directory", "directory")
        } else {
            ("directory", "non-directory")
        };
        let text = |path: &[u8]| {
            if path.is_empty() {
                "/".to_owned()
            } else {
                String::from_utf8_lossy(path).into_owned()
            }
        };
        Err(Error::invalid(format!(
            "cannot overwrite {old} \"{}\" with {new} \"{}\"",
            text(&existing.path),
            text(&self.folder.path)
        )))
    }

    fn existing_folder(&mut self, folder: &Spot, entry: &Entry) -> Result<()> {
        writable(folder)?;
        let fd = folder.reopen(OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.attributes(fd.as_fd(), entry)?;
        self.folder_times.push((folder.path.clone(), entry.modified));
        Ok(())
    }

    /// Removes what an entry replaces. Everything is reached from the held folder: names have no
    /// slash, and the removal itself follows no link.
    fn remove(&mut self, place: &Spot, name: &[u8], existing: &Spot) -> Result<()> {
        if self.view.is_busy(&existing.path) {
            return Err(Errno::BUSY.into());
        }
        self.parent = None;
        if !existing.is_folder() {
            return Ok(rustix::fs::unlinkat(&place.fd, name, AtFlags::empty())?);
        }
        use std::os::unix::ffi::OsStrExt as _;
        let path = [format!("/proc/self/fd/{}/", place.fd.as_raw_fd()).as_bytes(), name].concat();
        Ok(corten_sys::fs::remove_dir_all(std::ffi::OsStr::from_bytes(&path))?)
    }

    fn file<R: BufRead>(&mut self, place: &Spot, name: &[u8], entry: &Entry, reader: &mut Reader<R, ()>) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&place.fd, name, flags, Mode::RUSR | Mode::WUSR)?);
        copy_content(&file, entry, reader)?;
        self.attributes(file.as_fd(), entry)?;
        Ok(rustix::fs::futimens(&file, &times(entry.modified))?)
    }

    fn hard_link(&self, place: &Spot, name: &[u8], target: &[u8]) -> Result<()> {
        let target = clean_name(target)?;
        let path = self.folder.join(&target);
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let folder = self.view.find(&path[..slash], Last::Follow)?;
        Ok(rustix::fs::linkat(
            &folder.fd,
            &path[slash + 1..],
            &place.fd,
            name,
            AtFlags::empty(),
        )?)
    }

    fn node(&self, place: &Spot, name: &[u8], entry: &Entry, kind: FileType, device: u64) -> Result<()> {
        rustix::fs::mknodat(&place.fd, name, kind, Mode::RUSR | Mode::WUSR, device)?;
        self.attributes_at(place, name, entry)
    }

    fn owner(&self, entry: &Entry) -> (Option<Uid>, Option<Gid>) {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    }

    /// The owner first: changing it takes set-id bits and capabilities away.
    fn attributes(&self, fd: BorrowedFd<'_>, entry: &Entry) -> Result<()> {
        let (uid, gid) = self.owner(entry);
        rustix::fs::fchown(fd, uid, gid)?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode & 0o7777))?;
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_wanted(name)) {
            accept_unsupported(rustix::fs::fsetxattr(fd, &name[..], value, XattrFlags::empty()))?;
        }
        Ok(())
    }

    /// The same for what cannot be opened; it was made a moment ago, and nobody follows a link here.
    fn attributes_at(&self, place: &Spot, name: &[u8], entry: &Entry) -> Result<()> {
        let (uid, gid) = self.owner(entry);
        rustix::fs::chownat(&place.fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        if !matches!(entry.kind, EntryKind::Symlink(_)) {
            let made = rustix::fs::openat(
                &place.fd,
                name,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            let path = format!("/proc/self/fd/{}", made.as_raw_fd());
            if FileType::from_raw_mode(rustix::fs::fstat(&made)?.st_mode) != FileType::Symlink {
                rustix::fs::chmod(path, Mode::from_raw_mode(entry.mode & 0o7777))?;
            }
        }
        Ok(rustix::fs::utimensat(
            &place.fd,
            name,
            &times(entry.modified),
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    fn set_folder_times(&mut self) -> Result<()> {
        for (path, time) in std::mem::take(&mut self.folder_times) {
            // It may have been replaced since.
            if let Ok(spot) = self.view.find(&path, Last::Keep)
                && spot.is_folder()
                && !spot.read_only
            {
                let folder = spot.reopen(OFlags::RDONLY | OFlags::DIRECTORY)?;
                rustix::fs::futimens(&folder, &times(time))?;
            }
        }
        Ok(())
    }
}

fn of(device: Device) -> u64 {
    rustix::fs::makedev(device.major, device.minor)
}

fn writable(spot: &Spot) -> Result<(), Errno> {
    if spot.read_only { Err(Errno::ROFS) } else { Ok(()) }
}
