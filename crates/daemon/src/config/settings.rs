//! From the merged configuration to the engine's settings; the checks that dockerd makes of values.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::RwLock,
    time::Duration,
};

use corten_api::container::{LogConfig, Ulimit};
use corten_engine::settings::{Realtime, Reloadable, SecurityDefaults, Settings};

use super::{Config, ConfigError, Value, builder, bytes_of, defaults, network, runtimes};

/// The default bridge's link.
const BRIDGE: &str = "corten0";

/// `/dev/shm` of containers, unless told otherwise.
const SHM: &str = "64MiB";

/// Where the programs that the engine starts were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    /// The shim.
    pub(crate) shim: PathBuf,
    /// The init.
    pub(crate) init: PathBuf,
}

/// Checks what the table of options cannot.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    addresses(config)?;
    reloadable(config)?;
    network::check(config)?;
    builder::check(config)?;
    cgroupns(config)?;
    ipc(config)?;
    host_gateways(config)?;
    defaults::init_path(config)?;
    cgroup_driver(config)?;
    features(config)?;
    corten_engine::containers::check_realtime(realtime(config)).map_err(|error| ConfigError::new(error.report()))?;
    log_level(config)?;
    if let Some(format) = config.text("log-format")
        && !matches!(format, "text" | "json")
    {
        return Err(ConfigError::new(format!("invalid log format: {format}")));
    }
    for root in [config.data_root(), config.exec_root()] {
        if !root.is_absolute() {
            return Err(ConfigError::new(format!(
                "the folder {} must be given as an absolute path",
                root.display()
            )));
        }
    }
    for host in config.hosts() {
        crate::hosts::parse(&host).map_err(ConfigError::new)?;
    }
    Ok(())
}

/// The log level, in tracing's terms.
pub(crate) fn log_level(config: &Config) -> Result<tracing::Level, ConfigError> {
    if config.switch("debug", false) {
        return Ok(tracing::Level::DEBUG);
    }
    match config.text("log-level").unwrap_or("info").to_ascii_lowercase().as_str() {
        "trace" => Ok(tracing::Level::TRACE),
        "debug" => Ok(tracing::Level::DEBUG),
        "info" => Ok(tracing::Level::INFO),
        "warn" | "warning" => Ok(tracing::Level::WARN),
        "error" | "fatal" | "panic" => Ok(tracing::Level::ERROR),
        other => Err(ConfigError::new(format!("invalid logging level: {other}"))),
    }
}

impl Config {
    /// The engine's settings.
    pub(crate) fn settings(&self, programs: Programs) -> Result<Settings, ConfigError> {
        let data_root = self.data_root();
        let table = table(&data_root);
        Ok(Settings {
            exec_root: self.exec_root(),
            shim: programs.shim,
            init: defaults::init_path(self)?.unwrap_or(programs.init),
            security: SecurityDefaults {
                no_new_privileges: self.switch("no-new-privileges", false),
                seccomp: defaults::seccomp(self)?,
            },
            host_gateways: host_gateways(self)?,
            experimental: self.switch("experimental", false),
            build_cache: builder::rules(self)?,
            granted: builder::granted(self)?,
            build_history: builder::history(self)?,
            exposure: defaults::exposure(self),
            bridge: self.text("bridge").unwrap_or(BRIDGE).to_owned(),
            bridge_is_users: self.text("bridge").is_some_and(|name| name != BRIDGE),
            bridge_address: network::cidr(self, "bip")?,
            bridge_address6: network::cidr(self, "bip6")?,
            fixed_cidr: network::fixed_cidr(self)?,
            fixed_cidr6: network::fixed_cidr6(self)?,
            default_gateway: network::address(self, "default-gateway")?,
            default_gateway6: network::address(self, "default-gateway-v6")?,
            ipv6: self.switch("ipv6", false),
            network_options: match self.get("default-network-opts") {
                Some(Value::Maps(options)) => options.clone(),
                _ => BTreeMap::new(),
            },
            rules4: self.switch("iptables", true),
            rules6: self.switch("ip6tables", true),
            forwarding: self.switch("ip-forward", true),
            relays: self.switch("userland-proxy", true),
            direct_routing: self.switch("allow-direct-routing", false),
            mtu: network::mtu(self)?,
            address_pools: match self.get("default-address-pools") {
                Some(Value::Pools(pools)) => pools.clone(),
                _ => Vec::new(),
            },
            table,
            inter_container: self.switch("icc", true),
            masquerade: self.switch("ip-masq", true),
            default_ip: network::default_ip(self)?,
            cgroup_parent: self.text("cgroup-parent").unwrap_or_default().to_owned(),
            realtime: realtime(self),
            cdi: cdi(self),
            default_init: self.switch("init", false),
            reloadable: RwLock::new(reloadable(self)?),
            data_root,
        })
    }
}

/// What a reload may change.
pub(crate) fn reloadable(config: &Config) -> Result<Reloadable, ConfigError> {
    let positive = |name: &str, what: &str, default: usize, least: i64| {
        let given = config
            .number(name)
            .unwrap_or_else(|| i64::try_from(default).unwrap_or(least));
        if given < least {
            return Err(ConfigError::new(format!("invalid max {what}: {given}")));
        }
        Ok(usize::try_from(given).unwrap_or(default))
    };
    let dns = config.list("dns").iter().map(|text| {
        text.parse()
            .map_err(|_| ConfigError::new(format!("{text} is not an ip address")))
    });
    check_labels(config.list("labels"))?;
    let log = LogConfig {
        driver: config.text("log-driver").unwrap_or("json-file").to_owned(),
        options: config.map("log-opts"),
    };
    corten_engine::containers::check_log_config(&log)
        .map_err(|error| ConfigError::new(format!("failed to set log opts: {}", error.report())))?;
    let downloads = positive("max-concurrent-downloads", "concurrent downloads", 3, 0)?;
    let uploads = positive("max-concurrent-uploads", "concurrent uploads", 5, 0)?;
    Ok(Reloadable {
        debug: config.switch("debug", false),
        labels: config.list("labels").to_vec(),
        dns: dns.collect::<Result<Vec<IpAddr>, _>>()?,
        dns_search: config.list("dns-search").to_vec(),
        dns_options: config.list("dns-opts").to_vec(),
        log,
        ulimits: ulimits(config),
        cgroupns: cgroupns(config)?,
        ipc: ipc(config)?,
        shm_size: config
            .number("default-shm-size")
            .map_or_else(|| bytes_of(SHM).map_err(ConfigError::new), Ok)?,
        live_restore: config.switch("live-restore", true),
        shutdown_timeout: u64::try_from(config.number("shutdown-timeout").unwrap_or(15))
            .ok()
            .map(Duration::from_secs),
        registry_mirrors: mirrors(config)?,
        insecure_registries: config.list("insecure-registries").to_vec(),
        proxies: proxies(config),
        runtimes: runtimes::parse(config)?,
        default_runtime: runtimes::default(config)?,
        max_concurrent_downloads: if downloads == 0 { 3 } else { downloads },
        max_concurrent_uploads: if uploads == 0 { 5 } else { uploads },
        max_download_attempts: positive("max-download-attempts", "download attempts", 5, 1)?,
    })
}

/// The nftables table: `corten`, unless another data root makes this a further engine on the host.
pub(crate) fn table(data_root: &Path) -> String {
    if data_root == Path::new("/var/lib/corten") {
        return "corten".to_owned();
    }
    format!("corten-{:08x}", fnv(data_root.as_os_str().as_encoded_bytes()))
}

/// FNV-1a: the same for ever, unlike the standard library's hashes.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn addresses(config: &Config) -> Result<(), ConfigError> {
    for domain in config.list("dns-search") {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if domain.is_empty() || !domain.chars().all(fits) {
            return Err(ConfigError::new(format!("{domain} is not a valid domain")));
        }
    }
    Ok(())
}

fn check_labels(labels: &[String]) -> Result<(), ConfigError> {
    let mut seen = BTreeMap::new();
    for label in labels {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        if key.trim().is_empty() {
            return Err(ConfigError::new(format!("invalid label '{label}': empty name")));
        }
        if let Some(other) = seen.insert(key, value)
            && other != value
        {
            return Err(ConfigError::new(format!(
                "conflict labels for {key}={value} and {key}={other}"
            )));
        }
    }
    Ok(())
}

/// Proxies by their options' names; what the environment says counts where no option does.
fn proxies(config: &Config) -> BTreeMap<String, String> {
    ["http-proxy", "https-proxy", "no-proxy"]
        .into_iter()
        .filter_map(|name| {
            config
                .text(name)
                .or_else(|| config.environment(name))
                .map(|text| (name.to_owned(), text.to_owned()))
        })
        .collect()
}

fn ulimits(config: &Config) -> BTreeMap<String, Ulimit> {
    match config.get("default-ulimits") {
        Some(Value::Ulimits(limits)) => limits.clone(),
        _ => BTreeMap::new(),
    }
}

fn mirrors(config: &Config) -> Result<Vec<String>, ConfigError> {
    let check = |mirror: &String| {
        let bad = |why: &str| ConfigError::new(format!("invalid mirror: {why}: \"{mirror}\""));
        let rest = mirror
            .strip_prefix("https://")
            .or_else(|| mirror.strip_prefix("http://"))
            .ok_or_else(|| bad("it must begin with http:// or https://"))?;
        if rest.is_empty() || rest.starts_with('/') {
            return Err(bad("it names no host"));
        }
        if rest.contains(['?', '#']) {
            return Err(bad("query or fragment at end of the URI"));
        }
        Ok(format!("{}/", mirror.trim_end_matches('/')))
    };
    config.list("registry-mirrors").iter().map(check).collect()
}

fn cgroupns(config: &Config) -> Result<String, ConfigError> {
    match config.text("default-cgroupns-mode") {
        None => Ok(String::new()),
        Some(mode @ ("host" | "private")) => Ok(mode.to_owned()),
        Some(other) => Err(ConfigError::new(format!(
            "default cgroup namespace mode ({other}) is invalid; use \"host\" or \"private\""
        ))),
    }
}

fn ipc(config: &Config) -> Result<String, ConfigError> {
    match config.text("default-ipc-mode") {
        None => Ok("private".to_owned()),
        Some(mode @ ("private" | "shareable")) => Ok(mode.to_owned()),
        Some(other) => Err(ConfigError::new(format!(
            "IPC mode \"{other}\" is not supported as default value for containers"
        ))),
    }
}

/// What `host-gateway` stands for: one address of a kind at most.
fn host_gateways(config: &Config) -> Result<Vec<IpAddr>, ConfigError> {
    let old = config.text("host-gateway-ip").map(str::to_owned);
    let all: Vec<IpAddr> = config
        .list("host-gateway-ips")
        .iter()
        .cloned()
        .chain(old)
        .map(|text| {
            text.parse()
                .map_err(|_| ConfigError::new(format!("{text} is not an ip address")))
        })
        .collect::<Result<_, _>>()?;
    for (kind, count) in [
        ("IPv4", all.iter().filter(|ip| ip.is_ipv4()).count()),
        ("IPv6", all.iter().filter(|ip| ip.is_ipv6()).count()),
    ] {
        if count > 1 {
            return Err(ConfigError::new(format!(
                "only one {kind} host gateway IP address can be specified"
            )));
        }
    }
    Ok(all)
}

fn cgroup_driver(config: &Config) -> Result<(), ConfigError> {
    for option in config.list("exec-opts") {
        match option.split_once('=') {
            Some(("native.cgroupdriver", "cgroupfs")) => {}
            Some(("native.cgroupdriver", other)) => {
                return Err(ConfigError::new(format!(
                    "the cgroup driver {other} is not supported: the engine uses cgroupfs"
                )));
            }
            _ => {
                return Err(ConfigError::new(format!(
                    "the runtime option {option} is not supported"
                )));
            }
        }
    }
    Ok(())
}

fn features(config: &Config) -> Result<(), ConfigError> {
    for (name, value) in config.map("features") {
        match (name.as_str(), value.as_str()) {
            ("containerd-snapshotter", "true") => {
                return Err(ConfigError::new(
                    "the feature containerd-snapshotter cannot be had: there is no containerd",
                ));
            }
            (_, "true" | "false") => {}
            _ => return Err(ConfigError::new(format!("the feature {name} must be true or false"))),
        }
    }
    Ok(())
}

/// Real-time scheduling of the parent of containers' cgroups.
fn realtime(config: &Config) -> Realtime {
    Realtime {
        period: config.number("cpu-rt-period").unwrap_or(0),
        runtime: config.number("cpu-rt-runtime").unwrap_or(0),
    }
}

/// Folders of CDI documents, unless the feature is switched off; one empty name stands for no folder.
fn cdi(config: &Config) -> Option<Vec<PathBuf>> {
    if config.map("features").get("cdi").is_some_and(|value| value == "false") {
        return None;
    }
    let given = match config.get("cdi-spec-dirs") {
        Some(Value::List(folders)) => folders.clone(),
        _ => ["/etc/cdi", "/var/run/cdi"].map(str::to_owned).to_vec(),
    };
    Some(
        given
            .into_iter()
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
            .collect(),
    )
}
