//! The container itself, as the runtime runs it: everything of this program that the runtime is
//! needed for passes here.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_oci::runtime::{ConsoleSize, NamespaceKind, Process, Resources, Spec};
use corten_runtime::cgroup::{Cgroup, OomEvents};
use corten_runtime::{
    Create, Error, Exec, Keyring, Kind, PidFd, Stdio, console_size, create, exec, run_poststop_hooks,
};
use corten_shim::protocol::{Failure, FailureKind, OciRuntime, Start, Stats, Stdin, WindowSize};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::bundle::Bundle;
use crate::clock;
use crate::external::{self, External};
use crate::requests::failure;
use crate::streams::Ends;

/// A running container.
///
/// Its configuration is read again when it is needed: it is large, and needed seldom.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
    cgroup: Option<Cgroup>,
    init: PidFd,
    oom: Option<OomEvents>,
    own_pids: bool,
    poststop: bool,
    score: Option<i32>,
    removed: bool,
    external: Option<External>,
    /// Keeps the root mounted until this program ends: unmounting an overlay waits for the disk, and
    /// would do so inside init's end, before anybody could be told of it.
    _root: Option<OwnedFd>,
}

/// A process that has been started.
#[derive(Debug)]
pub(crate) struct Started {
    /// The process, as the host counts.
    pub(crate) pid: i32,
    /// Field 22 of `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
    /// When it was executed, in nanoseconds since the epoch.
    pub(crate) at: i64,
}

/// Which streams a process gets.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    pub(crate) outputs: bool,
    pub(crate) size: Option<WindowSize>,
    /// The terminal's size if `size` says nothing.
    pub(crate) console: Option<ConsoleSize>,
}

const SIGKILL: i32 = 9;

impl Wanted {
    /// What a container's init gets.
    fn of_container(spec: &Spec, start: &Start) -> Self {
        let process = spec.process.as_ref();
        Self {
            terminal: process.is_some_and(|process| process.terminal),
            stdin: start.stdin != Stdin::Null,
            outputs: true,
            size: start.size,
            console: process.and_then(console_size),
        }
    }
}

impl Container {
    /// Starts the container of a bundle, in the namespace `netns` if given.
    ///
    /// Its processes get the OOM score adjustment `score` unless their configuration names one.
    pub(crate) fn start(
        bundle: &Bundle,
        spec: &mut Spec,
        start: &Start,
        netns: Option<OwnedFd>,
        score: Option<i32>,
    ) -> Result<(Self, Started, Ends), Failure> {
        if let Some(process) = &mut spec.process {
            process.oom_score_adj = process.oom_score_adj.or(score);
        }
        if let Some(runtime) = &start.runtime {
            return Self::start_by(runtime, bundle, spec, start, netns.as_ref(), score);
        }
        let wanted = Wanted::of_container(spec, start);
        let (stdio, mut ends) = wanted.streams().map_err(|error| without_streams(error.into()))?;
        let container = create(Create {
            rootfs: &start.rootfs,
            network: netns,
            stdio,
            ..Create::new(&start.id, bundle.path(), spec)
        })
        .map_err(failed)?;
        let started = Started {
            pid: container.pid,
            start_time: container.start_time,
            at: clock::now(),
        };
        let this = Self {
            _root: open_root(container.pid),
            id: start.id.clone(),
            oom: None,
            cgroup: container.cgroup,
            init: container.process,
            own_pids: has_own_pids(spec),
            poststop: spec.hooks.as_ref().is_some_and(|hooks| !hooks.poststop.is_empty()),
            score,
            removed: false,
            external: None,
        };
        ends.take_console(container.console).map_err(without_streams)?;
        Ok((this, started, ends))
    }

    /// Has another runtime start the container.
    fn start_by(
        runtime: &OciRuntime,
        bundle: &Bundle,
        spec: &mut Spec,
        start: &Start,
        netns: Option<&OwnedFd>,
        score: Option<i32>,
    ) -> Result<(Self, Started, Ends), Failure> {
        let wanted = Wanted::of_container(spec, start);
        let (stdio, mut ends) = wanted.streams().map_err(|error| without_streams(error.into()))?;
        if let Some(process) = &mut spec.process {
            process.console_size = wanted.console_size();
        }
        let (external, made) = External::create(runtime, bundle, spec, &start.id, &start.rootfs, netns, stdio.into())?;
        let path = spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        let mut this = Self {
            _root: open_root(made.pid),
            id: start.id.clone(),
            oom: None,
            // A runtime that manages cgroups in a way of its own leaves nothing to be found.
            cgroup: path.and_then(|path| Cgroup::open(Path::new(path)).ok()),
            init: made.process,
            own_pids: has_own_pids(spec),
            // It runs its hooks itself.
            poststop: false,
            score,
            removed: false,
            external: Some(external),
        };
        let started = Started {
            pid: made.pid,
            start_time: made.start_time,
            at: clock::now(),
        };
        if let Err(error) = ends.take_console(made.console) {
            this.remove(bundle);
            return Err(without_streams(error));
        }
        Ok((this, started, ends))
    }

    /// Runs another process in the container.
    pub(crate) fn exec(
        &self,
        bundle: &Bundle,
        process: &mut Process,
        wanted: &Wanted,
    ) -> Result<(Started, Ends), Failure> {
        process.oom_score_adj = process.oom_score_adj.or(self.score);
        let (stdio, mut ends) = wanted.streams().map_err(|error| without_streams(error.into()))?;
        if let Some(external) = &self.external {
            process.console_size = wanted.console_size();
            let made = external.exec(process, stdio.into())?;
            let started = Started {
                pid: made.pid,
                start_time: made.start_time,
                at: clock::now(),
            };
            ends.take_console(made.console).map_err(without_streams)?;
            return Ok((started, ends));
        }
        let spec = bundle.spec().map_err(|text| failure(FailureKind::Internal, text))?;
        let executed = exec(Exec {
            init: &self.init,
            spec: &spec,
            process,
            cgroup: self.cgroup.as_ref(),
            stdio,
            preserved_fds: 0,
            keyring: Keyring::New,
            id: &self.id,
        })
        .map_err(failed)?;
        let started = Started {
            pid: executed.pid,
            start_time: executed.start_time,
            at: clock::now(),
        };
        ends.take_console(executed.console).map_err(without_streams)?;
        Ok((started, ends))
    }

    /// Sends init a signal.
    pub(crate) fn signal(&self, signal: i32) -> Result<(), Failure> {
        self.init.send_signal(signal).map_err(|error| {
            let kind = match error.raw_os_error() {
                Some(3) => FailureKind::NotFound,
                Some(22) => FailureKind::Invalid,
                _ => FailureKind::Internal,
            };
            failure(kind, format!("cannot send signal {signal}: {error}"))
        })
    }

    /// Kills all processes.
    pub(crate) fn kill_all(&self) -> Result<(), Failure> {
        match &self.cgroup {
            Some(cgroup) => cgroup.kill_all().map_err(failed),
            None => self.signal(SIGKILL),
        }
    }

    /// Kills what init has left behind, which it can only without a PID namespace of its own.
    pub(crate) fn kill_rest(&self) {
        if let Some(cgroup) = self.cgroup.as_ref().filter(|_| !self.own_pids) {
            // What cannot be killed keeps the cgroup.
            let _ = cgroup.kill_all();
        }
    }

    /// Freezes all processes.
    pub(crate) fn pause(&self) -> Result<(), Failure> {
        self.cgroup()?.freeze().map_err(failed)
    }

    /// Thaws all processes.
    pub(crate) fn resume(&self) -> Result<(), Failure> {
        self.cgroup()?.thaw().map_err(failed)
    }

    /// Changes limits.
    pub(crate) fn update(&mut self, resources: &Resources) -> Result<(), Failure> {
        match &mut self.cgroup {
            Some(cgroup) => cgroup.update(resources).map_err(failed),
            None => Err(no_cgroup()),
        }
    }

    /// Lists the processes.
    pub(crate) fn pids(&self) -> Result<Vec<i32>, Failure> {
        self.cgroup()?.pids().map_err(failed)
    }

    /// Reads the counters.
    pub(crate) fn stats(&self) -> Result<Stats, Failure> {
        let stats = self.cgroup()?.stats().map_err(failed)?;
        Ok(Stats {
            cpu_total: stats.cpu_total,
            cpu_user: stats.cpu_user,
            cpu_kernel: stats.cpu_kernel,
            cpu_per_cpu: stats.cpu_per_cpu,
            throttling_periods: stats.throttling_periods,
            throttled_periods: stats.throttled_periods,
            throttled_time: stats.throttled_time,
            memory_usage: stats.memory_usage,
            memory_max_usage: stats.memory_max_usage,
            memory_limit: stats.memory_limit,
            memory_failures: stats.memory_failures,
            memory: stats.memory,
            pids: stats.pids,
            pids_limit: stats.pids_limit,
            io_bytes: stats.io_bytes,
            io_operations: stats.io_operations,
        })
    }

    /// Returns the descriptor that tells when memory may have run out, from now on.
    pub(crate) fn listen_for_oom(&mut self) -> Option<BorrowedFd<'_>> {
        // A host without the controller cannot tell of it.
        self.oom = self.cgroup.as_ref().and_then(|cgroup| cgroup.oom_events().ok());
        self.oom.as_ref().map(|events| events.as_fd())
    }

    /// Takes the word that memory may have run out.
    pub(crate) fn take_oom_notice(&mut self) {
        if let Some(events) = &mut self.oom {
            // The count decides.
            let _ = events.drain();
        }
    }

    /// How many processes were killed for lack of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        // A counter that cannot be read is gone with its cgroup.
        self.cgroup
            .as_ref()
            .and_then(|cgroup| cgroup.oom_killed().ok())
            .unwrap_or(0)
    }

    /// Removes what is left of a container whose processes have ended, and runs its last hooks.
    ///
    /// What cannot be removed is left: the container has ended all the same.
    pub(crate) fn remove(&mut self, bundle: &Bundle) {
        self.oom = None;
        self.removed = true;
        if let Some(external) = self.external.take() {
            external.delete();
        }
        if let Some(cgroup) = self.cgroup.take() {
            let _ = cgroup.delete();
        }
        if std::mem::take(&mut self.poststop)
            && let Ok(spec) = bundle.spec()
        {
            // The specification has their failures logged at most.
            let _ = run_poststop_hooks(&self.id, bundle.path(), &spec);
        }
    }

    fn cgroup(&self) -> Result<&Cgroup, Failure> {
        self.cgroup.as_ref().ok_or_else(no_cgroup)
    }
}

impl Drop for Container {
    /// Ends a container that could not be looked after.
    fn drop(&mut self) {
        if !self.removed {
            // The error that led here is told.
            let _ = self.kill_all();
            let _ = self.init.wait();
            if let Some(external) = self.external.take() {
                external.delete();
            }
            if let Some(cgroup) = self.cgroup.take() {
                let _ = cgroup.delete();
            }
        }
    }
}

impl From<Stdio> for external::Streams {
    fn from(stdio: Stdio) -> Self {
        match stdio {
            Stdio::Streams(streams) => Self::Plain(streams),
            Stdio::Terminal(_) | Stdio::Inherit => Self::Terminal,
        }
    }
}

impl Wanted {
    /// The terminal's first size, as the configuration of another runtime has it.
    fn console_size(&self) -> Option<ConsoleSize> {
        let own = self.size.map(|size| ConsoleSize {
            height: size.rows.into(),
            width: size.columns.into(),
        });
        own.or(self.console)
    }

    /// Makes the streams: what the process gets, and our ends.
    fn streams(&self) -> Result<(Stdio, Ends), Errno> {
        if self.terminal {
            let size = self.size.map(|size| ConsoleSize {
                height: size.rows.into(),
                width: size.columns.into(),
            });
            let ends = Ends {
                tty: true,
                ..Ends::default()
            };
            return Ok((Stdio::Terminal(size.or(self.console)), ends));
        }
        let mut ends = Ends::default();
        let input = match self.stdin {
            true => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                ends.stdin = Some(write);
                read
            }
            false => nothing()?,
        };
        let mut output = |index: usize| match self.outputs {
            true => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
                ends.outputs[index] = Some(read);
                Ok(write)
            }
            false => nothing(),
        };
        let streams = [input, output(0)?, output(1)?];
        Ok((Stdio::Streams(streams), ends))
    }
}

/// Opens a process's root; one that has ended by now has let go of it itself.
fn open_root(pid: i32) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty()).ok()
}

fn nothing() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

fn has_own_pids(spec: &Spec) -> bool {
    let mut namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.any(|namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_none())
}

fn no_cgroup() -> Failure {
    failure(FailureKind::Unsupported, "the container has no cgroup")
}

fn without_streams(error: std::io::Error) -> Failure {
    failure(
        FailureKind::Internal,
        format!("cannot make the standard streams: {error}"),
    )
}

fn failed(error: Error) -> Failure {
    let kind = match error.kind() {
        Kind::CommandNotFound => FailureKind::CommandNotFound,
        Kind::CommandNotExecutable => FailureKind::CommandNotExecutable,
        Kind::NotFound => FailureKind::NotFound,
        Kind::Invalid => FailureKind::Invalid,
        Kind::Unsupported => FailureKind::Unsupported,
        Kind::Conflict | Kind::Forbidden | Kind::Internal => FailureKind::Internal,
    };
    failure(kind, error.chain())
}
