//! What failed, put in front of the kernel's reason.

use std::io;

use corten_sys::fs::reason;
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};

/// Turns a system call's error into the crate's.
pub(crate) trait Context<T> {
    /// Says what was being done; the kernel's reason follows after a colon.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(Kind::Internal, format!("{}: {}", what(), reason(&error))))
    }
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(io::Error::from).context(what)
    }
}

/// Makes an error for a configuration that cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, message)
}
