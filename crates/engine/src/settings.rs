//! What the engine is told at start-up: places, defaults and limits.
//!
//! The daemon makes one from flags and `daemon.json`. What a reload may change is in
//! [`Reloadable`], behind a lock of its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    sync::RwLock,
    time::Duration,
};

use corten_api::container::{LogConfig, Ulimit};
use corten_oci::seccomp::{Target, parse_profile};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::builds::{CacheRules, HistoryRules, builder::Granted};
use crate::error::{Error, Result};

/// The engine's settings.
#[derive(Debug)]
pub struct Settings {
    /// Where images, containers and volumes lie; kept over reboots.
    pub data_root: PathBuf,
    /// Where sockets and the state of running containers lie; gone after a reboot.
    pub exec_root: PathBuf,
    /// The shim program, on a file system that allows execution.
    pub shim: PathBuf,
    /// The init program for `--init`.
    pub init: PathBuf,
    /// The default bridge's link name, or `none`.
    pub bridge: String,
    /// The default bridge's own address and its subnet; chosen when absent.
    pub bridge_address: Option<Ipv4Net>,
    /// The part of the subnet that containers get.
    pub fixed_cidr: Option<Ipv4Net>,
    /// Whether the user named the default bridge's link, which may then be there already.
    pub bridge_is_users: bool,
    /// Whether the default bridge has IPv6.
    pub ipv6: bool,
    /// Its own IPv6 address and subnet; chosen when absent.
    pub bridge_address6: Option<Ipv6Net>,
    /// The part of the IPv6 subnet that containers get.
    pub fixed_cidr6: Option<Ipv6Net>,
    /// The default gateway of containers on the default bridge; the bridge itself when absent.
    pub default_gateway: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub default_gateway6: Option<Ipv6Addr>,
    /// Options of new networks that do not name them, by driver.
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether there are rules for IPv4: translation, published ports, isolation.
    pub rules4: bool,
    /// The same for IPv6.
    pub rules6: bool,
    /// Whether the kernel's forwarding is switched on.
    pub forwarding: bool,
    /// Whether shims pass on what comes to published ports and cannot be translated.
    pub relays: bool,
    /// Whether published ports are open to other machines at containers' own addresses too.
    pub direct_routing: bool,
    /// MTU of the default bridge.
    pub mtu: u32,
    /// Subnets for new networks, each with the prefix length of a network; empty for the built-in ones.
    pub address_pools: Vec<(IpNet, u8)>,
    /// The nftables table, one for each engine.
    pub table: String,
    /// Whether containers of one bridge may talk to each other.
    pub inter_container: bool,
    /// Whether traffic that leaves gets the host's address.
    pub masquerade: bool,
    /// The address that ports are published on when none is given.
    pub default_ip: IpAddr,
    /// The parent of containers' cgroups.
    pub cgroup_parent: String,
    /// Real-time scheduling of that parent.
    pub realtime: Realtime,
    /// Folders of documents about devices (CDI), the least important first; none to do without.
    pub cdi: Option<Vec<PathBuf>>,
    /// Whether a small init runs as the first process unless told otherwise.
    pub default_init: bool,
    /// What keeps containers in, unless they say otherwise.
    pub security: SecurityDefaults,
    /// What `host-gateway` stands for; the default bridge's own addresses when empty.
    pub host_gateways: Vec<IpAddr>,
    /// Whether clients are offered what is experimental.
    pub experimental: bool,
    /// What keeps the cache of builds small.
    pub build_cache: CacheRules,
    /// What builds may be allowed.
    pub granted: Granted,
    /// How long what builds told is kept.
    pub build_history: HistoryRules,
    /// Warnings about who can reach the API.
    pub exposure: Vec<String>,
    /// What a reload may change.
    pub reloadable: RwLock<Reloadable>,
}

/// Real-time scheduling, in microseconds; 0 to leave it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Realtime {
    /// The period.
    pub period: i64,
    /// CPU time in each.
    pub runtime: i64,
}

/// What keeps containers in, unless they say otherwise.
#[derive(Debug, Clone, Default)]
pub struct SecurityDefaults {
    /// Whether programs gain no privileges by `execve(2)`.
    pub no_new_privileges: bool,
    /// The seccomp profile.
    pub seccomp: Seccomp,
}

/// The seccomp profile of containers that name none.
#[derive(Debug, Clone, Default)]
pub enum Seccomp {
    /// Ours.
    #[default]
    Builtin,
    /// None.
    Unconfined,
    /// The administrator's.
    Profile {
        /// The file that it was read from.
        path: String,
        /// Its JSON.
        text: String,
    },
}

impl Seccomp {
    /// A profile of a file.
    ///
    /// # Errors
    /// `Invalid` when it cannot be read.
    pub fn profile(path: String, text: String) -> Result<Self> {
        let target = Target {
            capabilities: &[],
            architecture: crate::containers::ARCHITECTURE,
            kernel: (0, 0),
        };
        parse_profile(text.as_bytes(), &target).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Self::Profile { path, text })
    }

    /// As `info` names it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Builtin => "builtin",
            Self::Unconfined => "unconfined",
            Self::Profile { path, .. } => path,
        }
    }
}

/// Settings that a reload may change.
#[derive(Debug, Clone)]
pub struct Reloadable {
    /// Whether details are logged.
    pub debug: bool,
    /// Labels of the engine.
    pub labels: Vec<String>,
    /// Name servers for containers that name none.
    pub dns: Vec<IpAddr>,
    /// Search domains, likewise.
    pub dns_search: Vec<String>,
    /// Resolver options, likewise.
    pub dns_options: Vec<String>,
    /// The log driver and its options for containers that name none.
    pub log: LogConfig,
    /// Limits of processes, likewise.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `private` or `host`, likewise; empty for the kernel's custom.
    pub cgroupns: String,
    /// `private` or `shareable`, likewise.
    pub ipc: String,
    /// Size of `/dev/shm` in bytes, likewise.
    pub shm_size: i64,
    /// Whether containers go on when the engine is stopped.
    pub live_restore: bool,
    /// How long they may take to stop if they do not; none to wait for ever.
    pub shutdown_timeout: Option<Duration>,
    /// Mirrors of the default registry.
    pub registry_mirrors: Vec<String>,
    /// Registries that may speak plain HTTP: names, `name:port` or CIDR.
    pub insecure_registries: Vec<String>,
    /// Proxies to registries: `http-proxy`, `https-proxy`, `no-proxy`.
    pub proxies: BTreeMap<String, String>,
    /// OCI runtimes beside our own, by their names.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The runtime of containers that name none; empty for our own.
    pub default_runtime: String,
    /// How many layers are fetched at once.
    pub max_concurrent_downloads: usize,
    /// Layers sent at once, over all pushes.
    pub max_concurrent_uploads: usize,
    /// How often a download is tried.
    pub max_download_attempts: usize,
}

impl Default for Reloadable {
    /// Docker's.
    fn default() -> Self {
        Self {
            runtimes: BTreeMap::new(),
            default_runtime: String::new(),
            debug: false,
            labels: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            log: LogConfig::default(),
            ulimits: BTreeMap::new(),
            cgroupns: String::new(),
            ipc: "private".to_owned(),
            shm_size: 64 << 20,
            live_restore: true,
            shutdown_timeout: Some(Duration::from_secs(15)),
            registry_mirrors: Vec::new(),
            insecure_registries: Vec::new(),
            proxies: BTreeMap::new(),
            max_concurrent_downloads: 0,
            max_concurrent_uploads: 0,
            max_download_attempts: 0,
        }
    }
}

/// An OCI runtime that is a program of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runtime {
    /// The program: a path, or a name to be looked for.
    pub path: String,
    /// Arguments before those of each command.
    pub args: Vec<String>,
}

impl Reloadable {
    /// The runtime of containers that name none.
    pub(crate) fn default_runtime(&self) -> &str {
        match self.default_runtime.as_str() {
            "" => crate::containers::OWN_RUNTIME,
            name => name,
        }
    }
}

impl Settings {
    /// The present reloadable settings.
    pub fn now(&self) -> Reloadable {
        self.reloadable
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! Settings for tests.

    use super::*;

    /// Settings with Docker's defaults and roots below a folder.
    pub(crate) fn below(folder: &std::path::Path) -> Settings {
        Settings {
            data_root: folder.join("data"),
            exec_root: folder.join("exec"),
            shim: folder.join("shim"),
            init: folder.join("init"),
            bridge: "none".to_owned(),
            bridge_address: None,
            fixed_cidr: None,
            bridge_is_users: false,
            ipv6: false,
            bridge_address6: None,
            fixed_cidr6: None,
            default_gateway: None,
            default_gateway6: None,
            host_gateways: Vec::new(),
            network_options: BTreeMap::new(),
            rules4: true,
            rules6: true,
            forwarding: true,
            relays: true,
            direct_routing: false,
            mtu: 1500,
            address_pools: Vec::new(),
            table: format!("corten-test-{}", std::process::id()),
            inter_container: true,
            masquerade: true,
            default_ip: IpAddr::from([0, 0, 0, 0]),
            cgroup_parent: String::new(),
            realtime: Realtime::default(),
            cdi: None,
            default_init: false,
            security: SecurityDefaults::default(),
            experimental: false,
            build_cache: CacheRules::default(),
            granted: Granted::default(),
            build_history: HistoryRules::default(),
            exposure: Vec::new(),
            reloadable: RwLock::new(Reloadable::default()),
        }
    }
}
