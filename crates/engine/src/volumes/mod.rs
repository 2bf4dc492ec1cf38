//! Volumes of the `local` driver: folders that outlive containers (Docker API, `/volumes`).
//!
//! A volume is `volumes/<name>/` below the data root: `_data` with the files and `volume.json`
//! with what it was made with. Who uses a volume is known from the containers, which
//! [acquire](Volumes::acquire) theirs when they are made or found again.

mod options;
mod usage;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use corten_api::{
    filters::Filters,
    time::Time,
    volume::{CreateRequest, Pruned, UsageData, Volume},
};
use corten_sys::fs;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    events::Events,
    identifiers,
    name_pattern::NamePattern,
    settings::Settings,
};

/// The label of volumes that nobody named.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// What the engine refuses about names, in Docker's words.
const NAMES: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

/// The volumes of the engine.
#[derive(Debug, Clone)]
pub struct Volumes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    events: Events,
    /// Guards the volumes by name, with their users.
    volumes: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    /// Ids of containers.
    users: BTreeSet<String>,
    /// Whether its options' file system is mounted.
    mounted: bool,
}

/// `volume.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    name: String,
    created_at: String,
    driver: String,
    labels: Option<BTreeMap<String, String>>,
    options: Option<BTreeMap<String, String>>,
}

/// Which volumes [`Volumes::prune`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that nobody named.
    Anonymous,
    /// All that are not in use.
    All,
}

impl Volumes {
    /// Reads the volumes below the data root.
    ///
    /// A folder whose record is damaged or absent is taken as a volume without labels and options.
    ///
    /// # Errors
    /// `Internal` when the folder cannot be made or read.
    pub fn open(settings: &Arc<Settings>, events: Events) -> Result<Self> {
        let root = settings.data_root.join("volumes");
        fs::create_dir_all_mode(&root, 0o701)?;
        let mut volumes = BTreeMap::new();
        for item in fs::read_dir(&root)? {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            let data = item.path().join("_data");
            if fs::if_there(fs::metadata(&data))?.is_some_and(|data| data.is_dir()) {
                let record = read_record(&item.path().join("volume.json"), &name);
                let mounted = record.options.is_some() && options::is_mounted(&data);
                volumes.insert(
                    name,
                    Entry {
                        record,
                        users: BTreeSet::new(),
                        mounted,
                    },
                );
            }
        }
        Ok(Self(Arc::new(Inner {
            root,
            events,
            volumes: Mutex::new(volumes),
        })))
    }

    /// Makes a volume; returns the one that has the name already, if there is one.
    ///
    /// # Errors
    /// `Invalid` for names and options that are none, `NotFound` for a driver other than `local`.
    pub fn create(&self, request: CreateRequest) -> Result<Volume> {
        let mut request = request;
        if request.name.is_empty() {
            request.name = identifiers::random();
            request.labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        let name = request.name.clone();
        check_driver(&request)
            .and_then(|()| check_name(&name))
            .map_err(|error| error.context(format!("create {name}")))?;
        let mut volumes = self.volumes();
        if let Some(entry) = volumes.get(&name) {
            return Ok(self.describe(entry));
        }
        options::check(&request.driver_opts).map_err(|error| error.context(format!("create {name}")))?;
        let record = Record {
            name: name.clone(),
            created_at: now_in_seconds(),
            driver: "local".to_owned(),
            labels: Some(request.labels),
            options: Some(request.driver_opts).filter(|options| !options.is_empty()),
        };
        self.write(&record)?;
        let entry = Entry {
            record,
            users: BTreeSet::new(),
            mounted: false,
        };
        let volume = self.describe(&entry);
        volumes.insert(name.clone(), entry);
        drop(volumes);
        self.emit("create", &name, &[]);
        Ok(volume)
    }

    /// Counts a container as user, and returns the folder with the files, mounted if the volume's
    /// options ask for it.
    ///
    /// # Errors
    /// `NotFound` when there is no such volume; `Internal` when its file system cannot be mounted.
    pub fn acquire(&self, name: &str, container_id: &str) -> Result<PathBuf> {
        let data = self.data(name);
        let mut volumes = self.volumes();
        let entry = volumes.get_mut(name).ok_or_else(|| missing(name))?;
        if let (Some(options), false) = (&entry.record.options, entry.mounted) {
            options::mount(options, &data)
                .map_err(|error| error.context(format!("error while mounting volume '{}'", data.display())))?;
            entry.mounted = options::needs_mount(options);
        }
        entry.users.insert(container_id.to_owned());
        Ok(data)
    }

    /// Counts a container as user no more. Unknown volumes and containers are no error.
    pub fn release(&self, name: &str, container_id: &str) {
        let mut volumes = self.volumes();
        let Some(entry) = volumes.get_mut(name) else {
            return;
        };
        entry.users.remove(container_id);
        if entry.users.is_empty() && entry.mounted {
            entry.mounted = options::unmount(&self.data(name)).is_err();
        }
    }

    /// Whether a volume has no name of its own.
    pub fn is_anonymous(&self, name: &str) -> bool {
        self.volumes().get(name).is_some_and(|entry| entry.is_anonymous())
    }

    /// Whether a volume exists.
    pub fn contains(&self, name: &str) -> bool {
        self.volumes().contains_key(name)
    }

    /// Describes a volume.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub fn get(&self, name: &str) -> Result<Volume> {
        self.volumes()
            .get(name)
            .map(|entry| self.describe(entry))
            .ok_or_else(|| missing(name))
    }

    /// Lists volumes by name (filters `name`, `driver`, `label`, `label!`, `dangling`).
    ///
    /// # Errors
    /// `Invalid` for other filters.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Volume>> {
        filters.accept(&["name", "driver", "label", "label!", "dangling"])?;
        let dangling = filters
            .has("dangling")
            .then(|| filters.switch("dangling", false))
            .transpose()?;
        let names: Vec<_> = filters.values("name").map(NamePattern::new).collect();
        Ok(self
            .volumes()
            .values()
            .filter(|entry| names.is_empty() || names.iter().any(|name| name.matches(&entry.record.name)))
            .filter(|entry| filters.exact("driver", &entry.record.driver))
            .filter(|entry| filters.labels(entry.labels()))
            .filter(|entry| dangling.is_none_or(|dangling| entry.users.is_empty() == dangling))
            .map(|entry| self.describe(entry))
            .collect())
    }

    /// Removes a volume and its files.
    ///
    /// # Errors
    /// `NotFound` when there is none (unless forced), `Conflict` when containers use it.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        match self.take(name) {
            Err(error) if force && error.kind() == Kind::NotFound => return Ok(()),
            taken => taken?,
        }
        self.emit("destroy", name, &[]);
        Ok(())
    }

    /// Removes volumes that no container uses (filters `label`, `label!`, `all`). Blocks.
    ///
    /// # Errors
    /// `Invalid` for other filters.
    pub fn prune(&self, filters: &Filters, scope: Scope) -> Result<Pruned> {
        filters.accept(&["label", "label!", "all"])?;
        let all = scope == Scope::All || all_filter(filters)?;
        let candidates: Vec<String> = self
            .volumes()
            .values()
            .filter(|entry| entry.users.is_empty() && (all || entry.is_anonymous()))
            .filter(|entry| filters.labels(entry.labels()))
            .map(|entry| entry.record.name.clone())
            .collect();
        let mut pruned = Pruned {
            volumes_deleted: Some(Vec::new()),
            space_reclaimed: 0,
        };
        for name in candidates {
            let size = usage::of(&self.data(&name)).unwrap_or(0);
            match self.remove(&name, false) {
                Ok(()) => {
                    pruned.space_reclaimed += size;
                    pruned.volumes_deleted.get_or_insert_default().push(name);
                }
                // Taken by a container in the meantime, or its files are busy: it stays.
                Err(error) => tracing::warn!(volume = name, error = error.report(), "the volume is kept"),
            }
        }
        let reclaimed = pruned.space_reclaimed.to_string();
        self.0.events.emit(
            "volume",
            "prune",
            "",
            BTreeMap::from([("reclaimed".to_owned(), reclaimed)]),
        );
        Ok(pruned)
    }

    /// Lists all volumes with their sizes and numbers of users (`GET /system/df`). Blocks.
    pub fn usage(&self) -> Vec<Volume> {
        let counted: Vec<_> = self
            .volumes()
            .values()
            .map(|entry| (self.describe(entry), entry.users.len()))
            .collect();
        counted
            .into_iter()
            .map(|(mut volume, users)| {
                let size = usage::of(&self.data(&volume.name))
                    .ok()
                    .and_then(|size| i64::try_from(size).ok());
                volume.usage_data = Some(UsageData {
                    ref_count: i64::try_from(users).unwrap_or(i64::MAX),
                    size: size.unwrap_or(-1),
                });
                volume
            })
            .collect()
    }

    /// Takes an unused volume off the list and its folder out of the way, then deletes the files.
    fn take(&self, name: &str) -> Result<()> {
        let mut volumes = self.volumes();
        let entry = volumes.get(name).ok_or_else(|| missing(name))?;
        if !entry.users.is_empty() {
            let users: Vec<_> = entry.users.iter().map(String::as_str).collect();
            return Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        if entry.mounted {
            options::unmount(&self.data(name)).map_err(|error| error.context(format!("remove {name}")))?;
        }
        // Names cannot begin with a dot, so this is no volume's folder.
        let away = self.0.root.join(format!(".removed-{}", identifiers::random()));
        fs::rename(self.0.root.join(name), &away)
            .map_err(|error| Error::internal(format!("remove {name}")).source(error))?;
        volumes.remove(name);
        drop(volumes);
        fs::remove_dir_all(&away).map_err(|error| Error::internal(format!("remove {name}")).source(error))
    }

    fn write(&self, record: &Record) -> Result<()> {
        let folder = self.0.root.join(&record.name);
        fs::create_dir_all_mode(&folder, 0o701)?;
        fs::create_dir_all_mode(folder.join("_data"), 0o755)?;
        let json = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::internal("cannot write the volume's record").source(error))?;
        fs::write_atomic(folder.join("volume.json"), json)?;
        Ok(())
    }

    fn describe(&self, entry: &Entry) -> Volume {
        Volume {
            created_at: entry.record.created_at.clone(),
            driver: entry.record.driver.clone(),
            labels: entry.record.labels.clone().filter(|labels| !labels.is_empty()),
            mountpoint: self.data(&entry.record.name).display().to_string(),
            name: entry.record.name.clone(),
            options: entry.record.options.clone(),
            scope: "local".to_owned(),
            usage_data: None,
        }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.0.root.join(name).join("_data")
    }

    fn emit(&self, action: &str, name: &str, more: &[(&str, &str)]) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.0.events.emit("volume", action, name, attributes);
    }

    fn volumes(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.record.labels.as_ref().unwrap_or(&NONE)
    }

    fn is_anonymous(&self) -> bool {
        self.labels().contains_key(ANONYMOUS)
    }
}

fn missing(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

fn check_driver(request: &CreateRequest) -> Result<()> {
    match request.driver.as_str() {
        "" | "local" | "default" => Ok(()),
        other => Err(Error::not_found(format!(
            "error looking up volume plugin {other}: plugin \"{other}\" not found"
        ))),
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    let first_fits = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_fits = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !first_fits || !rest_fits || name.len() > 255 {
        return Err(Error::invalid(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \"{NAMES}\" are allowed. \
             If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(())
}

fn read_record(path: &std::path::Path, name: &str) -> Record {
    let damaged = |why: String| {
        tracing::warn!(
            volume = name,
            why,
            "the volume's record cannot be read: its labels and options are lost"
        );
        Record {
            name: name.to_owned(),
            created_at: String::new(),
            driver: "local".to_owned(),
            labels: None,
            options: None,
        }
    };
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.name == name => record,
            Ok(_) => damaged("it is another volume's".to_owned()),
            Err(error) => damaged(error.to_string()),
        },
        Err(error) => damaged(error.to_string()),
    }
}

fn now_in_seconds() -> String {
    Time::from_nanoseconds(Time::now().seconds().saturating_mul(1_000_000_000)).to_string()
}

/// The filter `all` of prune, whose errors Docker words on its own.
fn all_filter(filters: &Filters) -> Result<bool> {
    filters.switch("all", false).map_err(|_| {
        let text = filters.values("all").collect::<Vec<_>>().join(" ");
        Error::invalid(format!(
            "invalid filter 'all': strconv.ParseBool: parsing \"{text}\": invalid syntax"
        ))
    })
}

#[cfg(test)]
mod tests;
