//! The pidfile.

use std::path::{Path, PathBuf};

use corten_sys::fs;

/// A pidfile that is removed when the engine ends.
#[derive(Debug)]
pub(super) struct Pidfile(PathBuf);

impl Drop for Pidfile {
    fn drop(&mut self) {
        // Somebody may have removed it before.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes the file.
///
/// # Errors
/// When it names a process that runs, in dockerd's words, or cannot be written.
pub(super) fn write(path: PathBuf) -> Result<Pidfile, String> {
    let failed = |why: String| {
        format!(
            "failed to start daemon, ensure docker is not running or delete {}: {why}",
            path.display()
        )
    };
    // What cannot be read names nobody.
    let earlier = fs::read_to_string(&path)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(pid) = earlier.filter(|pid| *pid != std::process::id() && is_engine(*pid)) {
        return Err(failed(format!("process with PID {pid} is still running")));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    fs::write_atomic_mode(&path, std::process::id().to_string(), 0o644).map_err(|error| error.to_string())?;
    Ok(Pidfile(path))
}

/// Whether a process executes this program. Another process may have the number by now, and one that
/// has ended but was not waited for executes nothing.
fn is_engine(pid: u32) -> bool {
    let program = |pid: &str| {
        let path = fs::read_link(Path::new("/proc").join(pid).join("exe")).ok()?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some(name.trim_end_matches(" (deleted)").to_owned())
    };
    let own = program("self");
    own.is_some() && program(&pid.to_string()) == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_this_process_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/corten.pid");
        let file = write(path.clone()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(file);
        assert!(!fs::exists(&path).unwrap());
        for other in ["1", "4194305", "nonsense"] {
            fs::write(&path, other).unwrap();
            write(path.clone()).unwrap();
        }
    }

    #[test]
    fn engines_are_told_from_other_programs() {
        let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let told = is_engine(other.id());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!told && is_engine(std::process::id()));
    }
}
