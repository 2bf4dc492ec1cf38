//! Start-up and shutdown: from the command line to an engine that answers, and back.
//!
//! ```text
//!   flags, daemon.json ─► checks ─► locks, pidfile, programs ─► Engine::open (recovery) ─► listeners ─► READY=1
//!   SIGHUP: reload      SIGTERM, SIGINT: stop accepting, finish, leave containers running
//! ```

mod group;
mod kernel;
mod lock;
mod log;
mod notify;
mod pidfile;
mod programs;
mod reload;

use std::{env, ffi::OsString, io::Write, process::ExitCode, sync::Arc, time::Duration};

use corten_engine::{Engine, system::VERSION};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{
    authz::{Authorization, Places},
    config::{self, Config, ConfigError, Environment, Request},
    dispatch::App,
    hosts,
    listen::{self, Listener, Rules},
    metrics::Metrics,
    rest::Rest,
    server, tls,
};

/// The commit that this was built from, when the build knew it.
const COMMIT: &str = match option_env!("CORTEN_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Threads that poll. The engine waits far more than it computes.
const WORKERS: usize = 2;

/// Threads for blocking work at most.
const BLOCKING: usize = 64;

/// Stack of each thread, in bytes.
const STACK: usize = 2 << 20;

/// From this size on blocks of the heap are given back when they are freed, in bytes.
const LARGE: i32 = 128 << 10;

/// How long requests may take to end when the engine stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Permissions of the data root (containers' users pass through it) and the exec root.
const ROOT_MODE: u32 = 0o711;

/// Runs `corten daemon` with the arguments after it; `shim` and `init` are the programs that containers are started with.
///
/// Returns 0 when it was told to stop, 125 for a command line that cannot be read, else 1.
pub fn main(args: impl Iterator<Item = OsString>, shim: &'static [u8], init: &'static [u8]) -> ExitCode {
    corten_sys::heap::keep_small(LARGE);
    match prepare(args) {
        Ok(Some(config)) => match run(config, shim, init) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                complain(&format!("failed to start daemon: {message}"));
                ExitCode::FAILURE
            }
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.message);
            ExitCode::from(error.code)
        }
    }
}

/// Reads flags and file; none when there is nothing left to do.
fn prepare(args: impl Iterator<Item = OsString>) -> Result<Option<Config>, ConfigError> {
    match config::parse_flags(args)? {
        Request::Help => say(&config::help()),
        Request::Version => say(&format!("Corten version {VERSION}, build {}\n", COMMIT)),
        Request::Validate(flags) => {
            Config::load(flags, environment())?;
            complain("configuration OK");
        }
        Request::Run(flags) => return Config::load(flags, environment()).map(Some),
    }
    Ok(None)
}

fn environment() -> Environment {
    [
        ("http-proxy", "HTTP_PROXY"),
        ("https-proxy", "HTTPS_PROXY"),
        ("no-proxy", "NO_PROXY"),
        ("tlsverify", "DOCKER_TLS_VERIFY"),
        ("certificates", "DOCKER_CERT_PATH"),
        ("home", "HOME"),
    ]
    .into_iter()
    .filter_map(|(option, name)| {
        let value = env::var(name).or_else(|_| env::var(name.to_lowercase())).ok()?;
        Some((option, value))
    })
    .collect()
}

fn say(text: &str) {
    // Nobody reads it: nothing can be done about that.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn complain(text: &str) {
    // As above.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn run(config: Config, shim: &[u8], init: &[u8]) -> Result<(), String> {
    let json = config.text("log-format") == Some("json");
    let level = log::start(config::log_level(&config).map_err(|error| error.message)?, json);
    if !rustix::process::geteuid().is_root() {
        return Err("corten daemon needs to be started with root privileges".to_owned());
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    tracing::info!(version = VERSION, "Starting up");
    config.without_effect().iter().for_each(|note| tracing::warn!("{note}"));
    kernel::check()?;
    let (data_root, exec_root) = (config.data_root(), config.exec_root());
    for root in [&data_root, &exec_root] {
        corten_sys::fs::create_dir_all_mode(root, ROOT_MODE).map_err(|error| error.to_string())?;
        // One that somebody else made may be open to all.
        corten_sys::fs::set_mode(root, ROOT_MODE).map_err(|error| error.to_string())?;
    }
    let _locks = [
        lock::take(&data_root, "data root")?,
        lock::take(&exec_root, "exec root")?,
    ];
    let _pidfile = config.pidfile().map(pidfile::write).transpose()?;
    let programs = programs::install(&data_root.join("bin"), shim, init)?;
    let settings = config.settings(programs).map_err(|error| error.message)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        .thread_name("corten")
        .enable_all()
        .build()
        .map_err(|error| format!("the threads cannot be started: {error}"))?;
    let result = runtime.block_on(serve(config, settings, level));
    runtime.shutdown_timeout(DRAIN);
    result
}

async fn serve(
    mut config: Config,
    settings: corten_engine::settings::Settings,
    level: log::Level,
) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|error| format!("signals cannot be received: {error}"))?;
    let engine = Engine::open(settings).await.map_err(|error| error.report())?;
    let listeners = listeners(&config)?;
    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        buildkit: corten_buildkit::BuildKit::new(engine.clone()),
        engine: engine.clone(),
        authorization: Authorization::new(places(&config)),
        rest: Rest::default(),
        metrics: Arc::new(Metrics::default()),
        experimental: config.switch("experimental", false),
    });
    app.authorization
        .set(config.list("authorization-plugins"))
        .await
        .map_err(|error| format!("failed to validate authorization plugin: {error}"))?;
    engine.system().set_authorization(app.authorization.names());
    if let Some(address) = config.text("metrics-addr") {
        let listener = listen::metrics(address)?;
        tracing::info!(address, "metrics are served");
        tokio::spawn(server::serve_metrics(listener, Arc::clone(&app), stopping.clone()));
    }
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            tracing::info!("API listen on {}", listener.name);
            tokio::spawn(server::serve(listener, Arc::clone(&app), stopping.clone()))
        })
        .collect();
    tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.rest.look_after().await }
    });
    tracing::info!("Daemon has completed initialization");
    notify::tell("READY=1");
    while signals.next().await == Told::Reload {
        notify::tell(&notify::reloading());
        match reload::apply(&config, &engine, &app.authorization, &level).await {
            Ok(reloaded) => config = reloaded,
            Err(error) => tracing::error!(error, "the configuration was not reloaded"),
        }
        engine.system().set_authorization(app.authorization.names());
        notify::tell("READY=1");
    }
    let takes_containers_along = !engine.settings().now().live_restore;
    let containers = if takes_containers_along {
        "are stopped"
    } else {
        "keep running"
    };
    tracing::info!("Processing signal: stopping; containers {containers}");
    notify::tell("STOPPING=1");
    // All receivers are gone when no listener is left, which is what is wanted.
    let _ = stop.send(true);
    let drained = tokio::time::timeout(DRAIN, async {
        for server in servers {
            // A server that panicked has said so.
            let _ = server.await;
        }
    });
    if drained.await.is_err() {
        tracing::warn!("not all listeners have ended in time");
    }
    if takes_containers_along {
        engine
            .containers()
            .shut_down(engine.settings().now().shutdown_timeout)
            .await;
    }
    Ok(())
}

/// Where plugins are looked for: our own folder, and Docker's.
fn places(config: &Config) -> Places {
    Places {
        sockets: vec![config.exec_root().join("plugins"), "/run/docker/plugins".into()],
        specs: vec!["/etc/docker/plugins".into(), "/usr/lib/docker/plugins".into()],
    }
}

fn listeners(config: &Config) -> Result<Vec<Listener>, String> {
    let rules = Rules {
        group: group::of_socket(config.text("group"))?,
        tls: tls::acceptor(config)?,
        verifies: tls::verifies(config),
        plain_wanted: !config.switch("tls", true),
    };
    let mut passed = listen::passed_sockets()?;
    let mut listeners = Vec::new();
    for host in config.hosts() {
        listeners.extend(listen::listen(&hosts::parse(&host)?, &rules, &mut passed)?);
    }
    Ok(listeners)
}

/// What a signal tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Reload,
    Stop,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
        }
    }
}
