//! Values with more than one way of writing them.

use std::collections::BTreeMap;
use std::fmt;

use corten_template::size;

use super::{
    Decode, Render,
    decode::{expected, integer, mapping, text},
};
use crate::{
    Node, Value,
    error::{Error, Result},
    output::{Format, Output},
};

/// Attributes that begin with `x-`, as they were written.
pub type Extensions = BTreeMap<String, Node>;

/// A size in bytes, written as `64m` or as a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub i64);

/// A span of time, written as `1m30s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    /// Nanoseconds; may be negative.
    pub nanoseconds: i64,
}

/// The bits of a file's mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileMode(pub i64);

/// How many devices: -1 is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceCount(pub i64);

/// Variables of the environment: one without a value is passed on from the environment of `corten`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, Option<String>>);

/// Labels, options and other texts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(pub BTreeMap<String, String>);

/// Further names of hosts, with their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraHosts(pub BTreeMap<String, Vec<String>>);

/// The command of a healthcheck, beginning with `CMD`, `CMD-SHELL` or `NONE`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthTest(pub Vec<String>);

/// A list of texts, which may be written as one text or with numbers.
pub type Strings = Vec<String>;

impl Decode for Bytes {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            Value::Int(value) => Ok(Self(*value)),
            #[expect(clippy::cast_possible_truncation, reason = "sizes beyond that mean the largest one")]
            Value::Float(value) => Ok(Self(*value as i64)),
            Value::Text(text) => parse_bytes(text)
                .map(Self)
                .ok_or_else(|| Error::invalid(format!("invalid size: '{text}'")).at(node.at)),
            _ => Err(expected(node, "a size")),
        }
    }
}

/// Reads a size: a number and a unit, each a power of 1024.
fn parse_bytes(text: &str) -> Option<i64> {
    size::parse(text, size::Base::Binary).ok()
}

impl Render for Bytes {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn render(&self, _: Format) -> Output {
        Output::Text(self.0.to_string())
    }
}

impl Duration {
    /// As the standard library has it; negative spans are none.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }

    /// Reads `1w2d3h4m5.5s`, `300ms`, `10us`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Self::default());
        }
        if rest.is_empty() {
            return None;
        }
        let mut total = 0_f64;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..end].parse().ok()?;
            rest = &rest[end..];
            let end = rest
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(rest.len());
            total += number * unit(&rest[..end])?;
            rest = &rest[end..];
        }
        if total >= 9.2e18 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        let nanoseconds = total.round() as i64;
        Some(Self {
            nanoseconds: if negative { -nanoseconds } else { nanoseconds },
        })
    }
}

/// A unit of time in nanoseconds.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        "w" => 604_800e9,
        _ => return None,
    })
}

/// As Go writes it: `1h0m0s`, `1.5s`, `300ms`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        if nanos == 0 {
            return f.write_str("0s");
        }
        if nanos < 1_000_000_000 {
            let (size, name) = match nanos {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "µs"),
                _ => (1_000_000, "ms"),
            };
            return write!(f, "{}{name}", fraction(nanos, size));
        }
        let minutes = nanos / 60_000_000_000;
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write!(f, "{}s", fraction(nanos % 60_000_000_000, 1_000_000_000))
    }
}

/// A number of units with as many digits after the point as it needs.
fn fraction(nanos: u64, size: u64) -> String {
    let (whole, rest) = (nanos / size, nanos % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

impl Decode for Duration {
    fn decode(node: &Node) -> Result<Self> {
        let text = text(node)?;
        Self::parse(&text).ok_or_else(|| Error::invalid(format!("time: invalid duration {text:?}")).at(node.at))
    }
}

impl Render for Duration {
    fn is_zero(&self) -> bool {
        self.nanoseconds == 0
    }

    fn render(&self, _: Format) -> Output {
        Output::Text(self.to_string())
    }
}

impl Decode for FileMode {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            Value::Text(text) => i64::from_str_radix(text, 8)
                .map(Self)
                .map_err(|_| Error::invalid(format!("{text:?} is not a mode in octal digits")).at(node.at)),
            _ => integer(node).map(Self),
        }
    }
}

impl Render for FileMode {
    fn is_zero(&self) -> bool {
        false
    }

    fn render(&self, _: Format) -> Output {
        Output::Text(format!("0{:o}", self.0))
    }
}

impl Decode for DeviceCount {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            Value::Text(text) if text.eq_ignore_ascii_case("all") => Ok(Self(-1)),
            Value::Text(text) => text.parse().map(Self).map_err(|_| {
                let message = format!("invalid value {text:?}, the only value allowed is 'all' or a number");
                Error::invalid(message).at(node.at)
            }),
            _ => integer(node).map(Self),
        }
    }
}

impl Render for DeviceCount {
    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn render(&self, _: Format) -> Output {
        Output::Int(i128::from(self.0))
    }
}

impl Decode for Variables {
    fn decode(node: &Node) -> Result<Self> {
        let value = |node: &Node| if node.is_null() { Ok(None) } else { text(node).map(Some) };
        let Value::List(list) = &node.value else {
            let map = mapping(node)?.iter().map(|(key, node)| Ok((key.clone(), value(node)?)));
            return map.collect::<Result<_>>().map(Self);
        };
        let mut variables = BTreeMap::new();
        for item in list {
            let line = text(item)?;
            let (key, value) = match line.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (line.as_str(), None),
            };
            if key.ends_with(char::is_whitespace) {
                let message = format!("environment variable {key} is declared with a trailing space");
                return Err(Error::invalid(message).at(item.at));
            }
            variables.insert(key.to_owned(), value);
        }
        Ok(Self(variables))
    }
}

impl Render for Variables {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn render(&self, format: Format) -> Output {
        self.0.render(format)
    }
}

impl Decode for Options {
    fn decode(node: &Node) -> Result<Self> {
        let value = |node: &Node| if node.is_null() { Ok(String::new()) } else { text(node) };
        let Value::List(list) = &node.value else {
            let map = mapping(node)?.iter().map(|(key, node)| Ok((key.clone(), value(node)?)));
            return map.collect::<Result<_>>().map(Self);
        };
        let lines = list.iter().map(|item| {
            let line = text(item)?;
            let (key, value) = line.split_once('=').unwrap_or((&line, ""));
            Ok((key.to_owned(), value.to_owned()))
        });
        lines.collect::<Result<_>>().map(Self)
    }
}

impl Render for Options {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn render(&self, format: Format) -> Output {
        self.0.render(format)
    }
}

impl std::ops::Deref for Options {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Options {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl std::ops::Deref for Variables {
    type Target = BTreeMap<String, Option<String>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Variables {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Decode for ExtraHosts {
    fn decode(node: &Node) -> Result<Self> {
        let mut hosts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if let Value::List(list) = &node.value {
            for item in list {
                let line = text(item)?;
                let Some((host, addresses)) = line.split_once('=').or_else(|| line.split_once(':')) else {
                    let message = format!("invalid additional host, missing IP: {line}");
                    return Err(Error::invalid(message).at(item.at));
                };
                let addresses = addresses.split(',').map(str::to_owned);
                hosts.entry(host.to_owned()).or_default().extend(addresses);
            }
        } else {
            for (host, addresses) in mapping(node)? {
                let addresses = match &addresses.value {
                    Value::List(list) => list.iter().map(text).collect::<Result<_>>()?,
                    Value::Null => vec![String::new()],
                    _ => vec![text(addresses)?],
                };
                hosts.insert(host.clone(), addresses);
            }
        }
        for (host, addresses) in &mut hosts {
            if host.is_empty() || host.contains([':', '=']) {
                return Err(Error::invalid(format!("bad host name '{host}'")).at(node.at));
            }
            for address in addresses {
                if let Some(inner) = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')) {
                    *address = inner.to_owned();
                }
            }
        }
        Ok(Self(hosts))
    }
}

impl ExtraHosts {
    /// `host<separator>address` for each of them, sorted.
    pub fn lines(&self, separator: &str) -> Vec<String> {
        let mut lines: Vec<_> = self
            .0
            .iter()
            .flat_map(|(host, addresses)| {
                addresses
                    .iter()
                    .map(move |address| format!("{host}{separator}{address}"))
            })
            .collect();
        lines.sort();
        lines
    }
}

impl Render for ExtraHosts {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn render(&self, format: Format) -> Output {
        self.lines("=").render(format)
    }
}

impl Decode for HealthTest {
    fn decode(node: &Node) -> Result<Self> {
        match &node.value {
            Value::Text(text) => Ok(Self(vec!["CMD-SHELL".to_owned(), text.clone()])),
            Value::List(list) => list.iter().map(text).collect::<Result<_>>().map(Self),
            _ => Err(expected(node, "a text or a list of texts")),
        }
    }
}

impl Render for HealthTest {
    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn render(&self, format: Format) -> Output {
        self.0.render(format)
    }
}

/// A part that JSON has even when it is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part<T>(pub T);

impl<T: Decode> Decode for Part<T> {
    fn decode(node: &Node) -> Result<Self> {
        T::decode(node).map(Self)
    }
}

impl<T: Render> Render for Part<T> {
    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    fn is_omitted(&self, format: Format) -> bool {
        format == Format::Yaml && self.0.is_zero()
    }

    fn render(&self, format: Format) -> Output {
        self.0.render(format)
    }
}

impl<T> std::ops::Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Part<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_durations_as_go_does() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                Duration::parse(text)
                    .map(|d| d.to_string())
                    .as_deref()
                    .unwrap_or("none"),
                expected,
                "{text}"
            );
        };
        check("90s", "1m30s");
        check("1h", "1h0m0s");
        check("1.5s", "1.5s");
        check("250ms", "250ms");
        check("10us", "10µs");
        check("1d", "24h0m0s");
        check("1w2d", "216h0m0s");
        check("0", "0s");
        check("-5m", "-5m0s");
        check("5", "none");
        check("", "none");
        check("5x", "none");
    }

    #[test]
    fn reads_sizes() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_bytes(text), expected, "{text}");
        check("64m", Some(64 << 20));
        check("1.5g", Some(3 << 29));
        check("10", Some(10));
        check("10b", Some(10));
        check("2 GiB", Some(2 << 30));
        check("2kb", Some(2048));
        check("2x", None);
        check("m", None);
        check("", None);
    }
}
