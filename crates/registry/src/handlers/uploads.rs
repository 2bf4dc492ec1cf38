//! `/v2/<name>/blobs/uploads/`: blobs on their way in.
//!
//! Bytes are hashed and written on a thread that may wait for the disk, in batches that grow while the
//! one before is written; the next ones are received meanwhile. What was received stays when the
//! connection breaks, and the upload goes on from there.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corten_oci::digest::{Algorithm, Digest, Hasher};
use http::{HeaderMap, Method, StatusCode, header};
use hyper::body::Incoming;
use rustix::io::{Errno, pwritev};
use serde_json::json;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::blobs::{UPLOAD_ID, located};
use super::{ranges, set, text};
use crate::app::App;
use crate::auth::Principal;
use crate::http::{Answer, empty, next};
use crate::name::{Name, digest};
use crate::refusal::{Code, Refusal, Result};
use crate::route;
use crate::store::{Progress, Session};

/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that wait to be written, of all uploads together.
const MEMORY: usize = 4 << 20;
/// Most and least of one upload.
const BATCH: (usize, usize) = (16 << 10, 512 << 10);

/// Bytes after which the disk may begin with what was written, where somebody waits for it in the end.
const STRIDE: u64 = 8 << 20;

/// Slices of one write (`IOV_MAX`).
const VECTOR: usize = 1024;

/// Uploads that receive bytes now.
static RECEIVING: AtomicUsize = AtomicUsize::new(0);

/// `POST`: begins an upload, or takes a blob at once.
pub(crate) async fn begin(
    app: &Arc<App>,
    principal: &Principal,
    name: &Name,
    request: http::Request<Incoming>,
) -> Result<Answer> {
    if request.method() != Method::POST {
        return Err(crate::app::method_not_allowed("POST"));
    }
    app.check_writable(name)?;
    let query = request.uri().query().map(str::to_owned);
    let field = |field| route::query(query.as_deref(), field);
    if let Some(hash) = field("mount") {
        let (hash, from) = (digest(&hash)?, field("from").filter(|from| !from.is_empty()));
        if mount(app, principal, name, &hash, from).await? {
            return Ok(created(name, &hash));
        }
    }
    let algorithm = match field("digest-algorithm").as_deref() {
        None | Some("" | "sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some(other) => {
            let message = format!("unsupported digest algorithm {other:.100?}");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
    };
    let hash = field("digest").map(|hash| digest(&hash)).transpose()?;
    app.store.usage().check(&app.store, name, 0)?;
    let algorithm = hash.as_ref().map_or(algorithm, Digest::algorithm);
    let session = app.uploads.begin(&app.store, name, algorithm)?;
    match hash {
        Some(hash) => {
            let answer = finish(app, name, &session, &hash, request).await;
            if answer.is_err() {
                // Nobody was told its name.
                discard(app, &session).await;
            }
            answer
        }
        None => Ok(accepted(StatusCode::ACCEPTED, name, &session, 0)),
    }
}

/// Whether the blob could be taken from another repository.
async fn mount(
    app: &Arc<App>,
    principal: &Principal,
    name: &Name,
    hash: &Digest,
    from: Option<String>,
) -> Result<bool> {
    let (shared, name, hash) = (Arc::clone(app), name.clone(), hash.clone());
    match from {
        Some(from) => {
            let Ok(from) = from.parse::<Name>() else {
                return Ok(false);
            };
            if !principal.may(crate::config::Action::Pull, &from) {
                return Ok(false);
            }
            app.blocking(move || shared.store.mount(&name, &from, &hash)).await?
        }
        // To find it by its digest alone would be to tell who has what.
        None if !principal.may_pull_everything() => Ok(false),
        None => app.blocking(move || shared.store.mount_from_any(&name, &hash)).await?,
    }
}

/// `GET`, `PATCH`, `PUT` and `DELETE` of an upload.
pub(crate) async fn go_on(app: &Arc<App>, name: &Name, id: &str, request: http::Request<Incoming>) -> Result<Answer> {
    app.check_writable(name)?;
    let unknown = || Refusal::new(Code::BlobUploadUnknown, "blob upload unknown to registry");
    let session = app.uploads.find(&app.store, name, id)?.ok_or_else(unknown)?;
    match *request.method() {
        Method::GET | Method::HEAD => {
            let length = session.received.load(Ordering::SeqCst);
            Ok(accepted(StatusCode::NO_CONTENT, name, &session, length))
        }
        Method::PATCH => {
            let length = receive(app, name, &session, request).await?;
            Ok(accepted(StatusCode::ACCEPTED, name, &session, length))
        }
        Method::PUT => {
            let hash = route::query(request.uri().query(), "digest")
                .ok_or_else(|| Refusal::new(Code::DigestInvalid, "the digest is missing"))?;
            finish(app, name, &session, &digest(&hash)?, request).await
        }
        Method::DELETE => {
            discard(app, &session).await;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(crate::app::method_not_allowed("GET, HEAD, PATCH, PUT, DELETE")),
    }
}

async fn lock(session: &Session) -> Result<OwnedMutexGuard<Progress>> {
    let busy = || Refusal::new(Code::BlobUploadInvalid, "another request of this upload goes on");
    let progress = session.lock().await.ok_or_else(busy)?;
    if progress.is_over {
        return Err(Refusal::new(Code::BlobUploadUnknown, "blob upload unknown to registry"));
    }
    Ok(progress)
}

fn accepted(status: StatusCode, name: &Name, session: &Session, length: u64) -> Answer {
    let mut answer = located(status, &location(name, session), None);
    set(&mut answer, header::RANGE, &ranges::received(length));
    set(&mut answer, UPLOAD_ID, &session.id);
    answer
}

fn location(name: &Name, session: &Session) -> String {
    format!("/v2/{name}/blobs/uploads/{}", session.id)
}

fn created(name: &Name, hash: &Digest) -> Answer {
    located(StatusCode::CREATED, &format!("/v2/{name}/blobs/{hash}"), Some(hash))
}

/// Drops an upload with what it has.
async fn discard(app: &Arc<App>, session: &Arc<Session>) {
    let Some(mut progress) = session.lock().await else {
        return;
    };
    app.uploads.forget(session, &mut progress);
    // It may be a blob by now.
    let _ = corten_sys::fs::remove_file(&session.path);
}

/// Takes the rest of a blob, and the whole for what it says it is.
async fn finish(
    app: &Arc<App>,
    name: &Name,
    session: &Arc<Session>,
    hash: &Digest,
    request: http::Request<Incoming>,
) -> Result<Answer> {
    receive(app, name, session, request).await?;
    let progress = lock(session).await?;
    let (shared, name, session, hash) = (Arc::clone(app), name.clone(), Arc::clone(session), hash.clone());
    app.blocking(move || conclude(&shared, &name, &session, progress, &hash))
        .await?
}

fn conclude(
    app: &App,
    name: &Name,
    session: &Session,
    mut progress: OwnedMutexGuard<Progress>,
    hash: &Digest,
) -> Result<Answer> {
    let is_right = progress.has_digest(&session.path, hash)?;
    if !is_right {
        app.uploads.forget(session, &mut progress);
        corten_sys::fs::remove_file(&session.path)?;
        return Err(
            Refusal::new(Code::DigestInvalid, "provided digest did not match uploaded content")
                .detail(json!({"digest": hash})),
        );
    }
    app.store.usage().check(&app.store, name, progress.length)?;
    app.store.adopt(name, hash, &session.path, progress.length)?;
    app.uploads.forget(session, &mut progress);
    Ok(created(name, hash))
}

/// How many bytes a request says it brings; and its range, as first byte and number.
type Announced = (Option<u64>, Option<(u64, u64)>);

/// Reads what a request says of its bytes.
fn announced(headers: &HeaderMap) -> Result<Announced> {
    let length = text(headers, header::CONTENT_LENGTH).parse().ok();
    let range = match text(headers, header::CONTENT_RANGE) {
        "" => None,
        range => Some(
            ranges::chunk(range)
                .ok_or_else(|| Refusal::new(Code::BlobUploadInvalid, format!("invalid Content-Range {range:.100?}")))?,
        ),
    };
    if let (Some(length), Some((_, count))) = (length, range)
        && length != count
    {
        return Err(Refusal::new(
            Code::SizeInvalid,
            format!("the chunk is {length} bytes long, and its Content-Range says {count}"),
        ));
    }
    Ok((length, range))
}

/// Adds a request's bytes to an upload; tells how many it has then.
async fn receive(app: &Arc<App>, name: &Name, session: &Arc<Session>, request: http::Request<Incoming>) -> Result<u64> {
    let (length, range) = announced(request.headers())?;
    let progress = lock(session).await?;
    if let Some((first, _)) = range
        && first != progress.length
    {
        let has = progress.length;
        drop(progress);
        let message = format!("the chunk begins at byte {first}, and the upload has {has}");
        return Err(Refusal::new(Code::RangeInvalid, message)
            .header(header::LOCATION, &location(name, session))
            .header(header::RANGE, &ranges::received(has))
            .header(UPLOAD_ID, &session.id));
    }
    if length == Some(0) {
        return Ok(progress.length);
    }
    let coming = range.map(|(_, count)| count).or(length);
    app.store
        .usage()
        .check(&app.store, name, progress.length.saturating_add(coming.unwrap_or(0)))?;
    let receiver = Receiver {
        app: Arc::clone(app),
        name: name.clone(),
        session: Arc::clone(session),
        body: request.into_body(),
        most: coming,
    };
    // A task of its own: what has come is written also when the client goes away.
    tokio::spawn(receiver.run(progress))
        .await
        .map_err(|error| Refusal::from(io::Error::other(error)))?
}

/// One request's bytes on their way into a file.
struct Receiver {
    app: Arc<App>,
    name: Name,
    session: Arc<Session>,
    body: Incoming,
    most: Option<u64>,
}

/// What writes: the file, where it is in it, and the hash of what it has written.
struct Pen {
    file: File,
    at: u64,
    hasher: Option<Hasher>,
    /// Up to where the kernel was told to begin with the disk; none where nobody waits for it.
    begun: Option<u64>,
}

impl Pen {
    fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        self.write_all(batch)?;
        if let Some(hasher) = &mut self.hasher {
            batch.iter().for_each(|bytes| hasher.update(bytes));
        }
        if let Some(begun) = self.begun.filter(|begun| self.at - begun >= STRIDE) {
            corten_sys::fs::start_writing(&self.file, begun, self.at - begun);
            self.begun = Some(self.at);
        }
        Ok(())
    }

    /// All in one call, for the kernel to take large pages (which it does for large writes only).
    fn write_all(&mut self, batch: &[Bytes]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let mut left = slices.as_mut_slice();
        while !left.is_empty() {
            let most = left.len().min(VECTOR);
            match pwritev(&self.file, &left[..most], self.at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.at += u64::try_from(count).unwrap_or(0);
                    IoSlice::advance_slices(&mut left, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Counts an upload that receives.
struct Receiving;

impl Receiving {
    fn start() -> Self {
        RECEIVING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// Bytes that this one may keep waiting.
    fn share() -> usize {
        (MEMORY / RECEIVING.load(Ordering::Relaxed).max(1)).clamp(BATCH.0, BATCH.1)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        RECEIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

type Writing = JoinHandle<(Pen, io::Result<()>)>;

impl Receiver {
    async fn run(mut self, mut progress: OwnedMutexGuard<Progress>) -> Result<u64> {
        let _receiving = Receiving::start();
        let pen = Pen {
            file: progress.open(&self.session.path)?,
            at: progress.length,
            begun: self.app.durable.then_some(progress.length),
            hasher: progress.hasher.take(),
        };
        let (pen, outcome) = self.transfer(pen).await?;
        self.app.metrics.received(pen.at - progress.length);
        progress.length = pen.at;
        progress.hasher = pen.hasher;
        outcome.map(|()| progress.length)
    }

    /// Receives and writes side by side. The pen comes back whatever happens, unless the disk fails.
    async fn transfer(&mut self, pen: Pen) -> Result<(Pen, Result<()>)> {
        let session = Arc::clone(&self.session);
        let mut taken_over = std::pin::pin!(session.taken_over.notified());
        let (mut idle, mut writing): (Option<Pen>, Option<Writing>) = (Some(pen), None);
        let (mut batch, mut size, mut total) = (Vec::new(), 0, 0_u64);
        let mut outcome = None;
        loop {
            if let Some(pen) = idle.take_if(|_| !batch.is_empty()) {
                writing = Some(write(pen, std::mem::take(&mut batch)));
                size = 0;
            }
            if outcome.is_some() && writing.is_none() {
                break;
            }
            tokio::select! {
                biased;
                written = wait(&mut writing), if writing.is_some() => {
                    writing = None;
                    let (pen, result) = written?;
                    result?;
                    self.session.received.store(pen.at, Ordering::SeqCst);
                    idle = Some(pen);
                }
                () = &mut taken_over, if outcome.is_none() => {
                    let refusal = Refusal::new(Code::BlobUploadInvalid, "another request of this upload took over");
                    outcome = Some(Err(refusal));
                }
                piece = timeout(PATIENCE, next(&mut self.body)), if outcome.is_none() && size < Receiving::share() => {
                    match self.take(piece, &mut total) {
                        Ok(Some(bytes)) => {
                            size += bytes.len();
                            batch.push(bytes);
                        }
                        Ok(None) => outcome = Some(Ok(())),
                        Err(refusal) => outcome = Some(Err(refusal)),
                    }
                }
            }
        }
        let pen = idle.ok_or_else(|| Refusal::from(io::Error::other("the file is still being written")))?;
        Ok((pen, outcome.unwrap_or(Ok(()))))
    }

    /// Looks at what came: the next bytes, or the end.
    fn take(
        &self,
        piece: Result<Option<Result<Bytes, hyper::Error>>, tokio::time::error::Elapsed>,
        total: &mut u64,
    ) -> Result<Option<Bytes>> {
        let late =
            || Refusal::new(Code::BlobUploadInvalid, "nothing came for too long").status(StatusCode::REQUEST_TIMEOUT);
        let bytes = match piece.map_err(|_| late())? {
            None if self.most.is_some_and(|most| *total < most) => {
                return Err(Refusal::new(
                    Code::SizeInvalid,
                    "the body is shorter than it was said to be",
                ));
            }
            None => return Ok(None),
            Some(Err(error)) => {
                return Err(Refusal::new(
                    Code::BlobUploadInvalid,
                    format!("the upload broke off: {error}"),
                ));
            }
            Some(Ok(bytes)) => bytes,
        };
        *total += u64::try_from(bytes.len()).unwrap_or(0);
        if self.most.is_some_and(|most| *total > most) {
            return Err(Refusal::new(
                Code::SizeInvalid,
                "the body is longer than it was said to be",
            ));
        }
        if self.most.is_none() {
            self.app.store.usage().check(&self.app.store, &self.name, *total)?;
        }
        Ok(Some(bytes))
    }
}

fn write(mut pen: Pen, batch: Vec<Bytes>) -> Writing {
    tokio::task::spawn_blocking(move || {
        let result = pen.write(&batch);
        (pen, result)
    })
}

async fn wait(writing: &mut Option<Writing>) -> io::Result<(Pen, io::Result<()>)> {
    match writing {
        Some(writing) => writing.await.map_err(io::Error::other),
        None => std::future::pending().await,
    }
}
