//! A cgroup in version 2: one folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corten_oci::runtime::Resources;
use corten_sys::bpf::{self, Attach};
use corten_sys::fs;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::devices::Policy;
use super::limits_v2::{self, CurrentQuota};
use super::oom::{self, OomEvents};
use super::setting::{self, Setting, is, write_file};
use super::stats::{self, Stats};
use super::{device_program, failed, tree};
use crate::error::{Error, Kind, Result};

/// Controllers without which counters are missing.
const ALWAYS: [&str; 4] = ["cpu", "memory", "pids", "io"];
/// How long freezing may take.
const FREEZING: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct V2 {
    mount: PathBuf,
    folder: PathBuf,
    fd: OwnedFd,
}

impl V2 {
    pub(super) fn create(mount: &Path, relative: &Path, resources: &Resources) -> Result<Self> {
        let settings = limits_v2::settings(resources, &CurrentQuota("max"))?;
        let policy = Policy::parse(&resources.devices)?;
        let folder = mount.join(relative);
        let new = tree::create(mount, &folder)?;
        let result = enable(mount, relative, &settings)
            .and_then(|()| Self::at(mount, folder.clone()))
            .and_then(|group| group.write(&settings).map(|()| group))
            .and_then(|group| group.write_devices(&policy).map(|()| group));
        if result.is_err() && new {
            // The first error is the one to tell.
            let _ = tree::remove(&folder);
        }
        result
    }

    pub(super) fn open(mount: &Path, relative: &Path) -> Result<Option<Self>> {
        let folder = mount.join(relative);
        match fs::exists(&folder).map_err(|error| failed("look up", &folder, error))? {
            true => Self::at(mount, folder).map(Some),
            false => Ok(None),
        }
    }

    fn at(mount: &Path, folder: PathBuf) -> Result<Self> {
        // CLONE_INTO_CGROUP takes an O_PATH descriptor, bpf(2) doesn't.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&folder, flags, Mode::empty())
            .map_err(|error| failed("open", &folder, fs::with_path("open", &folder, error.into())))?;
        Ok(Self {
            mount: mount.to_path_buf(),
            folder,
            fd,
        })
    }

    fn write(&self, settings: &[Setting]) -> Result<()> {
        if settings.is_empty() {
            return Ok(());
        }
        let controllers = words(&self.folder.join("cgroup.controllers"))?;
        setting::write_all(settings, |controller| {
            let there = controller == "cgroup" || controllers.contains(controller);
            there.then_some(self.folder.as_path())
        })
    }

    fn write_devices(&self, policy: &Policy) -> Result<()> {
        let fail = |error: io::Error| {
            let message = format!("cannot apply device rules to cgroup \"{}\"", self.folder.display());
            Error::new(Kind::Internal, message)
                .with_source(error)
                .with_hint("the kernel must have been built with CONFIG_CGROUP_BPF")
        };
        let attached = bpf::device_programs(&self.fd).map_err(fail)?;
        if attached.is_empty() && policy.allow && policy.rules.is_empty() {
            return Ok(());
        }
        let program = bpf::load_device_program(&device_program::program(policy)).map_err(fail)?;
        if let [old] = attached.as_slice() {
            match bpf::attach_device_program(&self.fd, &program, &Attach::Replacing(old)) {
                // Replacing came with Linux 5.6.
                Err(error) if is(&error, Errno::INVAL) => {}
                result => return result.map_err(fail),
            }
        }
        // All attached programs must allow, so there is no moment without rules.
        bpf::attach_device_program(&self.fd, &program, &Attach::Beside).map_err(fail)?;
        attached
            .iter()
            .try_for_each(|old| bpf::detach_device_program(&self.fd, old))
            .map_err(fail)
    }

    pub(super) fn update(&mut self, resources: &Resources) -> Result<()> {
        let max = fs::read_to_string(self.folder.join("cpu.max")).unwrap_or_default();
        let quota = CurrentQuota(max.split_whitespace().next().unwrap_or("max"));
        let settings = limits_v2::settings(resources, &quota)?;
        super::refuse_less_than_in_use(resources, &self.folder.join("memory.current"))?;
        self.write(&settings)?;
        if !resources.devices.is_empty() {
            self.write_devices(&Policy::parse(&resources.devices)?)?;
        }
        Ok(())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn fd_of(&self, pid: i32) -> Result<OwnedFd> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = fs::read_to_string(&path).map_err(|error| failed("find a process in", &self.folder, error))?;
        let inside = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let folder = self.mount.join(inside.unwrap_or_default());
        if !folder.starts_with(&self.folder) {
            let message = format!("process {pid} is not in cgroup \"{}\"", self.folder.display());
            return Err(Error::new(Kind::Internal, message));
        }
        Self::at(&self.mount, folder).map(|group| group.fd)
    }

    pub(super) fn doors(&self) -> Result<Vec<OwnedFd>> {
        let path = self.folder.join("cgroup.procs");
        let door =
            fs::open_with(File::options().write(true), &path).map_err(|error| failed("enter", &self.folder, error))?;
        Ok(vec![door.into()])
    }

    pub(super) fn join(&self, pid: i32) -> Result<()> {
        write_file(&self.folder.join("cgroup.procs"), &pid.to_string())
            .map_err(|error| failed("join", &self.folder, error))
    }

    pub(super) fn pids(&self) -> Result<Vec<i32>> {
        tree::pids(&self.folder)
    }

    pub(super) fn freeze(&self) -> Result<()> {
        self.set_frozen("1")
    }

    pub(super) fn thaw(&self) -> Result<()> {
        self.set_frozen("0")
    }

    /// Writes `cgroup.freeze` and waits until `cgroup.events` agrees.
    fn set_frozen(&self, value: &str) -> Result<()> {
        let word = if value == "1" { "freeze" } else { "thaw" };
        let fail = |error| failed(word, &self.folder, error);
        let path = self.folder.join("cgroup.events");
        write_file(&self.folder.join("cgroup.freeze"), value).map_err(fail)?;
        let deadline = Instant::now() + FREEZING;
        let events = fs::open(&path).map_err(fail)?;
        loop {
            let text = fs::read_to_string(&path).map_err(fail)?;
            if text.lines().any(|line| line.strip_prefix("frozen ") == Some(value)) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!("cannot {word} cgroup \"{}\" within 10 s", self.folder.display());
                return Err(Error::new(Kind::Internal, message));
            }
            wait_for_change(&events, left.min(Duration::from_millis(100))).map_err(fail)?;
        }
    }

    pub(super) fn is_frozen(&self) -> Result<bool> {
        let text = fs::read_to_string(self.folder.join("cgroup.events"))
            .map_err(|error| failed("read", &self.folder, error))?;
        Ok(text.lines().any(|line| line == "frozen 1"))
    }

    /// Kills every process at once (`cgroup.kill`, Linux 5.14); returns whether the kernel can.
    pub(super) fn kill(&self) -> Result<bool> {
        match write_file(&self.folder.join("cgroup.kill"), "1") {
            Err(error) if is(&error, Errno::NOENT) => Ok(false),
            result => result
                .map(|()| true)
                .map_err(|error| failed("kill", &self.folder, error)),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        stats::read_v2(&self.folder)
    }

    pub(super) fn oom_events(&self) -> Result<OomEvents> {
        OomEvents::v2(&self.folder).map_err(|error| failed("watch", &self.folder, error))
    }

    pub(super) fn oom_kills(&self) -> Result<u64> {
        oom::kills(&self.folder.join("memory.events")).map_err(|error| failed("read", &self.folder, error))
    }

    pub(super) fn delete(&self) -> Result<()> {
        tree::remove(&self.folder)
    }

    pub(super) fn paths(&self) -> Vec<(String, PathBuf)> {
        vec![(String::new(), self.folder.clone())]
    }
}

/// Makes the needed controllers available in the cgroup: each ancestor must pass them on.
///
/// What cannot be passed on (a controller that a v1 hierarchy has taken, a domain with processes) is
/// found missing when a limit needs it.
fn enable(mount: &Path, relative: &Path, settings: &[Setting]) -> Result<()> {
    let mut needed: BTreeSet<&str> = ALWAYS.into();
    needed.extend(settings.iter().map(|setting| &*setting.controller));
    let there = words(&mount.join(relative).join("cgroup.controllers"))?;
    needed.retain(|name| !there.contains(*name));
    if needed.is_empty() {
        return Ok(());
    }
    let mut folder = mount.to_path_buf();
    for part in relative.components() {
        // With processes of its own it could pass only some of them on, and then no process may enter what is below.
        if has_processes(&folder)? {
            folder.push(part);
            continue;
        }
        let available = words(&folder.join("cgroup.controllers"))?;
        let passed_on = words(&folder.join("cgroup.subtree_control"))?;
        for name in &needed {
            if available.contains(*name) && !passed_on.contains(*name) {
                // One at a time: the kernel takes all or nothing.
                let _ = write_file(&folder.join("cgroup.subtree_control"), &format!("+{name}"));
            }
        }
        folder.push(part);
    }
    Ok(())
}

/// Whether a cgroup, other than the kernel's root, has processes.
fn has_processes(folder: &Path) -> Result<bool> {
    let is_root = !fs::exists(folder.join("cgroup.type")).map_err(|error| failed("look up", folder, error))?;
    let processes = folder.join("cgroup.procs");
    Ok(!is_root
        && !fs::read(&processes)
            .map_err(|error| failed("read", folder, error))?
            .is_empty())
}

fn words(path: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(path).map_err(|error| failed("read", path, error))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

fn wait_for_change(file: &File, timeout: Duration) -> io::Result<()> {
    let mut fds = [PollFd::new(file, PollFlags::PRI)];
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A cgroup on whatever v2 hierarchy the host has, if only beside v1, where it has no controllers
    /// but all the rest.
    struct Own(V2, PathBuf);

    impl Own {
        fn new(name: &str, resources: &str) -> Self {
            let table = fs::read_to_string("/proc/self/mounts").unwrap();
            let line = table
                .lines()
                .find(|line| line.contains(" cgroup2 "))
                .expect("cgroup2 is mounted");
            let mount = PathBuf::from(line.split(' ').nth(1).unwrap());
            let parent = format!("corten-test-{}-{name}", std::process::id());
            let relative = Path::new(&parent).join("box");
            let group = V2::create(&mount, &relative, &serde_json::from_str(resources).unwrap()).unwrap();
            Self(group, mount.join(parent))
        }

        /// Runs a shell inside, once it has been let go.
        fn guest(&self, script: &str) -> Child {
            let door = self.0.doors().unwrap().remove(0);
            let mut child = Command::new("/bin/sh")
                .args(["-c", &format!("read line; {script}")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            rustix::io::write(&door, child.id().to_string().as_bytes()).unwrap();
            io::Write::write_all(child.stdin.as_mut().unwrap(), b"go\n").unwrap();
            child
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            let _ = self.0.kill();
            tree::remove(&self.1).unwrap();
        }
    }

    const DEVICES: &str = r#"{"devices":[{"allow":false,"access":"rwm"}]}"#;
    const TRY: &str = "true > /dev/null && echo null; true < /dev/kmsg && echo kmsg";

    fn output(mut child: Child) -> String {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        text
    }

    #[test]
    fn the_kernel_follows_the_device_program_and_its_replacement() {
        let mut own = Own::new("devices", DEVICES);
        assert_eq!(output(own.guest(TRY)), "null\n");
        let more = r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
        own.0.update(&serde_json::from_str(more).unwrap()).unwrap();
        assert_eq!(bpf::device_programs(&own.0.fd).unwrap().len(), 1);
        assert_eq!(output(own.guest(TRY)), "null\nkmsg\n");
    }

    #[test]
    fn a_privileged_cgroup_has_no_program() {
        let own = Own::new("privileged", r#"{"devices":[{"allow":true,"access":"rwm"}]}"#);
        assert!(bpf::device_programs(&own.0.fd).unwrap().is_empty());
        assert_eq!(output(own.guest(TRY)), "null\nkmsg\n");
    }

    #[test]
    fn members_are_frozen_thawed_and_killed() {
        let own = Own::new("members", "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}");
        let mut guest = own.guest("sleep 1000");
        assert!(own.0.pids().unwrap().contains(&i32::try_from(guest.id()).unwrap()));
        own.0.freeze().unwrap();
        assert!(own.0.is_frozen().unwrap());
        own.0.thaw().unwrap();
        assert!(!own.0.is_frozen().unwrap());
        own.0.freeze().unwrap();
        // A frozen cgroup can be killed.
        assert!(own.0.kill().unwrap());
        guest.wait().unwrap();
        own.0.delete().unwrap();
        own.0.delete().unwrap();
    }

    #[test]
    fn a_controller_that_is_elsewhere_is_named() {
        let own = Own::new("missing", "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}");
        let setting = Setting::new("dmem", "dmem.max", 1, "a test");
        let error = own.0.write(&[setting]).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("\"dmem\" cgroup controller"), "{error}");
    }

    #[test]
    fn a_process_may_be_in_a_cgroup_made_inside() {
        let own = Own::new("inside", "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}");
        let inner = own.0.folder.join("inner");
        fs::create_dir(&inner).unwrap();
        let mut guest = own.guest("sleep 1000");
        let pid = i32::try_from(guest.id()).unwrap();
        write_file(&inner.join("cgroup.procs"), &pid.to_string()).unwrap();
        let found = own.0.fd_of(pid).unwrap();
        let numbers = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).unwrap().st_ino;
        let expected = fs::open(&inner).unwrap();
        assert_eq!(numbers(found.as_fd()), numbers(expected.as_fd()));
        let error = own.0.fd_of(1).unwrap_err();
        assert!(error.to_string().contains("process 1 is not in cgroup"), "{error}");
        own.0.kill().unwrap();
        guest.wait().unwrap();
    }

    #[test]
    fn a_parent_with_processes_passes_nothing_on() {
        let own = Own::new("busy", "{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}]}");
        let mut guest = own.guest("sleep 1000");
        let relative = own.0.folder.strip_prefix(&own.0.mount).unwrap().join("below");
        let below = V2::create(&own.0.mount, &relative, &Resources::default()).unwrap();
        assert!(words(&own.0.folder.join("cgroup.subtree_control")).unwrap().is_empty());
        below.delete().unwrap();
        own.0.kill().unwrap();
        guest.wait().unwrap();
    }
}
