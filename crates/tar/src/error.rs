//! Errors: those of `std::io`, with `InvalidData` for what is no tar and `UnexpectedEof` for one that is cut.

use std::io;

/// The crate's result.
pub(crate) type Result<T, E = io::Error> = std::result::Result<T, E>;

/// What is no tar.
pub(crate) fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
