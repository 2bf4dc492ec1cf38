//! The builder's errors as BuildKit's: a status whose details say where in the Dockerfile it happened.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_build::{Error, Kind};
use serde_json::json;

use crate::{
    grpc::{Code, Status},
    proto::parts::Any,
};

/// The Dockerfile that an error is shown in.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    /// Its name, for people.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// A status as the builder's error.
pub(crate) fn build_error(status: &Status) -> Error {
    let kind = match status.code {
        Code::Cancelled => Kind::Cancelled,
        Code::NotFound => Kind::NotFound,
        Code::InvalidArgument => Kind::Invalid,
        Code::Unimplemented => Kind::Unsupported,
        _ => Kind::Internal,
    };
    Error::new(kind, status.message.clone())
}

/// The builder's error as a status.
pub(crate) fn status(error: &Error, file: &File) -> Status {
    // Clients put other codes before the message.
    let code = match error.kind() {
        Kind::Cancelled => Code::Cancelled,
        _ => Code::Unknown,
    };
    let mut status = Status::new(code, error.told());
    if let Some(lines) = error.lines() {
        let source = json!({
            "info": {"filename": file.name, "data": STANDARD.encode(&file.bytes), "language": "Dockerfile"},
            "ranges": [{"start": {"line": lines.first}, "end": {"line": lines.last}}],
        });
        status.details.push(detail("errdefs.Source", &source));
    }
    if let Some(failure) = error.failure() {
        status
            .details
            .push(detail("gatewayapi.ExitMessage", &json!({"Code": failure.code})));
    }
    status
}

fn detail(name: &str, value: &serde_json::Value) -> Any {
    Any {
        type_url: format!("github.com/moby/buildkit/{name}+json"),
        value: value.to_string().into_bytes(),
    }
}
