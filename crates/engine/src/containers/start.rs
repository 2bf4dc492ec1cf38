//! Starting a container.
//!
//! ```text
//!   blocking thread                              shim
//!     spawn ──────────────────────────────────►  execs, waits for Start
//!     namespaces, user, endpoint, files, config
//!   task
//!     Start + descriptors ────────────────────►  clone, mounts, exec
//!     ◄──────────────────────────────── Started
//! ```
//!
//! Every step that acquires something has its undo in [`undo`], which runs when a later step fails.

use std::{net::IpAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use corten_api::{network::EndpointSettings, time::Time};
use corten_network::{
    hosts::{HostEntry, hosts_file, own_names, parse_extra_host},
    resolver::{ResolverConfig, ResolverOptions},
};
use corten_oci::runtime::Mount;
use corten_shim::protocol::{Attach, CONFIG_FILE, Failure, FailureKind, Start, Stdin, VERSION, WindowSize};
use serde::{Deserialize, Serialize};

use super::{
    Change, Container, Containers, Inner, State, files,
    link::{self, LinkError, Spawned},
    log_config,
    modes::{self, Ipc, Network, Share},
    record::Record,
    spec::{self, Joined, Surroundings},
    users,
};
use crate::{
    crash,
    error::{Error, Kind, Result, blocking},
    networks::{AttachRequest, Attached, PortMap},
    settings::Reloadable,
};

/// What the blocking part of a start has made.
pub(super) struct Prepared {
    pub(super) spawned: Spawned,
    pub(super) start: Start,
    pub(super) descriptors: Vec<OwnedFd>,
    networks: Option<Endpoint>,
}

/// What the network gave, kept in the bundle for an engine that finds the container started and the
/// record of that unwritten.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    network: String,
    settings: EndpointSettings,
    ports: PortMap,
}

impl Endpoint {
    const FILE: &str = "endpoint.json";

    fn write(&self, container: &Container) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|e| Error::internal("cannot write an endpoint").source(e))?;
        Ok(corten_sys::fs::write(container.bundle.join(Self::FILE), bytes)?)
    }

    /// The endpoint of a container's last start; none when it has no network of its own.
    pub(super) fn read(container: &Container) -> Option<Self> {
        let bytes = corten_sys::fs::read(container.bundle.join(Self::FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Puts it into the record.
    pub(super) fn record(self, record: &mut Record) {
        record.networks.insert(self.network, self.settings);
        record.ports = self.ports;
    }
}

impl Containers {
    /// Starts a container that does not run.
    ///
    /// # Errors
    /// `NotModified` when it runs; `Conflict` when it is paused or being removed; `Invalid` when its
    /// program cannot be executed or its configuration does not fit; what setting up its network gives.
    pub async fn start(&self, name: &str) -> Result<()> {
        let container = self.find(name)?;
        let _operation = container.operation.lock().await;
        match container.lock().record.state {
            State::Running(_) => return Err(Error::new(Kind::NotModified, "")),
            State::Paused(_) => {
                return Err(Error::conflict("cannot start a paused container, try unpause instead"));
            }
            State::Removing(_) | State::Dead(_) => {
                return Err(Error::conflict("container is marked for removal and cannot be started"));
            }
            State::Created(_) | State::Exited(_) | State::Restarting(_) => {}
        }
        container.interrupt.notify_waiters();
        container.edit(|record| {
            record.stopped_by_user = false;
            record.restarts = 0;
        })?;
        self.start_held(&container).await
    }

    /// Starts a container whose `operation` the caller holds.
    pub(super) async fn start_held(&self, container: &Arc<Container>) -> Result<()> {
        let result = self.try_start(container).await;
        if let Err(error) = &result {
            self.start_failed(container, error).await;
        }
        result
    }

    async fn try_start(&self, container: &Arc<Container>) -> Result<()> {
        let record = container.record();
        let prepared = {
            let (inner, container) = (Arc::clone(&self.0), Arc::clone(container));
            blocking(move || prepare(&inner, &container, &record)).await?
        };
        let Prepared {
            spawned,
            mut start,
            mut descriptors,
            networks,
        } = prepared;
        take_clients(container, &mut start, &mut descriptors);
        crash::point("start:prepared");
        let (link, started, events) = spawned.start(&start, descriptors).await.map_err(create_error)?;
        crash::point("start:running");
        let at = Time::now();
        let change = Change::Started {
            pid: started.pid,
            start_time: started.start_time,
            at,
        };
        let recorded = container.transition(|inner| {
            inner.apply(change)?;
            inner.link = Some(link);
            inner.record.wanted = true;
            if let Some(endpoint) = networks {
                endpoint.record(&mut inner.record);
            }
            Ok(())
        });
        if let Err(error) = recorded {
            if container.lock().link.is_none() {
                return Err(error);
            }
            // It runs, and the next engine learns that from its shim.
            tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot record a start"
            );
        }
        crash::point("start:recorded");
        self.0.images.set_running(&container.id, true);
        self.0.emit(container, "start", &[]);
        self.spawn_watch(container, events);
        self.0.deliveries.follow(container);
        Ok(())
    }

    /// Records why a start failed and takes back what it had made.
    async fn start_failed(&self, container: &Arc<Container>, error: &Error) {
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(container));
        if let Err(error) = blocking(move || undo(&inner, &held)).await {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot undo a failed start"
            );
        }
        container.lock().clients.clear();
        let text = error.report();
        let code = exit_code(&text);
        if let Err(error) = container.change_with(Change::StartFailed { code, error: text }, |r| r.wanted = false) {
            tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot record a failed start"
            );
        }
        container.status.send_modify(|status| status.exits += 1);
        self.0.emit(
            container,
            "die",
            &[("exitCode", code.to_string()), ("execDuration", "0".into())],
        );
        if container.lock().record.host_config.auto_remove {
            // It waits for the operation that the caller still holds.
            let (containers, container) = (self.clone(), Arc::clone(container));
            tokio::spawn(async move { containers.remove_ended(&container).await });
        }
    }
}

/// The exit code that stands for a failed start, as Docker's clients know it.
pub(super) fn exit_code(message: &str) -> i32 {
    if message.contains("executable file not found") || message.contains("no such file or directory") {
        127
    } else if message.contains("permission denied") || message.contains("is a directory") {
        126
    } else {
        128
    }
}

/// The runtime's refusal in the words that Docker's clients look for.
pub(super) fn create_error(error: LinkError) -> Error {
    let prefix = "failed to create task for container: failed to create shim task: OCI runtime create failed";
    match error {
        LinkError::Refused(Failure { kind, message }) => {
            let during = match kind {
                FailureKind::CommandNotFound | FailureKind::CommandNotExecutable => {
                    "unable to start container process: error during container init"
                }
                _ => "unable to start container process",
            };
            Error::new(link::kind_of(kind), format!("{prefix}: {during}: {message}"))
        }
        LinkError::Gone(error) => {
            Error::internal(format!("{prefix}: the container's shim ended unexpectedly")).source(error)
        }
    }
}

/// Hands the clients that attached before the start to the shim.
pub(super) fn take_clients(container: &Container, start: &mut Start, descriptors: &mut Vec<OwnedFd>) {
    let clients = std::mem::take(&mut container.lock().clients);
    let at = usize::from(start.netns);
    let (attach, sockets): (Vec<Attach>, Vec<OwnedFd>) = clients.into_iter().unzip();
    start.attach = attach;
    descriptors.splice(at..at, sockets);
}

/// Does everything that comes before the shim is told to start.
pub(super) fn prepare(inner: &Inner, container: &Container, record: &Record) -> Result<Prepared> {
    let settings = &inner.settings;
    corten_sys::fs::create_dir_all_mode(&container.bundle, 0o700)?;
    remove_stale(container)?;
    // The shim's own start overlaps with all that follows.
    let spawned = link::spawn(&inner.shim, &container.bundle)?;
    let rootfs = inner.store.snapshots().mounts(&record.id, durability(record))?;
    let defaults = settings.now();
    let identity = identity(record, &rootfs)?;
    let joined = joined(inner, record)?;
    let attached = attach_network(inner, record)?;
    write_files(inner, container, record, attached.as_ref(), &defaults)?;
    let around = Surroundings {
        identity: &identity,
        defaults: &defaults,
        security: &settings.security,
        folder: &container.folder,
        cgroup_parent: &settings.cgroup_parent,
        init: record
            .host_config
            .init
            .unwrap_or(settings.default_init)
            .then_some(settings.init.as_path()),
        apparmor: &inner.machine.apparmor,
        kernel: inner.machine.kernel,
        joined,
        shared_memory: shared_memory(inner, container, record)?,
        files: true,
    };
    let spec = spec::spec(record, &around)?;
    let config =
        serde_json::to_vec(&spec).map_err(|e| Error::internal("cannot write the runtime configuration").source(e))?;
    corten_sys::fs::write(container.bundle.join(CONFIG_FILE), config)?;
    let start = start_message(container, record, rootfs, attached.as_ref())?;
    let mut descriptors = Vec::new();
    let networks = match attached {
        Some(attached) => {
            descriptors.push(attached.netns);
            descriptors.extend(attached.hold);
            let endpoint = Endpoint {
                network: attached.network_name,
                settings: attached.settings,
                ports: attached.ports,
            };
            endpoint.write(container)?;
            Some(endpoint)
        }
        None => None,
    };
    Ok(Prepared {
        spawned,
        start,
        descriptors,
        networks,
    })
}

/// Whether the upper layer must survive a power cut.
fn durability(record: &Record) -> corten_store::Sync {
    match record.host_config.auto_remove {
        true => corten_store::Sync::Volatile,
        false => corten_store::Sync::Normal,
    }
}

/// Removes what an earlier run left in the bundle.
fn remove_stale(container: &Container) -> Result<()> {
    use corten_shim::protocol::{EXIT_FILE, SOCKET};
    for name in [EXIT_FILE, SOCKET, Endpoint::FILE] {
        corten_sys::fs::if_there(corten_sys::fs::remove_file(container.bundle.join(name)))?;
    }
    Ok(())
}

fn identity(record: &Record, rootfs: &[Mount]) -> Result<users::Identity> {
    let read = |name| files::read_unmounted(rootfs, "etc", name).unwrap_or_default();
    let groups = record.host_config.group_add.as_deref().unwrap_or_default();
    users::resolve(&record.config.user, groups, &read("passwd"), &read("group"))
}

/// First processes of the containers whose namespaces are joined.
fn joined(inner: &Inner, record: &Record) -> Result<Joined> {
    let host = &record.host_config;
    let pid_of = |name: &str, what: &str| -> Result<i32> {
        let other = inner
            .find(name)
            .map_err(|e| e.context(format!("cannot join {what} of container {name}")))?;
        let pid = other.lock().record.state.running().map(|running| running.pid);
        pid.ok_or_else(|| Error::conflict(format!("cannot join {what} of a non running container: {}", other.id)))
    };
    let mut joined = Joined::default();
    if let Network::Container(name) = modes::network(&host.network_mode) {
        joined.network = Some(pid_of(name, "network namespace")?);
    }
    if let Share::Container(name) = modes::share(&host.pid_mode, "PID")? {
        joined.pid = Some(pid_of(name, "PID namespace")?);
    }
    if let Ipc::Container(name) = modes::ipc(&host.ipc_mode)? {
        let other = inner.find(name)?;
        if other.lock().record.host_config.ipc_mode != "shareable" {
            return Err(Error::invalid(format!(
                "cannot join IPC namespace: IPC mode of container {name} is not shareable"
            ))
            .hint("start it with --ipc=shareable"));
        }
        joined.ipc = Some(pid_of(name, "IPC namespace")?);
    }
    Ok(joined)
}

/// The folder of a `/dev/shm` that is, or is to be, shared with other containers.
fn shared_memory(inner: &Inner, container: &Container, record: &Record) -> Result<Option<std::path::PathBuf>> {
    match modes::ipc(&record.host_config.ipc_mode)? {
        Ipc::Shareable => {
            let folder = container.bundle.join("shm");
            corten_sys::fs::create_dir_all(&folder)?;
            let options = std::ffi::CString::new(format!("mode=1777,size={}", record.host_config.shm_size))
                .map_err(|_| Error::internal("a number has a NUL in it"))?;
            let flags = rustix::mount::MountFlags::NOSUID
                | rustix::mount::MountFlags::NODEV
                | rustix::mount::MountFlags::NOEXEC;
            rustix::mount::mount("shm", &folder, "tmpfs", flags, options.as_c_str())
                .map_err(|e| corten_sys::fs::with_path("mount", &folder, e.into()))?;
            Ok(Some(folder))
        }
        Ipc::Container(name) => Ok(Some(inner.find(name)?.bundle.join("shm"))),
        Ipc::Private | Ipc::None | Ipc::Host => Ok(None),
    }
}

fn attach_network(inner: &Inner, record: &Record) -> Result<Option<Attached>> {
    let Network::Named(mode) = modes::network(&record.host_config.network_mode) else {
        return Ok(None);
    };
    let default = EndpointSettings::default();
    let requested = record
        .networks
        .get(mode)
        .or_else(|| record.networks.values().next())
        .unwrap_or(&default);
    let request = AttachRequest {
        container_id: &record.id,
        container_name: &record.name,
        network: mode,
        settings: requested,
        mac: if requested.mac_address.is_empty() {
            &record.config.mac_address
        } else {
            &requested.mac_address
        },
        ports: &wanted_ports(record),
    };
    inner
        .networks
        .attach(request)
        .map(Some)
        .map_err(|e| e.context("failed to set up container networking"))
}

/// The ports to publish: those asked for, and with `-P` every exposed one that was not.
fn wanted_ports(record: &Record) -> PortMap {
    let mut ports = record.host_config.port_bindings.clone();
    for port in record.config.exposed_ports.iter().flatten().map(|(port, _)| port) {
        let bindings = ports.entry(port.clone()).or_default();
        if record.host_config.publish_all_ports && bindings.as_ref().is_none_or(Vec::is_empty) {
            *bindings = Some(vec![corten_api::container::PortBinding::default()]);
        }
    }
    ports
}

/// Writes `hostname`, `hosts` and `resolv.conf` into the container's folder.
fn write_files(
    inner: &Inner,
    container: &Container,
    record: &Record,
    attached: Option<&Attached>,
    defaults: &Reloadable,
) -> Result<()> {
    let host = &record.host_config;
    if let Network::Container(name) = modes::network(&host.network_mode) {
        // The same network has the same names.
        let other = inner.find(name)?;
        for file in ["hostname", "hosts", "resolv.conf"] {
            let text = corten_sys::fs::read(other.folder.join(file))?;
            write_public(container, file, &text)?;
        }
        return Ok(());
    }
    write_public(
        container,
        "hostname",
        format!("{}\n", record.config.hostname).as_bytes(),
    )?;
    let gateways = host_gateways(inner, attached);
    write_public(container, "hosts", hosts(record, attached, &gateways)?.as_bytes())?;
    let (servers, search, options) = resolver_wishes(record, defaults)?;
    let asked = ResolverOptions {
        servers,
        search,
        options,
    };
    let host_resolver = host_resolver();
    let resolver = match modes::network(&host.network_mode) {
        Network::Host if asked.servers.is_empty() => host_resolver,
        _ => host_resolver.for_container(&asked),
    };
    if let Some(warning) = resolver.warning().filter(|_| attached.is_some()) {
        tracing::debug!(container = container.id, warning);
    }
    write_public(container, "resolv.conf", resolver.render().as_bytes())
}

fn write_public(container: &Container, name: &str, text: &[u8]) -> Result<()> {
    let path = container.folder.join(name);
    corten_sys::fs::write(&path, text)?;
    Ok(corten_sys::fs::set_mode(&path, 0o644)?)
}

/// What `host-gateway` stands for: what the administrator says, else the default bridge's addresses, else the
/// container's own gateway.
fn host_gateways(inner: &Inner, attached: Option<&Attached>) -> Vec<IpAddr> {
    let chosen = &inner.settings.host_gateways;
    if !chosen.is_empty() {
        return chosen.clone();
    }
    let bridge = inner.networks.host_gateways();
    if !bridge.is_empty() {
        return bridge;
    }
    attached
        .into_iter()
        .filter_map(|attached| attached.settings.gateway.parse().ok())
        .collect()
}

fn hosts(record: &Record, attached: Option<&Attached>, gateways: &[IpAddr]) -> Result<String> {
    let host = &record.host_config;
    if matches!(modes::network(&host.network_mode), Network::Host)
        && let Ok(text) = corten_sys::fs::read_to_string("/etc/hosts")
    {
        return Ok(text);
    }
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let settings = attached.map(|attached| &attached.settings);
    let mut extra = Vec::new();
    for value in host.extra_hosts.iter().flatten() {
        extra.extend(parse_extra_host(value, gateways).map_err(|e| Error::invalid(e.to_string()))?);
    }
    let names = own_names(&record.config.hostname, &record.config.domainname);
    let own: Vec<HostEntry> = settings
        .into_iter()
        .flat_map(|s| [&s.ip_address, &s.global_ipv6_address])
        .filter_map(|text| address(text))
        .map(|address| HostEntry {
            address,
            names: names.clone(),
        })
        .collect();
    Ok(hosts_file(&extra, &own))
}

fn resolver_wishes(record: &Record, defaults: &Reloadable) -> Result<(Vec<IpAddr>, Vec<String>, Vec<String>)> {
    let host = &record.host_config;
    let or = |own: &Option<Vec<String>>, default: &[String]| match own.as_deref() {
        Some(own) if !own.is_empty() => own.to_vec(),
        _ => default.to_vec(),
    };
    let servers = match host.dns.as_deref() {
        Some(own) if !own.is_empty() => own
            .iter()
            .map(|text| {
                text.parse()
                    .map_err(|_| Error::invalid(format!("bad nameserver address {text}")))
            })
            .collect::<Result<_>>()?,
        _ => defaults.dns.clone(),
    };
    Ok((
        servers,
        or(&host.dns_search, &defaults.dns_search),
        or(&host.dns_options, &defaults.dns_options),
    ))
}

/// The host's resolvers, as they are now.
fn host_resolver() -> ResolverConfig {
    let etc = corten_sys::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let systemd = corten_sys::fs::read_to_string("/run/systemd/resolve/resolv.conf").ok();
    ResolverConfig::of_host(&etc, systemd.as_deref())
}

fn start_message(
    container: &Container,
    record: &Record,
    rootfs: Vec<Mount>,
    attached: Option<&Attached>,
) -> Result<Start> {
    let config = &record.config;
    let [rows, columns] = record.host_config.console_size;
    let hold = attached.map_or(0, |attached| attached.hold.len());
    Ok(Start {
        version: VERSION,
        id: record.id.clone(),
        rootfs,
        netns: attached.is_some(),
        attach: Vec::new(),
        hold: u32::try_from(hold).map_err(|_| Error::invalid("too many published ports"))?,
        size: (config.tty && rows != 0 && columns != 0).then_some(WindowSize { rows, columns }),
        stdin: match (config.open_stdin, config.stdin_once) {
            (false, _) => Stdin::Null,
            (true, true) => Stdin::Once,
            (true, false) => Stdin::Open,
        },
        log: log_config::for_shim(record, &container.folder)?,
    })
}

/// Takes back what a start has made.
pub(super) fn undo(inner: &Inner, container: &Container) -> Result<()> {
    release(inner, container)?;
    corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(&container.bundle))?;
    Ok(())
}

/// Gives back what a container that has ended held. How it ended stays in the bundle until the next
/// start or the removal, for an engine that dies before it has recorded that.
pub(super) fn release(inner: &Inner, container: &Container) -> Result<()> {
    inner.networks.detach(&container.id);
    let shm = container.bundle.join("shm");
    if corten_sys::fs::exists(&shm)? {
        match rustix::mount::unmount(&shm, rustix::mount::UnmountFlags::DETACH) {
            // It was a folder without a mount.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(corten_sys::fs::with_path("unmount", &shm, error.into()).into()),
        }
        corten_sys::fs::remove_dir(&shm)?;
    }
    corten_sys::fs::if_there(corten_sys::fs::remove_file(container.bundle.join(CONFIG_FILE)))?;
    Ok(())
}

/// The first pause before a restart.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_millis(100);

impl Container {
    /// The local log.
    pub(super) fn log_path(&self) -> std::path::PathBuf {
        let config = &self.lock().record.host_config.log_config;
        // One that this engine does not know has no log.
        let driver = log_config::Driver::of(config).unwrap_or(log_config::Driver::None);
        driver.path(&self.id, &self.folder)
    }
}
