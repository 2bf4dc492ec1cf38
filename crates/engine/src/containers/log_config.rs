//! Options of the json-file log (Docker: "JSON File logging driver", options).

use std::{collections::BTreeMap, path::Path};

use corten_api::container::{Config, LogConfig};
use corten_shim::protocol::Log;

use crate::error::{Error, Result};

/// The size in bytes after which a log is rotated unless the user says otherwise.
const DEFAULT_MAX_SIZE: u64 = 20_000_000;
/// How many files are kept unless the user says otherwise.
const DEFAULT_MAX_FILES: u32 = 5;

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Bytes; none for no rotation.
    pub(crate) max_size: Option<u64>,
    /// Files kept, the current one included.
    pub(crate) max_files: u32,
    /// Whether rotated files are compressed.
    pub(crate) compress: bool,
}

/// Reads the options of a log.
///
/// Unlike Docker's, a log without options is bounded: 5 files of 20 MB; `max-size=-1` lets it grow.
pub(crate) fn parse(config: &LogConfig) -> Result<Rotation> {
    let option = |name: &str| config.options.get(name).map(String::as_str);
    let max_size = match option("max-size") {
        None => Some(DEFAULT_MAX_SIZE),
        Some("-1") => None,
        Some(text) => Some(size(text).ok_or_else(|| Error::invalid(format!("invalid size: '{text}'")))?),
    };
    let max_files = match option("max-file") {
        None if option("max-size").is_some() => 1,
        None => DEFAULT_MAX_FILES,
        Some(text) => match text.parse::<u32>() {
            Ok(0) => return Err(Error::invalid("max-file cannot be less than 1")),
            Ok(number) => number,
            Err(_) => return Err(Error::invalid(format!("max-file must be a whole number, not '{text}'"))),
        },
    };
    let compress = match option("compress") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(Error::invalid(format!("compress must be true or false, not '{other}'"))),
    };
    if compress && (max_files < 2 || max_size.is_none()) {
        return Err(Error::invalid(
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ));
    }
    Ok(Rotation {
        max_size,
        max_files,
        compress,
    })
}

/// A size such as `10m`, in units of 1024, as Docker's `RAMInBytes`.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let number: u64 = lower.get(..digits)?.parse().ok()?;
    let factor: u64 = match lower
        .get(digits..)?
        .trim_start()
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor).filter(|&bytes| bytes > 0)
}

/// The log as the shim is told to keep it.
pub(crate) fn for_shim(config: &LogConfig, container: &Config, path: &Path) -> Result<Log> {
    if config.driver == "none" {
        return Ok(Log::None);
    }
    let Rotation {
        max_size,
        max_files,
        compress,
    } = parse(config)?;
    Ok(Log::JsonFile {
        path: path.to_owned(),
        max_size,
        max_files,
        compress,
        attrs: attributes(config, container),
    })
}

/// Labels and variables that the options name.
fn attributes(config: &LogConfig, container: &Config) -> BTreeMap<String, String> {
    let names = |option: &str| {
        config
            .options
            .get(option)
            .map(|list| list.split(',').map(str::trim).collect::<Vec<_>>())
            .unwrap_or_default()
    };
    let mut attributes = BTreeMap::new();
    for name in names("labels") {
        if let Some(value) = container.labels.get(name) {
            attributes.insert(name.to_owned(), value.clone());
        }
    }
    for name in names("env") {
        let found = container
            .env
            .iter()
            .flatten()
            .find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = found {
            attributes.insert(name.to_owned(), value.to_owned());
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_options() {
        let config = |options: &[(&str, &str)]| LogConfig {
            driver: "json-file".into(),
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        };
        let check = |options: &[(&str, &str)], max_size, max_files, compress| {
            assert_eq!(
                parse(&config(options)).unwrap(),
                Rotation {
                    max_size,
                    max_files,
                    compress
                }
            );
        };
        check(&[], Some(20_000_000), 5, false);
        check(&[("max-size", "10k")], Some(10240), 1, false);
        check(&[("max-size", "-1")], None, 1, false);
        check(
            &[("max-size", "1m"), ("max-file", "3"), ("compress", "true")],
            Some(1 << 20),
            3,
            true,
        );
        for bad in [
            ("max-size", "x"),
            ("max-size", "0"),
            ("max-file", "0"),
            ("compress", "maybe"),
        ] {
            assert!(parse(&config(&[bad])).is_err(), "{bad:?}");
        }
    }
}
