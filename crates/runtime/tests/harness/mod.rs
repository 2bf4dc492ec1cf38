//! A bundle with busybox as its root file system, and the runtime's commands run on it.
#![allow(dead_code, reason = "each suite uses its part")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at files directly, and panic"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A container to be, or that is; all of it goes when this does.
pub(crate) struct Bundle {
    folder: tempfile::TempDir,
    pub(crate) id: String,
    cgroup: String,
    /// `config.json`, written before each command.
    pub(crate) spec: Value,
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bundle {
    /// Makes a bundle that runs a shell script in namespaces of its own.
    pub(crate) fn new(script: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("t{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("rootfs");
        for name in ["bin", "etc", "tmp", "proc", "sys", "dev", "mnt"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("/proc/self/mounts", root.join("etc/mtab")).unwrap();
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in APPLETS.split(' ') {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
        std::fs::write(root.join("etc/passwd"), passwd).unwrap();
        let cgroup = format!("/corten-test-{id}");
        let spec = spec(script, &format!("{cgroup}/c"));
        Self {
            folder,
            id,
            cgroup,
            spec,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub(crate) fn linux(&mut self) -> &mut Value {
        &mut self.spec["linux"]
    }

    pub(crate) fn process(&mut self) -> &mut Value {
        &mut self.spec["process"]
    }

    /// Adds a mount; words are separated by commas.
    pub(crate) fn mount(&mut self, kind: &str, source: &str, destination: &str, options: &str) {
        let options: Vec<_> = options.split(',').filter(|word| !word.is_empty()).collect();
        let mount = json!({"type": kind, "source": source, "destination": destination, "options": options});
        self.spec["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Adds a namespace.
    pub(crate) fn namespace(&mut self, kind: &str, path: Option<&str>) {
        let namespaces = self.spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|one| one["type"] != kind);
        let mut namespace = json!({"type": kind});
        if let Some(path) = path {
            namespace["path"] = json!(path);
        }
        namespaces.push(namespace);
    }

    /// Takes a namespace out.
    pub(crate) fn share(&mut self, kind: &str) {
        let namespaces = self.spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|one| one["type"] != kind);
    }

    /// Gives it a user namespace of ids from 100000 on, which may pass through the bundle.
    pub(crate) fn map_users(&mut self) {
        use std::os::unix::fs::PermissionsExt as _;
        self.namespace("user", None);
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        self.linux()["uidMappings"] = map.clone();
        self.linux()["gidMappings"] = map;
        for path in [self.path().to_path_buf(), self.root()] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// A command line of the runtime, with the configuration written.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let text = serde_json::to_vec_pretty(&self.spec).unwrap();
        let file = self.path().join("config.json");
        // Only when it has changed: a command that was started before may be reading it.
        if std::fs::read(&file).ok().as_ref() != Some(&text) {
            std::fs::write(&file, text).unwrap();
        }
        let mut command = Command::new(program());
        command
            .arg("--root")
            .arg(self.path().join("state"))
            .args(words)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command line, `{}` standing for the container's id.
    pub(crate) fn call(&self, line: &str) -> Outcome {
        let line = line.replace("{}", &self.id);
        self.words(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command of these words.
    pub(crate) fn words(&self, words: &[&str]) -> Outcome {
        outcome(self.command(words).output().unwrap())
    }

    /// Runs the container to its end.
    pub(crate) fn run(&self) -> Outcome {
        self.call("run {}")
    }

    /// Runs the container, which has to succeed, and returns what it has said.
    pub(crate) fn output(&self) -> String {
        let outcome = self.run();
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.out
    }

    /// Runs a script in the running container, which has to succeed, and returns what it has said.
    pub(crate) fn inside(&self, script: &str) -> String {
        let outcome = self.words(&["exec", &self.id, "sh", "-c", script]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.out
    }

    /// Makes and starts the container, and leaves it.
    pub(crate) fn detached(&self) {
        let outcome = self
            .command(&["run", "-d", &self.id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(outcome.unwrap().success());
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn state(&self) -> Value {
        let outcome = self.call("state {}");
        assert_eq!(outcome.code, 0, "{outcome:?}");
        serde_json::from_str(&outcome.out).unwrap()
    }

    pub(crate) fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().unwrap()
    }

    /// Folders of the container's cgroups that are there.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir("/sys/fs/cgroup").unwrap();
        let inside = folders.map(|entry| entry.unwrap().path().join(format!("{}/c", &self.cgroup[1..])));
        inside.filter(|path| path.exists()).collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.call("delete --force {}");
        for entry in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
            let _ = std::fs::remove_dir(entry.unwrap().path().join(&self.cgroup[1..]));
        }
        let _ = std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(&self.cgroup[1..]));
    }
}

const APPLETS: &str = "sh true false ls cat mount id sleep mkdir echo ps hostname env pwd stty tty touch ln rm \
                       grep readlink stat dd mknod umount wc sort test date nproc head tail cut sed printf chroot";

/// The commands as a program, which cargo has built beside the tests.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/corten-runtime")
}

pub(crate) fn outcome(output: Output) -> Outcome {
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::yield_now();
    }
}

/// Docker's default capabilities.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What Docker asks for, more or less.
fn spec(script: &str, cgroup: &str) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]},
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}], "pids": {"limit": 100}},
            "namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"}, {"type": "ipc"}],
            "maskedPaths": ["/proc/kcore", "/proc/timer_list", "/proc/acpi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
