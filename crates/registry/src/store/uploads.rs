//! Uploads that go on: a file for the bytes, and in memory the hash so far. The file is what counts:
//! after a restart an upload goes on from its length, and is hashed anew at its end.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use corten_oci::digest::{Algorithm, Digest, Hasher};
use corten_sys::fs;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use super::{Store, blobs, lock};
use crate::name::Name;

/// Uploads whose hash is kept in memory; of older ones the file is read again.
const REMEMBERED: usize = 4096;
/// How long a request waits for the one before it to stop.
const TAKEOVER: Duration = Duration::from_secs(10);

/// The uploads that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    sessions: Mutex<HashMap<PathBuf, Arc<Session>>>,
}

/// One upload.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    /// Told when a new request of the client takes over from one whose connection is lost.
    pub(crate) taken_over: Notify,
    /// Bytes received so far, also while more are.
    pub(crate) received: AtomicU64,
    progress: Arc<AsyncMutex<Progress>>,
}

/// How far an upload is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Bytes received, which are those of the file.
    pub(crate) length: u64,
    /// The hash of them, where it is known.
    pub(crate) hasher: Option<Hasher>,
    /// Finished or cancelled: nothing more goes in.
    pub(crate) is_over: bool,
}

impl Session {
    /// Waits for the requests before this one, and stops them when they do not come to an end.
    pub(crate) async fn lock(&self) -> Option<OwnedMutexGuard<Progress>> {
        if let Ok(guard) = Arc::clone(&self.progress).try_lock_owned() {
            return Some(guard);
        }
        self.taken_over.notify_waiters();
        tokio::time::timeout(TAKEOVER, Arc::clone(&self.progress).lock_owned())
            .await
            .ok()
    }
}

impl Uploads {
    /// Begins an upload.
    pub(crate) fn begin(&self, store: &Store, name: &Name, algorithm: Algorithm) -> io::Result<Arc<Session>> {
        let id = new_id();
        let path = path_of(store, name, &id);
        fs::create(&path)?;
        Ok(self.remember(id, path, 0, Some(Hasher::new(algorithm))))
    }

    /// Finds an upload of a repository.
    pub(crate) fn find(&self, store: &Store, name: &Name, id: &str) -> io::Result<Option<Arc<Session>>> {
        if !is_id(id) {
            return Ok(None);
        }
        let path = path_of(store, name, id);
        if let Some(session) = lock(&self.sessions).get(&path) {
            return Ok(Some(Arc::clone(session)));
        }
        let Some(metadata) = fs::if_there(fs::metadata(&path))? else {
            return Ok(None);
        };
        Ok(Some(self.remember(id.to_owned(), path, metadata.len(), None)))
    }

    fn remember(&self, id: String, path: PathBuf, length: u64, hasher: Option<Hasher>) -> Arc<Session> {
        let progress = Progress {
            length,
            hasher,
            is_over: false,
        };
        let session = Arc::new(Session {
            id,
            path: path.clone(),
            taken_over: Notify::new(),
            received: AtomicU64::new(length),
            progress: Arc::new(AsyncMutex::new(progress)),
        });
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= REMEMBERED {
            // Those in use have another owner.
            let idle = sessions.iter().find(|(_, session)| Arc::strong_count(session) == 1);
            if let Some(path) = idle.map(|(path, _)| path.clone()) {
                sessions.remove(&path);
            }
        }
        Arc::clone(sessions.entry(path).or_insert(session))
    }

    /// Forgets an upload that has come to its end; its file is somebody else's by now.
    pub(crate) fn forget(&self, session: &Session, progress: &mut Progress) {
        progress.is_over = true;
        lock(&self.sessions).remove(&session.path);
    }

    /// How many are remembered.
    pub(crate) fn count(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// Removes uploads to which nothing was added for so long; tells how many and their bytes.
    pub(crate) fn expire(&self, store: &Store, age: Duration) -> io::Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for entry in fs::read_dir(store.uploads_path())?.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if modified.elapsed().unwrap_or_default() < age {
                continue;
            }
            let session = lock(&self.sessions).get(&entry.path()).cloned();
            let guard = session
                .as_ref()
                .map(|session| Arc::clone(&session.progress).try_lock_owned());
            match (session, guard) {
                (Some(_), Some(Err(_))) => continue,
                (Some(session), Some(Ok(mut progress))) => self.forget(&session, &mut progress),
                _ => {}
            }
            fs::if_there(fs::remove_file(entry.path()))?;
            count += 1;
            bytes += metadata.len();
        }
        Ok((count, bytes))
    }
}

impl Progress {
    /// Whether the bytes received have a digest. Reads the file again where the hash is not known.
    pub(crate) fn has_digest(&mut self, path: &Path, digest: &Digest) -> io::Result<bool> {
        let algorithm = digest.algorithm();
        let hasher = match self.hasher.take() {
            Some(hasher) if hasher.algorithm() == algorithm => hasher,
            _ => blobs::hash(&fs::open(path)?, algorithm, self.length)?,
        };
        Ok(hasher.finish() == *digest)
    }

    /// Opens the file to add to it. What is there beyond the length was never acknowledged.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let options = std::fs::OpenOptions::new().write(true).clone();
        let file = fs::open_with(&options, path)?;
        file.set_len(self.length)
            .map_err(|error| fs::with_path("truncate", path, error))?;
        Ok(file)
    }
}

/// The repository is in the file's name as a hash: the upload of one is unknown to the others.
fn path_of(store: &Store, name: &Name, id: &str) -> PathBuf {
    let hash = Digest::sha256(name.as_str().as_bytes());
    store.uploads_path().join(format!("{id}-{}", &hash.hex()[..16]))
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    // Linux gives as many bytes as these at once, and only fails before it has any at all at boot.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn is_id(text: &str) -> bool {
    let letters = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    text.len() == 36 && text.bytes().all(letters)
}
