//! The engine itself (Docker API, `/info`, `/version`, `/system/df`, `/auth`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{container, image, volume};

/// Answer of `GET /version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// The product.
    pub platform: Platform,
    /// Its parts.
    pub components: Vec<Component>,
    /// The engine's version.
    pub version: String,
    /// The newest API version.
    pub api_version: String,
    /// The oldest API version.
    #[serde(rename = "MinAPIVersion")]
    pub min_api_version: String,
    /// The commit it was built from.
    pub git_commit: String,
    /// The compiler; named so because clients ask for it.
    pub go_version: String,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// The kernel's version.
    pub kernel_version: String,
    /// Whether experimental features are on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub experimental: bool,
    /// When it was built.
    pub build_time: String,
}

/// The product's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Platform {
    /// The name.
    pub name: String,
}

/// A part of the product.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// More about it.
    pub details: BTreeMap<String, String>,
}

/// Answer of `GET /info`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    /// The engine's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Containers in all.
    pub containers: i64,
    /// Of them running.
    pub containers_running: i64,
    /// Of them paused.
    pub containers_paused: i64,
    /// Of them stopped.
    pub containers_stopped: i64,
    /// Images.
    pub images: i64,
    /// `overlay2`.
    pub driver: String,
    /// What it says of itself: name and value.
    pub driver_status: Vec<[String; 2]>,
    /// Drivers there are.
    pub plugins: Plugins,
    /// Whether memory can be limited.
    pub memory_limit: bool,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether CPU quotas exist: the period.
    pub cpu_cfs_period: bool,
    /// Whether CPU quotas exist: the quota.
    pub cpu_cfs_quota: bool,
    /// Whether CPU weights exist.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// Whether CPUs can be chosen.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// Whether processes can be limited.
    pub pids_limit: bool,
    /// Whether the kernel's killer can be kept away.
    pub oom_kill_disable: bool,
    /// Whether the host forwards IPv4.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Whether the engine logs at debug level.
    pub debug: bool,
    /// Open files of the engine.
    pub n_fd: i64,
    /// Threads of the engine; named so because clients ask for it.
    pub n_goroutines: i64,
    /// The host's clock.
    pub system_time: String,
    /// The default log driver.
    pub logging_driver: String,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// Clients that listen to events.
    pub n_events_listener: i64,
    /// The kernel's version.
    pub kernel_version: String,
    /// The host's system, for people.
    pub operating_system: String,
    /// Its version.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// The machine, as `uname -m`.
    pub architecture: String,
    /// The default index.
    pub index_server_address: String,
    /// Registries.
    pub registry_config: RegistryConfig,
    /// Processors.
    #[serde(rename = "NCPU")]
    pub ncpu: i64,
    /// Memory in bytes.
    pub mem_total: i64,
    /// Unused on a single host.
    pub generic_resources: Option<Vec<serde_json::Value>>,
    /// Where the data lies.
    pub docker_root_dir: String,
    /// Proxies.
    pub http_proxy: String,
    /// Proxies.
    pub https_proxy: String,
    /// Proxies.
    pub no_proxy: String,
    /// The host's name.
    pub name: String,
    /// The engine's labels.
    pub labels: Vec<String>,
    /// Whether experimental features are on.
    pub experimental_build: bool,
    /// The engine's version.
    pub server_version: String,
    /// OCI runtimes by name.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The runtime that is used when none is named.
    pub default_runtime: String,
    /// The cluster.
    pub swarm: Swarm,
    /// Whether containers outlive the engine.
    pub live_restore_enabled: bool,
    /// Isolation technology (Windows).
    pub isolation: String,
    /// The init program.
    pub init_binary: String,
    /// Its parts' versions, for clients that print them.
    pub containerd_commit: Commit,
    /// Likewise.
    pub runc_commit: Commit,
    /// Likewise.
    pub init_commit: Commit,
    /// What protects containers from the host: `name=seccomp,profile=builtin`, …
    pub security_options: Vec<String>,
    /// What the firewall is driven by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall_backend: Option<FirewallBackend>,
    /// Folders of CDI specifications.
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Vec<String>,
    /// Devices that can be asked for by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discovered_devices: Vec<DeviceInfo>,
    /// What the user should know.
    pub warnings: Option<Vec<String>>,
}

/// A device that can be asked for by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceInfo {
    /// The driver that has it.
    #[serde(rename = "Source")]
    pub source: String,
    /// Its name: `vendor.com/class=name`.
    #[serde(rename = "ID")]
    pub id: String,
}

/// Drivers there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Plugins {
    /// Of volumes.
    pub volume: Vec<String>,
    /// Of networks.
    pub network: Vec<String>,
    /// Of authorization.
    pub authorization: Option<Vec<String>>,
    /// Of logs.
    pub log: Vec<String>,
}

/// Registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RegistryConfig {
    /// Networks whose registries may speak plain HTTP.
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_registry_cidrs: Vec<String>,
    /// Registries by name.
    pub index_configs: BTreeMap<String, IndexConfig>,
    /// Mirrors of the default one.
    pub mirrors: Option<Vec<String>>,
}

/// One registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IndexConfig {
    /// Its name.
    pub name: String,
    /// Its mirrors.
    pub mirrors: Vec<String>,
    /// Whether it must be spoken to over TLS.
    pub secure: bool,
    /// Whether it is the default one.
    pub official: bool,
}

/// An OCI runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// The program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Its arguments.
    #[serde(rename = "runtimeArgs", skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Vec<String>>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<BTreeMap<String, String>>,
}

/// The cluster that the engine belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Swarm {
    /// This node's id.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// This node's address.
    pub node_addr: String,
    /// `inactive` on a single host.
    pub local_node_state: String,
    /// Whether this node manages the cluster.
    pub control_available: bool,
    /// What is wrong.
    pub error: String,
    /// Its managers.
    pub remote_managers: Option<Vec<serde_json::Value>>,
}

/// The commit of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// The commit or version.
    #[serde(rename = "ID")]
    pub id: String,
}

/// What the firewall is driven by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FirewallBackend {
    /// `nftables`.
    pub driver: String,
    /// More about it: name and value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Vec<[String; 2]>>,
}

/// Answer of `GET /system/df`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskUsage {
    /// Bytes of all layers.
    pub layers_size: i64,
    /// Images.
    pub images: Option<Vec<image::Summary>>,
    /// Containers.
    pub containers: Option<Vec<container::Summary>>,
    /// Volumes.
    pub volumes: Option<Vec<volume::Volume>>,
    /// The build cache.
    pub build_cache: Option<Vec<BuildCache>>,
}

/// One record of the build cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BuildCache {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Records it builds on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// Its kind.
    #[serde(rename = "Type")]
    pub kind: String,
    /// What made it.
    pub description: String,
    /// Whether it is in use.
    pub in_use: bool,
    /// Whether it is shared.
    pub shared: bool,
    /// Bytes.
    pub size: i64,
    /// When it was made.
    pub created_at: crate::time::Time,
    /// When it was last used.
    pub last_used_at: Option<crate::time::Time>,
    /// How often it was used.
    pub usage_count: i64,
}

/// Answer of `POST /auth`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthResult {
    /// `Login Succeeded`.
    pub status: String,
    /// A refresh token, instead of the password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
}
