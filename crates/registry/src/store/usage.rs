//! What is used of what is allowed: in all, and by repository.
//!
//! A repository's use is the sum of what it links to, shared or not, so that it does not depend on what
//! others do. It is counted when it is first asked for and kept from then on; only repositories with a
//! limit are counted.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use corten_sys::fs;

use super::{Store, lock};
use crate::config::Pattern;
use crate::name::Name;
use crate::refusal::{Code, Refusal, Result};

/// What is allowed, in bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) total: Option<u64>,
    pub(crate) repositories: Vec<(Pattern, u64)>,
}

/// What is used.
#[derive(Debug)]
pub(crate) struct Usage {
    limits: Mutex<Limits>,
    /// Bytes of content, each counted once.
    stored: AtomicU64,
    /// Bytes by repository, as far as counted. Guards itself only.
    repositories: Mutex<HashMap<Name, u64>>,
}

impl Usage {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits: Mutex::new(limits),
            stored: AtomicU64::new(0),
            repositories: Mutex::default(),
        }
    }

    /// Changes what is allowed.
    pub(crate) fn allow(&self, limits: Limits) {
        *lock(&self.limits) = limits;
    }

    /// Bytes of content on the disk, each blob once.
    pub(crate) fn total(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    pub(super) fn stored(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn freed(&self, bytes: u64) {
        // Contents are counted before they can be freed.
        let _ = self
            .stored
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |stored| {
                Some(stored.saturating_sub(bytes))
            });
    }

    pub(super) fn added(&self, name: &Name, bytes: u64) {
        if let Some(used) = lock(&self.repositories).get_mut(name) {
            *used += bytes;
        }
    }

    pub(super) fn removed(&self, name: &Name, bytes: u64) {
        if let Some(used) = lock(&self.repositories).get_mut(name) {
            *used = used.saturating_sub(bytes);
        }
    }

    /// Refuses what would not fit: `bytes` more in a repository.
    ///
    /// # Errors
    /// `DENIED`.
    pub(crate) fn check(&self, store: &Store, name: &Name, bytes: u64) -> Result<()> {
        let (total, limit) = {
            let limits = lock(&self.limits);
            let own = limits
                .repositories
                .iter()
                .find(|(pattern, _)| pattern.matches(name.as_str()));
            (limits.total, own.map(|(_, limit)| *limit))
        };
        if total.is_some_and(|total| self.total().saturating_add(bytes) > total) {
            return Err(exceeded("the registry", total.unwrap_or(0), self.total()));
        }
        let Some(limit) = limit else { return Ok(()) };
        let used = self.used(store, name)?;
        if used.saturating_add(bytes) > limit {
            return Err(exceeded(&format!("repository {name}"), limit, used));
        }
        Ok(())
    }

    fn used(&self, store: &Store, name: &Name) -> io::Result<u64> {
        if let Some(used) = lock(&self.repositories).get(name) {
            return Ok(*used);
        }
        let used = store.repository_size(name)?;
        Ok(*lock(&self.repositories).entry(name.clone()).or_insert(used))
    }
}

fn exceeded(whose: &str, limit: u64, used: u64) -> Refusal {
    Refusal::new(
        Code::Denied,
        format!("the quota of {whose} is exceeded: {used} of {limit} bytes are used"),
    )
}

impl Store {
    /// Bytes of what a repository links to.
    pub(crate) fn repository_size(&self, name: &Name) -> io::Result<u64> {
        let mut size = 0;
        for folder in ["_blobs", "_manifests"] {
            let folder = self.repository_path(name).join(folder);
            let Some(entries) = fs::if_there(fs::read_dir(&folder))? else {
                continue;
            };
            for entry in entries.flatten() {
                size += entry.metadata().map_or(0, |metadata| metadata.len());
            }
        }
        Ok(size)
    }

    /// Counts all content; once, in the background, when the registry starts.
    pub(crate) fn count(&self) -> io::Result<()> {
        let mut bytes = 0;
        self.each_content(&mut |_, size| bytes += size)?;
        self.usage.stored(bytes);
        Ok(())
    }
}
