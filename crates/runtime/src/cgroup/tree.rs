//! Folders of a hierarchy: making, listing and removing them.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use corten_sys::fs;
use rustix::io::Errno;

use super::setting::is;
use crate::error::{Error, Kind, Result};

/// How long a folder may stay busy after its last process has gone.
const REMOVAL: Duration = Duration::from_secs(5);

/// Checks the name of a cgroup and makes it relative to a mount point.
///
/// # Errors
/// `Unsupported` for systemd's `slice:prefix:name`, `Invalid` for the root and for paths that climb.
pub(super) fn relative(path: &Path) -> Result<PathBuf> {
    let text = path.to_string_lossy();
    if !path.is_absolute() && text.split(':').count() == 3 {
        let message = format!("cannot use cgroup \"{text}\": the systemd cgroup driver is not supported");
        return Err(
            Error::new(Kind::Unsupported, message).with_hint("use the cgroupfs driver: a path such as /corten/NAME")
        );
    }
    let invalid = || Error::new(Kind::Invalid, format!("invalid cgroup path \"{text}\""));
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(invalid()),
        }
    }
    if relative.as_os_str().is_empty() {
        return Err(invalid());
    }
    Ok(relative)
}

/// Makes a folder and, below `mount`, its parents; returns whether the folder is new.
pub(super) fn create(mount: &Path, folder: &Path) -> Result<bool> {
    match fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if is(&error, Errno::EXIST) => Ok(false),
        Err(error) if is(&error, Errno::NOENT) && folder != mount => {
            if let Some(parent) = folder.parent() {
                create(mount, parent)?;
            }
            fs::create_dir(folder)
                .map(|()| true)
                .or_else(|error| match is(&error, Errno::EXIST) {
                    true => Ok(false),
                    false => Err(cannot_create(folder, error)),
                })
        }
        Err(error) => Err(cannot_create(folder, error)),
    }
}

fn cannot_create(folder: &Path, error: io::Error) -> Error {
    let message = format!("cannot create cgroup \"{}\"", folder.display());
    Error::new(Kind::Internal, message).with_source(error)
}

/// The processes in a folder and below it, as this process's PID namespace counts, in order.
pub(super) fn pids(folder: &Path) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    collect(folder, &mut pids).map_err(|error| {
        let message = format!("cannot list the processes of cgroup \"{}\"", folder.display());
        Error::new(Kind::Internal, message).with_source(error)
    })?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn collect(folder: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
    // A folder that goes away while it is read has no processes, and neither has a threaded one
    // (EOPNOTSUPP), whose processes its domain lists.
    let gone = |error: &io::Error| is(error, Errno::NOENT) || is(error, Errno::NODEV) || is(error, Errno::OPNOTSUPP);
    match fs::read_to_string(folder.join("cgroup.procs")) {
        Ok(text) => pids.extend(
            text.lines()
                .filter_map(|line| line.parse().ok())
                .filter(|&pid: &i32| pid > 0),
        ),
        Err(error) if gone(&error) => {}
        Err(error) => return Err(error),
    }
    children(folder)?.iter().try_for_each(|child| collect(child, pids))
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(entries) = fs::if_there(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// Removes a folder and those below it; none is fine.
///
/// A cgroup stays busy for a moment after its last process has been reaped.
pub(super) fn remove(folder: &Path) -> Result<()> {
    let deadline = Instant::now() + REMOVAL;
    remove_until(folder, deadline).map_err(|error| {
        let busy = is(&error, Errno::BUSY);
        let kind = if busy { Kind::Conflict } else { Kind::Internal };
        let why = if busy { ": it still has processes" } else { "" };
        let message = format!("cannot remove cgroup \"{}\"{why}", folder.display());
        Error::new(kind, message).with_source(error)
    })
}

fn remove_until(folder: &Path, deadline: Instant) -> io::Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(folder) {
            Err(error) if is(&error, Errno::NOENT) => return Ok(()),
            Err(error) if is(&error, Errno::BUSY) || is(&error, Errno::NOTEMPTY) => {
                for child in children(folder)? {
                    remove_until(&child, deadline)?;
                }
                if Instant::now() >= deadline {
                    return Err(error);
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_mount_point() {
        for (path, expected) in [("/corten/a", "corten/a"), ("corten/a", "corten/a"), ("/a//./b/", "a/b")] {
            assert_eq!(relative(Path::new(path)).unwrap(), Path::new(expected));
        }
        for path in ["", "/", "/a/../b", ".."] {
            assert_eq!(relative(Path::new(path)).unwrap_err().kind(), Kind::Invalid, "{path}");
        }
        let error = relative(Path::new("system.slice:corten:a")).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("not supported"));
    }

    #[test]
    fn makes_and_removes_nested_folders() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b/c");
        assert!(create(base.path(), &folder).unwrap());
        assert!(!create(base.path(), &folder).unwrap());
        remove(&base.path().join("a")).unwrap();
        remove(&base.path().join("a")).unwrap();
        assert!(!fs::exists(base.path().join("a")).unwrap());
    }
}
