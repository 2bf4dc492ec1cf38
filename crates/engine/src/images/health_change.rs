//! `HEALTHCHECK` in `--change`.

use corten_oci::image::Healthcheck;

use super::changes::list;
use crate::error::{Error, Result};

/// Reads `NONE`, or flags and `CMD …`.
pub(super) fn parse(rest: &str) -> Result<Healthcheck> {
    let mut check = Healthcheck::default();
    let mut rest = rest;
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        set(&mut check, flag)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => check.test = vec!["NONE".to_owned()],
        "NONE" => return Err(Error::invalid("HEALTHCHECK NONE takes no arguments")),
        "CMD" if command.is_empty() => return Err(Error::invalid("Missing command after HEALTHCHECK CMD")),
        "CMD" => {
            check.test = match list(command) {
                Some(words) => [vec!["CMD".to_owned()], words].concat(),
                None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
            };
        }
        other => {
            return Err(Error::invalid(format!(
                "Unknown type \"{other}\" in HEALTHCHECK (try CMD)"
            )));
        }
    }
    Ok(check)
}

fn set(check: &mut Healthcheck, flag: &str) -> Result<()> {
    let (name, value) = flag.trim_start_matches("--").split_once('=').unwrap_or((flag, ""));
    let time = || {
        let bad = || Error::invalid(format!("invalid duration \"{value}\""));
        match nanoseconds(value).ok_or_else(bad)? {
            short if short != 0 && short < 1_000_000 => {
                Err(Error::invalid(format!("Interval \"{name}\" cannot be less than 1ms")))
            }
            other => Ok(other),
        }
    };
    match name {
        "interval" => check.interval = time()?,
        "timeout" => check.timeout = time()?,
        "start-period" => check.start_period = time()?,
        "start-interval" => check.start_interval = time()?,
        "retries" => {
            let retries: i64 = value
                .parse()
                .map_err(|_| Error::invalid(format!("strconv.ParseInt: parsing \"{value}\": invalid syntax")))?;
            if retries < 0 {
                return Err(Error::invalid(format!("--retries cannot be negative ({retries})")));
            }
            check.retries = retries;
        }
        other => {
            return Err(Error::invalid(format!(
                "unknown flag: {}",
                other.trim_start_matches('-')
            )));
        }
    }
    Ok(())
}

/// A Go duration such as `1m30s` or `1.5h`, in nanoseconds.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = text;
    if rest == "0" {
        return Some(0);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let factor = match rest.get(..unit)? {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * factor;
        rest = rest.get(unit..)?;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a float is cut at the largest number")]
    (total > 0.0).then_some(total as i64)
}
