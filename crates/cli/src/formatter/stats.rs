//! `stats`.

use corten_template::Value;

use crate::opts::size::{binary, human_digits};

/// The default table.
pub(crate) const TABLE: &str =
    "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 9] = [
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    /// The container as the user named it.
    pub(crate) container: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) cpu_percent: f64,
    pub(crate) memory: f64,
    pub(crate) memory_limit: f64,
    pub(crate) received: f64,
    pub(crate) sent: f64,
    pub(crate) read: f64,
    pub(crate) written: f64,
    pub(crate) pids: i64,
    /// Whether nothing could be measured.
    pub(crate) invalid: bool,
}

/// A row.
pub(crate) fn row(sample: &Sample, truncate: bool) -> Value {
    let or = |value: String, other: &str| if sample.invalid { other.to_owned() } else { value };
    let percent = |value: f64| or(format!("{value:.2}%"), "--");
    let pair = |a: f64, b: f64| or(format!("{} / {}", human_digits(a, 3), human_digits(b, 3)), "--");
    let memory_percent = if sample.memory_limit > 0.0 {
        sample.memory / sample.memory_limit * 100.0
    } else {
        0.0
    };
    let name = if sample.name.is_empty() {
        "--"
    } else {
        sample.name.trim_start_matches('/')
    };
    Value::record(
        "*container.statsContext",
        vec![
            ("BlockIO", pair(sample.read, sample.written).into()),
            ("CPUPerc", percent(sample.cpu_percent).into()),
            ("Container", sample.container.as_str().into()),
            ("ID", super::shown_id(&sample.id, truncate).into()),
            ("MemPerc", percent(memory_percent).into()),
            (
                "MemUsage",
                or(
                    format!("{} / {}", binary(sample.memory), binary(sample.memory_limit)),
                    "-- / --",
                )
                .into(),
            ),
            ("Name", name.into()),
            ("NetIO", pair(sample.received, sample.sent).into()),
            ("PIDs", or(sample.pids.to_string(), "--").into()),
        ],
    )
}
