//! One request: version, checks, route, answer, and the headers that every answer has.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use corten_buildkit::BuildKit;
use corten_engine::Engine;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, request::Parts};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};

use crate::{
    authz::{Authorization, Peer},
    body::{self, Answer},
    compat::version::{self, ApiVersion},
    error::{ApiError, ApiResult},
    guard::Guard,
    metrics::{Metrics, Timed},
    query::Query,
    request::RequestBody,
    rest::Rest,
    router::{self, Route},
    routes,
};

/// How long a body that nobody reads may take.
const DRAINING: Duration = Duration::from_secs(5);

/// The header `Server`.
const SERVER: &str = concat!("Corten/", env!("CARGO_PKG_VERSION"), " (linux)");

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    /// The engine.
    pub(crate) engine: Engine,
    /// What BuildKit's clients speak with.
    pub(crate) buildkit: BuildKit,
    /// Who may refuse requests.
    pub(crate) authorization: Authorization,
    /// Whether something happens.
    pub(crate) rest: Rest,
    /// What is counted and timed.
    pub(crate) metrics: Arc<Metrics>,
    /// Whether clients are offered what is experimental.
    pub(crate) experimental: bool,
}

/// A request, taken apart.
#[derive(Debug)]
pub(crate) struct Call {
    /// The API's version that the client speaks.
    pub(crate) version: ApiVersion,
    /// Its parameters.
    pub(crate) query: Query,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: RequestBody,
    /// The connection, for routes that take it over; there only if the client asked for it.
    pub(crate) upgrade: Option<OnUpgrade>,
}

/// Answers a request.
pub(crate) async fn answer(
    app: Arc<App>,
    guard: Arc<Guard>,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    app.rest.stir();
    let upgrade = request
        .headers()
        .contains_key(header::UPGRADE)
        .then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let label = (parts.method.clone(), parts.uri.path().to_owned());
    let result = match guard.check(&parts.headers) {
        Ok(()) => authorized(&app, &peer, parts, body, upgrade).await,
        Err(error) => {
            drain(&mut body.into()).await;
            Err(error)
        }
    };
    let mut answer = result.unwrap_or_else(|error| body::failure(&error));
    tracing::debug!(method = %label.0, path = label.1, status = answer.status().as_u16(), "answered");
    add_headers(answer.headers_mut(), app.experimental);
    Ok(answer)
}

/// Answers a request that the plugins let pass, if they let its answer pass too.
async fn authorized(
    app: &App,
    peer: &Peer,
    parts: Parts,
    body: Incoming,
    upgrade: Option<OnUpgrade>,
) -> ApiResult<Answer> {
    let (body, passage) = app.authorization.enter(peer, &parts, body).await?;
    let result = handle(app, parts, body, upgrade).await;
    match passage {
        None => result,
        Some(passage) => {
            passage
                .leave(result.unwrap_or_else(|error| body::failure(&error)))
                .await
        }
    }
}

async fn handle(app: &App, parts: Parts, mut body: RequestBody, upgrade: Option<OnUpgrade>) -> ApiResult<Answer> {
    let (version, route) = match find(&parts) {
        Ok(found) => found,
        Err(error) => {
            drain(&mut body).await;
            return Err(error);
        }
    };
    if !route.reads_body() {
        drain(&mut body).await;
    }
    let call = Call {
        version,
        query: Query::parse(parts.uri.query()),
        headers: parts.headers,
        body,
        upgrade,
    };
    let (timed, began) = (Timed::of(&route), Instant::now());
    let result = dispatch(app, route, call, &parts.method).await;
    if let (Some(timed), Ok(_)) = (timed, &result) {
        app.metrics.observe(timed, began.elapsed());
    }
    result
}

/// Finds what is asked for.
fn find(parts: &Parts) -> ApiResult<(ApiVersion, Route)> {
    let path = decoded_path(&parts.uri)?;
    let (version, rest) = version::split(&parts.method, &path)?;
    let route = router::route(&parts.method, rest).ok_or_else(ApiError::no_page)?;
    Ok((version, route))
}

/// Reads a body that is of no use, for as long as is decent.
async fn drain(body: &mut RequestBody) {
    if body.is_end_stream() {
        return;
    }
    // A client that is slower does not get to see the answer.
    let _ = tokio::time::timeout(DRAINING, body::drain(body)).await;
}

async fn dispatch(app: &App, route: Route, call: Call, method: &Method) -> ApiResult<Answer> {
    use routes::{archives, buildkit, builds, containers, exec, images, networks, plugins, swarm, system, volumes};
    let engine = &app.engine;
    match route {
        Route::Ping => Ok(system::ping(method)),
        Route::Version => system::version(engine),
        Route::Info => system::info(engine, &call).await,
        Route::Events => system::events(engine, &call),
        Route::DiskUsage => system::disk_usage(engine, &call).await,
        Route::Auth => system::auth(engine, call).await,
        Route::Commit => archives::commit(engine, call).await,
        Route::Options => Ok(body::empty(StatusCode::OK)),
        Route::ContainerList => containers::list(engine, &call).await,
        Route::ContainerCreate => containers::create(engine, call).await,
        Route::ContainerPrune => containers::prune(engine, &call).await,
        Route::ContainerRemove(name) => containers::remove(engine, &name, &call).await,
        Route::Container(name, what) => containers::call(engine, &name, what, call).await,
        Route::ContainerArchive(name) => archives::archive(engine, &name, call, method).await,
        Route::ExecStart(id) => exec::start(engine, &id, call).await,
        Route::ExecResize(id) => exec::resize(engine, &id, &call).await,
        Route::ExecInspect(id) => exec::inspect(engine, &id).await,
        Route::ImageList => images::list(engine, &call).await,
        Route::ImageCreate => images::create(engine, call).await,
        Route::ImageLoad => images::load(engine, call),
        Route::ImagePrune => images::prune(engine, &call).await,
        Route::ImageSearch => images::search(engine, &call).await,
        Route::ImagesSave => images::save(engine, call.query.all("names").to_vec(), &call).await,
        Route::ImageSave(name) => images::save(engine, vec![name], &call).await,
        Route::ImageInspect(name) => images::inspect(engine, &name, &call),
        Route::ImageHistory(name) => images::history(engine, &name, &call),
        Route::ImagePush(name) => images::push(engine, name, &call).await,
        Route::ImageTag(name) => images::tag(engine, &name, &call).await,
        Route::ImageRemove(name) => images::remove(engine, &name, &call).await,
        Route::Distribution(name) => images::distribution(engine, &name, &call).await,
        Route::NetworkList => networks::list(engine, &call),
        Route::NetworkCreate => networks::create(engine, call).await,
        Route::NetworkPrune => networks::prune(engine, &call).await,
        Route::NetworkInspect(name) => networks::inspect(engine, &name, &call),
        Route::NetworkRemove(name) => networks::remove(engine, &name).await,
        Route::NetworkConnect(name) => networks::connect(engine, &name, call).await,
        Route::NetworkDisconnect(name) => networks::disconnect(engine, &name, call).await,
        Route::VolumeList => volumes::list(engine, &call).await,
        Route::VolumeCreate => volumes::create(engine, call).await,
        Route::VolumePrune => volumes::prune(engine, &call).await,
        Route::VolumeInspect(name) => volumes::inspect(engine, &name).await,
        Route::VolumeRemove(name) => volumes::remove(engine, &name, &call).await,
        Route::Build => builds::build(engine, &app.buildkit, call).await,
        Route::BuildCancel => builds::cancel(engine, &call),
        Route::BuildPrune => builds::prune(engine, &call).await,
        Route::BuildHistory => builds::history(&app.buildkit).await,
        Route::BuildLog(name) => builds::log(&app.buildkit, name).await,
        Route::BuildForget(name) => builds::forget(&app.buildkit, name).await,
        Route::Session => buildkit::session(&app.buildkit, call),
        Route::Grpc => buildkit::grpc(&app.buildkit, call),
        Route::Plugins(parts) => plugins::call(method, &parts, &call),
        Route::Swarm(parts) => swarm::call(method, &parts, &call),
        Route::VolumeUpdate => Err(swarm::no_cluster_volumes()),
        Route::Experimental => Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order \
             to enable it.",
        )),
    }
}

fn decoded_path(uri: &Uri) -> ApiResult<String> {
    let path = percent_encoding::percent_decode_str(uri.path()).decode_utf8();
    path.map(|path| path.into_owned())
        .map_err(|_| ApiError::invalid("the path is not UTF-8"))
}

fn add_headers(headers: &mut HeaderMap, experimental: bool) {
    headers.insert("api-version", HeaderValue::from_static(corten_api::VERSION));
    let experimental = if experimental { "true" } else { "false" };
    headers.insert("docker-experimental", HeaderValue::from_static(experimental));
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
}
