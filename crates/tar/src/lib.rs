//! Tar archives: ustar, GNU and pax, read strictly and written plainly.
//!
//! The reader gives every byte that is not a file's content to a [`RawSink`], so that a layer's
//! exact tar can be made again from those bytes and the files. What it accepts is what Go's
//! `archive/tar` accepts, because that is what images are made and read with. POSIX.1-2017
//! `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format"
//! and "Storing Sparse Files".
//!
//! ```
//! use std::io::Read as _;
//! use corten_tar::{Limits, Reader, Time, Writer};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut writer = Writer::new(Vec::new());
//! writer.file("name", 0o644, Time::default(), b"content")?;
//! let bytes = writer.finish()?;
//! let mut reader = Reader::new(&bytes[..], (), Limits::default());
//! let entry = reader.next()?.expect("there is one");
//! let mut content = String::new();
//! reader.read_to_string(&mut content)?;
//! assert_eq!((&entry.path[..], content.as_str()), (&b"name"[..], "content"));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod error;
mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use reader::{Limits, RawSink, Reader};
pub use writer::Writer;

/// Size of a header and unit of padding.
pub const BLOCK: usize = 512;

/// Seconds since the epoch and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999, always counted forward.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file; its content follows.
    File,
    /// Another name of an earlier file.
    HardLink(Vec<u8>),
    /// A symbolic link and what it says.
    Symlink(Vec<u8>),
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A pax global header, which Docker ignores too.
    Global,
}

/// A device's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Kind of device.
    pub major: u32,
    /// Which of them.
    pub minor: u32,
}

/// A piece of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
}

/// One entry, with its extended headers merged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As the archive says it, unchecked.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permissions with set-id and sticky bits, no type.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was changed.
    pub modified: Time,
    /// The file's size; for sparse files more than the archive holds.
    pub size: u64,
    /// Bytes of content that follow in the archive.
    pub stored: u64,
    /// Where those bytes go; `None` is one piece from the start.
    pub sparse: Option<Vec<Chunk>>,
    /// Extended attributes: names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An entry of a kind, owned by root, of the epoch.
    #[must_use]
    pub fn new(path: &[u8], kind: EntryKind, mode: u32) -> Self {
        Self {
            path: path.to_vec(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            modified: Time::default(),
            size: 0,
            stored: 0,
            sparse: None,
            xattrs: Vec::new(),
        }
    }
}

/// Bytes of padding after a content.
#[must_use]
pub fn padding(size: u64) -> u64 {
    const UNIT: u64 = BLOCK as u64;
    (UNIT - size % UNIT) % UNIT
}

#[cfg(test)]
mod tests;
