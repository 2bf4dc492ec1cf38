//! What an engine that is gone has left on the machine: mounts, processes, cgroups, links.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use corten_sys::{fs, netns};

use super::place::{Place, run};

/// Where the cgroup hierarchies are mounted, v1 and v2 alike.
const CGROUPS: &str = "/sys/fs/cgroup";

/// How long what goes by itself may take. The kernel clears network namespaces away one after another, all of the
/// machine's in one queue, and looks through every connection for each.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that is left. What the kernel clears away by itself gets some time to go.
pub(super) fn find(place: &Place) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = look(place);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn look(place: &Place) -> Vec<String> {
    let mut left = Vec::new();
    let own_disk = place.has_own_disk.then(|| place.data_root());
    let mounts = mounts(&place.folder)
        .into_iter()
        .filter(|path| Some(path) != own_disk.as_ref());
    left.extend(mounts.map(|path| format!("mount {}", path.display())));
    left.extend(
        processes(&place.folder)
            .into_iter()
            .map(|(pid, what)| format!("process {pid}: {what}")),
    );
    left.extend(
        cgroups(place)
            .into_iter()
            .flat_map(|parent| below(&parent))
            .map(|path| format!("cgroup {path:?}")),
    );
    left.extend(links(place));
    left.extend(files(place));
    left
}

/// Clears away what is left, as well as that goes, and the places themselves.
pub(super) fn remove(place: &Place) {
    // Best effort throughout: what matters has been looked at before.
    for (pid, _) in processes(&place.folder) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    for parent in cgroups(place) {
        for cgroup in below(&parent).into_iter().chain([parent]) {
            let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            for pid in pids
                .lines()
                .filter_map(|pid| pid.parse().ok())
                .filter_map(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let deadline = Instant::now() + Duration::from_secs(2);
            while fs::remove_dir(&cgroup).is_err() && cgroup.exists() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
    for path in mounts(&place.folder).iter().rev() {
        run("umount", &["-l", &path.to_string_lossy()]);
    }
    let _ = fs::remove_dir_all(&place.folder);
}

/// Mount points below a folder.
fn mounts(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

/// Processes that name the folder on their command line, or whose program or current folder is there.
fn processes(folder: &Path) -> Vec<(i32, String)> {
    // With the slash, as `ct-7-1` is also how `ct-7-12` begins: another test's engine must not be taken for ours.
    let name = format!("{}/", folder.to_string_lossy());
    let ids = fs::read_dir("/proc").expect("procfs").flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    ids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .ok()?
                .replace('\0', " ");
            let uses = |what: &str| fs::read_link(format!("/proc/{pid}/{what}")).is_ok_and(|to| to.starts_with(folder));
            (line.contains(&name) || uses("exe") || uses("cwd")).then_some((pid, line))
        })
        .collect()
}

/// The test's cgroup in each hierarchy that has it.
fn cgroups(place: &Place) -> Vec<PathBuf> {
    let parent = place.cgroup_parent.trim_start_matches('/');
    let mut roots = vec![PathBuf::from(CGROUPS)];
    roots.extend(
        fs::read_dir(CGROUPS)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    roots
        .into_iter()
        .map(|root| root.join(parent))
        .filter(|path| path.is_dir())
        .collect()
}

/// Cgroups below one, deepest first.
fn below(parent: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&entry.path()));
            found.push(entry.path());
        }
    }
    found
}

/// Endpoints of containers; bridges stay while the engine is away.
fn links(place: &Place) -> Vec<String> {
    let list = || {
        Command::new("ip")
            .args(["-o", "link", "show", "type", "veth"])
            .output()
            .expect("ip runs")
    };
    let output = netns::run_in(place.netns.as_fd(), list).expect("the namespace is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| format!("link {line}")).collect()
}

/// Files of containers, and of things half-made.
fn files(place: &Place) -> Vec<String> {
    let mut left = Vec::new();
    for folder in [
        place.data_root().join("containers"),
        place.exec_root().join("containers"),
    ] {
        left.extend(
            fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| format!("file {:?}", entry.path())),
        );
    }
    if place.socket().exists() {
        left.push("the socket".to_owned());
    }
    if place.pidfile().exists() {
        left.push("the pid file".to_owned());
    }
    left
}
