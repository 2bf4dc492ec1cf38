//! `/_ping`, `/version`, `/info`, `/events`, `/system/df`, `/auth`.

use std::io;

use corten_api::{image::AuthConfig, time::Time};
use corten_engine::{Engine, system::UsageOf, time_filter};
use futures_util::stream;
use http::{HeaderValue, Method, header};

use crate::{
    body::{self, Answer},
    compat,
    dispatch::Call,
    error::{ApiError, ApiResult},
};

/// `GET`, `HEAD /_ping`.
pub(crate) fn ping(method: &Method) -> Answer {
    let mut answer = body::typed(
        "text/plain; charset=utf-8",
        body::full(if method == Method::HEAD { "" } else { "OK" }),
    );
    let headers = answer.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    // Clients may build by BuildKit's protocol.
    headers.insert("builder-version", HeaderValue::from_static("2"));
    answer
}

/// `GET /version`.
pub(crate) fn version(engine: &Engine) -> ApiResult<Answer> {
    body::json(&engine.system().version())
}

/// `GET /info`.
pub(crate) async fn info(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let info = engine.system().info().await?;
    compat::answer(call.version, &info, compat::system::INFO)
}

/// `GET /events`.
pub(crate) fn events(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let (since, until) = (time(call, "since")?, time(call, "until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(ApiError::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            call.query.text("since"),
            call.query.text("until")
        )));
    }
    let subscription = engine.events().subscribe(since, until, call.query.filters()?)?;
    let lines = stream::unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await?;
        let line = body::line(&*event)
            .map(Into::into)
            .map_err(|error| io::Error::other(error.message));
        Some((line, subscription))
    });
    Ok(body::typed("application/json", body::streamed(lines)))
}

/// `GET /system/df`.
pub(crate) async fn disk_usage(engine: &Engine, call: &Call) -> ApiResult<Answer> {
    let mut of = UsageOf {
        images: false,
        containers: false,
        volumes: false,
        build_cache: false,
    };
    let types = if call.version.before(42) {
        &[]
    } else {
        call.query.all("type")
    };
    for kind in types {
        match kind.as_str() {
            "container" => of.containers = true,
            "image" => of.images = true,
            "volume" => of.volumes = true,
            "build-cache" => of.build_cache = true,
            other => return Err(ApiError::invalid(format!("unknown object type: {other}"))),
        }
    }
    if types.is_empty() {
        of = UsageOf {
            images: true,
            containers: true,
            volumes: true,
            build_cache: true,
        };
    }
    let usage = engine.system().disk_usage(of).await?;
    compat::answer(call.version, &usage, compat::system::DISK_USAGE)
}

/// `POST /auth`.
pub(crate) async fn auth(engine: &Engine, call: Call) -> ApiResult<Answer> {
    let credentials: AuthConfig = body::read_json(&call.headers, call.body).await?;
    body::json(&engine.images().login(credentials).await?)
}

/// A parameter that is a time: seconds since the epoch, a date, or a duration before now.
pub(super) fn time(call: &Call, name: &str) -> ApiResult<Option<Time>> {
    match call.query.given(name) {
        None | Some("0") => Ok(None),
        Some(text) => time_filter::parse(text, Time::now())
            .map(Some)
            .map_err(|_| ApiError::internal(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
    }
}
