//! Reads an archive entry by entry, giving every byte that is no content to a sink.

use std::io::{self, BufRead, Read};

use super::header::{Block, Header, bad_header};
use super::pax::Pax;
use super::{BLOCK, Chunk, Entry, EntryKind, Time, padding, sparse};
use crate::error::{Result, invalid};

/// Takes the bytes that no file of the archive holds: headers, padding, skipped contents, trailer.
pub trait RawSink {
    /// Takes some bytes, in the order of the archive.
    ///
    /// # Errors
    /// When it cannot.
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Whoever only reads forgets them.
impl RawSink for () {
    fn raw(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Bounds on what an archive may make us do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of an archive.
    pub entries: u64,
    /// Bytes of a name.
    pub name: usize,
}

impl Default for Limits {
    /// 5,000,000 entries, and Linux's own limit for names.
    fn default() -> Self {
        Self {
            entries: 5_000_000,
            name: 4096,
        }
    }
}

/// Bytes of an extended header or long name; Go's limit.
const MAX_EXTENSION: u64 = 1 << 20;

/// Reads an archive.
#[derive(Debug)]
pub struct Reader<R, S> {
    input: R,
    sink: S,
    limits: Limits,
    /// Bytes read so far.
    position: u64,
    /// Bytes of the present content not yet read.
    content: u64,
    /// Bytes of padding after it.
    padding: u64,
    entries: u64,
}

/// What precedes an entry and changes it.
#[derive(Default)]
struct Extensions {
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead, S: RawSink> Reader<R, S> {
    /// A reader of an archive.
    pub fn new(input: R, sink: S, limits: Limits) -> Self {
        Self {
            input,
            sink,
            limits,
            position: 0,
            content: 0,
            padding: 0,
            entries: 0,
        }
    }

    /// The sink, to be told what becomes of contents.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Reads everything to the end of the input; gives the sink and the archive's length.
    ///
    /// # Errors
    /// The input's, and `UnexpectedEof` when it ends in a content.
    pub fn finish(mut self) -> Result<(S, u64)> {
        self.skip_content()?;
        loop {
            let buffer = self.input.fill_buf()?;
            let length = buffer.len();
            if length == 0 {
                return Ok((self.sink, self.position));
            }
            self.sink.raw(buffer)?;
            self.input.consume(length);
            self.position += length as u64;
        }
    }

    /// The next entry; what was not read of the last one's content goes to the sink.
    ///
    /// # Errors
    /// The input's, `InvalidData` for what is no tar, `UnexpectedEof` when it ends early.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the content")]
    pub fn next(&mut self) -> Result<Option<Entry>> {
        self.skip_content()?;
        let mut extensions = Extensions::default();
        loop {
            let Some((block, header)) = self.header()? else {
                return Ok(None);
            };
            match header.kind {
                b'x' => {
                    let bytes = self.extension(&header)?;
                    extensions.pax = Pax::default();
                    extensions.pax.parse(&bytes)?;
                }
                b'L' => extensions.long_name = Some(super::header::text(&self.extension(&header)?)),
                b'K' => extensions.long_link = Some(super::header::text(&self.extension(&header)?)),
                b'g' => {
                    self.extension(&header)?;
                    return Ok(Some(Entry::new(b"", EntryKind::Global, 0)));
                }
                _ => return self.entry(&block, header, extensions).map(Some),
            }
        }
    }

    /// A header, or `None` at the end: two blocks of zeros, or the input's end between entries.
    fn header(&mut self) -> Result<Option<(Block, Header)>> {
        let Some(block) = self.block_or_end()? else {
            return Ok(None);
        };
        if let Some(header) = Header::parse(&block)? {
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(invalid(format!(
                    "the archive has more than {} entries",
                    self.limits.entries
                )));
            }
            return Ok(Some((block, header)));
        }
        match self.block_or_end()? {
            None => Ok(None),
            Some(second) if second.iter().all(|byte| *byte == 0) => Ok(None),
            Some(_) => Err(bad_header()),
        }
    }

    fn entry(&mut self, block: &Block, header: Header, extensions: Extensions) -> Result<Entry> {
        let Extensions {
            mut pax,
            long_name,
            long_link,
        } = extensions;
        let name = pax.path.take().or(long_name).unwrap_or(header.name);
        let name = pax.sparse.name.take().unwrap_or(name);
        let link = pax.link.take().or(long_link).unwrap_or(header.link);
        self.check_name(&name)?;
        self.check_name(&link)?;
        let size = u64::try_from(header.size).map_err(|_| bad_header())?;
        let size = pax.size.unwrap_or(size);
        let kind = match header.kind {
            // Version 7 had no folders but names that end with a slash.
            0 if name.ends_with(b"/") => EntryKind::Folder,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink(link),
            b'2' => EntryKind::Symlink(link),
            b'3' => EntryKind::CharDevice(header.device),
            b'4' => EntryKind::BlockDevice(header.device),
            b'5' => EntryKind::Folder,
            b'6' => EntryKind::Fifo,
            other => return Err(invalid(format!("unhandled tar header type {other}"))),
        };
        let mut entry = Entry::new(&name, kind, header.mode);
        entry.uid = owner(pax.uid.unwrap_or(header.uid))?;
        entry.gid = owner(pax.gid.unwrap_or(header.gid))?;
        entry.modified = pax.modified.unwrap_or(Time {
            seconds: header.modified,
            nanoseconds: 0,
        });
        entry.xattrs = std::mem::take(&mut pax.xattrs);
        if entry.kind == EntryKind::File {
            (entry.size, entry.stored) = (size, size);
            self.content = size;
            self.padding = padding(size);
            self.sparse(block, header.kind, &pax, &mut entry)?;
        }
        Ok(entry)
    }

    /// Finds out whether the entry is sparse, reading the maps that stand before its data.
    fn sparse(&mut self, block: &Block, kind: u8, pax: &Pax, entry: &mut Entry) -> Result<()> {
        let chunks = if kind == b'S' {
            entry.size = sparse::old_gnu_size(block)?;
            self.old_gnu_map(block)?
        } else if pax.sparse.major == Some(1) && pax.sparse.minor == Some(0) {
            let chunks = sparse::from_data(|| self.map_block())?;
            entry.stored = self.content;
            chunks
        } else {
            match sparse::from_records(&pax.sparse)? {
                Some(chunks) => chunks,
                None => return Ok(()),
            }
        };
        if let Some(size) = pax.sparse.size {
            entry.size = size;
        }
        sparse::check(&chunks, entry.size, entry.stored)?;
        entry.sparse = Some(chunks);
        Ok(())
    }

    fn old_gnu_map(&mut self, block: &Block) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        let mut more = sparse::old_gnu_header(block, &mut chunks)?;
        while more {
            let block = self.block()?;
            more = sparse::old_gnu_extension(&block, &mut chunks)?;
        }
        Ok(chunks)
    }

    /// A block of the content that belongs to the map and so goes to the sink.
    fn map_block(&mut self) -> Result<Block> {
        self.content = self.content.checked_sub(BLOCK as u64).ok_or_else(bad_header)?;
        self.block()
    }

    fn check_name(&self, name: &[u8]) -> Result<()> {
        if name.len() <= self.limits.name {
            return Ok(());
        }
        Err(invalid(format!(
            "a name in the archive is {} bytes long, and {} is the most allowed",
            name.len(),
            self.limits.name
        )))
    }

    /// The whole content of an extended header or long name.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = u64::try_from(header.size)
            .ok()
            .filter(|size| *size <= MAX_EXTENSION)
            .ok_or_else(bad_header)?;
        let mut bytes = Vec::new();
        let total = size + padding(size);
        if (&mut self.input).take(total).read_to_end(&mut bytes)? as u64 != total {
            return Err(unexpected_end());
        }
        self.position += total;
        self.sink.raw(&bytes)?;
        bytes.truncate(usize::try_from(size).map_err(|_| bad_header())?);
        Ok(bytes)
    }

    fn block(&mut self) -> Result<Block> {
        self.block_or_end()?.ok_or_else(unexpected_end)
    }

    fn block_or_end(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let read = match self.input.read(&mut block[filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read == 0 {
                return if filled == 0 { Ok(None) } else { Err(unexpected_end()) };
            }
            filled += read;
        }
        self.position += BLOCK as u64;
        self.sink.raw(&block)?;
        Ok(Some(block))
    }

    /// Hands all of the present content over in pieces, and nothing of it to the sink.
    ///
    /// # Errors
    /// The input's, and what `take` gives.
    pub fn content<E: From<io::Error>>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.content > 0 {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Err(unexpected_end().into());
            }
            let length = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
            take(&buffer[..length])?;
            self.input.consume(length);
            self.content -= length as u64;
            self.position += length as u64;
        }
        Ok(())
    }

    /// Gives the rest of the content and its padding to the sink.
    fn skip_content(&mut self) -> Result<()> {
        let mut left = self.content + self.padding;
        while left > 0 {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Err(unexpected_end());
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.sink.raw(&buffer[..length])?;
            self.input.consume(length);
            left -= length as u64;
            self.position += length as u64;
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }
}

/// Reads the present content; what is left when this is dropped goes to the sink.
impl<R: BufRead, S> Read for Reader<R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        let read = self.input.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(unexpected_end());
        }
        self.content -= read as u64;
        self.position += read as u64;
        Ok(read)
    }
}

fn owner(number: i64) -> Result<u32> {
    u32::try_from(number).map_err(|_| invalid(format!("the archive names the owner {number}, which no system has")))
}

fn unexpected_end() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF")
}
