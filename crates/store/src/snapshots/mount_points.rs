//! What a runtime makes in a root only to mount something there: nobody's change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::changes::there;
use super::{Change, ChangeKind, Folders};

/// Places at which a runtime mounts something of its own in every container (`/proc`, `/dev`,
/// `/etc/hosts`, …). An image that lacks them gets an empty file or folder there, which is neither
/// told as a change nor committed. Docker keeps these in a layer between image and container.
#[derive(Debug, Clone, Default)]
pub struct MountPoints(BTreeSet<PathBuf>);

impl<P: Into<PathBuf>> FromIterator<P> for MountPoints {
    fn from_iter<I: IntoIterator<Item = P>>(paths: I) -> Self {
        Self(paths.into_iter().map(Into::into).collect())
    }
}

impl MountPoints {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which of all changes, sorted by path, are nothing but mount points and the folders around them.
    pub(super) fn among(&self, changes: &[Change], folders: &Folders) -> HashSet<PathBuf> {
        let mut left_out = HashSet::new();
        // By folder: how many of its changes stay, and whether any was left out.
        let mut inside: HashMap<&Path, (usize, bool)> = HashMap::new();
        // A folder's contents come after it.
        for change in changes.iter().rev() {
            let (stay, some_left_out) = inside.get(change.path.as_path()).copied().unwrap_or_default();
            let made = stay == 0 && self.made(change, some_left_out, folders);
            if let Some(parent) = change.path.parent() {
                let (stay, some) = inside.entry(parent).or_default();
                *stay += usize::from(!made);
                *some |= made;
            }
            if made {
                left_out.insert(change.path.clone());
            }
        }
        left_out
    }

    /// Whether a change, with nothing left in it, comes from making mount points.
    fn made(&self, change: &Change, around_one: bool, folders: &Folders) -> bool {
        let Ok(relative) = change.path.strip_prefix("/") else {
            return false;
        };
        let Some(own) = look(&folders.upper.join(relative)) else {
            return false;
        };
        match change.kind {
            ChangeKind::Deleted => false,
            ChangeKind::Added if around_one => own.is_dir(),
            ChangeKind::Added => self.0.contains(&change.path) && (own.is_dir() || own.len() == 0),
            ChangeKind::Modified => {
                let below = folders.lower.iter().find_map(|layer| look(&layer.join(relative)));
                around_one && own.is_dir() && below.is_some_and(|below| same(&own, &below))
            }
        }
    }
}

fn look(path: &Path) -> Option<Metadata> {
    there(path).ok().flatten()
}

/// Whether a folder that was copied up differs from its original in times alone.
fn same(own: &Metadata, below: &Metadata) -> bool {
    below.is_dir() && (own.mode(), own.uid(), own.gid()) == (below.mode(), below.uid(), below.gid())
}
