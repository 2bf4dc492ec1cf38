//! Recipes: what is needed beside a layer's files to make its exact tar again.
//!
//! A recipe is a zstd-compressed list of records: bytes as they stood in the archive (headers,
//! padding, contents no file keeps) and pointers into files. It starts with a magic that ends in the
//! format's number and ends with a record that says so.
//!
//! ```text
//! magic  "corten-recipe-1\n"
//! 1 len bytes…              raw bytes
//! 2 len path offset len     a piece of the file at a path
//! 0                         the end
//! ```
//! Numbers are LEB128. A file that a later entry of the same archive replaced is found under
//! `replaced/`, see [`Move`].

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tar::RawSink;

const MAGIC: &[u8; 16] = b"corten-recipe-1\n";
const END: u8 = 0;
const RAW: u8 = 1;
const PIECE: u8 = 2;

/// Raw bytes gathered before they become a record.
const RAW_RUN: usize = 64 * 1024;

/// Longest raw record or path a reader accepts.
const MAX_RECORD: u64 = 1 << 20;

/// A file or folder that a later entry of the archive replaced: pieces numbered below `before`
/// whose path is `path` or under it are in `replaced/<to>` instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    /// Path in the layer, as bytes.
    pub(crate) path: Vec<u8>,
    /// Number of the first piece that is not concerned.
    pub(crate) before: u64,
    /// Name in the folder of replaced files.
    pub(crate) to: u64,
}

/// Writes a recipe while its archive is read.
pub(crate) struct Writer {
    out: zstd::Encoder<'static, File>,
    run: Vec<u8>,
    pieces: u64,
}

impl Writer {
    pub(crate) fn new(file: File) -> Result<Self> {
        let mut out = zstd::Encoder::new(file, 3)?;
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            run: Vec::with_capacity(RAW_RUN + 4096),
            pieces: 0,
        })
    }

    /// Pieces written so far.
    pub(crate) fn pieces(&self) -> u64 {
        self.pieces
    }

    /// The next `len` bytes of the archive are in the file at `path` from `offset`.
    pub(crate) fn piece(&mut self, path: &[u8], offset: u64, len: u64) -> Result<()> {
        self.end_run()?;
        self.out.write_all(&[PIECE])?;
        self.number(path.len() as u64)?;
        self.out.write_all(path)?;
        self.number(offset)?;
        self.number(len)?;
        self.pieces += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.end_run()?;
        self.out.write_all(&[END])?;
        self.out.finish()?;
        Ok(())
    }

    fn end_run(&mut self) -> io::Result<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        self.out.write_all(&[RAW])?;
        self.number(self.run.len() as u64)?;
        self.out.write_all(&self.run)?;
        self.run.clear();
        Ok(())
    }

    fn number(&mut self, mut number: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(10);
        loop {
            let low = u8::try_from(number & 0x7f).unwrap_or_default();
            number >>= 7;
            if number == 0 {
                bytes.push(low);
                return self.out.write_all(&bytes);
            }
            bytes.push(low | 0x80);
        }
    }
}

impl RawSink for Writer {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(RAW_RUN) {
            self.run.extend_from_slice(part);
            if self.run.len() >= RAW_RUN {
                self.end_run()?;
            }
        }
        Ok(())
    }
}

/// The exact tar of a layer, made again from its recipe and files as it is read.
pub struct TarStream {
    recipe: Box<dyn BufRead + Send>,
    files: OwnedFd,
    replaced: Option<OwnedFd>,
    moves: Vec<Move>,
    layer: String,
    pieces: u64,
    state: State,
}

enum State {
    Between,
    Raw(u64),
    File {
        file: File,
        offset: u64,
        left: u64,
        path: Vec<u8>,
    },
    End,
}

impl std::fmt::Debug for TarStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TarStream")
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}

impl TarStream {
    /// Opens a layer's recipe. `layer` is what errors call it.
    pub(crate) fn open(folder: &Path, moves: Vec<Move>, layer: String) -> Result<Self> {
        let decoder = zstd::Decoder::new(corten_sys::fs::open(folder.join("recipe"))?)?;
        let mut recipe = BufReader::with_capacity(RAW_RUN, decoder);
        let mut magic = [0; MAGIC.len()];
        recipe
            .read_exact(&mut magic)
            .map_err(|_| damaged(&layer, "its recipe ends early"))?;
        if &magic != MAGIC {
            return Err(damaged(&layer, "its recipe is of an unknown format"));
        }
        let replaced = if moves.is_empty() {
            None
        } else {
            Some(open_folder(&folder.join("replaced"))?)
        };
        let files = open_folder(&folder.join("diff"))?;
        Ok(Self {
            recipe: Box::new(recipe),
            files,
            replaced,
            moves,
            layer,
            pieces: 0,
            state: State::Between,
        })
    }

    fn next_record(&mut self) -> Result<State> {
        let mut tag = [0];
        self.recipe
            .read_exact(&mut tag)
            .map_err(|_| damaged(&self.layer, "its recipe ends early"))?;
        match tag[0] {
            END => Ok(State::End),
            RAW => Ok(State::Raw(self.bounded_number()?)),
            PIECE => self.piece(),
            _ => Err(damaged(&self.layer, "its recipe is unreadable")),
        }
    }

    fn piece(&mut self) -> Result<State> {
        let length = self.bounded_number()?;
        let mut path = vec![0; usize::try_from(length).unwrap_or_default()];
        self.recipe.read_exact(&mut path)?;
        let (offset, left) = (self.number()?, self.number()?);
        let number = self.pieces;
        self.pieces += 1;
        let file = self.open_piece(&path, number).map_err(|error| {
            let path = String::from_utf8_lossy(&path);
            damaged(
                &self.layer,
                format!("its file {path:?}: {}", corten_sys::fs::reason(&error)),
            )
        })?;
        Ok(State::File {
            file,
            offset,
            left,
            path,
        })
    }

    fn open_piece(&self, path: &[u8], number: u64) -> io::Result<File> {
        let moved = self
            .moves
            .iter()
            .find(|moved| number < moved.before && is_under(path, &moved.path));
        let (folder, path) = match (moved, &self.replaced) {
            (Some(moved), Some(replaced)) => (
                replaced,
                [moved.to.to_string().as_bytes(), &path[moved.path.len()..]].concat(),
            ),
            _ => (&self.files, path.to_vec()),
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::openat2(folder, &path[..], flags, Mode::empty(), resolve)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("it is no file"))
        }
    }

    fn bounded_number(&mut self) -> Result<u64> {
        let number = self.number()?;
        if number <= MAX_RECORD {
            Ok(number)
        } else {
            Err(damaged(&self.layer, "its recipe is unreadable"))
        }
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.recipe.read_exact(&mut byte)?;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged(&self.layer, "its recipe is unreadable"))
    }
}

impl Read for TarStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::End => return Ok(0),
                State::Raw(left @ 1..) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    let read = self.recipe.read(&mut buffer[..most])?;
                    if read == 0 {
                        return Err(damaged(&self.layer, "its recipe ends early").into());
                    }
                    *left -= read as u64;
                    return Ok(read);
                }
                State::File {
                    file,
                    offset,
                    left: left @ 1..,
                    path,
                } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    let read = file.read_at(&mut buffer[..most], *offset)?;
                    if read == 0 {
                        let path = String::from_utf8_lossy(path);
                        return Err(damaged(&self.layer, format!("its file {path:?} is too short")).into());
                    }
                    *offset += read as u64;
                    *left -= read as u64;
                    return Ok(read);
                }
                State::Between | State::Raw(_) | State::File { .. } => self.state = self.next_record()?,
            }
        }
    }
}

fn is_under(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| corten_sys::fs::with_path("open", path, errno.into()).into())
}

fn damaged(layer: &str, why: impl std::fmt::Display) -> Error {
    Error::internal(format!("layer {layer} is damaged: {why}"))
        .with_hint("run \"corten system check --repair\" and pull the image again")
}
