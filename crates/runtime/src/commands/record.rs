//! What the commands remember of a container between two calls: one file in one folder.
//!
//! The file says what was made; what has become of it is asked of the kernel each time.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use corten_oci::runtime::{Spec, State, Status};
use corten_sys::fs;
use corten_sys::process::{PidFd, is_zombie, start_time};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::context::invalid;
use crate::error::{Error, Kind, Result};

/// The format's number.
const FORMAT: u32 = 1;
const FILE: &str = "state.json";
const FIFO: &str = "exec.fifo";

/// A container as it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    /// The file's format.
    pub(super) format: u32,
    /// The container's id.
    pub(super) id: String,
    /// The first process, as the host counts.
    pub(super) pid: i32,
    /// When it started.
    pub(super) start_time: u64,
    /// When the container was made, RFC 3339.
    pub(super) created: String,
    /// Who made it.
    pub(super) owner: u32,
    /// The bundle.
    pub(super) bundle: PathBuf,
    /// The configuration.
    pub(super) config: Spec,
}

/// The folder of all containers.
#[derive(Debug, Clone)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Takes a folder, which need not be there.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.0.join(id)
    }

    /// The path of a container's fifo, which is there until it is started.
    pub(super) fn fifo(&self, id: &str) -> PathBuf {
        self.folder(id).join(FIFO)
    }

    /// Makes a container's folder.
    pub(super) fn claim(&self, id: &str) -> Result<()> {
        check_id(id)?;
        fs::create_dir_all_mode(&self.0, 0o711).map_err(failed)?;
        match fs::create_dir(self.folder(id)) {
            Ok(()) => fs::set_mode(self.folder(id), 0o711).map_err(failed),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::new(Kind::Conflict, "container with given ID already exists"))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes a container's folder.
    pub(super) fn release(&self, id: &str) -> Result<()> {
        check_id(id)?;
        match fs::remove_dir_all(self.folder(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Writes a container's record.
    pub(super) fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record)
            .map_err(|error| Error::new(Kind::Internal, "cannot write the state").with_source(error))?;
        fs::write_atomic(self.folder(&record.id).join(FILE), text).map_err(failed)
    }

    /// Reads a container's record.
    pub(super) fn read(&self, id: &str) -> Result<Record> {
        check_id(id)?;
        let text = match fs::read(self.folder(id).join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(Kind::NotFound, "container does not exist"));
            }
            Err(error) => return Err(failed(error)),
        };
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
            Error::new(Kind::Internal, format!("the state of {id:?} is damaged")).with_source(error)
        })?;
        if record.format != FORMAT {
            return Err(invalid(format!(
                "the state of {id:?} has the unknown format {}",
                record.format
            )));
        }
        Ok(record)
    }

    /// The ids of all containers, in order.
    pub(super) fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut ids: Vec<_> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|id| fs::exists(self.folder(id).join(FILE)).unwrap_or(false))
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Asks the kernel what has become of a container.
    pub(super) fn status(&self, record: &Record) -> Result<Status> {
        if !record.is_alive() {
            return Ok(Status::Stopped);
        }
        if fs::exists(self.fifo(&record.id)).map_err(failed)? {
            return Ok(Status::Created);
        }
        let frozen = record
            .cgroup()?
            .is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false));
        Ok(if frozen { Status::Paused } else { Status::Running })
    }
}

impl Record {
    /// Describes a container just made.
    pub(super) fn new(id: &str, bundle: &Path, config: Spec, pid: i32, start_time: u64) -> Self {
        Self {
            format: FORMAT,
            id: id.into(),
            pid,
            start_time,
            created: now(),
            owner: rustix::process::geteuid().as_raw(),
            bundle: bundle.into(),
            config,
        }
    }

    /// Whether the first process is still that one, and hasn't ended.
    pub(super) fn is_alive(&self) -> bool {
        start_time(self.pid).is_ok_and(|time| time == self.start_time) && !is_zombie(self.pid).unwrap_or(true)
    }

    /// Takes hold of the first process; none when it has ended.
    pub(super) fn process(&self) -> Option<PidFd> {
        let process = PidFd::open(self.pid).ok()?;
        // Only now is it sure that the number still meant this one when the descriptor was made.
        self.is_alive().then_some(process)
    }

    /// Opens the container's cgroup, if it has one that is there.
    pub(super) fn cgroup(&self) -> Result<Option<Cgroup>> {
        let path = self
            .config
            .linux
            .as_ref()
            .and_then(|linux| linux.cgroups_path.as_deref());
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        match Cgroup::open(Path::new(path)) {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The root file system's path on the host.
    pub(super) fn rootfs(&self) -> PathBuf {
        let root = self.config.root.as_ref().map(|root| root.path.as_path());
        self.bundle.join(root.unwrap_or(Path::new("")))
    }

    /// The state document (runtime.md "State").
    pub(super) fn state(&self, status: Status) -> State {
        State {
            oci_version: self.config.oci_version.clone(),
            id: self.id.clone(),
            status,
            pid: Some(if status == Status::Stopped { 0 } else { self.pid }),
            bundle: self.bundle.clone(),
            annotations: self.config.annotations.clone(),
        }
    }
}

/// An id is a file's name and more: letters, digits and `_+-.`, and neither `.` nor `..`.
fn check_id(id: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.len() > 1024 || !id.bytes().all(allowed) || id == "." || id == ".." {
        return Err(invalid(format!("invalid container ID format: {id:?}")));
    }
    Ok(())
}

fn failed(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, "cannot keep the container's state").with_source(error)
}

/// The time, as RFC 3339 with nanoseconds.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(since.as_secs(), since.subsec_nanos())
}

fn timestamp(seconds: u64, nanoseconds: u32) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Counted from 1 March of year 0, leap days come last: eras of 400 years have 146097 days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (1_767_225_599, "2025-12-31T23:59:59"),
        ] {
            assert_eq!(timestamp(seconds, 7), format!("{date}.000000007Z"));
        }
    }

    #[test]
    fn ids_are_names() {
        for good in ["a", "A-b_c.1+2", "..."] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../a", "a b", "ü"] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_claimed_id_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().join("new"));
        assert_eq!(root.ids().unwrap(), [] as [String; 0]);
        root.claim("a").unwrap();
        assert_eq!(root.claim("a").unwrap_err().kind(), Kind::Conflict);
        assert_eq!(root.read("a").unwrap_err().chain(), "container does not exist");
        let record = Record::new("a", Path::new("/b"), Spec::default(), 1, 0);
        root.write(&record).unwrap();
        assert_eq!(root.ids().unwrap(), ["a"]);
        assert_eq!(root.status(&root.read("a").unwrap()).unwrap(), Status::Stopped);
        root.release("a").unwrap();
        root.release("a").unwrap();
        assert_eq!(root.ids().unwrap(), [] as [String; 0]);
    }
}
