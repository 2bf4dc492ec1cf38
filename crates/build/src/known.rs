//! Digests of files that were read before, by what stat(2) says of them.
//!
//! A file with the same device, inode, size, and times of change of content and inode has the same bytes.
//! The exception is a file that is written again within one tick of the clock that was just read: digests
//! of files changed that recently are not remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use corten_oci::digest::Digest;
use rustix::fs::Stat;

/// The most files that are remembered; some 100 bytes each.
const MOST: usize = 500_000;
/// A tick of the kernel's clock takes up to 10 ms; files changed less long ago may change unseen.
const TICKS: i128 = 50_000_000;

/// The files' digests.
#[derive(Debug, Default)]
pub(crate) struct FileDigests(Mutex<HashMap<(u64, u64), Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    about: About,
    digest: [u8; 32],
}

/// What must be the same for the bytes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    size: i64,
    modified: i128,
    changed: i128,
}

/// When a file was looked at, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen(i128);

impl Seen {
    pub(crate) fn now() -> Self {
        Self(jiff::Timestamp::now().as_nanosecond())
    }
}

impl FileDigests {
    /// A file's digest, if it is as it was.
    pub(crate) fn get(&self, stat: &Stat) -> Option<[u8; 32]> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.get(&(stat.st_dev, stat.st_ino))?;
        (known.about == about(stat)).then_some(known.digest)
    }

    /// Remembers a digest of bytes that were read after the file was looked at.
    pub(crate) fn put(&self, stat: &Stat, digest: [u8; 32], seen: Seen) {
        let about = about(stat);
        if about.changed.max(about.modified) + TICKS > seen.0 {
            return;
        }
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= MOST {
            files.clear();
        }
        files.insert((stat.st_dev, stat.st_ino), Known { about, digest });
    }
}

fn about(stat: &Stat) -> About {
    let time = |seconds: i64, nanoseconds: u64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    About {
        size: stat.st_size,
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
    }
}

/// A digest's own bytes.
pub(crate) fn bytes_of(digest: &Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digest.hex().as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or("0");
        *byte = u8::from_str_radix(text, 16).unwrap_or(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_sys::fs;

    #[test]
    fn only_files_that_rest_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "x").unwrap();
        let known = FileDigests::default();
        let stat = rustix::fs::stat(&path).unwrap();
        known.put(&stat, [1; 32], Seen::now());
        assert_eq!(known.get(&stat), None, "it was written a moment ago");
        let later = Seen(Seen::now().0 + 10 * TICKS);
        known.put(&stat, [1; 32], later);
        assert_eq!(known.get(&stat), Some([1; 32]));
        fs::write(&path, "yy").unwrap();
        assert_eq!(known.get(&rustix::fs::stat(&path).unwrap()), None);
        assert_eq!(bytes_of(&Digest::sha256(b""))[..2], [0xe3, 0xb0]);
    }
}
