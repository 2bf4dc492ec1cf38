//! The wall clock, and its time as Go's `time.RFC3339Nano` writes it in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Returns the nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Writes times, and remembers the second it wrote last: most log lines share it.
#[derive(Debug)]
pub(crate) struct Stamp {
    second: i64,
    /// `2006-01-02T15:04:05` of that second.
    text: [u8; 19],
}

impl Default for Stamp {
    fn default() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00",
        }
    }
}

impl Stamp {
    /// Appends the time `at`, in nanoseconds since the epoch, without the fraction's trailing zeros.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, at: i64) {
        let second = at.div_euclid(SECOND);
        if second != self.second {
            self.second = second;
            self.text = date_and_time(second);
        }
        out.extend_from_slice(&self.text);
        let mut fraction = *b".000000000Z";
        let mut rest = at.rem_euclid(SECOND);
        if rest == 0 {
            out.push(b'Z');
            return;
        }
        for place in fraction[1..10].iter_mut().rev() {
            *place = digit(rest % 10);
            rest /= 10;
        }
        let zeros = fraction[..10].iter().rev().take_while(|&&b| b == b'0');
        let end = 10 - zeros.count();
        fraction[end] = b'Z';
        out.extend_from_slice(&fraction[..=end]);
    }
}

/// The ASCII digit of `value`, which is 0 to 9.
fn digit(value: i64) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

fn date_and_time(second: i64) -> [u8; 19] {
    let (year, month, day) = civil(second.div_euclid(DAY));
    let rest = second.rem_euclid(DAY);
    let mut text = *b"0000-00-00T00:00:00";
    let mut put = |at: usize, width: usize, mut value: i64| {
        for place in text[at..at + width].iter_mut().rev() {
            *place = digit(value % 10);
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, rest / 3600);
    put(14, 2, rest / 60 % 60);
    put(17, 2, rest % 60);
    text
}

/// The Gregorian date of a day counted from 1970-01-01, reckoned in years that start in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        let mut stamp = Stamp::default();
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (100_000_000, "1970-01-01T00:00:00.1Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
            (1_709_251_199 * SECOND + 120, "2024-02-29T23:59:59.00000012Z"),
            (1_795_305_600 * SECOND, "2026-11-22T00:00:00Z"),
            (4_102_444_799 * SECOND + 999_999_999, "2099-12-31T23:59:59.999999999Z"),
        ] {
            let mut out = Vec::new();
            stamp.write(&mut out, at);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
