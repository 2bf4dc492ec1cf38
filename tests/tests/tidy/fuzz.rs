//! The fuzz targets are a workspace of their own, with a lock file that nobody updates by the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{metadata, text};

/// What each of our crates depends on, by the lock file.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = text(Path::new("fuzz/Cargo.lock"));
    let mut packages = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let quoted = |line: &str| line.split('"').nth(1).unwrap_or_default().to_owned();
        let name = package.lines().find(|line| line.starts_with("name = ")).map(quoted);
        let dependencies = package.lines().skip_while(|line| *line != "dependencies = [").skip(1);
        let dependencies = dependencies.take_while(|line| *line != "]").map(quoted);
        // A name has its version behind it where there are several.
        let names = dependencies.map(|line| line.split(' ').next().unwrap_or_default().to_owned());
        packages.insert(name.expect("a name"), names.collect());
    }
    packages
}

#[test]
fn the_lock_of_the_fuzz_targets_is_fresh() {
    let locked = locked();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let mut seen = 0;
    for package in packages.iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().expect("a name");
        let Some(in_lock) = locked.get(name) else { continue };
        seen += 1;
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let wanted = dependencies.filter(|dependency| dependency["kind"] != "dev" && dependency["optional"] != true);
        let wanted: BTreeSet<String> = wanted
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(
            *in_lock, wanted,
            "fuzz/Cargo.lock is old: {name} depends on other crates now; run `cargo metadata --manifest-path fuzz/Cargo.toml`"
        );
    }
    assert!(seen > 10, "{seen} of our crates are fuzzed");
}
