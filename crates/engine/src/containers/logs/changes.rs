//! Tells when something in a log's folder changes (`inotify(7)`): one descriptor for all who wait,
//! made when the first one does.

use std::{
    collections::HashMap,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::{io::unix::AsyncFd, sync::watch};

use crate::{
    containers::{delivery, readiness},
    error::{Error, Result},
};

/// What is waited for.
const EVENTS: WatchFlags = WatchFlags::MODIFY.union(WatchFlags::CREATE).union(WatchFlags::MOVED_TO);

/// All folders that are watched.
#[derive(Debug, Clone, Default)]
pub(in crate::containers) struct Changes(Arc<Mutex<Option<Arc<Watched>>>>);

#[derive(Debug)]
struct Watched {
    inotify: AsyncFd<OwnedFd>,
    /// Who waits, by the kernel's number of the folder; the lock is held while numbers come and go.
    folders: Mutex<HashMap<i32, watch::Sender<()>>>,
}

/// Changes in one folder.
#[derive(Debug)]
pub(in crate::containers) struct Change {
    watched: Arc<Watched>,
    folder: i32,
    receiver: watch::Receiver<()>,
}

impl Changes {
    /// Changes in the folder of a file, from now on.
    ///
    /// # Errors
    /// `Internal` when the kernel watches no more.
    pub(in crate::containers) fn of(&self, path: &Path) -> Result<Change> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let watched = self.watched()?;
        let mut folders = watched.folders();
        let number = inotify::add_watch(watched.inotify.get_ref(), folder, EVENTS)
            .map_err(|e| corten_sys::fs::with_path("watch", folder, e.into()))?;
        let receiver = folders
            .entry(number)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        drop(folders);
        Ok(Change {
            watched,
            folder: number,
            receiver,
        })
    }

    fn watched(&self) -> Result<Arc<Watched>> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = &*there {
            return Ok(Arc::clone(watched));
        }
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|e| {
            Error::internal("cannot watch a log")
                .source(e)
                .hint("raise fs.inotify.max_user_instances")
        })?;
        let watched = Arc::new(Watched {
            inotify: readiness::watch_readable(fd)?,
            folders: Mutex::default(),
        });
        tokio::spawn(hand_out(Arc::clone(&watched)));
        *there = Some(Arc::clone(&watched));
        Ok(watched)
    }
}

/// Reads events and wakes who waits, as long as the engine runs.
async fn hand_out(watched: Arc<Watched>) {
    while let Ok(mut guard) = watched.inotify.readable().await {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(guard.get_inner(), &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    // What a follower notes of itself is no change of the log.
                    if event
                        .file_name()
                        .is_some_and(|name| name.to_bytes() == delivery::POSITION.as_bytes())
                    {
                        continue;
                    }
                    watched.tell(event.wd());
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot watch logs any more");
                    return;
                }
            }
        }
        guard.clear_ready();
    }
}

impl Watched {
    fn folders(&self) -> MutexGuard<'_, HashMap<i32, watch::Sender<()>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, folder: i32) {
        let folders = self.folders();
        match folder {
            // The kernel's queue was full: anything may have changed.
            ..0 => folders.values().for_each(|sender| sender.send_modify(|()| {})),
            _ => {
                if let Some(sender) = folders.get(&folder) {
                    sender.send_modify(|()| {});
                }
            }
        }
    }
}

impl Change {
    /// Waits for a change and forgets all that have come so far.
    pub(in crate::containers) async fn next(&mut self) {
        // The sender is there as long as someone listens.
        let _ = self.receiver.changed().await;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut folders = self.watched.folders();
        if folders
            .get(&self.folder)
            .is_some_and(|sender| sender.receiver_count() == 1)
        {
            folders.remove(&self.folder);
            // It is gone already when the folder is.
            let _ = inotify::remove_watch(self.watched.inotify.get_ref(), self.folder);
        }
    }
}
