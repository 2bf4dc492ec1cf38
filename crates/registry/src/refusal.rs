//! Refusals: the error codes of OCI distribution-spec 1.1, "Error Codes", as answers.

use std::io;

use corten_sys::fs;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// A kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    // Beyond the specification's list, as distribution has them.
    TagInvalid,
    PaginationNumberInvalid,
    RangeInvalid,
    Unavailable,
    Unknown,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown | Self::BlobUploadUnknown | Self::ManifestUnknown | Self::NameUnknown => {
                StatusCode::NOT_FOUND
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::RangeInvalid => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// One error for each, where several things are wrong.
    details: Vec<Value>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The outcome of what may be refused.
pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    /// A refusal with the status that its code has.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// With another status.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With a further detail.
    pub(crate) fn detail(mut self, detail: Value) -> Self {
        self.details.push(detail);
        self
    }

    /// With a header; one whose value HTTP does not allow is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers
            .extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The document that says so.
    pub(crate) fn body(&self) -> Vec<u8> {
        let error = |detail: Option<&Value>| {
            let mut error = json!({"code": self.code.text(), "message": self.message});
            if let (Some(detail), Some(fields)) = (detail, error.as_object_mut()) {
                fields.insert("detail".to_owned(), detail.clone());
            }
            error
        };
        let errors: Vec<Value> = match self.details.as_slice() {
            [] => vec![error(None)],
            details => details.iter().map(|detail| error(Some(detail))).collect(),
        };
        let mut body = json!({ "errors": errors }).to_string().into_bytes();
        body.push(b'\n');
        body
    }
}

impl From<io::Error> for Refusal {
    /// What the disk refuses is our trouble, and logged as such; the client learns no paths.
    fn from(error: io::Error) -> Self {
        if fs::raw_os_error(&error).is_some_and(is_full) {
            tracing::error!(%error, "the disk is full");
            return Self::new(Code::Denied, "the registry's storage is full").status(StatusCode::INSUFFICIENT_STORAGE);
        }
        tracing::error!(%error, "the storage failed");
        Self::new(Code::Unknown, "the registry's storage failed")
    }
}

fn is_full(errno: i32) -> bool {
    [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT]
        .iter()
        .any(|full| full.raw_os_error() == errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_the_specification_s() {
        let refusal = Refusal::new(Code::ManifestBlobUnknown, "not there")
            .detail(json!({"digest": "a"}))
            .detail(json!({"digest": "b"}));
        let body: Value = serde_json::from_slice(&refusal.body()).expect("JSON");
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(2));
        assert_eq!(body["errors"][1]["code"], "MANIFEST_BLOB_UNKNOWN");
        assert_eq!(body["errors"][1]["detail"]["digest"], "b");
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        let full = Refusal::from(io::Error::from_raw_os_error(28));
        assert_eq!(full.status, StatusCode::INSUFFICIENT_STORAGE);
    }
}
