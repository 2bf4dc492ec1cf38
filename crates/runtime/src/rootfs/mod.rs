//! The container's root: mounted, filled, and entered.
//!
//! [`plan`] decides from the configuration what is mounted where. [`Sources`] are what has to be
//! opened from the host's tree; [`build`] puts everything in its place in the container's mount
//! namespace; [`Built::enter`] makes it the root, and lets go of the host's.

mod cgroups;
mod copy_up;
mod cover;
mod detached;
mod devices;
mod options;
mod place;
mod plan;
mod top;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_sys::mount::{Change, MountAttrFlags, MountPropagationFlags, Reach, mount_setattr};
use corten_sys::namespace::user_namespace;
use rustix::fs::{Mode, OFlags};
use rustix::process::{chdir, chroot, fchdir};

pub(crate) use self::cgroups::View;
pub(crate) use self::detached::reason;
use self::detached::{change, copy_of, copy_tree, default_parameter, mode, new_file_system, put};
pub(crate) use self::devices::Nodes;
pub(crate) use self::place::open;
use self::place::{Shape, make, shape};
pub(crate) use self::plan::Plan;
use self::plan::{Entry, What};
use crate::context::{Context as _, invalid};
use crate::error::{Error, Kind, Result};

/// What is taken from the host before its tree is out of reach: for each entry of the plan, its
/// detached mount if it is a part of the host's tree, and the map of its ids.
#[derive(Debug)]
pub(crate) struct Sources {
    root: Vec<Source>,
    mounts: Vec<Source>,
}

#[derive(Debug, Default)]
struct Source {
    mount: Option<OwnedFd>,
    id_map: Option<OwnedFd>,
}

impl Sources {
    /// Opens them.
    pub(crate) fn open(plan: &Plan) -> Result<Self> {
        let root = root_sources(&plan.root)?;
        let mounts = plan.mounts.iter().map(source).collect::<Result<_>>()?;
        Ok(Self { root, mounts })
    }
}

fn root_sources(entries: &[Entry]) -> Result<Vec<Source>> {
    let mut root: Vec<_> = entries.iter().map(source).collect::<Result<_>>()?;
    // What isn't a bind mount is made here as well: whoever opens sources may also read layers.
    for (entry, source) in entries.iter().zip(&mut root) {
        if let What::New { kind, source: name } = &entry.what {
            source.mount = Some(new_file_system(kind, name, &entry.options)?);
        }
    }
    Ok(root)
}

/// Mounts what is to be a container's root on a folder, for a runtime that wants to find it there.
///
/// # Errors
/// `Invalid` for what cannot be a root, and what the kernel refuses.
pub fn mount_at(mounts: &[corten_oci::runtime::Mount], place: &Path) -> Result<()> {
    let entries = plan::root_entries(mounts)?;
    let sources = root_sources(&entries)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(place, flags, Mode::empty()).context(|| format!("cannot open {place:?}"))?;
    mount_root(&entries, sources, place).map(drop)
}

fn source(entry: &Entry) -> Result<Source> {
    let mut source = Source::default();
    if let (What::Bind(path), Some(reach)) = (&entry.what, entry.options.bind) {
        let mount = copy_tree(path, reach);
        source.mount = Some(mount.context(|| format!("cannot bind {path:?}"))?);
    }
    if entry.options.id_map.is_some() {
        let lines = |ids: &[corten_oci::runtime::IdMapping]| crate::namespaces::map_lines(ids);
        let map = user_namespace(&lines(&entry.ids.0), &lines(&entry.ids.1));
        source.id_map = Some(map.context(|| "cannot make a user namespace for id-mapped mounts".into())?);
    }
    Ok(source)
}

/// What building needs to know beside the plan.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The container's cgroups, if it has any.
    pub(crate) cgroups: Option<View>,
    /// How device nodes come to be.
    pub(crate) nodes: Nodes,
}

/// A root that is mounted but not entered.
#[derive(Debug)]
pub(crate) struct Built {
    /// The root.
    pub(crate) root: OwnedFd,
    /// The container's own devpts, if it has one.
    pub(crate) terminals: Option<OwnedFd>,
    null: OwnedFd,
}

/// Mounts everything. The caller is in the container's mount namespace.
pub(crate) fn build(plan: &Plan, sources: Sources, around: &Surroundings) -> Result<Built> {
    let old = top::separate()?;
    let null = cover::null_device()?;
    let root = mount_root(&plan.root, sources.root, old)?;
    let mut built = Built {
        root,
        terminals: None,
        null,
    };
    for (entry, source) in plan.mounts.iter().zip(sources.mounts) {
        mount_entry(&mut built, plan, entry, source, around).map_err(|error| naming(entry, &error))?;
    }
    if let Some(devices) = &plan.devices {
        devices::set_up(built.root.as_fd(), devices, around.nodes)?;
    }
    Ok(built)
}

/// Says which mount failed, in runc's words.
fn naming(entry: &Entry, error: &Error) -> Error {
    let what = match &entry.what {
        What::Bind(path) => format!("{:?}", path),
        What::Cgroup => "\"cgroup\"".into(),
        What::New { kind, .. } => format!("{kind:?}"),
    };
    let place = Path::new("/").join(&entry.destination);
    let message = format!("error mounting {what} to rootfs at {place:?}: {}", error.chain());
    Error::new(error.kind(), message)
}

/// Puts the root over a folder; over the process's present root that stays in reach for what is bound from it.
fn mount_root(entries: &[Entry], sources: Vec<Source>, over: OwnedFd) -> Result<OwnedFd> {
    let mut root: Option<OwnedFd> = None;
    for (entry, source) in entries.iter().zip(sources) {
        let mount = match (source.mount, &entry.what) {
            (Some(mount), _) => mount,
            (None, What::New { kind, source }) => new_file_system(kind, source, &entry.options)?,
            (None, _) => return Err(invalid("a cgroup file system cannot be the root")),
        };
        let slave = (MountPropagationFlags::DOWNSTREAM, Reach::Tree);
        let id_map = source.id_map.as_ref().map(|map| map.as_fd());
        if entry.options.bind.is_some() {
            change(mount.as_fd(), &entry.options, Some(slave), id_map)?;
        }
        match &root {
            None => {
                put(&mount, &over).context(|| "cannot mount the root".into())?;
                root = Some(mount);
            }
            Some(root) => {
                let place = make(root.as_fd(), &entry.destination, shape(&mount)?)?;
                put(mount, place).context(|| format!("cannot mount {:?}", entry.destination))?;
            }
        }
    }
    root.ok_or_else(|| invalid("the container has no root file system"))
}

fn mount_entry(built: &mut Built, plan: &Plan, entry: &Entry, source: Source, around: &Surroundings) -> Result<()> {
    let root = built.root.as_fd();
    let id_map = source.id_map.as_ref().map(|map| map.as_fd());
    match &entry.what {
        What::Bind(_) => {
            let Some(mount) = source.mount else {
                return Err(Error::new(Kind::Internal, "its source was not opened"));
            };
            let place = make(root, &entry.destination, shape(&mount)?)?;
            let default = (plan.propagation.0, Reach::Tree);
            change(mount.as_fd(), &entry.options, Some(default), id_map)?;
            put(mount, place).context(|| "move_mount".into())
        }
        What::Cgroup => {
            let Some(view) = &around.cgroups else {
                return Err(invalid("the container has no cgroup"));
            };
            let place = make(root, &entry.destination, Shape::Directory)?;
            cgroups::mount(view, &place, &entry.options)
        }
        What::New { kind, source: name } => {
            let place = new_place(root, kind, &entry.destination)?;
            let mount = new_mount(kind, name, entry, &place)?;
            if entry.options.propagation.is_some() || entry.options.id_map.is_some() {
                change(mount.as_fd(), &entry.options, None, id_map)?;
            }
            put(&mount, place).context(|| "move_mount".into())?;
            if kind == "devpts" {
                built.terminals = Some(mount);
            }
            Ok(())
        }
    }
}

/// Opens the folder for a new file system. The kernel's own must not be led elsewhere by a link,
/// where the container could put something else in their usual place (CVE-2019-19921).
fn new_place(root: BorrowedFd<'_>, kind: &str, destination: &Path) -> Result<OwnedFd> {
    if matches!(kind, "proc" | "sysfs")
        && let Ok(found) = open(root, destination, OFlags::PATH | OFlags::NOFOLLOW)
    {
        if shape(&found)? == Shape::File {
            return Err(invalid(format!(
                "filesystem {kind:?} must be mounted on ordinary directory"
            )));
        }
        return Ok(found);
    }
    make(root, destination, Shape::Directory)
}

fn new_mount(kind: &str, source: &str, entry: &Entry, place: &OwnedFd) -> Result<OwnedFd> {
    let mut options = entry.options.clone();
    if kind == "tmpfs" {
        // Like the folder that it covers.
        if let Some(mode) = mode(place) {
            default_parameter(&mut options, "mode", format!("{mode:04o}"));
        }
        if entry.options.copy_up {
            return copy_up::filled_tmpfs(source, &options, place);
        }
    }
    match new_file_system(kind, source, &options) {
        // A user namespace may not mount sysfs of a network namespace that it doesn't own.
        Err(error) if kind == "sysfs" => {
            let tree = copy_tree("/sys", Reach::Tree).map_err(|_| error)?;
            change(tree.as_fd(), &options, None, None)?;
            Ok(tree)
        }
        result => result,
    }
}

impl Built {
    /// Puts a terminal at `/dev/console`.
    pub(crate) fn console(&self, terminal: &OwnedFd) -> Result<()> {
        let naming = || "cannot make \"/dev/console\"".to_owned();
        let place = make(self.root.as_fd(), Path::new("dev/console"), Shape::File)?;
        let copy = copy_of(terminal, Reach::Mount).context(naming)?;
        put(copy, place).context(naming)
    }

    /// Hides and protects what the plan says, the root itself last. Before that comes the folder that the
    /// program starts in: as with runc it is made when it isn't there.
    pub(crate) fn protect(&self, plan: &Plan) -> Result<()> {
        if let Some(path) = &plan.working_directory {
            make(self.root.as_fd(), Path::new(path), Shape::Directory)?;
        }
        cover::protect(self.root.as_fd(), &plan.read_only_paths)?;
        cover::mask(self.root.as_fd(), &plan.masked, &self.null)?;
        if !plan.read_only {
            return Ok(());
        }
        let change = Change {
            set: MountAttrFlags::MOUNT_ATTR_RDONLY,
            ..Change::default()
        };
        mount_setattr(self.root.as_fd(), Reach::Mount, &change).context(|| "cannot make the root read-only".into())
    }

    /// Makes it the process's root.
    pub(crate) fn enter(&self, plan: &Plan, how: RootEntry) -> Result<()> {
        let naming = || "cannot enter the root".to_owned();
        match how {
            RootEntry::Pivot => top::enter(self.root.as_fd())?,
            RootEntry::Chroot => {
                fchdir(&self.root).context(naming)?;
                chroot(".").context(naming)?;
                chdir("/").context(naming)?;
            }
        }
        // Only now: a shared root cannot be pivoted to. New mounts are private, copies slaves already.
        if plan.propagation.0 == MountPropagationFlags::DOWNSTREAM {
            return Ok(());
        }
        let change = Change {
            propagation: plan.propagation.0,
            ..Change::default()
        };
        mount_setattr(self.root.as_fd(), Reach::Mount, &change).context(|| "cannot set the root's propagation".into())
    }
}

/// How the root is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootEntry {
    /// With pivot_root(2), so that nothing of the host's tree stays.
    #[default]
    Pivot,
    /// With chroot(2), for a host whose root cannot be pivoted (an initial ram disk).
    Chroot,
}

/// Enters a folder of the host with chroot(2), for a container without a mount namespace.
pub(crate) fn enter_folder(path: &Path) -> Result<()> {
    chroot(path).context(|| format!("cannot enter the root {path:?}"))?;
    chdir("/").context(|| "cannot enter the root".into())
}
