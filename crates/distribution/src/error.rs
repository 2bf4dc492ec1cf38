//! What can go wrong with a registry, and the words Docker has for it.
//!
//! Clients and scripts match on Docker's texts, so all of those stand in this file.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use corten_oci::digest::Digest;
use corten_oci::reference::Reference;
pub use corten_sys::failure::Kind;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::auth::Challenge;

/// An error of this crate; displays as its message alone.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// The code a registry gave, to tell apart what has one [`Kind`].
    code: Option<String>,
    /// No connection came about at all.
    is_unreachable: bool,
    /// The pause the registry asked for.
    retry_after: Option<Duration>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
            code: None,
            is_unreachable: false,
            retry_after: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user may try, if there is something.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Names the blob, unless it is named already.
    pub(crate) fn about_blob(mut self, digest: &Digest) -> Self {
        if self.kind == Kind::Invalid && !self.message.contains(digest.as_str()) {
            self.message = format!("layer {digest}: {}", self.message);
        }
        self
    }

    /// The same error for another waiter; the source stays with the first.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            kind: self.kind,
            message: self.message.clone(),
            hint: self.hint.clone(),
            source: None,
            code: self.code.clone(),
            is_unreachable: self.is_unreachable,
            retry_after: self.retry_after,
        }
    }

    /// Marks that no connection came about.
    pub(crate) fn unreachable(mut self) -> Self {
        self.is_unreachable = true;
        self
    }

    /// Notes the pause a registry asked for.
    pub(crate) fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// Whether asking a registry that did answer before again may go better.
    pub(crate) fn is_passing(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// Whether the registry was found at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable
    }

    /// The pause a registry asked for.
    pub(crate) fn asked_pause(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The error in the words of a pull of `reference`: moby `distribution/errors.go`.
    pub(crate) fn during_pull(mut self, reference: &Reference) -> Self {
        let prefix = match self.code.as_deref() {
            Some("DENIED") => format!(
                "pull access denied for {}, repository does not exist or may require 'docker login'",
                reference.repository().familiar()
            ),
            Some("MANIFEST_UNKNOWN") => format!("manifest for {} not found", reference.familiar()),
            Some("NAME_UNKNOWN") => {
                format!("repository {} not found", reference.repository().familiar())
            }
            _ => return self,
        };
        self.kind = Kind::NotFound;
        self.message = format!("{prefix}: {}", self.message);
        self
    }

    /// Whether another mirror, or the registry itself, may know better.
    pub(crate) fn elsewhere_may_do(&self) -> bool {
        !matches!(self.kind, Kind::Cancelled | Kind::Internal)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<corten_store::Error> for Error {
    fn from(error: corten_store::Error) -> Self {
        let kind = match error.kind() {
            // Nothing that who asks a registry could do anything about.
            Kind::Conflict | Kind::NotModified => Kind::Internal,
            kind => kind,
        };
        let mut own = Self::new(kind, error.to_string());
        own.hint = error.hint().map(ToOwned::to_owned);
        own.with_source(error)
    }
}

/// `Get "http://host/v2/": cause`, as Go's HTTP client puts it.
pub(crate) fn request_failed(method: &Method, url: &str, cause: &str) -> Error {
    let verb = match method.as_str() {
        "HEAD" => "Head",
        "POST" => "Post",
        "PUT" => "Put",
        "PATCH" => "Patch",
        _ => "Get",
    };
    Error::new(Kind::Unavailable, format!("{verb} \"{url}\": {cause}"))
}

/// The system's reason as Go prints it: lower case, no number.
pub(crate) fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        return "i/o timeout".into();
    }
    corten_sys::fs::reason(error)
}

/// Why TLS was not agreed on, in Go's words where people know those.
pub(crate) fn tls_reason(error: &io::Error, host: &str) -> String {
    use rustls::CertificateError as Certificate;
    let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "EOF".into(),
            _ => reason(error),
        };
    };
    match tls {
        rustls::Error::InvalidMessage(_) => "http: server gave HTTP response to HTTPS client".into(),
        rustls::Error::InvalidCertificate(problem) => {
            let why = match problem {
                Certificate::UnknownIssuer | Certificate::BadSignature => {
                    "certificate signed by unknown authority".into()
                }
                Certificate::Expired
                | Certificate::ExpiredContext { .. }
                | Certificate::NotValidYet
                | Certificate::NotValidYetContext { .. } => "certificate has expired or is not yet valid".into(),
                Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                    format!("certificate is not valid for {host}")
                }
                other => other.to_string(),
            };
            format!("tls: failed to verify certificate: x509: {why}")
        }
        other => format!("tls: {other}"),
    }
}

/// Errors as registries send them: OCI distribution-spec, "Error Codes".
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    errors: Option<Vec<ReportEntry>>,
    /// What some front ends send instead.
    #[serde(default)]
    details: Option<String>,
}

#[derive(Deserialize)]
struct ReportEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

/// Reads a registry's refusal. `challenges` are those of its `WWW-Authenticate` headers.
pub(crate) fn refusal(status: StatusCode, challenges: &[Challenge], body: &[u8]) -> Error {
    if !status.is_client_error() {
        return unexpected(status);
    }
    if let Some(error) = challenges.iter().find_map(oauth_error) {
        return error;
    }
    match parse_report(status, body) {
        Ok((code, message)) => coded(status, &code, &message),
        Err(_) if status == StatusCode::UNAUTHORIZED => coded(status, "UNAUTHORIZED", ""),
        Err(_) if status == StatusCode::TOO_MANY_REQUESTS => coded(status, "TOOMANYREQUESTS", ""),
        Err(message) => Error::new(kind_of(status), message),
    }
}

/// RFC 6750, section 3.1: what a bearer challenge says about the token that was sent.
fn oauth_error(challenge: &Challenge) -> Option<Error> {
    let Challenge::Bearer(bearer) = challenge else {
        return None;
    };
    let description = bearer.error_description.as_deref().unwrap_or_default();
    match bearer.error.as_deref()? {
        "invalid_token" => Some(coded(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", description)),
        "insufficient_scope" => Some(coded(StatusCode::FORBIDDEN, "DENIED", description)),
        _ => None,
    }
}

fn parse_report(status: StatusCode, body: &[u8]) -> Result<(String, String), String> {
    let unreadable = |why: &str| {
        let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
        format!("error parsing HTTP {} response body: {why}: {text:?}", status.as_u16())
    };
    let report: Report = serde_json::from_slice(body).map_err(|e| unreadable(&e.to_string()))?;
    if let Some(details) = report.details {
        let code = match status {
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::FORBIDDEN => "DENIED",
            StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        };
        return Ok((code.into(), details));
    }
    match report.errors.into_iter().flatten().next() {
        Some(first) => Ok((first.code, first.message.unwrap_or_default())),
        None => Err(unreadable("no error details found in HTTP response body")),
    }
}

/// `manifest unknown: <message>`; an empty message stands for the code's usual one.
fn coded(status: StatusCode, code: &str, message: &str) -> Error {
    let usual = match code {
        "DENIED" => "requested access to the resource is denied",
        "UNAUTHORIZED" => "authentication required",
        "MANIFEST_UNKNOWN" => "manifest unknown",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "BLOB_UNKNOWN" => "blob unknown to registry",
        "TOOMANYREQUESTS" => "too many requests",
        "UNSUPPORTED" => "The operation is unsupported.",
        "" | "UNKNOWN" => "unknown error",
        _ => "",
    };
    let words = match code {
        "" => "unknown".to_owned(),
        code => code.to_lowercase().replace('_', " "),
    };
    let message = if message.is_empty() { usual } else { message };
    let message: String = message.chars().take(1000).collect();
    let kind = match code {
        "DENIED" => Kind::Forbidden,
        "UNAUTHORIZED" => Kind::Unauthorized,
        "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" => Kind::NotFound,
        "TOOMANYREQUESTS" => Kind::Unavailable,
        _ => kind_of(status),
    };
    let text = match message.as_str() {
        "" => words,
        message => format!("{words}: {message}"),
    };
    let mut error = Error::new(kind, text);
    error.code = Some(code.to_owned());
    error
}

/// A `HEAD` answer has no body to read the code from.
pub(crate) fn head_refusal(status: StatusCode, challenges: &[Challenge]) -> Error {
    match status {
        StatusCode::NOT_FOUND => coded(status, "MANIFEST_UNKNOWN", ""),
        StatusCode::FORBIDDEN => coded(status, "DENIED", ""),
        _ => refusal(status, challenges, b""),
    }
}

pub(crate) fn unexpected(status: StatusCode) -> Error {
    Error::new(
        kind_of(status),
        format!(
            "received unexpected HTTP status: {} {}",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        ),
    )
}

fn kind_of(status: StatusCode) -> Kind {
    match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Kind::Unavailable,
        status if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::parse_challenges;

    fn pull_error(status: u16, challenge: &str, body: &str) -> (Kind, String) {
        let status = StatusCode::from_u16(status).expect("status");
        let error = refusal(status, &parse_challenges(challenge), body.as_bytes())
            .during_pull(&"nosuch:1".parse().expect("reference"));
        (error.kind(), error.to_string())
    }

    #[test]
    fn refusals_are_in_dockers_words() {
        const UNKNOWN: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
        const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        const SCOPE: &str = r#"Bearer realm="https://auth.example/token",error="insufficient_scope""#;
        const NEEDED: &str = r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#;
        let access = "pull access denied for nosuch, repository does not exist or may require 'docker login': denied: requested access to the resource is denied";
        for (status, challenge, body, kind, text) in [
            (
                404,
                "",
                UNKNOWN,
                Kind::NotFound,
                "manifest for nosuch:1 not found: manifest unknown: manifest unknown",
            ),
            (403, "", DENIED, Kind::NotFound, access),
            (401, SCOPE, NEEDED, Kind::NotFound, access),
            (
                401,
                "Basic realm=\"x\"",
                NEEDED,
                Kind::Unauthorized,
                "unauthorized: authentication required",
            ),
            (401, "", "", Kind::Unauthorized, "unauthorized: authentication required"),
            (
                404,
                "",
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#,
                Kind::NotFound,
                "repository nosuch not found: name unknown: repository name not known to registry",
            ),
            (
                429,
                "",
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#,
                Kind::Unavailable,
                "toomanyrequests: slow down",
            ),
            (
                500,
                "",
                "oops",
                Kind::Unavailable,
                "received unexpected HTTP status: 500 Internal Server Error",
            ),
            (
                404,
                "",
                "{}",
                Kind::NotFound,
                "error parsing HTTP 404 response body: no error details found in HTTP response body: \"{}\"",
            ),
        ] {
            assert_eq!(
                pull_error(status, challenge, body),
                (kind, text.to_owned()),
                "{status} {body}"
            );
        }
    }
}
