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

use std::{fs::File, os::fd::OwnedFd, sync::Arc, time::Duration};

use corten_api::time::Time;
use corten_oci::runtime::Mount;
use corten_shim::protocol::{Attach, CONFIG_FILE, Failure, FailureKind, Start, Stdin, VERSION, WindowSize};

use super::{
    Change, Container, Containers, Inner, State, coming, device_requests, etc, files,
    link::{self, LinkError, Spawned},
    log_config,
    modes::{self, Ipc, Network, Share},
    network::{self, Joined, Made},
    provide, realtime,
    record::Record,
    runtimes,
    spec::{self, Joined as Namespaces, Surroundings},
    users,
};
use crate::{
    crash,
    error::{Error, Kind, Result, blocking},
};

/// What the blocking part of a start has made.
pub(super) struct Prepared {
    pub(super) spawned: Spawned,
    pub(super) start: Start,
    pub(super) descriptors: Vec<OwnedFd>,
    joined: Joined,
    /// The log that a follower begins with.
    pub(super) log: Option<File>,
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
            joined,
            log,
        } = prepared;
        coming::arrived(container).await;
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
            joined.record(&mut inner.record);
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
        self.start_health(container);
        self.0.update_links_to(&container.record());
        self.0.emit(container, "start", &[]);
        coming::attach_late(container).await;
        self.spawn_watch(container, events);
        self.promote_if_alone(container);
        self.0.deliveries.follow_from(container, log);
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
    let message = message.to_lowercase();
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
            if kind == FailureKind::Runtime {
                let kind = match exit_code(&message) {
                    126 | 127 => Kind::Invalid,
                    _ => Kind::Internal,
                };
                return Error::new(kind, format!("{prefix}: {message}"));
            }
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
    let provided = provide::prepare(inner, container, record)?;
    let record = provided.as_ref().unwrap_or(record);
    let identity = identity(record, &rootfs)?;
    let namespaces = joined(inner, record)?;
    let made = network::join(inner, record)?;
    let (linked_hosts, linked) = inner.links_of(record)?;
    if !record.links.is_empty() {
        inner.open_links(record)?;
    }
    etc::write(inner, container, record, &made.joined, (&defaults, linked_hosts))?;
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
        joined: namespaces,
        shared_memory: shared_memory(inner, container, record)?,
        linked: &linked,
        files: true,
    };
    let mut spec = spec::spec(record, &around)?;
    device_requests::inject(&record.host_config, settings, &mut spec)?;
    realtime::prepare(settings.realtime, &spec::cgroup_path(record, &settings.cgroup_parent))?;
    let config =
        serde_json::to_vec(&spec).map_err(|e| Error::internal("cannot write the runtime configuration").source(e))?;
    corten_sys::fs::write(container.bundle.join(CONFIG_FILE), config)?;
    let start = start_message(container, record, rootfs, &made, &defaults)?;
    made.joined.write(container)?;
    let Made {
        netns,
        hold,
        names,
        joined,
    } = made;
    let log = super::delivery::begin(record, &container.folder)?;
    let names = names.into_iter().flat_map(|sockets| [sockets.udp, sockets.tcp]);
    Ok(Prepared {
        spawned,
        start,
        descriptors: netns.into_iter().chain(hold.sockets).chain(names).collect(),
        joined,
        log,
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
    use corten_shim::protocol::{EXIT_FILE, RUNTIME_FOLDER, SOCKET};
    for name in [EXIT_FILE, SOCKET, Joined::FILE] {
        corten_sys::fs::if_there(corten_sys::fs::remove_file(container.bundle.join(name)))?;
    }
    corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(container.bundle.join(RUNTIME_FOLDER)))?;
    Ok(())
}

fn identity(record: &Record, rootfs: &[Mount]) -> Result<users::Identity> {
    let read = |name| files::read_unmounted(rootfs, "etc", name).unwrap_or_default();
    let groups = record.host_config.group_add.as_deref().unwrap_or_default();
    users::resolve(&record.config.user, groups, &read("passwd"), &read("group"))
}

/// First processes of the containers whose namespaces are joined.
fn joined(inner: &Inner, record: &Record) -> Result<Namespaces> {
    let host = &record.host_config;
    let pid_of = |name: &str, what: &str| -> Result<i32> {
        let other = inner
            .find(name)
            .map_err(|e| e.context(format!("cannot join {what} of container {name}")))?;
        let pid = other.lock().record.state.running().map(|running| running.pid);
        pid.ok_or_else(|| Error::conflict(format!("cannot join {what} of a non running container: {}", other.id)))
    };
    let mut joined = Namespaces::default();
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

fn start_message(
    container: &Container,
    record: &Record,
    rootfs: Vec<Mount>,
    made: &Made,
    defaults: &crate::settings::Reloadable,
) -> Result<Start> {
    let config = &record.config;
    let [rows, columns] = record.host_config.console_size;
    Ok(Start {
        version: VERSION,
        id: record.id.clone(),
        rootfs,
        netns: made.netns.is_some(),
        attach: Vec::new(),
        hold: u32::try_from(made.hold.sockets.len()).map_err(|_| Error::invalid("too many published ports"))?,
        relays: made.hold.relays.clone(),
        names: made.names.is_some(),
        size: (config.tty && rows != 0 && columns != 0).then_some(WindowSize { rows, columns }),
        stdin: match (config.open_stdin, config.stdin_once) {
            (false, _) => Stdin::Null,
            (true, true) => Stdin::Once,
            (true, false) => Stdin::Open,
        },
        runtime: runtimes::program(&record.host_config.runtime, defaults)?,
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
    provide::release(inner, container)?;
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
