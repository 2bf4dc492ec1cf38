//! Values of the configuration: patterns, spans of time, sizes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A pattern for names: `*` stands for any letters, slashes included, and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(pub(crate) String);

impl Pattern {
    /// Whether a whole text fits.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut here) = (0, 0);
        // Where to go on when what followed the last star does not fit.
        let mut star = None;
        while here < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, here));
                    at += 1;
                }
                Some(letter) if *letter == b'?' || *letter == text[here] => {
                    at += 1;
                    here += 1;
                }
                _ => {
                    let Some((star_at, from)) = star else { return false };
                    star = Some((star_at, from + 1));
                    (at, here) = (star_at + 1, from + 1);
                }
            }
        }
        pattern[at..].iter().all(|letter| *letter == b'*')
    }

    /// Whether every text fits.
    pub(crate) fn is_everything(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|letter| letter == b'*')
    }
}

/// A span of time: `90s`, `15m`, `24h`, `30d`, or several together, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no span of time: write 90s, 15m, 24h or 30d");
        let (mut total, mut rest) = (0_u64, text);
        if text.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            let (seconds, unit) = match rest[digits..].bytes().next() {
                Some(b's') => (1, 1),
                Some(b'm') => (60, 1),
                Some(b'h') => (3600, 1),
                Some(b'd') => (86_400, 1),
                None if number == 0 => (0, 0),
                _ => return Err(wrong()),
            };
            let part = number.checked_mul(seconds).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = &rest[digits + unit..];
        }
        Ok(Self(Duration::from_secs(total)))
    }
}

/// A number of bytes: `1073741824`, `10GB` (powers of 1000), `10GiB` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity(pub(crate) u64);

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size: write 500MB, 10GB or 10GiB");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "t" | "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

/// A size as people read it: `1.5 MB`.
pub(crate) fn write_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // In tenths of the unit.
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

struct Text<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        number
            .to_string()
            .parse()
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text(std::marker::PhantomData, "a span of time such as \"24h\""))
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let quantity = deserializer.deserialize_any(Text(std::marker::PhantomData, "a size such as \"10GB\""))?;
        match quantity {
            Self(0) => Err(D::Error::custom(
                "a size of 0 allows nothing: leave it out for no limit",
            )),
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        let check = |pattern: &str, text: &str, expected| {
            assert_eq!(Pattern(pattern.into()).matches(text), expected, "{pattern} {text}");
        };
        check("*", "a/b", true);
        check("team/*", "team/a/b", true);
        check("team/*", "teams/a", false);
        check("team/*", "team", false);
        check("*-rc*", "1.0-rc1", true);
        check("*-rc*", "1.0", false);
        check("v?.?", "v1.2", true);
        check("v?.?", "v1.20", false);
        check("a*b*c", "aXbXbc", true);
        check("", "", true);
        check("", "a", false);
        assert!(Pattern("*".into()).is_everything() && !Pattern(String::new()).is_everything());
    }

    #[test]
    fn spans_and_sizes_are_read() {
        let span = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
        assert_eq!(span("90s"), Ok(90));
        assert_eq!(span("1h30m"), Ok(5400));
        assert_eq!(span("30d"), Ok(2_592_000));
        assert_eq!(span("0"), Ok(0));
        for bad in ["", "5", "h", "1x", "-1s", "99999999999999999999d", "1.5h"] {
            assert!(span(bad).is_err(), "{bad}");
        }
        let size = |text: &str| text.parse::<Quantity>().map(|size| size.0);
        assert_eq!(size("10GB"), Ok(10_000_000_000));
        assert_eq!(size("1 KiB"), Ok(1024));
        assert_eq!(size("7"), Ok(7));
        assert!(size("10XB").is_err() && size("").is_err());
        assert_eq!(write_size(999), "999 B");
        assert_eq!(write_size(1_540_000), "1.5 MB");
        assert_eq!(write_size(64 << 20), "67.1 MB");
    }
}
