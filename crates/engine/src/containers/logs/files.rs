//! The files of a rotated log, and opening one of them.
//!
//! `x.log` is the newest, then `x.log.1`, `x.log.2`, … or `x.log.2.gz`. A file keeps its inode when
//! it is renamed, and the time of its first line even when it is compressed; that is how a reader
//! that was overtaken by rotations, or comes back later, finds its place again.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use corten_api::time::Time;
use flate2::read::MultiGzDecoder;

use super::entry::time_of;
use crate::error::Result;

/// How much of a file is looked at for its first line: more than the longest line as JSON.
const HEAD: usize = 256 << 10;

/// A file of a log, as it was when looked for.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) path: PathBuf,
    pub(super) inode: u64,
    pub(super) size: u64,
}

impl Listed {
    fn is_compressed(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "gz")
    }

    /// The time of the first line; none for a file without one, or that is gone.
    pub(super) fn first(&self) -> Result<Option<Time>> {
        let Some(file) = corten_sys::fs::if_there(corten_sys::fs::open(&self.path))? else {
            return Ok(None);
        };
        match self.is_compressed() {
            false => Ok(first_of(&file)),
            true => Ok(first_line(MultiGzDecoder::new(file))),
        }
    }

    /// When the last line of a compressed file was written, if its header says so.
    pub(super) fn last(&self) -> Result<Option<Time>> {
        if !self.is_compressed() {
            return Ok(None);
        }
        let Some(file) = corten_sys::fs::if_there(corten_sys::fs::open(&self.path))? else {
            return Ok(None);
        };
        let decoder = MultiGzDecoder::new(file);
        let extra = decoder.header().and_then(|header| header.extra());
        let stated = extra.and_then(|extra| serde_json::from_slice::<serde_json::Value>(extra).ok());
        let time = stated.and_then(|stated| stated.get("lastTime")?.as_str()?.parse().ok());
        Ok(time)
    }
}

/// The files there are, the newest first.
pub(super) fn list(path: &Path) -> Result<Vec<Listed>> {
    let mut files: Vec<Listed> = Vec::new();
    for number in 0.. {
        let found = match number {
            0 => look(path.to_owned())?,
            _ => match look(numbered(path, number, ""))? {
                None => look(numbered(path, number, ".gz"))?,
                found => found,
            },
        };
        match found {
            // A rotation under way shows a file under both of its names.
            Some(file) if files.last().is_some_and(|last| last.inode == file.inode) => {}
            Some(file) => files.push(file),
            // Or it leaves a gap of one.
            None if number > 1 => break,
            None => {}
        }
    }
    Ok(files)
}

fn look(path: PathBuf) -> Result<Option<Listed>> {
    let found = corten_sys::fs::if_there(corten_sys::fs::metadata(&path))?;
    Ok(found.map(|metadata| Listed {
        path,
        inode: metadata.ino(),
        size: metadata.len(),
    }))
}

fn numbered(path: &Path, number: u32, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{suffix}"));
    name.into()
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) inode: u64,
    /// How far it was read.
    pub(super) offset: u64,
    first: Option<Time>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Plain(File),
    /// What a compressed file holds.
    Compressed(std::io::Cursor<Vec<u8>>),
}

impl Open {
    /// Opens a file; none when a rotation took it away.
    pub(super) fn new(listed: &Listed) -> Result<Option<Self>> {
        let path = &listed.path;
        let Some(mut file) = corten_sys::fs::if_there(corten_sys::fs::open(path))? else {
            return Ok(None);
        };
        let inode = file.metadata()?.ino();
        if inode != listed.inode {
            return Ok(None);
        }
        let source = match listed.is_compressed() {
            false => Source::Plain(file),
            true => Source::Compressed(std::io::Cursor::new(unpack(path, &mut file)?)),
        };
        Ok(Some(Self {
            inode,
            offset: 0,
            first: None,
            source,
        }))
    }

    /// Takes a file that is open already, to be read from its beginning.
    pub(super) fn held(file: File) -> Result<Self> {
        Ok(Self {
            inode: file.metadata()?.ino(),
            offset: 0,
            first: None,
            source: Source::Plain(file),
        })
    }

    /// The time of its first line; none as long as there is none.
    pub(super) fn first(&mut self) -> Option<Time> {
        if self.first.is_none() {
            self.first = match &self.source {
                Source::Plain(file) => first_of(file),
                Source::Compressed(bytes) => first_line(&bytes.get_ref()[..]),
            };
        }
        self.first
    }

    /// Reads on.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = match &mut self.source {
            Source::Plain(file) => file.read(buffer),
            Source::Compressed(bytes) => bytes.read(buffer),
        }?;
        self.offset += length as u64;
        Ok(length)
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> Result<u64> {
        Ok(match &self.source {
            Source::Plain(file) => file.metadata()?.len(),
            Source::Compressed(bytes) => bytes.get_ref().len() as u64,
        })
    }

    /// Goes to a place.
    pub(super) fn seek(&mut self, offset: u64) -> Result<()> {
        self.offset = match &mut self.source {
            Source::Plain(file) => file.seek(SeekFrom::Start(offset)),
            Source::Compressed(bytes) => bytes.seek(SeekFrom::Start(offset)),
        }?;
        Ok(())
    }

    /// Reads from a place, as much as there is up to the buffer's length.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        match &self.source {
            Source::Plain(file) => Ok(read_at(file, offset, buffer)?),
            Source::Compressed(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.get_ref().len());
                let mut rest = &bytes.get_ref()[from..];
                Ok(rest.read(buffer)?)
            }
        }
    }
}

fn unpack(path: &Path, file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match MultiGzDecoder::new(file).read_to_end(&mut bytes) {
        Ok(_) => {}
        // It is being written, or was damaged: what can be read is shown.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::InvalidInput | ErrorKind::InvalidData
            ) =>
        {
            tracing::warn!(path = %path.display(), %error, "a compressed log is damaged");
        }
        Err(error) => return Err(corten_sys::fs::with_path("read", path, error).into()),
    }
    Ok(bytes)
}

fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

/// The time of the first line of a file.
fn first_of(file: &File) -> Option<Time> {
    // A line is rarely longer.
    let mut head = vec![0; 4 << 10];
    loop {
        let length = read_at(file, 0, &mut head).ok()?;
        if let Some(end) = head[..length].iter().position(|byte| *byte == b'\n') {
            return time_of(&head[..=end]);
        }
        if length < head.len() || length >= HEAD {
            return None;
        }
        head = vec![0; HEAD];
    }
}

fn first_line(source: impl Read) -> Option<Time> {
    let mut head = Vec::new();
    // What is damaged after the first line does not matter here.
    let _ = source.take(HEAD as u64).read_to_end(&mut head);
    let end = head.iter().position(|byte| *byte == b'\n')?;
    time_of(&head[..=end])
}
