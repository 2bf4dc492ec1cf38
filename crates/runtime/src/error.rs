//! What can go wrong in the runtime.

use std::fmt;

/// The runtime's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Classes of errors, on which callers act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What was named isn't there.
    NotFound,
    /// The configuration or the request asks for something that cannot be.
    Invalid,
    /// It is there already, or not in the state it must be in.
    Conflict,
    /// The kernel, or this build, lacks what is asked.
    Unsupported,
    /// The kernel doesn't let us.
    Forbidden,
    /// The program was not found in the container (exit code 127).
    CommandNotFound,
    /// The program was found and cannot be executed (exit code 126).
    CommandNotExecutable,
    /// Anything else.
    Internal,
}

/// What failed, on which object, and why.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    hint: Option<String>,
}

impl Error {
    /// Makes an error of a message without its end.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hint: None,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the class.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what the user can do, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the message and those of its causes, joined by `: `.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
