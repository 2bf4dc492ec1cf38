//! `volume ls`.

use corten_api::volume::Volume;

use super::{join_labels, labelled_row};
use corten_template::Value;

use crate::opts::size::{float, human};

/// The default table.
pub(crate) const TABLE: &str = "{{.Driver}}\t{{.Name}}";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 10] = [
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Availability", "AVAILABILITY"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

/// A row.
pub(crate) fn row(volume: &Volume) -> Value {
    let labels = volume.labels.clone().unwrap_or_default();
    let (links, size) = match &volume.usage_data {
        Some(usage) => (usage.ref_count.to_string(), human(float(usage.size))),
        None => ("N/A".to_owned(), "N/A".to_owned()),
    };
    labelled_row(
        "*formatter.volumeContext",
        vec![
            ("Availability", "N/A".into()),
            ("Driver", volume.driver.as_str().into()),
            ("Group", "N/A".into()),
            ("Labels", join_labels(&labels).into()),
            ("Links", links.into()),
            ("Mountpoint", volume.mountpoint.as_str().into()),
            ("Name", volume.name.as_str().into()),
            ("Scope", volume.scope.as_str().into()),
            ("Size", size.into()),
            ("Status", "N/A".into()),
        ],
        &labels,
    )
}
