//! Volumes: folders that outlive containers (Docker API, `/volumes`).
//!
//! A volume is `volumes/<name>/` below the data root: `_data` with the files and `volume.json`
//! with what it was made with; one that a plugin keeps has the record alone. Who uses a volume is
//! known from the containers, which [acquire](Volumes::acquire) theirs when they are made or found
//! again, and [mount](Volumes::mount) them while they run.
//!
//! Locks: the map is locked for moments only; a volume's turn is held while its driver works, so that
//! mounting and unmounting one take turns, and a slow plugin delays nobody else.

mod listing;
mod names;
mod options;
mod plugin_http;
mod plugins;
mod record;
mod usage;
mod uses;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use corten_api::{
    filters::Filters,
    volume::{CreateRequest, Pruned, Volume},
};
use corten_sys::fs;

pub use self::uses::Held;
use self::{plugins::Plugins, record::Record};
use crate::{
    error::{Error, Kind, Result},
    events::Events,
    identifiers,
    settings::Settings,
};

/// The driver that is ours.
pub(crate) const LOCAL: &str = "local";

/// The label of volumes that nobody named.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// The volumes of the engine.
#[derive(Debug, Clone)]
pub struct Volumes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    events: Events,
    /// Guards the volumes by name, with their users.
    volumes: Mutex<BTreeMap<String, Entry>>,
    /// What is held while a volume's driver works.
    turns: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    plugins: Plugins,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    /// Ids of containers.
    users: BTreeSet<String>,
    /// Who has it mounted: containers that run, and copies.
    mounts: BTreeSet<String>,
    /// Whether its options' file system is mounted.
    mounted: bool,
    /// Where a plugin has mounted it.
    mountpoint: Option<PathBuf>,
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
            if name.starts_with('.') {
                continue;
            }
            if let Some(entry) = Entry::read(&item.path(), &name)? {
                volumes.insert(name, entry);
            }
        }
        Ok(Self(Arc::new(Inner {
            root,
            events,
            volumes: Mutex::new(volumes),
            turns: Mutex::default(),
            plugins: Plugins::new(settings.exec_root.join("plugins")),
        })))
    }

    /// Makes a volume; returns the one that has the name already, if there is one. Blocks.
    ///
    /// # Errors
    /// `Invalid` for names and options that are none, `NotFound` for a driver that is not there,
    /// `Conflict` when the volume there has another driver.
    pub fn create(&self, request: CreateRequest) -> Result<Volume> {
        let mut request = request;
        if request.name.is_empty() {
            request.name = identifiers::random();
            request.labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        if request.driver == "default" {
            request.driver.clear();
        }
        let name = request.name.clone();
        let failed = |error: Error| error.context(format!("create {name}"));
        names::check(&name).map_err(failed)?;
        let turn = self.turn(&name);
        let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(volume) = self.existing(&request)? {
            return Ok(volume);
        }
        let plugin = match request.driver.as_str() {
            "" | LOCAL => None,
            driver => Some(self.0.plugins.get(driver).map_err(failed)?),
        };
        match &plugin {
            None => options::check(&request.driver_opts).map_err(failed)?,
            // One that it knows is taken over.
            Some(plugin) if plugin.describe(&name).is_ok() => {}
            Some(plugin) => plugin.create(&name, &request.driver_opts).map_err(failed)?,
        }
        let record = Record::new(request);
        let is_local = plugin.is_none();
        record.write(&self.0.root, is_local)?;
        let driver = record.driver.clone();
        let volume = self.describe_record(&record);
        self.volumes().insert(name.clone(), Entry::new(record));
        self.emit("create", &name, &[("driver", &driver)]);
        match plugin {
            None => Ok(volume),
            Some(plugin) => Ok(listing::with_plugins_words(volume, &plugin)),
        }
    }

    /// The volume that a request means, when it is there.
    fn existing(&self, request: &CreateRequest) -> Result<Option<Volume>> {
        if let Some(entry) = self.volumes().get(&request.name) {
            let other = !request.driver.is_empty() && request.driver != entry.record.driver;
            if other {
                return Err(Error::conflict(format!(
                    "create {}: volume name must be unique",
                    request.name
                )));
            }
            return Ok(Some(self.describe(entry)));
        }
        if !request.driver.is_empty() {
            return Ok(None);
        }
        Ok(self.adopt(&request.name))
    }

    /// Takes up a volume that only a plugin knows.
    fn adopt(&self, name: &str) -> Option<Volume> {
        let (driver, plugin, told) = self.told_by_plugins(name)?;
        let mut record = Record::new(CreateRequest {
            name: name.to_owned(),
            driver,
            ..CreateRequest::default()
        });
        record.created_at = told.created_at;
        if let Err(error) = record.write(&self.0.root, false) {
            tracing::warn!(volume = name, error = error.report(), "cannot record a plugin's volume");
        }
        let volume = self.describe_record(&record);
        self.volumes().insert(name.to_owned(), Entry::new(record));
        Some(listing::with_plugins_words(volume, &plugin))
    }

    /// Whether a volume has no name of its own.
    pub fn is_anonymous(&self, name: &str) -> bool {
        self.volumes()
            .get(name)
            .is_some_and(|entry| entry.record.is_anonymous())
    }

    /// Whether a volume exists.
    pub fn contains(&self, name: &str) -> bool {
        self.volumes().contains_key(name)
    }

    /// Removes a volume and its files. Blocks.
    ///
    /// # Errors
    /// `NotFound` when there is none (unless forced), `Conflict` when containers use it.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        let turn = self.turn(name);
        let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.contains(name) || self.adopt(name).is_some();
        if !known {
            return if force { Ok(()) } else { Err(missing(name)) };
        }
        let driver = self.take(name, force)?;
        self.turns().remove(name);
        self.emit("destroy", name, &[("driver", &driver)]);
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
            .filter(|entry| entry.record.driver == LOCAL && entry.users.is_empty() && entry.mounts.is_empty())
            .filter(|entry| all || entry.record.is_anonymous())
            .filter(|entry| filters.labels(entry.record.labels()))
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

    /// Takes an unused volume off the list and its folder out of the way, then deletes the files.
    /// Returns its driver.
    fn take(&self, name: &str, force: bool) -> Result<String> {
        let failed = |error: Error| error.context(format!("remove {name}"));
        let (driver, mounted) = {
            let volumes = self.volumes();
            let entry = volumes.get(name).ok_or_else(|| missing(name))?;
            if !entry.users.is_empty() || !entry.mounts.is_empty() {
                let users: Vec<_> = entry.users.iter().map(String::as_str).collect();
                return Err(Error::conflict(format!(
                    "remove {name}: volume is in use - [{}]",
                    users.join(", ")
                )));
            }
            (entry.record.driver.clone(), entry.mounted)
        };
        // A server may take its time: other volumes don't wait. Its turn is ours, so nobody mounts it.
        if mounted {
            options::unmount(&self.data(name)).map_err(failed)?;
            if let Some(entry) = self.volumes().get_mut(name) {
                entry.mounted = false;
            }
        }
        if driver != LOCAL {
            match self.0.plugins.get(&driver).and_then(|plugin| plugin.remove(name)) {
                Err(error) if !force && error.kind() != Kind::NotFound => return Err(failed(error)),
                Err(error) if !force && !error.message().contains("no such volume") => return Err(failed(error)),
                _ => {}
            }
        }
        // Nobody has come to use it: its turn is ours, and users are counted under the map's lock.
        let mut volumes = self.volumes();
        if volumes.get(name).is_some_and(|entry| !entry.users.is_empty()) {
            return Err(Error::conflict(format!("remove {name}: volume is in use")));
        }
        // Names cannot begin with a dot, so this is no volume's folder.
        let away = self.0.root.join(format!(".removed-{}", identifiers::random()));
        fs::rename(self.0.root.join(name), &away)
            .map_err(|error| Error::internal(format!("remove {name}")).source(error))?;
        volumes.remove(name);
        drop(volumes);
        fs::remove_dir_all(&away).map_err(|error| Error::internal(format!("remove {name}")).source(error))?;
        Ok(driver)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.0.root.join(name).join("_data")
    }

    /// Tells listeners what happened to a volume.
    pub(crate) fn emit(&self, action: &str, name: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        self.0.events.emit("volume", action.to_owned(), name, attributes);
    }

    fn volumes(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<()>>>> {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held while a volume's driver works.
    fn turn(&self, name: &str) -> Arc<Mutex<()>> {
        Arc::clone(self.turns().entry(name.to_owned()).or_default())
    }
}

impl Entry {
    fn new(record: Record) -> Self {
        Self {
            record,
            users: BTreeSet::new(),
            mounts: BTreeSet::new(),
            mounted: false,
            mountpoint: None,
        }
    }

    /// Reads a volume's folder; none when it is no volume's.
    fn read(folder: &std::path::Path, name: &str) -> Result<Option<Self>> {
        let data = folder.join("_data");
        let has_data = fs::if_there(fs::metadata(&data))?.is_some_and(|data| data.is_dir());
        let file = folder.join(record::FILE);
        if !has_data && !fs::exists(&file)? {
            return Ok(None);
        }
        let mut entry = Self::new(Record::read(&file, name));
        if entry.record.driver == LOCAL && !has_data {
            return Ok(None);
        }
        entry.mounted = entry.record.options.is_some() && entry.record.driver == LOCAL && options::is_mounted(&data);
        Ok(Some(entry))
    }
}

fn missing(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
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
