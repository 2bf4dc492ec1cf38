//! One engine a root: two would overwrite each other's records.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    path::Path,
};

use corten_sys::fs;
use rustix::fs::{FlockOperation, flock};

/// The file that is locked.
const FILE: &str = "corten.lock";

/// Locks a root for as long as the file is open.
///
/// # Errors
/// A sentence that names the engine that has it.
pub(super) fn take(root: &Path, what: &str) -> Result<File, String> {
    let path = root.join(FILE);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = fs::open_with(&options, &path).map_err(|error| error.to_string())?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut owner = String::new();
        // The number is for the message only.
        let _ = file.read_to_string(&mut owner);
        let owner = match owner.trim() {
            "" => String::new(),
            pid => format!(" (pid {pid})"),
        };
        return Err(format!(
            "the {what} {} is in use by another engine{owner}",
            root.display()
        ));
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_one_engine() {
        let root = tempfile::tempdir().unwrap();
        let first = take(root.path(), "data root").unwrap();
        let error = take(root.path(), "data root").unwrap_err();
        assert!(
            error.ends_with(&format!("is in use by another engine (pid {})", std::process::id())),
            "{error}"
        );
        drop(first);
        take(root.path(), "data root").unwrap();
    }
}
