//! `/exec`.

use corten_api::exec::ExecStart;
use corten_engine::{Engine, containers::ExecSession};
use http::StatusCode;

use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::ApiResult,
    hijack,
};

/// `POST /exec/{id}/start`.
pub(crate) async fn start(engine: &Engine, id: &str, call: Call) -> ApiResult<Answer> {
    let Call {
        version,
        headers,
        body,
        upgrade,
        ..
    } = call;
    let start: ExecStart = body::read_json_or_default(&headers, body).await?;
    let as_tty = start.tty;
    match engine.containers().exec_start(id, start).await? {
        ExecSession::Detached => Ok(body::empty(StatusCode::OK)),
        ExecSession::Attached(target) => {
            // What the client expects decides, whatever the process has.
            let form = hijack::Form::expected(&target, as_tty);
            hijack::connect(*target, form, version, upgrade, None)
        }
    }
}

/// `POST /exec/{id}/resize`.
pub(crate) async fn resize(engine: &Engine, id: &str, call: &Call) -> ApiResult<Answer> {
    let (rows, columns) = super::containers::size(call)?;
    engine.containers().exec_resize(id, rows, columns).await?;
    Ok(body::empty(StatusCode::OK))
}

/// `GET /exec/{id}/json`.
pub(crate) async fn inspect(engine: &Engine, id: &str) -> ApiResult<Answer> {
    body::json(&engine.containers().exec_inspect(id).await?)
}
