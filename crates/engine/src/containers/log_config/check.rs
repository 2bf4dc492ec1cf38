//! What Docker says to options that make no sense (moby, `daemon/logger/*`, `ValidateLogOpts`).

use corten_api::container::LogConfig;
use corten_template::{
    number,
    size::{self, Base},
};

use super::{
    Driver, Remote,
    facts::{Wanted, parse_tag},
    rotation,
};
use crate::{
    containers::delivery,
    error::{Error, Result},
};

/// Options of every driver: how much is kept of what waits, and the local copy.
const COMMON: [&str; 11] = [
    "mode",
    "max-buffer-size",
    "cache-disabled",
    "cache-max-size",
    "cache-max-file",
    "cache-compress",
    "cache-labels",
    "cache-labels-regex",
    "cache-env",
    "cache-env-regex",
    "cache-tag",
];
/// Options that say what accompanies each line.
const ATTRIBUTES: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
/// Options of drivers that keep files.
const FILES: [&str; 3] = ["max-file", "max-size", "compress"];

/// Checks a log driver and its options; also used for the engine's defaults.
///
/// # Errors
/// `Invalid` in Docker's words, `Unsupported` for drivers of Docker's that this engine lacks.
pub fn check(config: &LogConfig) -> Result<()> {
    let driver = Driver::of(config)?;
    if driver == Driver::None {
        return Ok(());
    }
    common(config).map_err(Error::invalid)?;
    names(driver, config)?;
    rotation::parse(config)?;
    for option in ["labels", "env"] {
        Wanted::parse(config, option)?;
    }
    if let Some(tag) = config.options.get("tag") {
        parse_tag(tag)?;
    }
    match driver {
        Driver::Remote(remote) => delivery::check(remote, &config.options).map_err(Error::invalid),
        Driver::None | Driver::JsonFile | Driver::Local => Ok(()),
    }
}

/// Options of every driver.
fn common(config: &LogConfig) -> Result<(), String> {
    let option = |name: &str| config.options.get(name).map(String::as_str);
    let mode = option("mode").unwrap_or_default();
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return Err(format!("logger: logging mode not supported: {mode}"));
    }
    if let Some(text) = option("max-buffer-size") {
        if mode != "non-blocking" {
            return Err("logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned());
        }
        size::parse(text, Base::Binary).map_err(|error| format!("error parsing option max-buffer-size: {error}"))?;
    }
    if let Some(text) = option("cache-disabled").filter(|text| !text.is_empty()) {
        number::parse_bool(text).map_err(|_| format!("invalid value for option cache-disabled: {text}"))?;
    }
    Ok(())
}

/// Refuses options that the driver does not have.
fn names(driver: Driver, config: &LogConfig) -> Result<()> {
    let known = |name: &str| {
        COMMON.contains(&name)
            || ATTRIBUTES.contains(&name)
            || match driver {
                Driver::JsonFile | Driver::Local => FILES.contains(&name),
                Driver::Remote(remote) => delivery::options(remote).contains(&name),
                Driver::None => false,
            }
    };
    let Some(name) = config.options.keys().find(|name| !known(name)) else {
        return Ok(());
    };
    Err(Error::invalid(match driver {
        Driver::Local => format!("unknown log opt '{name}' for log driver local"),
        Driver::Remote(Remote::Gelf) => format!("unknown log opt \"{name}\" for gelf log driver"),
        Driver::None | Driver::JsonFile | Driver::Remote(_) => {
            let driver = if config.driver.is_empty() {
                "json-file"
            } else {
                &config.driver
            };
            format!("unknown log opt '{name}' for {driver} log driver")
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::config, *};

    #[test]
    fn takes_docker_s_options() {
        let check = |driver, options: &[(&str, &str)]| {
            let checked = check(&config(driver, options));
            assert!(
                checked.is_ok(),
                "{driver} {options:?}: {}",
                checked.unwrap_err().report()
            );
        };
        check("", &[("mode", "non-blocking"), ("max-buffer-size", "4m")]);
        check(
            "json-file",
            &[("tag", "{{.Name}}"), ("labels-regex", "^a"), ("env", "A")],
        );
        check("local", &[("max-size", "1m"), ("env-regex", "x")]);
        check("journald", &[("tag", "x"), ("cache-disabled", "true")]);
        check(
            "syslog",
            &[("syslog-address", "tcp://h:1"), ("syslog-format", "rfc5424micro")],
        );
        check(
            "fluentd",
            &[("fluentd-address", "tls://h"), ("fluentd-retry-wait", "1s")],
        );
        check(
            "gelf",
            &[("gelf-address", "udp://h:1"), ("gelf-compression-level", "-1")],
        );
        check("none", &[("anything", "goes")]);
    }

    #[test]
    fn refuses_in_docker_s_words() {
        let check = |driver, options: &[(&str, &str)], expected: &str| {
            let refusal = check(&config(driver, options)).unwrap_err().report();
            assert_eq!(refusal, expected, "{driver} {options:?}");
        };
        check(
            "nope",
            &[],
            "error looking up logging plugin nope: plugin \"nope\" not found",
        );
        check(
            "json-file",
            &[("nope", "1")],
            "unknown log opt 'nope' for json-file log driver",
        );
        check("local", &[("nope", "1")], "unknown log opt 'nope' for log driver local");
        check(
            "journald",
            &[("max-size", "1")],
            "unknown log opt 'max-size' for journald log driver",
        );
        check(
            "gelf",
            &[("gelf-address", "udp://h:1"), ("nope", "1")],
            "unknown log opt \"nope\" for gelf log driver",
        );
        check("local", &[("mode", "x")], "logger: logging mode not supported: x");
        check(
            "local",
            &[("max-buffer-size", "1m")],
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        );
        check(
            "local",
            &[("mode", "non-blocking"), ("max-buffer-size", "x")],
            "error parsing option max-buffer-size: invalid size: 'x'",
        );
        check(
            "syslog",
            &[("cache-disabled", "x")],
            "invalid value for option cache-disabled: x",
        );
        check("local", &[("tag", "{{")], "template: log-tag:1: unclosed action");
    }
}
