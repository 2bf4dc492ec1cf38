//! Containers: what they are, what they are doing, and everything that can be done with them.
//!
//! [`Containers`] finds a container and does one thing with it; each file of this module holds one
//! kind of thing. A container's [`Record`] lies in its folder and is rewritten whenever it changes;
//! its first process belongs to a shim, with which a [`Link`] speaks. [`State::apply`] alone changes
//! the state, and [`Container::change`] alone calls it: it writes the record and wakes who waits.
//!
//! ```text
//!   create ─► record, snapshot            start ─► endpoint, files, config.json, shim
//!   watch  ◄─ events of the shim          ended ─► endpoint released, restart policy, --rm
//!   recover ─ at start-up: records + shims + exit files ─► the same states as before
//! ```
//!
//! Locks: a container's `operation` is held by start and remove while they work, so that they
//! exclude each other; `inner` guards its data, for moments only; the index guards the two maps.

mod archive;
mod attach;
mod changing;
mod coming;
mod commit;
mod connect;
mod create;
mod data;
mod delivery;
mod device_requests;
mod ended;
mod etc;
mod exec;
mod files;
mod fill;
mod from;
pub(crate) mod health;
mod host_use;
mod intent;
mod link;
mod links;
mod listeners;
mod log_config;
mod logs;
mod modes;
mod mounts;
mod names;
mod network;
mod order;
mod orphans;
mod propagation;
mod provide;
mod quota;
mod readiness;
mod realtime;
mod reaper;
mod record;
mod recovery;
mod remove;
mod resources;
mod runtimes;
mod security;
mod signals;
mod spec;
mod standby;
mod start;
mod state;
mod stats;
mod step_files;
mod steps;
mod stop;
pub(crate) mod supported;
mod top;
mod update;
mod users;
mod validate;
mod view;
mod wait;

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicBool},
    time::Duration,
};

use corten_shim::protocol::Attach;
use corten_store::Store;
use corten_sys::fs::SyncQueue;
use tokio::sync::{Notify, oneshot, watch};

pub(crate) use self::runtimes::OWN as OWN_RUNTIME;
pub(crate) use self::signals::parse as parse_signal;
pub(crate) use self::spec::ARCHITECTURE;
pub(crate) use self::step_files::AgentSocket;
pub use self::{
    archive::ExtractOptions,
    attach::{AttachRequest, Connection, Target},
    commit::CommitRequest,
    exec::ExecSession,
    log_config::{DRIVERS as LOG_DRIVERS, check as check_log_config},
    logs::{Logs, LogsRequest},
    realtime::check_realtime,
    remove::RemoveOptions,
    standby::{ANNOTATION as STANDBY_ANNOTATION, TakeOver},
    stats::Samples,
    steps::Step,
    view::ListRequest,
    wait::{WaitCondition, Waiter},
};
use self::{
    link::Link,
    record::Record,
    state::{Change, State},
};
use crate::{
    apparmor::AppArmor,
    error::{Error, Result},
    events::Events,
    images::Images,
    networks::Networks,
    settings::Settings,
    volumes::Volumes,
};

/// All containers of the engine.
#[derive(Debug, Clone)]
pub struct Containers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    store: Arc<Store>,
    images: Images,
    volumes: Volumes,
    networks: Networks,
    events: Events,
    index: RwLock<Index>,
    execs: exec::Execs,
    durable: Arc<SyncQueue>,
    shim: link::Program,
    machine: Machine,
    host: host_use::Host,
    log_changes: logs::Changes,
    deliveries: delivery::Deliveries,
    /// Whether all that ran is known again, so that new endpoints can be made.
    recovered: watch::Sender<bool>,
    /// Whether containers end because the engine does.
    shutting_down: AtomicBool,
}

/// What does not change while the engine runs.
#[derive(Debug, Clone)]
struct Machine {
    /// Processors.
    cpus: u32,
    /// The kernel's version and patch level.
    kernel: (u32, u32),
    /// Whether cgroups are version 2.
    cgroup2: bool,
    /// Memory nodes.
    nodes: u32,
    /// What its cgroups limit.
    supported: supported::Supported,
    /// What AppArmor does for containers.
    apparmor: AppArmor,
}

/// Containers by id and by name.
#[derive(Debug, Default)]
struct Index {
    by_id: BTreeMap<String, Arc<Container>>,
    by_name: HashMap<String, String>,
    /// Who links to a container, by its id.
    linked: HashMap<String, Vec<String>>,
}

impl Index {
    fn add_links(&mut self, id: &str, links: &[links::Link]) {
        for link in links {
            self.linked
                .entry(link.container.clone())
                .or_default()
                .push(id.to_owned());
        }
    }

    fn forget_links(&mut self, id: &str) {
        if !self.linked.is_empty() {
            self.linked.values_mut().for_each(|who| who.retain(|other| other != id));
            self.linked.retain(|_, who| !who.is_empty());
        }
    }
}

/// One container.
#[derive(Debug)]
struct Container {
    id: String,
    /// Its folder in the data root.
    folder: PathBuf,
    /// Its folder in the exec root: there while it runs, and how it ended until it is started or removed.
    bundle: PathBuf,
    /// Held while it is started or removed.
    operation: Arc<tokio::sync::Mutex<()>>,
    inner: Mutex<Mutable>,
    status: watch::Sender<Status>,
    /// Ends the pause before a restart.
    interrupt: Notify,
    /// How many clients are on their way to it.
    coming: watch::Sender<usize>,
    durable: Arc<SyncQueue>,
}

/// What changes in a container.
#[derive(Debug)]
struct Mutable {
    record: Record,
    /// There while it runs.
    link: Option<Link>,
    /// Clients that attached before it was started.
    clients: Vec<(Attach, OwnedFd)>,
    /// The pause before the next restart.
    backoff: Duration,
    /// Ends the probing of its health when it is dropped.
    monitor: Option<oneshot::Sender<()>>,
}

/// What waiters watch.
#[derive(Debug, Clone, Default)]
struct Status {
    /// Whether it runs or will run again by itself.
    active: bool,
    /// How often it has ended since the engine started.
    exits: u64,
    /// How it last ended.
    code: i32,
    /// Whether it is gone.
    removed: bool,
}

impl Containers {
    /// Takes up all containers of the data root: what ran and still runs is reconnected, what ended
    /// meanwhile is recorded, and what should run is started in the background.
    ///
    /// # Errors
    /// When the folder of containers cannot be read.
    pub async fn open(
        settings: Arc<Settings>,
        store: Arc<Store>,
        images: Images,
        volumes: Volumes,
        networks: Networks,
        events: Events,
    ) -> Result<Self> {
        let machine = Machine::probe();
        let shim = link::Program::load(&settings.shim)?;
        let log_changes = logs::Changes::default();
        let deliveries = delivery::Deliveries::new(&settings.data_root, log_changes.clone());
        let inner = Arc::new(Inner {
            settings,
            store,
            images,
            volumes,
            networks,
            events,
            index: RwLock::default(),
            execs: exec::Execs::default(),
            durable: Arc::new(SyncQueue::start()),
            shim,
            host: host_use::Host::default(),
            machine,
            log_changes,
            deliveries,
            recovered: watch::Sender::new(false),
            shutting_down: AtomicBool::new(false),
        });
        let containers = Self(inner);
        containers.recover().await?;
        Ok(containers)
    }

    /// What the user should know about how containers are confined.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let machine = &self.0.machine;
        let mut warnings = machine.supported.warnings(machine.cgroup2);
        warnings.extend(machine.apparmor.warning());
        warnings
    }

    /// What this host's control groups limit.
    pub(crate) fn supported(&self) -> &supported::Supported {
        &self.0.machine.supported
    }

    /// Finds a container by id, name or the beginning of an id, in this order.
    fn find(&self, reference: &str) -> Result<Arc<Container>> {
        self.0.find(reference)
    }
}

impl Inner {
    fn find(&self, reference: &str) -> Result<Arc<Container>> {
        let index = self.index();
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = index.by_id.get(name) {
            return Ok(Arc::clone(container));
        }
        if let Some(container) = index.by_name.get(name).and_then(|id| index.by_id.get(id)) {
            return Ok(Arc::clone(container));
        }
        let missing = || Error::not_found(format!("No such container: {reference}"));
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut matching = index
            .by_id
            .range(name.to_owned()..)
            .take_while(|(id, _)| id.starts_with(name));
        let (_, found) = matching.next().ok_or_else(missing)?;
        if matching.next().is_some() {
            return Err(Error::invalid(format!(
                "multiple IDs found with provided prefix: {name}"
            )));
        }
        Ok(Arc::clone(found))
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All containers, in the order of their ids.
    fn all(&self) -> Vec<Arc<Container>> {
        self.index().by_id.values().cloned().collect()
    }

    /// Tells listeners what happened to a container.
    fn emit(&self, container: &Container, action: impl Into<String>, more: &[(&str, String)]) {
        let mut attributes = attributes(&container.lock().record);
        attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.events.emit("container", action, &container.id, attributes);
    }

    /// Tells listeners what happened to a container, before anybody can see it.
    fn emit_first(&self, record: &Record, action: impl Into<String>) {
        self.events.emit("container", action, &record.id, attributes(record));
    }

    fn folder_of(&self, id: &str) -> PathBuf {
        self.settings.data_root.join("containers").join(id)
    }

    fn bundle_of(&self, id: &str) -> PathBuf {
        self.settings.exec_root.join("containers").join(id)
    }

    /// Makes the container of a record known.
    fn insert(&self, record: Record) -> Arc<Container> {
        let container = self.container_of(record);
        let id = container.id.clone();
        let mut index = self.index_mut();
        index.by_name.insert(container.lock().record.name.clone(), id.clone());
        index.add_links(&id, &container.lock().record.links);
        index.by_id.insert(id, Arc::clone(&container));
        container
    }

    /// The container of a record, which nobody finds.
    fn container_of(&self, record: Record) -> Arc<Container> {
        let id = record.id.clone();
        let status = Status {
            active: record.state.running().is_some(),
            code: record.state.ended().map_or(0, |ended| ended.code),
            ..Status::default()
        };
        Arc::new(Container {
            folder: self.folder_of(&id),
            bundle: self.bundle_of(&id),
            id,
            operation: Arc::default(),
            status: watch::Sender::new(status),
            interrupt: Notify::new(),
            coming: watch::Sender::new(0),
            durable: Arc::clone(&self.durable),
            inner: Mutex::new(Mutable {
                record,
                link: None,
                clients: Vec::new(),
                backoff: Duration::ZERO,
                monitor: None,
            }),
        })
    }
}

/// What every event of a container tells.
fn attributes(record: &Record) -> BTreeMap<String, String> {
    let mut attributes = record.config.labels.clone();
    attributes.insert("image".into(), record.config.image.clone());
    attributes.insert("name".into(), record.name.clone());
    attributes
}

impl Container {
    fn lock(&self) -> MutexGuard<'_, Mutable> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the record.
    fn record(&self) -> Record {
        self.lock().record.clone()
    }

    /// The name, without a slash.
    fn name(&self) -> String {
        self.lock().record.name.clone()
    }

    /// Changes the state by what has happened, keeps it, and wakes who waits.
    ///
    /// The state changes even when the disk refuses the record; the error then says so.
    fn change(&self, change: Change) -> Result<()> {
        self.change_with(change, |_| ())
    }

    /// The same, and changes the record too.
    fn change_with(&self, change: Change, edit: impl FnOnce(&mut Record)) -> Result<()> {
        self.transition(|inner| {
            inner.apply(change)?;
            edit(&mut inner.record);
            Ok(())
        })
    }

    /// Makes several changes of which nobody sees the middle, keeps the result, and wakes who waits.
    fn transition<T>(&self, change: impl FnOnce(&mut Mutable) -> Result<T>) -> Result<T> {
        let result = self.transition_untold(change);
        self.tell();
        result
    }

    /// The same, but nobody is woken before [`tell`](Self::tell).
    fn transition_untold<T>(&self, change: impl FnOnce(&mut Mutable) -> Result<T>) -> Result<T> {
        let mut inner = self.lock();
        let result = change(&mut inner)?;
        self.write(&inner.record).map(|()| result)
    }

    /// Wakes who waits for the state as it is now.
    fn tell(&self) {
        let (active, code) = {
            let state = &self.lock().record.state;
            let active = state.running().is_some() || matches!(state, State::Restarting(_));
            (active, state.ended().map(|ended| ended.code))
        };
        self.status.send_modify(|status| {
            status.active = active;
            status.code = code.unwrap_or(status.code);
        });
    }

    /// Changes the record and keeps it.
    fn edit(&self, edit: impl FnOnce(&mut Record)) -> Result<()> {
        let mut inner = self.lock();
        edit(&mut inner.record);
        self.write(&inner.record)
    }

    fn write(&self, record: &Record) -> Result<()> {
        let path = record.write(&self.folder)?;
        self.durable.register(path);
        Ok(())
    }

    /// The link to its shim.
    ///
    /// # Errors
    /// `Conflict` when it does not run, in Docker's words.
    fn link(&self) -> Result<Link> {
        self.lock().link.clone().ok_or_else(|| self.not_running())
    }

    fn not_running(&self) -> Error {
        Error::conflict(format!("container {} is not running", self.id))
    }
}

impl Mutable {
    /// Changes the state by what has happened.
    fn apply(&mut self, change: Change) -> Result<()> {
        let described = format!("{change:?}");
        let from = self.record.state.name();
        self.record.state.apply(change).map_err(|_| {
            Error::conflict(format!(
                "container {} is {from}: it cannot become {described}",
                self.record.short_id()
            ))
        })
    }
}

impl Machine {
    /// What limits of containers depend on.
    fn limits(&self) -> validate::Host<'_> {
        validate::Host {
            cpus: self.cpus,
            nodes: self.nodes,
            supported: &self.supported,
        }
    }

    fn probe() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
        let exists = |path: &str| corten_sys::fs::exists(path).unwrap_or(false);
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|n| n.parse().unwrap_or(0));
        let kernel = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self {
            cpus,
            kernel,
            cgroup2: exists("/sys/fs/cgroup/cgroup.controllers"),
            nodes: memory_nodes(),
            supported: supported::Supported::probe(),
            apparmor: AppArmor::prepare(),
        }
    }
}

/// How many memory nodes there are: `0-1` says two.
fn memory_nodes() -> u32 {
    let online = corten_sys::fs::read_to_string("/sys/devices/system/node/online").unwrap_or_default();
    let last = online
        .trim()
        .rsplit(['-', ','])
        .next()
        .and_then(|last| last.parse::<u32>().ok());
    last.map_or(1, |last| last + 1)
}
