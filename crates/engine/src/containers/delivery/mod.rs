//! Delivering logs elsewhere: journald, syslog, fluentd, gelf.
//!
//! The shim writes the local log and knows nothing of receivers. For each container whose driver
//! delivers, a [`follower`] reads that log from where it was left, sends the lines to a
//! [`target`], and notes how far it came ([`place`]). So a receiver that is slow or gone holds nobody
//! up, and an engine that was killed goes on where it was.
//!
//! ```text
//!   container ──► shim ──► local log ──► follower ──► receiver
//!                            │              └──► delivered.json
//!                            └──► corten logs
//! ```
//!
//! A container may be removed before all of its lines are delivered. Then its log is moved aside, to
//! `undelivered/<id>` in the data root, and followed to its end there.

mod address;
mod connection;
mod fluentd;
mod follower;
mod gelf;
mod journald;
mod message;
mod msgpack;
mod place;
mod syslog;
mod target;
mod tls;

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use corten_api::{container::LogConfig, time::Time};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::follower::{Follower, Whereabouts};
pub(super) use self::{
    place::POSITION,
    target::{check, options},
};
use super::{
    Container,
    log_config::{COPY, Driver, FOLDER, Facts},
    logs::Changes,
    record::Record,
};
use crate::error::{Error, Result, blocking};

/// The folder of logs whose containers are gone, in the data root.
const UNDELIVERED: &str = "undelivered";
/// Where such a log came from.
const ORIGIN: &str = "origin.json";
/// What a log's file may be used for, as the shim makes it.
const MODE: u32 = 0o640;
/// The number of the origin's format that is written. Older ones are read.
const FORMAT: u32 = 1;

/// All followers.
#[derive(Debug)]
pub(super) struct Deliveries {
    root: PathBuf,
    changes: Changes,
    /// The followers that are at work; the lock is held while one comes or goes.
    followers: Arc<Mutex<Followers>>,
}

type Followers = HashMap<String, watch::Sender<Whereabouts>>;

/// What is kept of a container whose log outlives it.
#[derive(Debug, Serialize, Deserialize)]
struct Origin {
    format: u32,
    log: LogConfig,
    facts: Facts,
    /// When the container was removed.
    removed: Time,
}

impl Deliveries {
    pub(super) fn new(data_root: &Path, changes: Changes) -> Self {
        Self {
            root: data_root.join(UNDELIVERED),
            changes,
            followers: Arc::default(),
        }
    }

    /// Sees to it that a container's log is delivered, if its driver delivers.
    pub(super) fn follow(&self, container: &Container) {
        self.follow_from(container, None);
    }

    /// The same, from a log's first file on, which [`begin`] has opened.
    pub(super) fn follow_from(&self, container: &Container, begin: Option<File>) {
        let (log, facts) = {
            let record = &container.lock().record;
            let log = &record.host_config.log_config;
            if !matches!(Driver::of(log), Ok(Driver::Remote(_))) {
                return;
            }
            (log.clone(), Facts::of(record))
        };
        let folder = container.folder.join(FOLDER);
        // A container that never ran has no log.
        if !corten_sys::fs::exists(&folder).unwrap_or(true) {
            return;
        }
        let whereabouts = Whereabouts { folder, removed: None };
        self.spawn(log, facts, (whereabouts, begin), Some(container.status.subscribe()));
    }

    fn spawn(
        &self,
        log: LogConfig,
        facts: Facts,
        (whereabouts, begin): (Whereabouts, Option<File>),
        status: Option<watch::Receiver<super::Status>>,
    ) {
        let mut followers = self.followers();
        if followers.contains_key(&facts.id) {
            return;
        }
        let sender = watch::Sender::new(whereabouts);
        let follower = Follower {
            log,
            facts,
            whereabouts: sender.subscribe(),
            status,
            changes: self.changes.clone(),
            begin,
            followers: Arc::clone(&self.followers),
        };
        followers.insert(follower.facts.id.clone(), sender);
        tokio::spawn(follower.run());
    }

    /// Keeps the log of a container that is being removed, until it is delivered.
    pub(super) fn keep(&self, record: &Record, folder: &Path) -> Result<()> {
        let log = &record.host_config.log_config;
        let from = folder.join(FOLDER);
        if !matches!(Driver::of(log), Ok(Driver::Remote(_))) || !corten_sys::fs::exists(from.join(COPY))? {
            return Ok(());
        }
        let origin = Origin {
            format: FORMAT,
            log: log.clone(),
            facts: Facts::of(record),
            removed: Time::now(),
        };
        let bytes = serde_json::to_vec(&origin).map_err(|e| Error::internal("cannot keep a log").source(e))?;
        corten_sys::fs::write(from.join(ORIGIN), bytes)?;
        corten_sys::fs::create_dir_all_mode(&self.root, 0o700)?;
        let to = self.root.join(&record.id);
        let followers = self.followers();
        corten_sys::fs::rename(&from, &to)?;
        crate::crash::point("remove:log");
        let whereabouts = Whereabouts {
            folder: to,
            removed: Some(origin.removed),
        };
        match followers.get(&record.id) {
            Some(follower) => drop(follower.send_replace(whereabouts)),
            None => {
                drop(followers);
                self.spawn(origin.log, origin.facts, (whereabouts, None), None);
            }
        }
        Ok(())
    }

    /// Takes up the logs of containers that were removed before.
    pub(super) async fn resume(&self) {
        let root = self.root.clone();
        let found = match blocking(move || Ok(read_all(&root)?)).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error = error.report(), "cannot take up undelivered logs");
                return;
            }
        };
        for (folder, origin) in found {
            let whereabouts = Whereabouts {
                folder,
                removed: Some(origin.removed),
            };
            self.spawn(origin.log, origin.facts, (whereabouts, None), None);
        }
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the log of a container that starts for the first time, if its driver delivers: a follower that has
/// it open knows later what was rotated away before its first look. Its shim writes to the same file.
pub(super) fn begin(record: &Record, folder: &Path) -> Result<Option<File>> {
    let log = &record.host_config.log_config;
    let folder = folder.join(FOLDER);
    if !matches!(Driver::of(log), Ok(Driver::Remote(_))) || corten_sys::fs::exists(folder.join(POSITION))? {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(MODE);
    let file = corten_sys::fs::open_with(&options, folder.join(COPY))?;
    // What has lines is an earlier run's.
    Ok(match file.metadata()?.len() {
        0 => Some(file),
        _ => None,
    })
}

/// The logs that were kept; what is not one is removed.
fn read_all(root: &Path) -> std::io::Result<Vec<(PathBuf, Origin)>> {
    let Some(entries) = corten_sys::fs::if_there(corten_sys::fs::read_dir(root))? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        let origin = corten_sys::fs::read(folder.join(ORIGIN)).ok();
        let origin = origin.and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok());
        match origin.filter(|origin| origin.format <= FORMAT) {
            Some(origin) => found.push((folder, origin)),
            None => {
                tracing::warn!(folder = %folder.display(), "an undelivered log has no origin; it is removed");
                corten_sys::fs::remove_dir_all(&folder)?;
            }
        }
    }
    Ok(found)
}
