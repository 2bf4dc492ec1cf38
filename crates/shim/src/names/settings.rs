//! What one container's server needs to know besides the zones, as a file.
//!
//! ```text
//! forward yes
//! ndots no
//! server 10.0.0.53
//! network front /run/corten/networks/0123….zone
//! link db postgres
//! ```
//!
//! A `link` belongs to the `network` above it: the first word is the name, the second whom it means.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use super::zone::is_word;

/// How names are answered in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its networks; those that come first are asked first.
    pub networks: Vec<Place>,
    /// Servers that the user named, which are asked from within the container's network; when there
    /// are none, those of the host's resolv.conf are asked from the host's.
    pub servers: Vec<IpAddr>,
    /// Whether others are asked for names that are not known: not on internal networks.
    pub forwards: bool,
    /// Whether the user or the host has set the resolver's option `ndots`.
    pub ndots: bool,
}

impl Default for Settings {
    /// Knows nobody, and asks the host's servers.
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            servers: Vec::new(),
            forwards: true,
            ndots: false,
        }
    }
}

/// A container's place on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The network's name.
    pub name: String,
    /// Its zone file.
    pub zone: PathBuf,
    /// Names that this container alone knows, and the names they stand for.
    pub links: Vec<(String, String)>,
}

impl Settings {
    /// The file's text. What cannot be asked for, such as names with spaces, is left out.
    #[must_use]
    pub fn render(&self) -> String {
        let word = |yes: bool| if yes { "yes" } else { "no" };
        let mut text = format!("forward {}\nndots {}\n", word(self.forwards), word(self.ndots));
        // Writing to a string cannot fail.
        for server in &self.servers {
            let _ = writeln!(text, "server {server}");
        }
        for place in &self.networks {
            let path = place.zone.to_string_lossy();
            if path.contains(['\n', '\r']) {
                continue;
            }
            let name = if is_word(&place.name) { place.name.as_str() } else { "-" };
            let _ = writeln!(text, "network {name} {path}");
            for (alias, target) in place
                .links
                .iter()
                .filter(|(alias, target)| is_word(alias) && is_word(target))
            {
                let _ = writeln!(text, "link {alias} {target}");
            }
        }
        text
    }

    /// Reads the file's text; lines that are none of it are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for line in text.lines() {
            let Some((key, rest)) = line.split_once(' ') else {
                continue;
            };
            match (key, rest.split_once(' ')) {
                ("forward", _) => settings.forwards = rest == "yes",
                ("ndots", _) => settings.ndots = rest == "yes",
                ("server", _) => settings.servers.extend(rest.parse::<IpAddr>()),
                ("network", Some((name, zone))) => settings.networks.push(Place {
                    name: name.to_owned(),
                    zone: zone.into(),
                    links: Vec::new(),
                }),
                ("link", Some((alias, target))) => {
                    if let Some(place) = settings.networks.last_mut() {
                        place.links.push((alias.to_owned(), target.to_owned()));
                    }
                }
                _ => {}
            }
        }
        settings
    }
}
