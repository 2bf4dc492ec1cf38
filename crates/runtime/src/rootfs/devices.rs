//! Device nodes and the links in `/dev`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use corten_oci::runtime::Device;
use corten_sys::mount::Reach;
use rustix::fs::{AtFlags, Dev, FileType, Gid, Mode, Uid, chownat, makedev, mknodat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::detached::{copy_tree, put};
use super::place::{Shape, inside, make};
use crate::context::{Context as _, invalid};
use crate::error::Result;

/// How nodes come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// By mknod(2).
    Made,
    /// As bind mounts of the host's, where a user namespace forbids mknod(2).
    Bound,
}

/// Links that every container has (config-linux.md "Dev symbolic links"): name in `/dev`, target.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes the nodes and links. The file mode mask has to be 0.
pub(crate) fn set_up(root: BorrowedFd<'_>, devices: &[Device], nodes: Nodes) -> Result<()> {
    let dev = make(root, Path::new("dev"), Shape::Directory)?;
    for device in devices {
        let path = inside(Path::new(&device.path));
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(invalid(format!("device path {:?} names no file", device.path)));
        };
        let elsewhere: OwnedFd;
        let folder = if parent == Path::new("dev") {
            dev.as_fd()
        } else {
            elsewhere = make(root, parent, Shape::Directory)?;
            elsewhere.as_fd()
        };
        match nodes {
            Nodes::Made => make_node(folder, Path::new(name), device)?,
            Nodes::Bound => bind_node(root, &path, device)?,
        }
    }
    links(dev.as_fd())
}

fn make_node(folder: BorrowedFd<'_>, name: &Path, device: &Device) -> Result<()> {
    let naming = || format!("cannot make device node {:?}", device.path);
    let kind = file_type(device)?;
    let number = number(device, kind)?;
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777;
    match mknodat(folder, name, kind, Mode::from_raw_mode(mode), number) {
        Ok(()) => {}
        Err(Errno::EXIST) => return same_node(folder, name, device, kind, number),
        Err(errno) => return Err(errno).context(naming),
    }
    let (uid, gid) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    if (uid, gid) != (0, 0) {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(folder, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).context(naming)?;
    }
    Ok(())
}

fn file_type(device: &Device) -> Result<FileType> {
    match device.kind.as_str() {
        "c" | "u" => Ok(FileType::CharacterDevice),
        "b" => Ok(FileType::BlockDevice),
        "p" => Ok(FileType::Fifo),
        kind => Err(invalid(format!("device {:?}: unknown type {kind:?}", device.path))),
    }
}

fn number(device: &Device, kind: FileType) -> Result<Dev> {
    if kind == FileType::Fifo {
        return Ok(0);
    }
    let part = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    match (part(device.major), part(device.minor)) {
        (Some(major), Some(minor)) => Ok(makedev(major, minor)),
        _ => Err(invalid(format!(
            "device {:?}: invalid major or minor number",
            device.path
        ))),
    }
}

/// A node that is there serves if it is the one wanted.
fn same_node(folder: BorrowedFd<'_>, name: &Path, device: &Device, kind: FileType, number: Dev) -> Result<()> {
    let stat =
        statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).context(|| format!("cannot look at {:?}", device.path))?;
    if FileType::from_raw_mode(stat.st_mode) == kind && (number == 0 || stat.st_rdev == number) {
        return Ok(());
    }
    Err(invalid(format!(
        "cannot make device node {:?}: another file is there",
        device.path
    )))
}

fn bind_node(root: BorrowedFd<'_>, path: &Path, device: &Device) -> Result<()> {
    let naming = || format!("cannot bind device {:?}", device.path);
    let host = Path::new("/").join(path);
    let place = make(root, path, Shape::File)?;
    let node = copy_tree(&host, Reach::Mount).context(naming)?;
    put(node, place).context(naming)
}

fn links(dev: BorrowedFd<'_>) -> Result<()> {
    for (name, target) in LINKS {
        link(dev, name, target)?;
    }
    if corten_sys::fs::exists("/proc/kcore").unwrap_or(false) {
        link(dev, "core", "/proc/kcore")?;
    }
    // The image's own would be another instance's.
    match unlinkat(dev, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => link(dev, "ptmx", "pts/ptmx"),
        Err(errno) => Err(errno).context(|| "cannot replace \"/dev/ptmx\"".into()),
    }
}

fn link(dev: BorrowedFd<'_>, name: &str, target: &str) -> Result<()> {
    match symlinkat(target, dev, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).context(|| format!("cannot link \"/dev/{name}\"")),
    }
}
