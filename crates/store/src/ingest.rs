//! Taking layers in: unpacked while they are downloaded, resumable when the download is cut.
//!
//! The compressed bytes go to `image/downloads/<digest>` and into the pipeline at once. Whoever
//! comes back after a cut is told how far the file reaches; the bytes in it are replayed.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use corten_oci::digest::{Algorithm, Digest};
use corten_oci::image::Descriptor;
use corten_sys::fs;

use crate::error::{Error, Kind, Result};
use crate::layers::{self, CompressedBlob, Layer};
use crate::lease::Lease;
use crate::pipeline::{CHUNK, Pipeline, Plan};
use crate::store::{Busy, Inner, Store};

/// Layers smaller than this are fetched again rather than resumed.
const RESUMABLE: u64 = 1 << 20;

/// What is known about a layer before it comes; nothing has to be.
#[derive(Debug, Clone, Default)]
pub struct IngestRequest {
    /// Digest of the compressed bytes; checked, and needed to resume.
    pub compressed: Option<Digest>,
    /// Number of compressed bytes; checked.
    pub size: Option<u64>,
    /// Digest of the uncompressed tar; checked.
    pub diff_id: Option<Digest>,
    /// The layer's media type, to be remembered. The compression is told by the bytes themselves.
    pub media_type: String,
    /// Repository it comes from, `registry/name`, to be remembered.
    pub source: Option<String>,
    /// Whether the bytes are kept for resuming.
    pub resume: Resume,
}

impl IngestRequest {
    /// All that a manifest and its configuration say of a layer.
    #[must_use]
    pub fn of(layer: &Descriptor, diff_id: &Digest) -> Self {
        Self {
            compressed: Some(layer.digest.clone()),
            size: Some(layer.size),
            diff_id: Some(diff_id.clone()),
            media_type: layer.media_type.clone(),
            ..Self::default()
        }
    }
}

/// Whether the compressed bytes of a large layer are kept until it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// They are, so that a download that is cut can go on.
    #[default]
    Keep,
    /// They are not: whoever gives them has them all.
    Never,
}

/// What becomes of a request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a layer and taken apart at once")]
pub enum Ingestion {
    /// The layer is there already.
    Present(Layer),
    /// Somebody else is fetching it: wait, then ask again.
    Busy(IngestWait),
    /// Give the bytes.
    Ready(Ingest),
}

/// Waits for somebody else's ingestion.
#[derive(Debug)]
pub struct IngestWait {
    busy: Arc<Busy>,
    digests: Vec<Digest>,
}

impl IngestWait {
    /// Blocks until the other one has ended, well or badly.
    pub fn wait(self) {
        self.busy.wait(&self.digests);
    }
}

/// A layer on its way in. Write its compressed bytes from [`Ingest::offset`] on, then
/// [`finish`](Ingest::finish). Dropped before, nothing of it is left but the resumable download.
pub struct Ingest {
    // The pipeline before the folder it writes to: fields are dropped in order.
    pipeline: Option<Pipeline>,
    folder: Folder,
    download: Option<Download>,
    request: IngestRequest,
    lease: Lease,
    buffer: Vec<u8>,
    offset: u64,
    store: Arc<Inner>,
    _reservation: Reservation,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("request", &self.request)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// The folder being written; gone when dropped.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    store: Arc<Inner>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After a commit it is not there any more; after a crash the next start removes it.
        let _ = self.store.throw_away(&self.path);
    }
}

/// Others wait while this lives.
struct Reservation {
    busy: Arc<Busy>,
    digests: Vec<Digest>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.busy.give_back(&self.digests);
    }
}

struct Download {
    file: File,
    path: PathBuf,
}

impl Download {
    /// Opens the file of a download, which may hold bytes of an earlier one.
    fn open(store: &Store, digest: &Digest, size: Option<u64>) -> Result<(Self, u64)> {
        let path = store
            .downloads()
            .join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()));
        let mut file = fs::open_with(std::fs::OpenOptions::new().create(true).read(true).append(true), &path)?;
        let mut length = file.metadata()?.len();
        if size.is_some_and(|size| length > size) {
            file.set_len(0)?;
            length = 0;
        }
        file.seek(io::SeekFrom::End(0))?;
        Ok((Self { file, path }, length))
    }

    fn remove(self) {
        // What cannot be removed now is removed when downloads grow old.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Takes a layer in, once however many bring it: where somebody else does, it waits for that one's end, and gives
    /// the bytes itself only when the layer is not there then. What is found or made is held by the lease. Blocks.
    ///
    /// # Errors
    /// Those of [`layer_ingest`](Self::layer_ingest), and what `give` fails with.
    pub fn take_layer<E: From<Error>>(
        &self,
        lease: &Lease,
        request: &IngestRequest,
        give: impl FnOnce(Ingest) -> Result<Layer, E>,
    ) -> Result<Layer, E> {
        loop {
            match self.layer_ingest(lease, request.clone())? {
                Ingestion::Present(layer) => return Ok(layer),
                Ingestion::Busy(other) => other.wait(),
                Ingestion::Ready(ingest) => return give(ingest),
            }
        }
    }

    /// Begins to take a layer in. What is found or made is held by the lease.
    ///
    /// # Errors
    /// Internal when the data root cannot be written.
    pub fn layer_ingest(&self, lease: &Lease, request: IngestRequest) -> Result<Ingestion> {
        if let Some(layer) = self.present(lease, &request)? {
            return Ok(Ingestion::Present(layer));
        }
        let busy = Arc::clone(&self.inner.busy);
        let digests: Vec<Digest> = request.compressed.iter().chain(&request.diff_id).cloned().collect();
        if !busy.take(&digests) {
            return Ok(Ingestion::Busy(IngestWait { busy, digests }));
        }
        let reservation = Reservation { busy, digests };
        // Somebody may have finished it between the look and the reservation.
        if let Some(layer) = self.present(lease, &request)? {
            return Ok(Ingestion::Present(layer));
        }
        self.ingest(lease, request, reservation).map(Ingestion::Ready)
    }

    fn present(&self, lease: &Lease, request: &IngestRequest) -> Result<Option<Layer>> {
        let mut state = self.inner.state();
        let layer = match (&request.diff_id, &request.compressed) {
            (Some(diff_id), _) => state.layers.by_diff_id.get(diff_id),
            (None, Some(compressed)) => state.layers.by_blob(compressed),
            (None, None) => None,
        };
        let Some(layer) = layer.cloned() else { return Ok(None) };
        state.leases.hold(lease, layer.diff_id());
        drop(state);
        let known = layer
            .blobs()
            .into_iter()
            .find(|blob| Some(&blob.digest) == request.compressed.as_ref());
        if let (Some(mut blob), Some(source)) = (known, &request.source)
            && !blob.sources.contains(source)
        {
            blob.sources = vec![source.clone()];
            layer.remember(blob)?;
        }
        Ok(Some(layer))
    }

    fn ingest(&self, lease: &Lease, request: IngestRequest, reservation: Reservation) -> Result<Ingest> {
        let folder = Folder {
            path: self.inner.temporary("ingest"),
            store: Arc::clone(&self.inner),
        };
        fs::create_dir(&folder.path)?;
        fs::create_dir(folder.path.join("diff"))?;
        fs::set_mode(folder.path.join("diff"), 0o755)?;
        let mut offset = 0;
        let mut download = None;
        let mut replay = None;
        let resumable = request.resume == Resume::Keep && request.size.is_none_or(|size| size >= RESUMABLE);
        if let Some(digest) = request.compressed.as_ref().filter(|_| resumable) {
            let (file, length) = Download::open(self, digest, request.size)?;
            if length > 0 {
                replay = Some((fs::open(&file.path)?, length));
            }
            offset = length;
            download = Some(file);
        }
        let algorithm = |digest: &Option<Digest>| digest.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let plan = Plan {
            compressed: algorithm(&request.compressed),
            diff_id: algorithm(&request.diff_id),
            replay,
        };
        let pipeline = Pipeline::start(folder.path.clone(), plan, self.inner.limits)?;
        Ok(Ingest {
            pipeline: Some(pipeline),
            folder,
            download,
            request,
            lease: lease.clone(),
            buffer: Vec::with_capacity(CHUNK),
            offset,
            store: Arc::clone(&self.inner),
            _reservation: reservation,
        })
    }
}

impl Ingest {
    /// How many of the compressed bytes are here. Fetch and write from there on.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes all that a reader has; tells how many bytes that was.
    ///
    /// # Errors
    /// The reader's, or what stopped the unpacking.
    pub fn copy_from(&mut self, input: &mut (impl Read + ?Sized)) -> Result<u64> {
        let mut chunk = vec![0; CHUNK];
        let mut total = 0;
        loop {
            let length = match input.read(&mut chunk) {
                Ok(0) => return Ok(total),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            self.append(&chunk[..length])?;
            total += length as u64;
        }
    }

    /// Waits for the unpacking, checks digests and sizes, and makes it a layer.
    ///
    /// # Errors
    /// Invalid when digests or sizes do not fit or the bytes are no layer; then nothing is left,
    /// not even the download. Internal when the system fails.
    pub fn finish(mut self) -> Result<Layer> {
        let result = self.complete();
        let cut = matches!(&result, Err(error) if matches!(error.kind(), Kind::Internal | Kind::Unavailable));
        if let Some(download) = self.download.take().filter(|_| !cut) {
            download.remove();
        }
        result
    }

    /// Gives up, the bytes fetched so far included.
    pub fn discard(mut self) {
        if let Some(download) = self.download.take() {
            download.remove();
        }
    }

    fn complete(&mut self) -> Result<Layer> {
        if let Some(size) = self.request.size.filter(|size| self.offset < *size) {
            let message = format!("only {} of the layer's {size} bytes arrived", self.offset);
            return Err(Error::new(Kind::Unavailable, message));
        }
        self.send_buffer()?;
        let pipeline = self
            .pipeline
            .take()
            .ok_or_else(|| Error::internal("the layer was finished before"))?;
        let (inflated, unpacked) = pipeline.finish()?;
        let request = &self.request;
        if let Some(size) = request.size.filter(|size| *size != inflated.compressed_size) {
            return Err(Error::invalid(format!(
                "the layer is {} bytes long, and {size} were promised",
                inflated.compressed_size
            )));
        }
        compare(
            "layer verification failed for digest",
            request.compressed.as_ref(),
            &inflated.compressed,
        )?;
        compare(
            "layer's content does not have the diff id",
            request.diff_id.as_ref(),
            &inflated.diff_id,
        )?;
        let blob = request.compressed.as_ref().map(|digest| CompressedBlob {
            digest: digest.clone(),
            size: inflated.compressed_size,
            media_type: request.media_type.clone(),
            sources: request.source.iter().cloned().collect(),
        });
        layers::commit(
            &self.store,
            &self.lease,
            &self.folder.path,
            &inflated.diff_id,
            unpacked,
            blob,
        )
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(size) = self.request.size
            && self.offset + bytes.len() as u64 > size
        {
            return Err(Error::invalid(format!(
                "the layer is longer than the {size} bytes promised"
            )));
        }
        if let Some(download) = &mut self.download {
            download
                .file
                .write_all(bytes)
                .map_err(|error| fs::with_path("write", &download.path, error))?;
        }
        self.offset += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK / 2 {
            self.send_buffer()?;
        }
        Ok(())
    }

    fn send_buffer(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        match &mut self.pipeline {
            Some(pipeline) => pipeline.send(full),
            None => Err(Error::internal("the layer was finished before")),
        }
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.send_buffer()?)
    }
}

fn compare(what: &str, expected: Option<&Digest>, found: &Digest) -> Result<()> {
    match expected {
        Some(expected) if expected != found => Err(Error::invalid(format!("{what} {expected}: it is {found}"))),
        Some(_) | None => Ok(()),
    }
}
