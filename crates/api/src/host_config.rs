//! `HostConfig`: what a container may use of its host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a container may use of its host (Docker API, definition `HostConfig`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// Bind mounts and volumes, `source:destination[:options]`.
    pub binds: Option<Vec<String>>,
    /// The file that the client wrote the id to.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where output is kept.
    pub log_config: LogConfig,
    /// `bridge`, `host`, `none`, `container:<id>` or a network's name.
    pub network_mode: String,
    /// Host ports by container port (`80/tcp`).
    pub port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// What happens when it ends.
    pub restart_policy: RestartPolicy,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// The driver of its volumes.
    pub volume_driver: String,
    /// Containers whose volumes it takes.
    pub volumes_from: Option<Vec<String>>,
    /// The terminal's first size, rows and columns.
    pub console_size: [u16; 2],
    /// Metadata for the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Capabilities added.
    pub cap_add: Option<Vec<String>>,
    /// Capabilities dropped.
    pub cap_drop: Option<Vec<String>>,
    /// `private` or `host`.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: Option<Vec<String>>,
    /// Resolver options.
    pub dns_options: Option<Vec<String>>,
    /// Search domains.
    pub dns_search: Option<Vec<String>>,
    /// Lines for `/etc/hosts`, `name:address`.
    pub extra_hosts: Option<Vec<String>>,
    /// Additional groups.
    pub group_add: Option<Vec<String>>,
    /// `none`, `private`, `shareable`, `container:<id>` or `host`.
    pub ipc_mode: String,
    /// A cgroup to use (unused by current engines).
    pub cgroup: String,
    /// Containers known by other names.
    pub links: Option<Vec<String>>,
    /// How readily the kernel kills it, -1000 to 1000.
    pub oom_score_adj: i32,
    /// Empty, `container:<id>` or `host`.
    pub pid_mode: String,
    /// Whether it may do everything.
    pub privileged: bool,
    /// Whether every exposed port is published.
    pub publish_all_ports: bool,
    /// Whether its root is read-only.
    pub readonly_rootfs: bool,
    /// Options of seccomp, AppArmor, SELinux, `no-new-privileges`.
    pub security_opt: Option<Vec<String>>,
    /// Options of the storage driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_opt: Option<BTreeMap<String, String>>,
    /// tmpfs mounts: options by path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<BTreeMap<String, String>>,
    /// Empty or `host`.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// Empty or `host`.
    pub userns_mode: String,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: i64,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sysctls: Option<BTreeMap<String, String>>,
    /// The OCI runtime's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    /// Isolation technology (Windows).
    pub isolation: String,
    /// Resource limits.
    #[serde(flatten)]
    pub resources: Resources,
    /// Mounts in the long form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<Vec<Mount>>,
    /// Paths that are hidden; none for the default.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that are read-only; none for the default.
    pub readonly_paths: Option<Vec<String>>,
    /// Whether a small init runs as the first process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// Resource limits (Docker API, definition `Resources`); also the body of `POST /containers/{id}/update`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// CPU weight against other containers.
    pub cpu_shares: i64,
    /// Memory in bytes; 0 for no limit.
    pub memory: i64,
    /// CPUs in units of 10⁻⁹.
    pub nano_cpus: i64,
    /// The parent of its cgroup.
    pub cgroup_parent: String,
    /// Weight of block I/O, 10 to 1000; 0 for the default.
    pub blkio_weight: u16,
    /// Weight by device.
    pub blkio_weight_device: Option<Vec<WeightDevice>>,
    /// Bytes a second read, by device.
    pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
    /// Bytes a second written, by device.
    pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
    /// Reads a second, by device.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
    /// Writes a second, by device.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
    /// The scheduler's period in microseconds.
    pub cpu_period: i64,
    /// CPU time a period, in microseconds.
    pub cpu_quota: i64,
    /// The real-time scheduler's period in microseconds.
    pub cpu_realtime_period: i64,
    /// Real-time CPU time a period, in microseconds.
    pub cpu_realtime_runtime: i64,
    /// CPUs it may run on.
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// Devices of the host.
    pub devices: Option<Vec<DeviceMapping>>,
    /// Rules for the cgroup's device controller.
    pub device_cgroup_rules: Option<Vec<String>>,
    /// Devices from drivers (GPUs).
    pub device_requests: Option<Vec<DeviceRequest>>,
    /// Soft memory limit in bytes.
    pub memory_reservation: i64,
    /// Memory and swap in bytes; -1 for unlimited swap.
    pub memory_swap: i64,
    /// How readily pages are swapped out, 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Whether the kernel may not kill it for lack of memory.
    pub oom_kill_disable: Option<bool>,
    /// How many processes it may have; 0 or -1 for no limit.
    pub pids_limit: Option<i64>,
    /// Limits of its processes.
    pub ulimits: Option<Vec<Ulimit>>,
    /// CPUs (Windows).
    pub cpu_count: i64,
    /// CPU percentage (Windows).
    pub cpu_percent: i64,
    /// I/O operations a second (Windows).
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    /// Bytes a second (Windows).
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
}

/// Where output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// The driver.
    #[serde(rename = "Type")]
    pub driver: String,
    /// Its options.
    #[serde(rename = "Config")]
    pub options: BTreeMap<String, String>,
}

/// A published port.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The host's address; empty for all.
    pub host_ip: String,
    /// The host's port or range; empty for any.
    pub host_port: String,
}

/// What happens when a container ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// Empty or `no`, `always`, `unless-stopped`, `on-failure`.
    pub name: String,
    /// How often `on-failure` tries; 0 for no limit.
    pub maximum_retry_count: i64,
}

/// A device of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// Its path on the host.
    pub path_on_host: String,
    /// Its path in the container.
    pub path_in_container: String,
    /// Any of `r`, `w`, `m`.
    pub cgroup_permissions: String,
}

/// Devices from a driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// The driver.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: Option<Vec<String>>,
    /// What they must be able to do: any of these lists.
    pub capabilities: Option<Vec<Vec<String>>>,
    /// The driver's options.
    pub options: Option<BTreeMap<String, String>>,
}

/// A device's weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// Its path.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A device's limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// Its path.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// A limit of processes (`setrlimit(2)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, `core`, …
    pub name: String,
    /// The most it can be raised to; -1 for no limit.
    pub hard: i64,
    /// What it starts with; -1 for no limit.
    pub soft: i64,
}

impl Ulimit {
    /// Every name there is.
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];

    /// Reads `name=soft[:hard]`, as flags have it.
    ///
    /// # Errors
    /// Why it is none, in Docker's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, values) = text
            .split_once('=')
            .ok_or_else(|| format!("invalid ulimit argument: {text}"))?;
        if !Self::NAMES.contains(&name) {
            return Err(format!("invalid ulimit type: {name}"));
        }
        let number = |value: &str| {
            value
                .parse::<i64>()
                .map_err(|_| format!("strconv.ParseInt: parsing {value:?}: invalid syntax"))
        };
        let (soft, hard) = match values.split(':').collect::<Vec<_>>()[..] {
            [both] => (number(both)?, number(both)?),
            [soft, hard] => {
                let hard = number(hard)?;
                (number(soft)?, hard)
            }
            _ => {
                return Err(format!(
                    "too many limit value arguments - {values}, can only have up to two, `soft[:hard]`"
                ));
            }
        };
        let name = name.to_owned();
        Self { name, hard, soft }.check()
    }

    /// Checks what came without a text.
    ///
    /// # Errors
    /// Why it makes no sense, in Docker's words.
    pub fn check(self) -> Result<Self, String> {
        let Self { name, hard, soft } = &self;
        let above = "ulimit soft limit must be less than or equal to hard limit:";
        match () {
            () if !Self::NAMES.contains(&name.as_str()) => Err(format!("invalid ulimit type: {name}")),
            () if *hard == -1 => Ok(self),
            () if *soft == -1 => Err(format!("{above} soft: -1 (unlimited), hard: {hard}")),
            () if soft > hard => Err(format!("{above} {soft} > {hard}")),
            () => Ok(self),
        }
    }
}

/// A mount in the long form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, `image`, …
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// A path of the host or a volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The path in the container.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Whether it is read-only.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub read_only: bool,
    /// `consistent`, `cached`, `delegated` (macOS).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// Options of a bind mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// Options of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// Options of an image mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<SubpathOptions>,
    /// Options of a tmpfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Whether mounts below the source stay behind.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub non_recursive: bool,
    /// Whether a missing source is made.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub create_mountpoint: bool,
    /// Whether mounts below stay writable although it is read-only.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub read_only_non_recursive: bool,
    /// Whether it fails when mounts below cannot be made read-only.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Whether it is not filled from the image.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub no_copy: bool,
    /// Labels for a volume that is made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The path inside the volume.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// The driver for a volume that is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<DriverConfig>,
}

/// A driver and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverConfig {
    /// The driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Options of an image mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubpathOptions {
    /// The path inside.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Options of a tmpfs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Bytes.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub size_bytes: i64,
    /// Permissions of its root.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub mode: u32,
    /// Further mount options, each `[name]` or `[name, value]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Vec<String>>,
}
