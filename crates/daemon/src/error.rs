//! What a failed request is answered with: a status and `{"message":…}`.

use corten_engine::error::{Error, Kind};
use http::StatusCode;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// The status.
    pub(crate) status: StatusCode,
    /// The sentence.
    pub(crate) message: String,
    /// How it is written.
    pub(crate) form: Form,
}

/// How a sentence is written into an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a JSON document.
    Json,
    /// Bare, as to clients that are too old for JSON.
    Text,
    /// Bare, in the type of a stream that did not come about.
    Stream,
}

/// The result of a route.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error with a status.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            form: Form::Json,
        }
    }

    /// 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 500, for what dockerd passes on as it is, from parsers mostly.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 501, for what Docker has and this engine has not.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("{what} is not supported by this engine"),
        )
    }

    /// The same, written bare.
    pub(crate) fn in_text(mut self) -> Self {
        self.form = Form::Text;
        self
    }

    /// The same, as the end of a stream.
    pub(crate) fn in_stream(mut self) -> Self {
        self.form = Form::Stream;
        self
    }

    /// 404 for paths that the API does not have.
    pub(crate) fn no_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = status(error.kind());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = error.report(), "a request failed");
        }
        Self::new(status, error.report())
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot write the answer: {error}"),
        )
    }
}

/// The status of a class of errors (moby `daemon/server/httpstatus`).
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Cancelled | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_docker_s_statuses() {
        let case = |kind, expected: u16| assert_eq!(ApiError::from(Error::new(kind, "x")).status, expected);
        case(Kind::NotFound, 404);
        case(Kind::Invalid, 400);
        case(Kind::Conflict, 409);
        case(Kind::NotModified, 304);
        case(Kind::Forbidden, 403);
        case(Kind::Unauthorized, 401);
        case(Kind::Unavailable, 503);
        case(Kind::Unsupported, 501);
        case(Kind::Internal, 500);
    }
}
