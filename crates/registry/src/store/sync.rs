//! Bringing to the disk what was written, in groups: one thread syncs the contents that have landed and
//! gives them their place among the blobs, then the records, then folders from which names were removed.
//!
//! A file is synced after it got its names. Linux's file systems (ext4, xfs, btrfs) bring a file's names to the
//! disk with it, so the folders that hold them need no sync of their own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corten_oci::digest::Digest;
use corten_sys::fs;
use tokio::sync::watch;

use super::{file_name, lock};

/// How long what was written waits for company, when nobody waits for it.
const WINDOW: Duration = Duration::from_millis(500);

/// Where a blob's content has its place.
pub(super) fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    root.join("blobs").join(algorithm).join(&hex[..2]).join(hex)
}

/// Guarded by `Shared::state`: what is to be synced, and how many groups were begun.
#[derive(Debug, Default)]
struct State {
    landed: Vec<Digest>,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// What was registered so far, counted.
    registered: u64,
    /// Somebody waits: the group does not.
    hurry: bool,
    closing: bool,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    /// How much of what was registered is on the disk.
    synced: watch::Sender<u64>,
    /// Held while a landed blob moves to its place: whoever looks for it in both sees it in one.
    moving: Mutex<()>,
}

/// The thread and its queue.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(root: &Path) -> Self {
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
            synced: watch::Sender::new(0),
            moving: Mutex::default(),
        });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("sync".into())
            .stack_size(128 << 10)
            .spawn(move || worker.run())
            .ok();
        Self { shared, thread }
    }

    /// A content is complete in `landing`.
    pub(super) fn landed(&self, digest: Digest) {
        self.register(|state| state.landed.push(digest));
    }

    /// A record was written.
    pub(super) fn wrote(&self, file: PathBuf) {
        self.register(|state| {
            state.files.insert(file);
        });
    }

    /// Names in a folder have changed.
    pub(super) fn renamed(&self, folder: PathBuf) {
        self.register(|state| {
            state.folders.insert(folder);
        });
    }

    fn register(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.shared.state);
        change(&mut state);
        state.registered += 1;
        self.shared.changed.notify_one();
    }

    /// Waits until all that was registered before is on the disk.
    pub(super) async fn wait(&self) {
        let goal = {
            let mut state = lock(&self.shared.state);
            state.hurry = true;
            self.shared.changed.notify_one();
            state.registered
        };
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as this.
        let _ = synced.wait_for(|synced| *synced >= goal).await;
    }

    /// Calls `look` while no blob moves from `landing` to its place.
    pub(super) fn still<T>(&self, look: impl FnOnce() -> T) -> T {
        let _still = lock(&self.shared.moving);
        look()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        lock(&self.shared.state).closing = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there was already printed.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut done = 0;
        loop {
            let mut state = lock(&self.state);
            while state.registered == done {
                if state.closing {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let alone = |state: &mut State| !state.hurry && !state.closing;
            state = match self.changed.wait_timeout_while(state, WINDOW, alone) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
            state.hurry = false;
            let landed = std::mem::take(&mut state.landed);
            let (files, folders) = (std::mem::take(&mut state.files), std::mem::take(&mut state.folders));
            let goal = state.registered;
            drop(state);
            let contents = landed.iter().map(|digest| self.landing(digest));
            contents.chain(files.iter().cloned()).for_each(|path| begin(&path));
            landed.iter().for_each(|digest| self.settle(digest));
            files.iter().chain(&folders).for_each(|path| sync(path));
            done = goal;
            self.synced.send_replace(goal);
        }
    }

    fn landing(&self, digest: &Digest) -> PathBuf {
        self.root.join("landing").join(file_name(digest))
    }

    /// Syncs a landed content and gives it its place. In which of the two a power cut finds it does not
    /// matter.
    fn settle(&self, digest: &Digest) {
        let from = self.landing(digest);
        let to = blob_path(&self.root, digest);
        sync(&from);
        let Some(folder) = to.parent() else { return };
        let _moving = lock(&self.moving);
        let moved = fs::create_dir_all_mode(folder, 0o700).and_then(|()| fs::rename(&from, &to));
        match moved {
            Ok(()) => {}
            // Collected meanwhile, or landed twice.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(%digest, %error, "a blob cannot be put into its place"),
        }
    }
}

/// Lets the disk begin with a file, so that the syncs of a group share one commit of the file system.
fn begin(path: &Path) {
    // The sync says what is wrong.
    if let Ok(file) = fs::open(path)
        && let Ok(metadata) = file.metadata()
    {
        fs::start_writing(&file, 0, metadata.len());
    }
}

/// What is gone needs no syncing.
fn sync(path: &Path) {
    if let Err(error) = fs::sync(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::error!(%error, "the disk does not take what was written");
    }
}
