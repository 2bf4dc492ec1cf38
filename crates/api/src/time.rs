//! Points in time as Go writes them: RFC 3339 with nanoseconds, trailing zeros trimmed.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time; the default is Go's zero time, `0001-01-01T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

/// Go's zero time in seconds since the epoch.
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

impl Default for Time {
    fn default() -> Self {
        Self(Timestamp::from_second(GO_ZERO_SECONDS).unwrap_or(Timestamp::MIN))
    }
}

impl Time {
    /// The present.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The time this many nanoseconds after the epoch.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Timestamp::from_nanosecond(i128::from(nanoseconds)).map_or_else(|_| Self::default(), Self)
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Nanoseconds since the epoch; the ends of the range for times that do not fit.
    pub fn nanoseconds(self) -> i64 {
        let n = self.0.as_nanosecond();
        i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether this is Go's zero time, which stands for "never".
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The timestamp.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Time {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_go() {
        let check = |nanoseconds, expected: &str| assert_eq!(Time::from_nanoseconds(nanoseconds).to_string(), expected);
        check(1_500_000_000, "1970-01-01T00:00:01.5Z");
        check(1_000_000_001, "1970-01-01T00:00:01.000000001Z");
        check(1_000_000_000, "1970-01-01T00:00:01Z");
        assert_eq!(Time::default().to_string(), "0001-01-01T00:00:00Z");
        assert!("0001-01-01T00:00:00Z".parse::<Time>().unwrap().is_zero());
    }
}
