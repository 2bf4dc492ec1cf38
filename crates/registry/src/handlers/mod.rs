//! What each kind of request comes to.

pub(crate) mod blobs;
pub(crate) mod lists;
pub(crate) mod manifests;
pub(crate) mod pages;
pub(crate) mod ranges;
pub(crate) mod uploads;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http::Answer;

/// The digest of what an answer is about.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A header's text; empty when it is not there.
pub(crate) fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Sets a header; a value that HTTP does not allow is left out.
pub(crate) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Whether the client has what this entity tag stands for (RFC 9110 §13.1.2).
pub(crate) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = |part: &str| {
        let part = part.trim();
        part == "*" || part.strip_prefix("W/").unwrap_or(part) == tag
    };
    text(headers, header::IF_NONE_MATCH).split(',').any(known)
}
