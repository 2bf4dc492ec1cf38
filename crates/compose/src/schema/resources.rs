//! Top-level resources.

use super::{
    ANYTHING, FLAG, LIST_OR_MAP, OPTIONS, Rule,
    Shape::{Any, Bool, Int, List, Null, Object, Text},
    TEXT,
};

/// Whether it exists already; `{name: x}` is the old way.
const EXTERNAL: Rule = &[Bool, Text, Any(ANYTHING)];

/// A network.
pub(super) const NETWORK: Rule = &[
    Null,
    Object(
        &[
            ("name", TEXT),
            ("driver", TEXT),
            ("driver_opts", OPTIONS),
            (
                "ipam",
                &[Object(
                    &[("driver", TEXT), ("config", &[List(POOL)]), ("options", &[Any(TEXT)])],
                    &[],
                )],
            ),
            ("external", EXTERNAL),
            ("internal", FLAG),
            ("enable_ipv4", FLAG),
            ("enable_ipv6", FLAG),
            ("attachable", FLAG),
            ("labels", LIST_OR_MAP),
        ],
        &[],
    ),
];

const POOL: Rule = &[Object(
    &[
        ("subnet", TEXT),
        ("ip_range", TEXT),
        ("gateway", TEXT),
        ("aux_addresses", &[Any(TEXT)]),
    ],
    &[],
)];

/// A volume.
pub(super) const VOLUME: Rule = &[
    Null,
    Object(
        &[
            ("name", TEXT),
            ("driver", TEXT),
            ("driver_opts", OPTIONS),
            ("external", EXTERNAL),
            ("labels", LIST_OR_MAP),
        ],
        &[],
    ),
];

/// A secret.
pub(super) const SECRET: Rule = &[Object(
    &[
        ("name", TEXT),
        ("environment", TEXT),
        ("file", TEXT),
        ("external", EXTERNAL),
        ("labels", LIST_OR_MAP),
        ("driver", TEXT),
        ("driver_opts", OPTIONS),
        ("template_driver", TEXT),
    ],
    &[],
)];

/// A config.
pub(super) const CONFIG: Rule = &[Object(
    &[
        ("name", TEXT),
        ("content", TEXT),
        ("environment", TEXT),
        ("file", TEXT),
        ("external", EXTERNAL),
        ("labels", LIST_OR_MAP),
        ("template_driver", TEXT),
    ],
    &[],
)];

/// A language model.
pub(super) const MODEL: Rule = &[Object(
    &[
        ("name", TEXT),
        ("model", TEXT),
        ("context_size", &[Int]),
        ("runtime_flags", &[List(TEXT)]),
    ],
    &["model"],
)];
