//! The store itself: its folders, its state in memory, and opening it after whatever happened.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use corten_oci::digest::Digest;
use corten_sys::fs::{self, SyncQueue};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::images::{ImageTable, Images};
use crate::layers::{Layer, LayerRecord, LayerTable, Layers};
use crate::lease::{Lease, Leases};
use crate::records;
use crate::snapshots::{SnapshotTable, Snapshots};
use crate::unpack::Limits;
use crate::worker::Worker;

/// What a store is opened with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Bounds on archives.
    pub limits: Limits,
}

/// Images, layers and container roots below one data root. Cheap to clone; all methods block.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.inner.root)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    /// `overlay2/`: layers and container roots.
    pub(crate) overlay: PathBuf,
    /// `image/`: documents, records and downloads.
    pub(crate) image: PathBuf,
    pub(crate) limits: Limits,
    /// This boot of the machine.
    pub(crate) boot: String,
    pub(crate) worker: Worker,
    pub(crate) queue: SyncQueue,
    pub(crate) busy: Arc<Busy>,
    state: Mutex<State>,
    temporary: AtomicU64,
    /// Held for as long as the store is open, so that no second engine works on the same files.
    _lock: Lock,
}

/// Everything that refers to layers, under one lock: what is collected is decided and taken out of
/// the tables at once, so that nobody can begin to refer to it in between.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) layers: LayerTable,
    pub(crate) images: ImageTable,
    pub(crate) snapshots: SnapshotTable,
    pub(crate) leases: Leases,
}

/// Digests of layers that somebody is fetching.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    digests: Mutex<Ingesting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Ingesting {
    digests: HashSet<Digest>,
    count: usize,
}

impl Busy {
    fn lock(&self) -> MutexGuard<'_, Ingesting> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all the digests, or none if somebody has one of them.
    pub(crate) fn take(&self, digests: &[Digest]) -> bool {
        let mut busy = self.lock();
        if digests.iter().any(|digest| busy.digests.contains(digest)) {
            return false;
        }
        busy.digests.extend(digests.iter().cloned());
        busy.count += 1;
        true
    }

    pub(crate) fn give_back(&self, digests: &[Digest]) {
        let mut busy = self.lock();
        for digest in digests {
            busy.digests.remove(digest);
        }
        busy.count -= 1;
        self.changed.notify_all();
    }

    /// Waits until nobody has any of the digests.
    pub(crate) fn wait(&self, digests: &[Digest]) {
        let busy = self.lock();
        let taken = |busy: &mut Ingesting| digests.iter().any(|digest| busy.digests.contains(digest));
        drop(
            self.changed
                .wait_while(busy, taken)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.lock().digests.contains(digest)
    }

    fn any(&self) -> bool {
        self.lock().count > 0
    }
}

/// `image/format.json`: refuses data roots of newer versions.
#[derive(Debug, Serialize, Deserialize)]
struct FormatRecord {
    format: u32,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new name in `overlay2/` that is deleted at the next start if it is still there.
    pub(crate) fn temporary(&self, purpose: &str) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.overlay.join(format!(".{purpose}-{}-{number}", std::process::id()))
    }

    /// Renames a tree in `overlay2/` away and deletes it in the background.
    pub(crate) fn throw_away(&self, path: &Path) -> Result<()> {
        let trash = self.temporary("trash");
        if fs::if_there(fs::rename(path, &trash))?.is_some() {
            self.worker.delete(trash);
        }
        Ok(())
    }
}

impl Store {
    /// Opens the store below a data root, making what is not there. What crashes left is removed or
    /// set aside with a warning in the log.
    ///
    /// # Errors
    /// Conflict when another engine has it open, Unsupported when a newer version wrote it.
    pub fn open(root: impl AsRef<Path>, options: Options) -> Result<Self> {
        let root = root.as_ref().to_path_buf();
        let (image, overlay) = (root.join("image"), root.join("overlay2"));
        fs::create_dir_all_mode(&root, 0o710)?;
        for folder in [
            &image,
            &overlay,
            &image.join("images"),
            &image.join("documents"),
            &image.join("downloads"),
        ] {
            fs::create_dir_all_mode(folder, 0o700)?;
        }
        let lock = lock(&image)?;
        check_format(&image)?;
        let busy = Arc::new(Busy::default());
        let is_busy = Arc::clone(&busy);
        let worker = Worker::start(&overlay, Arc::new(move || is_busy.any()))
            .map_err(|error| Error::internal(format!("cannot start the store's threads: {error}")))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let inner = Inner {
            root,
            overlay,
            image,
            limits: options.limits,
            boot,
            worker,
            queue: SyncQueue::start(),
            busy,
            state: Mutex::default(),
            temporary: AtomicU64::new(0),
            _lock: lock,
        };
        let store = Self { inner: Arc::new(inner) };
        store.read_overlay()?;
        store.read_images()?;
        Ok(store)
    }

    /// The data root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The layers.
    #[must_use]
    pub fn layers(&self) -> Layers<'_> {
        Layers(self)
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> Images<'_> {
        Images(self)
    }

    /// The containers' roots.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots<'_> {
        Snapshots(self)
    }

    /// A new lease, under which layers are added.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease::new(&self.inner)
    }

    /// Waits until everything is on the disk.
    pub fn flush(&self) {
        self.inner.worker.flush();
        self.inner.queue.flush();
    }

    /// Reads what is in `overlay2/`: a folder is a layer, a container's root, or left over.
    fn read_overlay(&self) -> Result<()> {
        for entry in fs::read_dir(&self.inner.overlay)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == crate::snapshots::EMPTY || name.ends_with(".damaged") {
                continue;
            }
            if !name.starts_with('.') && (self.read_layer(&path)? || self.read_snapshot(&name, &path)?) {
                continue;
            }
            tracing::debug!(path = %path.display(), "removing what a crash left");
            self.inner.throw_away(&path)?;
        }
        Ok(())
    }

    /// Reads a layer's record; a layer that power loss may have damaged is verified.
    fn read_layer(&self, path: &Path) -> Result<bool> {
        let Some(record) = records::load::<LayerRecord>(&path.join("layer.json"))? else {
            return Ok(false);
        };
        let unsynced = record.unsynced_boot.clone();
        let layer = Layer::from_record(path.to_path_buf(), record);
        match unsynced {
            None => {}
            Some(boot) if boot == self.inner.boot => self.inner.worker.sync(layer.clone()),
            Some(_) => {
                if let Err(error) = layer.verify() {
                    tracing::warn!(%error, "layer dropped; pulling its image fetches it again");
                    return Ok(false);
                }
                self.inner.worker.sync(layer.clone());
            }
        }
        self.inner.state().layers.insert(layer);
        Ok(true)
    }
}

/// An exclusive lock on the data root.
struct Lock(File);

impl Drop for Lock {
    /// Unlocks now: a child being spawned may hold a copy of the descriptor for a moment longer.
    fn drop(&mut self) {
        // Closing the file does it too, a little later.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn lock(image: &Path) -> Result<Lock> {
    let path = image.join("lock");
    let file = fs::open_with(
        std::fs::OpenOptions::new().create(true).write(true).truncate(false),
        &path,
    )?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::conflict(format!(
            "the data root {} is in use by another engine",
            image.parent().unwrap_or(image).display()
        ))
        .with_hint("stop that engine, or choose another data root")),
        Err(errno) => Err(fs::with_path("lock", &path, errno.into()).into()),
    }
}

fn check_format(image: &Path) -> Result<()> {
    let path = image.join("format.json");
    let Some(bytes) = fs::if_there(fs::read(&path))? else {
        return Ok(fs::write_atomic(
            &path,
            format!("{{\"format\":{}}}\n", records::FORMAT),
        )?);
    };
    match serde_json::from_slice::<FormatRecord>(&bytes) {
        Ok(record) if record.format <= records::FORMAT => Ok(()),
        Ok(record) => Err(Error::new(
            Kind::Unsupported,
            format!(
                "{} was written by a newer version (format {})",
                path.display(),
                record.format
            ),
        )),
        Err(error) => {
            records::set_aside(&path, &error.to_string());
            Ok(fs::write_atomic(
                &path,
                format!("{{\"format\":{}}}\n", records::FORMAT),
            )?)
        }
    }
}
