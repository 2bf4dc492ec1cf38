//! Licences, bans and duplicates among the crates that we take, by `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{metadata, text};

/// Name, version and licence of every crate from outside that is built.
fn taken() -> Vec<(String, String, String)> {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let from_outside = packages.filter(|package| !package["source"].is_null());
    let field = |package: &serde_json::Value, name: &str| package[name].as_str().unwrap_or_default().to_owned();
    from_outside
        .filter(|package| used.contains(package["id"].as_str().unwrap_or_default()))
        .map(|package| {
            (
                field(package, "name"),
                field(package, "version"),
                field(package, "license"),
            )
        })
        .collect()
}

/// The texts in quotes of a list in `deny.toml`, up to the line that closes it.
fn list(name: &str) -> Vec<String> {
    let text = text(Path::new("deny.toml"));
    let lines = text.lines().skip_while(|line| *line != format!("{name} = [")).skip(1);
    let lines = lines.take_while(|line| *line != "]");
    lines
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

/// Whether a licence expression can be met: `OR` needs one side, `AND` both.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    // `(A OR B) AND C`, the only shape with parentheses, has its AND outermost.
    plain.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|licence| allowed.iter().any(|allowed| allowed == licence.trim()))
    })
}

#[test]
fn licences_are_permissive() {
    let allowed = list("allow");
    assert!(!allowed.is_empty());
    for (name, version, licence) in taken() {
        assert!(is_allowed(&licence, &allowed), "{name} {version}: {licence:?}");
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    assert!(is_allowed("Apache-2.0 OR MIT", &allowed));
    assert!(is_allowed("(MIT OR Apache-2.0) AND ISC", &allowed));
    assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
    assert!(!is_allowed("", &allowed));
}

#[test]
fn banned_crates_are_absent() {
    let banned = list("deny");
    assert!(!banned.is_empty());
    for (name, version, _) in taken() {
        assert!(!banned.contains(&name), "{name} {version} is banned by deny.toml");
    }
}

#[test]
fn no_crate_comes_twice_without_a_reason() {
    let skipped = list("skip");
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let taken = taken();
    for (name, version, _) in &taken {
        if !skipped.contains(&format!("{name}@{version}")) {
            versions.entry(name.clone()).or_default().insert(version.clone());
        }
    }
    for (name, versions) in versions {
        assert!(versions.len() == 1, "{name} comes as {versions:?}");
    }
    for skipped in skipped {
        let is_there = taken
            .iter()
            .any(|(name, version, _)| *skipped == format!("{name}@{version}"));
        assert!(is_there, "deny.toml skips {skipped}, which is not there");
    }
}
