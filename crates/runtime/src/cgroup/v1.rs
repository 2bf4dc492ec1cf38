//! A cgroup in version 1: one folder in each hierarchy that is needed.
//!
//! Folders cost 50 to 100 µs each, so there are only those that something needs: limits, device
//! rules, counters, freezing. A limit set later makes its folder then and moves the processes in.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corten_oci::runtime::Resources;
use corten_sys::fs;
use rustix::io::Errno;

use super::devices::Policy;
use super::hierarchy::Hierarchy;
use super::limits_v1;
use super::oom::{self, OomEvents};
use super::setting::{self, Setting, is, write_file};
use super::stats::{self, Stats};
use super::{failed, tree};
use crate::error::{Error, Kind, Result};

/// What every container needs: device rules, counters for `stats`, `ps` and pausing.
const ALWAYS: [&str; 6] = ["devices", "memory", "pids", "cpuacct", "freezer", "blkio"];
/// How long freezing may take.
const FREEZING: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct V1 {
    relative: PathBuf,
    folders: Vec<Folder>,
    hierarchies: Vec<Hierarchy>,
}

/// The cgroup's folder in one hierarchy.
#[derive(Debug)]
struct Folder {
    controllers: Vec<String>,
    path: PathBuf,
}

impl Folder {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

impl V1 {
    pub(super) fn create(hierarchies: Vec<Hierarchy>, relative: PathBuf, resources: &Resources) -> Result<Self> {
        let settings = limits_v1::settings(resources)?;
        let policy = Policy::parse(&resources.devices)?.writes()?;
        let systemd = systemd_manages_us();
        let mut group = Self {
            relative,
            folders: Vec::new(),
            hierarchies,
        };
        let wanted = |hierarchy: &Hierarchy| {
            ALWAYS.iter().any(|controller| hierarchy.has(controller))
                || settings.iter().any(|setting| hierarchy.has(&setting.controller))
                || (systemd && hierarchy.has("name=systemd"))
        };
        let mut new = Vec::new();
        let result = group
            .make_folders(wanted, &mut new)
            .and_then(|()| group.write_devices(&policy))
            .and_then(|()| group.write(&settings));
        if let Err(error) = result {
            for folder in new {
                // The first error is the one to tell.
                let _ = tree::remove(&folder);
            }
            return Err(error);
        }
        Ok(group)
    }

    pub(super) fn open(hierarchies: Vec<Hierarchy>, relative: PathBuf) -> Result<Option<Self>> {
        let mut folders = Vec::new();
        for hierarchy in &hierarchies {
            let path = hierarchy.mount.join(&relative);
            if fs::exists(&path).map_err(|error| failed("look up", &path, error))? {
                folders.push(Folder {
                    controllers: hierarchy.controllers.clone(),
                    path,
                });
            }
        }
        let found = !folders.is_empty();
        Ok(found.then_some(Self {
            relative,
            folders,
            hierarchies,
        }))
    }

    /// Makes the folders of those hierarchies that are wanted and not there; `new` gets those it made.
    fn make_folders(&mut self, wanted: impl Fn(&Hierarchy) -> bool, new: &mut Vec<PathBuf>) -> Result<()> {
        for hierarchy in &self.hierarchies {
            let known = self
                .folders
                .iter()
                .any(|folder| folder.controllers == hierarchy.controllers);
            if known || !wanted(hierarchy) {
                continue;
            }
            let path = hierarchy.mount.join(&self.relative);
            if tree::create(&hierarchy.mount, &path)? {
                new.push(path.clone());
            }
            if hierarchy.has("cpuset") {
                fill_cpuset(&hierarchy.mount, &path).map_err(|error| failed("prepare", &path, error))?;
            }
            self.folders.push(Folder {
                controllers: hierarchy.controllers.clone(),
                path,
            });
        }
        Ok(())
    }

    fn folder(&self, controller: &str) -> Option<&Path> {
        let folder = self.folders.iter().find(|folder| folder.has(controller))?;
        Some(&folder.path)
    }

    fn required(&self, controller: &str, what: &str) -> Result<&Path> {
        self.folder(controller).ok_or_else(|| {
            let message = format!("cannot {what}: this host has no \"{controller}\" cgroup controller");
            Error::new(Kind::Unsupported, message)
        })
    }

    fn write(&self, settings: &[Setting]) -> Result<()> {
        setting::write_all(settings, |controller| self.folder(controller))
    }

    fn write_devices(&self, writes: &[(&'static str, String)]) -> Result<()> {
        let folder = self.required("devices", "apply device rules")?;
        // There are a dozen rules, and opening the file costs more than writing one.
        for run in writes.chunk_by(|one, next| one.0 == next.0) {
            let path = folder.join(run[0].0);
            let mut file = fs::open_with(File::options().write(true), &path)
                .map_err(|error| failed("write device rules of", folder, error))?;
            for (_, rule) in run {
                file.write_all(rule.as_bytes()).map_err(|error| {
                    let message = format!("cannot apply device rule \"{rule}\"");
                    let error = fs::with_path("write", &path, error);
                    Error::new(Kind::Internal, message).with_source(error)
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn update(&mut self, resources: &Resources) -> Result<()> {
        let settings = limits_v1::settings(resources)?;
        self.refuse_less_than_in_use(resources)?;
        let wanted = |hierarchy: &Hierarchy| settings.iter().any(|setting| hierarchy.has(&setting.controller));
        let mut new = Vec::new();
        let pids = self.any_folder()?.to_owned();
        self.make_folders(wanted, &mut new)?;
        self.write(&settings)?;
        for folder in &new {
            move_all(&pids, folder)?;
        }
        if !resources.devices.is_empty() {
            self.write_devices(&Policy::parse(&resources.devices)?.writes()?)?;
        }
        Ok(())
    }

    fn refuse_less_than_in_use(&self, resources: &Resources) -> Result<()> {
        let Some(folder) = self.folder("memory") else {
            return Ok(());
        };
        super::refuse_less_than_in_use(resources, &folder.join("memory.usage_in_bytes"))
    }

    fn any_folder(&self) -> Result<&Path> {
        let best = ["pids", "freezer", "devices"].iter().find_map(|name| self.folder(name));
        best.or_else(|| self.folders.first().map(|folder| folder.path.as_path()))
            .ok_or_else(|| Error::new(Kind::NotFound, "the cgroup has no folder"))
    }

    /// The files through which a process enters: `tasks`, as a process that moves itself alone need
    /// not wait for the kernel to stop every fork (5 to 20 ms, once in a while, for `cgroup.procs`).
    pub(super) fn doors(&self) -> Result<Vec<OwnedFd>> {
        let open = |folder: &Folder| {
            let path = folder.path.join("tasks");
            fs::open_with(File::options().write(true), &path)
                .map(OwnedFd::from)
                .map_err(|error| failed("enter", &folder.path, error))
        };
        self.folders.iter().map(open).collect()
    }

    pub(super) fn join(&self, pid: i32) -> Result<()> {
        for folder in &self.folders {
            write_file(&folder.path.join("cgroup.procs"), &pid.to_string())
                .map_err(|error| failed("join", &folder.path, error))?;
        }
        Ok(())
    }

    pub(super) fn pids(&self) -> Result<Vec<i32>> {
        tree::pids(self.any_folder()?)
    }

    pub(super) fn freeze(&self) -> Result<()> {
        let folder = self.required("freezer", "pause")?;
        let state = folder.join("freezer.state");
        let fail = |error| failed("freeze", folder, error);
        let deadline = Instant::now() + FREEZING;
        let mut pause = Duration::from_micros(100);
        loop {
            // Writing again picks up processes that were forked while freezing.
            write_file(&state, "FROZEN").map_err(fail)?;
            if fs::read_to_string(&state).map_err(fail)?.trim() == "FROZEN" {
                return Ok(());
            }
            if Instant::now() >= deadline {
                self.thaw()?;
                let message = format!("cannot freeze cgroup \"{}\" within 10 s", folder.display());
                return Err(Error::new(Kind::Internal, message));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    pub(super) fn thaw(&self) -> Result<()> {
        let folder = self.required("freezer", "resume")?;
        write_file(&folder.join("freezer.state"), "THAWED").map_err(|error| failed("thaw", folder, error))
    }

    pub(super) fn is_frozen(&self) -> Result<bool> {
        let Some(folder) = self.folder("freezer") else {
            return Ok(false);
        };
        let state = fs::read_to_string(folder.join("freezer.state")).map_err(|error| failed("read", folder, error))?;
        Ok(state.trim() == "FROZEN")
    }

    pub(super) fn stats(&self) -> Stats {
        stats::read_v1(|controller| self.folder(controller))
    }

    pub(super) fn oom_events(&self) -> Result<OomEvents> {
        let folder = self.required("memory", "watch for lack of memory")?;
        OomEvents::v1(folder).map_err(|error| failed("watch", folder, error))
    }

    pub(super) fn oom_kills(&self) -> Result<u64> {
        let Some(folder) = self.folder("memory") else {
            return Ok(0);
        };
        oom::kills(&folder.join("memory.oom_control")).map_err(|error| failed("read", folder, error))
    }

    pub(super) fn delete(&self) -> Result<()> {
        let mut first = Ok(());
        for folder in &self.folders {
            let result = tree::remove(&folder.path);
            if first.is_ok() {
                first = result;
            }
        }
        first
    }

    pub(super) fn paths(&self) -> Vec<(String, PathBuf)> {
        let pairs = self.folders.iter().flat_map(|folder| {
            folder
                .controllers
                .iter()
                .map(|controller| (controller.clone(), folder.path.clone()))
        });
        pairs.collect()
    }
}

/// Whether a service manager keeps this process in a hierarchy of its own; it then wants to find the
/// container there too.
fn systemd_manages_us() -> bool {
    fs::read_to_string("/proc/self/cgroup").is_ok_and(|text| {
        text.lines()
            .any(|line| line.split_once(":name=systemd:").is_some_and(|(_, path)| path != "/"))
    })
}

/// Gives a new cpuset its parent's processors and memory nodes; without any, nothing may join.
fn fill_cpuset(mount: &Path, folder: &Path) -> std::io::Result<()> {
    if folder == mount {
        return Ok(());
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !fs::read_to_string(folder.join(file))?.trim().is_empty() {
            continue;
        }
        let Some(parent) = folder.parent() else { return Ok(()) };
        fill_cpuset(mount, parent)?;
        write_file(&folder.join(file), fs::read_to_string(parent.join(file))?.trim())?;
    }
    Ok(())
}

/// Moves every process of one folder to another, children forked meanwhile included.
fn move_all(from: &Path, to: &Path) -> Result<()> {
    loop {
        let there = tree::pids(to)?;
        let mut left: Vec<i32> = tree::pids(from)?;
        left.retain(|pid| there.binary_search(pid).is_err());
        if left.is_empty() {
            return Ok(());
        }
        let mut moved = false;
        for pid in left {
            match write_file(&to.join("cgroup.procs"), &pid.to_string()) {
                Ok(()) => moved = true,
                // It has ended; a zombie stays listed and cannot be moved.
                Err(error) if is(&error, Errno::SRCH) => {}
                Err(error) => return Err(failed("join", to, error)),
            }
        }
        if !moved {
            return Ok(());
        }
    }
}
