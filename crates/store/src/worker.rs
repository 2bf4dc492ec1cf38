//! Two threads for what nobody waits for: deleting trees, and bringing new layers to the disk.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::layers::Layer;

/// How long new layers may wait for the pulls under way to end before they are synced.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the end of those pulls is looked for.
const STEP: Duration = Duration::from_millis(100);

enum SyncJob {
    Layer(Layer),
    /// Answered when everything before is on the disk.
    Flush(Sender<()>),
}

/// The background threads of a store. Dropping it lets them finish what they were given.
pub(crate) struct Worker {
    trash: Option<Sender<PathBuf>>,
    sync: Option<Sender<SyncJob>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Worker {
    /// Starts the threads. `overlay` is what new layers are written below; `is_busy` tells whether
    /// layers are being written now.
    pub(crate) fn start(overlay: &Path, is_busy: Arc<dyn Fn() -> bool + Send + Sync>) -> std::io::Result<Self> {
        let (trash, trash_jobs) = mpsc::channel();
        let (sync, sync_jobs) = mpsc::channel();
        let overlay = overlay.to_path_buf();
        let threads = vec![
            spawn("store-trash", move || remove_trash(&trash_jobs))?,
            spawn("store-sync", move || sync_layers(&sync_jobs, &overlay, &*is_busy))?,
        ];
        Ok(Self {
            trash: Some(trash),
            sync: Some(sync),
            threads: Mutex::new(threads),
        })
    }

    /// Deletes a tree some time soon.
    pub(crate) fn delete(&self, path: PathBuf) {
        if let Some(trash) = &self.trash {
            // The thread only ends after this; what a crash leaves is deleted at the next start.
            let _ = trash.send(path);
        }
    }

    /// Brings a new layer to the disk some time soon.
    pub(crate) fn sync(&self, layer: Layer) {
        if let Some(sync) = &self.sync {
            // As above: a layer not synced is verified after a power loss.
            let _ = sync.send(SyncJob::Layer(layer));
        }
    }

    /// Waits until every layer given before is on the disk.
    pub(crate) fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if self
            .sync
            .as_ref()
            .is_some_and(|sync| sync.send(SyncJob::Flush(done)).is_ok())
        {
            // An error means that the thread is gone, and waiting has no point.
            let _ = wait.recv();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        (self.trash, self.sync) = (None, None);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // The store may be dropped by one of these threads: nobody can wait for himself.
            if thread.thread().id() != std::thread::current().id() {
                // A panic there was printed already.
                let _ = thread.join();
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(512 * 1024)
        .spawn(work)
}

fn remove_trash(jobs: &Receiver<PathBuf>) {
    for path in jobs {
        if let Err(error) = remove_tree(&path) {
            tracing::warn!(%error, "cannot delete what is no longer needed");
        }
    }
}

/// Removes a file or a tree; one that is gone is fine.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    use corten_sys::fs;
    match fs::if_there(fs::symlink_metadata(path))? {
        Some(metadata) if metadata.is_dir() => fs::if_there(fs::remove_dir_all(path)).map(|_| ()),
        Some(_) => fs::if_there(fs::remove_file(path)).map(|_| ()),
        None => Ok(()),
    }
}

fn sync_layers(jobs: &Receiver<SyncJob>, overlay: &Path, is_busy: &dyn Fn() -> bool) {
    let mut layers = Vec::new();
    let mut waiting = Vec::new();
    while let Ok(job) = jobs.recv() {
        let mut next = Some(job);
        let started = Instant::now();
        loop {
            match next.take() {
                Some(SyncJob::Layer(layer)) => layers.push(layer),
                Some(SyncJob::Flush(done)) => waiting.push(done),
                None => {}
            }
            if !waiting.is_empty() || (!is_busy() && started.elapsed() >= STEP) || started.elapsed() > PATIENCE {
                break;
            }
            match jobs.recv_timeout(STEP) {
                Ok(job) => next = Some(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        sync_group(overlay, &mut layers);
        for done in waiting.drain(..) {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
}

/// One `syncfs(2)` for all files of all layers; then their records say that they are on the disk.
fn sync_group(overlay: &Path, layers: &mut Vec<Layer>) {
    if layers.is_empty() {
        return;
    }
    let synced = corten_sys::fs::open(overlay).and_then(|folder| Ok(rustix::fs::syncfs(folder.as_fd())?));
    if let Err(error) = synced {
        tracing::warn!(%error, "new layers cannot be brought to the disk now");
        layers.clear();
        return;
    }
    for layer in layers.drain(..) {
        if let Err(error) = layer.mark_synced() {
            tracing::debug!(layer = layer.diff_id().short(), %error, "the layer is gone");
        }
    }
}
