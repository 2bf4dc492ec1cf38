//! Who is on a network, as a file: a line for each container, with its addresses or `-` and its names.
//!
//! ```text
//! 172.18.0.2 - web 0123456789ab www
//! 172.18.0.3 fd00::3 db 123456789abc
//! ```
//!
//! The first name is the one that an address leads back to. Several lines may have one name: then it
//! has several addresses.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A container on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// Its names, its own first.
    pub names: Vec<String>,
}

/// What a name means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Whether anybody has it.
    pub exists: bool,
    /// Addresses.
    pub v4: Vec<Ipv4Addr>,
    /// Addresses.
    pub v6: Vec<Ipv6Addr>,
}

/// The text of a zone. Names that no question can hold are left out.
#[must_use]
pub fn render<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let mut text = String::new();
    for entry in entries {
        // Writing to a string cannot fail.
        let _ = match entry.v4 {
            Some(v4) => write!(text, "{v4}"),
            None => write!(text, "-"),
        };
        let _ = match entry.v6 {
            Some(v6) => write!(text, " {v6}"),
            None => write!(text, " -"),
        };
        for name in entry.names.iter().filter(|name| is_word(name)) {
            let _ = write!(text, " {name}");
        }
        text.push('\n');
    }
    text
}

/// Looks a name up, without regard to the case of its letters.
#[must_use]
pub fn look_up(zone: &str, name: &str) -> Found {
    let mut found = Found::default();
    for line in zone.lines() {
        let mut words = line.split(' ');
        let (v4, v6) = (words.next(), words.next());
        if !words.any(|word| word.eq_ignore_ascii_case(name)) {
            continue;
        }
        found.exists = true;
        found.v4.extend(v4.and_then(|text| text.parse::<Ipv4Addr>().ok()));
        found.v6.extend(v6.and_then(|text| text.parse::<Ipv6Addr>().ok()));
    }
    found
}

/// The name of who has an address.
#[must_use]
pub fn owner(zone: &str, address: IpAddr) -> Option<&str> {
    zone.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (v4, v6) = (words.next()?, words.next()?);
        let text = if address.is_ipv4() { v4 } else { v6 };
        let is_it = text.parse() == Ok(address);
        words.next().filter(|name| is_it && !name.is_empty())
    })
}

/// Whether a text can be a name in a file of words.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
