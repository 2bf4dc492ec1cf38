//! Blobs fetched from upstream: once for all who ask, and sent on while they come.
//!
//! The last byte is held back until the whole has its digest: nobody gets to the end of a wrong blob.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use corten_distribution::{Error, Incoming, Kind, Upstream as Remote};
use corten_oci::digest::{Digest, Hasher};
use corten_sys::fs;
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use tokio::sync::watch;

use crate::app::App;
use crate::http::read_at;
use crate::name::Name;
use crate::store::new_id;

/// Bytes read at once for who is sent them.
const CHUNK: u64 = 64 << 10;
/// How often a fetch is taken up again that broke off without bringing anything.
const ATTEMPTS: u32 = 4;

/// The fetches that go on.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    /// Guards itself only; each has a turn of its own while it begins.
    known: Mutex<HashMap<(Name, Digest), Weak<Coming>>>,
    beginning: tokio::sync::Mutex<()>,
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes are there.
    Coming(u64),
    /// All are, and they are right.
    Done,
    Failed,
}

/// A blob that is being fetched.
#[derive(Debug)]
pub(crate) struct Coming {
    pub(crate) size: u64,
    file: Arc<File>,
    state: watch::Receiver<State>,
}

impl Fetches {
    /// Joins a blob's fetch, or begins it.
    pub(super) async fn join(
        &self,
        app: &Arc<App>,
        remote: &Arc<Remote>,
        name: &Name,
        path: &str,
        digest: &Digest,
    ) -> Result<Arc<Coming>, Error> {
        let key = (name.clone(), digest.clone());
        if let Some(coming) = self.find(&key) {
            return Ok(coming);
        }
        let _beginning = self.beginning.lock().await;
        if let Some(coming) = self.find(&key) {
            return Ok(coming);
        }
        let incoming = remote.blob(path, digest, 0).await?;
        let failed = |error: io::Error| Error::new(Kind::Internal, error.to_string());
        let place = app.store.draft();
        let options = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .clone();
        let file = Arc::new(fs::open_with(&options, &place).map_err(failed)?);
        let (sender, state) = watch::channel(State::Coming(0));
        let coming = Arc::new(Coming {
            size: incoming.size,
            file: Arc::clone(&file),
            state,
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, coming| coming.strong_count() > 0);
        known.insert(key, Arc::downgrade(&coming));
        let fetch = Fetch {
            app: Arc::clone(app),
            remote: Arc::clone(remote),
            name: name.clone(),
            path: path.to_owned(),
            digest: digest.clone(),
            size: incoming.size,
            place,
            file,
            state: sender,
            held: Arc::clone(&coming),
        };
        // It goes on when the client that began it goes away.
        tokio::spawn(fetch.run(incoming));
        Ok(coming)
    }

    fn find(&self, key: &(Name, Digest)) -> Option<Arc<Coming>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let coming = known.get(key)?.upgrade()?;
        let has_failed = *coming.state.borrow() == State::Failed;
        (!has_failed).then_some(coming)
    }
}

impl Coming {
    /// Some of the bytes, as they come.
    pub(crate) fn read(self: Arc<Self>, offset: u64, length: u64) -> BoxStream<'static, io::Result<Bytes>> {
        let state = self.state.clone();
        try_unfold(
            (self, state, offset, length),
            |(coming, mut state, offset, length)| async move {
                if length == 0 {
                    return Ok(None);
                }
                let limit = coming.size - 1;
                let there = |state: &State| match state {
                    State::Coming(there) => (*there).min(limit),
                    State::Done => coming.size,
                    State::Failed => u64::MAX,
                };
                let seen = state.wait_for(|state| there(state) > offset).await;
                let seen = seen.map_or(State::Failed, |state| *state);
                if seen == State::Failed {
                    return Err(io::Error::other("the upstream registry did not send all of it"));
                }
                let wanted = length.min(there(&seen) - offset).min(CHUNK);
                let bytes = read_at(&coming.file, offset, usize::try_from(wanted).unwrap_or(0)).await?;
                let count = u64::try_from(bytes.len()).unwrap_or(0);
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(Some((
                    bytes,
                    (Arc::clone(&coming), state, offset + count, length - count),
                )))
            },
        )
        .boxed()
    }
}

/// One fetch.
struct Fetch {
    app: Arc<App>,
    remote: Arc<Remote>,
    name: Name,
    path: String,
    digest: Digest,
    size: u64,
    place: PathBuf,
    file: Arc<File>,
    state: watch::Sender<State>,
    /// Keeps it among the known as long as it goes on.
    held: Arc<Coming>,
}

impl Fetch {
    async fn run(self, incoming: Incoming) {
        let mut hasher = Hasher::new(self.digest.algorithm());
        let fetched = self.receive(incoming, &mut hasher).await;
        let outcome = match fetched {
            Ok(()) if hasher.finish() == self.digest => self.keep().await,
            Ok(()) => Err(format!("what upstream sends for {} has another digest", self.digest)),
            Err(error) => Err(error.to_string()),
        };
        let state = match outcome {
            Ok(()) => State::Done,
            Err(error) => {
                tracing::warn!(repository = %self.name, digest = %self.digest, error, "a blob cannot be fetched");
                // It may not even be there any more.
                let _ = fs::remove_file(&self.place);
                State::Failed
            }
        };
        self.state.send_replace(state);
        drop(self.held);
    }

    async fn receive(&self, incoming: Incoming, hasher: &mut Hasher) -> Result<(), Error> {
        let (mut at, mut attempts, mut next) = (0, 0, Some(incoming));
        while at < self.size {
            let before = at;
            let outcome = match next.take() {
                Some(incoming) => self.stretch(incoming, &mut at, hasher).await,
                None => match self.remote.blob(&self.path, &self.digest, at).await {
                    Ok(incoming) => self.stretch(incoming, &mut at, hasher).await,
                    Err(error) => Err(error),
                },
            };
            attempts = if at > before { 0 } else { attempts + 1 };
            match outcome {
                Err(error) if attempts >= ATTEMPTS || error.kind() != Kind::Unavailable => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100 << attempts)).await,
                Ok(()) if attempts >= ATTEMPTS => {
                    return Err(Error::new(Kind::Unavailable, "the upstream registry sends nothing"));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn stretch(&self, mut incoming: Incoming, at: &mut u64, hasher: &mut Hasher) -> Result<(), Error> {
        let other = |why: &str| Error::new(Kind::Invalid, format!("blob {}: {why}", self.digest));
        if incoming.size != self.size {
            return Err(other("its size has changed"));
        }
        let mut skip = incoming.skip;
        while let Some(mut bytes) = incoming.chunk().await? {
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes.advance(known);
            skip -= u64::try_from(known).unwrap_or(skip);
            let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if at.saturating_add(count) > self.size {
                return Err(other("it is longer than was said"));
            }
            let written = self.file.write_all_at(&bytes, *at);
            written.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
            hasher.update(&bytes);
            *at += count;
            self.state.send_replace(State::Coming(*at));
        }
        Ok(())
    }

    async fn keep(&self) -> Result<(), String> {
        let (app, name, digest) = (Arc::clone(&self.app), self.name.clone(), self.digest.clone());
        let (place, size) = (self.place.clone(), self.size);
        let kept = self.app.blocking(move || {
            app.store.usage().check(&app.store, &name, size)?;
            app.store.adopt(&name, &digest, &place, size)
        });
        kept.await.and_then(|kept| kept).map_err(|refusal| refusal.message)
    }
}

impl crate::store::Store {
    /// A new file among the uploads, for content that a restart need not find again.
    pub(crate) fn draft(&self) -> PathBuf {
        self.drafts().join(format!("copy-{}", new_id()))
    }
}
