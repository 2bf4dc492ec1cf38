//! A layer, packed by the store and sent as it comes.

use std::io;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use corten_store::{Layer, Packed, Packing};
use tokio::sync::mpsc;

use crate::error::{Error, Kind, Result};

/// Packs a layer, and sends on all but the first `skip` bytes; `read` counts the bytes of its tar. Equal
/// layers become equal bytes, so that a push that was cut goes on where it was.
///
/// # Errors
/// Internal when the layer is damaged: its receiver is told, too. Cancelled when nobody takes the
/// pieces any more.
pub(super) fn pack(
    layer: &Layer,
    packing: Packing,
    mut skip: u64,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    read: &AtomicU64,
) -> Result<Packed> {
    let packed = layer.pack(packing, read, &mut |bytes| {
        let skipped = skip.min(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        skip -= skipped;
        let piece = Bytes::from(bytes).slice(usize::try_from(skipped).unwrap_or(usize::MAX)..);
        if piece.is_empty() {
            return Ok(());
        }
        let sent = pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    });
    packed.map_err(|error| {
        // A body that broke off is never taken for whole. Who is gone needs no telling.
        let _ = pieces.blocking_send(Err(io::ErrorKind::InvalidData.into()));
        match error.kind() {
            Kind::Cancelled => Error::new(Kind::Cancelled, error.to_string()),
            _ => Error::from(error),
        }
    })
}
