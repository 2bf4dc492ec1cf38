//! A tree of files, held by a descriptor: no path leads out of it, whatever links it has.

use std::ffi::{CStr, CString};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{Error, Result};

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root of a tree.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

/// Who owns what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let root = rustix::fs::open(path, FOLDER, Mode::empty())
            .map_err(|errno| corten_sys::fs::with_path("open", path, errno.into()))?;
        Ok(Self(root))
    }

    pub(crate) fn of(root: OwnedFd) -> Self {
        Self(root)
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Opens a folder, through links.
    pub(crate) fn folder(&self, path: &str) -> Result<OwnedFd, Errno> {
        rustix::fs::openat2(&self.0, here(path), FOLDER, Mode::empty(), INSIDE)
    }

    /// What is at a path, links followed; none when nothing is.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Stat>> {
        match self.open_path(path)? {
            Some(found) => Ok(Some(rustix::fs::statat(found, "", AtFlags::EMPTY_PATH)?)),
            None => Ok(None),
        }
    }

    /// Opens what is at a path without reading it, links followed; none when nothing is.
    pub(crate) fn open_path(&self, path: &str) -> Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.0, here(path), flags, Mode::empty(), INSIDE) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn is_folder(&self, path: &str) -> Result<bool> {
        let found = self.find(path)?;
        Ok(found.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// Opens a regular file, through links.
    pub(crate) fn file(&self, path: &str) -> Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&self.0, here(path), flags, Mode::empty(), INSIDE)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::invalid(format!("/{path} is no file")));
        }
        Ok(file.into())
    }

    /// Reads a small file; nothing when it is not there or longer than the limit.
    pub(crate) fn text(&self, path: &str) -> String {
        const LIMIT: u64 = 8 << 20;
        let mut bytes = Vec::new();
        let read = self.file(path).map(|file| file.take(LIMIT).read_to_end(&mut bytes));
        if matches!(read, Ok(Ok(_))) {
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            String::new()
        }
    }

    /// Makes a folder and those above it that are not there; gives it open.
    pub(crate) fn make_folders(&self, path: &str, owner: Owner) -> Result<OwnedFd> {
        let mut at = rustix::fs::openat(&self.0, ".", FOLDER, Mode::empty())?;
        let mut so_far = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(part);
            at = match self.folder(&so_far) {
                Ok(folder) => folder,
                Err(Errno::NOENT) => make_folder(at.as_fd(), part, owner)
                    .map_err(|error| error.context(format!("cannot make /{so_far}")))?,
                Err(Errno::NOTDIR) => return Err(Error::invalid(format!("/{so_far} is no folder"))),
                Err(errno) => return Err(errno.into()),
            };
        }
        Ok(at)
    }
}

/// Makes a folder in an open one.
pub(crate) fn make_folder(
    parent: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    owner: Owner,
) -> Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    let folder = rustix::fs::openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
    rustix::fs::fchown(&folder, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    Ok(folder)
}

/// The names in an open folder, sorted.
pub(crate) fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What a name in an open folder is, links not followed; none when nothing is.
pub(crate) fn look(folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// A folder in an open one, which must be no link.
pub(crate) fn subfolder(folder: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    Ok(rustix::fs::openat(
        folder,
        name,
        FOLDER | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

fn here(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_do_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("root");
        corten_sys::fs::create_dir(&inside).unwrap();
        corten_sys::fs::write(folder.path().join("secret"), "x").unwrap();
        corten_sys::fs::create_dir(inside.join("d")).unwrap();
        corten_sys::fs::write(inside.join("d/f"), "f").unwrap();
        for (name, target) in [("out", "../secret"), ("abs", "/d/f"), ("up", "../../../d")] {
            rustix::fs::symlink(target, inside.join(name)).unwrap();
        }
        let root = Root::open(&inside).unwrap();
        assert!(root.find("out").unwrap().is_none());
        assert_eq!(root.text("abs"), "f");
        assert!(root.is_folder("up").unwrap());
        assert!(root.find("../secret").unwrap().is_none());
        root.make_folders("up/new/deep", Owner::default()).unwrap();
        assert!(inside.join("d/new/deep").is_dir());
        assert!(root.make_folders("d/f/x", Owner::default()).is_err());
    }
}
