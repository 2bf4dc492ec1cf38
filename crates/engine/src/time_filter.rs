//! Times in filters: `until=10m`, `until=2026-01-02T03:04:05`, `until=1700000000.5`
//! (Docker API, `until` of the prune calls and `since`/`until` of events and logs).

use corten_api::{filters::Filters, time::Time};
use jiff::{Timestamp, civil, tz::TimeZone};

use crate::error::{Error, Result};

/// The time that the filter `until` names; none when it is not there.
///
/// # Errors
/// `Invalid` for several values and for what is no time.
pub(crate) fn until(filters: &Filters) -> Result<Option<Time>> {
    let mut values = filters.values("until");
    let Some(text) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Error::invalid("more than one until filter specified"));
    }
    parse(text, Time::now())
        .map(Some)
        .map_err(|_| Error::invalid(format!("failed to parse value as time or duration: \"{text}\"")))
}

/// Reads a duration before `now`, seconds since the epoch, or a date and time.
///
/// # Errors
/// `Invalid` for everything else.
pub fn parse(text: &str, now: Time) -> Result<Time> {
    let bad = || Error::invalid(format!("invalid time \"{text}\""));
    if let Some(ago) = duration(text) {
        return Ok(Time::from_nanoseconds(now.nanoseconds().saturating_sub(ago)));
    }
    if let Some(nanoseconds) = epoch(text) {
        return Ok(Time::from_nanoseconds(nanoseconds));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.into());
    }
    let local = match text.parse::<civil::DateTime>() {
        Ok(local) => local,
        Err(_) => text
            .parse::<civil::Date>()
            .map_err(|_| bad())?
            .to_datetime(civil::Time::midnight()),
    };
    let zoned = local.to_zoned(TimeZone::system()).map_err(|_| bad())?;
    Ok(zoned.timestamp().into())
}

/// Go's durations: `1h2m3.5s`, in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, more) = rest.split_at(digits);
        let unit_length = more
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(more.len());
        let (unit, more) = more.split_at(unit_length);
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, unit)?)?;
        rest = more;
    }
    Some(sign * total)
}

/// A decimal number times a unit.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(i64::from(digit.checked_sub(b'0').filter(|d| *d < 10)?) * place)?;
    }
    Some(total)
}

fn epoch(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let nanoseconds = scaled(&format!("0.{fraction}"), 1_000_000_000).filter(|_| fraction.len() <= 18)?;
    // What is too far away for the type is far away all the same.
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        let now = Time::from_nanoseconds(1_000_000_000_000);
        let case = |text: &str, expected: &str| assert_eq!(parse(text, now).unwrap().to_string(), expected, "{text}");
        case("10m", "1970-01-01T00:06:40Z");
        case("1m0.5s", "1970-01-01T00:15:39.5Z");
        case("1700000000", "2023-11-14T22:13:20Z");
        case("1700000000.999", "2023-11-14T22:13:20.999Z");
        case("1700000000.000000001", "2023-11-14T22:13:20.000000001Z");
        case("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z");
        case("2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05Z");
        assert!(parse("2026-01-02T03:04:05", now).is_ok());
        assert!(parse("2026-01-02", now).is_ok());
        for bad in ["", "x", "10", "10x", "1.2.3", "m"] {
            assert_eq!(parse(bad, now).is_ok(), bad == "10", "{bad}");
        }
    }
}
