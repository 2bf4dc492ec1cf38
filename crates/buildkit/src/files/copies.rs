//! The copies that are kept of clients' folders: `buildkit/sync/<key>-<number>` in the data root.
//!
//! A copy is used by one build at a time; another build of the same folder meanwhile has one of its own.
//! Those that were not used for the longest time go first when there are many.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use corten_sys::fs;
use sha2::{Digest as _, Sha256};

use super::tree::Tree;
use crate::grpc::Result;

/// So many are kept that nobody uses.
const KEPT: usize = 24;

/// All copies.
#[derive(Debug, Clone)]
pub(crate) struct Copies(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Guards who uses which, by the folder's name.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: HashMap<String, usize>,
    /// Opened before, and used by nobody.
    idle: HashMap<String, Tree>,
}

/// A copy in use.
#[derive(Debug)]
pub(crate) struct Copy {
    copies: Copies,
    name: String,
    tree: Option<Tree>,
    sound: bool,
}

/// What is told of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) size: u64,
    /// When it was last brought up to date.
    pub(crate) used: SystemTime,
}

impl Copies {
    /// Those in a folder, which need not be there yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(Arc::new(Inner {
            folder,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copy of what a key stands for.
    pub(crate) fn take(&self, key: &[impl AsRef<str>]) -> Result<Copy> {
        let mut hasher = Sha256::new();
        for part in key.iter().map(AsRef::as_ref) {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let hash: String = hasher
            .finalize()
            .iter()
            .take(12)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (name, tree) = {
            let mut state = self.state();
            let mut names = (0_u32..).map(|number| format!("{hash}-{number}"));
            let free = names.find(|name| !state.used.contains_key(name)).unwrap_or_default();
            state.used.insert(free.clone(), 1);
            let tree = state.idle.remove(&free);
            (free, tree)
        };
        let mut copy = Copy {
            copies: self.clone(),
            name,
            tree,
            sound: true,
        };
        if copy.tree.is_none() {
            fs::create_dir_all_mode(&self.0.folder, 0o700)?;
            copy.tree = Some(Tree::open(&self.0.folder.join(&copy.name))?);
        }
        Ok(copy)
    }

    /// What is kept, the one that was used last first.
    pub(crate) fn list(&self) -> Vec<Kept> {
        let folders = fs::read_dir(&self.0.folder).into_iter().flatten().flatten();
        let mut kept: Vec<Kept> = folders
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let list = entry.path().join("list");
                let metadata = fs::metadata(&list).or_else(|_| fs::metadata(entry.path())).ok()?;
                let used = metadata.modified().ok()?;
                Some(Kept {
                    name,
                    size: size(&entry.path().join("files")),
                    used,
                })
            })
            .collect();
        kept.sort_by_key(|one| std::cmp::Reverse(one.used));
        kept
    }

    /// Removes those that nobody uses; gives them.
    pub(crate) fn prune(&self, keep: impl Fn(&Kept) -> bool) -> Result<Vec<Kept>> {
        let mut gone = Vec::new();
        for kept in self.list().into_iter().filter(|kept| !keep(kept)) {
            // Whoever wants it meanwhile takes one of another number: nobody waits while files are deleted.
            {
                let mut state = self.state();
                if state.used.contains_key(&kept.name) {
                    continue;
                }
                state.used.insert(kept.name.clone(), 1);
                state.idle.remove(&kept.name);
            }
            let removed = fs::if_there(fs::remove_dir_all(self.0.folder.join(&kept.name)));
            self.state().used.remove(&kept.name);
            removed?;
            gone.push(kept);
        }
        Ok(gone)
    }

    /// Removes those that are too many.
    pub(crate) fn trim(&self) {
        let listed = || fs::read_dir(&self.0.folder).into_iter().flatten().flatten();
        if listed().count() <= KEPT {
            return;
        }
        let kept: Vec<String> = self.list().into_iter().take(KEPT).map(|one| one.name).collect();
        if let Err(error) = self.prune(|one| kept.contains(&one.name)) {
            tracing::warn!(%error, "cannot remove old copies of contexts");
        }
    }
}

impl Copy {
    /// Says that it could not be brought up to date: it begins anew the next time.
    pub(crate) fn spoil(&mut self) {
        self.sound = false;
    }
}

impl Deref for Copy {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        self.tree.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Copy {
    fn deref_mut(&mut self) -> &mut Tree {
        self.tree.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let mut state = self.copies.state();
        state.used.remove(&self.name);
        if let (Some(tree), true) = (self.tree.take(), self.sound) {
            state.idle.insert(self.name.clone(), tree);
        }
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let metadata = fs::symlink_metadata(entry.path()).ok()?;
            Some(match metadata.is_dir() {
                true => size(&entry.path()),
                false => metadata.len(),
            })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_belongs_to_one_build_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let copies = Copies::new(place.path().join("sync"));
        let one = copies.take(&["a", "b"]).unwrap();
        let other = copies.take(&["a", "b"]).unwrap();
        assert_ne!(one.root(), other.root());
        let root = one.root();
        drop(one);
        assert_eq!(copies.take(&["a", "b"]).unwrap().root(), root);
        assert_ne!(copies.take(&["ab", ""]).unwrap().root(), root);
        assert_eq!(copies.list().len(), 3);
        assert_eq!(copies.prune(|_| false).unwrap().len(), 2, "one is in use");
        drop(other);
        assert_eq!(copies.prune(|_| false).unwrap().len(), 1);
    }
}
