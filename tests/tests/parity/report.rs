//! What the report says, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One thing that Docker has.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The group it belongs to.
    pub(crate) area: String,
    /// The command, flag, endpoint or promise.
    pub(crate) item: String,
    /// How far we are.
    pub(crate) status: Status,
}

/// How far we are with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// It works; the test that names it.
    Works(String),
    /// It is refused by name; the test that sees that.
    Refused(String),
    /// It is not there, or nothing shows it; a remark.
    Missing(&'static str),
}

/// The totals by area, as a table.
pub(crate) fn totals(rows: &[Row]) -> String {
    let mut areas: Vec<(&str, [usize; 3])> = Vec::new();
    for row in rows {
        let at = areas.iter().position(|(area, _)| *area == row.area).unwrap_or_else(|| {
            areas.push((&row.area, [0; 3]));
            areas.len() - 1
        });
        let column = match row.status {
            Status::Works(_) => 0,
            Status::Refused(_) => 1,
            Status::Missing(_) => 2,
        };
        areas[at].1[column] += 1;
    }
    let mut text = "| area | works | refused by name | missing |\n|---|--:|--:|--:|\n".to_owned();
    for (area, [works, refused, missing]) in areas {
        _ = writeln!(text, "| {area} | {works} | {refused} | {missing} |");
    }
    text
}

/// One page: the totals, and a table for each area.
pub(crate) fn page(title: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "# {title}\n\nMade by `./x parity`; do not edit. *works*: a black-box test names it.\n\n{}",
        totals(rows)
    );
    let mut area = "";
    for row in rows {
        if area != row.area {
            area = &row.area;
            _ = write!(text, "\n## {area}\n\n| | | test |\n|---|---|---|\n");
        }
        let (status, test) = match &row.status {
            Status::Works(test) => ("works", test.as_str()),
            Status::Refused(test) => ("refused by name", test.as_str()),
            Status::Missing(why) => ("**missing**", *why),
        };
        _ = writeln!(text, "| {} | {status} | {test} |", row.item.replace('|', "\\|"));
    }
    text
}

/// Reads `tests/data/parity/refused.txt`: `item | test`.
pub(crate) fn refused(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" | "))
        .map(|(item, test)| (item.to_owned(), test.to_owned()))
        .collect()
}
