//! Options about files and addresses that all containers, or all clients, share.

use std::path::PathBuf;

use corten_engine::settings::Seccomp;

use super::{Config, ConfigError};

/// The init program that was given instead of our own.
pub(super) fn init_path(config: &Config) -> Result<Option<PathBuf>, ConfigError> {
    let Some(path) = config.text("init-path").map(PathBuf::from) else {
        return Ok(None);
    };
    let bad = |why: &str| Err(ConfigError::new(format!("the init program {} {why}", path.display())));
    if !path.is_absolute() {
        return bad("must be given as an absolute path");
    }
    match corten_sys::fs::metadata(&path) {
        Ok(about) if about.is_file() => Ok(Some(path)),
        Ok(_) => bad("is no file"),
        Err(error) => Err(ConfigError::new(format!("the init program cannot be used: {error}"))),
    }
}

/// The seccomp profile; a file is read when the engine starts.
pub(super) fn seccomp(config: &Config) -> Result<Seccomp, ConfigError> {
    match config.text("seccomp-profile") {
        None | Some("builtin") => Ok(Seccomp::Builtin),
        Some("unconfined") => Ok(Seccomp::Unconfined),
        Some(path) => {
            let failed = |why: String| ConfigError::new(format!("opening seccomp profile ({path}) failed: {why}"));
            let bytes = corten_sys::fs::read(path).map_err(|error| failed(error.to_string()))?;
            let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
            Seccomp::profile(path.to_owned(), text).map_err(|error| failed(error.report()))
        }
    }
}

/// What `info` warns of: an API that others can reach (moby `daemon/info.go`).
pub(super) fn exposure(config: &Config) -> Vec<String> {
    let warn = "\n         Access to the remote API is equivalent to root access on the host. Refer\n         to the 'Docker daemon attack surface' section in the documentation for\n         more information: https://docs.docker.com/go/attack-surface/\nIn future versions this will be a hard failure preventing the daemon from starting! Learn more at: https://docs.docker.com/go/api-security/";
    let weakness = match (crate::tls::is_on(config), crate::tls::verifies(config)) {
        (_, true) => return Vec::new(),
        (false, false) => ("http", "encryption"),
        (true, false) => ("https", "TLS client verification"),
    };
    config
        .hosts()
        .iter()
        .filter_map(|host| match crate::hosts::parse(host) {
            Ok(crate::hosts::Host::Tcp { address, port }) => Some((address, port)),
            _ => None,
        })
        .map(|(address, port)| {
            let port = port.unwrap_or(if weakness.0 == "https" { 2376 } else { 2375 });
            format!(
                "[DEPRECATION NOTICE]: API is accessible on {}://{address}:{port} without {}.{warn}",
                weakness.0, weakness.1
            )
        })
        .collect()
}
