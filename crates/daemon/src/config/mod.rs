//! Configuration: flags and `daemon.json`, merged and checked as dockerd does it.

mod builder;
mod defaults;
mod file;
mod flags;
mod network;
mod options;
mod runtimes;
mod settings;
mod value;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

pub(crate) use self::{
    flags::{Request, help},
    settings::{Programs, log_level, reloadable},
    value::Value,
};
use self::{
    options::{OPTIONS, OptionSpec, Support, Type, by_key},
    value::bytes_of,
};

/// Where the file is unless a flag names another.
pub(crate) const DEFAULT_FILE: &str = "/etc/corten/daemon.json";

/// Why the engine does not start with this configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// What the user reads.
    pub(crate) message: String,
    /// 125 for flags that cannot be read, as dockerd; else 1.
    pub(crate) code: u8,
}

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }
}

/// Values by option name.
pub(crate) type Values = BTreeMap<&'static str, Value>;

/// The merged configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    values: Values,
    flags: Values,
    environment: Environment,
}

/// What the environment says: proxies, by the options' names.
pub(crate) type Environment = BTreeMap<&'static str, String>;

impl Config {
    /// Reads the file that the flags name, or the default one if it is there, and merges.
    pub(crate) fn load(flags: Values, environment: Environment) -> Result<Self, ConfigError> {
        let given = match flags.get("config-file") {
            Some(Value::Text(path)) => Some(PathBuf::from(path)),
            _ => None,
        };
        let path_given = given.is_some();
        let path = given.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let failed = |why: String| {
            ConfigError::new(format!(
                "unable to configure the Docker daemon with file {}: {why}",
                path.display()
            ))
        };
        let from_file = match corten_sys::fs::if_there(corten_sys::fs::read(&path)) {
            Ok(Some(bytes)) => file::parse(&bytes).map_err(failed)?,
            Ok(None) if path_given => {
                return Err(failed(format!("open {}: no such file or directory", path.display())));
            }
            Ok(None) => Values::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        file::check_conflicts(&flags, &from_file).map_err(failed)?;
        let mut values = from_file;
        values.extend(runtimes::merged(&flags, &values));
        let config = Self {
            values,
            flags,
            environment,
        };
        config.check()?;
        Ok(config)
    }

    /// Reads the file again, with the same flags.
    pub(crate) fn reload(&self) -> Result<Self, ConfigError> {
        Self::load(self.flags.clone(), self.environment.clone())
    }

    /// The file that a flag names.
    pub(crate) fn file(&self) -> Option<&str> {
        match self.flags.get("config-file") {
            Some(Value::Text(path)) => Some(path),
            _ => None,
        }
    }

    /// All that was given, as a JSON document without secrets, for the log.
    pub(crate) fn to_json(&self) -> String {
        let shown = |name: &str, value: &Value| match value {
            Value::Text(text) if name.ends_with("-proxy") => masked(text).into(),
            other => other.to_json(),
        };
        let document: serde_json::Map<_, _> = self
            .values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), shown(name, value)))
            .collect();
        serde_json::Value::Object(document).to_string()
    }

    /// Names of options whose new values wait for a restart.
    pub(crate) fn changed_in_vain(&self, other: &Self) -> Vec<&'static str> {
        OPTIONS
            .iter()
            .filter(|option| {
                !option.reload
                    && !option.key.is_empty()
                    && self.values.get(option.name()) != other.values.get(option.name())
            })
            .map(|option| option.name())
            .collect()
    }

    /// The value of an option, if it was given.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(
            OPTIONS.iter().any(|option| option.name() == name),
            "{name} is an option"
        );
        self.values.get(name)
    }

    /// A switch's value, or its default.
    pub(crate) fn switch(&self, name: &str, default: bool) -> bool {
        match self.get(name) {
            Some(Value::Bool(on)) => *on,
            _ => default,
        }
    }

    /// A text's value; empty counts as not given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// What the environment says in place of an option.
    pub(crate) fn environment(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// A number's value.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A list's values.
    pub(crate) fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// A map's values.
    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        match self.get(name) {
            Some(Value::Map(map)) => map.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Where to listen.
    pub(crate) fn hosts(&self) -> Vec<String> {
        match self.list("hosts") {
            [] => vec!["unix:///run/corten.sock".to_owned()],
            hosts => hosts.to_vec(),
        }
    }

    /// The data root.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.text("data-root").unwrap_or("/var/lib/corten").into()
    }

    /// The exec root.
    pub(crate) fn exec_root(&self) -> PathBuf {
        self.text("exec-root").unwrap_or("/run/corten").into()
    }

    /// The file for the pid; none when it was given as empty.
    pub(crate) fn pidfile(&self) -> Option<PathBuf> {
        match self.get("pidfile") {
            Some(Value::Text(text)) if text.is_empty() => None,
            Some(Value::Text(text)) => Some(text.into()),
            _ => Some("/run/corten.pid".into()),
        }
    }

    /// Options that were given and change nothing, with the reason.
    pub(crate) fn without_effect(&self) -> Vec<String> {
        let given = self
            .values
            .keys()
            .filter_map(|name| OPTIONS.iter().find(|option| option.name() == *name));
        given
            .filter_map(|option| match option.support {
                Support::NoEffect(why) => Some(format!("the option {} has no effect: {why}", option.name())),
                _ => None,
            })
            .collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (name, value) in &self.values {
            let Some(spec) = OPTIONS.iter().find(|option| option.name() == *name) else {
                continue;
            };
            check_support(spec, value)?;
        }
        settings::check(self)
    }
}

/// An address without the name and password in it.
fn masked(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    match rest.rsplit_once('@') {
        Some((_, host)) if scheme.is_empty() => format!("xxxxx:xxxxx@{host}"),
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

fn check_support(spec: &OptionSpec, value: &Value) -> Result<(), ConfigError> {
    let printed = value.to_string();
    match spec.support {
        Support::Full | Support::NoEffect(_) => Ok(()),
        Support::Only(allowed, _) if allowed.contains(&printed.as_str()) || is_empty(spec.kind, value) => Ok(()),
        Support::Only(allowed, why) => Err(ConfigError::new(format!(
            "the option {} cannot be {printed:?}, only {}: {why}",
            spec.name(),
            allowed
                .iter()
                .map(|value| format!("{value:?}"))
                .collect::<Vec<_>>()
                .join(" or "),
        ))),
        Support::Removed(_) if is_empty(spec.kind, value) => Ok(()),
        Support::Removed(instead) => Err(ConfigError::new(format!(
            "the option {} was removed: {instead}",
            spec.name()
        ))),
        Support::None if is_empty(spec.kind, value) => Ok(()),
        Support::None => Err(ConfigError::new(format!("the option {} is not supported", spec.name()))),
    }
}

/// Whether a value is what dockerd takes for "not set".
fn is_empty(kind: Type, value: &Value) -> bool {
    match (kind, value) {
        (Type::Text, Value::Text(text)) => text.is_empty(),
        (Type::List, Value::List(items)) => items.is_empty(),
        (Type::Map, Value::Map(map)) => map.is_empty(),
        _ => false,
    }
}

/// Reads the command line.
pub(crate) fn parse_flags(args: impl Iterator<Item = OsString>) -> Result<Request, ConfigError> {
    flags::parse(args)
}

/// Reads and checks the bytes of a `daemon.json`; for fuzzing.
pub(crate) fn check_file(bytes: &[u8]) -> Result<(), String> {
    file::parse(bytes).map(|_| ())
}

#[cfg(test)]
mod tests;
