//! `deploy`.

use super::{
    Field, INT, LIST_OR_MAP, NUMBER, Rule,
    Shape::{Choice, Int, List, Null, Object, Set, Text},
    TEXT, TEXTS,
};

/// `deploy`.
pub(super) const DEPLOY: Rule = &[
    Null,
    Object(
        &[
            ("mode", TEXT),
            ("endpoint_mode", TEXT),
            ("replicas", INT),
            ("labels", LIST_OR_MAP),
            ("rollback_config", UPDATE),
            ("update_config", UPDATE),
            ("resources", RESOURCES),
            (
                "restart_policy",
                &[Object(
                    &[
                        ("condition", TEXT),
                        ("delay", TEXT),
                        ("max_attempts", INT),
                        ("window", TEXT),
                    ],
                    &[],
                )],
            ),
            (
                "placement",
                &[Object(
                    &[
                        ("constraints", TEXTS),
                        ("preferences", &[List(&[Object(&[("spread", TEXT)], &[])])]),
                        ("max_replicas_per_node", INT),
                    ],
                    &[],
                )],
            ),
        ],
        &[],
    ),
];

const UPDATE: Rule = &[Object(
    &[
        ("parallelism", INT),
        ("delay", TEXT),
        ("failure_action", TEXT),
        ("monitor", TEXT),
        ("max_failure_ratio", NUMBER),
        ("order", &[Choice(&["start-first", "stop-first"])]),
    ],
    &[],
)];

const RESOURCES: Rule = &[Object(
    &[
        (
            "limits",
            &[Object(&[("cpus", NUMBER), ("memory", TEXT), ("pids", INT)], &[])],
        ),
        (
            "reservations",
            &[Object(
                &[
                    ("cpus", NUMBER),
                    ("memory", TEXT),
                    ("generic_resources", GENERIC),
                    ("devices", &[List(&[Object(DEVICE, &["capabilities"])])]),
                ],
                &[],
            )],
        ),
    ],
    &[],
)];

const GENERIC: Rule = &[List(&[Object(
    &[(
        "discrete_resource_spec",
        &[Object(&[("kind", TEXT), ("value", NUMBER)], &[])],
    )],
    &[],
)])];

/// A request for devices.
pub(super) const DEVICE: &[Field] = &[
    ("capabilities", &[Set(TEXT)]),
    ("count", &[Text, Int]),
    ("device_ids", &[Set(TEXT)]),
    ("driver", TEXT),
    ("options", LIST_OR_MAP),
];
