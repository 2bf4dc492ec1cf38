//! What is kept of a container on disk: `containers/<id>/container.json`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use corten_api::{
    container::{Config, HostConfig, MountPoint, TmpfsOptions},
    network::EndpointSettings,
    time::Time,
};
use corten_oci::digest::Digest;
use serde::{Deserialize, Serialize};

use super::{health::Health, state::State};
use crate::{
    error::{Error, Result},
    networks::PortMap,
};

/// The number of the format that is written. Older ones are read.
pub(crate) const FORMAT: u32 = 1;
/// The record's file in the container's folder.
pub(crate) const FILE: &str = "container.json";

/// A container, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`FORMAT`] of the writer.
    pub(crate) format: u32,
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Without a slash.
    pub(crate) name: String,
    /// When it was made.
    pub(crate) created: Time,
    /// The image.
    pub(crate) image: Digest,
    /// The program and its arguments, from entrypoint and command.
    pub(crate) command: Vec<String>,
    /// What runs.
    pub(crate) config: Config,
    /// What it may use of the host.
    pub(crate) host_config: HostConfig,
    /// Its mounts.
    pub(crate) mounts: Vec<MountRecord>,
    /// Networks by name: as asked for, and as given while it runs.
    pub(crate) networks: BTreeMap<String, EndpointSettings>,
    /// Ports as published while it runs.
    #[serde(default)]
    pub(crate) ports: PortMap,
    /// The container for which it stands by while both run, where that is not as it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stands_by_for: Option<String>,
    /// Containers of the default bridge that it knows by names of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<super::links::Link>,
    /// What it is doing.
    pub(crate) state: State,
    /// How often its restart policy has started it again.
    #[serde(default)]
    pub(crate) restarts: i64,
    /// Whether the user stopped it, so that `unless-stopped` leaves it alone.
    #[serde(default)]
    pub(crate) stopped_by_user: bool,
    /// Whether it should run: it was started and neither ended for good nor was stopped.
    #[serde(default)]
    pub(crate) wanted: bool,
    /// Whether the removal that has begun takes anonymous volumes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) remove_volumes: bool,
    /// Whether it is frozen only as long as it takes to make an image of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) committing: bool,
    /// Its health, which lies in the bundle, not here.
    #[serde(skip)]
    pub(crate) health: Option<Arc<Health>>,
}

/// A mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    /// As answers show it.
    pub(crate) point: MountPoint,
    /// Whether a volume is filled from the image when it is empty.
    #[serde(default)]
    pub(crate) fill: bool,
    /// Whether mounts below a bind mount's source stay behind.
    #[serde(default)]
    pub(crate) non_recursive: bool,
    /// Whether the source is labelled for SELinux: `z` or `Z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) relabel: String,
    /// Whether the user named the volume, so that it outlives the container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) named: bool,
    /// Whether mounts below a read-only one stay writable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shallow: bool,
    /// The path inside a volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) subpath: String,
    /// Options of a tmpfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tmpfs: Option<TmpfsOptions>,
}

impl Record {
    /// Reads the record in a container's folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let bytes = corten_sys::fs::read(&path)?;
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|e| Error::internal(format!("the record {} is damaged", path.display())).source(e))?;
        if record.format > FORMAT {
            return Err(Error::unsupported(format!(
                "the record {} has format {}, this engine reads up to {FORMAT}",
                path.display(),
                record.format
            ))
            .hint("use a newer engine"));
        }
        Ok(record)
    }

    /// Writes the record into a container's folder: at once for a crash of ours, soon for a power cut.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(FILE);
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::internal(format!("cannot write the record of container {}", self.id)).source(e))?;
        corten_sys::fs::write_atomic(&path, bytes)?;
        Ok(path)
    }

    /// The first 12 digits of the id.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether the restart policy is one that starts it again.
    pub(crate) fn restarts_by_policy(&self) -> bool {
        !matches!(self.host_config.restart_policy.name.as_str(), "" | "no")
    }
}
