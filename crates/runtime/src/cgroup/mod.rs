//! A container's control groups: limits, counters, freezing, and who belongs to it.
//!
//! [`Cgroup`] hides which version the host has. Hosts with both ("hybrid") keep their controllers in
//! version 1, and so do we. What to write is computed first ([`limits_v1`], [`limits_v2`],
//! [`devices`]) and then written ([`setting`]); the systemd driver is refused.
//!
//! How a process gets in matters: see [`Entrance`].

mod device_program;
mod devices;
mod hierarchy;
mod limits_v1;
mod limits_v2;
mod oom;
mod setting;
mod stats;
mod tree;
mod v1;
mod v2;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corten_oci::runtime::Resources;
use corten_sys::fs;
use rustix::process::{Pid, Signal};

use self::hierarchy::Layout;
pub use self::oom::OomEvents;
pub use self::stats::Stats;
use self::v1::V1;
use self::v2::V2;
use crate::error::{Error, Kind, Result};

/// How long killed processes may take to leave.
const KILLING: Duration = Duration::from_secs(10);

/// The control groups of one container (cgroups(7)).
#[derive(Debug)]
pub struct Cgroup(Backend);

#[derive(Debug)]
enum Backend {
    V1(V1),
    V2(V2),
}

/// Calls a method of the same name in both versions.
macro_rules! either {
    ($self:expr, $group:ident => $call:expr) => {
        match $self {
            Backend::V1($group) => $call,
            Backend::V2($group) => $call,
        }
    };
}

impl Cgroup {
    /// Makes the cgroup, such as `/corten/<id>`, with these limits and device rules.
    ///
    /// Parents are made as needed, and so are only the v1 hierarchies' folders that something needs.
    /// A cgroup that is there is taken over. On failure, what was made is removed.
    ///
    /// # Errors
    /// `Unsupported` names the controller, or the kernel's file, that a limit needs and the host
    /// lacks; `Invalid` a value that is refused.
    pub fn create(path: &Path, resources: &Resources) -> Result<Self> {
        let relative = tree::relative(path)?;
        let backend = match hierarchy::layout()? {
            Layout::V1(hierarchies) => Backend::V1(V1::create(hierarchies, relative, resources)?),
            Layout::V2(mount) => Backend::V2(V2::create(&mount, &relative, resources)?),
        };
        Ok(Self(backend))
    }

    /// Opens a cgroup that is there.
    ///
    /// # Errors
    /// `NotFound` when it isn't.
    pub fn open(path: &Path) -> Result<Self> {
        let relative = tree::relative(path)?;
        let backend = match hierarchy::layout()? {
            Layout::V1(hierarchies) => V1::open(hierarchies, relative)?.map(Backend::V1),
            Layout::V2(mount) => V2::open(&mount, &relative)?.map(Backend::V2),
        };
        backend
            .map(Self)
            .ok_or_else(|| Error::new(Kind::NotFound, format!("no cgroup \"{}\"", path.display())))
    }

    /// Opens the way in, for a child to be made.
    ///
    /// # Errors
    /// The cgroup has been removed.
    pub fn entrance(&self) -> Result<Entrance> {
        Ok(Entrance(either!(&self.0, group => group.doors())?))
    }

    /// The folder for `CLONE_INTO_CGROUP` (version 2 only), with which a child is born inside and
    /// needs no [`Entrance`].
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Backend::V1(_) => None,
            Backend::V2(group) => Some(group.fd()),
        }
    }

    /// Opens the folder of the cgroup in which a member is; it may be one made inside (version 2 only).
    ///
    /// # Errors
    /// The process has ended, or is none of the members.
    pub fn fd_of(&self, pid: i32) -> Result<Option<OwnedFd>> {
        match &self.0 {
            Backend::V1(_) => Ok(None),
            Backend::V2(group) => group.fd_of(pid).map(Some),
        }
    }

    /// Moves another process in, with all its threads. It may take 20 ms: where the process can do it
    /// itself, use an [`Entrance`].
    ///
    /// # Errors
    /// There is no such process, or (version 2) the cgroup has passed its controllers on to children
    /// made inside.
    pub fn join(&self, pid: i32) -> Result<()> {
        either!(&self.0, group => group.join(pid))
    }

    /// The processes, those in cgroups made inside included, as the caller's PID namespace counts, in
    /// order.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>> {
        either!(&self.0, group => group.pids())
    }

    /// Stops every process, and returns when they have stopped.
    ///
    /// # Errors
    /// `Unsupported` without a freezer; `Internal` when it takes more than 10 s, and then nothing
    /// stays frozen.
    pub fn freeze(&self) -> Result<()> {
        either!(&self.0, group => group.freeze())
    }

    /// Lets the processes go on.
    ///
    /// # Errors
    /// `Unsupported` without a freezer.
    pub fn thaw(&self) -> Result<()> {
        either!(&self.0, group => group.thaw())
    }

    /// Whether the processes are frozen.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_frozen(&self) -> Result<bool> {
        either!(&self.0, group => group.is_frozen())
    }

    /// Sends SIGKILL to every process, and to those they fork meanwhile; a frozen cgroup is thawed.
    /// It doesn't wait for them to end.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill_all(&self) -> Result<()> {
        if let Backend::V2(group) = &self.0
            && group.kill()?
        {
            return Ok(());
        }
        // A frozen cgroup forks nothing; one that won't freeze is outrun below.
        let frozen = self.freeze().is_ok();
        let killed = self.kill_each(frozen);
        if frozen {
            self.thaw()?;
        }
        killed
    }

    fn kill_each(&self, frozen: bool) -> Result<()> {
        let deadline = Instant::now() + KILLING;
        let mut known = Vec::new();
        loop {
            let pids = self.pids()?;
            for pid in pids.iter().filter_map(|&pid| Pid::from_raw(pid)) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            if frozen || pids.is_empty() || pids == known || Instant::now() >= deadline {
                return Ok(());
            }
            known = pids;
        }
    }

    /// Changes limits; what is absent stays as it is.
    ///
    /// # Errors
    /// As [`Cgroup::create`]; limits written before the failing one stay.
    pub fn update(&mut self, resources: &Resources) -> Result<()> {
        either!(&mut self.0, group => group.update(resources))
    }

    /// Reads the counters. What this kernel doesn't count is 0.
    ///
    /// # Errors
    /// `NotFound` when the cgroup has been removed.
    pub fn stats(&self) -> Result<Stats> {
        let gone = |(_, path): &(String, PathBuf)| !fs::exists(path).unwrap_or(false);
        if let Some((_, path)) = self.paths().iter().find(|path| gone(path)) {
            return Err(Error::new(Kind::NotFound, format!("no cgroup \"{}\"", path.display())));
        }
        Ok(either!(&self.0, group => group.stats()))
    }

    /// Starts listening for processes killed for lack of memory.
    ///
    /// # Errors
    /// `Unsupported` without the memory controller.
    pub fn oom_events(&self) -> Result<OomEvents> {
        either!(&self.0, group => group.oom_events())
    }

    /// How many processes were killed for lack of memory.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn oom_killed(&self) -> Result<u64> {
        either!(&self.0, group => group.oom_kills())
    }

    /// Removes the cgroup and those made inside. One that is gone is fine.
    ///
    /// # Errors
    /// `Conflict` when it still has processes after 5 s.
    pub fn delete(&self) -> Result<()> {
        either!(&self.0, group => group.delete())
    }

    /// The folders on the host, with the controller (v1) or an empty word (v2).
    #[must_use]
    pub fn paths(&self) -> Vec<(String, PathBuf)> {
        either!(&self.0, group => group.paths())
    }
}

/// The way into a cgroup, for a child to take by itself.
///
/// In version 1 it is by far the fastest: to move another process, or one with threads, the kernel
/// first waits until no fork is under way anywhere, 5 to 20 ms. In version 2, prefer
/// `CLONE_INTO_CGROUP` with [`Cgroup::fd`].
#[derive(Debug)]
pub struct Entrance(Vec<OwnedFd>);

impl Entrance {
    /// Moves the calling process in, which must have one thread. Allocates nothing. To be called
    /// before the process gets a cgroup namespace, whose root is where it is at that moment.
    ///
    /// # Errors
    /// The cgroup is full (`EAGAIN` from `pids.max`), removed (`ENODEV`), or (version 2) has passed its
    /// controllers on (`EBUSY`).
    pub fn enter(&self) -> io::Result<()> {
        for door in &self.0 {
            rustix::io::write(door, b"0")?;
        }
        Ok(())
    }
}

/// The descriptors, to be handed to a child that exists already.
impl From<Entrance> for Vec<OwnedFd> {
    fn from(entrance: Entrance) -> Self {
        entrance.0
    }
}

/// What [`Cgroup::entrance`] opened, from the process that did.
impl From<Vec<OwnedFd>> for Entrance {
    fn from(doors: Vec<OwnedFd>) -> Self {
        Self(doors)
    }
}

/// The error of an operation on a folder.
fn failed(verb: &str, folder: &Path, error: io::Error) -> Error {
    let message = format!("cannot {verb} cgroup \"{}\"", folder.display());
    Error::new(Kind::Internal, message).with_source(error)
}

/// Refuses a memory limit below what is in use, if asked to (`memory.checkBeforeUpdate`).
fn refuse_less_than_in_use(resources: &Resources, usage: &Path) -> Result<()> {
    let Some(memory) = &resources.memory else { return Ok(()) };
    let (Some(true), Some(limit)) = (memory.check_before_update, memory.limit) else {
        return Ok(());
    };
    let text = fs::read_to_string(usage).unwrap_or_default();
    let in_use: i64 = text.trim().parse().unwrap_or(0);
    if limit > 0 && limit < in_use {
        let message = format!("cannot apply --memory: {limit} is less than the {in_use} in use");
        return Err(Error::new(Kind::Invalid, message));
    }
    Ok(())
}
