//! Classes of failure, which every crate's error has one of.

/// What class of failure an error is: what a caller can do about it, and which status the API answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The named object does not exist, or is hidden from who asks.
    NotFound,
    /// What was asked, or what came from outside, is wrong in itself: asking again changes nothing.
    Invalid,
    /// The object's state, or another object, is in the way.
    Conflict,
    /// It is so already.
    NotModified,
    /// A policy forbids it.
    Forbidden,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// Something that is needed cannot be reached or is used up; later may do.
    Unavailable,
    /// This system, or this version, cannot do it.
    Unsupported,
    /// Nobody waits for it any more.
    Cancelled,
    /// Everything else: the system failed us, or an invariant is broken.
    Internal,
}
