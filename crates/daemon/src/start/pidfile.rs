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
    if let Some(pid) = earlier
        && pid != std::process::id()
        && fs::exists(Path::new("/proc").join(pid.to_string())).unwrap_or(false)
    {
        return Err(failed(format!("process with PID {pid} is still running")));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    fs::write_atomic_mode(&path, std::process::id().to_string(), 0o644).map_err(|error| error.to_string())?;
    Ok(Pidfile(path))
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
        fs::write(&path, "1").unwrap();
        assert!(
            write(path.clone())
                .unwrap_err()
                .ends_with("process with PID 1 is still running")
        );
        fs::write(&path, "4194305").unwrap();
        write(path).unwrap();
    }
}
