//! The storage: folders and files that a person can read, blobs stored once for all repositories.
//!
//! ```text
//! <data root>/
//!   registry.json                         the format's number
//!   blobs/sha256/ab/<hex>                 content, once
//!   landing/<algorithm>-<hex>             content that is complete, and may not be on the disk yet
//!   uploads/<id>-<repository's hash>      content that is coming
//!   repositories/<name>/
//!     _blobs/<algorithm>-<hex>            hard links to content: what this repository has
//!     _manifests/<algorithm>-<hex>        the same for manifests, and <…>.json: media type, time, subject
//!     _tags/<tag>                         JSON: digest and time
//!     _referrers/<subject>/<manifest>     JSON: the descriptor that the referrers API lists
//! ```
//!
//! A repository's links are hard links, so the kernel counts who has a blob: one whose only name is the
//! one in `blobs` is nobody's. A blob's change time (`ctime`) moves with each link, each upload and, when
//! it is not recent, each client that asks whether it is there; it is the lease that keeps what a push
//! relies on from being collected, and it outlives a restart.
//!
//! Everything is in the page cache when a call returns, so that killing the process loses nothing; the
//! [`sync`] thread brings it to the disk, and the answer to a push of a manifest or a delete waits for that
//! unless the registry is told not to.

mod blobs;
mod links;
mod manifests;
mod recovery;
mod sweep;
mod sync;
mod tags;
mod uploads;
mod usage;
mod walk;

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use corten_oci::digest::Digest;
use corten_sys::fs;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::name::Name;
pub(crate) use links::Removed;
pub(crate) use manifests::{Put, Record};
use sync::Syncer;
pub(crate) use tags::{TagRecord, seconds};
pub(crate) use uploads::{Progress, Session, Uploads, new_id};
pub(crate) use usage::{Limits, Usage};
pub(crate) use walk::Page;

/// The format that this program writes.
const FORMAT: u32 = 1;
/// Locks of digests and of repositories.
const SHARDS: usize = 64;
/// Clients that ask for a blob renew its lease when it is older than this.
const RENEWAL: Duration = Duration::from_secs(300);

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
}

/// The storage. One process at a time has it.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    syncer: Syncer,
    /// Each guards making and removing names of the digests that fall on it.
    digests: Vec<Mutex<()>>,
    /// Each guards manifests, tags and referrers of the repositories that fall on it.
    repositories: Vec<Mutex<()>>,
    /// Guards the folders of repositories between being made or found empty, and being filled or removed.
    /// Taken last.
    folders: Mutex<()>,
    usage: Usage,
    _lock: File,
}

/// A blob that can be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<File>,
    pub(crate) size: u64,
}

impl Store {
    /// Opens the storage of a folder, or makes it, and puts right what a crash has left.
    ///
    /// # Errors
    /// A sentence: another process has it, or a newer one wrote it, or the disk refuses.
    pub(crate) fn open(root: &Path, limits: Limits) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        for folder in ["blobs/sha256", "blobs/sha512", "landing", "uploads", "repositories"] {
            fs::create_dir_all_mode(root.join(folder), 0o700).map_err(failed)?;
        }
        let lock = take(root)?;
        check_format(root)?;
        let mutexes = || std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        let store = Self {
            syncer: Syncer::start(root),
            root: root.to_owned(),
            digests: mutexes(),
            repositories: mutexes(),
            folders: Mutex::default(),
            usage: Usage::new(limits),
            _lock: lock,
        };
        store.recover().map_err(failed)?;
        Ok(store)
    }

    /// Waits until everything written before is on the disk.
    pub(crate) async fn synced(&self) {
        self.syncer.wait().await;
    }

    /// What is used of what is allowed.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The content itself.
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        sync::blob_path(&self.root, digest)
    }

    fn landing_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("landing").join(file_name(digest))
    }

    fn uploads_path(&self) -> PathBuf {
        self.root.join("uploads")
    }

    fn repositories_path(&self) -> PathBuf {
        self.root.join("repositories")
    }

    fn repository_path(&self, name: &Name) -> PathBuf {
        self.repositories_path().join(name.as_str())
    }

    fn link_path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository_path(name).join("_blobs").join(file_name(digest))
    }

    fn tag_folder(&self, name: &Name) -> PathBuf {
        self.repository_path(name).join("_tags")
    }

    fn lock_digest(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        lock(&self.digests[shard(digest)])
    }

    fn lock_folders(&self) -> MutexGuard<'_, ()> {
        lock(&self.folders)
    }

    pub(crate) fn lock_repository(&self, name: &Name) -> MutexGuard<'_, ()> {
        lock(&self.repositories[shard(name)])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shard(value: &impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)
}

/// `sha256-<hex>`
fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest that a file name stands for.
fn of_file_name(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}

/// How long ago somebody made a name of the file, wrote it or asked for it.
fn lease_age(metadata: &std::fs::Metadata) -> Duration {
    let changed = Duration::new(
        u64::try_from(metadata.ctime()).unwrap_or(0),
        u32::try_from(metadata.ctime_nsec()).unwrap_or(0),
    );
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(changed)
}

/// One process a root: two would collect each other's uploads.
fn take(root: &Path) -> Result<File, String> {
    let path = root.join("lock");
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = fs::open_with(&options, &path).map_err(|error| error.to_string())?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| format!("the data root {} is in use by another registry", root.display()))?;
    Ok(file)
}

fn check_format(root: &Path) -> Result<(), String> {
    let path = root.join("registry.json");
    let failed = |error: io::Error| error.to_string();
    let Some(bytes) = fs::if_there(fs::read(&path)).map_err(failed)? else {
        let text = serde_json::json!({ "format": FORMAT }).to_string();
        return fs::write_durable(&path, text).map_err(failed);
    };
    match serde_json::from_slice::<Format>(&bytes) {
        Ok(Format { format: 1..=FORMAT }) => Ok(()),
        Ok(Format { format }) => Err(format!(
            "the data root {} has format {format}, and this program knows formats up to {FORMAT}: use a newer one",
            root.display()
        )),
        Err(error) => Err(format!("{} is damaged: {error}", path.display())),
    }
}
