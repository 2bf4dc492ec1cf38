//! The container's first process, from the clone to execve.
//!
//! It runs in a copy of the runtime's only thread, so that it may allocate; what goes wrong it tells
//! through its channel, and ends.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use corten_oci::runtime::{Linux, Spec, State, Status};
use corten_sys::namespace::{Namespaces, unshare};
use corten_sys::process::{exit, reset_signals};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid, umask};
use rustix::system::{setdomainname, sethostname};
use rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};

use crate::cgroup::Entrance;
use crate::channel::{Channel, Report};
use crate::context::Context as _;
use crate::error::{Error, Kind, Result};
use crate::launch::{Launch, Who};
use crate::rootfs::{self, Built, RootEntry, Sources, Surroundings, View};
use crate::terminal::{self, Stdio, Terminal};
use crate::{hooks, namespaces, validate};

/// All that the first process needs, decided and opened before the clone.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) state: State,
    pub(crate) launch: Launch<'a>,
    pub(crate) namespaces: &'a namespaces::Plan,
    pub(crate) root: Option<rootfs::Plan>,
    pub(crate) root_path: std::path::PathBuf,
    pub(crate) sources: Option<Sources>,
    pub(crate) cgroups: Option<Vec<(String, std::path::PathBuf)>>,
    pub(crate) entrance: Option<Entrance>,
    pub(crate) root_entry: RootEntry,
    pub(crate) keyring: Keyring,
    pub(crate) stdio: Stdio,
    pub(crate) fifo: Option<OwnedFd>,
}

/// Which session keyring a container's processes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keyring {
    /// One of the container's own.
    #[default]
    New,
    /// The caller's.
    Inherit,
}

/// Runs `steps`, which end in another program; tells their error and ends the process.
pub(crate) fn run(channel: &Channel, steps: impl FnOnce() -> Result<Infallible>) -> ! {
    let outcome = catch_unwind(AssertUnwindSafe(steps));
    let error = match outcome {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => error,
        Err(_) => Error::new(Kind::Internal, "the runtime has a bug and panicked"),
    };
    give_up(Some(channel), error)
}

/// Tells an error and ends the process.
pub(crate) fn give_up(channel: Option<&Channel>, error: Error) -> ! {
    let text = format!("{}\n", error.chain());
    if channel.is_none_or(|channel| channel.report(&Report::Failed(error)).is_err()) {
        // The runtime has left: it was `create`, and this is after `start`. Standard error may be closed too.
        let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
    }
    exit(1)
}

impl Init<'_> {
    /// Goes all the way to the program.
    pub(crate) fn start(mut self, channel: &Channel) -> Result<Infallible> {
        reset_signals().context(|| "cannot reset signals".into())?;
        if self.namespaces.has_user() {
            channel.wait()?;
            become_root()?;
        }
        self.settle()?;
        let proc = host_proc()?;
        self.know_itself(&proc)?;
        if !self.namespaces.has_user() {
            self.launch.adjust(&proc, Who::Myself)?;
        }
        let master = self.enter_root(channel)?;
        if let Some(master) = master {
            channel.report(&Report::Console(master))?;
        }
        self.name(&proc)?;
        self.launch.prepare()?;
        self.launch.label(&proc)?;
        let env = self.launch.environment()?;
        self.launch.have_limited(channel, self.namespaces.has_user())?;
        self.launch.become_user()?;
        let program = self.launch.locate()?;
        let waiting = match self.fifo.take() {
            Some(fifo) => {
                channel.report(&Report::Ready)?;
                wait_for_reader(&proc, &fifo)?;
                None
            }
            None => Some(channel),
        };
        if let Some(start) = self.spec.hooks.as_ref().map(|hooks| &hooks.start_container) {
            self.state.status = Status::Created;
            hooks::run("startContainer", start, &self.state)?;
        }
        self.launch.execute(&program, &env, waiting)
    }

    /// Finds out its own number as the host counts, which the hooks are told.
    fn know_itself(&mut self, proc: &OwnedFd) -> Result<()> {
        if self.spec.hooks.is_some() {
            let naming = || "cannot read \"/proc/self\"".to_owned();
            let number = rustix::fs::readlinkat(proc, "self", Vec::new()).context(naming)?;
            self.state.pid = number.to_str().ok().and_then(|number| number.parse().ok());
        }
        Ok(())
    }

    /// Gets into its cgroup, namespaces, session and keyring.
    fn settle(&self) -> Result<()> {
        if let Some(entrance) = &self.entrance {
            entrance.enter().context(|| "cannot enter the cgroup".into())?;
        }
        if !self.namespaces.joins_user() {
            self.namespaces.join()?;
        }
        if self.namespaces.new_cgroup {
            unshare(Namespaces::CGROUP).context(|| "cannot make a cgroup namespace".into())?;
        }
        // Other processes in a shared PID namespace must not reach into this one (CVE-2016-9962).
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "cannot become undumpable".into())?;
        setsid().context(|| "cannot lead a session".into())?;
        if self.keyring == Keyring::New {
            new_keyring(&self.state.id)?;
        }
        umask(Mode::empty());
        Ok(())
    }

    /// Makes the root, runs the hooks whose time has come, and enters. Returns a terminal's master.
    fn enter_root(&mut self, channel: &Channel) -> Result<Option<OwnedFd>> {
        let Some(plan) = self.root.take() else {
            rootfs::enter_folder(&self.root_path)?;
            self.run_hooks(channel)?;
            return self.take_stdio(None);
        };
        let sources = match self.sources.take() {
            Some(sources) => sources,
            None => Sources::open(&plan)?,
        };
        let namespace = self.namespaces.new_cgroup;
        let around = Surroundings {
            cgroups: self.cgroups.take().map(|paths| View { paths, namespace }),
            nodes: if self.namespaces.has_user() {
                rootfs::Nodes::Bound
            } else {
                rootfs::Nodes::Made
            },
        };
        let built = rootfs::build(&plan, sources, &around)?;
        let master = self.take_stdio(Some(&built))?;
        self.run_hooks(channel)?;
        built.protect(&plan)?;
        built.enter(&plan, self.root_entry)?;
        Ok(master)
    }

    fn take_stdio(&mut self, built: Option<&Built>) -> Result<Option<OwnedFd>> {
        match &self.stdio {
            Stdio::Inherit => Ok(None),
            Stdio::Streams(streams) => {
                terminal::take_streams(streams.each_ref().map(|stream| stream.as_fd()))?;
                Ok(None)
            }
            Stdio::Terminal(size) => {
                let terminal = match built.and_then(|built| built.terminals.as_ref()) {
                    Some(devpts) => Terminal::open_in(devpts, *size)?,
                    None => Terminal::new(multiplexer(built)?, *size)?,
                };
                if let Some(built) = built {
                    built.console(&terminal.slave)?;
                }
                terminal::take_terminal(terminal.slave.as_fd())?;
                Ok(Some(terminal.master))
            }
        }
    }

    fn run_hooks(&self, channel: &Channel) -> Result<()> {
        let Some(all) = &self.spec.hooks else { return Ok(()) };
        if !all.prestart.is_empty() || !all.create_runtime.is_empty() {
            channel.report(&Report::Hooks)?;
            channel.wait()?;
        }
        hooks::run("createContainer", &all.create_container, &self.state)
    }

    /// Sets what its namespaces know it by.
    fn name(&self, proc: &OwnedFd) -> Result<()> {
        if let Some(name) = self.spec.hostname.as_deref().filter(|name| !name.is_empty()) {
            sethostname(name.as_bytes()).context(|| "sethostname".to_owned())?;
        }
        if let Some(name) = self.spec.domainname.as_deref().filter(|name| !name.is_empty()) {
            setdomainname(name.as_bytes()).context(|| format!("cannot set the domainname {name:?}"))?;
        }
        for (name, value) in &self.linux.sysctl {
            let path = format!("sys/{}", validate::sysctl_path(name));
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let naming = || format!("cannot set sysctl {name:?} to {value:?}");
            let file = openat2(proc, path, flags, Mode::empty(), resolve).context(naming)?;
            rustix::io::write(&file, value.as_bytes()).context(naming)?;
        }
        Ok(())
    }
}

/// Becomes the user namespace's root, with all groups of the host's left behind where that is allowed.
pub(crate) fn become_root() -> Result<()> {
    // Forbidden without privileges outside; there they don't matter.
    let _ = rustix::thread::set_thread_groups(&[]);
    let naming = || "cannot become root in the user namespace".to_owned();
    let (gid, uid) = (Gid::ROOT, Uid::ROOT);
    set_thread_res_gid(gid, gid, gid).context(naming)?;
    set_thread_res_uid(uid, uid, uid).context(naming)
}

/// Opens the host's procfs, to be used when the container's could be something else.
pub(crate) fn host_proc() -> Result<OwnedFd> {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).context(|| "cannot open \"/proc\"".into())?;
    let kind = rustix::fs::fstatfs(&proc)
        .context(|| "cannot look at \"/proc\"".into())?
        .f_type;
    if kind != PROC_SUPER_MAGIC {
        return Err(Error::new(
            Kind::Unsupported,
            "\"/proc\" of the host isn't a proc file system",
        ));
    }
    Ok(proc)
}

pub(crate) fn new_keyring(id: &str) -> Result<()> {
    let name = std::ffi::CString::new(format!("_ses.{id}"))
        .map_err(|_| crate::context::invalid("the id has a null byte in it"))?;
    match corten_sys::keyring::join_session(&name) {
        Ok(_) => Ok(()),
        // A kernel without keyrings has none to share either.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => Ok(()),
        Err(error) => Err(error).context(|| "cannot make a session keyring".into()),
    }
}

fn multiplexer(built: Option<&Built>) -> Result<OwnedFd> {
    let opened = match built {
        Some(built) => rootfs::open(built.root.as_fd(), "dev/ptmx", terminal::FLAGS),
        None => rustix::fs::open("/dev/ptmx", terminal::FLAGS, Mode::empty()),
    };
    opened.context(|| "cannot open a terminal".into())
}

/// Blocks until someone opens the other side of the fifo, and tells him.
fn wait_for_reader(proc: &OwnedFd, fifo: &OwnedFd) -> Result<()> {
    let path = format!("self/fd/{}", fifo.as_raw_fd());
    let writer = rustix::io::retry_on_intr(|| openat(proc, &path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()));
    let writer = writer.context(|| "cannot open the exec fifo".into())?;
    rustix::io::write(&writer, b"0")
        .map(drop)
        .context(|| "cannot write the exec fifo".into())
}
