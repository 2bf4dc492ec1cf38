//! Files of a container's root that are read while it does not run, and the three that are made for it.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use corten_oci::runtime::Mount;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::error::Result;

/// The longest file that is read whole, in bytes.
const LIMIT: usize = 8 << 20;

/// Reads a regular file of a root that is not mounted, layer by layer from the top as overlayfs
/// would: `folder` and `name` below it, such as `etc` and `passwd`.
///
/// Returns none when there is no such file, or when a link would have to be followed through
/// several layers, which the files it is meant for never need.
pub(crate) fn read_unmounted(rootfs: &[Mount], folder: &str, name: &str) -> Option<String> {
    for layer in layers(rootfs) {
        let Ok(root) = open(&layer, OFlags::PATH | OFlags::DIRECTORY) else {
            continue;
        };
        let Ok(parent) = stat(&root, folder) else { continue };
        if FileType::from_raw_mode(parent.st_mode) != FileType::Directory {
            return None;
        }
        match stat(&root, &format!("{folder}/{name}")) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
                return read_in_root(&root, &format!("{folder}/{name}"));
            }
            // A whiteout, or something that nobody should read.
            Ok(_) => return None,
            Err(_) if opaque(&layer.join(folder)) => return None,
            Err(_) => {}
        }
    }
    None
}

/// The folders of an overlay, the topmost first; other mounts have none.
fn layers(rootfs: &[Mount]) -> Vec<PathBuf> {
    let Some(overlay) = rootfs.iter().find(|mount| mount.kind.as_deref() == Some("overlay")) else {
        return Vec::new();
    };
    let with = |prefix: &'static str| {
        overlay
            .options
            .iter()
            .filter_map(move |option| option.strip_prefix(prefix))
    };
    with("upperdir=").chain(with("lowerdir+=")).map(PathBuf::from).collect()
}

fn open(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

fn stat(root: &OwnedFd, path: &str) -> rustix::io::Result<Stat> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
    )?;
    rustix::fs::statat(&file, "", AtFlags::EMPTY_PATH)
}

fn opaque(folder: &Path) -> bool {
    let mut value = [0_u8; 1];
    matches!(
        rustix::fs::lgetxattr(folder, "trusted.overlay.opaque", &mut value),
        Ok(1)
    ) && value == *b"y"
}

/// Reads a file below a held root, whatever links it is reached by; none when it cannot be read.
pub(crate) fn read_in_root(root: impl AsFd, path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).ok()?;
    let metadata = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(metadata.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    let mut reader = std::io::Read::take(std::fs::File::from(file), LIMIT as u64);
    std::io::Read::read_to_end(&mut reader, &mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The root of a running process, held.
pub(crate) fn root_of(pid: i32) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| corten_sys::fs::with_path("open", path, e.into()).into())
}
