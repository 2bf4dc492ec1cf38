//! Running another process in a container.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use corten_oci::runtime::{Process, Spec};
use corten_sys::namespace::{Namespaces, setns};
use corten_sys::process::{Clone, Forked, PidFd, clone3, reset_signals, start_time};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid, umask};

use crate::cgroup::{Cgroup, Entrance};
use crate::channel::{self, Channel, Report};
use crate::context::Context as _;
use crate::error::{Error, Kind, Result};
use crate::init::{self, Keyring, become_root, host_proc};
use crate::launch::{Launch, Who};
use crate::terminal::{self, Stdio, Terminal};
use crate::{namespaces, validate};

/// What makes a process in a container that runs.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The container's first process.
    pub init: &'a PidFd,
    /// The container's configuration, for its namespaces, seccomp and execution domain.
    pub spec: &'a Spec,
    /// The process.
    pub process: &'a Process,
    /// The container's cgroup.
    pub cgroup: Option<&'a Cgroup>,
    /// Standard streams; decides alone whether there is a terminal.
    pub stdio: Stdio,
    /// How many descriptors, from 3 on, the program inherits.
    pub preserved_fds: u32,
    /// The session keyring. A new one has the container's name only if `id` is given.
    pub keyring: Keyring,
    /// The container's id.
    pub id: &'a str,
}

/// A process that has been executed in a container.
#[derive(Debug)]
pub struct Executed {
    /// Its number, as the caller counts.
    pub pid: i32,
    /// The process, a child of the caller, who has to wait for it.
    pub process: PidFd,
    /// When it started.
    pub start_time: u64,
    /// The master of its terminal, if [`Stdio::Terminal`] was asked for.
    pub console: Option<OwnedFd>,
}

/// Runs a process in a container, and returns when its program has been executed. The caller must
/// have one thread.
///
/// # Errors
/// As [`create`](crate::create()); `NotFound` when the container has ended.
pub fn exec(request: Exec<'_>) -> Result<Executed> {
    let (_, linux) = validate::check(request.spec)?;
    let mut launch = Launch::new(request.process, linux, request.preserved_fds)?;
    if let Some(first) = &request.spec.process {
        launch.inherit_limits(first)?;
    }
    let kinds = namespaces::named(request.spec);
    let has_user = kinds.contains(Namespaces::USER);
    let in_v2 = request.cgroup.and_then(Cgroup::fd);
    let entrance = match (request.cgroup, in_v2) {
        (Some(cgroup), None) => Some(cgroup.entrance()?),
        _ => None,
    };
    let (ours, theirs) = channel::pair()?;
    let back = approach(request.init, kinds)?;
    let forked = clone_into(&request, in_v2);
    let (pid, child) = match forked {
        Err(error) => {
            go_back(back)?;
            return Err(error);
        }
        Ok(Forked::Child) => {
            drop(ours);
            let guest = Guest {
                request: &request,
                launch,
                entrance,
                kinds,
            };
            init::run(&theirs, || guest.start(&theirs))
        }
        Ok(Forked::Parent { pid, child }) => (pid, child),
    };
    drop(theirs);
    let new = New(Some((pid, child)));
    go_back(back)?;
    if has_user {
        launch.adjust(&host_proc()?, Who::Child(pid))?;
        ours.go()?;
    }
    watch(&ours, &launch, new)
}

/// Makes the child in the container's cgroup. A container that manages cgroups itself has processes only in those
/// that it made inside; then the child goes where the first process is.
fn clone_into(request: &Exec<'_>, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    let into = |cgroup| {
        clone3(&Clone {
            cgroup,
            ..Clone::default()
        })
    };
    let is_busy = |error: &std::io::Error| error.raw_os_error() == Some(Errno::BUSY.raw_os_error());
    let forked = match (into(cgroup), request.cgroup) {
        (Err(error), Some(whole)) if is_busy(&error) => {
            let init = request.init.pid().context(|| "cannot find the container".into())?;
            let inside = whole.fd_of(init.unwrap_or_default())?;
            into(inside.as_ref().map(OwnedFd::as_fd))
        }
        (result, _) => result,
    };
    forked.context(|| "cannot clone a process".into())
}

/// Has the caller's children born in the container's PID namespace; what is returned leads back.
fn approach(init: &PidFd, kinds: Namespaces) -> Result<Option<OwnedFd>> {
    if !kinds.contains(Namespaces::PID) {
        return Ok(None);
    }
    let own = rustix::fs::open("/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = own.context(|| "cannot open the runtime's PID namespace".into())?;
    setns(init.as_fd(), Namespaces::PID).map_err(gone)?;
    Ok(Some(own))
}

/// Has the caller's children born in its own PID namespace again.
fn go_back(back: Option<OwnedFd>) -> Result<()> {
    match back {
        Some(back) => {
            setns(back.as_fd(), Namespaces::PID).context(|| "cannot return to the runtime's namespaces".into())
        }
        None => Ok(()),
    }
}

fn gone(error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(number) if number == Errno::SRCH.raw_os_error() => Error::new(Kind::NotFound, "the container has stopped"),
        _ => Error::new(Kind::Internal, "cannot join the container's namespaces").with_source(error),
    }
}

/// A child that has to go when something fails.
struct New(Option<(i32, PidFd)>);

impl New {
    fn pid(&self) -> Result<i32> {
        self.0.as_ref().map(|(pid, _)| *pid).ok_or_else(lost)
    }
}

fn lost() -> Error {
    Error::new(Kind::Internal, "the process is lost")
}

impl Drop for New {
    fn drop(&mut self) {
        // The error that led here is told; it may have ended by itself.
        if let Some((_, child)) = self.0.take() {
            let _ = child.send_signal(9);
            let _ = child.wait();
        }
    }
}

fn watch(channel: &Channel, launch: &Launch<'_>, mut new: New) -> Result<Executed> {
    let mut console = None;
    let mut executing = false;
    loop {
        match channel.hear()? {
            Report::Console(master) => console = Some(master),
            Report::Limits => {
                launch.limit(Who::Child(new.pid()?))?;
                channel.go()?;
            }
            Report::Executing => executing = true,
            Report::Failed(error) => return Err(error),
            Report::Closed if executing => break,
            Report::Cloned(_) | Report::Hooks | Report::Ready | Report::Closed => {
                return Err(Error::new(
                    Kind::Internal,
                    "the process died before its program was executed",
                ));
            }
        }
    }
    let (pid, process) = new.0.take().ok_or_else(lost)?;
    let start_time = start_time(pid).context(|| "cannot read when the process started".into())?;
    Ok(Executed {
        pid,
        process,
        start_time,
        console,
    })
}

/// The new process, from the clone to execve.
struct Guest<'a> {
    request: &'a Exec<'a>,
    launch: Launch<'a>,
    entrance: Option<Entrance>,
    kinds: Namespaces,
}

impl Guest<'_> {
    fn start(self, channel: &Channel) -> Result<Infallible> {
        reset_signals().context(|| "cannot reset signals".into())?;
        // The container's processes see this one from now on; they must not reach into it
        // (CVE-2016-9962).
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "cannot become undumpable".into())?;
        let proc = host_proc()?;
        if let Some(entrance) = &self.entrance {
            entrance.enter().context(|| "cannot enter the cgroup".into())?;
        }
        let has_user = self.kinds.contains(Namespaces::USER);
        if has_user {
            channel.wait()?;
        } else {
            self.launch.adjust(&proc, Who::Myself)?;
        }
        let kinds = self.kinds.without(Namespaces::PID);
        if !kinds.is_empty() {
            setns(self.request.init.as_fd(), kinds).map_err(gone)?;
        }
        if !kinds.contains(Namespaces::MOUNT) {
            self.follow_root(&proc)?;
        }
        if has_user {
            become_root()?;
        }
        setsid().context(|| "cannot lead a session".into())?;
        if self.request.keyring == Keyring::New {
            init::new_keyring(self.request.id)?;
        }
        umask(Mode::empty());
        self.take_stdio(channel)?;
        self.launch.prepare()?;
        self.launch.label(&proc)?;
        let env = self.launch.environment()?;
        self.launch.have_limited(channel, has_user)?;
        self.launch.become_user()?;
        let program = self.launch.locate()?;
        self.launch.execute(&program, &env, Some(channel))
    }

    /// Enters the root of a container without a mount namespace.
    fn follow_root(&self, proc: &OwnedFd) -> Result<()> {
        let naming = || "cannot enter the container's root".to_owned();
        let pid = self.request.init.pid().context(naming)?;
        let pid = pid.ok_or_else(|| Error::new(Kind::NotFound, "the container has stopped"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(proc, format!("{pid}/root"), flags, Mode::empty());
        rustix::process::fchdir(root.context(naming)?).context(naming)?;
        rustix::process::chroot(".").context(naming)
    }

    fn take_stdio(&self, channel: &Channel) -> Result<()> {
        match &self.request.stdio {
            Stdio::Inherit => Ok(()),
            Stdio::Streams(streams) => terminal::take_streams(streams.each_ref().map(|stream| stream.as_fd())),
            Stdio::Terminal(size) => {
                let master = rustix::fs::open("/dev/ptmx", terminal::FLAGS, Mode::empty());
                let terminal = Terminal::new(master.context(|| "cannot open a terminal".into())?, *size)?;
                terminal::take_terminal(terminal.slave.as_fd())?;
                channel.report(&Report::Console(terminal.master))
            }
        }
    }
}
