//! The crate's error: a kind for programs, one message for people, the cause and a way out.

use std::fmt;

pub use corten_sys::failure::Kind;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure: what failed, on which object, and why.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error without a cause.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// Makes an error from a refused system call, choosing the kind by its number.
    pub fn from_io(message: impl Into<String>, source: std::io::Error) -> Self {
        let kind = match corten_sys::fs::raw_os_error(&source) {
            Some(1 | 13) => Kind::Forbidden,
            Some(2 | 3 | 19) => Kind::NotFound,
            Some(17 | 98) => Kind::Conflict,
            Some(95 | 93 | 97) => Kind::Unsupported,
            _ => Kind::Internal,
        };
        Self::new(kind, message).because(source)
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds advice for the reader.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the class of failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the message without its cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the advice, if there is any.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the number of the system call's refusal that lies beneath, if one does.
    pub(crate) fn errno(&self) -> Option<i32> {
        let source = self.source.as_deref()?;
        corten_sys::fs::raw_os_error(source.downcast_ref::<std::io::Error>()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_errno() {
        let error = |number| Error::from_io("x", std::io::Error::from_raw_os_error(number));
        assert_eq!(error(1).kind(), Kind::Forbidden);
        assert_eq!(error(98).kind(), Kind::Conflict);
        assert_eq!(error(22).kind(), Kind::Internal);
        assert_eq!(error(22).errno(), Some(22));
    }
}
