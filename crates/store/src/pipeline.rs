//! From compressed bytes to a layer's files, on two threads beside the caller's.
//!
//! ```text
//! caller ──chunks──► inflate: hash, decompress, hash ──chunks──► unpack: tar → files + recipe
//!    (first replays what an earlier download left on disk)
//! ```
//! Each stage ends its stream with [`Piece::End`]; a stream that just closes means that the stage
//! before failed, and its error is the one to tell.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use corten_oci::digest::{Algorithm, Digest, Hasher};

use crate::error::{Error, Kind, Result};
use crate::unpack::{Limits, Unpacked, unpack};

/// Bytes that travel together.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Chunks that may wait between two stages.
const DEPTH: usize = 8;
/// What a small layer may unpack to whatever its compressed size is.
const RATIO_FREE: u64 = 4 << 30;

/// What travels between the stages.
pub(crate) enum Piece {
    Data(Vec<u8>),
    End,
}

/// What the inflate stage found out.
#[derive(Debug)]
pub(crate) struct Inflated {
    pub(crate) compressed: Digest,
    pub(crate) compressed_size: u64,
    pub(crate) diff_id: Digest,
}

/// Both stages, running.
pub(crate) struct Pipeline {
    input: Option<SyncSender<Piece>>,
    inflate: Option<JoinHandle<Result<Inflated>>>,
    unpack: Option<JoinHandle<Result<Unpacked>>>,
}

/// The digests' algorithms, and what to read before the caller's bytes.
pub(crate) struct Plan {
    pub(crate) compressed: Algorithm,
    pub(crate) diff_id: Algorithm,
    pub(crate) replay: Option<(File, u64)>,
}

impl Pipeline {
    /// Starts unpacking into `folder`.
    pub(crate) fn start(folder: PathBuf, plan: Plan, limits: Limits) -> Result<Self> {
        let (input, compressed) = sync_channel(DEPTH);
        let (output, plain) = sync_channel(DEPTH);
        let inflate = spawn("layer-inflate", move || inflate(compressed, plan, &output, &limits))?;
        let unpack = spawn("layer-unpack", move || unpack_stage(plain, &folder, &limits))?;
        Ok(Self {
            input: Some(input),
            inflate: Some(inflate),
            unpack: Some(unpack),
        })
    }

    /// Gives the next bytes; waits when the stages lag. An error says why they stopped.
    pub(crate) fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        let sent = self
            .input
            .as_ref()
            .is_some_and(|input| input.send(Piece::Data(bytes)).is_ok());
        if sent {
            Ok(())
        } else {
            Err(self.join().err().unwrap_or_else(stopped))
        }
    }

    /// Ends the input and waits for both stages.
    pub(crate) fn finish(mut self) -> Result<(Inflated, Unpacked)> {
        if let Some(input) = &self.input {
            // A stage that is gone says why when it is joined.
            let _ = input.send(Piece::End);
        }
        self.join()
    }

    /// The error of the stage that failed first, which is the one that does not complain about a
    /// closed stream.
    fn join(&mut self) -> Result<(Inflated, Unpacked)> {
        self.input = None;
        let unpacked = self.unpack.take().map_or_else(|| Err(stopped()), join);
        let inflated = self.inflate.take().map_or_else(|| Err(stopped()), join);
        match (inflated, unpacked) {
            (Ok(inflated), Ok(unpacked)) => Ok((inflated, unpacked)),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            (Err(first), Err(second)) => Err(if first.kind() == Kind::Cancelled { second } else { first }),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Stopped on the way: what the stages say about that interests nobody.
        let _ = self.join();
    }
}

fn stopped() -> Error {
    Error::new(Kind::Cancelled, "unpacking was stopped")
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(Error::internal("a thread that unpacks a layer panicked")))
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(512 * 1024)
        .spawn(work)
        .map_err(|error| Error::internal(format!("cannot start a thread: {error}")))
}

/// Reads what comes through a channel.
struct Source {
    pieces: Receiver<Piece>,
    replay: Option<(File, u64)>,
    chunk: Vec<u8>,
    position: usize,
    ended: bool,
    hasher: Option<Hasher>,
    total: u64,
}

impl Source {
    fn new(pieces: Receiver<Piece>, replay: Option<(File, u64)>, hasher: Option<Hasher>) -> Self {
        Self {
            pieces,
            replay,
            chunk: Vec::new(),
            position: 0,
            ended: false,
            hasher,
            total: 0,
        }
    }

    /// The next chunk, `None` at the end.
    fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some((file, left @ 1..)) = &mut self.replay {
            let length = usize::try_from(*left).unwrap_or(usize::MAX).min(CHUNK);
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.resize(length, 0);
            file.read_exact(&mut chunk)?;
            *left -= length as u64;
            return Ok(Some(chunk));
        }
        match self.pieces.recv() {
            Ok(Piece::Data(chunk)) => Ok(Some(chunk)),
            Ok(Piece::End) => Ok(None),
            Err(_) => Err(stopped().into()),
        }
    }

    /// Makes sure that the first bytes are together, as far as there are any.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.fill_buf()?;
        while self.chunk.len() - self.position < count && !self.ended {
            let so_far = self.chunk[self.position..].to_vec();
            self.position = self.chunk.len();
            let more = self.fill_buf()?.to_vec();
            self.chunk = [so_far, more].concat();
            self.position = 0;
        }
        Ok(&self.chunk[self.position..])
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.chunk.len() && !self.ended {
            self.position = 0;
            match self.next_chunk()? {
                Some(chunk) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&chunk);
                    }
                    self.total += chunk.len() as u64;
                    self.chunk = chunk;
                }
                None => {
                    self.chunk.clear();
                    self.ended = true;
                }
            }
        }
        Ok(&self.chunk[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn inflate(pieces: Receiver<Piece>, plan: Plan, output: &SyncSender<Piece>, limits: &Limits) -> Result<Inflated> {
    let mut source = Source::new(pieces, plan.replay, Some(Hasher::new(plan.compressed)));
    let mut hasher = Hasher::new(plan.diff_id);
    let format = Format::of(source.peek(6)?)?;
    let mut size = 0;
    match format {
        Format::Plain => pump(&mut source, |_| 0, output, &mut hasher, &mut size, limits)?,
        Format::Gzip => {
            let mut decoder = flate2::bufread::MultiGzDecoder::new(&mut source);
            pump(
                &mut decoder,
                |decoder| decoder.get_ref().total,
                output,
                &mut hasher,
                &mut size,
                limits,
            )?;
        }
        Format::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(&mut source)?;
            pump(
                &mut decoder,
                |decoder| decoder.get_ref().total,
                output,
                &mut hasher,
                &mut size,
                limits,
            )?;
        }
    }
    while !source.fill_buf()?.is_empty() {
        let length = source.fill_buf()?.len();
        source.consume(length);
    }
    output.send(Piece::End).map_err(|_| stopped())?;
    let compressed = source.hasher.take().map_or_else(|| Digest::sha256(b""), Hasher::finish);
    Ok(Inflated {
        compressed,
        compressed_size: source.total,
        diff_id: hasher.finish(),
    })
}

/// Moves all bytes of a decoder on, hashing and counting them.
fn pump<R: Read>(
    decoder: &mut R,
    consumed: impl Fn(&R) -> u64,
    output: &SyncSender<Piece>,
    hasher: &mut Hasher,
    size: &mut u64,
    limits: &Limits,
) -> Result<()> {
    loop {
        let mut chunk = vec![0; CHUNK];
        let length = read_full(decoder, &mut chunk).map_err(decoder_error)?;
        if length == 0 {
            return Ok(());
        }
        chunk.truncate(length);
        hasher.update(&chunk);
        *size += length as u64;
        check_size(*size, consumed(decoder), limits)?;
        output.send(Piece::Data(chunk)).map_err(|_| stopped())?;
    }
}

fn check_size(size: u64, consumed: u64, limits: &Limits) -> Result<()> {
    let bomb = consumed > 0 && size > RATIO_FREE && size / limits.ratio > consumed;
    if bomb || size > limits.unpacked.saturating_add(limits.unpacked / 4) {
        return Err(Error::invalid(format!(
            "the layer unpacks to {size} bytes and more, which looks like an attack"
        )));
    }
    Ok(())
}

/// Fills the buffer as far as the reader has bytes.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What a decoder says is the input's fault; what our source says is passed on.
fn decoder_error(error: io::Error) -> Error {
    let error = Error::from(error);
    match error.kind() {
        Kind::Internal => Error::invalid(error.to_string()).with_source(error),
        _ => error,
    }
}

fn unpack_stage(pieces: Receiver<Piece>, folder: &Path, limits: &Limits) -> Result<Unpacked> {
    unpack(Source::new(pieces, None, None), folder, limits)
}

/// How a stream is compressed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Gzip,
    Zstd,
}

impl Format {
    pub(crate) fn of(start: &[u8]) -> Result<Self> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', b'0'..=b'9', ..] => {
                Err(Error::new(Kind::Unsupported, "bzip2 archives are not supported"))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
                Err(Error::new(Kind::Unsupported, "xz archives are not supported"))
            }
            _ => Ok(Self::Plain),
        }
    }
}
