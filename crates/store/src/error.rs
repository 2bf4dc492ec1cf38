//! The store's error.

use std::fmt;

pub use corten_sys::failure::Kind;
use std::io;

/// What failed, on which object and why.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind with its message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Says on what, keeping the kind: `message: what this error said`.
    #[must_use]
    pub(crate) fn context(mut self, message: impl fmt::Display) -> Self {
        self.message = format!("{message}: {}", self.message);
        self
    }

    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<io::Error> for Error {
    /// An input that ends too early is the input's fault and said in Docker's words; an error of
    /// ours that went through `io` comes out as it went in; the rest is the system's.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::invalid("unexpected EOF"),
            io::ErrorKind::InvalidData => Self::invalid(error.to_string()),
            _ if error.get_ref().is_some_and(|inner| inner.is::<Self>()) => match error.downcast::<Self>() {
                Ok(own) => own,
                Err(other) => Self::internal(other.to_string()),
            },
            _ => Self::internal(corten_sys::fs::reason(&error)),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::NotFound => io::ErrorKind::NotFound,
            Kind::Unsupported => io::ErrorKind::Unsupported,
            Kind::Invalid
            | Kind::Conflict
            | Kind::NotModified
            | Kind::Forbidden
            | Kind::Unauthorized
            | Kind::Unavailable
            | Kind::Cancelled
            | Kind::Internal => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::from(io::Error::from(errno))
    }
}

impl From<corten_oci::image::DocumentError> for Error {
    fn from(error: corten_oci::image::DocumentError) -> Self {
        Self::invalid(error.to_string())
    }
}
