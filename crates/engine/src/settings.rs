//! What the engine is told at start-up: places, defaults and limits.
//!
//! The daemon makes one from flags and `daemon.json`. What a reload may change is in
//! [`Reloadable`], behind a lock of its own.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::RwLock, time::Duration};

use corten_api::container::{LogConfig, Ulimit};
use ipnet::{IpNet, Ipv4Net};

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
    /// Whether a small init runs as the first process unless told otherwise.
    pub default_init: bool,
    /// `private` or `host`, when the user names none; empty for the kernel's custom.
    pub default_cgroupns: String,
    /// Size of `/dev/shm` in bytes, when the user names none.
    pub default_shm_size: i64,
    /// How long containers may take to stop when the engine is told to take them with it.
    pub shutdown_timeout: Duration,
    /// What a reload may change.
    pub reloadable: RwLock<Reloadable>,
}

/// Settings that a reload may change.
#[derive(Debug, Clone, Default)]
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
    /// Mirrors of the default registry.
    pub registry_mirrors: Vec<String>,
    /// Registries that may speak plain HTTP: names, `name:port` or CIDR.
    pub insecure_registries: Vec<String>,
    /// Proxies to registries: `http-proxy`, `https-proxy`, `no-proxy`.
    pub proxies: BTreeMap<String, String>,
    /// How many layers are fetched at once.
    pub max_concurrent_downloads: usize,
    /// Layers sent at once, over all pushes.
    pub max_concurrent_uploads: usize,
    /// How often a download is tried.
    pub max_download_attempts: usize,
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
            mtu: 1500,
            address_pools: Vec::new(),
            table: format!("corten-test-{}", std::process::id()),
            inter_container: true,
            masquerade: true,
            default_ip: IpAddr::from([0, 0, 0, 0]),
            cgroup_parent: String::new(),
            default_init: false,
            default_cgroupns: String::new(),
            default_shm_size: 64 << 20,
            shutdown_timeout: Duration::from_secs(15),
            reloadable: RwLock::new(Reloadable::default()),
        }
    }
}
