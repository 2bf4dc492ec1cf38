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
pub(crate) mod port;
pub(crate) mod size;
pub(crate) mod time;
pub(crate) mod volume;

use std::collections::BTreeMap;

pub(crate) use corten_template::{number, quote};

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
