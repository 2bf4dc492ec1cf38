//! A container's files: `POST /commit`, and copies from and to it.

use base64::Engine as _;
use corten_api::{container::Config, time::Time};
use corten_engine::{
    Engine, PathStat,
    containers::{CommitRequest, ExtractOptions},
    pipe,
};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

use crate::{
    body::{self, Answer},
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// `POST /commit`.
pub(crate) async fn commit(engine: &Engine, call: Call) -> ApiResult<Answer> {
    /// The answer.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Committed {
        id: String,
    }
    let config: Option<Config> = body::read_json_or_default(&call.headers, call.body).await?;
    let request = CommitRequest {
        repository: call.query.text("repo").to_owned(),
        tag: call.query.text("tag").to_owned(),
        author: call.query.text("author").to_owned(),
        comment: call.query.text("comment").to_owned(),
        pause: call.query.given("pause").is_none() || call.query.switch("pause"),
        changes: call.query.all("changes").to_vec(),
        config,
    };
    let id = engine
        .containers()
        .commit(call.query.text("container"), request)
        .await?;
    body::json_with(StatusCode::CREATED, &Committed { id })
}

/// `GET`, `HEAD` and `PUT /containers/{id}/archive`.
pub(crate) async fn archive(engine: &Engine, name: &str, call: Call, method: &Method) -> ApiResult<Answer> {
    let path = call.query.text("path").to_owned();
    if *method == Method::PUT {
        return unpack(engine, name, &path, call).await;
    }
    if *method == Method::HEAD {
        let stat = engine.containers().path_stat(name, &path).await?;
        return with_stat(body::empty(StatusCode::OK), &stat);
    }
    let (stat, pieces) = engine.containers().pack(name, &path).await?;
    with_stat(body::typed("application/x-tar", body::received(pieces)), &stat)
}

async fn unpack(engine: &Engine, name: &str, path: &str, call: Call) -> ApiResult<Answer> {
    let options = ExtractOptions {
        keep_kinds: call.query.switch("noOverwriteDirNonDir"),
        users_own: call.query.switch("copyUIDGID"),
    };
    let (sender, input) = pipe::Reader::new();
    let pumping = body::pump_and_drain(call.body, sender);
    let (unpacked, ()) = tokio::join!(engine.containers().unpack(name, path, options, input), pumping);
    unpacked?;
    Ok(body::empty(StatusCode::OK))
}

/// Says in a header what is at a path (Docker API, `X-Docker-Container-Path-Stat`).
fn with_stat(mut answer: Answer, stat: &PathStat) -> ApiResult<Answer> {
    /// The header's document.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Told<'a> {
        name: &'a str,
        size: i64,
        mode: u32,
        mtime: Time,
        link_target: &'a str,
    }
    let (seconds, nanoseconds) = stat.modified;
    let nanoseconds = seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.into());
    let document = serde_json::to_vec(&Told {
        name: &stat.name,
        size: stat.size,
        mode: go_mode(stat.mode),
        mtime: Time::from_nanoseconds(nanoseconds),
        link_target: &stat.link_target,
    })?;
    let text = base64::engine::general_purpose::STANDARD.encode(document);
    let value = HeaderValue::from_str(&text).map_err(|error| ApiError::invalid(error.to_string()))?;
    answer.headers_mut().insert("x-docker-container-path-stat", value);
    Ok(answer)
}

/// A mode as Go's `os.FileMode` has it.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        0o020_000 => (1 << 26) | (1 << 21),
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special
        .iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(0, |all, (_, go)| all | go);
    kind | special | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::go_mode;

    #[test]
    fn modes_are_told_as_go_has_them() {
        for (mode, expected) in [
            (0o100_644, 0o644),
            (0o040_755, 0x8000_01ed),
            (0o120_777, 0x0800_01ff),
            (0o041_777, 0x8010_01ff),
            (0o104_755, 0x0080_01ed),
            (0o020_620, 0x0420_0190),
        ] {
            assert_eq!(go_mode(mode), expected, "{mode:o}");
        }
    }
}
