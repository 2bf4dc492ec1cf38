//! The walk: from a path of a container to a held file or folder.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{View, held};
use crate::error::{Error, Result};

/// How many links a path may lead through; Linux's own limit.
const LINKS: u32 = 40;

/// File systems whose files are the kernel's, not a container's (`magic.h`).
const KERNEL: [i64; 9] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
    0x1980_0202, // mqueue
];

/// What becomes of a link at a path's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It is followed.
    Follow,
    /// It is what was asked for.
    Keep,
}

/// A file or folder, held without being opened (`O_PATH`).
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) fd: Rc<OwnedFd>,
    /// Its path in the container, without links and without a slash at the end; empty for the root.
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) read_only: bool,
}

/// How far a walk came.
pub(super) struct Walked {
    /// From the root to where it ended.
    folders: Vec<Spot>,
    /// Names that are not there; the first would be in the last folder.
    pub(super) missing: Vec<Vec<u8>>,
}

impl Walked {
    /// Where it ended.
    pub(super) fn end(&self) -> &Spot {
        self.folders.last().expect("a walk begins at the root")
    }
}

impl Spot {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind() == FileType::Directory
    }

    pub(super) fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// Opens what is held. Not for links.
    pub(super) fn reopen(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// What a link says.
    pub(super) fn target(&self) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, "", Vec::new())?.into_bytes())
    }

    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        [&self.path, &b"/"[..], name].concat()
    }
}

impl View {
    pub(super) fn root(&self) -> Result<Spot, Errno> {
        Ok(Spot {
            stat: rustix::fs::fstat(&self.root)?,
            fd: Rc::new(held(self.root.as_fd())?),
            path: Vec::new(),
            read_only: self.root_read_only,
        })
    }

    /// What has a name in a folder: a mount's source, or what the folder holds; no link is followed.
    pub(super) fn child(&self, folder: &Spot, name: &[u8]) -> Result<Spot, Errno> {
        let path = folder.join(name);
        if let Some(mount) = self.mounted_at(&path) {
            return Ok(Spot {
                stat: rustix::fs::fstat(&mount.source)?,
                fd: Rc::new(held(mount.source.as_fd())?),
                path,
                read_only: mount.read_only,
            });
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&folder.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if self.mounts_below(&path).next().is_some() => return self.nothing(path),
            opened => opened?,
        };
        let stat = rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH)?;
        if stat.st_dev != folder.stat.st_dev && is_kernels(&fd) {
            return self.nothing(path);
        }
        Ok(Spot {
            fd: Rc::new(fd),
            path,
            stat,
            read_only: folder.read_only,
        })
    }

    /// An empty folder that nobody can fill.
    fn nothing(&self, path: Vec<u8>) -> Result<Spot, Errno> {
        Ok(Spot {
            stat: rustix::fs::fstat(&self.empty)?,
            fd: Rc::new(held(self.empty.as_fd())?),
            path,
            read_only: true,
        })
    }

    /// Goes a path as far as it is there.
    ///
    /// # Errors
    /// `ENOTDIR` where a file is on the way, `ELOOP` for too many links.
    pub(super) fn walk(&self, path: &[u8], last: Last) -> Result<Walked, Errno> {
        let mut folders = vec![self.root()?];
        let mut todo = parts(path);
        // A slash or a dot at the end asks for a folder, as the kernel has it.
        let folder = matches!(path.rsplit(|byte| *byte == b'/').next(), Some(b"" | b"."));
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            let here = folders.last().expect("a walk begins at the root");
            if !here.is_folder() {
                return Err(Errno::NOTDIR);
            }
            if name == b".." {
                if folders.len() > 1 {
                    folders.pop();
                }
                continue;
            }
            let spot = match self.child(here, &name) {
                Err(Errno::NOENT) => {
                    todo.push_front(name);
                    return Ok(Walked {
                        folders,
                        missing: todo.into(),
                    });
                }
                found => found?,
            };
            if spot.kind() == FileType::Symlink && (last == Last::Follow || folder || !todo.is_empty()) {
                links += 1;
                if links > LINKS {
                    return Err(Errno::LOOP);
                }
                let target = spot.target()?;
                if target.starts_with(b"/") {
                    folders.truncate(1);
                }
                for part in parts(&target).into_iter().rev() {
                    todo.push_front(part);
                }
                continue;
            }
            folders.push(spot);
        }
        let missing = Vec::new();
        let walked = Walked { folders, missing };
        if folder && !walked.end().is_folder() {
            return Err(Errno::NOTDIR);
        }
        Ok(walked)
    }

    /// What is at a path.
    ///
    /// # Errors
    /// `NotFound` when nothing is.
    pub(super) fn find(&self, path: &[u8], last: Last) -> Result<Spot> {
        let walked = self
            .walk(path, last)
            .map_err(|errno| Error::from(errno).context(format!("lstat {}", String::from_utf8_lossy(path))))?;
        if walked.missing.is_empty() {
            return Ok(walked.end().clone());
        }
        let path = String::from_utf8_lossy(path);
        Err(Error::not_found(format!("{path}: no such file or directory")))
    }

    /// Where a path leads when all links are followed as far as they go.
    pub(super) fn evaluate(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let walked = self.walk(path, Last::Follow)?;
        let mut end = walked.end().path.clone();
        for name in &walked.missing {
            match name.as_slice() {
                b".." => {
                    let cut = end.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    end.truncate(cut);
                }
                name => {
                    end.push(b'/');
                    end.extend_from_slice(name);
                }
            }
        }
        if end.is_empty() {
            end.push(b'/');
        }
        Ok(end)
    }
}

fn parts(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}

fn is_kernels(fd: &OwnedFd) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|found| {
        #[expect(clippy::useless_conversion, reason = "the type differs between architectures")]
        let kind = i64::from(found.f_type);
        KERNEL.contains(&kind)
    })
}
