//! Writes archives: ustar headers, and pax records for what does not fit them.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, EntryKind, Time, padding};

/// Writes an archive to a stream.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// A writer to a stream.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an entry; a file's `size` bytes are read from `content`.
    ///
    /// A file that shrinks meanwhile is filled up with zeros: the header with its size is out already.
    ///
    /// # Errors
    /// The stream's, and the content's.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
        let records = records(entry, size);
        if !records.is_empty() {
            let mut header = Header::new(b'x');
            header.put(0, 100, b"PaxHeaders/entry");
            header.octal(100, 8, 0o644);
            header.octal(124, 12, records.len() as u64);
            self.out.write_all(&header.finish())?;
            self.out.write_all(&records)?;
            self.zeros(padding(records.len() as u64))?;
        }
        self.out.write_all(&block(entry, size))?;
        let copied = io::copy(&mut content.take(size), &mut self.out)?;
        self.zeros(size - copied + padding(size))
    }

    /// Writes a small file of given bytes.
    ///
    /// # Errors
    /// The stream's.
    pub fn file(&mut self, path: &str, mode: u32, modified: Time, bytes: &[u8]) -> io::Result<()> {
        let mut entry = Entry::new(path.as_bytes(), EntryKind::File, mode);
        entry.size = bytes.len() as u64;
        entry.modified = modified;
        self.entry(&entry, &mut &*bytes)
    }

    /// Writes the two zero blocks at the end and gives the stream back.
    ///
    /// # Errors
    /// The stream's.
    pub fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK as u64)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.out).map(|_| ())
    }
}

struct Header([u8; BLOCK]);

impl Header {
    fn new(kind: u8) -> Self {
        let mut header = Self([0; BLOCK]);
        header.0[156] = kind;
        header.put(257, 8, b"ustar\x0000");
        header.octal(108, 8, 0);
        header.octal(116, 8, 0);
        header.octal(136, 12, 0);
        header
    }

    fn put(&mut self, at: usize, len: usize, bytes: &[u8]) {
        let len = len.min(bytes.len());
        self.0[at..at + len].copy_from_slice(&bytes[..len]);
    }

    /// Zero-padded digits and a NUL; a number that does not fit is written as 0 and said in a record.
    fn octal(&mut self, at: usize, len: usize, number: u64) {
        let number = if fits(number, len) { number } else { 0 };
        let digits = format!("{number:0width$o}\0", width = len - 1);
        self.put(at, len, digits.as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.put(148, 8, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.put(148, 8, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

fn fits(number: u64, len: usize) -> bool {
    number < 1 << (3 * (len - 1))
}

fn block(entry: &Entry, size: u64) -> [u8; BLOCK] {
    let (kind, link, device) = match &entry.kind {
        EntryKind::File => (b'0', &[][..], None),
        EntryKind::HardLink(link) => (b'1', &link[..], None),
        EntryKind::Symlink(link) => (b'2', &link[..], None),
        EntryKind::CharDevice(device) => (b'3', &[][..], Some(device)),
        EntryKind::BlockDevice(device) => (b'4', &[][..], Some(device)),
        EntryKind::Folder => (b'5', &[][..], None),
        EntryKind::Fifo => (b'6', &[][..], None),
        EntryKind::Global => (b'g', &[][..], None),
    };
    let mut header = Header::new(kind);
    match split(&entry.path) {
        Some((prefix, name)) => {
            header.put(0, 100, name);
            header.put(345, 155, prefix);
        }
        None => header.put(0, 100, &entry.path),
    }
    header.octal(100, 8, u64::from(entry.mode & 0o7777));
    header.octal(108, 8, u64::from(entry.uid));
    header.octal(116, 8, u64::from(entry.gid));
    header.octal(124, 12, size);
    header.octal(136, 12, u64::try_from(entry.modified.seconds).unwrap_or(0));
    header.put(157, 100, link);
    if let Some(device) = device {
        header.octal(329, 8, u64::from(device.major));
        header.octal(337, 8, u64::from(device.minor));
    }
    header.finish()
}

/// A name as ustar's prefix and name, if it can be said so.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((&[], path));
    }
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let from = path.len().saturating_sub(101);
    let slash = from
        + trimmed
            .get(from..155.min(trimmed.len().saturating_sub(1)) + 1)?
            .iter()
            .position(|b| *b == b'/')?;
    (slash > 0).then(|| (&path[..slash], &path[slash + 1..]))
}

/// The pax records an entry needs, in the order of their keys as Go writes them.
fn records(entry: &Entry, size: u64) -> Vec<u8> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, value: Vec<u8>| records.push((key.as_bytes().to_vec(), value));
    let ascii = |name: &[u8]| name.iter().all(|byte| byte.is_ascii() && *byte != 0);
    if !fits(u64::from(entry.gid), 8) {
        add("gid", entry.gid.to_string().into_bytes());
    }
    if let EntryKind::HardLink(link) | EntryKind::Symlink(link) = &entry.kind
        && (link.len() > 100 || !ascii(link))
    {
        add("linkpath", link.clone());
    }
    if let Some(text) = precise_time(entry.modified) {
        add("mtime", text.into_bytes());
    }
    if split(&entry.path).is_none() || !ascii(&entry.path) {
        add("path", entry.path.clone());
    }
    if !fits(size, 12) {
        add("size", size.to_string().into_bytes());
    }
    if !fits(u64::from(entry.uid), 8) {
        add("uid", entry.uid.to_string().into_bytes());
    }
    for (name, value) in &entry.xattrs {
        records.push(([b"SCHILY.xattr.", &name[..]].concat(), value.clone()));
    }
    records.sort();
    records.iter().flat_map(|(key, value)| record(key, value)).collect()
}

/// A time that the header cannot say.
fn precise_time(time: Time) -> Option<String> {
    let header_can = u64::try_from(time.seconds).is_ok_and(|seconds| fits(seconds, 12));
    if header_can && time.nanoseconds == 0 {
        return None;
    }
    if time.nanoseconds == 0 {
        return Some(time.seconds.to_string());
    }
    let (sign, seconds, nanoseconds) = if time.seconds < 0 {
        ("-", (time.seconds + 1).unsigned_abs(), 1_000_000_000 - time.nanoseconds)
    } else {
        ("", time.seconds.unsigned_abs(), time.nanoseconds)
    };
    Some(
        format!("{sign}{seconds}.{nanoseconds:09}")
            .trim_end_matches('0')
            .to_owned(),
    )
}

/// `length key=value\n`, where the length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}
