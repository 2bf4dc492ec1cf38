//! The API's versions: which is spoken on a path, and which are refused.

use std::fmt;

use corten_api::{MIN_VERSION, VERSION};
use http::{Method, StatusCode};

use crate::{
    error::{ApiError, ApiResult},
    router,
};

/// A version of the API, all of which begin with `1.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(u32);

impl ApiVersion {
    /// `1.<minor>`.
    #[cfg(test)]
    pub(crate) const fn new(minor: u32) -> Self {
        Self(minor)
    }

    /// The newest.
    pub(crate) fn newest() -> Self {
        minor(VERSION).map_or(Self(51), Self)
    }

    /// The oldest.
    pub(crate) fn oldest() -> Self {
        minor(MIN_VERSION).map_or(Self(24), Self)
    }

    /// Whether this version is older than `1.<minor>`.
    pub(crate) fn before(self, minor: u32) -> bool {
        self.0 < minor
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

fn minor(text: &str) -> Option<u32> {
    text.strip_prefix("1.")?.parse().ok()
}

/// Splits `/v1.41/info` into the version and `/info`; without a version it is the newest.
///
/// # Errors
/// 400, in dockerd's words, for versions that are too new or too old; 404 for unknown paths of old ones.
pub(crate) fn split<'a>(method: &Method, path: &'a str) -> ApiResult<(ApiVersion, &'a str)> {
    let prefix = path.strip_prefix("/v").and_then(|rest| {
        let end = rest.find('/').unwrap_or(rest.len());
        let (version, rest) = rest.split_at(end);
        version
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.')
            .then_some((version, rest))
    });
    let Some((text, rest)) = prefix.filter(|(text, _)| !text.is_empty()) else {
        return Ok((ApiVersion::newest(), path));
    };
    let bad = |why: String| ApiError::new(StatusCode::BAD_REQUEST, why);
    let parts: Vec<u32> = text.split('.').map_while(|part| part.parse().ok()).collect();
    let (major, minor) = (parts.first().copied().unwrap_or(0), parts.get(1).copied().unwrap_or(0));
    if major < 1 || (major == 1 && minor < ApiVersion::oldest().0) {
        if router::route(method, rest).is_none() {
            return Err(ApiError::no_page());
        }
        let error = bad(format!(
            "client version {text} is too old. Minimum supported API version is {MIN_VERSION}, \
             please upgrade your client to a newer version"
        ));
        // Clients of those days know no errors in JSON.
        return Err(error.in_text());
    }
    if major > 1 || minor > ApiVersion::newest().0 {
        return Err(bad(format!(
            "client version {text} is too new. Maximum supported API version is {VERSION}"
        )));
    }
    Ok((ApiVersion(minor), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_split_off() {
        let case = |path: &str, version: u32, rest: &str| {
            assert_eq!(
                split(&Method::GET, path).unwrap(),
                (ApiVersion(version), rest),
                "{path}"
            );
        };
        case("/info", 51, "/info");
        case("/v1.24/info", 24, "/info");
        case("/v1.51/_ping", 51, "/_ping");
        case("/volumes", 51, "/volumes");
        case("/version", 51, "/version");
        case("/v/x", 51, "/v/x");
    }

    #[test]
    fn others_are_refused_in_dockerd_s_words() {
        let case = |path: &str, message: &str| {
            let error = split(&Method::GET, path).unwrap_err();
            assert_eq!((error.status.as_u16(), error.message.as_str()), (400, message));
        };
        case(
            "/v1.52/info",
            "client version 1.52 is too new. Maximum supported API version is 1.51",
        );
        case(
            "/v2.0/info",
            "client version 2.0 is too new. Maximum supported API version is 1.51",
        );
        case(
            "/v1.23/info",
            "client version 1.23 is too old. Minimum supported API version is 1.24, \
             please upgrade your client to a newer version",
        );
    }
}
