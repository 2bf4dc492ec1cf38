//! Layers: kept once, unpacked, found by the digest of their uncompressed tar.
//!
//! ```text
//! overlay2/<diff id>/layer.json    what is known about it
//!                    diff/         its files, with overlayfs's whiteouts
//!                    recipe        how its exact tar is made again
//!                    replaced/     files that later entries of the same tar replaced (rare)
//! ```
//! A layer knows nothing of those below it, so all layers of an image unpack at once.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corten_oci::digest::{Digest, Hasher};
use corten_sys::fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ingest::{IngestRequest, Ingestion};
use crate::lease::Lease;
use crate::recipe::{Move, TarStream};
use crate::records;
use crate::store::{Inner, Store};
use crate::unpack::Unpacked;

/// A compressed form of a layer that some registry has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressedBlob {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Number of compressed bytes.
    pub size: u64,
    /// The layer's media type.
    pub media_type: String,
    /// Repositories that have it, `registry/name`, in the order they were seen.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// A layer on disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Layer(Arc<LayerInner>);

#[derive(Debug)]
struct LayerInner {
    folder: PathBuf,
    diff: PathBuf,
    diff_id: Digest,
    size: u64,
    tar_size: u64,
    /// The record as it is on disk.
    record: Mutex<LayerRecord>,
}

/// `layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) format: u32,
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
    pub(crate) tar_size: u64,
    pub(crate) entries: u64,
    pub(crate) created: Timestamp,
    /// Bytes on disk as du counts them; known once the layer is synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<u64>,
    #[serde(default)]
    pub(crate) blobs: Vec<CompressedBlob>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) moves: Vec<Move>,
    /// The boot in which it was written, until it is on the disk: after another boot it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced_boot: Option<String>,
}

impl records::Record for LayerRecord {
    fn format(&self) -> u32 {
        self.format
    }
}

/// Part of the store's state: the layers.
#[derive(Debug, Default)]
pub(crate) struct LayerTable {
    pub(crate) by_diff_id: HashMap<Digest, Layer>,
    by_blob: HashMap<Digest, Digest>,
}

impl LayerTable {
    pub(crate) fn insert(&mut self, layer: Layer) {
        for blob in &layer.record().blobs {
            self.by_blob.insert(blob.digest.clone(), layer.diff_id().clone());
        }
        self.by_diff_id.insert(layer.diff_id().clone(), layer);
    }

    pub(crate) fn remove(&mut self, diff_id: &Digest) -> Option<Layer> {
        self.by_blob.retain(|_, layer| layer != diff_id);
        self.by_diff_id.remove(diff_id)
    }

    pub(crate) fn by_blob(&self, blob: &Digest) -> Option<&Layer> {
        self.by_diff_id.get(self.by_blob.get(blob)?)
    }
}

impl Layer {
    /// Digest of the uncompressed tar.
    #[must_use]
    pub fn diff_id(&self) -> &Digest {
        &self.0.diff_id
    }

    /// The folder with its files, an overlay's lower folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.diff
    }

    /// Bytes of its files, as Docker counts an image's size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Bytes of its uncompressed tar.
    #[must_use]
    pub fn tar_size(&self) -> u64 {
        self.0.tar_size
    }

    /// Bytes on disk as du counts them; an estimate until the layer is synced.
    #[must_use]
    pub fn disk_size(&self) -> u64 {
        let record = self.record();
        record.disk.unwrap_or(record.size + record.entries * 4096)
    }

    /// Its compressed forms that are known.
    #[must_use]
    pub fn blobs(&self) -> Vec<CompressedBlob> {
        self.record().blobs.clone()
    }

    /// Makes its exact uncompressed tar again.
    ///
    /// # Errors
    /// Internal when its recipe is damaged; reading tells about damaged files.
    pub fn tar(&self) -> Result<TarStream> {
        TarStream::open(
            &self.0.folder,
            self.record().moves.clone(),
            self.diff_id().short().to_owned(),
        )
    }

    /// Makes the tar again and compares its digest.
    ///
    /// # Errors
    /// Internal, saying what is damaged.
    pub fn verify(&self) -> Result<()> {
        let mut tar = self.tar()?;
        let mut hasher = Hasher::new(self.diff_id().algorithm());
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = tar.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
        if hasher.finish() == *self.diff_id() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "layer {} is damaged: its files do not have its digest",
            self.diff_id().short()
        )))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0.folder
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, LayerRecord> {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn from_record(folder: PathBuf, record: LayerRecord) -> Self {
        Self(Arc::new(LayerInner {
            diff: folder.join("diff"),
            folder,
            diff_id: record.diff_id.clone(),
            size: record.size,
            tar_size: record.tar_size,
            record: Mutex::new(record),
        }))
    }

    fn change(&self, change: impl FnOnce(&mut LayerRecord)) -> Result<()> {
        let mut record = self.record();
        let mut changed = record.clone();
        change(&mut changed);
        records::store(&self.0.folder.join("layer.json"), &changed)?;
        *record = changed;
        Ok(())
    }

    pub(crate) fn mark_synced(&self) -> Result<()> {
        let disk = crate::usage::of_tree(&self.0.folder)?.disk;
        self.change(|record| {
            record.disk = Some(disk);
            record.unsynced_boot = None;
        })
    }

    pub(crate) fn remember(&self, blob: CompressedBlob) -> Result<()> {
        self.change(
            |record| match record.blobs.iter_mut().find(|known| known.digest == blob.digest) {
                Some(known) => {
                    for source in blob.sources {
                        if !known.sources.contains(&source) {
                            known.sources.push(source);
                        }
                    }
                }
                None => record.blobs.push(blob),
            },
        )
    }
}

/// The layers of a store.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a>(pub(crate) &'a Store);

impl Layers<'_> {
    /// Whether a layer is there.
    #[must_use]
    pub fn contains(&self, diff_id: &Digest) -> bool {
        self.get(diff_id).is_some()
    }

    /// A layer by the digest of its uncompressed tar.
    #[must_use]
    pub fn get(&self, diff_id: &Digest) -> Option<Layer> {
        self.0.inner.state().layers.by_diff_id.get(diff_id).cloned()
    }

    /// A layer by the digest of a compressed form that is known.
    #[must_use]
    pub fn by_compressed(&self, digest: &Digest) -> Option<Layer> {
        self.0.inner.state().layers.by_blob(digest).cloned()
    }

    /// All layers, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<Layer> {
        self.0.inner.state().layers.by_diff_id.values().cloned().collect()
    }

    /// Remembers a compressed form of a layer, or more repositories that have it.
    ///
    /// # Errors
    /// `NotFound` when the layer is not there.
    pub fn remember(&self, diff_id: &Digest, blob: CompressedBlob) -> Result<()> {
        let layer = self
            .get(diff_id)
            .ok_or_else(|| Error::not_found(format!("no such layer: {diff_id}")))?;
        layer.remember(blob)?;
        self.0.inner.state().layers.insert(layer);
        Ok(())
    }

    /// Unpacks a tar whose digests nobody knows yet, plain or compressed.
    ///
    /// # Errors
    /// Invalid when it is no tar, truncated or beyond a limit.
    pub fn from_tar(&self, lease: &Lease, input: &mut dyn Read) -> Result<Layer> {
        match self.0.layer_ingest(lease, IngestRequest::default())? {
            Ingestion::Ready(mut ingest) => {
                ingest.copy_from(input)?;
                ingest.finish()
            }
            Ingestion::Present(layer) => Ok(layer),
            Ingestion::Busy(_) => Err(Error::internal("nobody else can unpack a tar without a digest")),
        }
    }
}

/// Makes a finished folder a layer: its record, its final name, its place in the table. If the
/// layer is there already, that one stays and the folder is the caller's to drop.
pub(crate) fn commit(
    store: &Arc<Inner>,
    lease: &Lease,
    folder: &Path,
    diff_id: &Digest,
    unpacked: Unpacked,
    blob: Option<CompressedBlob>,
) -> Result<Layer> {
    let record = LayerRecord {
        format: records::FORMAT,
        diff_id: diff_id.clone(),
        size: unpacked.size,
        tar_size: unpacked.tar_size,
        entries: unpacked.entries,
        created: Timestamp::now(),
        disk: None,
        blobs: blob.iter().cloned().collect(),
        moves: unpacked.moves,
        unsynced_boot: Some(store.boot.clone()),
    };
    records::store(&folder.join("layer.json"), &record)?;
    let mut state = store.state();
    state.leases.hold(lease, diff_id);
    if let Some(present) = state.layers.by_diff_id.get(diff_id).cloned() {
        if let Some(blob) = blob {
            present.remember(blob)?;
            state.layers.insert(present.clone());
        }
        return Ok(present);
    }
    let target = store.overlay.join(diff_id.hex());
    if fs::exists(&target)? {
        // What is there and in no table is left from a crash, or damaged.
        store.throw_away(&target)?;
    }
    fs::rename(folder, &target)?;
    let layer = Layer::from_record(target, record);
    state.layers.insert(layer.clone());
    drop(state);
    store.worker.sync(layer.clone());
    Ok(layer)
}
