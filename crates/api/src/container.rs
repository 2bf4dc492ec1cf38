//! Containers (Docker API, `/containers`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::host_config::{
    BindOptions, DeviceMapping, DeviceRequest, DriverConfig, HostConfig, LogConfig, Mount, PortBinding, Resources,
    RestartPolicy, SubpathOptions, ThrottleDevice, TmpfsOptions, Ulimit, VolumeOptions, WeightDevice,
};
use crate::{
    image::{Empty, GraphDriver},
    network::EndpointSettings,
    time::Time,
};

/// What runs in a container (Docker API, definition `ContainerConfig`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Host name.
    pub hostname: String,
    /// Domain name.
    pub domainname: String,
    /// User and group.
    pub user: String,
    /// Whether input is attached.
    pub attach_stdin: bool,
    /// Whether standard output is attached.
    pub attach_stdout: bool,
    /// Whether standard error is attached.
    pub attach_stderr: bool,
    /// Ports it listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether input stays open.
    pub open_stdin: bool,
    /// Whether input is closed when the first client leaves.
    pub stdin_once: bool,
    /// Environment, `NAME=value`; a bare `NAME` takes the variable away.
    pub env: Option<Vec<String>>,
    /// Arguments.
    pub cmd: Option<Vec<String>>,
    /// The health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Whether the command is already escaped (Windows).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// The image, as the user named it.
    pub image: String,
    /// Paths that become anonymous volumes.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Working directory.
    pub working_dir: String,
    /// The program; `[""]` in a request takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    /// Whether it has no network (obsolete).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub network_disabled: bool,
    /// Hardware address (obsolete).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// Instructions for builds on top of it.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The signal that stops it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Seconds to wait for it to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// How a container's health is probed; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// Empty to inherit, `NONE`, or `CMD`/`CMD-SHELL` and the command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two probes.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub interval: i64,
    /// How long a probe may take.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub timeout: i64,
    /// How long failures do not count.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub start_period: i64,
    /// Between two probes in that time.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub retries: i64,
}

/// Networks to join.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// Settings by network name.
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// Body of `POST /containers/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRequest {
    /// What runs.
    #[serde(flatten)]
    pub config: Config,
    /// What it may use of the host.
    pub host_config: HostConfig,
    /// Networks to join.
    pub networking_config: NetworkingConfig,
}

/// Answer of `POST /containers/create`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Created {
    /// The id, 64 hexadecimal digits.
    pub id: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// One element of `GET /containers/json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Summary {
    /// The id.
    pub id: String,
    /// Names, each with a leading slash.
    pub names: Vec<String>,
    /// The image, as the user named it.
    pub image: String,
    /// The image's id.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// The command line.
    pub command: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// Ports.
    pub ports: Vec<Port>,
    /// Bytes that it wrote; only when asked for, and not when there are none.
    #[serde(skip_serializing_if = "none_or_zero")]
    pub size_rw: Option<i64>,
    /// Bytes of its whole root; likewise.
    #[serde(skip_serializing_if = "none_or_zero")]
    pub size_root_fs: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub state: String,
    /// The state for people: `Up 5 minutes`.
    pub status: String,
    /// Its network mode.
    pub host_config: SummaryHostConfig,
    /// Its networks.
    pub network_settings: SummaryNetworkSettings,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
}

/// The part of `HostConfig` that lists show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryHostConfig {
    /// Network mode.
    pub network_mode: String,
    /// Metadata for the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The part of `NetworkSettings` that lists show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SummaryNetworkSettings {
    /// Endpoints by network name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// A port in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The host's address.
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// The container's port.
    pub private_port: u16,
    /// The host's port.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub public_port: u16,
    /// `tcp`, `udp` or `sctp`.
    #[serde(rename = "Type")]
    pub protocol: String,
}

/// A mount, as answers show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// The volume's driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// Options as the user gave them.
    pub mode: String,
    /// Whether it can be written.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// How mounts propagate.
    pub propagation: String,
}

/// Answer of `GET /containers/{id}/json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Inspect {
    /// The id.
    pub id: String,
    /// When it was made.
    pub created: Time,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its state.
    pub state: State,
    /// The image's id.
    pub image: String,
    /// The host's file behind `/etc/resolv.conf`.
    pub resolv_conf_path: String,
    /// The host's file behind `/etc/hostname`.
    pub hostname_path: String,
    /// The host's file behind `/etc/hosts`.
    pub hosts_path: String,
    /// The local log.
    pub log_path: String,
    /// The name, with a leading slash.
    pub name: String,
    /// How often it was restarted.
    pub restart_count: i64,
    /// `overlay2`.
    pub driver: String,
    /// Operating system.
    pub platform: String,
    /// SELinux label of its files.
    pub mount_label: String,
    /// SELinux label of its processes.
    pub process_label: String,
    /// AppArmor profile.
    pub app_armor_profile: String,
    /// Execs that run.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// What it may use of the host.
    pub host_config: HostConfig,
    /// Where its files are.
    pub graph_driver: GraphDriver,
    /// Bytes that it wrote; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<i64>,
    /// Bytes of its whole root; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<i64>,
    /// Its mounts.
    pub mounts: Vec<MountPoint>,
    /// What runs.
    pub config: Config,
    /// Its networks.
    pub network_settings: NetworkSettings,
}

/// A container's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// Whether it runs, paused or not.
    pub running: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it waits to be restarted.
    pub restarting: bool,
    /// Whether the kernel killed it for lack of memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Whether it could not be removed.
    pub dead: bool,
    /// The first process as the host counts; 0 when it does not run.
    pub pid: i32,
    /// How it ended.
    pub exit_code: i32,
    /// Why it could not start.
    pub error: String,
    /// When it last started.
    pub started_at: Time,
    /// When it last ended.
    pub finished_at: Time,
    /// Its health.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// A container's health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy` or `none`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last probes.
    pub log: Vec<HealthProbe>,
}

/// One probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthProbe {
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// How it ended.
    pub exit_code: i32,
    /// What it wrote.
    pub output: String,
}

/// A container's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// The default bridge's link (obsolete).
    pub bridge: String,
    /// The id of its network namespace.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// The path of its network namespace.
    pub sandbox_key: String,
    /// Host ports by container port.
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// Obsolete.
    pub hairpin_mode: bool,
    /// Obsolete.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Obsolete.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    /// Obsolete.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<Empty>>,
    /// Obsolete.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<Empty>>,
    /// Of the endpoint in the default bridge.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Likewise.
    pub gateway: String,
    /// Likewise.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Likewise.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Likewise.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Likewise.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// Likewise.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// Likewise.
    pub mac_address: String,
    /// Endpoints by network name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// Go's lists leave out numbers that are zero.
fn none_or_zero(size: &Option<i64>) -> bool {
    size.is_none_or(|size| size == 0)
}

/// Answer of `POST /containers/{id}/wait`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitResult {
    /// How it ended.
    pub status_code: i64,
    /// Why waiting failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<WaitError>,
}

/// Why waiting failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WaitError {
    /// The sentence.
    pub message: String,
}

/// Answer of `GET /containers/{id}/top`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Top {
    /// Columns.
    pub titles: Vec<String>,
    /// Rows.
    pub processes: Vec<Vec<String>>,
}

/// Body of `POST /containers/{id}/update`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateRequest {
    /// New limits; zero and empty fields stay as they are.
    #[serde(flatten)]
    pub resources: Resources,
    /// The new restart policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
}

/// Answer of `POST /containers/{id}/update`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Updated {
    /// What the user should know.
    pub warnings: Option<Vec<String>>,
}

/// One element of `GET /containers/{id}/changes`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Change {
    /// The path in the container.
    pub path: String,
    /// 0 changed, 1 added, 2 deleted.
    pub kind: u8,
}

/// Answer of `POST /containers/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pruned {
    /// Ids of what was removed.
    pub containers_deleted: Option<Vec<String>>,
    /// Bytes that became free.
    pub space_reclaimed: u64,
}
