//! Parsers of flag values: pure functions with Docker's rules and error texts, one module a kind.

pub(crate) mod address;
pub(crate) mod csv;
pub(crate) mod device;
pub(crate) mod duration;
pub(crate) mod environment;
pub(crate) mod filter;
pub(crate) mod gpu;
pub(crate) mod limits;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod port;
pub(crate) mod size;
pub(crate) mod time;
pub(crate) mod volume;

use std::collections::BTreeMap;

/// A text in quotes, as Go's `%q`.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `name=value` pairs as a map; a name alone has an empty value.
pub(crate) fn pairs<S: AsRef<str>>(items: &[S]) -> BTreeMap<String, String> {
    items
        .iter()
        .map(|item| {
            let (name, value) = item.as_ref().split_once('=').unwrap_or((item.as_ref(), ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
