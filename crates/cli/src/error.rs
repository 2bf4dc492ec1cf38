//! How a command fails: an exit status and what to say.

use std::fmt;

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// The exit status.
    pub(crate) status: u8,
    /// What to write to standard error; nothing when empty.
    pub(crate) message: String,
    /// Whether the object does not exist.
    pub(crate) not_found: bool,
}

impl Error {
    /// A failure with status 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_status(1, message)
    }

    /// A failure with this status.
    pub(crate) fn with_status(status: u8, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            not_found: false,
        }
    }

    /// Ends with this status and says nothing more.
    pub(crate) fn silent(status: u8) -> Self {
        Self::with_status(status, "")
    }

    /// One error of several: their texts, a line each.
    pub(crate) fn all(errors: Vec<Error>) -> Result<()> {
        if errors.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = errors.into_iter().map(|e| e.message).collect();
        Err(Self::new(lines.join("\n")))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<corten_client::Error> for Error {
    fn from(error: corten_client::Error) -> Self {
        Self {
            not_found: error.is_not_found(),
            ..Self::new(error.to_string())
        }
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// An error about a file in the words that Go programs use: `open name: no such file or directory`.
pub(crate) fn file_error(verb: &str, path: &str, error: &std::io::Error) -> String {
    format!("{verb} {path}: {}", reason(error))
}

/// Why an operation failed, without the path.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match corten_sys::fs::raw_os_error(error) {
        Some(code) => corten_sys::fs::reason(&std::io::Error::from_raw_os_error(code)),
        None => corten_sys::fs::reason(error),
    }
}
