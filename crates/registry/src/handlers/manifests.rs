//! `/v2/<name>/manifests/<tag or digest>`

use std::sync::Arc;

use bytes::Bytes;
use corten_oci::digest::Digest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::blobs::located;
use super::{CONTENT_DIGEST, is_known, set, text};
use crate::app::App;
use crate::document::{Document, LONGEST};
use crate::http::{Answer, Body, Part, Peer, empty, read_at};
use crate::name::{Name, Selector, Tag};
use crate::refusal::{Code, Refusal, Result};
use crate::route;
use crate::store::{Opened, Put, Record};

/// Manifests up to this size are read at once; longer ones go as files do.
const SHORT: u64 = 64 << 10;
/// Tags that one request may push.
const TAGS: usize = 100;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Answers a request about a manifest.
pub(crate) async fn answer(
    app: &Arc<App>,
    peer: &Peer,
    name: &Name,
    selector: &Selector,
    request: http::Request<Incoming>,
) -> Result<Answer> {
    match *request.method() {
        Method::GET | Method::HEAD => get(app, peer, name, selector, request.method(), request.headers()).await,
        Method::PUT => put(app, name, selector, request).await,
        Method::DELETE => delete(app, name, selector).await,
        _ => Err(crate::app::method_not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

fn unknown(selector: &Selector) -> Refusal {
    let detail = match selector {
        Selector::Digest(digest) => json!({"Digest": digest}),
        Selector::Tag(tag) => json!({"Tag": tag.as_str()}),
    };
    Refusal::new(Code::ManifestUnknown, format!("manifest unknown: {selector}")).detail(detail)
}

async fn get(
    app: &Arc<App>,
    peer: &Peer,
    name: &Name,
    selector: &Selector,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Answer> {
    if let Some(upstream) = app.upstreams.find(name) {
        Box::pin(upstream.refresh(app, selector)).await?;
    }
    let (digest, record, opened) = find(app, name, selector)?.ok_or_else(|| unknown(selector))?;
    let mut answer = empty(StatusCode::OK);
    set(&mut answer, CONTENT_DIGEST, digest.as_str());
    set(&mut answer, header::ETAG, &format!("\"{digest}\""));
    if is_known(headers, &format!("\"{digest}\"")) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(answer);
    }
    set(&mut answer, header::CONTENT_TYPE, &record.media_type);
    if method == Method::HEAD {
        set(&mut answer, header::CONTENT_LENGTH, &opened.size.to_string());
        return Ok(answer);
    }
    app.metrics.pulled();
    app.metrics.sent(opened.size);
    *answer.body_mut() = if opened.size <= SHORT {
        let length = usize::try_from(opened.size).unwrap_or(0);
        Body::bytes(read_at(&opened.file, 0, length).await?)
    } else {
        let (file, length) = (opened.file, opened.size);
        Body::part(
            Part {
                file,
                offset: 0,
                length,
            },
            &peer.outlet,
        )
    };
    Ok(answer)
}

fn find(app: &App, name: &Name, selector: &Selector) -> Result<Option<(Digest, Record, Opened)>> {
    let digest = match selector {
        Selector::Digest(digest) => digest.clone(),
        Selector::Tag(tag) => match app.store.tag(name, tag)? {
            Some(record) => record.digest,
            None => return Ok(None),
        },
    };
    let found = app.store.open_manifest(name, &digest)?;
    Ok(found.map(|(record, opened)| (digest, record, opened)))
}

async fn put(app: &Arc<App>, name: &Name, selector: &Selector, request: http::Request<Incoming>) -> Result<Answer> {
    app.check_writable(name)?;
    let declared = text(request.headers(), header::CONTENT_TYPE).to_owned();
    let mut tags = tags_of(request.uri().query())?;
    let bytes = read(request.into_body()).await?;
    let document = Document::parse(&bytes, Some(&declared))?;
    let digest = match selector {
        Selector::Digest(digest) if digest.matches(&bytes) => digest.clone(),
        Selector::Digest(digest) => {
            let message = "provided digest did not match uploaded content";
            return Err(Refusal::new(Code::DigestInvalid, message).detail(json!({"digest": digest})));
        }
        Selector::Tag(tag) => {
            tags = vec![tag.clone()];
            Digest::sha256(&bytes)
        }
    };
    let subject = document.subject.clone();
    let (shared, owned, hash, named) = (Arc::clone(app), name.clone(), digest.clone(), tags.clone());
    app.blocking(move || {
        shared.store.put_manifest(&Put {
            name: &owned,
            digest: &hash,
            bytes: &bytes,
            document: &document,
            tags: &named,
            is_complete: true,
        })
    })
    .await??;
    // The one time that a push waits for the disk.
    app.settled().await;
    app.metrics.pushed();
    let mut answer = located(
        StatusCode::CREATED,
        &format!("/v2/{name}/manifests/{digest}"),
        Some(&digest),
    );
    if let Some(subject) = subject {
        set(&mut answer, SUBJECT, subject.as_str());
    }
    if matches!(selector, Selector::Digest(_)) {
        for tag in tags {
            answer
                .headers_mut()
                .extend(HeaderValue::from_str(tag.as_str()).ok().map(|value| (TAG, value)));
        }
    }
    Ok(answer)
}

fn tags_of(query: Option<&str>) -> Result<Vec<Tag>> {
    let tags: Vec<Tag> = route::queries(query, "tag")
        .map(|tag| tag.parse())
        .collect::<Result<_>>()?;
    if tags.len() > TAGS {
        let message = format!("a request may push {TAGS} tags at most");
        return Err(Refusal::new(Code::TagInvalid, message).status(StatusCode::URI_TOO_LONG));
    }
    Ok(tags)
}

async fn read(body: Incoming) -> Result<Bytes> {
    let too_long = || {
        Refusal::new(Code::SizeInvalid, format!("manifests are {LONGEST} bytes long at most"))
            .status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let broken = |why: String| Refusal::new(Code::ManifestInvalid, format!("the manifest cannot be read: {why}"));
    let collected = tokio::time::timeout(
        std::time::Duration::from_secs(60),
        Limited::new(body, LONGEST).collect(),
    );
    match collected.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(broken(error.to_string())),
        Err(_) => Err(broken("it takes too long".to_owned()).status(StatusCode::REQUEST_TIMEOUT)),
    }
}

async fn delete(app: &Arc<App>, name: &Name, selector: &Selector) -> Result<Answer> {
    app.check_deletes()?;
    let (shared, owned, wanted) = (Arc::clone(app), name.clone(), selector.clone());
    let was_there = app
        .blocking(move || {
            let _guard = shared.store.lock_repository(&owned);
            match &wanted {
                Selector::Tag(tag) => shared.store.remove_tag(&owned, tag),
                Selector::Digest(digest) => shared.store.remove_manifest(&owned, digest),
            }
        })
        .await??;
    if !was_there {
        return Err(unknown(selector));
    }
    app.settled().await;
    Ok(empty(StatusCode::ACCEPTED))
}
