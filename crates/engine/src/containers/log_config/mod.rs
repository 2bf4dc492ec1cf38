//! Log drivers and their options: which log a container gets, and what Docker says to options that
//! make no sense.
//!
//! Every container but one with the driver `none` has a local log, which its shim writes and
//! [`logs`](super::logs) reads. `json-file` and `local` are just that; what the other drivers send
//! elsewhere is read from the local log by their followers ([`delivery`](super::delivery)).

mod check;
mod facts;
pub(crate) mod rotation;

use std::path::{Path, PathBuf};

use corten_api::container::LogConfig;
use corten_shim::protocol::Log;

pub use self::check::check;
pub(crate) use self::{
    facts::{Facts, hostname},
    rotation::{Rotation, whole},
};
use super::record::Record;
use crate::error::{Error, Result};

/// The drivers that there are, as `docker info` lists them.
pub const DRIVERS: [&str; 6] = ["fluentd", "gelf", "journald", "json-file", "local", "syslog"];
/// Docker's drivers that this engine does not have.
const ELSEWHERE: [&str; 4] = ["awslogs", "splunk", "gcplogs", "etwlogs"];
/// The folder of logs that are not `json-file`'s, in the container's.
pub(crate) const FOLDER: &str = "local-logs";
/// The local log of a driver that delivers, in its folder.
pub(crate) const COPY: &str = "container-cached.log";

/// What keeps a container's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Nothing.
    None,
    /// Docker's files of JSON lines, at a path that users know.
    JsonFile,
    /// Files that are nobody else's business.
    Local,
    /// Something elsewhere, by way of a local copy.
    Remote(Remote),
}

/// Drivers that deliver elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remote {
    /// systemd's journal.
    Journald,
    /// A syslog server.
    Syslog,
    /// Fluentd, or what speaks its forward protocol.
    Fluentd,
    /// What takes the Graylog Extended Log Format.
    Gelf,
}

impl Driver {
    /// The driver of a configuration.
    ///
    /// # Errors
    /// `Invalid` in Docker's words; `Unsupported` for those of Docker's that this engine lacks.
    pub(crate) fn of(config: &LogConfig) -> Result<Self> {
        Ok(match config.driver.as_str() {
            "none" => Self::None,
            "" | "json-file" => Self::JsonFile,
            "local" => Self::Local,
            "journald" => Self::Remote(Remote::Journald),
            "syslog" => Self::Remote(Remote::Syslog),
            "fluentd" => Self::Remote(Remote::Fluentd),
            "gelf" => Self::Remote(Remote::Gelf),
            other if ELSEWHERE.contains(&other) => {
                let refusal = Error::unsupported(format!("the log driver \"{other}\" is not supported"));
                return Err(refusal.hint(format!("use one of {}, none", DRIVERS.join(", "))));
            }
            other => {
                return Err(Error::invalid(format!(
                    "error looking up logging plugin {other}: plugin \"{other}\" not found"
                )));
            }
        })
    }

    /// Whether clients may read the log.
    pub(crate) fn is_readable(self, config: &LogConfig) -> bool {
        let hidden = |text: &String| corten_template::number::parse_bool(text).unwrap_or(false);
        match self {
            Self::None => false,
            Self::JsonFile | Self::Local => true,
            Self::Remote(_) => !config.options.get("cache-disabled").is_some_and(hidden),
        }
    }

    /// Where the log is, for a container of that id and folder.
    pub(crate) fn path(self, id: &str, folder: &Path) -> PathBuf {
        match self {
            Self::None | Self::JsonFile => folder.join(format!("{id}-json.log")),
            Self::Local => folder.join(FOLDER).join("container.log"),
            Self::Remote(_) => folder.join(FOLDER).join(COPY),
        }
    }
}

/// Fills in what a container leaves open (Docker's `mergeAndVerifyLogConfig`): options of the engine's own
/// driver go to containers with the same, those of local copies to all.
pub(crate) fn merge(config: &mut LogConfig, defaults: &LogConfig) {
    if config.driver.is_empty() {
        config.driver.clone_from(&defaults.driver);
    }
    let same = config.driver == defaults.driver;
    for (name, value) in &defaults.options {
        if same || name.starts_with("cache-") {
            config.options.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The log as the shim is told to keep it.
pub(crate) fn for_shim(record: &Record, folder: &Path) -> Result<Log> {
    let config = &record.host_config.log_config;
    let driver = Driver::of(config)?;
    let Some(Rotation {
        max_size,
        max_files,
        compress,
    }) = rotation::parse(config)?
    else {
        return Ok(Log::None);
    };
    let path = driver.path(&record.id, folder);
    if driver != Driver::JsonFile {
        corten_sys::fs::create_dir_all_mode(folder.join(FOLDER), 0o700)?;
    }
    let facts = Facts::of(record);
    let mut attrs = facts.attributes(config, str::to_owned)?;
    if let Some(tag) = facts.tag(config, "")? {
        attrs.insert("tag".to_owned(), tag);
    }
    Ok(Log::JsonFile {
        path,
        max_size,
        max_files,
        compress,
        attrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration of a log.
    pub(super) fn config(driver: &str, options: &[(&str, &str)]) -> LogConfig {
        LogConfig {
            driver: driver.into(),
            options: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn the_engine_s_options_go_where_docker_s_do() {
        let check = |own: &LogConfig, defaults: &LogConfig, expected: &LogConfig| {
            let mut merged = own.clone();
            merge(&mut merged, defaults);
            assert_eq!(merged, *expected);
        };
        let defaults = config("syslog", &[("tag", "t"), ("cache-max-size", "1m")]);
        check(&config("", &[]), &defaults, &defaults);
        check(
            &config("syslog", &[("tag", "own")]),
            &defaults,
            &config("syslog", &[("tag", "own"), ("cache-max-size", "1m")]),
        );
        check(
            &config("gelf", &[]),
            &defaults,
            &config("gelf", &[("cache-max-size", "1m")]),
        );
    }
}
