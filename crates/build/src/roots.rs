//! A tree of files, held by a descriptor: no path leads out of it, whatever links it has.

use std::ffi::{CStr, CString};
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

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
            return Err(Error::invalid(format!(
                "/{path} is neither a file nor a folder: a pipe, socket or device is copied with the folder that has it"
            )));
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

    /// Where what is at a path really is, from the root: the same unless links lead there; none when nothing is.
    pub(crate) fn real(&self, path: &str) -> Result<Option<String>> {
        let Some(found) = self.open_path(path)? else {
            return Ok(None);
        };
        let (root, place) = (place(self.0.as_fd())?, place(found.as_fd())?);
        let below = place
            .strip_prefix(&root)
            .map(|below| below.to_string_lossy().into_owned());
        Ok(below.ok())
    }

    /// The path to which links lead from a path, whether anything is there or not; itself free of links.
    pub(crate) fn leads(&self, path: &str) -> Result<String> {
        let mut so_far: Vec<String> = Vec::new();
        let mut rest = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                so_far.pop();
                continue;
            }
            let Some(target) = self.link(&so_far.join("/"), &part)? else {
                so_far.push(part);
                continue;
            };
            links += 1;
            if links > LINKS {
                return Err(Error::invalid(format!("/{path}: its links lead in a circle")));
            }
            if target.starts_with('/') {
                so_far.clear();
            }
            rest.extend(parts(&target));
        }
        Ok(so_far.join("/"))
    }

    /// Where a link in a folder leads; none when that name is no link.
    fn link(&self, folder: &str, name: &str) -> Result<Option<String>> {
        let open = match self.folder(folder) {
            Ok(open) => open,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(Error::from(errno).context(format!("cannot open /{folder}"))),
        };
        match rustix::fs::readlinkat(open, name, Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::from(errno).context(format!("cannot look at /{folder}/{name}"))),
        }
    }

    /// Makes a folder and those above it that are not there; gives it open. Links are followed, also to where nothing
    /// is yet.
    pub(crate) fn make_folders(&self, path: &str, owner: Owner) -> Result<OwnedFd> {
        let mut at = self.folder("")?;
        let mut so_far = String::new();
        for part in self.leads(path)?.split('/').filter(|part| !part.is_empty()) {
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(part);
            at = match self.folder(&so_far) {
                Ok(folder) => folder,
                Err(Errno::NOENT) => make_folder(at.as_fd(), part, owner)
                    .map_err(|error| error.context(format!("cannot make /{so_far}")))?,
                Err(Errno::NOTDIR) => return Err(Error::invalid(format!("/{so_far} is no folder"))),
                Err(errno) => return Err(Error::from(errno).context(format!("cannot open /{so_far}"))),
            };
        }
        Ok(at)
    }
}

/// The most links on a way, as the kernel has it (path_resolution(7)).
const LINKS: usize = 40;

/// The parts of a path, the last one first.
fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.rev().map(str::to_owned).collect()
}

/// The path of something open.
fn place(open: BorrowedFd<'_>) -> Result<PathBuf> {
    Ok(corten_sys::fs::read_link(format!(
        "/proc/self/fd/{}",
        open.as_raw_fd()
    ))?)
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
        assert_eq!(root.real("up/f").unwrap().as_deref(), Some("d/f"));
        assert_eq!(root.real("out").unwrap(), None);
    }

    #[test]
    fn folders_are_made_where_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("root");
        corten_sys::fs::create_dir_all(inside.join("d")).unwrap();
        for (name, target) in [
            ("later", "/not/yet"),
            ("d/beside", "../other/./x"),
            ("away", "../../../../outside"),
            ("circle", "circle2/x"),
            ("circle2", "circle/x"),
        ] {
            rustix::fs::symlink(target, inside.join(name)).unwrap();
        }
        let root = Root::open(&inside).unwrap();
        for (path, made) in [
            ("later/deep", "not/yet/deep"),
            ("d/beside", "other/x"),
            ("away/y", "outside/y"),
        ] {
            root.make_folders(path, Owner::default()).unwrap();
            assert!(inside.join(made).is_dir(), "{path}");
        }
        assert!(!folder.path().join("outside").exists());
        let error = root.make_folders("circle/y", Owner::default()).unwrap_err();
        assert!(error.to_string().contains("circle"), "{error}");
    }
}
