//! What is wrong with a Dockerfile, and where.

use std::fmt;

/// The lines something stands on, counted from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lines {
    /// The first.
    pub first: usize,
    /// The last.
    pub last: usize,
}

/// Why a Dockerfile is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    lines: Option<Lines>,
    parsing: bool,
}

/// What parsing gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of which the place is not known yet, or of the file as a whole.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            lines: None,
            parsing: false,
        }
    }

    /// Says where, for an error in the syntax; one that knows its place keeps it.
    pub(crate) fn in_syntax(mut self, lines: Lines) -> Self {
        if self.lines.is_none() {
            self.lines = Some(lines);
            self.parsing = true;
        }
        self
    }

    /// Says where, for an error in the meaning.
    #[must_use]
    pub fn at(mut self, lines: Lines) -> Self {
        self.lines.get_or_insert(lines);
        self
    }

    /// Where it is, if it is anywhere in particular.
    #[must_use]
    pub fn lines(&self) -> Option<Lines> {
        self.lines
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines {
            Some(lines) if self.parsing => {
                write!(f, "dockerfile parse error on line {}: {}", lines.first, self.message)
            }
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}
