//! Records go to the page cache at once and to the disk soon, in groups: one thread collects the
//! paths written in the last moments and syncs them together, off every hot path.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a registered path waits for company before the group is synced.
const WINDOW: Duration = Duration::from_millis(80);

/// Above this many paths one `syncfs(2)` per file system is cheaper than one fsync a path.
const MANY: usize = 32;

/// Brings registered paths to the disk within about 100 ms, in groups, on a thread of its own.
///
/// A path that no longer exists when its turn comes is skipped: its record was removed or replaced.
/// Dropping the queue syncs what is left.
#[derive(Debug)]
pub struct SyncQueue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Guarded by `Shared::state`: what is still to be synced and how far the thread is.
#[derive(Debug, Default)]
struct State {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    registered: u64,
    synced: u64,
    waiters: u32,
    closing: bool,
}

impl SyncQueue {
    /// Starts the thread.
    ///
    /// # Panics
    /// When the system can start no thread.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("sync-queue".into())
            .stack_size(128 * 1024)
            .spawn(move || worker.run())
            .expect("a thread can be started when the process starts");
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Asks for a written file, and the folder that holds its name, to be synced soon. Returns at once.
    pub fn register(&self, file: impl Into<PathBuf>) {
        let file = file.into();
        let mut state = self.shared.lock();
        if let Some(folder) = file.parent() {
            state.folders.insert(folder.to_path_buf());
        }
        state.files.insert(file);
        state.registered += 1;
        self.shared.changed.notify_all();
    }

    /// Asks for a folder whose names changed (something was removed or renamed) to be synced soon.
    pub fn register_folder(&self, folder: impl Into<PathBuf>) {
        let mut state = self.shared.lock();
        state.folders.insert(folder.into());
        state.registered += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until everything registered before is on the disk.
    pub fn flush(&self) {
        let mut state = self.shared.lock();
        let goal = state.registered;
        state.waiters += 1;
        self.shared.changed.notify_all();
        while state.synced < goal {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiters -= 1;
    }
}

impl Drop for SyncQueue {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was already printed; nothing is left to do with it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            while state.synced == state.registered {
                if state.closing {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let hurried = |state: &mut State| !state.closing && state.waiters == 0;
            state = match self.changed.wait_timeout_while(state, WINDOW, hurried) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
            let (files, folders) = (std::mem::take(&mut state.files), std::mem::take(&mut state.folders));
            let goal = state.registered;
            drop(state);
            sync_group(&files, &folders);
            state = self.lock();
            state.synced = goal;
            self.changed.notify_all();
        }
    }
}

/// Files before folders: a name on the disk never leads to bytes that are not.
fn sync_group(files: &BTreeSet<PathBuf>, folders: &BTreeSet<PathBuf>) {
    if files.len() > MANY && sync_file_systems(folders).is_ok() {
        return;
    }
    for path in files.iter().chain(folders) {
        // What is gone needs no syncing, and there is nobody to tell about a failing disk here:
        // the next durable write says so.
        let _ = File::open(path).and_then(|file| file.sync_all());
    }
}

fn sync_file_systems(folders: &BTreeSet<PathBuf>) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mut devices = BTreeSet::new();
    for folder in folders {
        let Ok(file) = File::open(existing(folder)) else {
            continue;
        };
        if devices.insert(file.metadata()?.dev()) {
            rustix::fs::syncfs(&file)?;
        }
    }
    Ok(())
}

/// The folder, or the nearest one above it that is still there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}
