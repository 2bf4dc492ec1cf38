//! What can go wrong between a client and an engine, in the words that Docker's clients use.

use std::fmt;

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The object does not exist (404).
    NotFound,
    /// The request makes no sense (400).
    Invalid,
    /// The object's state forbids it (409).
    Conflict,
    /// The user may not (403).
    Forbidden,
    /// Who the user is must be shown first (401).
    Unauthorized,
    /// The engine cannot be reached, or not now (503).
    Unavailable,
    /// The engine cannot do it (501).
    Unsupported,
    /// Anything else.
    Internal,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    /// An error with the whole text for the user.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// The engine's own answer to a call.
    pub(crate) fn answer(status: u16, body: &[u8], route: &str) -> Self {
        let kind = match status {
            400 => Kind::Invalid,
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            409 => Kind::Conflict,
            501 => Kind::Unsupported,
            503 => Kind::Unavailable,
            _ => Kind::Internal,
        };
        let text = match corten_api::decode::<corten_api::ErrorBody>(body) {
            Ok(body) => body.message,
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        };
        let text = text.trim();
        if text.is_empty() {
            return Self::new(
                kind,
                format!(
                    "request returned {status} for API route and version {route}, check if the server supports the requested API version"
                ),
            );
        }
        Self::new(kind, format!("Error response from daemon: {text}"))
    }

    /// The engine cannot be reached.
    pub(crate) fn connect(endpoint: &str, source: &std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::PermissionDenied {
            return Self::new(
                Kind::Unavailable,
                format!("permission denied while trying to connect to the docker API at {endpoint}"),
            );
        }
        Self::new(
            Kind::Unavailable,
            format!("Cannot connect to the Docker daemon at {endpoint}. Is the docker daemon running?"),
        )
    }

    /// The connection broke, or what came was no HTTP.
    pub(crate) fn transport(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        // The innermost error says what happened; those around it say where in the library.
        let mut inner: &dyn std::error::Error = source.as_ref();
        while let Some(next) = inner.source() {
            inner = next;
        }
        Self::new(
            Kind::Unavailable,
            format!("error during connect: the connection to the engine broke: {inner}"),
        )
    }

    /// An answer of another shape than the API's.
    pub(crate) fn shape(route: &str, source: impl fmt::Display) -> Self {
        Self::new(
            Kind::Internal,
            format!("cannot read the engine's answer to {route}: {source}"),
        )
    }

    /// The newest version that the engine speaks, when it refused ours as too new.
    pub(crate) fn supported_version(&self) -> Option<String> {
        let (_, rest) = self
            .message
            .split_once("is too new. Maximum supported API version is ")?;
        let version: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        (!version.is_empty()).then_some(version)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_answers() {
        let check = |status, body: &str, kind, text: &str| {
            let error = Error::answer(status, body.as_bytes(), "/x");
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        };
        check(
            404,
            r#"{"message":"No such container: a"}"#,
            Kind::NotFound,
            "Error response from daemon: No such container: a",
        );
        check(500, "plain\n", Kind::Internal, "Error response from daemon: plain");
        let error = Error::answer(
            400,
            br#"{"message":"client version 1.51 is too new. Maximum supported API version is 1.43"}"#,
            "",
        );
        assert_eq!(error.supported_version().as_deref(), Some("1.43"));
    }
}
