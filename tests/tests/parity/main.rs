//! How much of Docker is there: the report under `docs/parity`.
//!
//! Every command and flag, every endpoint, every item of the mission *works* (a black-box test names
//! it), is *refused by name*, or is *missing*. What tests name is read from their sources; what the
//! executable knows, from itself. With `CORTEN_WRITE_PARITY` in the environment (`./x parity`) the
//! report is written; otherwise compared.

mod attributes;
mod commands;
mod endpoints;
mod evidence;
mod literals;
mod mission;
mod report;

use corten_sys::fs;
use corten_tests::programs;

use report::{Row, Status};

fn data(name: &str) -> String {
    let path = programs::root().join("tests/data/parity").join(name);
    fs::read_to_string(&path).expect("the data")
}

#[test]
fn the_report_is_fresh() {
    let places = evidence::gather();
    let refused = report::refused(&data("refused.txt"));
    for test in refused.values() {
        assert!(
            places.iter().any(|place| place.name == *test),
            "tests/data/parity/refused.txt names {test}, which is no test"
        );
    }
    let pages = [
        (
            "commands.md",
            "Commands and flags",
            commands::rows(&commands::read(&data("commands.txt")), &places, &refused),
        ),
        (
            "endpoints.md",
            "Endpoints of the API",
            endpoints::rows(&data("endpoints.txt"), &places, &refused),
        ),
        (
            "compose.md",
            "Attributes of Compose files",
            attributes::rows(&data("attributes.txt"), &places),
        ),
        (
            "mission.md",
            "What the product promises",
            mission::rows(&data("mission.txt"), &places),
        ),
    ];
    let folder = programs::root().join("docs/parity");
    let write = std::env::var_os("CORTEN_WRITE_PARITY").is_some();
    if write {
        fs::create_dir_all(&folder).expect("a folder");
    }
    for (name, title, rows) in &pages {
        let text = report::page(title, rows);
        if write {
            fs::write(folder.join(name), &text).expect("a file");
        }
        let written = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            written == text,
            "docs/parity/{name} is not what the tests say: run ./x parity"
        );
    }
    let lost: Vec<_> = pages
        .iter()
        .filter(|(name, ..)| *name != "mission.md")
        .flat_map(|(_, _, rows)| rows)
        .filter(|row| must_work(row))
        .collect();
    assert!(lost.is_empty(), "missing: {lost:#?}");
}

/// Whether the row is of an area that is complete, and has nothing to show.
fn must_work(row: &Row) -> bool {
    COMPLETE.contains(&row.area.as_str()) && matches!(row.status, Status::Missing(_))
}

/// Areas of commands, endpoints and attributes in which nothing may be missing any more.
const COMPLETE: [&str; 17] = [
    "attributes of build",
    "attributes of deploy",
    "attributes of projects",
    "attributes of services",
    "buildx",
    "checkpoint",
    "container",
    "context",
    "exec",
    "image",
    "manifest",
    "network",
    "plugin",
    "registry",
    "system",
    "trust",
    "volume",
];
