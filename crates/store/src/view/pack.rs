//! Files of a container as a tar (Docker API `GET /containers/{id}/archive`).

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;

use super::View;
use super::stat::base;
use super::walk::{Last, Spot};
use crate::archive::tree::{device, entry, proc_path, xattrs};
use crate::error::{Error, Result};
use crate::tar::{EntryKind, Writer};

impl View {
    /// Writes what is at a path as a tar whose names begin with the path's last part.
    ///
    /// # Errors
    /// `NotFound` when nothing is there. What vanishes meanwhile is left out.
    pub fn pack(&self, path: &str, out: &mut dyn Write) -> Result<()> {
        let spot = self.find(path.as_bytes(), Last::Keep)?;
        let mut packer = Packer {
            view: self,
            writer: Writer::new(io::BufWriter::with_capacity(64 * 1024, out)),
            links: HashMap::new(),
        };
        // The root's own name is empty, so that all others begin with a slash.
        let name = match base(path) {
            "/" => "",
            name => name,
        };
        packer.member(&spot, name.as_bytes())?;
        packer.writer.finish()?;
        Ok(())
    }
}

struct Packer<'a, W: Write> {
    view: &'a View,
    writer: Writer<W>,
    /// Where files with several names were first met, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<'_, W> {
    fn member(&mut self, spot: &Spot, name: &[u8]) -> Result<()> {
        let kind = match spot.kind() {
            FileType::Directory => return self.folder(spot, name),
            FileType::RegularFile => return self.file(spot, name),
            FileType::Symlink => EntryKind::Symlink(spot.target()?),
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice(device(&spot.stat)),
            FileType::BlockDevice => EntryKind::BlockDevice(device(&spot.stat)),
            // Tar has no sockets.
            FileType::Socket | FileType::Unknown => return Ok(()),
        };
        let kind = self.linked(spot, name).unwrap_or(kind);
        Ok(self.writer.entry(&entry(name, kind, &spot.stat), &mut io::empty())?)
    }

    fn folder(&mut self, spot: &Spot, name: &[u8]) -> Result<()> {
        let mut entry = entry(&[name, b"/"].concat(), EntryKind::Folder, &spot.stat);
        entry.xattrs = xattrs(&proc_path(&spot.fd))?;
        self.writer.entry(&entry, &mut io::empty())?;
        for inner in self.names(spot)? {
            let child = match self.view.child(spot, inner.as_bytes()) {
                Err(Errno::NOENT) => continue,
                child => child?,
            };
            self.member(&child, &[name, b"/", inner.as_bytes()].concat())?;
        }
        Ok(())
    }

    /// The names in a folder and those of mounts, sorted.
    fn names(&self, spot: &Spot) -> Result<BTreeSet<Box<OsStr>>> {
        let folder = spot.reopen(OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names: BTreeSet<Box<OsStr>> = self
            .view
            .mounts_below(&spot.path)
            .map(|name| OsStr::from_bytes(name).into())
            .collect();
        for item in Dir::new(folder)? {
            let item = item?;
            let name = item.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.insert(OsStr::from_bytes(name).into());
            }
        }
        Ok(names)
    }

    fn file(&mut self, spot: &Spot, name: &[u8]) -> Result<()> {
        if let Some(link) = self.linked(spot, name) {
            return Ok(self.writer.entry(&entry(name, link, &spot.stat), &mut io::empty())?);
        }
        let file = spot.reopen(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let file = file.map_err(|errno| Error::from(errno).context(String::from_utf8_lossy(&spot.path)))?;
        let mut entry = entry(name, EntryKind::File, &spot.stat);
        entry.size = u64::try_from(spot.stat.st_size).unwrap_or(0);
        entry.xattrs = xattrs(&proc_path(&file))?;
        Ok(self.writer.entry(&entry, &mut File::from(file))?)
    }

    /// The other name that a file was written under already.
    fn linked(&mut self, spot: &Spot, name: &[u8]) -> Option<EntryKind> {
        if spot.stat.st_nlink < 2 {
            return None;
        }
        let key = (spot.stat.st_dev, spot.stat.st_ino);
        if let Some(first) = self.links.get(&key) {
            return Some(EntryKind::HardLink(first.clone()));
        }
        self.links.insert(key, name.to_vec());
        None
    }
}
