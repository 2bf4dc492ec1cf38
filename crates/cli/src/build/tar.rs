//! Writes the archive of a context: modes and times as they are, everything owned by root.

use std::{
    fs::Metadata,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt as _,
};

use corten_tar::{Entry, EntryKind, Time};

/// Writes an archive.
pub(super) struct Writer<'a>(corten_tar::Writer<&'a mut dyn Write>);

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self(corten_tar::Writer::new(out))
    }

    /// Writes a file of given bytes.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.file(path, 0o644, Time::default(), bytes)
    }

    /// Writes what is at a path: a folder (its path ends with a slash), a link, or a file with its content.
    pub(super) fn entry(
        &mut self,
        path: &str,
        about: &Metadata,
        link: &[u8],
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let kind = match () {
            () if about.is_dir() => EntryKind::Folder,
            () if about.is_symlink() => EntryKind::Symlink(link.to_vec()),
            () => EntryKind::File,
        };
        let mut entry = Entry::new(path.as_bytes(), kind, about.mode() & 0o7777);
        entry.size = about.len();
        entry.modified = Time {
            seconds: about.mtime(),
            nanoseconds: 0,
        };
        self.0.entry(&entry, content)
    }

    /// Writes the end.
    pub(super) fn finish(self) -> io::Result<()> {
        self.0.finish().map(drop)
    }
}
