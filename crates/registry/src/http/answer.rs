//! The kinds of answer.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::body::Body;
use crate::refusal::Refusal;

/// An answer.
pub(crate) type Answer = Response<Body>;

fn with(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::bytes(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// 200 with a JSON document.
pub(crate) fn json(value: &Value) -> Answer {
    let mut text = value.to_string();
    text.push('\n');
    with(StatusCode::OK, "application/json", text.into())
}

/// Text for people and collectors of metrics.
pub(crate) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with(status, "text/plain; charset=utf-8", text.into())
}

/// A page that runs nothing and loads nothing from elsewhere.
pub(crate) fn html(status: StatusCode, text: String) -> Answer {
    let mut answer = with(status, "text/html; charset=utf-8", text.into());
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What a refused request is answered with.
pub(crate) fn failure(refusal: &Refusal) -> Answer {
    let mut answer = with(refusal.status, "application/json", refusal.body().into());
    for (name, value) in &refusal.headers {
        answer.headers_mut().append(name, value.clone());
    }
    answer
}
