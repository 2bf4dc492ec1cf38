//! Durations: Go's notation (`1m30s`) and Docker's way to say them (`About a minute`).

pub(crate) use corten_template::duration::parse;

const SECOND: i64 = 1_000_000_000;

/// Checks a duration.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// A duration for people, from nanoseconds (go-units, `HumanDuration`).
pub(crate) fn human(nanoseconds: i64) -> String {
    let seconds = nanoseconds / SECOND;
    let minutes = seconds / 60;
    // Hours are rounded to the nearest one.
    let hours = (nanoseconds + 1800 * SECOND).div_euclid(3600 * SECOND);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        assert_eq!(parse("1h30m"), Ok(5400 * SECOND));
        assert_eq!(parse("1.5s"), Ok(1_500_000_000));
        assert_eq!(parse("-10ms"), Ok(-10_000_000));
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse("x").unwrap_err(), "time: invalid duration \"x\"");
        assert_eq!(parse("5x").unwrap_err(), "time: unknown unit \"x\" in duration \"5x\"");
    }

    #[test]
    fn says_durations() {
        let check = |seconds: i64, expected: &str| assert_eq!(human(seconds * SECOND), expected, "{seconds}");
        check(0, "Less than a second");
        check(1, "1 second");
        check(59, "59 seconds");
        check(60, "About a minute");
        check(119, "About a minute");
        check(120, "2 minutes");
        check(3599, "59 minutes");
        check(3600, "About an hour");
        check(5400, "2 hours");
        check(47 * 3600, "47 hours");
        check(48 * 3600, "2 days");
        check(14 * 24 * 3600, "2 weeks");
        check(60 * 24 * 3600, "2 months");
        check(730 * 24 * 3600, "2 years");
    }
}
