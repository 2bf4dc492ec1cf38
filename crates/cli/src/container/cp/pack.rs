//! Files of this machine as an archive, while it is sent.

use std::{
    collections::HashMap,
    fs::Metadata,
    io::{self, Read, Write},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::Path,
    sync::atomic::Ordering,
};

use corten_client::{Body, BodyWriter};
use corten_sys::fs;
use corten_tar::{Device, Entry, EntryKind, Time, Writer};

use super::Counter;

/// An archive of a file or folder, whose names begin with `prefix`.
pub(super) fn files(path: &str, prefix: String, counter: Counter) -> Body {
    let path = path.to_owned();
    Body::written(move |out| pack(Path::new(&path), prefix.as_bytes(), &mut Counted { out, counter }))
}

/// What comes from standard input.
pub(super) fn standard_input(counter: Counter) -> Body {
    Body::written(move |out| io::copy(&mut io::stdin(), &mut Counted { out, counter }).map(drop))
}

fn pack(path: &Path, prefix: &[u8], sink: &mut Counted<'_>) -> io::Result<()> {
    let mut packer = Packer {
        writer: Writer::new(sink),
        links: HashMap::new(),
    };
    packer.member(path, prefix.to_vec())?;
    packer.writer.finish()?;
    Ok(())
}

struct Packer<'a, 'b> {
    writer: Writer<&'a mut Counted<'b>>,
    /// Where files with several names were first met, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl Packer<'_, '_> {
    fn member(&mut self, path: &Path, name: Vec<u8>) -> io::Result<()> {
        let about = fs::symlink_metadata(path)?;
        if about.is_dir() {
            return self.folder(path, name, &about);
        }
        if about.nlink() > 1 {
            if let Some(first) = self.links.get(&(about.dev(), about.ino())) {
                let entry = entry(&name, EntryKind::HardLink(first.clone()), &about);
                return self.writer.entry(&entry, &mut io::empty());
            }
            self.links.insert((about.dev(), about.ino()), name.clone());
        }
        let kind = about.file_type();
        let device = Device {
            major: rustix::fs::major(about.rdev()),
            minor: rustix::fs::minor(about.rdev()),
        };
        let kind = match kind {
            kind if kind.is_file() => return self.file(path, &name, &about),
            kind if kind.is_symlink() => EntryKind::Symlink(fs::read_link(path)?.as_os_str().as_bytes().to_vec()),
            kind if kind.is_fifo() => EntryKind::Fifo,
            kind if kind.is_char_device() => EntryKind::CharDevice(device),
            kind if kind.is_block_device() => EntryKind::BlockDevice(device),
            // Tar has no sockets.
            _ => return Ok(()),
        };
        self.writer.entry(&entry(&name, kind, &about), &mut io::empty())
    }

    fn folder(&mut self, path: &Path, name: Vec<u8>, about: &Metadata) -> io::Result<()> {
        let shown = [&name[..], b"/"].concat();
        self.writer
            .entry(&entry(&shown, EntryKind::Folder, about), &mut io::empty())?;
        let mut names = Vec::new();
        for item in fs::read_dir(path)? {
            names.push(item?.file_name());
        }
        names.sort();
        for item in names {
            self.member(&path.join(&item), [&name[..], b"/", item.as_bytes()].concat())?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &[u8], about: &Metadata) -> io::Result<()> {
        let mut file = fs::open(path)?;
        let mut entry = entry(name, EntryKind::File, about);
        entry.size = about.len();
        let mut value = [0; 64];
        if let Ok(length) = rustix::fs::lgetxattr(path, "security.capability", &mut value) {
            entry.xattrs = vec![(b"security.capability".to_vec(), value[..length].to_vec())];
        }
        self.writer.entry(&entry, &mut file as &mut dyn Read)
    }
}

fn entry(name: &[u8], kind: EntryKind, about: &Metadata) -> Entry {
    let mut entry = Entry::new(name, kind, about.mode() & 0o7777);
    (entry.uid, entry.gid) = (about.uid(), about.gid());
    entry.modified = Time {
        seconds: about.mtime(),
        nanoseconds: 0,
    };
    entry
}

/// Counts what is sent.
struct Counted<'a> {
    out: &'a mut BodyWriter,
    counter: Counter,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.counter.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
