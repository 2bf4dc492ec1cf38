//! How a log is bounded: the options of `json-file` and `local`, and of the local copy that every
//! other driver has (Docker: "JSON File logging driver", "Local file logging driver", "Dual logging").

use std::collections::BTreeMap;

use corten_api::container::LogConfig;
use corten_template::{
    number,
    size::{self, Base},
};

use super::Driver;
use crate::error::{Error, Result};

/// The size in bytes after which a log is rotated unless the user says otherwise.
const DEFAULT_MAX_SIZE: u64 = 20_000_000;
/// How many files are kept unless the user says otherwise.
const DEFAULT_MAX_FILES: u32 = 5;
/// A driver that delivers needs one file to read while another one is written.
const LEAST_FILES_OF_COPY: u32 = 2;

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

/// Reads the options that bound a log; none for a container without one.
///
/// # Errors
/// `Invalid` in Docker's words.
pub(crate) fn parse(config: &LogConfig) -> Result<Option<Rotation>> {
    let rotation = match Driver::of(config)? {
        Driver::None => return Ok(None),
        Driver::JsonFile => of_json_file(&config.options),
        Driver::Local => of_local(&config.options, ""),
        Driver::Remote(_) => of_local(&config.options, "cache-").map(|rotation| Rotation {
            max_files: rotation.max_files.max(LEAST_FILES_OF_COPY),
            ..rotation
        }),
    };
    rotation.map(Some).map_err(Error::invalid)
}

/// Unlike Docker's, a log without options is bounded: 5 files of 20 MB; `max-size=-1` lets it grow.
fn of_json_file(options: &BTreeMap<String, String>) -> Result<Rotation, String> {
    let option = |name: &str| options.get(name).map(String::as_str);
    let max_size = match option("max-size") {
        None => Some(DEFAULT_MAX_SIZE),
        Some("-1") => None,
        Some(text) => match size::parse(text, Base::Decimal)? {
            ..1 => return Err("max-size must be a positive number".to_owned()),
            bytes => u64::try_from(bytes).ok(),
        },
    };
    let max_files = match option("max-file") {
        None if option("max-size").is_some() => 1,
        None => DEFAULT_MAX_FILES,
        Some(text) => match whole(text)? {
            ..1 => return Err("max-file cannot be less than 1".to_owned()),
            files => files.unsigned_abs(),
        },
    };
    let compress = option("compress").map_or(Ok(false), number::parse_bool)?;
    if compress && (max_files < 2 || max_size.is_none()) {
        return Err("compress cannot be true when max-file is less than 2 or max-size is not set".to_owned());
    }
    Ok(Rotation {
        max_size,
        max_files,
        compress,
    })
}

/// The options of `local`; with a prefix those of a local copy, which is compressed only when asked for.
fn of_local(options: &BTreeMap<String, String>, prefix: &str) -> Result<Rotation, String> {
    let option = |name: &str| options.get(&format!("{prefix}{name}")).map(String::as_str);
    let invalid = |name: &str, text: &str, error: String| format!("invalid value for {prefix}{name}: {text}: {error}");
    let max_size = match option("max-size") {
        None => DEFAULT_MAX_SIZE,
        Some(text) => {
            let bytes = size::parse(text, Base::Decimal).map_err(|error| invalid("max-size", text, error))?;
            u64::try_from(bytes).map_err(|_| format!("{prefix}max-size must not be negative"))?
        }
    };
    let max_files = match option("max-file") {
        None => DEFAULT_MAX_FILES,
        Some(text) => {
            let files = whole(text).map_err(|error| invalid("max-file", text, error))?;
            u32::try_from(files).map_err(|_| format!("{prefix}max-file must not be negative"))?
        }
    };
    let compress = match option("compress") {
        None => prefix.is_empty(),
        Some(text) => {
            number::parse_bool(text).map_err(|error| format!("invalid boolean value for {prefix}compress: {error}"))?
        }
    };
    if compress && max_files <= 1 {
        return Err("compression cannot be enabled when max file count is 1".to_owned());
    }
    Ok(Rotation {
        max_size: (max_size > 0).then_some(max_size),
        max_files: max_files.max(1),
        compress,
    })
}

/// A whole number as Go's `strconv.Atoi` reads it.
pub(crate) fn whole(text: &str) -> Result<i32, String> {
    let quoted = corten_template::quote(text);
    text.strip_prefix('+')
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("strconv.Atoi: parsing {quoted}: invalid syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: &str, options: &[(&str, &str)]) -> Result<Option<Rotation>> {
        parse(&super::super::tests::config(driver, options))
    }

    #[test]
    fn reads_options() {
        let check = |driver, options: &[(&str, &str)], max_size, max_files, compress| {
            let expected = Rotation {
                max_size,
                max_files,
                compress,
            };
            assert_eq!(read(driver, options).unwrap(), Some(expected), "{driver} {options:?}");
        };
        check("json-file", &[], Some(20_000_000), 5, false);
        check("json-file", &[("max-size", "10k")], Some(10_000), 1, false);
        check("json-file", &[("max-size", "-1")], None, 1, false);
        check(
            "json-file",
            &[("max-size", "1m"), ("max-file", "3"), ("compress", "true")],
            Some(1_000_000),
            3,
            true,
        );
        check("local", &[], Some(20_000_000), 5, true);
        check(
            "local",
            &[("max-size", "1.5m"), ("max-file", "1"), ("compress", "0")],
            Some(1_500_000),
            1,
            false,
        );
        check("syslog", &[], Some(20_000_000), 5, false);
        check(
            "syslog",
            &[("cache-max-size", "2k"), ("cache-max-file", "1")],
            Some(2000),
            2,
            false,
        );
        assert_eq!(read("none", &[]).unwrap(), None);
    }

    #[test]
    fn refuses_in_docker_s_words() {
        let check = |driver, options: &[(&str, &str)], expected: &str| {
            assert_eq!(read(driver, options).unwrap_err().report(), expected);
        };
        check("json-file", &[("max-size", "x")], "invalid size: 'x'");
        check("json-file", &[("max-size", "0")], "max-size must be a positive number");
        check("json-file", &[("max-file", "0")], "max-file cannot be less than 1");
        check(
            "json-file",
            &[("max-file", "two")],
            "strconv.Atoi: parsing \"two\": invalid syntax",
        );
        check(
            "json-file",
            &[("compress", "maybe")],
            "strconv.ParseBool: parsing \"maybe\": invalid syntax",
        );
        check(
            "json-file",
            &[("compress", "true"), ("max-size", "1m")],
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        );
        check(
            "local",
            &[("max-size", "x")],
            "invalid value for max-size: x: invalid size: 'x'",
        );
        check(
            "local",
            &[("max-file", "1")],
            "compression cannot be enabled when max file count is 1",
        );
        check("local", &[("max-file", "-1")], "max-file must not be negative");
    }
}
