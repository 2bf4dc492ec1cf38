//! Builds that have ended: `buildkit/history/<name>/` in the data root, with `record`, `log` and `provenance`.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use corten_engine::builds::HistoryRules;
use corten_oci::digest::Digest;
use corten_sys::fs;
use prost::Message as _;
use tokio::sync::broadcast;

use crate::{
    grpc::{Result, Status},
    proto::control::{BuildHistoryEvent, BuildHistoryRecord, Descriptor, HistoryEventKind, StatusResponse},
};

/// Events that may wait for a listener.
const WAITING: usize = 64;

/// The media types of a log, and of a document on what was used.
pub(crate) const LOG: &str = "application/vnd.buildkit.status.v0";
pub(crate) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The builds that have ended.
#[derive(Debug)]
pub(crate) struct History {
    folder: PathBuf,
    rules: HistoryRules,
    /// Guards the folder: one change at a time.
    changing: Mutex<()>,
    events: broadcast::Sender<BuildHistoryEvent>,
}

/// A log on the disk.
#[derive(Clone, PartialEq, prost::Message)]
struct Recorded {
    #[prost(message, repeated, tag = "1")]
    messages: Vec<StatusResponse>,
}

impl History {
    /// What is in a folder, which need not be there yet.
    pub(crate) fn new(folder: PathBuf, rules: HistoryRules) -> Self {
        Self {
            folder,
            rules,
            changing: Mutex::default(),
            events: broadcast::channel(WAITING).0,
        }
    }

    /// Hears of what happens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<BuildHistoryEvent> {
        self.events.subscribe()
    }

    /// Tells those who listen.
    pub(crate) fn tell(&self, kind: HistoryEventKind, record: BuildHistoryRecord) {
        // Nobody listens: fine.
        let _ = self.events.send(BuildHistoryEvent {
            kind: kind.into(),
            record: Some(record),
        });
    }

    fn place(&self, name: &str) -> Result<PathBuf> {
        let plain = !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match plain {
            true => Ok(self.folder.join(name)),
            false => Err(Status::not_found(format!("no build record {name:?}"))),
        }
    }

    /// Keeps a build.
    pub(crate) fn add(
        &self,
        mut record: BuildHistoryRecord,
        log: Vec<StatusResponse>,
        provenance: Option<&[u8]>,
    ) -> Result<()> {
        let place = self.place(&record.reference)?;
        {
            let _changing = self.changing.lock();
            fs::create_dir_all_mode(&place, 0o700)?;
            let log = Recorded { messages: log }.encode_to_vec();
            record.logs = Some(descriptor(LOG, &log));
            fs::write(place.join("log"), &log)?;
            if let Some(provenance) = provenance {
                fs::write(place.join("provenance"), provenance)?;
            }
            fs::write_atomic(place.join("record"), record.encode_to_vec())?;
            self.trim();
        }
        self.tell(HistoryEventKind::Complete, record);
        Ok(())
    }

    /// Forgets the oldest of too many, and those that are too old.
    fn trim(&self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let (now, rules) = (now.unwrap_or_default(), self.rules);
        let is_old = |record: &BuildHistoryRecord| {
            let ended = record.completed_at.or(record.created_at).unwrap_or_default();
            let ended = std::time::Duration::from_secs(u64::try_from(ended.seconds).unwrap_or_default());
            rules.age.is_some_and(|age| now.saturating_sub(ended) > age)
        };
        let unpinned = self.list().into_iter().filter(|record| !record.pinned).enumerate();
        for (_, record) in unpinned.filter(|(number, record)| *number >= rules.most || is_old(record)) {
            if let Ok(place) = self.place(&record.reference)
                && let Err(error) = fs::remove_dir_all(place)
            {
                tracing::warn!(%error, "an old build cannot be forgotten");
            }
        }
    }

    /// All, the newest first.
    pub(crate) fn list(&self) -> Vec<BuildHistoryRecord> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut records: Vec<BuildHistoryRecord> = entries.filter_map(|entry| read(&entry.path())).collect();
        records.sort_by_key(|record| {
            let time = record.created_at.unwrap_or_default();
            std::cmp::Reverse((time.seconds, time.nanos))
        });
        records
    }

    /// One by its name.
    pub(crate) fn get(&self, name: &str) -> Option<BuildHistoryRecord> {
        read(&self.place(name).ok()?)
    }

    /// What it told.
    pub(crate) fn log(&self, name: &str) -> Option<Vec<StatusResponse>> {
        let bytes = fs::read(self.place(name).ok()?.join("log")).ok()?;
        Some(Recorded::decode(bytes.as_slice()).ok()?.messages)
    }

    /// A document of any of them, by its digest.
    pub(crate) fn blob(&self, digest: &str) -> Option<(Vec<u8>, BuildHistoryRecord)> {
        self.list().into_iter().find_map(|record| {
            let attested = record.result.iter().flat_map(|result| &result.attestations);
            let logs = record.logs.iter();
            let file = attested
                .map(|one| (one, "provenance"))
                .chain(logs.map(|one| (one, "log")));
            let name = file.into_iter().find(|(one, _)| one.digest == digest)?.1;
            let bytes = fs::read(self.place(&record.reference).ok()?.join(name)).ok()?;
            Some((bytes, record))
        })
    }

    /// Forgets one.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let place = self.place(name)?;
        let record = read(&place).ok_or_else(|| Status::not_found(format!("no build record {name:?}")))?;
        {
            let _changing = self.changing.lock();
            fs::if_there(fs::remove_dir_all(place))?;
        }
        self.tell(HistoryEventKind::Deleted, record);
        Ok(())
    }

    /// Keeps one although many come after it, or no more.
    pub(crate) fn pin(&self, name: &str, pinned: bool) -> Result<()> {
        let place = self.place(name)?;
        let _changing = self.changing.lock();
        let mut record = read(&place).ok_or_else(|| Status::not_found(format!("no build record {name:?}")))?;
        record.pinned = pinned;
        record.generation += 1;
        Ok(fs::write_atomic(place.join("record"), record.encode_to_vec())?)
    }
}

fn read(place: &Path) -> Option<BuildHistoryRecord> {
    BuildHistoryRecord::decode(fs::read(place.join("record")).ok()?.as_slice()).ok()
}

/// What names a document.
pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::sha256(bytes).to_string(),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..Descriptor::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parts::Time;

    fn record(name: &str, seconds: i64) -> BuildHistoryRecord {
        BuildHistoryRecord {
            reference: name.into(),
            created_at: Some(Time { seconds, nanos: 0 }),
            ..BuildHistoryRecord::default()
        }
    }

    #[test]
    fn old_builds_are_forgotten_unless_pinned() {
        let place = tempfile::tempdir().unwrap();
        let history = History::new(place.path().join("history"), HistoryRules::default());
        history.add(record("first", 0), Vec::new(), Some(b"{}")).unwrap();
        history.pin("first", true).unwrap();
        for number in 1..=i64::try_from(HistoryRules::default().most).unwrap() + 1 {
            history
                .add(record(&format!("b{number}"), number), Vec::new(), None)
                .unwrap();
        }
        let names: Vec<String> = history.list().into_iter().map(|record| record.reference).collect();
        assert_eq!(names.len(), HistoryRules::default().most + 1);
        assert_eq!(
            (names[0].as_str(), names[HistoryRules::default().most].as_str()),
            ("b51", "first")
        );
        assert_eq!(history.log("first"), Some(Vec::new()));
        history.remove("first").unwrap();
        assert!(history.get("first").is_none() && history.remove("first").is_err());
        assert!(history.get("../x").is_none() && history.pin("", true).is_err());
    }
}
