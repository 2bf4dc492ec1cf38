//! What is at a path (Docker API `HEAD /containers/{id}/archive`).

use super::View;
use super::walk::Last;
use crate::error::Result;

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The path's last part.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Type and permissions, as stat(2) gives them.
    pub mode: u32,
    /// When it was changed: seconds since the epoch, and nanoseconds after them.
    pub modified: (i64, u32),
    /// Where a link leads in the container, all links followed; empty for everything else.
    pub link_target: String,
}

impl PathStat {
    /// Whether it is a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

impl View {
    /// Tells what is at an absolute path; a link at its end is not followed, unless a slash or `/.`
    /// stands after it.
    ///
    /// # Errors
    /// `NotFound` when nothing is there.
    pub fn stat(&self, path: &str) -> Result<PathStat> {
        let spot = self.find(path.as_bytes(), Last::Keep)?;
        let link_target = match spot.kind() {
            rustix::fs::FileType::Symlink => String::from_utf8_lossy(&self.evaluate(path.as_bytes())?).into_owned(),
            _ => String::new(),
        };
        Ok(PathStat {
            name: base(path).to_owned(),
            size: spot.stat.st_size,
            mode: spot.stat.st_mode,
            modified: (
                spot.stat.st_mtime,
                u32::try_from(spot.stat.st_mtime_nsec).unwrap_or_default(),
            ),
            link_target,
        })
    }
}

/// A path's last part as Go's `filepath.Base` has it: without slashes at the end, `/` for the root.
pub(super) fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}
