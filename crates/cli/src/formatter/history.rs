//! `history`.

use corten_api::image::History;
use jiff::{Timestamp, tz::TimeZone};

use super::{ago, ellipsis, shown_id};
use corten_template::Value;

use crate::opts::size::{float, human_digits};

/// The default table.
pub(crate) const TABLE: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
/// The default table with plain numbers.
pub(crate) const TABLE_PLAIN: &str = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 6] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// A row.
pub(crate) fn row(step: &History, truncate: bool, human: bool) -> Value {
    let by = step.created_by.replace('\t', " ");
    let by = if truncate { ellipsis(&by, 45) } else { by };
    let at = Timestamp::from_second(step.created)
        .map(|t| {
            t.to_zoned(TimeZone::system())
                .strftime("%Y-%m-%dT%H:%M:%S%:z")
                .to_string()
        })
        .unwrap_or_default()
        .replace("+00:00", "Z");
    let size = if human {
        human_digits(float(step.size), 3)
    } else {
        step.size.to_string()
    };
    Value::record(
        "*history.historyContext",
        vec![
            ("Comment", step.comment.as_str().into()),
            ("CreatedAt", at.into()),
            ("CreatedBy", by.into()),
            ("CreatedSince", ago(step.created).into()),
            ("ID", shown_id(&step.id, truncate).into()),
            ("Size", size.into()),
        ],
    )
}
