//! Services.

use super::{
    ANYTHING, COMMAND, EXTRA_HOSTS, FLAG, Field, INT, LIST_OR_MAP, NUMBER, OPTIONS, Rule,
    Shape::{
        Any, Between, Bool, Choice, Closed, From, Int, List, LooseNames, Null, Number, Object, Open, PullPolicy, Set,
        Text,
    },
    TEXT, TEXT_OR_LIST, TEXT_OR_SET, TEXT_SET, TEXTS, deploy,
};

/// A service.
pub(super) const SERVICE: Rule = &[Object(FIELDS, &[])];

const FIELDS: &[Field] = &[
    ("develop", DEVELOP),
    ("deploy", deploy::DEPLOY),
    ("annotations", LIST_OR_MAP),
    ("attach", FLAG),
    ("build", BUILD),
    ("blkio_config", BLKIO),
    ("cap_add", TEXT_SET),
    ("cap_drop", TEXT_SET),
    ("cgroup", &[Choice(&["host", "private"])]),
    ("cgroup_parent", TEXT),
    ("command", COMMAND),
    ("configs", FILE_MOUNTS),
    ("container_name", TEXT),
    ("cpu_count", &[Text, From(0)]),
    ("cpu_percent", &[Text, Between(0, 100)]),
    ("cpu_shares", NUMBER),
    ("cpu_quota", NUMBER),
    ("cpu_period", NUMBER),
    ("cpu_rt_period", NUMBER),
    ("cpu_rt_runtime", NUMBER),
    ("cpus", NUMBER),
    ("cpuset", TEXT),
    (
        "credential_spec",
        &[Object(&[("config", TEXT), ("file", TEXT), ("registry", TEXT)], &[])],
    ),
    ("depends_on", &[Set(TEXT), LooseNames(DEPENDENCY)]),
    ("device_cgroup_rules", TEXT_SET),
    (
        "devices",
        &[List(&[
            Text,
            Object(
                &[("source", TEXT), ("target", TEXT), ("permissions", TEXT)],
                &["source"],
            ),
        ])],
    ),
    ("dns", TEXT_OR_SET),
    ("dns_opt", TEXT_SET),
    ("dns_search", TEXT_OR_SET),
    ("domainname", TEXT),
    ("entrypoint", COMMAND),
    (
        "env_file",
        &[
            Text,
            List(&[
                Text,
                Closed(&[("path", TEXT), ("format", TEXT), ("required", FLAG)], &["path"]),
            ]),
        ],
    ),
    ("label_file", TEXT_OR_LIST),
    ("environment", LIST_OR_MAP),
    ("expose", &[Set(&[Text, Number])]),
    (
        "extends",
        &[Text, Closed(&[("service", TEXT), ("file", TEXT)], &["service"])],
    ),
    (
        "provider",
        &[Object(
            &[
                ("type", TEXT),
                ("options", &[Any(&[Text, Number, Bool, List(&[Text, Number, Bool])])]),
            ],
            &["type"],
        )],
    ),
    ("external_links", TEXT_SET),
    ("extra_hosts", EXTRA_HOSTS),
    ("gpus", &[Choice(&["all"]), List(&[Open(deploy::DEVICE)])]),
    ("group_add", &[Set(&[Text, Number])]),
    ("healthcheck", HEALTHCHECK),
    ("hostname", TEXT),
    ("image", TEXT),
    ("init", FLAG),
    ("ipc", TEXT),
    ("isolation", TEXT),
    ("labels", LIST_OR_MAP),
    ("links", TEXT_SET),
    (
        "logging",
        &[Object(
            &[("driver", TEXT), ("options", &[Any(&[Text, Number, Null])])],
            &[],
        )],
    ),
    ("mac_address", TEXT),
    ("mem_limit", NUMBER),
    ("mem_reservation", INT),
    ("mem_swappiness", INT),
    ("memswap_limit", NUMBER),
    ("network_mode", TEXT),
    (
        "models",
        &[
            Set(TEXT),
            LooseNames(&[Object(&[("endpoint_var", TEXT), ("model_var", TEXT)], &[]), Null]),
        ],
    ),
    ("networks", &[Set(TEXT), super::Shape::Names(NETWORK)]),
    ("oom_kill_disable", FLAG),
    ("oom_score_adj", &[Text, Between(-1000, 1000)]),
    ("pid", &[Text, Null]),
    ("pids_limit", NUMBER),
    ("platform", TEXT),
    ("ports", &[Set(&[Number, Text, Object(PORT, &[])])]),
    ("post_start", &[List(HOOK)]),
    ("pre_stop", &[List(HOOK)]),
    ("privileged", FLAG),
    ("profiles", TEXT_SET),
    ("pull_policy", &[PullPolicy]),
    ("pull_refresh_after", TEXT),
    ("read_only", FLAG),
    ("restart", TEXT),
    ("runtime", TEXT),
    ("scale", INT),
    ("security_opt", TEXT_SET),
    ("shm_size", NUMBER),
    ("secrets", FILE_MOUNTS),
    ("sysctls", LIST_OR_MAP),
    ("stdin_open", FLAG),
    ("stop_grace_period", TEXT),
    ("stop_signal", TEXT),
    ("storage_opt", &[Any(ANYTHING)]),
    ("tmpfs", TEXT_OR_SET),
    ("tty", FLAG),
    ("ulimits", ULIMITS),
    ("use_api_socket", &[Bool]),
    ("user", TEXT),
    ("uts", TEXT),
    ("userns_mode", TEXT),
    ("volumes", &[Set(&[Text, Object(MOUNT, &["type"])])]),
    ("volumes_from", TEXT_SET),
    ("working_dir", TEXT),
];

const BUILD: Rule = &[
    Text,
    Object(
        &[
            ("context", TEXT),
            ("dockerfile", TEXT),
            ("dockerfile_inline", TEXT),
            ("entitlements", TEXTS),
            ("args", LIST_OR_MAP),
            ("ssh", LIST_OR_MAP),
            ("labels", LIST_OR_MAP),
            ("cache_from", TEXTS),
            ("cache_to", TEXTS),
            ("no_cache", FLAG),
            ("additional_contexts", LIST_OR_MAP),
            ("network", TEXT),
            ("provenance", FLAG),
            ("sbom", FLAG),
            ("pull", FLAG),
            ("target", TEXT),
            ("shm_size", INT),
            ("extra_hosts", EXTRA_HOSTS),
            ("isolation", TEXT),
            ("privileged", FLAG),
            ("secrets", FILE_MOUNTS),
            ("tags", TEXTS),
            ("ulimits", ULIMITS),
            ("platforms", TEXTS),
        ],
        &[],
    ),
];

const BLKIO: Rule = &[Closed(
    &[
        ("device_read_bps", RATES),
        ("device_read_iops", RATES),
        ("device_write_bps", RATES),
        ("device_write_iops", RATES),
        ("weight", INT),
        (
            "weight_device",
            &[List(&[Closed(&[("path", TEXT), ("weight", INT)], &[])])],
        ),
    ],
    &[],
)];

const RATES: Rule = &[List(&[Closed(&[("path", TEXT), ("rate", INT)], &[])])];

const CONDITIONS: &[&str] = &["service_started", "service_healthy", "service_completed_successfully"];

const DEPENDENCY: Rule = &[Object(
    &[
        ("restart", FLAG),
        ("required", &[Bool]),
        ("condition", &[Choice(CONDITIONS)]),
    ],
    &["condition"],
)];

const DEVELOP: Rule = &[
    Null,
    Object(
        &[(
            "watch",
            &[List(&[Object(
                &[
                    ("ignore", TEXT_OR_SET),
                    ("include", TEXT_OR_SET),
                    ("path", TEXT),
                    (
                        "action",
                        &[Choice(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])],
                    ),
                    ("target", TEXT),
                    ("exec", HOOK),
                    ("initial_sync", &[Bool]),
                ],
                &["path", "action"],
            )])],
        )],
        &[],
    ),
];

const HOOK: Rule = &[Object(
    &[
        ("command", COMMAND),
        ("user", TEXT),
        ("privileged", FLAG),
        ("working_dir", TEXT),
        ("environment", LIST_OR_MAP),
    ],
    &["command"],
)];

const HEALTHCHECK: Rule = &[Object(
    &[
        ("disable", FLAG),
        ("interval", TEXT),
        ("retries", NUMBER),
        ("test", TEXT_OR_LIST),
        ("timeout", TEXT),
        ("start_period", TEXT),
        ("start_interval", TEXT),
    ],
    &[],
)];

const NETWORK: Rule = &[
    Object(
        &[
            ("aliases", TEXT_SET),
            ("interface_name", TEXT),
            ("ipv4_address", TEXT),
            ("ipv6_address", TEXT),
            ("link_local_ips", TEXT_SET),
            ("mac_address", TEXT),
            ("driver_opts", OPTIONS),
            ("priority", &[Number]),
            ("gw_priority", &[Number]),
        ],
        &[],
    ),
    Null,
];

const PORT: &[Field] = &[
    ("name", TEXT),
    ("mode", TEXT),
    ("host_ip", TEXT),
    ("target", INT),
    ("published", INT),
    ("protocol", TEXT),
    ("app_protocol", TEXT),
];

const FILE_MOUNTS: Rule = &[List(&[
    Text,
    Object(
        &[
            ("source", TEXT),
            ("target", TEXT),
            ("uid", TEXT),
            ("gid", TEXT),
            ("mode", NUMBER),
        ],
        &[],
    ),
])];

const ULIMITS: Rule = &[LooseNames(&[
    Int,
    Text,
    Object(&[("hard", INT), ("soft", INT)], &["soft", "hard"]),
])];

const MOUNT: &[Field] = &[
    (
        "type",
        &[Choice(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])],
    ),
    ("source", TEXT),
    ("target", TEXT),
    ("read_only", FLAG),
    ("consistency", TEXT),
    (
        "bind",
        &[Object(
            &[
                ("propagation", TEXT),
                ("create_host_path", FLAG),
                ("recursive", &[Choice(&["enabled", "disabled", "writable", "readonly"])]),
                ("selinux", &[Choice(&["z", "Z"])]),
            ],
            &[],
        )],
    ),
    (
        "volume",
        &[Object(
            &[("labels", LIST_OR_MAP), ("nocopy", FLAG), ("subpath", TEXT)],
            &[],
        )],
    ),
    ("tmpfs", &[Object(&[("size", &[From(0), Text]), ("mode", NUMBER)], &[])]),
    ("image", &[Object(&[("subpath", TEXT)], &[])]),
];
