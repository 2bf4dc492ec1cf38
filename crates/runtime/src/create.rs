//! Making a container.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use corten_oci::runtime::{ConsoleSize, Mount, Resources, Spec, State, Status};
use corten_sys::namespace::Namespaces;
use corten_sys::process::{Clone, Forked, Parent, PidFd, clone3, exit, start_time};
use rustix::fs::{Mode, OFlags};

use crate::cgroup::{Cgroup, Entrance};
use crate::channel::{self, Channel, Report};
use crate::context::{Context as _, invalid};
use crate::error::{Error, Kind, Result};
use crate::init::{self, Init, Keyring, host_proc};
use crate::launch::{Launch, Who};
use crate::rootfs::{self, RootEntry, Sources};
use crate::terminal::Stdio;
use crate::{hooks, namespaces, validate};

/// What makes a container.
#[derive(Debug)]
pub struct Create<'a> {
    /// Its id.
    pub id: &'a str,
    /// The bundle, an absolute path; relative paths of the configuration start there.
    pub bundle: &'a Path,
    /// The configuration.
    pub spec: &'a Spec,
    /// What is mounted as its root, inside its mount namespace, in order: `type: overlay` with options
    /// `lowerdir+=PATH` (repeated), `upperdir=`, `workdir=`, `volatile`, …; or a bind mount. Empty for
    /// the configuration's own `root.path`.
    pub rootfs: &'a [Mount],
    /// The network namespace, in place of what the configuration says of it.
    pub network: Option<OwnedFd>,
    /// Standard streams; decides alone whether there is a terminal, whatever `process.terminal` says.
    pub stdio: Stdio,
    /// When the program is executed.
    pub begin: Begin<'a>,
    /// How the root is entered.
    pub root_entry: RootEntry,
    /// The session keyring.
    pub keyring: Keyring,
    /// How many descriptors, from 3 on, the program inherits.
    pub preserved_fds: u32,
}

impl<'a> Create<'a> {
    /// Asks for a container that begins at once, with the caller's streams.
    #[must_use]
    pub fn new(id: &'a str, bundle: &'a Path, spec: &'a Spec) -> Self {
        Self {
            id,
            bundle,
            spec,
            rootfs: &[],
            network: None,
            stdio: Stdio::Inherit,
            begin: Begin::Now,
            root_entry: RootEntry::Pivot,
            keyring: Keyring::New,
            preserved_fds: 0,
        }
    }
}

/// When a container's program is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin<'a> {
    /// At once; [`create`] returns when it has been, or why it couldn't be.
    Now,
    /// When somebody opens this fifo to read (runc's `exec.fifo`).
    WhenOpened(&'a Path),
}

/// A container that has been made.
#[derive(Debug)]
pub struct Container {
    /// Its first process, as the caller counts.
    pub pid: i32,
    /// Its first process, a child of the caller, who has to wait for it.
    pub process: PidFd,
    /// When that started ([`start_time`]).
    pub start_time: u64,
    /// The master of its terminal, if [`Stdio::Terminal`] was asked for.
    pub console: Option<OwnedFd>,
    /// Its cgroup, if the configuration names one; to be deleted by the caller in the end.
    pub cgroup: Option<Cgroup>,
}

/// Makes a container. The caller must have one thread.
///
/// On failure nothing is left: no process, no mount, no cgroup.
///
/// # Errors
/// `CommandNotFound` (exit code 127) and `CommandNotExecutable` (126) for the program; `Invalid` for a
/// configuration that cannot be, `Unsupported` for what the kernel lacks; `Internal`.
pub fn create(mut request: Create<'_>) -> Result<Container> {
    let (process, linux) = validate::check(request.spec)?;
    let launch = Launch::new(process, linux, request.preserved_fds)?;
    let namespaces = namespaces::Plan::new(linux, request.network.take())?;
    let root = root(&request, &namespaces)?;
    let sources = sources_beforehand(root.as_ref(), &namespaces)?;
    let fifo = match request.begin {
        Begin::Now => None,
        Begin::WhenOpened(path) => Some(open_fifo(path)?),
    };
    let state = state(&request.spec.oci_version, request.id, request.bundle, request.spec);
    let cgroup = cgroup(linux)?;
    let mut new = New { cgroup, child: None };
    let init = Init {
        spec: request.spec,
        linux,
        state: state.clone(),
        launch,
        namespaces: &namespaces,
        root,
        root_path: root_path(&request),
        sources,
        cgroups: new.cgroup.as_ref().map(Cgroup::paths),
        entrance: entrance(new.cgroup.as_ref(), &namespaces)?,
        root_entry: request.root_entry,
        keyring: request.keyring,
        stdio: request.stdio,
        fifo,
    };
    let (channel, launch) = clone(init, &mut new)?;
    let watch = Watch {
        spec: request.spec,
        state,
        channel,
        launch,
        namespaces: &namespaces,
    };
    watch.until_begun(new)
}

fn root(request: &Create<'_>, namespaces: &namespaces::Plan) -> Result<Option<rootfs::Plan>> {
    if namespaces.has_mount() {
        return rootfs::Plan::new(request.spec, request.bundle, request.rootfs).map(Some);
    }
    match request.rootfs {
        [] => Ok(None),
        _ => Err(invalid("a root to be mounted needs a mount namespace")),
    }
}

fn root_path(request: &Create<'_>) -> PathBuf {
    let root = request.spec.root.as_ref();
    root.map_or_else(|| PathBuf::from("/"), |root| request.bundle.join(&root.path))
}

/// Opens what the child could not: sources of mounts whose ids are mapped, or that only the host's
/// root can reach. Without privileges the child, root of its user namespace, can do more than we.
fn sources_beforehand(root: Option<&rootfs::Plan>, namespaces: &namespaces::Plan) -> Result<Option<Sources>> {
    let needed = root.filter(|plan| plan.maps_ids() || namespaces.has_user());
    let able = needed.filter(|_| rustix::process::geteuid().is_root());
    able.map(Sources::open).transpose()
}

/// The way into the cgroup, where the child cannot be born there.
fn entrance(cgroup: Option<&Cgroup>, namespaces: &namespaces::Plan) -> Result<Option<Entrance>> {
    let needed = cgroup.filter(|cgroup| cgroup.fd().is_none() || namespaces.joins_user());
    needed.map(Cgroup::entrance).transpose()
}

/// Makes the child, which doesn't return from here, and gives back what is still of use to the parent.
fn clone<'a>(init: Init<'a>, new: &mut New) -> Result<(Channel, Launch<'a>)> {
    let (ours, theirs) = channel::pair()?;
    let namespaces = init.namespaces;
    let between = namespaces.joins_user();
    let approach = namespaces.approach()?;
    let clone = Clone {
        namespaces: if between { Namespaces::NONE } else { namespaces.new },
        parent: Parent::Caller,
        cgroup: new.cgroup.as_ref().and_then(Cgroup::fd).filter(|_| !between),
    };
    match clone3(&clone).context(|| "cannot clone the container's init".into())? {
        Forked::Child => {
            drop(ours);
            init::run(&theirs, || match between {
                true => go_between(init, &theirs),
                false => init.start(&theirs),
            })
        }
        Forked::Parent { pid, child } => {
            new.child = Some((pid, child));
            approach.leave()?;
            Ok((ours, init.launch))
        }
    }
}

/// Joins a user namespace, and makes in it the process that goes on.
fn go_between(init: Init<'_>, channel: &Channel) -> Result<std::convert::Infallible> {
    if let Some(entrance) = &init.entrance {
        entrance.enter().context(|| "cannot enter the cgroup".into())?;
    }
    init.namespaces.join_with_user()?;
    init::become_root()?;
    let clone = Clone {
        namespaces: init.namespaces.new,
        parent: Parent::OfCaller,
        cgroup: None,
    };
    match clone3(&clone).context(|| "cannot clone the container's init".into())? {
        Forked::Child => init.start(channel),
        Forked::Parent { child, .. } => {
            channel.report(&Report::Cloned(child.into()))?;
            exit(0)
        }
    }
}

/// What has been made and has to go when making fails.
#[derive(Debug)]
struct New {
    cgroup: Option<Cgroup>,
    child: Option<(i32, PidFd)>,
}

impl Drop for New {
    fn drop(&mut self) {
        // The error that led here is told; what cannot be undone would only hide it.
        if let Some((_, child)) = self.child.take() {
            let _ = child.send_signal(9);
            let _ = child.wait();
        }
        if let Some(cgroup) = self.cgroup.take() {
            let _ = cgroup.delete();
        }
    }
}

/// The runtime while its child gets ready.
struct Watch<'a> {
    spec: &'a Spec,
    state: State,
    channel: Channel,
    launch: Launch<'a>,
    namespaces: &'a namespaces::Plan,
}

impl Watch<'_> {
    fn until_begun(mut self, mut new: New) -> Result<Container> {
        let mut console = None;
        let mut executing = false;
        if self.namespaces.has_user() && !self.namespaces.joins_user() {
            self.privilege(&new)?;
        }
        // While the child is busy there is time for what takes a look at it.
        let mut started = started(&new)?;
        loop {
            match self.channel.hear()? {
                Report::Cloned(process) => {
                    started = self.adopt(&mut new, process)?;
                    self.privilege(&new)?;
                }
                Report::Hooks => self.run_hooks(&new)?,
                Report::Limits => self.limit(&new)?,
                Report::Console(master) => console = Some(master),
                Report::Executing => executing = true,
                Report::Ready => break,
                Report::Failed(error) => return Err(error),
                Report::Closed if executing => break,
                Report::Closed => return Err(died(&new)),
            }
        }
        if executing {
            self.greet(&new)?;
        }
        let (pid, process) = new.child.take().ok_or_else(lost)?;
        Ok(Container {
            pid,
            process,
            start_time: started,
            console,
            cgroup: new.cgroup.take(),
        })
    }

    /// Runs the hooks of a container whose program runs.
    fn greet(&mut self, new: &New) -> Result<()> {
        self.state.pid = new.child.as_ref().map(|(pid, _)| *pid);
        self.state.status = Status::Running;
        match &self.spec.hooks {
            Some(all) => hooks::run("poststart", &all.poststart, &self.state),
            None => Ok(()),
        }
    }

    /// Gives a child in a user namespace what it cannot give itself.
    fn privilege(&self, new: &New) -> Result<()> {
        let (pid, _) = new.child.as_ref().ok_or_else(lost)?;
        if !self.namespaces.joins_user()
            && let Some(linux) = &self.spec.linux
        {
            namespaces::write_maps(*pid, linux)?;
        }
        self.launch.adjust(&host_proc()?, Who::Child(*pid))?;
        self.channel.go()
    }

    /// Sets the resource limits of a child in a user namespace, where it cannot raise them itself.
    fn limit(&self, new: &New) -> Result<()> {
        let (pid, _) = new.child.as_ref().ok_or_else(lost)?;
        self.launch.limit(Who::Child(*pid))?;
        self.channel.go()
    }

    /// Takes the process that goes on for the one between, which has ended; returns when it started.
    fn adopt(&self, new: &mut New, process: OwnedFd) -> Result<u64> {
        let process = PidFd::from(process);
        let pid = process.pid().context(|| "cannot find the container's init".into())?;
        let between = new.child.replace((pid.ok_or_else(lost)?, process));
        if let Some((_, between)) = between {
            between.wait().context(|| "cannot wait for a child".into())?;
        }
        started(new)
    }

    fn run_hooks(&mut self, new: &New) -> Result<()> {
        self.state.pid = new.child.as_ref().map(|(pid, _)| *pid);
        if let Some(all) = &self.spec.hooks {
            hooks::run("prestart", &all.prestart, &self.state)?;
            hooks::run("createRuntime", &all.create_runtime, &self.state)?;
        }
        self.channel.go()
    }
}

fn started(new: &New) -> Result<u64> {
    let (pid, _) = new.child.as_ref().ok_or_else(lost)?;
    start_time(*pid).context(|| "cannot read when init started".into())
}

fn lost() -> Error {
    Error::new(Kind::Internal, "the container's init is lost")
}

fn died(new: &New) -> Error {
    let killed = new
        .cgroup
        .as_ref()
        .is_some_and(|cgroup| cgroup.oom_killed().is_ok_and(|count| count > 0));
    if killed {
        let message = "container init was OOM-killed (memory limit too low?)";
        return Error::new(Kind::Invalid, message);
    }
    Error::new(
        Kind::Internal,
        "the container's init died before its program was executed",
    )
}

fn open_fifo(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("cannot open the exec fifo {path:?}"))
}

fn cgroup(linux: &corten_oci::runtime::Linux) -> Result<Option<Cgroup>> {
    let Some(path) = linux.cgroups_path.as_deref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let none = Resources::default();
    Cgroup::create(&PathBuf::from(path), linux.resources.as_ref().unwrap_or(&none)).map(Some)
}

fn state(version: &str, id: &str, bundle: &Path, spec: &Spec) -> State {
    State {
        oci_version: version.into(),
        id: id.into(),
        status: Status::Creating,
        pid: None,
        bundle: bundle.into(),
        annotations: spec.annotations.clone(),
    }
}

/// Runs the hooks of a container that was made to be started later, and has been.
pub(crate) fn run_poststart_hooks(id: &str, bundle: &Path, spec: &Spec, pid: i32) -> Result<()> {
    let Some(all) = &spec.hooks else { return Ok(()) };
    let mut state = state(&spec.oci_version, id, bundle, spec);
    state.status = Status::Running;
    state.pid = Some(pid);
    hooks::run("poststart", &all.poststart, &state)
}

/// Runs the hooks that follow a container's deletion; a failing one ends the row.
///
/// # Errors
/// `Internal`; the container is gone all the same.
pub fn run_poststop_hooks(id: &str, bundle: &Path, spec: &Spec) -> Result<()> {
    let Some(all) = &spec.hooks else { return Ok(()) };
    let mut state = state(&spec.oci_version, id, bundle, spec);
    state.status = Status::Stopped;
    hooks::run("poststop", &all.poststop, &state)
}

/// The terminal size that a process's configuration asks for.
#[must_use]
pub fn console_size(process: &corten_oci::runtime::Process) -> Option<ConsoleSize> {
    process.console_size.filter(|size| size.height > 0 && size.width > 0)
}
