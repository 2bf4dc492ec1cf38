//! What is to be built.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use corten_oci::platform::Platform;

use crate::attest::Attest;
use crate::context::Context;
use crate::error::Result;
use crate::exchange::{Blobs, CacheTo};
use crate::executor::FoundDevice;
use crate::output::Output;

/// Everything that a build is told.
#[derive(Debug)]
pub struct Request {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// Its name, for people.
    pub name: String,
    /// Files for COPY, ADD and mounts; none when only a Dockerfile was sent.
    pub context: Option<Arc<dyn Context>>,
    /// What stands for images and contexts of these names (`--build-context`).
    pub contexts: BTreeMap<String, Named>,
    /// The stage to build; empty for the last.
    pub target: String,
    /// Values for `ARG`; none takes the default.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// What is not taken from the cache.
    pub fresh: Fresh,
    /// Images whose layers may be used again.
    pub cache_from: Vec<String>,
    /// Caches elsewhere whose steps may be used again.
    pub imports: Vec<Arc<dyn Blobs>>,
    /// Where the steps go that this build does or finds.
    pub exports: Vec<CacheTo>,
    /// Whether the image says how its steps are found again (`--cache-to type=inline`).
    pub inline_cache: bool,
    /// What is stated about the image.
    pub attest: Attest,
    /// Where steps that were done before are looked for.
    pub steps_from: StepsFrom,
    /// What the image is for: one platform, or several.
    pub platforms: Vec<Platform>,
    /// Whether the platform was asked for; then the base image must be for it.
    pub platform_given: bool,
    /// What `RUN --mount=type=secret` may see.
    pub secrets: Arc<dyn Secrets>,
    /// What `RUN --mount=type=ssh` may talk to.
    pub agents: Arc<dyn Agents>,
    /// What steps are allowed beyond the usual.
    pub allowed: Allowed,
    /// The name of the build's network, part of what a step sees.
    pub network: String,
    /// Whether misses of the cache are explained.
    pub explain: bool,
    /// Whether all layers of the build become one.
    pub squash: bool,
    /// What becomes of the result; nothing when there are none.
    pub outputs: Vec<Arc<dyn Output>>,
}

/// What stands for a name.
#[derive(Debug, Clone)]
pub enum Named {
    /// Files.
    Files(Arc<dyn Context>),
    /// An image, by its own name or id.
    Image(String),
    /// An image in an OCI layout.
    Layout(Arc<dyn Blobs>),
}

/// What is done anew although the cache may have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fresh {
    /// Nothing.
    #[default]
    Nothing,
    /// Stages of these names, in lower case (`--no-cache-filter`).
    Stages(BTreeSet<String>),
    /// Everything (`--no-cache`).
    Everything,
}

/// Where steps that were done before are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepsFrom {
    /// In the engine's cache, and in the images of `cache_from`.
    #[default]
    Cache,
    /// In those images only (moby `ImageCache.GetCache`).
    Images,
}

/// What was allowed by `--allow`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    /// `network.host`
    pub host_network: bool,
    /// `security.insecure`
    pub insecure: bool,
    /// `device`
    pub devices: AllowedDevices,
}

/// Which devices steps may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowedDevices {
    /// Those that say so themselves.
    #[default]
    Open,
    /// Some besides, by their names or those of their kinds (`device=vendor/class`).
    Named(BTreeSet<String>),
    /// All.
    All,
}

/// What an engine grants at all to builds that ask for it (`builder.entitlements` of `daemon.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// `network-host`
    pub host_network: bool,
    /// `security-insecure`
    pub insecure: bool,
    /// `device`
    pub devices: bool,
}

impl Default for Granted {
    fn default() -> Self {
        Self {
            host_network: true,
            insecure: true,
            devices: true,
        }
    }
}

impl Granted {
    /// Refuses what is asked for and not granted.
    ///
    /// # Errors
    /// Forbidden, in BuildKit's words.
    pub fn check(self, allowed: &Allowed) -> Result<()> {
        let refused = [
            (allowed.host_network && !self.host_network, "network.host"),
            (allowed.insecure && !self.insecure, "security.insecure"),
            (allowed.devices != AllowedDevices::Open && !self.devices, "device"),
        ];
        match refused.iter().find(|(is_refused, _)| *is_refused) {
            Some((_, name)) => Err(crate::Error::new(
                crate::Kind::Forbidden,
                format!("granting entitlement {name} is not allowed by build daemon configuration"),
            )),
            None => Ok(()),
        }
    }
}

/// The entitlements by their names, as `--allow` has them.
impl Allowed {
    /// Allows one more.
    ///
    /// # Errors
    /// Invalid when there is none of that name.
    pub fn add(&mut self, name: &str) -> Result<()> {
        match (name, name.split_once('=')) {
            ("network.host", _) => self.host_network = true,
            ("security.insecure", _) => self.insecure = true,
            ("device", _) => self.devices = AllowedDevices::All,
            (_, Some(("device", options))) => {
                // What follows a comma is another name for it, for people.
                let device = options.split(',').next().unwrap_or(options).to_owned();
                match &mut self.devices {
                    AllowedDevices::All => {}
                    AllowedDevices::Named(names) => drop(names.insert(device)),
                    AllowedDevices::Open => self.devices = AllowedDevices::Named(BTreeSet::from([device])),
                }
            }
            (other, _) => return Err(crate::Error::invalid(format!("unknown entitlement {other}"))),
        }
        Ok(())
    }

    /// Whether a device may be had.
    #[must_use]
    pub fn allows(&self, device: &FoundDevice) -> bool {
        let kind = device.name.split_once('=').map_or("", |(kind, _)| kind);
        device.open
            || match &self.devices {
                AllowedDevices::Open => false,
                AllowedDevices::All => true,
                AllowedDevices::Named(names) => names.contains(&device.name) || names.contains(kind),
            }
    }
}

/// A secret's bytes; not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Secrets by their names. They may be asked for by several steps at once.
pub trait Secrets: fmt::Debug + Send + Sync {
    /// A secret; none when there is none of that name.
    ///
    /// # Errors
    /// When whoever has it cannot be asked.
    fn get(&self, id: &str) -> Result<Option<Secret>>;
}

impl Secrets for BTreeMap<String, Secret> {
    fn get(&self, id: &str) -> Result<Option<Secret>> {
        Ok(BTreeMap::get(self, id).cloned())
    }
}

/// Agents of SSH by their names.
pub trait Agents: fmt::Debug + Send + Sync {
    /// Whether there is one of a name.
    ///
    /// # Errors
    /// When whoever has it cannot be asked.
    fn has(&self, id: &str) -> Result<bool>;

    /// A new conversation with one. Both ends block.
    ///
    /// # Errors
    /// When it is not there.
    fn connect(&self, id: &str) -> Result<UnixStream>;
}

/// Agents that listen at sockets of this machine.
impl Agents for BTreeMap<String, std::path::PathBuf> {
    fn has(&self, id: &str) -> Result<bool> {
        Ok(self.contains_key(id))
    }

    fn connect(&self, id: &str) -> Result<UnixStream> {
        let path = self
            .get(id)
            .ok_or_else(|| crate::Error::new(crate::Kind::NotFound, format!("no SSH agent is named {id:?}")))?;
        Ok(UnixStream::connect(path)?)
    }
}
