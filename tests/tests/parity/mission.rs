//! What the product promises, item by item, each with the test that shows it.

use crate::evidence::Place;
use crate::report::{Row, Status};

/// The rows of `tests/data/parity/mission.txt`: `id | area | item | tests`, where a test is
/// `suite::file::function` or `golden name`, `refused suite::…` for what is refused by name, or nothing.
pub(crate) fn rows(text: &str, places: &[Place]) -> Vec<Row> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [id, area, item, tests] = parts.as_slice() else {
                panic!("{line}: not four parts");
            };
            Row {
                area: (*area).to_owned(),
                item: format!("{id} {item}"),
                status: status(tests, places),
            }
        })
        .collect()
}

fn status(tests: &str, places: &[Place]) -> Status {
    if tests.is_empty() {
        return Status::Missing("");
    }
    let (is_refused, names) = tests
        .strip_prefix("refused ")
        .map_or((false, tests), |names| (true, names));
    for name in names.split(", ") {
        assert!(
            places.iter().any(|place| place.name == name),
            "tests/data/parity/mission.txt names {name}, which is no test"
        );
    }
    if is_refused {
        Status::Refused(names.to_owned())
    } else {
        Status::Works(names.to_owned())
    }
}
