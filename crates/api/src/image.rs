//! Images (Docker API, `/images`).

use std::collections::BTreeMap;

pub use corten_oci::platform::Platform;
use serde::{Deserialize, Serialize};

use crate::container::Healthcheck;

/// One element of `GET /images/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Summary {
    /// How many containers use it; -1 when not counted.
    pub containers: i64,
    /// Seconds since the epoch.
    pub created: i64,
    /// `sha256:` and 64 digits.
    pub id: String,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The image it was built on, when known.
    pub parent_id: String,
    /// `repository@digest`.
    pub repo_digests: Vec<String>,
    /// `repository:tag`.
    pub repo_tags: Vec<String>,
    /// Bytes shared with other images; -1 when not counted.
    pub shared_size: i64,
    /// Bytes.
    pub size: i64,
    /// What it is for each platform, if that was asked for and there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
}

/// What an image is for one platform (`ImageManifestSummary`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSummary {
    /// What identifies it.
    #[serde(rename = "ID")]
    pub id: String,
    /// What leads to it.
    pub descriptor: ManifestDescriptor,
    /// Whether all of it is here.
    pub available: bool,
    /// How large it is.
    pub size: ManifestSize,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    /// More of an image.
    pub image_data: ImageData,
}

/// What leads to a document of an image (OCI image-spec, descriptor.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManifestDescriptor {
    /// What the document is.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Bytes.
    pub size: i64,
}

/// How large an image is for one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSize {
    /// Bytes of layers as they were fetched, where they are kept.
    pub content: i64,
    /// Bytes in all.
    pub total: i64,
}

/// What is known of an image for one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageData {
    /// The platform.
    pub platform: Platform,
    /// Ids of containers that use it.
    pub containers: Vec<String>,
    /// How large it is.
    pub size: UnpackedSize,
}

/// How large an image's files are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnpackedSize {
    /// Bytes.
    pub unpacked: i64,
}

/// Answer of `GET /images/{name}/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Inspect {
    /// `sha256:` and 64 digits.
    pub id: String,
    /// `repository:tag`.
    pub repo_tags: Vec<String>,
    /// `repository@digest`.
    pub repo_digests: Vec<String>,
    /// The image it was built on, when known.
    pub parent: String,
    /// Its message.
    pub comment: String,
    /// When it was made, as its configuration says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// The version of the engine that made it.
    pub docker_version: String,
    /// Its author.
    pub author: String,
    /// How to run it.
    pub config: Config,
    /// Architecture, as Go names it.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Operating system.
    pub os: String,
    /// Version of the operating system.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Bytes.
    pub size: i64,
    /// Where its layers are.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What the engine remembers of it.
    pub metadata: Metadata,
    /// What it is for each platform, if that was asked for and there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
}

/// How to run an image (OCI image-spec, config.md, with Docker's additions).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// User and group.
    pub user: String,
    /// Ports it says it listens on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    /// Environment.
    pub env: Option<Vec<String>>,
    /// Arguments.
    pub cmd: Option<Vec<String>>,
    /// The health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Whether the command is already escaped (Windows).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// Paths that become volumes.
    pub volumes: Option<BTreeMap<String, Empty>>,
    /// Working directory.
    pub working_dir: String,
    /// The program.
    pub entrypoint: Option<Vec<String>>,
    /// Instructions for builds on top of it.
    pub on_build: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that stops it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// The shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// Go's `struct{}`: a JSON object without members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Where the files of an image or container are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GraphDriver {
    /// Paths by the names the overlay2 driver uses.
    pub data: Option<BTreeMap<String, String>>,
    /// `overlay2`.
    pub name: String,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

/// What the engine remembers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Metadata {
    /// When it was last tagged.
    pub last_tag_time: crate::time::Time,
}

/// One image of `GET /images/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResult {
    /// How many people marked it.
    pub star_count: i64,
    /// Whether Docker keeps it.
    pub is_official: bool,
    /// Its name.
    pub name: String,
    /// Always false by now.
    pub is_automated: bool,
    /// What it is.
    pub description: String,
}

/// One element of `GET /images/{name}/history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct History {
    /// The message.
    pub comment: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// The instruction.
    pub created_by: String,
    /// The image's id, or `<missing>`.
    pub id: String,
    /// Bytes that the step added.
    pub size: i64,
    /// Names of the image.
    pub tags: Option<Vec<String>>,
}

/// One element of the answer to `DELETE /images/{name}`: exactly one of the two is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Deleted {
    /// A name that was taken away.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub untagged: String,
    /// An image or layer that was deleted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deleted: String,
}

/// Answer of `POST /images/prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pruned {
    /// What was removed.
    pub images_deleted: Option<Vec<Deleted>>,
    /// Bytes that became free.
    pub space_reclaimed: u64,
}

/// One message of a progress stream (`POST /images/create`, `/images/load`, …).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Text of a build.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// What happens.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// How far it is.
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub detail: Option<ProgressDetail>,
    /// How far it is, as a bar in text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub progress: String,
    /// What it happens to: a layer's short digest or a tag.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What went wrong, for programs.
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// What went wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Data for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

/// How far a transfer is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    /// Done.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub current: i64,
    /// In all.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub total: i64,
}

/// What went wrong in a stream that had already begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// A number, when there is one.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub code: i64,
    /// The sentence.
    pub message: String,
}

/// Credentials in the `X-Registry-Auth` header (base64url of JSON) and in `config.json`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    /// User name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Password.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// `user:password` in base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    /// The registry.
    #[serde(rename = "serveraddress", skip_serializing_if = "String::is_empty")]
    pub server_address: String,
    /// A refresh token, instead of a password.
    #[serde(rename = "identitytoken", skip_serializing_if = "String::is_empty")]
    pub identity_token: String,
    /// A bearer token to send as it is.
    #[serde(rename = "registrytoken", skip_serializing_if = "String::is_empty")]
    pub registry_token: String,
}

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .field("secrets", &"***")
            .finish()
    }
}
