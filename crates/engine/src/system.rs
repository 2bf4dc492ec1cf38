//! The engine itself: what it is, where it runs, what it takes (Docker API, `/info`, `/version`, `/system/df`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use corten_api::{
    filters::Filters,
    system::{
        Commit, Component, DeviceInfo, DiskUsage, FirewallBackend, IndexConfig, Info, Platform, Plugins,
        RegistryConfig, Runtime, Swarm, Version,
    },
    time::Time,
};

use crate::{
    builds::Builds,
    cdi::Catalogue,
    containers::{self, Containers, supported::Limit},
    error::{Result, blocking},
    events::Events,
    identifiers,
    images::{self, Images},
    networks::Networks,
    settings::{Reloadable, SecurityDefaults, Settings},
    volumes::Volumes,
};

/// This engine's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The file in the data root that holds the engine's id.
const ID_FILE: &str = "engine-id";

/// The engine itself.
#[derive(Debug, Clone)]
pub struct System(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    events: Events,
    containers: Containers,
    images: Images,
    networks: Networks,
    volumes: Volumes,
    builds: Builds,
    id: String,
    /// Names of the programs that may refuse requests.
    authorization: RwLock<Option<Vec<String>>>,
}

impl Inner {
    fn authorization(&self) -> RwLockReadGuard<'_, Option<Vec<String>>> {
        self.authorization.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which parts of [`System::disk_usage`] are computed.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own parameters")]
pub struct UsageOf {
    /// Images.
    pub images: bool,
    /// Containers.
    pub containers: bool,
    /// Volumes.
    pub volumes: bool,
    /// The build cache.
    pub build_cache: bool,
}

impl System {
    pub(crate) fn new(
        settings: Arc<Settings>,
        events: Events,
        containers: Containers,
        images: Images,
        networks: Networks,
        volumes: Volumes,
        builds: Builds,
    ) -> Self {
        let id = engine_id(&settings.data_root);
        Self(Arc::new(Inner {
            settings,
            events,
            containers,
            images,
            networks,
            volumes,
            builds,
            id,
            authorization: RwLock::default(),
        }))
    }

    /// Tells `info` which programs may refuse requests.
    pub fn set_authorization(&self, names: Vec<String>) {
        let names = Some(names).filter(|names| !names.is_empty());
        *self.0.authorization.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The engine's id.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What the engine is made of.
    pub fn version(&self) -> Version {
        let kernel = kernel();
        let details = [
            ("ApiVersion", corten_api::VERSION),
            ("Arch", architecture()),
            (
                "Experimental",
                if self.0.settings.experimental { "true" } else { "false" },
            ),
            // There was no Go, and no date: builds are to be the same byte for byte.
            ("BuildTime", ""),
            ("GitCommit", ""),
            ("GoVersion", ""),
            ("KernelVersion", kernel.as_str()),
            ("MinAPIVersion", corten_api::MIN_VERSION),
            ("Os", "linux"),
        ];
        let engine = Component {
            name: "Engine".into(),
            version: VERSION.into(),
            details: details
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        Version {
            platform: Platform { name: "Corten".into() },
            components: vec![engine],
            version: VERSION.into(),
            api_version: corten_api::VERSION.into(),
            min_api_version: corten_api::MIN_VERSION.into(),
            git_commit: String::new(),
            go_version: String::new(),
            os: "linux".into(),
            arch: architecture().into(),
            kernel_version: kernel,
            experimental: self.0.settings.experimental,
            build_time: String::new(),
        }
    }

    /// Where the engine runs and what it has.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn info(&self) -> Result<Info> {
        let inner = &self.0;
        let settings = &inner.settings;
        let now = settings.now();
        let (running, paused, stopped) = inner.containers.counts();
        let folders = settings.cdi.clone();
        let networks = inner.networks.clone();
        let look = move || {
            let devices = Devices::discover(folders.as_deref());
            Ok((Host::probe(), devices, networks.warnings()))
        };
        let (host, devices, network_warnings) = blocking(look).await?;
        let limits = inner.containers.supported();
        let uname = rustix::system::uname();
        let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
        Ok(Info {
            id: inner.id.clone(),
            containers: running + paused + stopped,
            containers_running: running,
            containers_paused: paused,
            containers_stopped: stopped,
            images: i64::try_from(inner.images.count()).unwrap_or(i64::MAX),
            driver: "overlay2".into(),
            driver_status: driver_status(&host.file_system),
            plugins: Plugins {
                volume: vec!["local".into()],
                network: ["bridge", "host", "ipvlan", "macvlan", "null"]
                    .map(str::to_owned)
                    .to_vec(),
                authorization: inner.authorization().clone(),
                log: containers::LOG_DRIVERS.map(str::to_owned).to_vec(),
            },
            memory_limit: limits.has(Limit::Memory),
            swap_limit: limits.has(Limit::Swap),
            cpu_cfs_period: limits.has(Limit::Quota),
            cpu_cfs_quota: limits.has(Limit::Quota),
            cpu_shares: limits.has(Limit::Shares),
            cpu_set: limits.has(Limit::Cpuset),
            pids_limit: limits.has(Limit::Pids),
            oom_kill_disable: limits.has(Limit::OomKillDisable),
            ipv4_forwarding: host.ipv4_forwarding,
            debug: now.debug,
            n_fd: host.descriptors,
            n_goroutines: host.threads,
            system_time: Time::now().to_string(),
            logging_driver: if now.log.driver.is_empty() {
                "json-file".into()
            } else {
                now.log.driver.clone()
            },
            cgroup_driver: "cgroupfs".into(),
            cgroup_version: host.cgroup_version.into(),
            n_events_listener: i64::try_from(inner.events.listeners()).unwrap_or(i64::MAX),
            kernel_version: text(uname.release()),
            operating_system: host.operating_system.clone(),
            os_version: host.os_version.clone(),
            os_type: "linux".into(),
            architecture: text(uname.machine()),
            index_server_address: "https://index.docker.io/v1/".into(),
            registry_config: registries(&now.registry_mirrors, &now.insecure_registries),
            ncpu: std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(i64::MAX)),
            mem_total: host.memory,
            docker_root_dir: settings.data_root.to_string_lossy().into_owned(),
            http_proxy: now.proxies.get("http-proxy").cloned().unwrap_or_default(),
            https_proxy: now.proxies.get("https-proxy").cloned().unwrap_or_default(),
            no_proxy: now.proxies.get("no-proxy").cloned().unwrap_or_default(),
            name: text(uname.nodename()),
            labels: now.labels.clone(),
            server_version: VERSION.into(),
            runtimes: runtimes(&now),
            default_runtime: now.default_runtime().to_owned(),
            swarm: Swarm {
                local_node_state: "inactive".into(),
                ..Swarm::default()
            },
            live_restore_enabled: now.live_restore,
            experimental_build: settings.experimental,
            init_binary: "docker-init".into(),
            containerd_commit: Commit::default(),
            runc_commit: Commit { id: VERSION.into() },
            init_commit: Commit { id: VERSION.into() },
            security_options: host.security_options(&settings.security),
            firewall_backend: Some(FirewallBackend {
                driver: "nftables".into(),
                info: None,
            }),
            warnings: Some(
                [
                    settings.exposure.clone(),
                    network_warnings,
                    inner.containers.warnings(),
                    devices.warnings,
                ]
                .concat(),
            )
            .filter(|warnings| !warnings.is_empty()),
            cdi_spec_dirs: devices.folders,
            discovered_devices: devices.found,
            ..Info::default()
        })
    }

    /// What the engine's data takes on disk.
    ///
    /// # Errors
    /// When the data root cannot be read.
    pub async fn disk_usage(&self, of: UsageOf) -> Result<DiskUsage> {
        let inner = &self.0;
        let mut usage = DiskUsage::default();
        if of.images {
            let request = images::ListRequest {
                all: true,
                shared_size: true,
                manifests: false,
                filters: Filters::default(),
            };
            let mut images = inner.images.list(request).await?;
            for image in &mut images {
                image.containers = inner.images.user_count(&image.id);
            }
            usage.images = Some(images);
            usage.layers_size = i64::try_from(inner.images.total_size().await?).unwrap_or(i64::MAX);
        }
        if of.containers {
            let request = containers::ListRequest {
                all: true,
                size: true,
                ..Default::default()
            };
            usage.containers = Some(inner.containers.list(request).await?);
        }
        if of.volumes {
            let volumes = inner.volumes.clone();
            usage.volumes = Some(blocking(move || Ok(volumes.usage())).await?);
        }
        if of.build_cache {
            usage.build_cache = Some(inner.builds.cache().await?);
        }
        Ok(usage)
    }
}

/// The id that the engine got when it first started on this data root.
pub(crate) fn engine_id(data_root: &Path) -> String {
    let path = data_root.join(ID_FILE);
    if let Ok(text) = corten_sys::fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return text.trim().to_owned();
    }
    let digits = identifiers::random();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let id = format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    );
    if let Err(error) = corten_sys::fs::write_durable(&path, &id) {
        tracing::warn!(%error, "the engine's id cannot be kept; it will have another one the next time");
    }
    id
}

/// This machine, as Go names it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Our runtime, which answers to the name of Docker's too, and those that the engine was told of.
fn runtimes(settings: &Reloadable) -> BTreeMap<String, Runtime> {
    let own = ["corten", "runc"].map(|name| {
        let runtime = Runtime {
            path: "corten-runtime".to_owned(),
            ..Runtime::default()
        };
        (name.to_owned(), runtime)
    });
    let others = settings.runtimes.iter().map(|(name, runtime)| {
        let runtime = Runtime {
            path: runtime.path.clone(),
            arguments: Some(runtime.args.clone()).filter(|args| !args.is_empty()),
            ..Runtime::default()
        };
        (name.clone(), runtime)
    });
    own.into_iter().chain(others).collect()
}

fn driver_status(file_system: &str) -> Vec<[String; 2]> {
    [
        ("Backing Filesystem", file_system),
        ("Supports d_type", "true"),
        ("Using metacopy", "false"),
        ("Native Overlay Diff", "true"),
        ("userxattr", "false"),
    ]
    .map(|(name, value)| [name.to_owned(), value.to_owned()])
    .to_vec()
}

fn registries(mirrors: &[String], insecure: &[String]) -> RegistryConfig {
    let (networks, names): (Vec<&String>, Vec<&String>) = insecure.iter().partition(|text| text.contains('/'));
    let mut cidrs: Vec<String> = networks.into_iter().cloned().collect();
    cidrs.extend(["::1/128", "127.0.0.0/8"].map(str::to_owned));
    let mut indexes: BTreeMap<String, IndexConfig> = names
        .into_iter()
        .map(|name| {
            (
                name.clone(),
                IndexConfig {
                    name: name.clone(),
                    mirrors: Vec::new(),
                    secure: false,
                    official: false,
                },
            )
        })
        .collect();
    let official = IndexConfig {
        name: "docker.io".into(),
        mirrors: mirrors.to_vec(),
        secure: true,
        official: true,
    };
    indexes.insert("docker.io".into(), official);
    RegistryConfig {
        insecure_registry_cidrs: cidrs,
        index_configs: indexes,
        mirrors: (!mirrors.is_empty()).then(|| mirrors.to_vec()),
    }
}

/// Devices that can be asked for by name.
#[derive(Default)]
struct Devices {
    folders: Vec<String>,
    found: Vec<DeviceInfo>,
    warnings: Vec<String>,
}

impl Devices {
    fn discover(folders: Option<&[PathBuf]>) -> Self {
        let Some(folders) = folders else {
            return Self::default();
        };
        if folders.is_empty() {
            let warnings =
                vec!["CDI cache initialization failed: no CDI specification directories specified".to_owned()];
            return Self {
                warnings,
                ..Self::default()
            };
        }
        let catalogue = Catalogue::read(folders);
        let device = |name: &str| DeviceInfo {
            source: "cdi".to_owned(),
            id: name.to_owned(),
        };
        Self {
            folders: folders
                .iter()
                .map(|folder| folder.to_string_lossy().into_owned())
                .collect(),
            found: catalogue.names().map(device).collect(),
            warnings: catalogue.warnings(),
        }
    }
}

/// What is read from the host for `info`.
struct Host {
    cgroup_version: &'static str,
    ipv4_forwarding: bool,
    descriptors: i64,
    threads: i64,
    memory: i64,
    operating_system: String,
    os_version: String,
    file_system: String,
}

impl Host {
    fn probe() -> Self {
        let read = |path: &str| corten_sys::fs::read_to_string(path).unwrap_or_default();
        let unified = read("/sys/fs/cgroup/cgroup.controllers");
        let cgroup_version = if unified.is_empty() { "1" } else { "2" };
        let release = read("/etc/os-release");
        let field = |name: &str| {
            let value = release
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value
                .map(|value| value.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        let meminfo = read("/proc/meminfo");
        let kilobytes = meminfo.lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse::<i64>()
                .ok()
        });
        let count = |path: &str| {
            corten_sys::fs::read_dir(path).map_or(0, |entries| i64::try_from(entries.count()).unwrap_or(i64::MAX))
        };
        Self {
            cgroup_version,
            ipv4_forwarding: read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            memory: kilobytes.unwrap_or(0) * 1024,
            operating_system: field("PRETTY_NAME"),
            os_version: field("VERSION_ID"),
            file_system: file_system(),
        }
    }

    fn security_options(&self, defaults: &SecurityDefaults) -> Vec<String> {
        let mut options = Vec::new();
        if corten_sys::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.trim() == "Y")
        {
            options.push("name=apparmor".to_owned());
        }
        options.push(format!("name=seccomp,profile={}", defaults.seccomp.name()));
        if defaults.no_new_privileges {
            options.push("name=no-new-privileges".to_owned());
        }
        if self.cgroup_version == "2" {
            options.push("name=cgroupns".to_owned());
        }
        options
    }
}

/// The name that Docker gives to the file system of the root.
fn file_system() -> String {
    match rustix::fs::statfs("/").map(|status| status.f_type) {
        Ok(0xef53) => "extfs".into(),
        Ok(0x5846_5342) => "xfs".into(),
        Ok(0x9123_683e) => "btrfs".into(),
        Ok(0x0102_1994) => "tmpfs".into(),
        Ok(0x794c_7630) => "overlayfs".into(),
        _ => "<unknown>".into(),
    }
}
