//! `/v2/<name>/blobs/<digest>`

use std::sync::Arc;

use corten_oci::digest::Digest;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::ranges::{Wanted, wanted};
use super::{CONTENT_DIGEST, is_known, set, text};
use crate::app::App;
use crate::http::{Answer, Body, Part, Peer, empty};
use crate::name::Name;
use crate::refusal::{Code, Refusal, Result};
use crate::store::{Opened, Removed};

/// Answers a request about a blob.
pub(crate) async fn answer(
    app: &Arc<App>,
    peer: &Peer,
    name: &Name,
    digest: &Digest,
    request: &http::Request<Incoming>,
) -> Result<Answer> {
    match *request.method() {
        Method::HEAD => head(app, name, digest).await,
        Method::GET => get(app, peer, name, digest, request.headers()).await,
        Method::DELETE => delete(app, name, digest).await,
        _ => Err(crate::app::method_not_allowed("GET, HEAD, DELETE")),
    }
}

fn unknown(digest: &Digest) -> Refusal {
    Refusal::new(Code::BlobUnknown, "blob unknown to registry").detail(json!({"digest": digest}))
}

async fn head(app: &Arc<App>, name: &Name, digest: &Digest) -> Result<Answer> {
    let size = match app.store.stat_blob(name, digest)? {
        Some(size) => Some(size),
        None => match app.upstreams.find(name) {
            Some(upstream) => Box::pin(upstream.blob_size(digest)).await?,
            None => None,
        },
    };
    let size = size.ok_or_else(|| unknown(digest))?;
    let mut answer = empty(StatusCode::OK);
    describe(&mut answer, digest);
    set(&mut answer, header::CONTENT_LENGTH, &size.to_string());
    Ok(answer)
}

fn describe(answer: &mut Answer, digest: &Digest) {
    set(answer, CONTENT_DIGEST, digest.as_str());
    set(answer, header::CONTENT_TYPE, "application/octet-stream");
    set(answer, header::ACCEPT_RANGES, "bytes");
    set(answer, header::ETAG, &format!("\"{digest}\""));
    set(answer, header::CACHE_CONTROL, "max-age=31536000");
}

async fn get(app: &Arc<App>, peer: &Peer, name: &Name, digest: &Digest, headers: &HeaderMap) -> Result<Answer> {
    let opened = match app.store.open_blob(name, digest)? {
        Some(opened) => opened,
        None => match app.upstreams.find(name) {
            Some(upstream) => return fetched(app, upstream, digest, headers).await,
            None => return Err(unknown(digest)),
        },
    };
    Ok(part_of(app, peer, digest, opened, headers))
}

fn part_of(app: &App, peer: &Peer, digest: &Digest, opened: Opened, headers: &HeaderMap) -> Answer {
    let mut answer = empty(StatusCode::OK);
    describe(&mut answer, digest);
    if is_known(headers, &format!("\"{digest}\"")) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer;
    }
    let (offset, length) = match wanted(text(headers, header::RANGE), opened.size) {
        Wanted::All => (0, opened.size),
        Wanted::Some(offset, length) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {offset}-{}/{}", offset + length - 1, opened.size);
            set(&mut answer, header::CONTENT_RANGE, &range);
            (offset, length)
        }
        Wanted::Beyond => {
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{}", opened.size));
            return answer;
        }
    };
    app.metrics.sent(length);
    let file = opened.file;
    *answer.body_mut() = Body::part(Part { file, offset, length }, &peer.outlet);
    answer
}

/// A blob that comes from upstream while it is sent.
async fn fetched(
    app: &Arc<App>,
    upstream: crate::upstream::Repository<'_>,
    digest: &Digest,
    headers: &HeaderMap,
) -> Result<Answer> {
    let coming = Box::pin(upstream.blob(app, digest))
        .await?
        .ok_or_else(|| unknown(digest))?;
    let mut answer = empty(StatusCode::OK);
    describe(&mut answer, digest);
    let (offset, length) = match wanted(text(headers, header::RANGE), coming.size) {
        Wanted::All => (0, coming.size),
        Wanted::Some(offset, length) => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {offset}-{}/{}", offset + length - 1, coming.size);
            set(&mut answer, header::CONTENT_RANGE, &range);
            (offset, length)
        }
        Wanted::Beyond => {
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{}", coming.size));
            return Ok(answer);
        }
    };
    app.metrics.sent(length);
    *answer.body_mut() = Body::stream(coming.read(offset, length), Some(length));
    Ok(answer)
}

async fn delete(app: &Arc<App>, name: &Name, digest: &Digest) -> Result<Answer> {
    app.check_deletes()?;
    app.check_writable(name)?;
    let (shared, name, hash) = (Arc::clone(app), name.clone(), digest.clone());
    let removed = app.blocking(move || shared.store.unlink_blob(&name, &hash)).await??;
    if removed == Removed::Missing {
        return Err(unknown(digest));
    }
    app.settled().await;
    let mut answer = empty(StatusCode::ACCEPTED);
    set(&mut answer, CONTENT_DIGEST, digest.as_str());
    Ok(answer)
}

/// The headers of an answer that says where something is now.
pub(crate) fn located(status: StatusCode, location: &str, digest: Option<&Digest>) -> Answer {
    let mut answer = empty(status);
    set(&mut answer, header::LOCATION, location);
    if let Some(digest) = digest {
        set(&mut answer, CONTENT_DIGEST, digest.as_str());
    }
    answer
}

/// Docker's name for an upload's id.
pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
