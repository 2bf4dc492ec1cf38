//! A layer's tar, made again from its recipe, packed in blocks on all processors, and handed on as it comes.
//!
//! ```text
//! reader ──blocks──► packers, in turn ──packed blocks──► this thread: digest, whoever wants the bytes
//! ```

mod gzip;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use corten_oci::digest::{Algorithm, Digest, Hasher};
use corten_oci::image::{Compression, media_type};
use corten_sys::fs;
use flate2::Crc;
use serde::{Deserialize, Serialize};

use self::gzip::BLOCK;
use crate::error::{Error, Kind, Result};
use crate::layers::{CompressedBlob, Layer};
use crate::recipe::TarStream;
use crate::store::Store;

/// The most packers of one layer.
const PACKERS_MAX: usize = 4;
/// Blocks that may wait for a packer, and behind it.
const DEPTH: usize = 1;

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    /// With what.
    pub compression: Compression,
    /// How hard: 0 to 9 for gzip, 0 to 22 for Zstandard; the usual when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            compression: Compression::Gzip,
            level: None,
        }
    }
}

impl Packing {
    /// The media type of a layer packed so.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::None => media_type::OCI_LAYER,
            Compression::Gzip => media_type::DOCKER_LAYER_GZIP,
            Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        }
    }
}

/// What a layer became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Number of compressed bytes.
    pub size: u64,
}

/// A packed layer in a file that goes when it is dropped.
#[derive(Debug)]
pub struct PackedFile {
    /// Its bytes.
    pub file: File,
    /// What it is.
    pub blob: CompressedBlob,
}

impl Layer {
    /// Packs the layer; `put` gets the bytes, `read` counts those of its tar. Equal layers become equal
    /// bytes.
    ///
    /// # Errors
    /// Internal when the layer is damaged; Cancelled when `put` fails with `BrokenPipe`.
    pub fn pack(
        &self,
        packing: Packing,
        read: &AtomicU64,
        put: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
    ) -> Result<Packed> {
        let blocks = Blocks {
            tar: self.tar()?,
            spare: Spare::default(),
            hasher: Hasher::new(self.diff_id().algorithm()),
            read,
        };
        let mut sink = Sink {
            put,
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
            check: Crc::new(),
        };
        let is_gzip = packing.compression == Compression::Gzip;
        let begun = match is_gzip {
            true => sink.put(gzip::HEADER.to_vec()),
            false => Ok(()),
        };
        let is_small = self.tar_size() <= BLOCK as u64 || packing.compression == Compression::None;
        let whole = begun
            .and_then(|()| match is_small {
                true => alone(blocks, &mut sink, packing),
                false => together(blocks, &mut sink, packing),
            })
            .map_err(|error| failed(self, error))?;
        if whole != *self.diff_id() {
            let text = format!(
                "layer {} is damaged: its files do not have its digest",
                self.diff_id().short()
            );
            return Err(Error::new(Kind::Internal, text).with_hint("pull the image again"));
        }
        if is_gzip {
            let end = gzip::trailer(&sink.check);
            sink.put(end.to_vec()).map_err(|error| failed(self, error))?;
        }
        Ok(Packed {
            digest: sink.hasher.finish(),
            size: sink.size,
        })
    }
}

impl Store {
    /// Packs a layer into a file, and remembers what it became.
    ///
    /// # Errors
    /// As [`Layer::pack`]; Internal when the data root cannot be written.
    pub fn pack_to_file(&self, layer: &Layer, packing: Packing) -> Result<PackedFile> {
        let path = self.inner.temporary("packed");
        let mut file = fs::open_with(
            std::fs::OpenOptions::new().create_new(true).read(true).write(true),
            &path,
        )?;
        // Only the descriptor is needed.
        fs::remove_file(&path)?;
        let packed = layer.pack(packing, &AtomicU64::new(0), &mut |bytes| file.write_all(&bytes))?;
        file.rewind()?;
        let blob = CompressedBlob {
            digest: packed.digest,
            size: packed.size,
            media_type: packing.media_type().to_owned(),
            sources: Vec::new(),
        };
        self.layers().remember(layer.diff_id(), blob.clone())?;
        Ok(PackedFile { file, blob })
    }
}

/// What packs block after block.
enum Packer {
    Plain,
    Gzip(Box<gzip::Packer>),
    Zstd(i32),
}

impl Packer {
    fn new(packing: Packing) -> Self {
        match packing.compression {
            Compression::None => Self::Plain,
            Compression::Gzip => {
                let level = packing.level.and_then(|level| u32::try_from(level.clamp(0, 9)).ok());
                Self::Gzip(Box::new(gzip::Packer::new(level)))
            }
            Compression::Zstd => Self::Zstd(packing.level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL)),
        }
    }

    fn block(&mut self, block: &[u8]) -> io::Result<gzip::Packed> {
        let bytes = match self {
            Self::Gzip(packer) => return packer.block(block),
            Self::Plain => block.to_vec(),
            // Frames behind each other are one stream.
            Self::Zstd(level) => zstd::bulk::compress(block, *level)?,
        };
        Ok(gzip::Packed {
            bytes,
            check: Crc::new(),
        })
    }
}

/// Packs on this thread. Gives the digest of the tar.
fn alone(mut blocks: Blocks<'_>, sink: &mut Sink<'_>, packing: Packing) -> io::Result<Digest> {
    let mut packer = Packer::new(packing);
    while let Some(block) = blocks.next()? {
        sink.block(packer.block(&block)?)?;
        blocks.spare.give(block);
    }
    Ok(blocks.hasher.finish())
}

/// Packs on several threads. Gives the digest of the tar.
fn together(blocks: Blocks<'_>, sink: &mut Sink<'_>, packing: Packing) -> io::Result<Digest> {
    let packers = thread::available_parallelism().map_or(1, usize::from).min(PACKERS_MAX);
    thread::scope(|scope| {
        let (mut to, mut from) = (Vec::new(), Vec::new());
        for _ in 0..packers {
            let (give, taken) = sync_channel(DEPTH);
            let (put, packed) = sync_channel(DEPTH);
            let spare = blocks.spare.clone();
            scope.spawn(move || squeeze(&taken, &put, packing, &spare));
            to.push(give);
            from.push(packed);
        }
        let reader = scope.spawn(move || deal(blocks, &to));
        let gathered = gather(&from, sink);
        // Who still packs is to stop when sending has failed.
        drop(from);
        let read = reader
            .join()
            .map_err(|_| io::Error::other("reading a layer ended in a panic"))?;
        gathered.and(read)
    })
}

/// Gives the packers blocks, in turn, until there are no more or nobody takes them.
fn deal(mut blocks: Blocks<'_>, packers: &[SyncSender<Vec<u8>>]) -> io::Result<Digest> {
    for packer in packers.iter().cycle() {
        let Some(block) = blocks.next()? else { break };
        packer
            .send(block)
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    }
    Ok(blocks.hasher.finish())
}

fn squeeze(blocks: &Receiver<Vec<u8>>, packed: &SyncSender<io::Result<gzip::Packed>>, packing: Packing, spare: &Spare) {
    let mut packer = Packer::new(packing);
    while let Ok(block) = blocks.recv() {
        let done = packer.block(&block);
        spare.give(block);
        if packed.send(done).is_err() {
            return;
        }
    }
}

/// Takes packed blocks, in turn. The first packer that has none was given none: that was all.
fn gather(packers: &[Receiver<io::Result<gzip::Packed>>], sink: &mut Sink<'_>) -> io::Result<()> {
    for packer in packers.iter().cycle() {
        match packer.recv() {
            Ok(block) => sink.block(block?)?,
            Err(_) => break,
        }
    }
    Ok(())
}

fn failed(layer: &Layer, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Error::new(Kind::Cancelled, "nobody takes the layer any more");
    }
    let text = format!("reading layer {}", layer.diff_id().short());
    Error::new(Kind::Internal, text).with_source(error)
}

/// Blocks that were packed, to be filled again: their pages are there already. Guards itself only.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spare {
    fn give(&self, block: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }

    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut block = spare.unwrap_or_default();
        block.resize(BLOCK, 0);
        block
    }
}

/// A layer's tar, block by block.
struct Blocks<'a> {
    tar: TarStream,
    spare: Spare,
    hasher: Hasher,
    read: &'a AtomicU64,
}

impl Blocks<'_> {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut block = self.spare.take();
        let mut length = 0;
        while length < BLOCK {
            match self.tar.read(&mut block[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        block.truncate(length);
        self.hasher.update(&block);
        self.read
            .fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
        Ok((length > 0).then_some(block))
    }
}

/// Counts packed bytes, and hands them on.
struct Sink<'a> {
    put: &'a mut dyn FnMut(Vec<u8>) -> io::Result<()>,
    hasher: Hasher,
    size: u64,
    check: Crc,
}

impl Sink<'_> {
    fn block(&mut self, block: gzip::Packed) -> io::Result<()> {
        self.check.combine(&block.check);
        self.put(block.bytes)
    }

    fn put(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.hasher.update(&bytes);
        self.size += bytes.len() as u64;
        (self.put)(bytes)
    }
}
