//! `network ls`.

use corten_api::network::Network;

use super::{join_labels, labelled_row, shown_id, utc_time};
use corten_template::Value;

/// The default table.
pub(crate) const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";

/// The headings.
pub(crate) const HEADINGS: [(&str, &str); 9] = [
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

/// A row.
pub(crate) fn row(network: &Network, truncate: bool) -> Value {
    labelled_row(
        "*network.networkContext",
        vec![
            ("CreatedAt", utc_time(network.created.timestamp()).into()),
            ("Driver", network.driver.as_str().into()),
            ("ID", shown_id(&network.id, truncate).into()),
            ("IPv4", network.enable_ipv4.to_string().into()),
            ("IPv6", network.enable_ipv6.to_string().into()),
            ("Internal", network.internal.to_string().into()),
            ("Labels", join_labels(&network.labels).into()),
            ("Name", network.name.as_str().into()),
            ("Scope", network.scope.as_str().into()),
        ],
        &network.labels,
    )
}
