//! One layer from a registry into the store: fetched, verified and unpacked at the same time.
//!
//! ```text
//! Fetch (async) ──chunks──► eater (blocking thread) ──► the store's ingest
//!    │ cut: range, again        │ End: finish     Discard: nothing stays
//!    ▼ dropped: channel closes  ▼ closed: what is here stays, to go on from
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corten_oci::image::Descriptor;
use corten_store::{Ingest, IngestRequest, Ingestion, Lease, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::client::Session;
use crate::endpoint::Config;
use crate::error::{Error, Kind, Result};
use crate::fetch::{Fetch, Piece};
use crate::progress::Step;
use crate::transfers::Board;

/// Chunks that may wait for the unpacking.
const DEPTH: usize = 8;
/// Time between two reports of an extraction.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What it takes to bring one layer here.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) session: Arc<Session>,
    pub(crate) config: Arc<Config>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) store: Store,
    pub(crate) lease: Lease,
    pub(crate) layer: Descriptor,
    pub(crate) request: IngestRequest,
}

/// A layer that is here now; held as long as this lives.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) _lease: Lease,
}

impl Transport {
    /// Brings the layer here.
    ///
    /// # Errors
    /// As fetching it; Invalid when it is not what its digests say.
    pub(crate) async fn run(self, board: Arc<Board>) -> Result<Held> {
        let slot = match self.slots.clone().try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => {
                board.report(Step::Waiting);
                let slot = self.slots.clone().acquire_owned().await;
                slot.map_err(|e| Error::new(Kind::Internal, "no more transfers").with_source(e))?
            }
        };
        let mut may_be_stale = true;
        loop {
            let Some(ingest) = self.begin().await? else {
                board.report(Step::PullComplete);
                return Ok(Held { _lease: self.lease });
            };
            let resumed = ingest.offset() > 0;
            match self.bring(ingest, &board).await {
                // What an earlier attempt left may be what is wrong; it is gone now.
                Err(error) if error.kind() == Kind::Invalid && resumed && may_be_stale => {
                    tracing::warn!(layer = %self.layer.digest, %error, "fetching the layer anew");
                    may_be_stale = false;
                }
                Err(error) => return Err(error.about_blob(&self.layer.digest)),
                Ok(()) => break,
            }
        }
        drop(slot);
        board.report(Step::PullComplete);
        Ok(Held { _lease: self.lease })
    }

    /// Reserves the layer in the store; `None` when it is there by now.
    async fn begin(&self) -> Result<Option<Ingest>> {
        loop {
            let (store, lease) = (self.store.clone(), self.lease.clone());
            let request = self.request.clone();
            let ingestion = blocking(move || store.layer_ingest(&lease, request)).await??;
            match ingestion {
                Ingestion::Present(_) => return Ok(None),
                Ingestion::Ready(ingest) => return Ok(Some(ingest)),
                Ingestion::Busy(other) => blocking(move || other.wait()).await?,
            }
        }
    }

    async fn bring(&self, ingest: Ingest, board: &Board) -> Result<()> {
        let offset = ingest.offset();
        let (sink, pieces) = mpsc::channel(DEPTH);
        let eaten = Arc::new(AtomicU64::new(offset));
        let eater = tokio::task::spawn_blocking({
            let eaten = eaten.clone();
            move || eat(ingest, pieces, &eaten)
        });
        let fetch = Fetch {
            session: &self.session,
            config: &self.config,
            blob: &self.layer,
            sink: &sink,
            report: |step| board.report(step),
        };
        let fetched = fetch.run(offset).await;
        match fetched {
            Ok(()) => {
                board.report(Step::VerifyingChecksum);
                // A closed channel means that the eater failed; it says why below.
                let _ = sink.send(Piece::End).await;
                drop(sink);
                self.extract(eater, board, &eaten).await
            }
            Err(error) => {
                if error.kind() == Kind::Invalid {
                    let _ = sink.send(Piece::Discard).await;
                }
                drop(sink);
                match (error.kind(), joined(eater.await)) {
                    (Kind::Cancelled, Err(why)) => Err(why),
                    _ => Err(error),
                }
            }
        }
    }

    /// Waits until all that was fetched is unpacked.
    async fn extract(&self, mut eater: JoinHandle<Result<()>>, board: &Board, eaten: &AtomicU64) -> Result<()> {
        let total = self.layer.size;
        let mut is_complete = false;
        loop {
            tokio::select! {
                result = &mut eater => {
                    let result = joined(result);
                    if result.is_ok() && !is_complete {
                        board.report(Step::DownloadComplete);
                    }
                    return result;
                }
                () = tokio::time::sleep(REPORT_EVERY) => {
                    if !is_complete {
                        is_complete = true;
                        board.report(Step::DownloadComplete);
                    }
                    let current = eaten.load(Ordering::Relaxed).min(total);
                    board.report(Step::Extracting { current, total });
                }
            }
        }
    }
}

/// Gives pieces to the store as they come.
fn eat(mut ingest: Ingest, mut pieces: mpsc::Receiver<Piece>, eaten: &AtomicU64) -> Result<()> {
    use std::io::Write as _;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(bytes) => {
                if let Err(error) = ingest.write_all(&bytes) {
                    let error = from_io(error);
                    if error.kind() == Kind::Invalid {
                        ingest.discard();
                    }
                    return Err(error);
                }
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                eaten.fetch_add(length, Ordering::Relaxed);
            }
            Piece::Discard => {
                ingest.discard();
                return Ok(());
            }
            Piece::End => return ingest.finish().map(|_| ()).map_err(Error::from),
        }
    }
    // Cut off: what is here stays.
    Ok(())
}

/// The store's error, if that is what an I/O error holds.
fn from_io(error: std::io::Error) -> Error {
    match error.downcast::<corten_store::Error>() {
        Ok(error) => error.into(),
        Err(error) => Error::new(Kind::Internal, error.to_string()).with_source(error),
    }
}

fn joined(result: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    result.map_err(|e| Error::new(Kind::Internal, "unpacking a layer ended in a panic").with_source(e))?
}

/// Calls the store off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let result = tokio::task::spawn_blocking(call).await;
    result.map_err(|e| Error::new(Kind::Internal, "a call to the store ended in a panic").with_source(e))
}
