//! Processes of this machine, by their numbers.

use corten_sys::fs;
use rustix::process::{Pid, Signal, kill_process};

/// Whether there is such a process that is no zombie.
pub fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// The process that made a process: of a container's first one, its shim.
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let rest = stat.rsplit_once(") ").expect("a stat").1;
    let parent = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok());
    parent.expect("a parent")
}

/// Kills a process.
///
/// # Panics
/// When there is no such process.
#[track_caller]
pub fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process id");
    kill_process(pid, Signal::KILL).expect("the process is there");
}
