//! A layer's tar, made again from its recipe, packed in blocks on all processors, and sent as it comes.
//!
//! ```text
//! reader ──blocks──► packers, in turn ──packed blocks──► this thread: digest, pieces of a request
//! ```

use std::io::{self, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use corten_oci::digest::{Algorithm, Digest, Hasher};
use corten_store::{Layer, TarStream};
use flate2::Crc;
use tokio::sync::mpsc;

use super::gzip::{self, BLOCK, Packer};
use crate::error::{Error, Kind, Result};

/// The most packers of one layer.
const PACKERS_MAX: usize = 4;
/// Blocks that may wait for a packer, and behind it.
const DEPTH: usize = 1;

/// What a layer became.
#[derive(Debug)]
pub(super) struct Packed {
    /// Digest of the compressed bytes.
    pub(super) digest: Digest,
    /// Number of compressed bytes.
    pub(super) size: u64,
}

/// Packs a layer with gzip, and sends on all but the first `skip` bytes; `read` counts the bytes of its
/// tar. Equal layers become equal bytes, so that a push that was cut goes on where it was.
///
/// # Errors
/// Internal when the layer is damaged: its receiver is told, too. Cancelled when nobody takes the
/// pieces any more.
pub(super) fn pack(
    layer: &Layer,
    skip: u64,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    read: &AtomicU64,
) -> Result<Packed> {
    let packed = try_pack(layer, skip, pieces, read);
    if packed.is_err() {
        // A body that broke off is never taken for whole. Who is gone needs no telling.
        let _ = pieces.blocking_send(Err(io::ErrorKind::InvalidData.into()));
    }
    packed
}

fn try_pack(layer: &Layer, skip: u64, pieces: &mpsc::Sender<io::Result<Bytes>>, read: &AtomicU64) -> Result<Packed> {
    let blocks = Blocks {
        tar: layer.tar()?,
        spare: Spare::default(),
        hasher: Hasher::new(layer.diff_id().algorithm()),
        read,
    };
    let mut sink = Sink {
        pieces,
        skip,
        hasher: Hasher::new(Algorithm::Sha256),
        size: 0,
        check: Crc::new(),
    };
    let whole = sink
        .put(gzip::HEADER.to_vec())
        .and_then(|()| match layer.tar_size() <= BLOCK as u64 {
            true => alone(blocks, &mut sink),
            false => together(blocks, &mut sink),
        })
        .map_err(|error| failed(layer, error))?;
    if whole != *layer.diff_id() {
        let text = format!(
            "layer {} is damaged: its files do not have its digest",
            layer.diff_id().short()
        );
        return Err(Error::new(Kind::Internal, text).with_hint("pull the image again"));
    }
    let end = gzip::trailer(&sink.check);
    sink.put(end.to_vec()).map_err(|error| failed(layer, error))?;
    Ok(Packed {
        digest: sink.hasher.finish(),
        size: sink.size,
    })
}

/// Packs on this thread. Gives the digest of the tar.
fn alone(mut blocks: Blocks<'_>, sink: &mut Sink<'_>) -> io::Result<Digest> {
    let mut packer = Packer::new();
    while let Some(block) = blocks.next()? {
        sink.block(packer.block(&block)?)?;
        blocks.spare.give(block);
    }
    Ok(blocks.hasher.finish())
}

/// Packs on several threads. Gives the digest of the tar.
fn together(blocks: Blocks<'_>, sink: &mut Sink<'_>) -> io::Result<Digest> {
    let packers = thread::available_parallelism().map_or(1, usize::from).min(PACKERS_MAX);
    thread::scope(|scope| {
        let (mut to, mut from) = (Vec::new(), Vec::new());
        for _ in 0..packers {
            let (give, taken) = sync_channel(DEPTH);
            let (put, packed) = sync_channel(DEPTH);
            let spare = blocks.spare.clone();
            scope.spawn(move || squeeze(&taken, &put, &spare));
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

fn squeeze(blocks: &Receiver<Vec<u8>>, packed: &SyncSender<io::Result<gzip::Packed>>, spare: &Spare) {
    let mut packer = Packer::new();
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

/// Counts packed bytes, and sends them on.
struct Sink<'a> {
    pieces: &'a mpsc::Sender<io::Result<Bytes>>,
    /// Bytes at the front that are not wanted.
    skip: u64,
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
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.size += length;
        let skipped = self.skip.min(length);
        self.skip -= skipped;
        let piece = Bytes::from(bytes).slice(usize::try_from(skipped).unwrap_or(usize::MAX)..);
        if piece.is_empty() {
            return Ok(());
        }
        self.pieces
            .blocking_send(Ok(piece))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
