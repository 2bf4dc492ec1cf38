//! Points in time for `--since` and `--until`: RFC 3339 and parts of it, Unix time, durations ago.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{duration, quote};

/// Reads a point in time; gives seconds since the epoch with a fraction, as the API takes it.
pub(crate) fn parse(value: &str, now: Timestamp, zone: &TimeZone) -> Result<String, String> {
    if value != "0"
        && let Ok(ago) = duration::parse(value)
    {
        let then = now.as_nanosecond() - i128::from(ago);
        return Ok(then.div_euclid(1_000_000_000).to_string());
    }
    if let Some(time) = parse_date(value, zone) {
        let nanoseconds = time.as_nanosecond();
        let (seconds, rest) = (
            nanoseconds.div_euclid(1_000_000_000),
            nanoseconds.rem_euclid(1_000_000_000),
        );
        return Ok(format!("{seconds}.{rest:09}"));
    }
    if is_unix(value) {
        return Ok(value.to_owned());
    }
    Err(format!("failed to parse value as time or duration: {}", quote(value)))
}

/// Whether a text is seconds since the epoch, with up to nine decimals.
fn is_unix(value: &str) -> bool {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let number = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_digit());
    number(whole.strip_prefix('-').unwrap_or(whole)) && number(fraction)
}

/// `2006-01-02[T15[:04[:05[.9]]]][zone]`.
fn parse_date(value: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (date, rest) = (value.get(..10)?, value.get(10..)?);
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at(zone_at);
    let clock = match clock.strip_prefix(['T', 't']) {
        Some(clock) => match clock.matches(':').count() {
            0 => format!("{clock}:00:00"),
            1 => format!("{clock}:00"),
            _ => clock.to_owned(),
        },
        None if clock.is_empty() => "00:00:00".to_owned(),
        None => return None,
    };
    let text = format!("{date}T{clock}");
    if offset.is_empty() {
        let time: DateTime = text.parse().ok()?;
        return zone.to_timestamp(time).ok();
    }
    format!("{text}{offset}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_points_in_time() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let check = |text, expected: &str| assert_eq!(parse(text, now, &TimeZone::UTC).unwrap(), expected, "{text}");
        check("10s", "999990");
        check("1970-01-01T00:00:01Z", "1.000000000");
        check("1970-01-01T00:00:01.5+00:00", "1.500000000");
        check("1970-01-02", "86400.000000000");
        check("1970-01-01T01", "3600.000000000");
        check("1970-01-01T00:02Z", "120.000000000");
        check("1136073845", "1136073845");
        check("1136073845.000000001", "1136073845.000000001");
        check("0", "0");
        assert_eq!(
            parse("nope", now, &TimeZone::UTC).unwrap_err(),
            "failed to parse value as time or duration: \"nope\""
        );
    }
}
