//! Names of containers: what the embedded server at 127.0.0.11 knows, and what it answers.
//!
//! The engine writes two kinds of file, the shim reads them again for every question; so names are
//! answered while no engine runs, and nobody has to be told when one changes:
//!
//! - a [zone] for each network, in the exec root: who is on it, by which names;
//! - [`Settings`] for each container, [`FILE`] in its bundle: which networks it is on, its links, and
//!   whom to ask for other names.
//!
//! Everything here is pure: [`message`] takes questions apart and puts answers together, [`decide`]
//! says what to do with a question. The program `corten-shim` has the sockets.

pub mod message;
pub mod settings;
pub mod zone;

use std::net::IpAddr;
use std::path::Path;

use message::{Question, Record, kind};
pub use settings::{Place, Settings};
use zone::Found;

/// The file of a container's [`Settings`] in its bundle.
pub const FILE: &str = "names";

/// What to do with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The name is known here; there may be no record of the kind asked for.
    Answer(Vec<Record>),
    /// Others may know it.
    Forward,
    /// Nobody is asked.
    Fail,
}

/// Decides what to do with a question. `read` gives the text of a zone, `turn` says with which of
/// several addresses to begin.
pub fn decide(
    question: &Question,
    settings: &Settings,
    turn: usize,
    mut read: impl FnMut(&Path) -> Option<String>,
) -> Decision {
    let known = match (&question.name, question.kind) {
        _ if question.class != message::CLASS_INTERNET => None,
        (Some(name), kind::PTR) => reverse(name, settings, &mut read),
        (Some(name), _) => forward(name, settings, &mut read).map(|found| records(&found, question.kind, turn)),
        (None, _) => None,
    };
    match known {
        Some(records) => Decision::Answer(records),
        None if waits_for_search(question, settings) => Decision::Answer(Vec::new()),
        None if settings.forwards => Decision::Forward,
        None => Decision::Fail,
    }
}

/// With `ndots` set, a name without a dot comes again with a search domain (Docker does so too).
fn waits_for_search(question: &Question, settings: &Settings) -> bool {
    let is_address = matches!(question.kind, kind::A | kind::AAAA);
    let single = question.name.as_ref().is_some_and(|name| !name.contains('.'));
    settings.ndots && is_address && single
}

/// Looks a name up as it is, then without its last parts when these name a network: links first.
fn forward(name: &str, settings: &Settings, read: &mut impl FnMut(&Path) -> Option<String>) -> Option<Found> {
    let mut cut = name.len();
    loop {
        let (host, network) = (&name[..cut], name.get(cut + 1..));
        for by_link in [true, false] {
            for place in &settings.networks {
                if network.is_some_and(|network| !place.name.eq_ignore_ascii_case(network)) {
                    continue;
                }
                let target = match by_link {
                    true => place.links.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(host)),
                    false => None,
                };
                let wanted = match (by_link, target) {
                    (true, None) => continue,
                    (true, Some((_, target))) => target.as_str(),
                    (false, _) => host,
                };
                let found = read(&place.zone).map(|zone| zone::look_up(&zone, wanted));
                if let Some(found) = found.filter(|found| found.exists) {
                    return Some(found);
                }
            }
        }
        cut = host.rfind('.').filter(|dot| *dot > 0)?;
    }
}

/// Finds whose address a name below `in-addr.arpa` or `ip6.arpa` is.
fn reverse(name: &str, settings: &Settings, read: &mut impl FnMut(&Path) -> Option<String>) -> Option<Vec<Record>> {
    let address = message::address_of(name)?;
    settings.networks.iter().find_map(|place| {
        let zone = read(&place.zone)?;
        let owner = zone::owner(&zone, address)?;
        Some(vec![Record::Ptr(format!("{owner}.{}", place.name))])
    })
}

fn records(found: &Found, wanted: u16, turn: usize) -> Vec<Record> {
    let mut records = Vec::new();
    if matches!(wanted, kind::A | kind::ANY) {
        records.extend(found.v4.iter().copied().map(Record::A));
    }
    if matches!(wanted, kind::AAAA | kind::ANY) {
        records.extend(found.v6.iter().copied().map(Record::Aaaa));
    }
    if let Some(by) = turn.checked_rem(records.len()) {
        records.rotate_left(by);
    }
    records
}

/// The name servers of a `resolv.conf(5)`, at most three, as resolvers take them.
pub fn servers(resolv_conf: &str) -> Vec<IpAddr> {
    const MOST: usize = 3;
    let lines = resolv_conf
        .lines()
        .map(|line| line.split(['#', ';']).next().unwrap_or_default());
    let words = lines.map(|line| {
        let mut words = line.split_whitespace();
        (words.next(), words.next())
    });
    let values = words.filter_map(|(key, value)| value.filter(|_| key == Some("nameserver")));
    values.filter_map(|value| value.parse().ok()).take(MOST).collect()
}

#[cfg(test)]
mod tests;
