//! Volume drivers that are other programs (Docker's "Volume plugins" protocol).
//!
//! A plugin is a socket or an address in one of three folders of Docker's, or in `plugins` below the
//! exec root. It is asked what it implements when it
//! is first needed, and again when its file is another one. Every call waits for the plugin: nobody
//! calls these with a lock held that others need.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use corten_sys::fs;
use serde::{Deserialize, Serialize};

use super::plugin_http::Address;
use crate::error::{Error, Kind, Result};

/// Where sockets are.
const SOCKETS: &str = "/run/docker/plugins";
/// Where files with addresses are; the first found wins.
const SPECS: [&str; 2] = ["/etc/docker/plugins", "/usr/lib/docker/plugins"];

/// The volume plugins of this machine.
#[derive(Debug)]
pub(super) struct Plugins {
    /// Where all kinds of files may be.
    own: PathBuf,
    /// Plugins by name, with the file that told of them.
    known: Mutex<HashMap<String, (PathBuf, Arc<Plugin>)>>,
}

/// A volume plugin.
#[derive(Debug)]
pub(super) struct Plugin {
    address: Address,
    /// `local` or `global`.
    pub(super) scope: String,
}

/// A volume, as its plugin tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) mountpoint: String,
    pub(super) created_at: String,
    pub(super) status: Option<BTreeMap<String, serde_json::Value>>,
}

/// What all answers have: an error, or what was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    err: String,
    mountpoint: String,
    volume: Option<Told>,
    volumes: Option<Vec<Told>>,
    capabilities: Option<Capabilities>,
    implements: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Capabilities {
    scope: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    name: &'a str,
    #[serde(rename = "ID", skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opts: Option<&'a BTreeMap<String, String>>,
}

impl Plugins {
    /// The plugins of an engine, whose own folder comes first.
    pub(super) fn new(own: PathBuf) -> Self {
        Self {
            own,
            known: Mutex::default(),
        }
    }

    /// A plugin by name. Blocks.
    ///
    /// # Errors
    /// `NotFound` in Docker's words when there is none, or it is no volume plugin.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Plugin>> {
        let absent = || {
            Error::not_found(format!(
                "error looking up volume plugin {name}: plugin \"{name}\" not found"
            ))
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(absent());
        }
        let (file, address) = self.find(name).ok_or_else(absent)?;
        if let Some((known, plugin)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name)
            && *known == file
        {
            return Ok(Arc::clone(plugin));
        }
        let plugin = Arc::new(Plugin::activate(name, address?)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), (file, Arc::clone(&plugin)));
        Ok(plugin)
    }

    /// The file that tells of a plugin, and the address it tells.
    fn find(&self, name: &str) -> Option<(PathBuf, Result<Address>)> {
        for folder in [self.own.as_path(), Path::new(SOCKETS)] {
            for socket in [
                folder.join(format!("{name}.sock")),
                folder.join(name).join(format!("{name}.sock")),
            ] {
                if is_socket(&socket) {
                    return Some((socket.clone(), Ok(Address::Unix(socket))));
                }
            }
        }
        for folder in [self.own.as_path(), Path::new(SPECS[0]), Path::new(SPECS[1])] {
            for folder in [folder.to_path_buf(), folder.join(name)] {
                let spec = folder.join(format!("{name}.spec"));
                if let Ok(text) = fs::read_to_string(&spec) {
                    return Some((spec, Address::parse(&text)));
                }
                let json = folder.join(format!("{name}.json"));
                if let Ok(text) = fs::read_to_string(&json) {
                    return Some((json, from_json(&text)));
                }
            }
        }
        None
    }

    /// All volume plugins that answer, by name. Blocks.
    pub(super) fn all(&self) -> Vec<(String, Arc<Plugin>)> {
        let mut names: Vec<String> = [
            self.own.as_path(),
            Path::new(SOCKETS),
            Path::new(SPECS[0]),
            Path::new(SPECS[1]),
        ]
        .into_iter()
        .flat_map(names_in)
        .collect();
        names.sort();
        names.dedup();
        let get = |name: String| match self.get(&name) {
            Ok(plugin) => Some((name, plugin)),
            Err(error) => {
                tracing::debug!(
                    plugin = name,
                    error = error.report(),
                    "a plugin is no volume plugin, or does not answer"
                );
                None
            }
        };
        names.into_iter().filter_map(get).collect()
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    fs::metadata(path).is_ok_and(|about| about.file_type().is_socket())
}

fn from_json(text: &str) -> Result<Address> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Spec {
        addr: String,
        #[serde(rename = "TLSConfig", default)]
        tls: Option<serde_json::Value>,
    }
    let spec: Spec = serde_json::from_str(text).map_err(|e| Error::invalid("a plugin's file is no JSON").source(e))?;
    match spec.tls {
        Some(tls) if !tls.is_null() => Err(Error::unsupported("plugins over TLS are not supported")),
        _ => Address::parse(&spec.addr),
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(items) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let name = |path: PathBuf| {
        let stem = path.file_stem()?.to_string_lossy().into_owned();
        match path.extension().and_then(|end| end.to_str()) {
            Some("sock" | "spec" | "json") => Some(stem),
            None if path.is_dir() => Some(stem),
            _ => None,
        }
    };
    items.flatten().filter_map(|item| name(item.path())).collect()
}

impl Plugin {
    fn activate(name: &str, address: Address) -> Result<Self> {
        let lookup = |error: Error| error.context(format!("error looking up volume plugin {name}"));
        let answer: Answer = address
            .call("Plugin.Activate", &serde_json::Map::new())
            .map_err(lookup)?;
        if !answer.implements.iter().flatten().any(|what| what == "VolumeDriver") {
            return Err(Error::not_found(format!(
                "error looking up volume plugin {name}: plugin does not implement the requested driver"
            )));
        }
        let mut plugin = Self {
            address,
            scope: "local".to_owned(),
        };
        // Plugins from before version 1.12 have no such method.
        if let Ok(answer) = plugin.ask("VolumeDriver.Capabilities", &Request::default())
            && let Some(capabilities) = answer.capabilities
            && !capabilities.scope.is_empty()
        {
            plugin.scope = capabilities.scope.to_ascii_lowercase();
        }
        Ok(plugin)
    }

    fn ask(&self, method: &str, request: &Request<'_>) -> Result<Answer> {
        let answer: Answer = self.address.call(method, request)?;
        if answer.err.is_empty() {
            return Ok(answer);
        }
        let kind = match answer.err.to_ascii_lowercase().contains("not found") || answer.err.contains("no such volume")
        {
            true => Kind::NotFound,
            false => Kind::Internal,
        };
        Err(Error::new(kind, answer.err))
    }

    pub(super) fn create(&self, name: &str, options: &BTreeMap<String, String>) -> Result<()> {
        let opts = Some(options);
        self.ask("VolumeDriver.Create", &Request { name, opts, id: None })
            .map(drop)
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.ask("VolumeDriver.Remove", &named(name)).map(drop)
    }

    /// Mounts a volume for a user of it, and says where.
    pub(super) fn mount(&self, name: &str, id: &str) -> Result<PathBuf> {
        let answer = self.ask(
            "VolumeDriver.Mount",
            &Request {
                id: Some(id),
                ..named(name)
            },
        )?;
        match answer.mountpoint.starts_with('/') {
            true => Ok(answer.mountpoint.into()),
            false => self.path(name),
        }
    }

    pub(super) fn unmount(&self, name: &str, id: &str) -> Result<()> {
        self.ask(
            "VolumeDriver.Unmount",
            &Request {
                id: Some(id),
                ..named(name)
            },
        )
        .map(drop)
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.ask("VolumeDriver.Path", &named(name))?.mountpoint;
        match path.starts_with('/') {
            true => Ok(path.into()),
            false => Err(Error::internal(format!(
                "the plugin has no place for volume {name}: {path:?}"
            ))),
        }
    }

    pub(super) fn describe(&self, name: &str) -> Result<Told> {
        let told = self.ask("VolumeDriver.Get", &named(name))?.volume;
        told.filter(|told| told.name == name)
            .ok_or_else(|| Error::not_found(format!("get {name}: no such volume")))
    }

    pub(super) fn list(&self) -> Result<Vec<Told>> {
        Ok(self
            .ask("VolumeDriver.List", &Request::default())?
            .volumes
            .unwrap_or_default())
    }
}

fn named(name: &str) -> Request<'_> {
    Request {
        name,
        ..Request::default()
    }
}
