//! `/containers`.

use std::{io, time::Duration};

use corten_api::{
    container::{CreateRequest, Top, UpdateRequest},
    exec::ExecConfig,
};
use corten_engine::{
    Engine,
    containers::{AttachRequest, ListRequest, LogsRequest, RemoveOptions, Samples, TakeOver, WaitCondition},
};
use futures_util::stream;
use http::StatusCode;
use serde::Serialize;

use super::system::time;
use crate::{
    body::{self, Answer},
    compat,
    dispatch::Call,
    error::{ApiError, ApiResult},
    hijack,
    router::ContainerCall,
    websocket,
};

/// `GET /containers/json`.
pub(crate) async fn list(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let mut filters = call.query.filters()?;
    for name in ["since", "before"] {
        if let Some(container) = call.query.given(name) {
            // From before API 1.24.
            filters.add(name, container);
        }
    }
    let limit = call
        .query
        .number::<i64>("limit")?
        .and_then(|limit| usize::try_from(limit).ok())
        .filter(|limit| *limit > 0);
    let request = ListRequest {
        all: call.query.switch("all"),
        limit,
        size: call.query.switch("size"),
        filters,
    };
    let containers = engine.containers().list(request).await?;
    compat::answer(call.version, &containers, compat::containers::LIST)
}

/// `POST /containers/create`.
pub(crate) async fn create(engine: &Engine, call: Call) -> ApiResult<Answer> {
    let mut request: CreateRequest = body::read_json(&call.headers, call.body).await?;
    compat::containers::create(call.version, &mut request);
    let platform = call.query.given("platform").filter(|_| !call.version.before(41));
    let created = engine
        .containers()
        .create(call.query.given("name"), platform, request)
        .await?;
    body::json_with(StatusCode::CREATED, &created)
}

/// `POST /containers/prune`.
pub(crate) async fn prune(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    body::json(&engine.containers().prune(&call.query.filters()?).await?)
}

/// `DELETE /containers/{id}`.
pub(crate) async fn remove(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let options = RemoveOptions {
        force: call.query.switch("force"),
        volumes: call.query.switch("v"),
        link: call.query.switch("link"),
    };
    engine.containers().remove(name, options).await?;
    Ok(body::empty(StatusCode::NO_CONTENT))
}

/// Everything that is asked of one container.
pub(crate) async fn call(engine: &Engine, name: &str, what: ContainerCall, call: Call) -> ApiResult<Answer> {
    let containers = engine.containers();
    let done = || Ok(body::empty(StatusCode::NO_CONTENT));
    match what {
        ContainerCall::Inspect => {
            let inspect = containers.inspect(name, call.query.switch("size")).await?;
            compat::answer(call.version, &inspect, compat::containers::ONE)
        }
        ContainerCall::Top => {
            let arguments = call.query.given("ps_args").unwrap_or("-ef");
            let top: Top = containers.top(name, arguments).await?;
            body::json(&top)
        }
        ContainerCall::Logs => logs(engine, name, &call).await,
        ContainerCall::Start => {
            refuse_host_config(&call)?;
            if !call.query.text("checkpoint").is_empty() {
                return Err(refuse_checkpoint(engine));
            }
            containers.start(name).await?;
            done()
        }
        ContainerCall::Stop => {
            let (signal, timeout) = stopping(&call)?;
            containers.stop(name, signal, timeout).await?;
            done()
        }
        ContainerCall::Restart => {
            let (signal, timeout) = stopping(&call)?;
            containers.restart(name, signal, timeout).await?;
            done()
        }
        ContainerCall::Kill => {
            containers.kill(name, call.query.given("signal")).await?;
            done()
        }
        ContainerCall::Pause => {
            containers.pause(name).await?;
            done()
        }
        ContainerCall::Unpause => {
            containers.unpause(name).await?;
            done()
        }
        ContainerCall::Rename => {
            containers.rename(name, call.query.text("name")).await?;
            done()
        }
        ContainerCall::TakeOver => {
            containers.take_over(name, take_over(&call)?).await?;
            done()
        }
        ContainerCall::Resize => {
            let (rows, columns) = size(&call)?;
            containers.resize(name, rows, columns).await?;
            Ok(body::empty(StatusCode::OK))
        }
        ContainerCall::Attach => attach(engine, name, call),
        ContainerCall::AttachWebsocket => attach_websocket(engine, name, call),
        ContainerCall::Wait => wait(engine, name, &call),
        ContainerCall::Exec => exec_create(engine, name, call).await,
        ContainerCall::Changes => {
            let changes = containers.changes(name).await?;
            // Go writes a list that was never begun as null.
            body::json(&(!changes.is_empty()).then_some(changes))
        }
        ContainerCall::Export => {
            let pieces = containers.export(name).await?;
            Ok(body::typed("application/octet-stream", body::received(pieces)))
        }
        ContainerCall::Stats => stats(engine, name, &call),
        ContainerCall::Update => {
            let request: UpdateRequest = body::read_json_or_default(&call.headers, call.body).await?;
            body::json(&containers.update(name, request).await?)
        }
    }
}

/// Documents of one line each, one in a second unless it is one only.
fn stats(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let samples = match (
        call.query.given("stream").is_none_or(|_| call.query.switch("stream")),
        call.query.switch("one-shot"),
    ) {
        (true, true) => return Err(ApiError::invalid("cannot have stream=true and one-shot=true")),
        (true, false) => Samples::Stream,
        (false, true) => Samples::Now,
        (false, false) => Samples::One,
    };
    let documents = stream::unfold(engine.containers().stats(name, samples)?, |mut documents| async move {
        let document = documents
            .recv()
            .await?
            .map_err(|error| io::Error::other(error.report()));
        let line = document.and_then(|document| body::line(&document).map_err(|error| io::Error::other(error.message)));
        Some((line.map(Into::into), documents))
    });
    Ok(body::typed("application/json", body::streamed(documents)))
}

async fn logs(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let (stdout, stderr) = (call.query.switch("stdout"), call.query.switch("stderr"));
    if !stdout && !stderr {
        return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
    }
    let request = LogsRequest {
        follow: call.query.switch("follow"),
        stdout,
        stderr,
        since: time(call, "since")?,
        until: time(call, "until")?,
        timestamps: call.query.switch("timestamps"),
        // Everything that is no number means all, as for Docker.
        tail: call.query.text("tail").parse().ok(),
        details: call.query.switch("details"),
    };
    let logs = engine.containers().logs(name, request).await?;
    let pieces = stream::unfold(logs.stream, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece.map_err(|error| io::Error::other(error.report())), pieces))
    });
    Ok(body::typed(
        hijack::media_type(logs.tty, call.version),
        body::streamed(pieces),
    ))
}

fn attach(engine: &Engine, name: &str, call: Call) -> ApiResult<Answer> {
    let target = engine.containers().attach(name, attach_request(&call));
    // Docker has left HTTP by then, and tells what is wrong in the stream's own type.
    let target = target.map_err(|error| ApiError::from(error).in_stream())?;
    hijack::connect(target, hijack::Form::Own, call.version, call.upgrade, Some(call.body))
}

fn attach_websocket(engine: &Engine, name: &str, call: Call) -> ApiResult<Answer> {
    let mut request = attach_request(&call);
    if call.version.before(42) {
        // Before, all streams were attached.
        (request.stdin, request.stdout, request.stderr) = (true, true, true);
    }
    let target = engine.containers().attach(name, request)?;
    let (Some(answer), Some(upgrade)) = (websocket::accept(&call.headers), call.upgrade) else {
        return Err(websocket::no_handshake());
    };
    tokio::spawn(websocket::relay(upgrade, target));
    Ok(answer)
}

fn attach_request(call: &Call) -> AttachRequest {
    AttachRequest {
        logs: call.query.switch("logs"),
        stream: call.query.switch("stream"),
        stdin: call.query.switch("stdin"),
        stdout: call.query.switch("stdout"),
        stderr: call.query.switch("stderr"),
        detach_keys: call.query.given("detachKeys").map(str::to_owned),
    }
}

/// The head of the answer is sent when the container is known and watched, the body when it ends.
fn wait(engine: &Engine, name: &str, call: &Call) -> ApiResult<Answer> {
    let condition = if call.version.before(30) {
        ""
    } else {
        call.query.text("condition")
    };
    let waiter = engine.containers().wait(name, WaitCondition::parse(condition)?)?;
    let line = stream::once(async move {
        let result = waiter.wait().await;
        body::line(&result)
            .map(Into::into)
            .map_err(|error| io::Error::other(error.message))
    });
    Ok(body::typed("application/json", body::streamed(line)))
}

async fn exec_create(engine: &Engine, name: &str, call: Call) -> ApiResult<Answer> {
    /// The answer.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Created {
        id: String,
    }
    let config: ExecConfig = body::read_json_or_default(&call.headers, call.body).await?;
    if config.cmd.is_empty() {
        return Err(ApiError::invalid("No exec command specified"));
    }
    let id = engine.containers().exec_create(name, config).await?;
    body::json_with(StatusCode::CREATED, &Created { id })
}

/// Before API 1.24 a start could bring a host configuration along.
fn refuse_host_config(call: &Call) -> ApiResult<()> {
    let length = call.headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let is_chunked = call.headers.contains_key(http::header::TRANSFER_ENCODING);
    if is_chunked || length.is_some_and(|length| length > 7) {
        return Err(ApiError::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    Ok(())
}

/// Nothing goes on from a checkpoint.
fn refuse_checkpoint(engine: &Engine) -> ApiError {
    if engine.settings().experimental {
        return corten_engine::Error::unsupported("checkpoints are not supported").into();
    }
    ApiError::invalid("checkpoint is only supported in experimental mode")
}

/// How to stop: a signal (API 1.42 and later) and seconds.
fn stopping(call: &Call) -> ApiResult<(Option<&str>, Option<i64>)> {
    let signal = call.query.given("signal").filter(|_| !call.version.before(42));
    Ok((signal, call.query.number("t")?))
}

/// How to take over: for how many seconds to wait for `listening`, and for `draining`.
fn take_over(call: &Call) -> ApiResult<TakeOver> {
    let seconds = |name| Ok::<_, ApiError>(Duration::from_secs(call.query.number::<u32>(name)?.unwrap_or(0).into()));
    Ok(TakeOver {
        listening: seconds("listening")?,
        draining: seconds("draining")?,
    })
}

/// A terminal's size.
pub(super) fn size(call: &Call) -> ApiResult<(u16, u16)> {
    let dimension = |name: &str| {
        let text = call.query.text(name);
        text.parse::<u16>().map_err(|_| {
            ApiError::invalid(format!(
                "invalid resize {} \"{text}\": {}",
                if name == "h" { "height" } else { "width" },
                if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
                    "value out of range"
                } else {
                    "invalid syntax"
                }
            ))
        })
    };
    Ok((dimension("h")?, dimension("w")?))
}
