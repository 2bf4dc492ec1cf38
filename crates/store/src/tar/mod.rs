//! Tar archives: ustar, GNU and pax, read strictly and written plainly.
//!
//! The reader gives every byte that is not a file's content to a [`RawSink`], so that a layer's
//! exact tar can be made again from those bytes and the files. What it accepts is what Go's
//! `archive/tar` accepts, because that is what images are made and read with. POSIX.1-2017
//! `pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format"
//! and "Storing Sparse Files".

mod header;
mod pax;
mod reader;
mod sparse;
mod writer;

pub(crate) use reader::{Limits as ReaderLimits, RawSink, Reader};
pub(crate) use writer::Writer;

/// Size of a header and unit of padding.
pub(crate) const BLOCK: usize = 512;

/// Seconds since the epoch and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Time {
    /// Whole seconds, negative before 1970.
    pub(crate) seconds: i64,
    /// 0 to 999,999,999, always counted forward.
    pub(crate) nanoseconds: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
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
pub(crate) struct Device {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// A piece of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// One entry, with its extended headers merged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the archive says it, unchecked.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Permissions with set-id and sticky bits, no type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Time,
    /// The file's size; for sparse files more than the archive holds.
    pub(crate) size: u64,
    /// Bytes of content that follow in the archive.
    pub(crate) stored: u64,
    /// Where those bytes go; `None` is one piece from the start.
    pub(crate) sparse: Option<Vec<Chunk>>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// An entry of a kind, owned by root, of the epoch.
    pub(crate) fn new(path: &[u8], kind: EntryKind, mode: u32) -> Self {
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
pub(crate) fn padding(size: u64) -> u64 {
    const UNIT: u64 = BLOCK as u64;
    (UNIT - size % UNIT) % UNIT
}

#[cfg(test)]
mod tests;
