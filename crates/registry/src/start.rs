//! Start-up and shutdown, and the socket by which `corten registry gc` reaches a registry that runs.

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corten_sys::fs;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::auth::Gate;
use crate::config::{Collect, Config, Invocation};
use crate::gc::{self, Options, Report};
use crate::http::{Answer, Certificates, Listener, Peer, json, plain, serve, serve_control};
use crate::metrics::Metrics;
use crate::route;
use crate::store::{Store, Uploads};
use crate::upstream::Upstreams;

/// Threads that poll.
const WORKERS: usize = 2;
/// Threads that may wait for the disk.
const BLOCKING: usize = 16;
/// Stack of each, in bytes.
const STACK: usize = 2 << 20;
/// How long requests may take to end when the registry stops.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until told to stop.
///
/// # Errors
/// A sentence about what is in the way.
pub(crate) fn run(invocation: &Invocation) -> Result<(), String> {
    let config = invocation.config()?;
    // A second call, as in tests, leaves the first one's subscriber in place.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(config.log_level)
        .try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        .thread_name("registry")
        .enable_all()
        .build()
        .map_err(|error| format!("the threads cannot be started: {error}"))?;
    let result = runtime.block_on(serve_all(invocation, config));
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}

/// The socket's name.
const CONTROL: &str = "control.sock";

/// Calls with a path of the socket that is short enough for one, however long the root's is.
fn at_control<T>(root: &Path, use_it: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let folder = fs::open(root)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(CONTROL);
    use_it(&path)
}

fn options(config: &Config) -> Options {
    Options {
        grace: config.gc_grace,
        retention: config.retention.clone(),
        upload_expiry: config.upload_expiry,
        dry_run: false,
    }
}

/// What may change while the registry runs. Guards itself only.
type Shared = Arc<Mutex<Options>>;

fn now(shared: &Shared) -> Options {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

async fn serve_all(invocation: &Invocation, config: Config) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("signals cannot be received: {error}");
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let app = Arc::new(App {
        store: Store::open(&config.data_root, config.limits.clone())?,
        uploads: Uploads::default(),
        gate: Gate::open(&config.auth, config.access.clone())?,
        upstreams: Upstreams::new(&config.upstreams)?,
        metrics: Metrics::default(),
        delete: config.delete,
        durable: config.durable,
    });
    count(&app, config.limits.total.is_some())?;
    let shared: Shared = Arc::new(Mutex::new(options(&config)));
    let certificates = config.tls.as_ref().map(Certificates::load).transpose()?.map(Arc::new);
    let (stop, stopping) = watch::channel(false);
    let mut servers = Vec::new();
    for address in &config.listen {
        let listener = Listener::bind(address, certificates.clone())?;
        let scheme = if listener.is_encrypted() { "https" } else { "http" };
        tracing::info!("listening on {scheme}://{}", listener.address);
        let app = Arc::clone(&app);
        let handle = move |peer, request| Arc::clone(&app).answer(peer, request);
        servers.push(tokio::spawn(serve(listener, handle, stopping.clone())));
    }
    if let Some(address) = &config.metrics {
        let listener = Listener::bind(address, None)?;
        tracing::info!("metrics on http://{}/metrics", listener.address);
        let app = Arc::clone(&app);
        let handle = move |_: Peer, request: http::Request<Incoming>| {
            let answer = match request.uri().path() {
                "/metrics" => app.metrics(),
                _ => plain(StatusCode::NOT_FOUND, "not found\n"),
            };
            std::future::ready(answer)
        };
        servers.push(tokio::spawn(serve(listener, handle, stopping.clone())));
    }
    tokio::spawn(serve_control(
        listen_control(&config.data_root)?,
        {
            let (app, shared) = (Arc::clone(&app), Arc::clone(&shared));
            move |_, request| answer_control(Arc::clone(&app), Arc::clone(&shared), request)
        },
        stopping.clone(),
    ));
    tokio::spawn(collect_often(Arc::clone(&app), Arc::clone(&shared), config.gc_interval));
    notify("READY=1");
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                match reload(invocation, &app, &shared, certificates.as_deref()) {
                    Ok(()) => tracing::info!("certificate, users, rules, quotas and retention were read again"),
                    Err(error) => tracing::error!(error, "the configuration stays as it was"),
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping");
    notify("STOPPING=1");
    // All receivers are gone when no listener is left, which is what is wanted.
    let _ = stop.send(true);
    let drained = tokio::time::timeout(DRAIN, async {
        for server in servers {
            // A server that panicked has said so.
            let _ = server.await;
        }
    });
    if drained.await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    app.store.synced().await;
    // The next one replaces it anyway.
    let _ = fs::remove_file(config.data_root.join(CONTROL));
    Ok(())
}

/// Counts what is stored: before the first request where a quota depends on it.
fn count(app: &Arc<App>, is_needed: bool) -> Result<(), String> {
    if is_needed {
        return app.store.count().map_err(|error| error.to_string());
    }
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = app.store.count() {
            tracing::error!(%error, "what is stored cannot be counted");
        }
    });
    Ok(())
}

fn reload(
    invocation: &Invocation,
    app: &App,
    shared: &Shared,
    certificates: Option<&Certificates>,
) -> Result<(), String> {
    let config = invocation.config()?;
    if let Some(certificates) = certificates {
        certificates.reload()?;
    }
    app.gate.reload(config.access.clone())?;
    app.store.usage().allow(config.limits.clone());
    *shared.lock().unwrap_or_else(PoisonError::into_inner) = options(&config);
    Ok(())
}

/// Collects now and then. A registry that was just started may have much to take up; it waits a while.
async fn collect_often(app: Arc<App>, shared: Shared, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let options = now(&shared);
        if let Err(error) = collect_now(&app, options).await {
            tracing::error!(error, "collecting failed");
        }
    }
}

async fn collect_now(app: &Arc<App>, options: Options) -> Result<Report, String> {
    let working = Arc::clone(app);
    let collected = tokio::task::spawn_blocking(move || gc::collect(&working.store, &working.uploads, &options));
    let report = collected
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    app.metrics.collected(&report);
    tracing::info!(
        tags = report.tags,
        manifests = report.manifests,
        blobs = report.blobs,
        contents = report.contents,
        uploads = report.uploads,
        bytes = report.bytes,
        "collected"
    );
    Ok(report)
}

fn listen_control(root: &Path) -> Result<UnixListener, String> {
    let path = root.join(CONTROL);
    // One is left where a registry was killed; the lock says that none has it.
    fs::if_there(fs::remove_file(&path)).map_err(|error| error.to_string())?;
    let listener =
        UnixListener::bind(&path).map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
    fs::set_mode(&path, 0o600).map_err(|error| error.to_string())?;
    Ok(listener)
}

async fn answer_control(app: Arc<App>, shared: Shared, request: http::Request<Incoming>) -> Answer {
    if request.method() != Method::POST || request.uri().path() != "/gc" {
        return plain(StatusCode::NOT_FOUND, "not found\n");
    }
    let query = request.uri().query();
    let mut options = now(&shared);
    if let Some(seconds) = route::query(query, "grace").and_then(|text| text.parse().ok()) {
        options.grace = Duration::from_secs(seconds);
    }
    options.dry_run = route::query(query, "dry-run").is_some();
    match collect_now(&app, options).await {
        Ok(report) => match serde_json::to_value(&report) {
            Ok(value) => json(&value),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// Collects once: through the registry that runs, or by itself when none does. Tells what went.
///
/// # Errors
/// A sentence about what is in the way.
pub(crate) fn collect(request: &Collect) -> Result<String, String> {
    let root = &request.config.data_root;
    let report = match at_control(root, |path| UnixStream::connect(path)) {
        Ok(stream) => ask(stream, request)?,
        Err(_) => {
            if !fs::exists(root.join("registry.json")).map_err(|error| error.to_string())? {
                return Err(format!("{} is no data root of a registry", root.display()));
            }
            let store = Store::open(root, request.config.limits.clone())?;
            let options = Options {
                grace: request.grace.unwrap_or(request.config.gc_grace),
                dry_run: request.dry_run,
                ..options(&request.config)
            };
            gc::collect(&store, &Uploads::default(), &options).map_err(|error| error.to_string())?
        }
    };
    let verb = if request.dry_run { "would remove" } else { "removed" };
    Ok(format!(
        "{verb} {} tags, {} manifests, {} links to blobs, {} blobs, {} uploads: {}\n",
        report.tags,
        report.manifests,
        report.blobs,
        report.contents,
        report.uploads,
        crate::config::write_size(report.bytes)
    ))
}

fn ask(mut stream: UnixStream, request: &Collect) -> Result<Report, String> {
    let failed = |error: std::io::Error| format!("the registry that runs does not answer: {error}");
    let mut query = String::new();
    if let Some(grace) = request.grace {
        query += &format!("&grace={}", grace.as_secs());
    }
    if request.dry_run {
        query += "&dry-run=1";
    }
    let head = format!("POST /gc?{query} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(body.trim().to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("the registry that runs answers something else: {error}"))
}

/// Tells systemd, if it wants to know.
fn notify(state: &str) {
    if let Err(error) = corten_sys::notify::tell(state) {
        tracing::warn!(%error, "systemd could not be told: {state}");
    }
}
