//! The folders of a layer that is being unpacked, held open.
//!
//! A path is opened beneath the layer's root without following symbolic links. Where one stands in
//! the way, the path is resolved as if the layer were `/` and the folder's real path is asked of the
//! kernel, so that what is remembered about files is always said in real paths.

use std::collections::HashMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::Result;

/// Folders kept open; well below the usual limit of descriptors, for many layers at once.
const KEPT: usize = 64;
/// Symbolic links followed for one path, as Linux's own limit.
const MAX_LINKS: u32 = 40;

/// A held folder and its real path in the layer.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) fd: OwnedFd,
    pub(super) path: Vec<u8>,
}

impl Folder {
    /// The real path of a name in it.
    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            name.to_vec()
        } else {
            [&self.path, name].join(&b'/')
        }
    }

    /// A path to a name in it for calls that take no descriptor.
    pub(super) fn proc_path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", self.fd.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        path
    }
}

/// Opens and makes folders below a root.
#[derive(Debug)]
pub(super) struct Folders {
    root: Rc<Folder>,
    kept: HashMap<Vec<u8>, Rc<Folder>>,
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folders {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root: Rc::new(Folder {
                fd: root,
                path: Vec::new(),
            }),
            kept: HashMap::new(),
        }
    }

    /// Forgets what is held, because a path may mean something else now.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    /// The folder at a clean path; it and those above it are made if they are not there.
    pub(super) fn open(&mut self, path: &[u8]) -> Result<Rc<Folder>> {
        self.open_through(path, MAX_LINKS)
    }

    /// The folder at a clean path, if it is there.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Rc<Folder>>> {
        match self.opened(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The folder at a real path, if it is there and still a folder.
    pub(super) fn find_plain(&mut self, path: &[u8]) -> Result<Option<Rc<Folder>>> {
        match self.without_links(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A folder that is known to be in another, which is no symbolic link.
    pub(super) fn child(&mut self, parent: &Folder, name: &[u8]) -> Result<Rc<Folder>> {
        let path = parent.join(name);
        if let Some(folder) = self.kept.get(&path) {
            return Ok(Rc::clone(folder));
        }
        let fd = rustix::fs::openat(&parent.fd, name, FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(self.keep(path.clone(), Folder { fd, path }))
    }

    fn open_through(&mut self, path: &[u8], links: u32) -> Result<Rc<Folder>> {
        match self.opened(path) {
            Ok(folder) => Ok(folder),
            Err(Errno::NOENT) => self.make(path, links),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a folder that an entry lies in and no entry stands for. One behind a symbolic link
    /// whose target is not there is made where the link points.
    fn make(&mut self, path: &[u8], links: u32) -> Result<Rc<Folder>> {
        let (above, name) = split(path);
        let parent = self.open_through(above, links)?;
        match rustix::fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                let folder = self.child(&parent, name)?;
                rustix::fs::fchmod(&folder.fd, Mode::from_raw_mode(0o755))?;
                Ok(folder)
            }
            Err(Errno::EXIST) => {
                let links = links.checked_sub(1).ok_or(Errno::LOOP)?;
                let target = rustix::fs::readlinkat(&parent.fd, name, Vec::new())?;
                let target = resolve(&parent.path, target.as_bytes());
                let folder = self.open_through(&target, links)?;
                Ok(folder)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn opened(&mut self, path: &[u8]) -> Result<Rc<Folder>, Errno> {
        match self.without_links(path) {
            Err(Errno::LOOP) => self.as_root(path),
            other => other,
        }
    }

    fn without_links(&mut self, path: &[u8]) -> Result<Rc<Folder>, Errno> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some(folder) = self.kept.get(path) {
            return Ok(Rc::clone(folder));
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let fd = rustix::fs::openat2(&self.root.fd, path, FLAGS, Mode::empty(), resolve)?;
        Ok(self.keep(
            path.to_vec(),
            Folder {
                fd,
                path: path.to_vec(),
            },
        ))
    }

    /// Follows symbolic links inside the layer. Not remembered: the real path is, when it is used.
    fn as_root(&mut self, path: &[u8]) -> Result<Rc<Folder>, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let fd = rustix::fs::openat2(&self.root.fd, path, FLAGS, Mode::empty(), resolve)?;
        let real = real_path(&fd)?;
        let root = real_path(&self.root.fd)?;
        let rest = real.strip_prefix(&root).map_err(|_| Errno::XDEV)?;
        let path = rest.as_os_str().as_encoded_bytes().to_vec();
        Ok(Rc::new(Folder { fd, path }))
    }

    fn keep(&mut self, key: Vec<u8>, folder: Folder) -> Rc<Folder> {
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let folder = Rc::new(folder);
        self.kept.insert(key, Rc::clone(&folder));
        folder
    }
}

fn real_path(fd: &OwnedFd) -> Result<PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt as _;
    let path = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(path.into_bytes())))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// What a symbolic link in a folder points to, as if the layer were `/`: `..` stops at the root.
fn resolve(folder: &[u8], target: &[u8]) -> Vec<u8> {
    let base = if target.starts_with(b"/") { &[][..] } else { folder };
    let mut parts: Vec<&[u8]> = base
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}
