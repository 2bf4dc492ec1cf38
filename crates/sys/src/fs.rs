//! Files by path, with the operation and the path in every error, and the two ways to write a
//! record: atomically (safe against a crash of ours) and durably (safe against power loss).
//!
//! `std::fs` says `No such file or directory` and leaves the reader to guess which one; the
//! functions here say `open /run/x: no such file or directory`. The rest of the workspace uses
//! these and not `std::fs` (clippy's `disallowed-methods` keeps it so).

#![expect(clippy::disallowed_methods, reason = "this module is what the others use instead")]

mod queue;

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, ReadDir};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use queue::SyncQueue;

/// What failed on which path; the inner error of every [`io::Error`] of this module.
#[derive(Debug)]
pub struct PathError {
    /// The operation, in the system's words (`open`, `mkdir`, `rename`).
    pub op: &'static str,
    /// The path it failed on.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.op, self.path.display(), reason(&self.source))
    }
}

// No `source()`: the text above already holds the reason, and the chain is printed joined.
impl std::error::Error for PathError {}

/// The system's reason in lower case and without Rust's `(os error N)`.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_none() {
        return text;
    }
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The errno of an error, looking inside a [`PathError`].
#[must_use]
pub fn raw_os_error(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| {
        let inner = error.get_ref()?.downcast_ref::<PathError>()?;
        raw_os_error(&inner.source)
    })
}

/// Puts the operation and the path into an error, keeping its kind and errno reachable.
pub fn with_path(op: &'static str, path: impl AsRef<Path>, source: io::Error) -> io::Error {
    let path = path.as_ref().to_path_buf();
    io::Error::new(source.kind(), PathError { op, path, source })
}

/// Calls `action` with the path and names both in its error.
fn named<P: AsRef<Path>, T>(op: &'static str, path: P, action: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = path.as_ref();
    action(path).map_err(|error| with_path(op, path, error))
}

/// Reads a whole file.
///
/// # Errors
/// The system's, with the path.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    named("open", path, |p| fs::read(p))
}

/// Reads a whole file that must be UTF-8.
///
/// # Errors
/// The system's, or `InvalidData`, with the path.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    named("open", path, |p| fs::read_to_string(p))
}

/// Writes a whole file in place. A crash may leave half of it: records go through [`write_atomic`].
///
/// # Errors
/// The system's, with the path.
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    named("write", path, |p| fs::write(p, bytes))
}

/// Opens a file for reading.
///
/// # Errors
/// The system's, with the path.
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    named("open", path, |p| File::open(p))
}

/// Makes a file, or empties the one that is there, for writing.
///
/// # Errors
/// The system's, with the path.
pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
    named("create", path, |p| File::create(p))
}

/// Opens a file with the given options.
///
/// # Errors
/// The system's, with the path.
pub fn open_with(options: &OpenOptions, path: impl AsRef<Path>) -> io::Result<File> {
    named("open", path, |p| options.open(p))
}

/// Makes one folder.
///
/// # Errors
/// The system's, with the path.
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    named("mkdir", path, |p| fs::create_dir(p))
}

/// Makes a folder and those above it; one that is there already is no error.
///
/// # Errors
/// The system's, with the path.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    named("mkdir", path, |p| fs::create_dir_all(p))
}

/// As [`create_dir_all`], with the mode (before the umask) of the folders it makes.
///
/// # Errors
/// The system's, with the path.
pub fn create_dir_all_mode(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    named("mkdir", path, |p| {
        DirBuilder::new().recursive(true).mode(mode).create(p)
    })
}

/// Removes a file or a symbolic link.
///
/// # Errors
/// The system's, with the path.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    named("unlink", path, |p| fs::remove_file(p))
}

/// Removes an empty folder.
///
/// # Errors
/// The system's, with the path.
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    named("rmdir", path, |p| fs::remove_dir(p))
}

/// Removes a folder and what is in it; symbolic links are not followed.
///
/// # Errors
/// The system's, with the path.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    named("rm -r", path, |p| fs::remove_dir_all(p))
}

/// Renames a file or folder, replacing a file of the new name.
///
/// # Errors
/// The system's, with the old path.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    named("rename", from, |p| fs::rename(p, to))
}

/// Copies a file's bytes and permissions; returns the number of bytes.
///
/// # Errors
/// The system's, with the old path.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    named("copy", from, |p| fs::copy(p, to))
}

/// Makes the symbolic link `link` that says `target`.
///
/// # Errors
/// The system's, with the link's path.
pub fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    named("symlink", link, |p| std::os::unix::fs::symlink(target, p))
}

/// Makes `link` another name of the file `original`.
///
/// # Errors
/// The system's, with the link's path.
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    named("link", link, |p| fs::hard_link(original, p))
}

/// What a symbolic link says.
///
/// # Errors
/// The system's, with the path.
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    named("readlink", path, |p| fs::read_link(p))
}

/// A file's metadata, following symbolic links.
///
/// # Errors
/// The system's, with the path.
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    named("stat", path, |p| fs::metadata(p))
}

/// A file's own metadata, following no symbolic link at its end.
///
/// # Errors
/// The system's, with the path.
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    named("lstat", path, |p| fs::symlink_metadata(p))
}

/// The entries of a folder, in the system's order.
///
/// # Errors
/// The system's, with the path.
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    named("open", path, |p| fs::read_dir(p))
}

/// Sets permissions.
///
/// # Errors
/// The system's, with the path.
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    named("chmod", path, |p| fs::set_permissions(p, permissions))
}

/// Sets permissions by their number.
///
/// # Errors
/// The system's, with the path.
pub fn set_mode(path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
    set_permissions(path, Permissions::from_mode(mode))
}

/// The absolute path without symbolic links and dots.
///
/// # Errors
/// The system's, with the path.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    named("realpath", path, |p| fs::canonicalize(p))
}

/// Whether something is there (a dangling symbolic link counts). Unlike `Path::exists`, an
/// error other than "not there" is one.
///
/// # Errors
/// The system's, with the path, except not found.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Turns "not found" into `None`.
///
/// # Errors
/// Every other error is passed on.
pub fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Flushes a file's or folder's contents to the disk (`fsync(2)`).
///
/// # Errors
/// The system's, with the path.
pub fn sync(path: impl AsRef<Path>) -> io::Result<()> {
    named("fsync", path, |p| File::open(p)?.sync_all())
}

/// Asks the kernel to start writing part of a file to the disk (`sync_file_range(2)`), so that a sync later
/// finds little left. It is advice: nothing is on the disk when this returns, and errors mean nothing.
pub fn start_writing(file: &File, offset: u64, length: u64) {
    use std::os::fd::AsRawFd as _;
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    // SAFETY: the call takes a descriptor, which `file` keeps open, and integers.
    unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Replaces a file as a whole, with mode 0600 (before the umask): readers, and we after a crash
/// of ours, see the old or the new bytes. Without fsync: register the path with a [`SyncQueue`]
/// or use [`write_durable`] where power loss matters.
///
/// # Errors
/// The system's, with the path. Nothing is left of the temporary file.
pub fn write_atomic(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    replace(path.as_ref(), bytes.as_ref(), 0o600, Durability::PageCache)
}

/// As [`write_atomic`], with a mode (before the umask).
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_mode(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
    replace(path.as_ref(), bytes.as_ref(), mode, Durability::PageCache)
}

/// Replaces a file as a whole and returns when it is on the disk: temporary file, fsync, rename,
/// fsync of the folder. Takes some 10 ms; keep it off hot paths.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_durable(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    replace(path.as_ref(), bytes.as_ref(), 0o600, Durability::Disk)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    PageCache,
    Disk,
}

fn replace(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, bytes, mode, durability).and_then(|()| rename(&temporary, path));
    if let Err(error) = written {
        // The first error is the one to tell; the temporary file may not even be there.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    match (durability, path.parent()) {
        (Durability::Disk, Some(folder)) => sync(if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        }),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    named("write", path, |p| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(p)?;
        file.write_all(bytes)?;
        if durability == Durability::Disk {
            file.sync_all()
        } else {
            Ok(())
        }
    })
}

/// `folder/.name.tmp-PID-N`: in the same folder, so that rename is atomic, and never a name that
/// another thread or process uses.
fn temporary_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or(OsStr::new("file"));
    let mut temporary = Vec::with_capacity(name.len() + 32);
    temporary.push(b'.');
    temporary.extend_from_slice(name.as_bytes());
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    temporary.extend_from_slice(format!(".tmp-{}-{number}", std::process::id()).as_bytes());
    path.with_file_name(OsStr::from_bytes(&temporary))
}

/// Whether a file name is that of a temporary file of [`write_atomic`], which a crash can leave.
#[must_use]
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") && name.windows(5).any(|part| part == b".tmp-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("corten-fs-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("temp dir");
        folder
    }

    #[test]
    fn errors_name_operation_and_path() {
        let error = read("/nonexistent/file").expect_err("not there");
        assert_eq!(error.to_string(), "open /nonexistent/file: no such file or directory");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(raw_os_error(&error), Some(libc::ENOENT));
    }

    #[test]
    fn atomic_and_durable_replace_and_leave_nothing() {
        let folder = scratch("replace");
        let path = folder.join("record");
        write_atomic(&path, b"one").expect("write");
        write_durable(&path, b"two").expect("write");
        assert_eq!(read(&path).expect("read"), b"two");
        assert_eq!(read_dir(&folder).expect("list").count(), 1);
        write_atomic(folder.join("missing/record"), b"x").expect_err("no folder");
        remove_dir_all(&folder).expect("clean");
    }

    #[test]
    fn temporary_names_are_recognised() {
        let name = temporary_beside(Path::new("/a/b.json"));
        assert!(is_temporary(name.file_name().expect("name")));
        assert!(!is_temporary(OsStr::new("b.json")));
    }

    #[test]
    fn queue_flushes_and_tolerates_what_is_gone() {
        let folder = scratch("queue");
        let queue = SyncQueue::start();
        write_atomic(folder.join("a"), b"a").expect("write");
        queue.register(folder.join("a"));
        queue.register(folder.join("gone"));
        queue.flush();
        drop(queue);
        remove_dir_all(&folder).expect("clean");
    }
}
