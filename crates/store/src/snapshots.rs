//! Containers' roots: a writable folder over an image's layers, mounted as an overlay by whoever
//! starts the container.
//!
//! ```text
//! overlay2/<container>/snapshot.json   the layers below
//!                      diff/ work/     overlayfs's own
//! ```
//! Making one copies nothing and waits for no disk. Linux, filesystems/overlayfs.rst.

mod changes;
mod mount_points;
mod mounted;

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use corten_oci::digest::Digest;
use corten_oci::runtime::Mount;
use corten_sys::{fs, quota};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::images::ImageId;
use crate::records;
use crate::store::{Inner, Store};
use crate::usage::{self, Usage};

pub use changes::{Change, ChangeKind};
pub use mount_points::MountPoints;
pub use mounted::Access;

/// A folder that stands for the layers of an image that has none.
pub(crate) const EMPTY: &str = ".empty";

/// Whether a root's changes must reach the disk when it is unmounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// They must: the container may be started again.
    Normal,
    /// They need not: unmounting is five times cheaper, and a crash of the machine makes the root unusable.
    Volatile,
}

/// Where a container's root is, for `GraphDriver.Data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Layers, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The writable folder.
    pub upper: PathBuf,
    /// Overlayfs's working folder.
    pub work: PathBuf,
    /// Where Docker mounts it; here the mount is in the container's namespace only.
    pub merged: PathBuf,
}

/// `snapshot.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord {
    format: u32,
    /// Diff ids, lowest first.
    pub(crate) layers: Vec<Digest>,
}

impl records::Record for SnapshotRecord {
    fn format(&self) -> u32 {
        self.format
    }
}

/// Part of the store's state: containers' roots by container id.
#[derive(Debug, Default)]
pub(crate) struct SnapshotTable(HashMap<String, SnapshotRecord>);

impl SnapshotTable {
    pub(crate) fn all(&self) -> impl Iterator<Item = &SnapshotRecord> {
        self.0.values()
    }
}

/// The containers' roots of a store.
#[derive(Debug, Clone, Copy)]
pub struct Snapshots<'a>(pub(crate) &'a Store);

impl Snapshots<'_> {
    /// Makes a container's root over an image and tells how to mount it.
    ///
    /// # Errors
    /// `NotFound` when the image or one of its layers is not there, Conflict when the root is.
    pub fn prepare(&self, id: &str, image: &ImageId) -> Result<Vec<Mount>> {
        let image = self.0.images().get(image)?;
        self.prepare_layers(id, image.layers())
    }

    /// Makes a container's root over layers, lowest first, and tells how to mount it.
    ///
    /// # Errors
    /// As [`Snapshots::prepare`].
    pub fn prepare_layers(&self, id: &str, layers: &[Digest]) -> Result<Vec<Mount>> {
        check_id(id)?;
        let store = &self.0.inner;
        let record = SnapshotRecord {
            format: records::FORMAT,
            layers: layers.to_vec(),
        };
        let mut state = store.state();
        if let Some(missing) = layers
            .iter()
            .find(|layer| !state.layers.by_diff_id.contains_key(*layer))
        {
            return Err(missing_layer(missing));
        }
        if state.snapshots.0.contains_key(id) {
            return Err(Error::conflict(format!("the root of container {id} is there already")));
        }
        // From here on the layers are not collected.
        state.snapshots.0.insert(id.to_owned(), record.clone());
        drop(state);
        let made = make(store, id, &record).and_then(|()| self.mounts(id, Sync::Normal));
        if made.is_err() {
            store.state().snapshots.0.remove(id);
            // The first error is the one to tell; what is left is removed at the next start.
            let _ = store.throw_away(&store.overlay.join(id));
        }
        made
    }

    /// How to mount a container's root: one overlay at `/`, its lower folders given one by one for
    /// the fd-based mount calls, the topmost first.
    ///
    /// # Errors
    /// `NotFound` when the root or one of its layers is not there.
    pub fn mounts(&self, id: &str, sync: Sync) -> Result<Vec<Mount>> {
        let folders = self.folders(id)?;
        // What a volatile mount leaves when it is cut short forbids every later mount.
        let incompatible = folders.work.join("work").join("incompat");
        if fs::exists(&incompatible)? {
            fs::remove_dir_all(&incompatible)?;
        }
        let mut options: Vec<String> = Vec::with_capacity(folders.lower.len() + 6);
        options.extend(folders.lower.iter().map(|path| format!("lowerdir+={}", path.display())));
        options.push(format!("upperdir={}", folders.upper.display()));
        options.push(format!("workdir={}", folders.work.display()));
        options.extend(["index=off".into(), "redirect_dir=off".into()]);
        if sync == Sync::Volatile {
            options.push("volatile".into());
        }
        Ok(vec![Mount {
            destination: "/".into(),
            kind: Some("overlay".into()),
            source: Some("overlay".into()),
            options,
            ..Mount::default()
        }])
    }

    /// Where a container's root is.
    ///
    /// # Errors
    /// `NotFound` when the root or one of its layers is not there.
    pub fn folders(&self, id: &str) -> Result<Folders> {
        let store = &self.0.inner;
        let state = store.state();
        let record = state.snapshots.0.get(id).ok_or_else(|| no_root(id))?;
        let mut lower = Vec::with_capacity(record.layers.len().max(1));
        for layer in record.layers.iter().rev() {
            let found = state.layers.by_diff_id.get(layer).ok_or_else(|| missing_layer(layer))?;
            let path = found.path().to_path_buf();
            // Overlayfs refuses a folder that comes twice; below itself a layer shows nothing anyway.
            if !lower.contains(&path) {
                lower.push(path);
            }
        }
        drop(state);
        if lower.is_empty() {
            let empty = store.overlay.join(EMPTY);
            fs::create_dir_all_mode(&empty, 0o755)?;
            lower.push(empty);
        }
        let root = store.overlay.join(id);
        Ok(Folders {
            lower,
            upper: root.join("diff"),
            work: root.join("work"),
            merged: root.join("merged"),
        })
    }

    /// Diff ids of the layers below a container's root, lowest first.
    ///
    /// # Errors
    /// `NotFound` when the root is not there.
    pub fn layers(&self, id: &str) -> Result<Vec<Digest>> {
        let state = self.0.inner.state();
        state
            .snapshots
            .0
            .get(id)
            .map(|record| record.layers.clone())
            .ok_or_else(|| no_root(id))
    }

    /// Removes a container's root: renamed away now, deleted in the background. One that is not
    /// there is fine.
    ///
    /// # Errors
    /// Internal when the data root cannot be written.
    pub fn remove(&self, id: &str) -> Result<()> {
        check_id(id)?;
        let store = &self.0.inner;
        let mut state = store.state();
        let Some(record) = state.snapshots.0.remove(id) else {
            return Ok(());
        };
        store.throw_away(&store.overlay.join(id))?;
        // Its image may have been removed by force meanwhile, and only the root kept the layers.
        if !state.images.all().any(|image| image.layers() == record.layers) {
            crate::gc::collect_layers(store, &mut state, record.layers.iter())?;
        }
        Ok(())
    }

    /// Bounds what a container's root, which is new and empty, may take on the disk.
    ///
    /// # Errors
    /// Internal when the file system has no project quotas.
    pub fn limit(&self, id: &str, bytes: u64) -> Result<()> {
        check_id(id)?;
        let (root, project) = (self.0.inner.overlay.join(id), project(id));
        let limit = || -> std::io::Result<()> {
            for folder in ["diff", "work"] {
                let folder = fs::open(root.join(folder))?;
                quota::join_project(folder.as_fd(), project)?;
                quota::limit_project(folder.as_fd(), project, bytes)?;
            }
            Ok(())
        };
        limit().map_err(|error| Error::internal(format!("cannot bound the size of container {id}")).with_source(error))
    }

    /// Forgets the bound of a container's root that is about to be removed.
    pub fn unlimit(&self, id: &str) {
        let folder = self.0.inner.overlay.join(id).join("diff");
        // What is left of it is an entry in the file system's table, for a project without files.
        let _ = fs::open(folder).and_then(|folder| quota::limit_project(folder.as_fd(), project(id), 0));
    }

    /// Room the writable folder takes.
    ///
    /// # Errors
    /// `NotFound` when the root is not there.
    pub fn usage(&self, id: &str) -> Result<Usage> {
        usage::of_tree(&self.upper(id)?)
    }

    /// All containers' roots, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.inner.state().snapshots.0.keys().cloned().collect()
    }

    fn upper(&self, id: &str) -> Result<PathBuf> {
        let store = &self.0.inner;
        if !store.state().snapshots.0.contains_key(id) {
            return Err(no_root(id));
        }
        Ok(store.overlay.join(id).join("diff"))
    }
}

fn make(store: &Inner, id: &str, record: &SnapshotRecord) -> Result<()> {
    let root = store.overlay.join(id);
    fs::create_dir(&root)?;
    fs::create_dir(root.join("diff"))?;
    fs::set_mode(root.join("diff"), 0o755)?;
    fs::create_dir(root.join("work"))?;
    let path = root.join("snapshot.json");
    records::store(&path, record)?;
    store.queue.register(path);
    Ok(())
}

/// The number of a container's project: of the upper half, where people seldom give out numbers.
fn project(id: &str) -> u32 {
    // FNV-1a.
    let hash = id.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash | 1 << 31
}

fn no_root(id: &str) -> Error {
    Error::not_found(format!("container {} has no root", id.get(..12).unwrap_or(id)))
}

fn missing_layer(layer: &Digest) -> Error {
    Error::not_found(format!("layer {} is not there", layer.short())).with_hint("pull the image again")
}

/// Ids become folder names beside the layers': nothing with dots or slashes.
fn check_id(id: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(good) {
        return Err(Error::invalid(format!("{id:?} is no id for a container's root")));
    }
    Ok(())
}

impl Store {
    /// Reads a container's root at the start.
    pub(crate) fn read_snapshot(&self, name: &str, path: &std::path::Path) -> Result<bool> {
        let Some(record) = records::load::<SnapshotRecord>(&path.join("snapshot.json"))? else {
            return Ok(false);
        };
        self.inner.state().snapshots.0.insert(name.to_owned(), record);
        Ok(true)
    }
}
