//! Who may speak to a listener: web pages may not, whatever name they found it under.
//!
//! The API gives whoever speaks it the whole machine. A browser on the same host could be made to
//! send requests to a TCP listener, directly or with a name that suddenly resolves to the loopback
//! address; so requests from pages and under unknown names are refused there.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};

use crate::error::{ApiError, ApiResult};

/// What a listener checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing: the file system or a client's certificate decides who may connect.
    Trusted,
    /// Names under which it may be spoken to, besides addresses and names without dots.
    Names(Vec<String>),
}

impl Guard {
    /// Checks a request's headers.
    ///
    /// # Errors
    /// 403 with the reason.
    pub(crate) fn check(&self, headers: &HeaderMap) -> ApiResult<()> {
        let Self::Names(names) = self else {
            return Ok(());
        };
        let forbidden = |why: String| Err(ApiError::new(StatusCode::FORBIDDEN, why));
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin, host)) {
            return forbidden("requests from web pages are not allowed".to_owned());
        }
        if is_plain(host) || names.iter().any(|name| name.eq_ignore_ascii_case(without_port(host))) {
            return Ok(());
        }
        forbidden(format!(
            "the engine does not listen under the name {host:?}: use its address, or give the name with -H"
        ))
    }
}

/// Whether an origin is the engine itself, which has no pages: so libraries for websockets name what they
/// connect to. The host is checked besides.
fn is_own(origin: &http::HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let origin = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    !host.is_empty() && origin == Some(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// An address, or a name that no public server can give out.
fn is_plain(host: &str) -> bool {
    let name = without_port(host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || !name.trim_end_matches('.').contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_unknown_names_are_refused() {
        let guard = Guard::Names(vec!["engine.example".to_owned()]);
        let case = |pairs: &[(&str, &str)], expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(
                    http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            assert_eq!(guard.check(&headers).is_ok(), expected, "{pairs:?}");
            assert!(Guard::Trusted.check(&headers).is_ok());
        };
        case(&[("host", "127.0.0.1:2375")], true);
        case(&[("host", "[::1]:2375")], true);
        case(&[("host", "localhost:2375")], true);
        case(&[("host", "docker")], true);
        case(&[("host", "engine.example:2375")], true);
        case(&[("host", "rebound.example:2375")], false);
        case(&[("host", "localhost"), ("origin", "http://evil.example")], false);
        case(&[("host", "127.0.0.1:2375"), ("origin", "http://127.0.0.1:2375")], true);
        case(&[("host", "127.0.0.1:2375"), ("origin", "http://127.0.0.1:80")], false);
        case(&[("host", "127.0.0.1:2375"), ("origin", "null")], false);
        case(
            &[("host", "rebound.example"), ("origin", "http://rebound.example")],
            false,
        );
        case(&[("origin", "http://")], false);
        case(&[], true);
    }
}
