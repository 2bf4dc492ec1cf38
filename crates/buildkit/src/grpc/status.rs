//! How a call ended.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use prost::Message as _;

use crate::proto::parts::{Any, RpcStatus};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The most bytes of a message in a header; the whole is in the details.
const LONGEST: usize = 4096;
/// The most bytes of details: a client refuses larger heads.
const DETAILED: usize = 10 << 10;

/// What is not written as itself in `grpc-message`.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// A status's number (grpc.io, "Status codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// All is well.
    Ok = 0,
    /// Whoever called has given up.
    Cancelled = 1,
    /// Anything else.
    Unknown = 2,
    /// The request makes no sense.
    InvalidArgument = 3,
    /// It took too long.
    DeadlineExceeded = 4,
    /// There is no such thing.
    NotFound = 5,
    /// It is there already.
    AlreadyExists = 6,
    /// It is not allowed.
    PermissionDenied = 7,
    /// Something that was needed is not so.
    FailedPrecondition = 9,
    /// There is no such method, or it cannot do this.
    Unimplemented = 12,
    /// An error of ours.
    Internal = 13,
    /// The other side is not there.
    Unavailable = 14,
    /// Credentials are missing or wrong.
    Unauthenticated = 16,
}

impl Code {
    fn of(number: i32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Cancelled,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            9 => Self::FailedPrecondition,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            16 => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// The number.
    pub(crate) fn number(self) -> i32 {
        self as i32
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Status {
    /// The sort of failure.
    pub(crate) code: Code,
    /// What people read.
    pub(crate) message: String,
    /// What programs read.
    pub(crate) details: Vec<Any>,
}

impl Status {
    /// A status without details.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// What there is no method for, or what it cannot do.
    pub(crate) fn unimplemented(message: impl Into<String>) -> Self {
        Self::new(Code::Unimplemented, message)
    }

    /// What makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// What is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// A failure that has no better name.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message)
    }

    /// As the message that carries it.
    pub(crate) fn to_rpc(&self) -> RpcStatus {
        RpcStatus {
            code: self.code.number(),
            message: self.message.clone(),
            details: self.details.clone(),
        }
    }

    /// From the message that carries it.
    pub(crate) fn from_rpc(status: RpcStatus) -> Self {
        Self {
            code: Code::of(status.code),
            message: status.message,
            details: status.details,
        }
    }

    /// The trailers of a call that ended so.
    pub(crate) fn trailers(result: &Result<(), Self>) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        let Err(status) = result else {
            trailers.insert(STATUS, HeaderValue::from_static("0"));
            return trailers;
        };
        trailers.insert(STATUS, HeaderValue::from(status.code.number()));
        let escaped = utf8_percent_encode(&status.message, ESCAPED).to_string();
        let escaped = escaped.get(..LONGEST).unwrap_or(&escaped);
        if let Ok(value) = HeaderValue::from_str(escaped) {
            trailers.insert(MESSAGE, value);
        }
        let whole = status.to_rpc().encode_to_vec();
        if !status.details.is_empty() && whole.len() <= DETAILED {
            let encoded = STANDARD_NO_PAD.encode(whole);
            if let Ok(value) = HeaderValue::from_str(&encoded) {
                trailers.insert(DETAILS, value);
            }
        }
        trailers
    }

    /// What trailers, or the head of an answer without messages, say.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Result<(), Self>> {
        let number: i32 = headers.get(STATUS)?.to_str().ok()?.parse().ok()?;
        if number == 0 {
            return Some(Ok(()));
        }
        let details = headers.get(DETAILS).and_then(|value| {
            let text = value.to_str().ok()?.trim_end_matches('=');
            RpcStatus::decode(STANDARD_NO_PAD.decode(text).ok()?.as_slice()).ok()
        });
        if let Some(status) = details {
            return Some(Err(Self::from_rpc(status)));
        }
        let message = headers.get(MESSAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let message = percent_decode_str(message).decode_utf8_lossy().into_owned();
        Some(Err(Self::new(Code::of(number), message)))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl From<h2::Error> for Status {
    fn from(error: h2::Error) -> Self {
        let code = match error.reason() {
            Some(h2::Reason::CANCEL) => Code::Cancelled,
            _ => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<prost::DecodeError> for Status {
    fn from(error: prost::DecodeError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<std::io::Error> for Status {
    fn from(error: std::io::Error) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_hold_a_status() {
        let mut status = Status::not_found("no \u{fc} 100% of\nit");
        assert_eq!(Status::read(&Status::trailers(&Ok(()))), Some(Ok(())));
        assert_eq!(
            Status::read(&Status::trailers(&Err(status.clone()))),
            Some(Err(status.clone()))
        );
        status.details.push(Any {
            type_url: "a/b".into(),
            value: b"{}".to_vec(),
        });
        assert_eq!(Status::read(&Status::trailers(&Err(status.clone()))), Some(Err(status)));
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }
}
