//! Configurations of images (OCI image-spec, config.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DocumentError, check_count, check_size, json, limits, null_is_empty};
use crate::digest::Digest;
use crate::platform::Platform;

/// An image configuration. OCI image-spec, config.md, with Docker's additions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Docker: a remark, as `docker commit -m` writes.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// Docker: version of the engine that made it.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub docker_version: String,
    /// Docker: the container it was committed from.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub container: String,
    /// Processor architecture.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// Operating system.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Features of the operating system (Windows).
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// What containers run with.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: ContainerConfig,
    /// The layers.
    #[serde(default)]
    pub rootfs: RootFs,
    /// How each layer came to be.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// BuildKit: the steps that made it, to be found again by others (`--cache-to type=inline`); in base64.
    #[serde(rename = "moby.buildkit.cache.v0", default, skip_serializing_if = "Option::is_none")]
    pub inline_cache: Option<String>,
}

impl ImageConfig {
    /// Parses a configuration's bytes.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        const WHAT: &str = "image configuration";
        check_size(WHAT, bytes, limits::CONFIG_BYTES)?;
        let config: Self = json(WHAT, bytes)?;
        check_count(WHAT, "layers", config.rootfs.diff_ids.len(), limits::LAYERS)?;
        check_count(WHAT, "history entries", config.history.len(), limits::HISTORY)?;
        Ok(config)
    }

    /// The platform the image is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
        }
    }
}

/// The layers of an image by the digests of their uncompressed tars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the uncompressed tars, lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".into(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    /// By whom.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// A remark.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
}

/// An empty JSON object, the values of Go's sets (`"80/tcp": {}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// What a container of the image runs with; names as Go's structs have them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User and group of the process.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// Ports the program listens on (`80/tcp`).
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Environment, `NAME=value`.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Program; `None` and empty differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments, or the program when there is no entrypoint; `None` and empty differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Folders that get anonymous volumes.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Empty>,
    /// Folder the process starts in.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// Signal that asks the process to end.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Windows: the command line is escaped already.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub args_escaped: bool,
    /// Docker: health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Docker: instructions for images built from this one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Docker: shell of the shell forms.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// Docker: seconds to wait after the stop signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
}

/// Docker's health check; times are nanoseconds, 0 means the default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; empty inherits.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between checks, nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Time one check may take, nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time in which failures do not count, nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between checks in the start period, nanoseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
