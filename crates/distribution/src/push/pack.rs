//! A layer's tar, made again from its recipe, compressed piece by piece.

use std::io::{self, Read as _, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use corten_oci::digest::{Algorithm, Digest, Hasher};
use corten_store::Layer;
use flate2::{Compression, write::GzEncoder};
use tokio::sync::mpsc;

use crate::error::{Error, Kind, Result};

/// Bytes of a piece.
const PIECE: usize = 128 << 10;
/// Bytes read at a time.
const READ: usize = 256 << 10;

/// What a layer became.
#[derive(Debug)]
pub(super) struct Packed {
    /// Digest of the compressed bytes.
    pub(super) digest: Digest,
    /// Number of compressed bytes.
    pub(super) size: u64,
}

/// Packs a layer with gzip; `read` counts the bytes of its tar. Equal layers become equal bytes.
///
/// # Errors
/// Internal when the layer is damaged: its receiver is told, too. Cancelled when nobody takes the
/// pieces any more.
pub(super) fn pack(layer: &Layer, pieces: &mpsc::Sender<io::Result<Bytes>>, read: &AtomicU64) -> Result<Packed> {
    let packed = try_pack(layer, pieces, read);
    if packed.is_err() {
        // A body that broke off is never taken for whole. Who is gone needs no telling.
        let _ = pieces.blocking_send(Err(io::ErrorKind::InvalidData.into()));
    }
    packed
}

fn try_pack(layer: &Layer, pieces: &mpsc::Sender<io::Result<Bytes>>, read: &AtomicU64) -> Result<Packed> {
    let mut tar = layer.tar()?;
    let mut whole = Hasher::new(layer.diff_id().algorithm());
    let mut packer = GzEncoder::new(Sink::new(pieces), Compression::default());
    let mut buffer = vec![0; READ];
    loop {
        let length = tar.read(&mut buffer).map_err(|error| failed(layer, error))?;
        if length == 0 {
            break;
        }
        whole.update(&buffer[..length]);
        packer
            .write_all(&buffer[..length])
            .map_err(|error| failed(layer, error))?;
        read.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
    }
    if whole.finish() != *layer.diff_id() {
        let text = format!(
            "layer {} is damaged: its files do not have its digest",
            layer.diff_id().short()
        );
        return Err(Error::new(Kind::Internal, text).with_hint("pull the image again"));
    }
    let mut sink = packer.finish().map_err(|error| failed(layer, error))?;
    sink.flush().map_err(|error| failed(layer, error))?;
    Ok(Packed {
        digest: sink.hasher.finish(),
        size: sink.size,
    })
}

fn failed(layer: &Layer, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Error::new(Kind::Cancelled, "nobody takes the layer any more");
    }
    let text = format!("reading layer {}", layer.diff_id().short());
    Error::new(Kind::Internal, text).with_source(error)
}

/// Gathers compressed bytes into pieces, and sends them on.
struct Sink<'a> {
    pieces: &'a mpsc::Sender<io::Result<Bytes>>,
    hasher: Hasher,
    size: u64,
    gathered: Vec<u8>,
}

impl<'a> Sink<'a> {
    fn new(pieces: &'a mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self {
            pieces,
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
            gathered: Vec::new(),
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += u64::try_from(bytes.len()).unwrap_or(0);
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.gathered);
        self.pieces
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
