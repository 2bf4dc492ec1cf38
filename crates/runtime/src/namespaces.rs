//! Which namespaces a container gets, and how its first process gets into them.
//!
//! New ones come with clone3(2). Of those to join, process ids and clocks reach only children, so
//! that the runtime itself goes there, clones, and comes back; with a new user namespace it does so
//! for the others as well, for which the child would lack the right. The rest the child joins itself.
//! A user namespace to join takes a process between: what is new has to belong to it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use corten_oci::runtime::{IdMapping, Linux, NamespaceKind, Spec};
use corten_sys::fs;
use corten_sys::namespace::{Namespaces, setns, unshare};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::context::{Context as _, invalid};
use crate::error::{Error, Kind, Result};

/// The namespaces of a container.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Made anew by clone3.
    pub(crate) new: Namespaces,
    /// Joined.
    pub(crate) joined: Vec<Join>,
    /// Whether it gets a cgroup namespace once it is in its cgroup.
    pub(crate) new_cgroup: bool,
    offsets: Option<String>,
}

/// A namespace to join.
#[derive(Debug)]
pub(crate) struct Join {
    kind: Namespaces,
    name: &'static str,
    fd: OwnedFd,
}

/// The kernel's flag and its name in `/proc/<pid>/ns`.
pub(crate) fn flag(kind: NamespaceKind) -> (Namespaces, &'static str) {
    match kind {
        NamespaceKind::Pid => (Namespaces::PID, "pid"),
        NamespaceKind::Network => (Namespaces::NETWORK, "net"),
        NamespaceKind::Mount => (Namespaces::MOUNT, "mnt"),
        NamespaceKind::Ipc => (Namespaces::IPC, "ipc"),
        NamespaceKind::Uts => (Namespaces::UTS, "uts"),
        NamespaceKind::User => (Namespaces::USER, "user"),
        NamespaceKind::Cgroup => (Namespaces::CGROUP, "cgroup"),
        NamespaceKind::Time => (Namespaces::TIME, "time"),
    }
}

/// Whether a configuration names this kind, and asks for a new one (`path` absent) or one to join.
pub(crate) fn wants(spec: &Spec, kind: NamespaceKind) -> bool {
    let linux = spec.linux.as_ref();
    linux.is_some_and(|linux| linux.namespaces.iter().any(|one| one.kind == kind))
}

/// All kinds that a configuration names.
pub(crate) fn named(spec: &Spec) -> Namespaces {
    let mut all = Namespaces::NONE;
    for one in spec.linux.iter().flat_map(|linux| &linux.namespaces) {
        all |= flag(one.kind).0;
    }
    all
}

impl Plan {
    /// Reads the configuration and opens what is joined; `network` takes the place of a path.
    pub(crate) fn new(linux: &Linux, network: Option<OwnedFd>) -> Result<Self> {
        let mut plan = Self::default();
        let mut network = network;
        for one in &linux.namespaces {
            let (kind, name) = flag(one.kind);
            if plan.names(kind) {
                return Err(invalid(format!("namespace {name:?} is named twice")));
            }
            let fd = match &one.path {
                _ if one.kind == NamespaceKind::Network && network.is_some() => network.take(),
                Some(path) if !path.as_os_str().is_empty() => Some(open(path)?),
                _ => None,
            };
            match fd {
                Some(fd) => plan.joined.push(Join { kind, name, fd }),
                None if one.kind == NamespaceKind::Cgroup => plan.new_cgroup = true,
                None => plan.new |= kind,
            }
        }
        if let Some(fd) = network {
            plan.joined.push(Join {
                kind: Namespaces::NETWORK,
                name: "net",
                fd,
            });
        }
        if !linux.time_offsets.is_empty() {
            plan.offset(linux)?;
        }
        Ok(plan)
    }

    fn names(&self, kind: Namespaces) -> bool {
        self.new.contains(kind)
            || (kind == Namespaces::CGROUP && self.new_cgroup)
            || self.joined.iter().any(|join| join.kind == kind)
    }

    /// Clocks can be set only before the first process is in, so that clone3 cannot make the namespace.
    fn offset(&mut self, linux: &Linux) -> Result<()> {
        if !self.new.contains(Namespaces::TIME) {
            return Err(invalid("timeOffsets need a new time namespace"));
        }
        let lines = linux.time_offsets.iter();
        let lines = lines.map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
        self.offsets = Some(lines.collect());
        self.new = self.new.without(Namespaces::TIME);
        Ok(())
    }

    /// Whether the container has a user namespace of its own, new or joined.
    pub(crate) fn has_user(&self) -> bool {
        self.names(Namespaces::USER)
    }

    /// Whether a user namespace is joined.
    pub(crate) fn joins_user(&self) -> bool {
        self.joined.iter().any(|join| join.kind == Namespaces::USER)
    }

    /// Whether it has a mount namespace of its own.
    pub(crate) fn has_mount(&self) -> bool {
        self.names(Namespaces::MOUNT)
    }

    /// Takes the caller where its child is to be born. The guard leads back.
    pub(crate) fn approach(&self) -> Result<Approach> {
        let mut approach = Approach(Vec::new());
        for join in self.joined.iter().filter(|join| self.is_early(join)) {
            approach.remember(join.kind, join.name)?;
            setns(join.fd.as_fd(), join.kind).context(|| joining(join))?;
        }
        if let Some(offsets) = &self.offsets {
            approach.remember(Namespaces::TIME, "time")?;
            unshare(Namespaces::TIME).context(|| "cannot make a time namespace".into())?;
            fs::write("/proc/self/timens_offsets", offsets).context(|| "cannot set the clocks' offsets".into())?;
        }
        Ok(approach)
    }

    fn is_early(&self, join: &Join) -> bool {
        let children_only = [Namespaces::PID, Namespaces::TIME].contains(&join.kind);
        let others = ![Namespaces::USER, Namespaces::MOUNT].contains(&join.kind);
        !self.joins_user() && (children_only || (others && self.new.contains(Namespaces::USER)))
    }

    /// Joins, in the child, what it joins itself.
    pub(crate) fn join(&self) -> Result<()> {
        for join in self.joined.iter().filter(|join| !self.is_early(join)) {
            setns(join.fd.as_fd(), join.kind).context(|| joining(join))?;
        }
        Ok(())
    }

    /// Joins everything, in a process between that is to be the parent in these namespaces: first
    /// what belongs to the host, then the user namespace, then what belongs to that.
    pub(crate) fn join_with_user(&self) -> Result<()> {
        let mut later = Vec::new();
        for join in self.joined.iter().filter(|join| join.kind != Namespaces::USER) {
            match setns(join.fd.as_fd(), join.kind) {
                Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => later.push(join),
                result => result.context(|| joining(join))?,
            }
        }
        let user = self.joined.iter().filter(|join| join.kind == Namespaces::USER);
        for join in user.chain(later) {
            setns(join.fd.as_fd(), join.kind).context(|| joining(join))?;
        }
        Ok(())
    }
}

fn joining(join: &Join) -> String {
    format!("cannot join the {} namespace", join.name)
}

fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("cannot open the namespace {path:?}"))
}

/// The way back to where the runtime was.
#[derive(Debug)]
#[must_use]
pub(crate) struct Approach(Vec<(Namespaces, OwnedFd)>);

impl Approach {
    fn remember(&mut self, kind: Namespaces, name: &str) -> Result<()> {
        self.0.push((kind, open(&Path::new("/proc/self/ns").join(name))?));
        Ok(())
    }

    /// Goes back.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.undo()
    }

    fn undo(&mut self) -> Result<()> {
        while let Some((kind, fd)) = self.0.pop() {
            setns(fd.as_fd(), kind).context(|| "cannot return to the runtime's namespaces".into())?;
        }
        Ok(())
    }
}

impl Drop for Approach {
    fn drop(&mut self) {
        // The error that led here is told; a second one could only hide it.
        let _ = self.undo();
    }
}

/// The lines of an id map (user_namespaces(7)).
pub(crate) fn map_lines(ids: &[IdMapping]) -> String {
    let line = |one: &IdMapping| format!("{} {} {}\n", one.container_id, one.host_id, one.size);
    ids.iter().map(line).collect()
}

/// Writes the maps of a new user namespace whose first process this is.
pub(crate) fn write_maps(pid: i32, linux: &Linux) -> Result<()> {
    if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
        return Err(invalid("user namespaces enabled, but no uid or gid mappings found"));
    }
    let write = |file: &str, text: &str| {
        fs::write(format!("/proc/{pid}/{file}"), text)
            .map_err(|error| Error::new(Kind::Internal, "cannot map ids").with_source(error))
    };
    if !rustix::process::geteuid().is_root() {
        // The kernel lets others map a group only if it cannot be left.
        write("setgroups", "deny")?;
    }
    write("uid_map", &map_lines(&linux.uid_mappings))?;
    write("gid_map", &map_lines(&linux.gid_mappings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::runtime::{Namespace, TimeOffset};

    fn linux(kinds: &[NamespaceKind]) -> Linux {
        let new = |&kind: &NamespaceKind| Namespace { kind, path: None };
        Linux {
            namespaces: kinds.iter().map(new).collect(),
            ..Linux::default()
        }
    }

    #[test]
    fn cgroup_namespaces_come_later() {
        use NamespaceKind::{Cgroup, Mount, Pid};
        let plan = Plan::new(&linux(&[Pid, Mount, Cgroup]), None).unwrap();
        assert_eq!(plan.new, Namespaces::PID | Namespaces::MOUNT);
        assert!(plan.new_cgroup && plan.has_mount() && !plan.has_user());
    }

    #[test]
    fn a_kind_is_named_once() {
        use NamespaceKind::{Cgroup, Uts};
        assert!(Plan::new(&linux(&[Uts, Uts]), None).is_err());
        assert!(Plan::new(&linux(&[Cgroup, Cgroup]), None).is_err());
    }

    #[test]
    fn offsets_need_a_time_namespace() {
        let mut without = linux(&[]);
        without
            .time_offsets
            .insert("boottime".into(), TimeOffset { secs: 1, nanosecs: 2 });
        assert!(Plan::new(&without, None).is_err());
        without.namespaces.push(Namespace {
            kind: NamespaceKind::Time,
            path: None,
        });
        let plan = Plan::new(&without, None).unwrap();
        assert!(plan.new.is_empty());
        assert_eq!(plan.offsets.as_deref(), Some("boottime 1 2\n"));
    }

    #[test]
    fn maps_are_lines() {
        let map = IdMapping {
            container_id: 0,
            host_id: 100_000,
            size: 65_536,
        };
        assert_eq!(map_lines(&[map]), "0 100000 65536\n");
    }
}
