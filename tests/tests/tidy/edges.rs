//! Which crate may know which: the table in ARCHITECTURE.md against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{metadata, text};

type Edges = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_depend_on_what_the_map_says() {
    let (drawn, real) = (drawn(), real());
    assert!(!drawn.is_empty(), "ARCHITECTURE.md has no table of crates");
    for (name, edges) in &real {
        let drawn = drawn
            .get(name)
            .unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        assert_eq!(
            edges, drawn,
            "{name} depends on the left, and on the right by ARCHITECTURE.md"
        );
    }
    for name in drawn.keys() {
        assert!(
            real.contains_key(name),
            "ARCHITECTURE.md has a row for {name}, which is no crate"
        );
    }
}

/// Rows like ``| `store` | `oci` `sys` | blobs, layers |``.
fn drawn() -> Edges {
    let map = text(Path::new("ARCHITECTURE.md"));
    let rows = map.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() >= 5)
        .map(|cells| (names(cells[1]).into_iter().next().unwrap_or_default(), names(cells[2])))
        .collect()
}

/// The words between backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn real() -> Edges {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = packages.iter().filter(|package| package["source"].is_null());
    let short = |name: &str| name.strip_prefix("corten-").unwrap_or(name).to_owned();
    ours.filter(|package| package["name"] != "corten-tests")
        .map(|package| {
            let name = short(package["name"].as_str().expect("a name"));
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let edges = dependencies
                .filter(|dependency| dependency["kind"].is_null())
                .filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("corten-"))
                .map(str::to_owned)
                .collect();
            (name, edges)
        })
        .collect()
}
