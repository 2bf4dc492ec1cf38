//! `SIGHUP`: applying what the file says now.

use std::{collections::BTreeMap, sync::PoisonError};

use corten_engine::Engine;

use super::log;
use crate::{
    authz::Authorization,
    config::{self, Config, DEFAULT_FILE, Value},
};

/// Reads the file again and applies it; nothing changes when it cannot be used.
pub(super) async fn apply(
    config: &Config,
    engine: &Engine,
    authorization: &Authorization,
    level: &log::Level,
) -> Result<Config, String> {
    let file = config.file().unwrap_or(DEFAULT_FILE);
    tracing::info!("Got signal to reload configuration, reloading from: {file}");
    let new = config.reload().map_err(|error| error.message)?;
    let settings = config::reloadable(&new).map_err(|error| error.message)?;
    let log_level = config::log_level(&new).map_err(|error| error.message)?;
    let ignored = config.changed_in_vain(&new);
    authorization.set(new.list("authorization-plugins")).await?;
    *engine
        .settings()
        .reloadable
        .write()
        .unwrap_or_else(PoisonError::into_inner) = settings;
    engine.images().reload().map_err(|error| error.report())?;
    level.set(log_level);
    let attributes = attributes(&new);
    engine
        .events()
        .emit("daemon", "reload", engine.system().id(), attributes);
    tracing::info!("Reloaded configuration: {}", new.to_json());
    if !ignored.is_empty() {
        tracing::warn!("only a restart applies the new {}", ignored.join(", "));
    }
    Ok(new)
}

/// What the event tells: all that a reload may change (moby `daemon/reload.go`).
fn attributes(config: &Config) -> BTreeMap<String, String> {
    let number = |name: &str, default: i64| config.number(name).filter(|n| *n != 0).unwrap_or(default).to_string();
    let list = |name: &str| serde_json::Value::from(config.list(name).to_vec()).to_string();
    let text = |name: &str, default: &str| config.text(name).unwrap_or(default).to_owned();
    let features = config
        .get("features")
        .map_or_else(|| "map[]".to_owned(), Value::to_string);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    [
        ("authorization-plugins", list("authorization-plugins")),
        ("debug", config.switch("debug", false).to_string()),
        ("default-cgroupns-mode", text("default-cgroupns-mode", "host")),
        ("default-ipc-mode", text("default-ipc-mode", "private")),
        ("default-runtime", text("default-runtime", "corten")),
        ("default-shm-size", number("default-shm-size", 64 << 20)),
        ("features", features),
        ("insecure-registries", list("insecure-registries")),
        ("labels", list("labels")),
        ("live-restore", config.switch("live-restore", true).to_string()),
        ("max-concurrent-downloads", number("max-concurrent-downloads", 3)),
        ("max-concurrent-uploads", number("max-concurrent-uploads", 5)),
        ("max-download-attempts", number("max-download-attempts", 5)),
        ("name", host),
        ("registry-mirrors", list("registry-mirrors")),
        (
            "shutdown-timeout",
            config.number("shutdown-timeout").unwrap_or(15).to_string(),
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
