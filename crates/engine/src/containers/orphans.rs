//! What a shim that was killed leaves behind: processes, and the container's cgroups.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::{Container, Containers, ended::start_time_of, spec};
use crate::error::{Error, Result, blocking};

/// Where the hierarchies of cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";
/// How long the kernel has to end killed processes.
const PATIENCE: Duration = Duration::from_secs(10);

impl Containers {
    /// Ends what runs of a container without a shim.
    pub(super) async fn kill_orphans(&self, container: &Arc<Container>) {
        let parent = self.0.settings.cgroup_parent.clone();
        let held = Arc::clone(container);
        if let Err(error) = blocking(move || kill(&held, &parent)).await {
            tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot end what a killed shim has left"
            );
        }
    }
}

fn kill(container: &Container, parent: &str) -> Result<()> {
    let record = container.record();
    if let Some(running) = record.state.running() {
        kill_exactly(running.pid, running.start_time)?;
    }
    let cgroups = cgroups(spec::cgroup_path(&record, parent).trim_start_matches('/'));
    let deadline = Instant::now() + PATIENCE;
    loop {
        // One without a PID namespace of its own has processes that outlive its first.
        cgroups.iter().for_each(|cgroup| kill_all(cgroup));
        let mut left = None;
        for cgroup in cgroups.iter().rev() {
            left = remove(cgroup).err().or(left);
        }
        match left {
            None => return Ok(()),
            Some(error) if Instant::now() > deadline => return Err(error.into()),
            Some(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A container's cgroup in each hierarchy that has it.
fn cgroups(path: &str) -> Vec<PathBuf> {
    let root = PathBuf::from(CGROUPS);
    let hierarchies = corten_sys::fs::read_dir(&root).into_iter().flatten().flatten();
    let all = std::iter::once(root).chain(hierarchies.map(|entry| entry.path()));
    all.map(|hierarchy| hierarchy.join(path))
        .filter(|cgroup| cgroup.is_dir())
        .collect()
}

/// Kills all processes of a cgroup and those below. What fails is tried again until the cgroup is empty.
fn kill_all(cgroup: &Path) {
    for (file, thawed) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        let file = cgroup.join(file);
        if file.exists() {
            let _ = corten_sys::fs::write(file, thawed);
        }
    }
    let pids = corten_sys::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    below(cgroup).iter().for_each(|below| kill_all(below));
}

fn remove(cgroup: &Path) -> std::io::Result<()> {
    for below in below(cgroup) {
        remove(&below)?;
    }
    corten_sys::fs::if_there(corten_sys::fs::remove_dir(cgroup)).map(drop)
}

fn below(cgroup: &Path) -> Vec<PathBuf> {
    let entries = corten_sys::fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Kills a process, if the number is still that process's.
fn kill_exactly(pid: i32, start_time: u64) -> Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    // Held by now, so that the number cannot pass to another between the look and the signal.
    if start_time_of(pid.as_raw_nonzero().get()) != Some(start_time) {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Error::internal(format!("cannot kill process {}", pid.as_raw_nonzero())).source(error)),
    }
}
