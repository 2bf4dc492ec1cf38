//! Places inside the container's root: found, and made where missing, without ever leaving it.
//!
//! Every look-up is one openat2(2) with `RESOLVE_IN_ROOT`, in which the kernel takes the root for
//! `/`, symbolic links and `..` included; what comes back is a descriptor, so that what was looked
//! at is what is then mounted on, whatever another process swaps in the meantime
//! (CVE-2019-19921, CVE-2021-30465, CVE-2023-27561, CVE-2024-45310).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::context::{Context as _, invalid};
use crate::error::Result;

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A folder.
    Directory,
    /// Anything else.
    File,
}

/// How many dangling links are followed to make what they point at.
const MOST_LINKS: u32 = 40;

/// Opens a path inside `root`, symbolic links resolved there.
pub(crate) fn open(root: BorrowedFd<'_>, path: impl AsRef<Path>, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    let path = inside(path.as_ref());
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // A rename or a mount elsewhere during the walk gives EAGAIN; the kernel asks to try again.
    for _ in 0..64 {
        match openat2(root, &path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens a path inside `root` only to refer to it.
pub(crate) fn find(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> std::result::Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH)
}

/// Returns a path without its leading slashes and with `.` and `..` resolved by their letters, as
/// runc cleans destinations; `.` for the root.
pub(crate) fn inside(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean.as_os_str().is_empty() {
        clean.push(".");
    }
    clean
}

/// Opens a place inside `root`, and makes it, with the folders above, when it isn't there.
pub(crate) fn make(root: BorrowedFd<'_>, path: &Path, shape: Shape) -> Result<OwnedFd> {
    make_linked(root, &inside(path), shape, 0)
}

fn make_linked(root: BorrowedFd<'_>, path: &Path, shape: Shape, links: u32) -> Result<OwnedFd> {
    let naming = || format!("cannot make mountpoint {:?}", Path::new("/").join(path));
    match find(root, path) {
        Err(Errno::NOENT) => {}
        result => return result.context(naming),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return find(root, path).context(naming);
    };
    let parent_fd = make_linked(root, parent, Shape::Directory, links)?;
    let made = match shape {
        Shape::Directory => mkdirat(&parent_fd, name, Mode::from_raw_mode(0o755)),
        Shape::File => openat(
            &parent_fd,
            name,
            OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY,
            Mode::from_raw_mode(0o755),
        )
        .map(drop),
    };
    match made {
        Ok(()) => find(root, path).context(naming),
        Err(Errno::EXIST) => behind_link(root, parent, name, &parent_fd, shape, links + 1),
        Err(errno) => Err(errno).context(naming),
    }
}

/// Makes what a dangling link points at.
fn behind_link(
    root: BorrowedFd<'_>,
    parent: &Path,
    name: &std::ffi::OsStr,
    parent_fd: &OwnedFd,
    shape: Shape,
    links: u32,
) -> Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = parent.join(name);
    if links > MOST_LINKS {
        return Err(invalid(format!("too many levels of symbolic links at {path:?}")));
    }
    let target = match readlinkat(parent_fd, name, Vec::new()) {
        Ok(target) => target,
        // Someone else has made it in the meantime.
        Err(Errno::INVAL) => return find(root, &path).context(|| format!("cannot open {path:?}")),
        Err(errno) => return Err(errno).context(|| format!("cannot read the link {path:?}")),
    };
    let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
    // `join` of an absolute target starts again from the root.
    make_linked(root, &inside(&parent.join(target)), shape, links)
}

/// Tells what a descriptor refers to.
pub(crate) fn shape(fd: impl AsFd) -> Result<Shape> {
    let stat = fstat(fd).context(|| "cannot look at a mount's source".into())?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Shape::Directory,
        _ => Shape::File,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_inside_the_root() {
        for (given, clean) in [
            ("/", "."),
            ("", "."),
            ("/../..", "."),
            ("/a/../../b/./c/", "b/c"),
            ("a//b", "a/b"),
        ] {
            assert_eq!(inside(Path::new(given)), Path::new(clean), "{given}");
        }
    }

    fn folder() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(folder.path(), OFlags::PATH, Mode::empty()).unwrap();
        (folder, fd)
    }

    #[test]
    fn links_never_lead_outside() {
        let (folder, root) = folder();
        corten_sys::fs::symlink("/etc", folder.path().join("absolute")).unwrap();
        corten_sys::fs::symlink("../../../../etc", folder.path().join("relative")).unwrap();
        corten_sys::fs::symlink("/proc/self/root", folder.path().join("magic")).unwrap();
        for path in ["absolute/x", "/relative/y/z", "magic/w"] {
            make(root.as_fd(), Path::new(path), Shape::Directory).unwrap();
        }
        assert!(folder.path().join("etc/x").is_dir());
        assert!(folder.path().join("etc/y/z").is_dir());
        assert!(folder.path().join("proc/self/root/w").is_dir());
    }

    #[test]
    fn link_loops_end() {
        let (folder, root) = folder();
        corten_sys::fs::symlink("b", folder.path().join("a")).unwrap();
        corten_sys::fs::symlink("a", folder.path().join("b")).unwrap();
        assert!(make(root.as_fd(), Path::new("a"), Shape::File).is_err());
    }

    #[test]
    fn files_are_made_with_their_folders() {
        let (folder, root) = folder();
        make(root.as_fd(), Path::new("/x/y"), Shape::File).unwrap();
        assert!(folder.path().join("x/y").is_file());
        make(root.as_fd(), Path::new("/x/y"), Shape::File).unwrap();
    }
}
