//! The builder's error.

use std::fmt;

use corten_dockerfile::Lines;
pub use corten_sys::failure::Kind;

/// Why a build failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    lines: Option<Lines>,
    failure: Option<Failure>,
    of_step: bool,
    /// The sentence in BuildKit's words, when those are others.
    told: Option<String>,
}

/// A command of the build that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The command line.
    pub command: String,
    /// Its exit code.
    pub code: i32,
}

/// What the builder's functions give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind with its message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            lines: None,
            failure: None,
            of_step: false,
            told: None,
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// A command that ended badly.
    pub(crate) fn failed(command: String, code: i32) -> Self {
        Self {
            kind: Kind::Invalid,
            message: format!("The command '{command}' returned a non-zero code: {code}"),
            lines: None,
            failure: Some(Failure { command, code }),
            of_step: true,
            told: None,
        }
    }

    /// An error that BuildKit tells in other words than the classic builder.
    pub(crate) fn in_other_words(mut self, told: impl Into<String>) -> Self {
        self.told = Some(told.into());
        self
    }

    /// Nobody wants the result any more.
    pub(crate) fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "the build was cancelled")
    }

    /// Says where in the Dockerfile; an error that knows keeps it.
    #[must_use]
    pub(crate) fn at(mut self, lines: Lines) -> Self {
        self.lines.get_or_insert(lines);
        self
    }

    /// Says that it happened while a step was being done.
    #[must_use]
    pub(crate) fn of_step(mut self, lines: Lines) -> Self {
        self.of_step = true;
        self.at(lines)
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where in the Dockerfile it is.
    #[must_use]
    pub fn lines(&self) -> Option<Lines> {
        self.lines
    }

    /// Whether it happened while a step was being done, and not before all of them.
    #[must_use]
    pub fn is_of_step(&self) -> bool {
        self.of_step
    }

    /// The sentence as BuildKit tells it of a vertex.
    #[must_use]
    pub fn told(&self) -> String {
        match &self.failure {
            Some(failure) => format!(
                "process {:?} did not complete successfully: exit code: {}",
                failure.command, failure.code
            ),
            None => self.told.clone().unwrap_or_else(|| self.message.clone()),
        }
    }

    /// The command that failed, if that is what happened.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<corten_store::Error> for Error {
    fn from(error: corten_store::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<corten_dockerfile::Error> for Error {
    fn from(error: corten_dockerfile::Error) -> Self {
        Self {
            kind: Kind::Invalid,
            message: error.to_string(),
            lines: error.lines(),
            failure: None,
            of_step: false,
            told: None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::internal(corten_sys::fs::reason(&errno.into()))
    }
}
