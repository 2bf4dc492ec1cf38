//! Writes the archive of a context: ustar headers, pax records for what does not fit them; owned by root.

use std::{
    fs::Metadata,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt as _,
};

const BLOCK: usize = 512;

/// Writes an archive.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Writes a file of given bytes.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let head = Head {
            path,
            link: b"",
            kind: b'0',
            mode: 0o644,
            size: bytes.len() as u64,
            modified: 0,
        };
        self.write(&head, &mut &*bytes)
    }

    /// Writes what is at a path: a folder (its path ends with a slash), a link, or a file with its content.
    pub(super) fn entry(
        &mut self,
        path: &str,
        about: &Metadata,
        link: &[u8],
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let (kind, size) = match () {
            () if about.is_dir() => (b'5', 0),
            () if about.is_symlink() => (b'2', 0),
            () => (b'0', about.len()),
        };
        let head = Head {
            path,
            link,
            kind,
            mode: about.mode() & 0o7777,
            size,
            modified: u64::try_from(about.mtime()).unwrap_or(0),
        };
        self.write(&head, content)
    }

    /// Writes the end.
    pub(super) fn finish(self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }

    fn write(&mut self, head: &Head<'_>, content: &mut dyn Read) -> io::Result<()> {
        let records = head.records();
        if !records.is_empty() {
            let extension = Head {
                path: "PaxHeaders/entry",
                link: b"",
                kind: b'x',
                mode: 0o644,
                size: records.len() as u64,
                modified: 0,
            };
            self.out.write_all(&extension.block())?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.out.write_all(&head.block())?;
        let copied = io::copy(&mut content.take(head.size), self.out)?;
        // A file that shrinks meanwhile is filled up: its size is out already.
        io::copy(&mut io::repeat(0).take(head.size - copied), self.out)?;
        self.pad(head.size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let block = BLOCK as u64;
        let padding = (block - size % block) % block;
        io::copy(&mut io::repeat(0).take(padding), self.out).map(drop)
    }
}

struct Head<'a> {
    path: &'a str,
    link: &'a [u8],
    kind: u8,
    mode: u32,
    size: u64,
    modified: u64,
}

impl Head<'_> {
    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, room: usize, bytes: &[u8]| {
            let length = bytes.len().min(room);
            block[at..at + length].copy_from_slice(&bytes[..length]);
        };
        put(0, 100, self.path.as_bytes());
        put(100, 8, format!("{:07o}\0", self.mode).as_bytes());
        put(108, 8, b"0000000\0");
        put(116, 8, b"0000000\0");
        let size = if self.size < 1 << 33 { self.size } else { 0 };
        put(124, 12, format!("{size:011o}\0").as_bytes());
        put(136, 12, format!("{:011o}\0", self.modified).as_bytes());
        put(148, 8, b"        ");
        put(156, 1, &[self.kind]);
        put(157, 100, self.link);
        put(257, 8, b"ustar\x0000");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// What the header has no room for.
    fn records(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if self.link.len() > 100 {
            all.extend(record(b"linkpath", self.link));
        }
        if self.path.len() > 100 || !self.path.is_ascii() {
            all.extend(record(b"path", self.path.as_bytes()));
        }
        if self.size >= 1 << 33 {
            all.extend(record(b"size", self.size.to_string().as_bytes()));
        }
        all
    }
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
