//! Control groups of this host, as root. Each test has a subtree of its own and removes it.
#![expect(clippy::disallowed_methods, reason = "tests look at files and run programs directly")]
#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corten_oci::runtime::Resources;
use corten_runtime::cgroup::Cgroup;
use corten_runtime::error::Kind;
use rustix::event::{PollFd, PollFlags, Timespec};

/// A cgroup that goes away with its processes, whatever happens.
struct Own {
    group: Cgroup,
    parent: PathBuf,
}

impl Own {
    fn new(name: &str, resources: &str) -> Self {
        let parent = PathBuf::from(format!("/corten-test-{}-{name}", std::process::id()));
        let resources: Resources = serde_json::from_str(resources).unwrap();
        let group = Cgroup::create(&parent.join("box"), &resources).unwrap();
        Self { group, parent }
    }

    fn path(&self) -> PathBuf {
        self.parent.join("box")
    }

    fn folder(&self, controller: &str) -> PathBuf {
        let paths = self.group.paths();
        let found = paths.iter().find(|(name, _)| name == controller);
        found
            .unwrap_or_else(|| panic!("no {controller} in {paths:?}"))
            .1
            .clone()
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let text = std::fs::read_to_string(self.folder(controller).join(file)).unwrap();
        text.trim().to_owned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.group.kill_all();
        let _ = self.group.delete();
        if let Ok(parent) = Cgroup::open(&self.parent) {
            let _ = parent.delete();
        }
    }
}

/// A child that is reaped, whatever happens.
struct Guest(Child);

impl Guest {
    /// Starts a shell that waits for a line before it runs the script.
    fn waiting(script: &str) -> Self {
        let script = format!("read line; {script}");
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    fn go(&mut self) {
        use std::io::Write as _;
        self.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} took more than 10 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_v1() -> bool {
    Path::new("/sys/fs/cgroup/memory/tasks").exists()
}

#[test]
fn limits_are_written_and_changed_in_any_direction() {
    assert!(is_v1(), "these tests were written for a host with cgroup v1");
    let mut own = Own::new(
        "limits",
        r#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":50},
            "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"}}"#,
    );
    let read =
        |own: &Own| ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"].map(|file| own.read("memory", file));
    assert_eq!(read(&own), ["67108864", "134217728"]);
    assert_eq!(own.read("pids", "pids.max"), "50");
    assert_eq!(own.read("cpu", "cpu.shares"), "512");
    assert_eq!(own.read("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(own.read("cpuset", "cpuset.cpus"), "0");
    assert_eq!(own.read("cpuset", "cpuset.mems"), "0");

    for (limit, swap) in [
        (268_435_456_i64, 536_870_912_i64),
        (16_777_216, 16_777_216),
        (1 << 30, 1 << 31),
    ] {
        let json = format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#);
        own.group.update(&serde_json::from_str(&json).unwrap()).unwrap();
        assert_eq!(read(&own), [limit.to_string(), swap.to_string()]);
    }
    own.group
        .update(&serde_json::from_str(r#"{"memory":{"limit":-1}}"#).unwrap())
        .unwrap();
    assert_eq!(own.group.stats().unwrap().memory_limit, u64::MAX);
    own.group
        .update(&serde_json::from_str(r#"{"cpu":{"period":10000,"quota":5000}}"#).unwrap())
        .unwrap();
    assert_eq!(own.read("cpu", "cpu.cfs_period_us"), "10000");
}

#[test]
fn only_needed_hierarchies_get_folders_and_a_later_limit_makes_its_own() {
    let mut own = Own::new("lazy", "{}");
    let controllers: Vec<_> = own.group.paths().into_iter().map(|(name, _)| name).collect();
    assert!(!controllers.contains(&"cpu".to_owned()), "{controllers:?}");
    assert!(!controllers.contains(&"cpuset".to_owned()), "{controllers:?}");
    let guest = Guest::waiting(":");
    own.group.join(guest.pid()).unwrap();
    own.group
        .update(&serde_json::from_str(r#"{"cpu":{"shares":77}}"#).unwrap())
        .unwrap();
    assert_eq!(own.read("cpu", "cpu.shares"), "77");
    assert_eq!(own.read("cpu", "cgroup.procs"), guest.pid().to_string());
}

#[test]
fn missing_controllers_and_files_are_named() {
    let parent = PathBuf::from(format!("/corten-test-{}-missing", std::process::id()));
    let check = |resources: &str, expected: &str| {
        let resources: Resources = serde_json::from_str(resources).unwrap();
        let error = Cgroup::create(&parent.join("box"), &resources).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(expected), "{error}");
        // What had been made is gone.
        assert_eq!(Cgroup::open(&parent.join("box")).unwrap_err().kind(), Kind::NotFound);
    };
    check(
        r#"{"rdma":{"mlx":{"hcaHandles":2}}}"#,
        "an RDMA limit: this host has no \"rdma\"",
    );
    check(
        r#"{"blockIO":{"leafWeight":20}}"#,
        "blockIO.leafWeight: this kernel has no",
    );
    Cgroup::open(&parent).unwrap().delete().unwrap();
}

#[test]
fn members_are_listed_frozen_thawed_and_killed() {
    let own = Own::new("members", "{}");
    let mut guest = Guest::waiting("sleep 1000 & wait");
    own.group.join(guest.pid()).unwrap();
    assert_eq!(own.group.pids().unwrap(), [guest.pid()]);
    guest.go();
    until("forking", || own.group.pids().unwrap().len() == 2);

    assert!(!own.group.is_frozen().unwrap());
    own.group.freeze().unwrap();
    assert!(own.group.is_frozen().unwrap());
    own.group.thaw().unwrap();
    assert!(!own.group.is_frozen().unwrap());

    let stats = own.group.stats().unwrap();
    assert_eq!(stats.pids, 2);
    assert!(stats.cpu_total > 0 && stats.memory_usage > 0, "{stats:?}");
    assert!(
        !stats.cpu_per_cpu.is_empty() && stats.memory.contains_key("rss"),
        "{stats:?}"
    );

    own.group.freeze().unwrap();
    own.group.kill_all().unwrap();
    guest.0.wait().unwrap();
    until("dying", || own.group.pids().unwrap().is_empty());
    own.group.delete().unwrap();
    own.group.delete().unwrap();
    assert_eq!(own.group.stats().unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_cgroup_is_opened_again_and_removed_with_those_inside() {
    let own = Own::new("again", "{}");
    let inner = Cgroup::create(&own.path().join("inner/most"), &Resources::default()).unwrap();
    let guest = Guest::waiting(":");
    inner.join(guest.pid()).unwrap();
    let again = Cgroup::open(&own.path()).unwrap();
    assert_eq!(again.pids().unwrap(), [guest.pid()]);
    drop(guest);
    again.delete().unwrap();
    assert_eq!(Cgroup::open(&own.path()).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn the_kernel_kills_for_lack_of_memory_and_says_so() {
    let own = Own::new("oom", r#"{"memory":{"limit":8388608,"swap":8388608}}"#);
    let mut events = own.group.oom_events().unwrap();
    // Each turn doubles a variable of the shell.
    let mut guest = Guest::waiting("x=0123456789abcdef; while :; do x=$x$x; done");
    own.group.join(guest.pid()).unwrap();
    guest.go();
    let mut fds = [PollFd::new(&events, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)).unwrap(), 1);
    guest.0.wait().unwrap();
    until("counting", || own.group.oom_killed().unwrap() >= 1);
    // The event comes before the kill; the counter tells.
    until("the event", || events.drain().unwrap());
    assert!(!events.drain().unwrap());
}

#[test]
fn device_rules_are_the_kernels() {
    let own = Own::new(
        "devices",
        r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":189,"access":"rw"}]}"#,
    );
    let list = own.read("devices", "devices.list");
    assert!(list.contains("c 189:* rw") && list.contains("c 1:3 rwm"), "{list}");
    assert!(!list.contains("a *:*"), "{list}");
    let mut guest = Guest::waiting("true > /dev/null && echo null; true < /dev/kmsg && echo kmsg");
    own.group.join(guest.pid()).unwrap();
    guest.go();
    let mut output = String::new();
    std::io::Read::read_to_string(&mut guest.0.stdout.take().unwrap(), &mut output).unwrap();
    assert_eq!(output, "null\n");
}

#[test]
fn the_limit_on_processes_holds() {
    let own = Own::new("pids", r#"{"pids":{"limit":1}}"#);
    let mut guest = Guest::waiting("/bin/true; echo forked");
    own.group.join(guest.pid()).unwrap();
    guest.go();
    let mut output = String::new();
    std::io::Read::read_to_string(&mut guest.0.stdout.take().unwrap(), &mut output).unwrap();
    assert_eq!(output, "");
}
