//! The container's view of its cgroups (cgroups(7)).
//!
//! In version 2 it is one file system. In version 1 it is a small tmpfs with a folder for each
//! hierarchy: with a cgroup namespace each is mounted anew and shows the container's as its root;
//! without, each is a bind mount of the container's own part.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use corten_sys::mount::{Change, MountAttrFlags, Reach, mount_setattr};
use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use super::detached::{change, copy_tree, new_file_system, put};
use super::options::{Options, Parameter};
use crate::context::Context as _;
use crate::error::Result;

/// Where the container's cgroups are on the host.
#[derive(Debug)]
pub(crate) struct View {
    /// Folders by controller; one with an empty word in version 2.
    pub(crate) paths: Vec<(String, PathBuf)>,
    /// Whether the container has a cgroup namespace of its own.
    pub(crate) namespace: bool,
}

/// A hierarchy of version 1.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    controllers: Vec<String>,
    folder: PathBuf,
}

/// Mounts the view on `place`.
pub(crate) fn mount(view: &View, place: &OwnedFd, options: &Options) -> Result<()> {
    match view.paths.as_slice() {
        [(controller, folder)] if controller.is_empty() => unified(folder, place, options),
        paths => split(&hierarchies(paths), view.namespace, place, options),
    }
}

fn unified(folder: &Path, place: &OwnedFd, options: &Options) -> Result<()> {
    let mount = match new_file_system("cgroup2", "cgroup", options) {
        Ok(mount) => mount,
        // In a user namespace without a cgroup namespace: what one has, then.
        Err(_) => bound(folder, options)?,
    };
    put(mount, place).context(|| "cannot mount cgroup2".into())
}

fn split(hierarchies: &[Hierarchy], namespace: bool, place: &OwnedFd, options: &Options) -> Result<()> {
    let mut base = Options::parse(&["nosuid", "nodev", "noexec", "mode=755", "size=64k"]);
    base.attributes.set |= options.attributes.set - MountAttrFlags::MOUNT_ATTR_RDONLY;
    let tmpfs = new_file_system("tmpfs", "tmpfs", &base)?;
    put(&tmpfs, place).context(|| "cannot mount the cgroup folder".into())?;
    for hierarchy in hierarchies {
        let mount = if namespace {
            anew(hierarchy, options)?
        } else {
            bound(&hierarchy.folder, options)?
        };
        let name = hierarchy.controllers.join(",");
        let naming = || format!("cannot mount the cgroup hierarchy {name:?}");
        let name = name.trim_start_matches("name=");
        mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755)).context(naming)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&tmpfs, name, flags, Mode::empty()).context(naming)?;
        put(mount, folder).context(naming)?;
        for controller in hierarchy.controllers.iter().filter(|_| hierarchy.controllers.len() > 1) {
            symlinkat(name, &tmpfs, controller.as_str()).context(naming)?;
        }
    }
    if options.is_read_only() {
        let change = Change {
            set: MountAttrFlags::MOUNT_ATTR_RDONLY,
            ..Change::default()
        };
        mount_setattr(tmpfs.as_fd(), Reach::Mount, &change)
            .context(|| "cannot make the cgroup folder read-only".into())?;
    }
    Ok(())
}

/// Mounts a hierarchy anew, as the cgroup namespace shows it.
fn anew(hierarchy: &Hierarchy, options: &Options) -> Result<OwnedFd> {
    let mut options = options.clone();
    options.parameters = hierarchy.controllers.iter().map(|word| parameter(word)).collect();
    new_file_system("cgroup", "cgroup", &options)
}

fn parameter(word: &str) -> Parameter {
    let (key, value) = word
        .split_once('=')
        .map_or((word, None), |(key, value)| (key, Some(value)));
    Parameter {
        key: key.into(),
        value: value.map(Into::into),
    }
}

fn bound(folder: &Path, options: &Options) -> Result<OwnedFd> {
    let naming = || format!("cannot bind the cgroup {folder:?}");
    let mount = copy_tree(folder, Reach::Mount).map_err(|errno| match errno {
        Errno::NOENT => Errno::NODEV,
        errno => errno,
    });
    let mount = mount.context(naming)?;
    let private = corten_sys::mount::MountPropagationFlags::PRIVATE;
    change(mount.as_fd(), options, Some((private, Reach::Mount)), None)?;
    Ok(mount)
}

/// Brings controllers that share a folder together.
fn hierarchies(paths: &[(String, PathBuf)]) -> Vec<Hierarchy> {
    let mut all: Vec<Hierarchy> = Vec::new();
    for (controller, folder) in paths {
        match all.iter_mut().find(|one| one.folder == *folder) {
            Some(one) => one.controllers.push(controller.clone()),
            None => all.push(Hierarchy {
                controllers: vec![controller.clone()],
                folder: folder.clone(),
            }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_of_one_folder_are_one_hierarchy() {
        let pair = |name: &str, path: &str| (name.to_owned(), PathBuf::from(path));
        let all = hierarchies(&[pair("cpu", "/c"), pair("pids", "/p"), pair("cpuacct", "/c")]);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].controllers, ["cpu", "cpuacct"]);
    }
}
