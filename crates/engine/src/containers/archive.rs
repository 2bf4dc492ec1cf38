//! Files copied out of a container and into it (Docker API `/containers/{id}/archive`).
//!
//! What a copy sees is the container's own root, with its volumes and bind mounts over it, whether it
//! runs or not: a running one's root is taken out of its mount namespace without what is mounted on
//! it, a stopped one's is mounted where nobody sees it. Nothing in the container can lead a copy out
//! (`corten_store::View`).

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use corten_store::{Access, PathStat, UnpackOptions, View};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Container, Containers, Inner, files, mounts::clean, provide, record::Record, users};
use crate::{
    error::{Error, Kind, Result, blocking, on_thread},
    pipe::{Pieces, Reader, Writer},
    volumes::Held,
};

/// How an archive is unpacked into a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    /// Whether a file that would replace a folder, or a folder a file, is refused.
    pub keep_kinds: bool,
    /// Whether everything becomes the container's user's.
    pub users_own: bool,
}

impl Containers {
    /// Tells what is at a path of a container.
    ///
    /// # Errors
    /// `NotFound` for the container and the path; `Invalid` for an empty path.
    pub async fn path_stat(&self, name: &str, path: &str) -> Result<PathStat> {
        let container = self.find(name)?;
        let (inner, path, asked) = (Arc::clone(&self.0), absolute(path)?, path.to_owned());
        let name = name.to_owned();
        blocking(move || {
            let (_held, view) = inner.view(&container, Access::ReadOnly)?;
            view.stat(&path).map_err(|error| not_there(error, &asked, &name))
        })
        .await
    }

    /// Writes what is at a path of a container as a tar.
    ///
    /// # Errors
    /// As [`path_stat`](Self::path_stat), before the first piece.
    pub async fn pack(&self, name: &str, path: &str) -> Result<(PathStat, Pieces)> {
        let container = self.find(name)?;
        let (inner, path, asked) = (Arc::clone(&self.0), absolute(path)?, path.to_owned());
        let (held, name) = (Arc::clone(&container), name.to_owned());
        let (volumes, view, stat, path) = blocking(move || {
            let (volumes, view) = inner.view(&held, Access::ReadOnly)?;
            let stat = view.stat(&path).map_err(|error| not_there(error, &asked, &name))?;
            Ok((volumes, view, stat, path))
        })
        .await?;
        let (mut writer, pieces) = Writer::new();
        tokio::spawn(on_thread(move || {
            let result = view.pack(&path, &mut writer);
            drop((view, volumes));
            writer.finish(result.map_err(Into::into));
            Ok(())
        }));
        self.0.emit(&container, "archive-path", &[]);
        Ok((stat, pieces))
    }

    /// Unpacks a tar, plain or compressed, into a folder of a container. What came before an error
    /// stays.
    ///
    /// # Errors
    /// As [`path_stat`](Self::path_stat); `Invalid` for what is no folder, is read-only or is no tar.
    pub async fn unpack(&self, name: &str, path: &str, options: ExtractOptions, mut input: Reader) -> Result<()> {
        let container = self.find(name)?;
        let (inner, path, asked) = (Arc::clone(&self.0), absolute(path)?, path.to_owned());
        let (held, name) = (Arc::clone(&container), name.to_owned());
        // Two mounts of one writable folder would disturb each other: it is not started meanwhile. The
        // thread has the lock, as it goes on for a while when the client has left.
        let operation = Arc::clone(&container.operation).lock_owned().await;
        let runs = container.lock().record.state.running().is_some();
        let operation = (!runs).then_some(operation);
        on_thread(move || {
            let _operation = operation;
            let (_volumes, view) = inner.view(&held, Access::ReadWrite)?;
            let owner = match options.users_own {
                true => owner(&held.record(), &view)?,
                false => None,
            };
            let options = UnpackOptions {
                keep_kinds: options.keep_kinds,
                owner,
            };
            view.unpack(&path, &mut input, options)
                .map_err(|error| not_there(error, &asked, &name))
        })
        .await?;
        self.0.emit(&container, "extract-to-dir", &[]);
        Ok(())
    }
}

impl Inner {
    /// A container's files as its processes see them, and the volumes that stay mounted until the view
    /// is gone: whoever holds both drops the view first.
    fn view(&self, container: &Container, access: Access) -> Result<(Vec<Held>, View)> {
        let record = container.record();
        let pid = record.state.running().map(|running| running.pid);
        let root = self.root_below_mounts(container, access)?;
        let root_access = match record.host_config.readonly_rootfs {
            true => Access::ReadOnly,
            false => access,
        };
        let mut view = self.store.view(root, root_access)?;
        let own_files =
            ["resolv.conf", "hostname", "hosts"].map(|name| (format!("/etc/{name}"), container.folder.join(name)));
        for (destination, source) in own_files {
            if let Ok(source) = View::source(&source) {
                view.mount(&destination, source, root_access)?;
            }
        }
        let mut held = Vec::new();
        for (index, mount) in record.mounts.iter().enumerate() {
            match self.mounted(&record, index, pid, &mut held) {
                Ok(source) => {
                    let access = if mount.point.rw { access } else { Access::ReadOnly };
                    view.mount(&mount.point.destination, source, access)?;
                }
                Err(error) if mount.point.kind == "tmpfs" => {
                    tracing::debug!(
                        container = record.id,
                        error = error.report(),
                        "a tmpfs is not seen by a copy"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok((held, view))
    }

    /// What is mounted: a file or folder of the host, an image's root, or a running container's tmpfs.
    fn mounted(&self, record: &Record, index: usize, pid: Option<i32>, held: &mut Vec<Held>) -> Result<OwnedFd> {
        let mount = &record.mounts[index];
        let source = match mount.point.kind.as_str() {
            "tmpfs" => {
                let pid = pid.ok_or_else(|| Error::not_found("the container does not run"))?;
                return Ok(inside(files::root_of(pid)?.as_fd(), &mount.point.destination)?);
            }
            "image" => {
                let root = provide::image_root(&record.id, index);
                self.store.snapshots().open_root(&root, Access::ReadOnly)?
            }
            "volume" => {
                let volume = self.volumes.hold(&mount.point.name)?;
                let source = View::source(&volume.path)?;
                held.push(volume);
                source
            }
            _ => View::source(Path::new(&mount.point.source))?,
        };
        match mount.subpath.as_str() {
            "" => Ok(source),
            subpath => Ok(inside(source.as_fd(), subpath)?),
        }
    }

    /// A container's root, held, without what is mounted on it.
    pub(super) fn root_below_mounts(&self, container: &Container, access: Access) -> Result<OwnedFd> {
        let pid = container.lock().record.state.running().map(|running| running.pid);
        let Some(pid) = pid else {
            return Ok(self.store.snapshots().open_root(&container.id, access)?);
        };
        let path = format!("/proc/{pid}/ns/mnt");
        let named = |e: std::io::Error| corten_sys::fs::with_path("open", &path, e);
        let namespace = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let namespace = namespace.map_err(|e| named(e.into()))?;
        let root = corten_sys::mount::root_mount_of(namespace.as_fd()).map_err(named)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&root, ".", flags, Mode::empty()).map_err(|e| named(e.into()))?)
    }
}

fn inside(root: std::os::fd::BorrowedFd<'_>, path: &str) -> std::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )?)
}

/// Who the container's user is; none when it has none, so that owners stay as they are.
fn owner(record: &Record, view: &View) -> Result<Option<(u32, u32)>> {
    if record.config.user.is_empty() {
        return Ok(None);
    }
    let read = |path: &str| {
        let mut text = String::new();
        let file = view.open_file(path).ok()?;
        std::io::Read::read_to_string(&mut std::io::Read::take(file, 8 << 20), &mut text).ok()?;
        Some(text)
    };
    let accounts = read("/etc/passwd").unwrap_or_default();
    let groups = read("/etc/group").unwrap_or_default();
    let user = users::resolve(&record.config.user, &[], &accounts, &groups)?.user;
    Ok(Some((user.uid, user.gid)))
}

/// An absolute path without dots, that ends as it was written: with a slash, or with `/.`.
fn absolute(path: &str) -> Result<String> {
    if path.is_empty() {
        return Err(Error::invalid("bad parameter: 'path' cannot be empty"));
    }
    let mut clean = clean(path);
    let ends_with = |text: &str, end: char| text.ends_with(end);
    match path.rsplit('/').next() {
        Some(".") if ends_with(&clean, '/') => clean.push('.'),
        Some(".") => clean.push_str("/."),
        Some("") if !ends_with(&clean, '/') => clean.push('/'),
        _ => {}
    }
    Ok(clean)
}

/// The refusal that Docker's clients know.
fn not_there(error: corten_store::Error, path: &str, container: &str) -> Error {
    let error = Error::from(error);
    if error.kind() == Kind::NotFound {
        return Error::not_found(format!("Could not find the file {path} in container {container}"));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn paths_keep_their_ends() {
        let check = |path: &str, expected: &str| assert_eq!(absolute(path).unwrap(), expected, "{path}");
        check("a/../b", "/b");
        check("/a/", "/a/");
        check("/a/.", "/a/.");
        check("a/b/./", "/a/b/");
        check("/", "/");
        check(".", "/.");
        check("/..", "/");
        assert!(absolute("").is_err());
    }
}
