//! `/session` and `/grpc`: connections that go on as HTTP/2, for BuildKit's protocol.

use corten_buildkit::BuildKit;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// The protocol that connections go on with.
const H2C: &str = "h2c";

/// `POST /session`.
pub(crate) fn session(buildkit: &BuildKit, call: Call) -> ApiResult<Answer> {
    let upgrade = upgrade(&call.headers, call.upgrade)?;
    let (buildkit, headers) = (buildkit.clone(), call.headers);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => buildkit.session(&headers, TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a client left before its session began"),
        }
    });
    Ok(switching())
}

/// `POST /grpc`.
pub(crate) fn grpc(buildkit: &BuildKit, call: Call) -> ApiResult<Answer> {
    let upgrade = upgrade(&call.headers, call.upgrade)?;
    let buildkit = buildkit.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => buildkit.serve(TokioIo::new(upgraded)).await,
            Err(error) => tracing::debug!(%error, "a client left before it called"),
        }
    });
    Ok(switching())
}

fn upgrade(headers: &HeaderMap, upgrade: Option<OnUpgrade>) -> ApiResult<OnUpgrade> {
    let protocol = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    match (protocol, upgrade) {
        (Some(H2C), Some(upgrade)) => Ok(upgrade),
        (Some(other), _) if other != H2C => Err(ApiError::invalid(format!("protocol {other} not supported"))),
        _ => Err(ApiError::invalid("no upgrade proto in request")),
    }
}

fn switching() -> Answer {
    let mut answer = body::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(H2C));
    answer
}
