//! Names of containers: which are allowed, and random ones.

use crate::error::{Error, Result};

/// The left half of a random name.
const QUALITIES: [&str; 64] = [
    "able", "agile", "amber", "ample", "awake", "bold", "brave", "bright", "brisk", "bronze", "calm", "candid",
    "clear", "clever", "cobalt", "coral", "cosy", "crisp", "dapper", "daring", "eager", "early", "earnest", "fair",
    "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "hardy", "hearty", "honest", "humble",
    "ivory", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "modest", "noble", "patient",
    "plucky", "proud", "quick", "quiet", "rapid", "ready", "rusty", "sober", "solid", "steady", "sturdy", "sunny",
    "tidy", "vivid", "warm", "wise",
];
/// The right half: what is found in harbours and shipyards.
const THINGS: [&str; 64] = [
    "anchor",
    "anvil",
    "barge",
    "beacon",
    "bollard",
    "bow",
    "bridge",
    "buoy",
    "cable",
    "canal",
    "capstan",
    "cargo",
    "chain",
    "clipper",
    "coaster",
    "compass",
    "crane",
    "cutter",
    "davit",
    "derrick",
    "dock",
    "dredger",
    "ferry",
    "forge",
    "freighter",
    "frigate",
    "galley",
    "gantry",
    "girder",
    "gull",
    "hangar",
    "harbour",
    "hawser",
    "helm",
    "hull",
    "jetty",
    "keel",
    "ketch",
    "lantern",
    "lighter",
    "lock",
    "mast",
    "mole",
    "moor",
    "oar",
    "packet",
    "pier",
    "pilot",
    "pontoon",
    "port",
    "quay",
    "rivet",
    "rudder",
    "schooner",
    "sextant",
    "sloop",
    "spar",
    "steamer",
    "tanker",
    "tender",
    "tide",
    "trawler",
    "tug",
    "winch",
];

/// Checks a name that the user chose and takes the slash off that some clients put before it.
///
/// # Errors
/// `Invalid` in Docker's words.
pub(crate) fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bare.len() > 1
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if valid {
        return Ok(bare);
    }
    Err(Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// A random name that is not `taken`.
pub(crate) fn random(mut taken: impl FnMut(&str) -> bool) -> String {
    for attempt in 0.. {
        let bytes = crate::identifiers::random().into_bytes();
        let pick =
            |at: usize| usize::from(bytes[at]) * 31 + usize::from(bytes[at + 1]) * 7 + usize::from(bytes[at + 2]);
        let mut name = format!(
            "{}_{}",
            QUALITIES[pick(0) % QUALITIES.len()],
            THINGS[pick(9) % THINGS.len()]
        );
        if attempt > 5 {
            name.push_str(&String::from_utf8_lossy(&bytes[20..24]));
        }
        if !taken(&name) {
            return name;
        }
    }
    unreachable!("the loop has no end but a free name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_as_docker() {
        for good in ["ab", "/web", "a.b-c_d", "0x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-ab", "bad name!", "a/b", "ä1"] {
            assert_eq!(
                check(bad).unwrap_err().message(),
                format!("Invalid container name ({bad}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
            );
        }
    }

    #[test]
    fn random_names_are_allowed_and_free() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..500 {
            let name = random(|name| seen.contains(name));
            assert!(check(&name).is_ok());
            assert!(seen.insert(name));
        }
    }
}
