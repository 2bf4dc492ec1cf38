//! The container itself, as the runtime runs it: everything of this program that the runtime is
//! needed for passes here.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_oci::runtime::{Process, Resources, Spec};
use corten_runtime::cgroup::{Cgroup, OomEvents};
use corten_runtime::error::{Error, Kind};
use corten_shim::protocol::{Failure, FailureKind, Start, Stats, Stdin, WindowSize};
use corten_sys::process::PidFd;

use crate::requests::failure;
use crate::streams::Ends;

/// A running container.
#[derive(Debug)]
pub(crate) struct Container {
    cgroup: Cgroup,
    init: PidFd,
    oom: Option<OomEvents>,
    own_pids: bool,
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
}

impl Wanted {
    /// What a container's init gets.
    pub(crate) fn of_container(spec: &Spec, start: &Start) -> Self {
        Self {
            terminal: spec.process.as_ref().is_some_and(|process| process.terminal),
            stdin: start.stdin != Stdin::Null,
            outputs: true,
            size: start.size,
        }
    }
}

impl Container {
    /// Starts the container of the bundle at `path`.
    pub(crate) fn start(
        _path: &Path,
        _spec: Spec,
        _start: &Start,
        _netns: Option<OwnedFd>,
        _wanted: &Wanted,
    ) -> Result<(Self, Started, Ends), Failure> {
        Err(failure(FailureKind::Unsupported, "x"))
    }

    /// Runs another process in the container.
    pub(crate) fn exec(&mut self, _process: &Process, _wanted: &Wanted) -> Result<(Started, Ends), Failure> {
        Err(failure(FailureKind::Unsupported, "x"))
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
        self.cgroup.kill_all().map_err(failed)
    }

    /// Kills what init has left behind, which it can only without a PID namespace of its own.
    pub(crate) fn kill_rest(&self) {
        if !self.own_pids {
            // What cannot be killed keeps the cgroup, which is told then.
            let _ = self.cgroup.kill_all();
        }
    }

    /// Freezes all processes.
    pub(crate) fn pause(&self) -> Result<(), Failure> {
        self.cgroup.freeze().map_err(failed)
    }

    /// Thaws all processes.
    pub(crate) fn resume(&self) -> Result<(), Failure> {
        self.cgroup.thaw().map_err(failed)
    }

    /// Changes limits.
    pub(crate) fn update(&mut self, resources: &Resources) -> Result<(), Failure> {
        self.cgroup.update(resources).map_err(failed)
    }

    /// Lists the processes.
    pub(crate) fn pids(&self) -> Result<Vec<i32>, Failure> {
        self.cgroup.pids().map_err(failed)
    }

    /// Reads the counters.
    pub(crate) fn stats(&self) -> Result<Stats, Failure> {
        let stats = self.cgroup.stats().map_err(failed)?;
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

    /// The descriptor that tells when memory may have run out.
    pub(crate) fn oom_notice(&self) -> Option<BorrowedFd<'_>> {
        self.oom.as_ref().map(|events| events.as_fd())
    }

    /// Whether a process was killed for lack of memory since the last time.
    pub(crate) fn take_oom_notice(&mut self) -> bool {
        // A counter that cannot be read is gone with its cgroup.
        self.oom.as_mut().is_some_and(|events| events.drain().unwrap_or(false))
    }

    /// Removes what is left of a container whose processes have ended, and says what could not be.
    pub(crate) fn remove(&mut self) -> Result<(), Failure> {
        self.oom = None;
        self.cgroup.delete().map_err(failed)
    }
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
