//! The programs that travel inside the executable: put on disk where they can be executed.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use corten_sys::{fs, heap};

use crate::config::Programs;

/// Permissions of the programs.
const MODE: u32 = 0o755;

/// Writes the programs under names that their contents decide, and removes those of earlier
/// versions that no process executes any more.
///
/// # Errors
/// When the folder cannot be written, or the executable was built without them.
pub(super) fn install(folder: &Path, shim: &[u8], init: &[u8]) -> Result<Programs, String> {
    fs::create_dir_all_mode(folder, MODE).map_err(|error| error.to_string())?;
    let programs = Programs {
        shim: put(folder, "corten-shim", shim)?,
        init: put(folder, "corten-init", init)?,
    };
    // Read to be compared, and not again: they were a quarter of what the engine holds at rest.
    heap::page_out(shim);
    heap::page_out(init);
    if let Err(error) = remove_old(folder, &programs) {
        tracing::warn!(%error, "earlier versions' programs are left");
    }
    Ok(programs)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    if bytes.is_empty() {
        return Err(format!("this executable was built without the program {name}"));
    }
    let path = folder.join(format!("{name}-{:016x}", fnv(bytes)));
    // A file of a broken write has other contents: it is replaced.
    let is_there = fs::read(&path).is_ok_and(|present| present == bytes);
    if !is_there {
        fs::write_atomic_mode(&path, bytes, MODE).map_err(|error| error.to_string())?;
    }
    fs::set_mode(&path, MODE).map_err(|error| error.to_string())?;
    Ok(path)
}

fn remove_old(folder: &Path, programs: &Programs) -> std::io::Result<()> {
    let in_use = executed();
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        let is_ours = path
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"corten-"));
        if is_ours && path != programs.shim && path != programs.init && !in_use.contains(path.as_os_str()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Paths of the programs that processes execute.
fn executed() -> BTreeSet<OsString> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    // Processes end while we look.
    processes
        .flatten()
        .filter_map(|process| fs::read_link(process.path().join("exe")).ok())
        .map(PathBuf::into_os_string)
        .collect()
}

/// FNV-1a: tells versions apart; the contents are compared all the same.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_put_once_and_old_ones_go() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("bin");
        let first = install(&folder, b"shim 1", b"init").unwrap();
        let again = install(&folder, b"shim 1", b"init").unwrap();
        assert_eq!(first, again);
        fs::write(&first.shim, "damaged").unwrap();
        install(&folder, b"shim 1", b"init").unwrap();
        assert_eq!(fs::read(&first.shim).unwrap(), b"shim 1");
        let second = install(&folder, b"shim 2", b"init").unwrap();
        assert!(second.shim != first.shim && second.init == first.init);
        assert!(!fs::exists(&first.shim).unwrap());
        assert!(install(&folder, b"", b"init").unwrap_err().contains("corten-shim"));
    }

    #[test]
    fn what_is_executed_stays() {
        let root = tempfile::tempdir().unwrap();
        let sleep = fs::read("/bin/sleep").unwrap();
        let first = install(root.path(), &sleep, b"init").unwrap();
        let mut child = std::process::Command::new(&first.shim).arg("100").spawn().unwrap();
        let second = install(root.path(), b"other", b"init");
        let kept = fs::exists(&first.shim).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(kept && second.is_ok());
    }
}
