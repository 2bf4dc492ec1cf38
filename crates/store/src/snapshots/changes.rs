//! What a container changed in its root, told from overlayfs's writable folder: `docker diff`.

use std::collections::HashSet;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use corten_sys::fs;

use super::{MountPoints, Snapshots};
use crate::error::Result;
use crate::unpack::OPAQUE;

/// What happened to a path. Docker API `GET /containers/{id}/changes`, `Kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was changed, or something in it was.
    Modified = 0,
    /// It was not there before.
    Added = 1,
    /// It was deleted.
    Deleted = 2,
}

/// A changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Where, from the root, with a leading slash.
    pub path: PathBuf,
}

impl Snapshots<'_> {
    /// What a container changed, sorted by path, without what a runtime `made` to mount there.
    ///
    /// # Errors
    /// `NotFound` when the root is not there.
    pub fn diff(&self, id: &str, made: &MountPoints) -> Result<Vec<Change>> {
        let mut changes = self.all_changes(id)?;
        let left_out = made.among(&changes, &self.folders(id)?);
        changes.retain(|change| !left_out.contains(&change.path));
        Ok(changes)
    }

    /// Paths of a writable folder, without a leading slash, that are no change of the container's.
    pub(crate) fn left_out(&self, id: &str, made: &MountPoints) -> Result<HashSet<Vec<u8>>> {
        if made.is_empty() {
            return Ok(HashSet::new());
        }
        let left_out = made.among(&self.all_changes(id)?, &self.folders(id)?);
        let relative = |path: PathBuf| path.into_os_string().into_vec().split_off(1);
        Ok(left_out.into_iter().map(relative).collect())
    }

    fn all_changes(&self, id: &str) -> Result<Vec<Change>> {
        let folders = self.folders(id)?;
        let mut changes = Vec::new();
        walk(&folders.upper, Path::new(""), &folders.lower, &mut changes)?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changes)
    }
}

/// `lower` are the layers that show through here, the topmost first.
fn walk(upper: &Path, at: &Path, lower: &[PathBuf], changes: &mut Vec<Change>) -> Result<()> {
    for entry in fs::read_dir(upper.join(at))? {
        let path = at.join(entry?.file_name());
        let metadata = fs::symlink_metadata(upper.join(&path))?;
        let below = shown(lower, &path)?;
        let kind = match (is_whiteout(&metadata), below.is_empty()) {
            (true, true) => continue,
            (true, false) => ChangeKind::Deleted,
            (false, true) => ChangeKind::Added,
            (false, false) => ChangeKind::Modified,
        };
        changes.push(Change {
            kind,
            path: Path::new("/").join(&path),
        });
        if !metadata.is_dir() {
            continue;
        }
        if is_opaque(&upper.join(&path)) {
            deleted_below(&upper.join(&path), &path, &below, changes)?;
            walk(upper, &path, &[], changes)?;
        } else {
            walk(upper, &path, &below, changes)?;
        }
    }
    Ok(())
}

/// The layers in which a path shows: none below a whiteout, a file or an opaque folder.
fn shown(lower: &[PathBuf], path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for layer in lower {
        let here = layer.join(path);
        let Some(metadata) = there(&here)? else { continue };
        if is_whiteout(&metadata) {
            break;
        }
        let folder = metadata.is_dir();
        found.push(layer.clone());
        if !folder || is_opaque(&here) {
            break;
        }
    }
    Ok(found)
}

/// Names that an opaque folder hides and does not have itself.
fn deleted_below(upper: &Path, path: &Path, lower: &[PathBuf], changes: &mut Vec<Change>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for layer in lower {
        let Some(metadata) = there(&layer.join(path))? else {
            continue;
        };
        if !metadata.is_dir() {
            break;
        }
        for entry in fs::read_dir(layer.join(path))? {
            seen.insert(entry?.file_name());
        }
    }
    for name in seen {
        let hidden = there(&upper.join(&name))?.is_none();
        if hidden && !shown(lower, &path.join(&name))?.is_empty() {
            changes.push(Change {
                kind: ChangeKind::Deleted,
                path: Path::new("/").join(path).join(&name),
            });
        }
    }
    Ok(())
}

pub(super) fn there(path: &Path) -> Result<Option<std::fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Overlayfs's mark of a deleted name: a character device 0/0.
pub(crate) fn is_whiteout(metadata: &std::fs::Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

pub(crate) fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 1];
    rustix::fs::lgetxattr(path, OPAQUE, &mut value).is_ok_and(|length| length == 1 && value[0] == b'y')
}
