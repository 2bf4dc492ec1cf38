//! The cache of steps: `buildkit/cache/<key>.json` in the data root, each holding on to its layer.
//!
//! A record says which layer a key led to. While it is there its layer is not collected; when the layer
//! is gone all the same, the record is worth nothing and goes too.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corten_dockerfile::Sharing;
use corten_oci::digest::Digest;
use corten_store::{GcOptions, Lease, Store};
use corten_sys::fs;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::filters::Facts;
use crate::key::Keyed;
use crate::known::FileDigests;
use crate::policy::{self, Rule};

const FORMAT: u32 = 1;
/// How long a record is not rewritten after a use.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);
/// After which a step that waits for a cache mount looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(200);
/// Time that a cache mount is taken to save.
const MOUNT_IS_WORTH: Duration = Duration::from_secs(30);

/// All steps that were run and are remembered.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    mounts: PathBuf,
    store: Store,
    /// Guards the records in memory.
    entries: Mutex<BTreeMap<Digest, Held>>,
    /// Cache mounts in use: by how many steps, none for one that wants to be alone.
    in_use: Mutex<BTreeMap<String, Option<usize>>>,
    freed: Condvar,
    /// Digests of files of contexts.
    pub(crate) known: FileDigests,
}

#[derive(Debug)]
struct Held {
    record: Record,
    /// Keeps the layer.
    _lease: Lease,
}

/// `<key>.json`
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    format: u32,
    key: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<Digest>,
    created: String,
    instruction: String,
    used: Timestamp,
    uses: u64,
    /// What the key was made of, by names and short digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<(String, String)>,
    /// Milliseconds that the step took.
    #[serde(default, skip_serializing_if = "is_zero")]
    took: u64,
    /// The topmost layer that it was done over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    below: Option<Digest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a record of the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A step, with its layer.
    Step,
    /// What `RUN --mount=type=cache` keeps.
    Mount,
}

impl EntryKind {
    /// BuildKit's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "regular",
            Self::Mount => "exec.cachemount",
        }
    }
}

/// A record of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its key.
    pub id: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its instruction.
    pub description: String,
    /// Whether an image has its layer too.
    pub shared: bool,
    /// Whether a step uses it now.
    pub in_use: bool,
    /// Bytes of its layer.
    pub size: u64,
    /// Its layer.
    pub layer: Option<Digest>,
    /// The topmost layer that it was done over.
    pub below: Option<Digest>,
    /// How long it took to make.
    pub took: Duration,
    /// When it was run, RFC 3339.
    pub created: String,
    /// When it was last used.
    pub used: Timestamp,
    /// How often.
    pub uses: u64,
}

impl CacheEntry {
    /// What filters look at.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            id: self.id.clone(),
            kind: self.kind.name().to_owned(),
            description: self.description.clone(),
            in_use: self.in_use,
            mutable: self.kind == EntryKind::Mount,
            shared: self.shared,
        }
    }
}

/// What pruning took away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CachePruned {
    /// Keys.
    pub ids: Vec<String>,
    /// Bytes that became free.
    pub bytes: u64,
}

/// A step that was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done<'a> {
    /// Its instruction.
    pub(crate) instruction: &'a str,
    /// How long it took.
    pub(crate) took: Duration,
    /// The topmost layer that it was done over.
    pub(crate) below: Option<&'a Digest>,
}

/// What a key led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) layer: Option<Digest>,
    pub(crate) created: String,
}

impl Cache {
    /// Reads what is remembered below a folder of the data root.
    ///
    /// # Errors
    /// Internal when the folder cannot be read.
    pub fn open(folder: &Path, store: Store) -> Result<Self> {
        let (cache, mounts) = (folder.join("cache"), folder.join("mounts"));
        fs::create_dir_all_mode(&cache, 0o700)?;
        fs::create_dir_all_mode(&mounts, 0o711)?;
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(&cache)? {
            let path = entry?.path();
            match read(&path, &store) {
                Some(held) => drop(entries.insert(held.record.key.clone(), held)),
                None => drop(fs::remove_file(&path)),
            }
        }
        Ok(Self {
            folder: cache,
            mounts,
            store,
            entries: Mutex::new(entries),
            in_use: Mutex::default(),
            freed: Condvar::new(),
            known: FileDigests::default(),
        })
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Digest, Held>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a key led to, if it is remembered and its layer is there.
    pub(crate) fn get(&self, key: &Digest) -> Option<Hit> {
        let mut entries = self.entries();
        let held = entries.get_mut(key)?;
        if held
            .record
            .layer
            .as_ref()
            .is_some_and(|layer| !self.store.layers().contains(layer))
        {
            self.forget(&mut entries, key);
            return None;
        }
        let now = Timestamp::now();
        let stale = now.duration_since(held.record.used) > REMEMBERED;
        (held.record.used, held.record.uses) = (now, held.record.uses + 1);
        let hit = Hit {
            layer: held.record.layer.clone(),
            created: held.record.created.clone(),
        };
        if stale {
            // A time of use that is not kept costs nothing but order when pruning.
            let _ = self.write(&held.record);
        }
        Some(hit)
    }

    /// Remembers what a key led to.
    pub(crate) fn put(&self, keyed: &Keyed, hit: &Hit, done: Done<'_>) -> Result<()> {
        let key = &keyed.digest;
        let lease = self.store.lease();
        if let Some(layer) = &hit.layer
            && !lease.hold(layer)
        {
            return Ok(());
        }
        let record = Record {
            format: FORMAT,
            key: key.clone(),
            layer: hit.layer.clone(),
            created: hit.created.clone(),
            instruction: done.instruction.chars().take(1000).collect(),
            used: Timestamp::now(),
            uses: 0,
            parts: keyed.parts.clone(),
            took: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
            below: done.below.cloned(),
        };
        self.write(&record)?;
        self.entries().insert(key.clone(), Held { record, _lease: lease });
        Ok(())
    }

    /// The first input of a step that is not as it was when the same instruction was last done; none
    /// when it never was.
    pub(crate) fn difference(&self, keyed: &Keyed, instruction: &str) -> Option<String> {
        let entries = self.entries();
        let same = entries.values().map(|held| &held.record);
        let same = same.filter(|record| record.instruction == instruction && !record.parts.is_empty());
        let last = same.max_by_key(|record| record.used)?;
        let old: BTreeMap<&str, &str> = last
            .parts
            .iter()
            .map(|(name, part)| (name.as_str(), part.as_str()))
            .collect();
        for (name, part) in &keyed.parts {
            match old.get(name.as_str()) {
                None => return Some(format!("{name} is new")),
                Some(before) if before != part => return Some(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let now: HashSet<&str> = keyed.parts.iter().map(|(name, _)| name.as_str()).collect();
        let gone = last.parts.iter().find(|(name, _)| !now.contains(name.as_str()));
        gone.map(|(name, _)| format!("{name} is gone"))
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(format!("{}.json", key.hex()))
    }

    fn write(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(|error| crate::Error::internal(error.to_string()))?;
        Ok(fs::write_atomic(self.path(&record.key), bytes)?)
    }

    fn forget(&self, entries: &mut BTreeMap<Digest, Held>, key: &Digest) {
        entries.remove(key);
        if let Err(error) = fs::if_there(fs::remove_file(self.path(key))) {
            tracing::warn!(%error, "cannot forget a step of a build");
        }
    }

    /// All that is remembered: steps, and what cache mounts keep.
    #[must_use]
    pub fn list(&self) -> Vec<CacheEntry> {
        let mut listed = self.steps();
        listed.extend(self.kept_mounts());
        listed
    }

    /// Bytes that nothing but the remembered steps keeps.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        policy::own_bytes(&self.steps())
    }

    fn steps(&self) -> Vec<CacheEntry> {
        let of_images: HashSet<Digest> = self
            .store
            .images()
            .list()
            .iter()
            .flat_map(|image| image.layers().to_vec())
            .collect();
        let entries = self.entries();
        let entry = |held: &Held| {
            let record = &held.record;
            let layer = record.layer.as_ref();
            let found = layer.and_then(|layer| self.store.layers().get(layer));
            CacheEntry {
                id: record.key.hex().to_owned(),
                kind: EntryKind::Step,
                description: record.instruction.clone(),
                shared: layer.is_some_and(|layer| of_images.contains(layer)),
                in_use: false,
                size: found.map_or(0, |layer| layer.size()),
                layer: layer.cloned(),
                below: record.below.clone(),
                took: Duration::from_millis(record.took),
                created: record.created.clone(),
                used: record.used,
                uses: record.uses,
            }
        };
        entries.values().map(entry).collect()
    }

    fn kept_mounts(&self) -> Vec<CacheEntry> {
        let in_use: HashSet<String> = self.in_use().keys().cloned().collect();
        let entry = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let modified = entry.metadata().ok()?.modified().ok()?;
            let used = Timestamp::try_from(modified).ok()?;
            (!name.starts_with('.')).then(|| CacheEntry {
                in_use: in_use.contains(&name),
                id: name,
                kind: EntryKind::Mount,
                description: "what RUN --mount=type=cache keeps".to_owned(),
                shared: false,
                size: size_of(&entry.path()),
                layer: None,
                below: None,
                took: MOUNT_IS_WORTH,
                created: used.to_string(),
                used,
                uses: 1,
            })
        };
        let entries = fs::read_dir(&self.mounts).into_iter().flatten().flatten();
        entries.filter_map(entry).collect()
    }

    /// Forgets what a rule says.
    ///
    /// # Errors
    /// Internal when the data root cannot be written.
    pub fn prune(&self, rule: &Rule) -> Result<CachePruned> {
        let listed = self.list();
        let ids = rule.choose(&listed, self.free_bytes()?, Timestamp::now());
        let mut pruned = CachePruned::default();
        for entry in listed.iter().filter(|entry| ids.contains(&entry.id)) {
            let gone = match entry.kind {
                EntryKind::Step => self.forget_step(&entry.id),
                EntryKind::Mount => self.forget_mount(&entry.id)?,
            };
            if gone {
                pruned.ids.push(entry.id.clone());
                pruned.bytes += if entry.kind == EntryKind::Mount { entry.size } else { 0 };
            }
        }
        if !pruned.ids.is_empty() || rule.has_no_sizes() {
            pruned.bytes += self.store.gc(GcOptions::default())?.bytes;
        }
        Ok(pruned)
    }

    /// Bytes that are free where the cache lies.
    fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(&self.folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn forget_step(&self, id: &str) -> bool {
        let Ok(key) = Digest::from_sha256_hex(id) else {
            return false;
        };
        self.forget(&mut self.entries(), &key);
        true
    }

    /// Removes what a cache mount keeps, unless a step has it.
    fn forget_mount(&self, name: &str) -> Result<bool> {
        let in_use = self.in_use();
        if in_use.contains_key(name) {
            return Ok(false);
        }
        fs::if_there(fs::remove_dir_all(self.mounts.join(name)))?;
        Ok(true)
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeMap<String, Option<usize>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of a cache mount, made with these attributes if it is not there. Waits while another
    /// step has it for itself, or while others have it that this one wants for itself.
    pub(crate) fn mount(
        self: &Arc<Self>,
        id: &str,
        sharing: Sharing,
        is_cancelled: &dyn Fn() -> bool,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<InUse> {
        let hash = Digest::sha256(id.as_bytes()).hex().to_owned();
        let mut in_use = self.in_use();
        let name = loop {
            if let Some(name) = take(&mut in_use, &hash, sharing) {
                break name;
            }
            if is_cancelled() {
                return Err(crate::Error::cancelled());
            }
            let waited = self.freed.wait_timeout(in_use, PATIENCE);
            in_use = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        let mount = InUse {
            path: self.mounts.join(&name),
            name,
            cache: Arc::clone(self),
        };
        if !fs::exists(&mount.path)? {
            // Under the lock: nobody finds it half made.
            let unfinished = self.mounts.join(format!(".{}", mount.name));
            fs::if_there(fs::remove_dir_all(&unfinished))?;
            fs::create_dir(&unfinished)?;
            make(&unfinished)?;
            fs::rename(&unfinished, &mount.path)?;
        }
        touch(&mount.path);
        drop(in_use);
        Ok(mount)
    }
}

/// Takes a cache mount, or one of its own for a step that shares it with nobody; none when it must wait.
fn take(in_use: &mut BTreeMap<String, Option<usize>>, hash: &str, sharing: Sharing) -> Option<String> {
    match sharing {
        Sharing::Shared => match in_use.entry(hash.to_owned()).or_insert(Some(0)) {
            Some(users) => *users += 1,
            None => return None,
        },
        Sharing::Locked => match in_use.contains_key(hash) {
            true => return None,
            false => drop(in_use.insert(hash.to_owned(), None)),
        },
        Sharing::Private => {
            let names = std::iter::once(hash.to_owned()).chain((1..).map(|number| format!("{hash}-{number}")));
            let free = names.into_iter().find(|name| !in_use.contains_key(name))?;
            in_use.insert(free.clone(), None);
            return Some(free);
        }
    }
    Some(hash.to_owned())
}

/// A cache mount that a step uses.
#[derive(Debug)]
pub(crate) struct InUse {
    pub(crate) path: PathBuf,
    name: String,
    cache: Arc<Cache>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        touch(&self.path);
        let mut in_use = self.cache.in_use();
        match in_use.get_mut(&self.name) {
            Some(Some(users)) if *users > 1 => *users -= 1,
            _ => drop(in_use.remove(&self.name)),
        }
        drop(in_use);
        self.cache.freed.notify_all();
    }
}

/// Sets the time of a folder: when it was last used.
fn touch(path: &Path) {
    let now = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = rustix::fs::Timestamps {
        last_access: now,
        last_modification: now,
    };
    // It is pruned earlier than it should be, no more.
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty());
}

fn read(path: &Path, store: &Store) -> Option<Held> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let lease = store.lease();
    let usable = record.format == FORMAT && record.layer.as_ref().is_none_or(|layer| lease.hold(layer));
    usable.then_some(Held { record, _lease: lease })
}

fn size_of(path: &Path) -> u64 {
    let mut size = 0;
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if let Ok(metadata) = fs::symlink_metadata(entry.path()) {
            size += if metadata.is_dir() {
                size_of(&entry.path())
            } else {
                metadata.len()
            };
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    #[test]
    fn steps_are_remembered_over_restarts_until_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Default::default()).unwrap();
        let place = folder.path().join("buildkit");
        let keyed = Key::new("a").finish();
        let key = keyed.digest.clone();
        let hit = Hit {
            layer: None,
            created: "2026-01-01T00:00:00Z".into(),
        };
        {
            let cache = Cache::open(&place, store.clone()).unwrap();
            let done = Done {
                instruction: "ENV a=b",
                took: Duration::ZERO,
                below: None,
            };
            cache.put(&keyed, &hit, done).unwrap();
        }
        let cache = Cache::open(&place, store).unwrap();
        assert_eq!(cache.get(&key), Some(hit));
        assert_eq!(
            (cache.list()[0].uses, cache.list()[0].description.as_str()),
            (1, "ENV a=b")
        );
        assert_eq!(cache.prune(&Rule::default()).unwrap().ids, [key.hex()]);
        assert_eq!(cache.get(&key), None);
    }
}
