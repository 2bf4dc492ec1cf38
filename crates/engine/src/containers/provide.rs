//! What a container's mounts need while it runs: volumes mounted, images' roots, paths inside volumes.
//!
//! A path inside a volume or an image is found from a held descriptor, and what was found is mounted in
//! the bundle: no link in a volume can lead the runtime elsewhere. All of it is given back at the end.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use corten_store::Access;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags},
};

use super::{
    Container, Inner, propagation,
    record::{MountRecord, Record},
};
use crate::error::{Error, Result};

/// The folder in the bundle in which images and paths inside volumes are mounted.
const FOLDER: &str = "mounts";

/// Makes the mounts of a container ready. Returns the record with what the runtime is to mount, if
/// that differs from what the record says.
pub(super) fn prepare(inner: &Inner, container: &Container, record: &Record) -> Result<Option<Record>> {
    if record.mounts.is_empty() {
        return Ok(None);
    }
    propagation::check(&record.mounts)?;
    let mut changed = None;
    for (index, mount) in record.mounts.iter().enumerate() {
        let mut source = PathBuf::from(&mount.point.source);
        if mount.point.kind == "volume" {
            source = inner.volumes.mount(&mount.point.name, &record.id)?;
            tell(inner, record, mount, "mount");
        }
        let runtimes = match (mount.point.kind.as_str(), mount.subpath.as_str()) {
            ("image", _) => image(inner, container, record, index)?,
            ("volume", "") => source.clone(),
            ("volume", subpath) => pin(container, index, inside(&source, subpath)?.as_fd())?,
            _ => continue,
        };
        if runtimes != Path::new(&mount.point.source) || !mount.subpath.is_empty() {
            let changed = changed.get_or_insert_with(|| record.clone());
            changed.mounts[index].point.source = runtimes.to_string_lossy().into_owned();
            changed.mounts[index].subpath.clear();
        }
        let told = source.to_string_lossy();
        if mount.point.kind == "volume" && *told != mount.point.source {
            container.edit(|record| record.mounts[index].point.source = told.into_owned())?;
        }
    }
    Ok(changed)
}

/// Gives back what [`prepare`] made; a second time is fine.
pub(super) fn release(inner: &Inner, container: &Container) -> Result<()> {
    let record = container.record();
    unpin(&container.bundle.join(FOLDER))?;
    for mount in record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
        if inner.volumes.unmount(&mount.point.name, &record.id) {
            tell(inner, &record, mount, "unmount");
        }
    }
    Ok(())
}

/// The root that an image mount of a container shows; it keeps the image's layers.
pub(super) fn image_root(container_id: &str, index: usize) -> String {
    format!("{container_id}-image-{index}")
}

fn tell(inner: &Inner, record: &Record, mount: &MountRecord, action: &str) {
    let point = &mount.point;
    let mut attributes = vec![("container", record.id.as_str()), ("driver", point.driver.as_str())];
    let access = point.rw.to_string();
    if action == "mount" {
        attributes.extend([
            ("destination", point.destination.as_str()),
            ("read/write", access.as_str()),
            ("propagation", point.propagation.as_str()),
        ]);
    }
    inner.volumes.emit(action, &point.name, &attributes);
}

fn image(inner: &Inner, container: &Container, record: &Record, index: usize) -> Result<PathBuf> {
    let mount = &record.mounts[index];
    let root = inner
        .store
        .snapshots()
        .mount_detached(&image_root(&record.id, index), Access::ReadOnly)?;
    if mount.subpath.is_empty() {
        return attach(container, &index.to_string(), root.as_fd());
    }
    // A path inside of something detached cannot be mounted on every kernel.
    let whole = attach(container, &format!("{index}-image"), root.as_fd())?;
    pin(container, index, inside(&whole, &mount.subpath)?.as_fd())
}

/// Opens a path inside a folder, whatever links are in it.
pub(super) fn inside(folder: &Path, path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let open = || -> rustix::io::Result<OwnedFd> {
        let folder = rustix::fs::open(folder, flags | OFlags::DIRECTORY, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&folder, path, flags, Mode::empty(), resolve)
    };
    open().map_err(|error| {
        Error::invalid(format!(
            "cannot access path {}: {}",
            folder.join(path).display(),
            corten_sys::fs::reason(&error.into())
        ))
    })
}

/// Mounts a held file or folder in the bundle.
fn pin(container: &Container, index: usize, source: BorrowedFd<'_>) -> Result<PathBuf> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let copy = rustix::mount::open_tree(source, "", flags).map_err(|e| Error::from(std::io::Error::from(e)))?;
    attach(container, &index.to_string(), copy.as_fd())
}

/// Mounts something detached in the bundle.
fn attach(container: &Container, name: &str, mount: BorrowedFd<'_>) -> Result<PathBuf> {
    let folder = container.bundle.join(FOLDER);
    corten_sys::fs::create_dir_all(&folder)?;
    let place = folder.join(name);
    let kind = rustix::fs::fstat(mount).map_err(std::io::Error::from)?.st_mode;
    match rustix::fs::FileType::from_raw_mode(kind) {
        rustix::fs::FileType::Directory => corten_sys::fs::create_dir_all(&place)?,
        _ => corten_sys::fs::write(&place, b"")?,
    }
    rustix::mount::move_mount(
        mount,
        "",
        rustix::fs::CWD,
        &place,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .map_err(|e| corten_sys::fs::with_path("mount", &place, e.into()))?;
    Ok(place)
}

/// Unmounts all that is in the bundle's folder of mounts.
fn unpin(folder: &Path) -> Result<()> {
    let Some(items) = corten_sys::fs::if_there(corten_sys::fs::read_dir(folder))? else {
        return Ok(());
    };
    for item in items {
        let place = item?.path();
        match rustix::mount::unmount(&place, UnmountFlags::DETACH) {
            // Nothing was mounted there yet.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(corten_sys::fs::with_path("unmount", &place, error.into()).into()),
        }
    }
    corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(folder))?;
    Ok(())
}
