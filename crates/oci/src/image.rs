//! Image documents: descriptors, manifests, indexes and configurations, as OCI and Docker write them.
//!
//! OCI image-spec 1.1 (descriptor.md, manifest.md, image-index.md, config.md) and Docker image
//! manifest version 2, schema 2. The types here are for reading and for writing new documents;
//! documents that came from elsewhere are kept and passed on as bytes, because their digest is over
//! those. Fields nobody here knows are accepted and ignored.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// Names of what bytes are.
pub mod media_type {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, a plain tar.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// OCI's empty JSON object, in artifacts without a configuration.
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image manifest, schema 1 (signed); recognised to be refused.
    pub const DOCKER_MANIFEST_V1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker plugin configuration.
    pub const DOCKER_PLUGIN_CONFIG: &str = "application/vnd.docker.plugin.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, plain.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

/// What a media type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// An image manifest.
    Manifest,
    /// An index, or manifest list.
    Index,
    /// An image configuration.
    Config,
    /// A layer.
    Layer(Compression),
    /// A manifest of the abandoned first schema.
    ManifestV1,
    /// Something else (an artifact, a plugin, a foreign layer).
    Other,
}

impl MediaKind {
    /// Classifies a media type; parameters (`; charset=utf-8`) are ignored.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        let name = media_type.split(';').next().unwrap_or_default().trim();
        match name {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => Self::Manifest,
            media_type::OCI_INDEX | media_type::DOCKER_LIST => Self::Index,
            media_type::OCI_CONFIG | media_type::DOCKER_CONFIG => Self::Config,
            media_type::DOCKER_MANIFEST_V1 | "application/vnd.docker.distribution.manifest.v1+json" => Self::ManifestV1,
            media_type::DOCKER_LAYER_GZIP => Self::Layer(Compression::Gzip),
            media_type::DOCKER_LAYER => Self::Layer(Compression::None),
            media_type::DOCKER_LAYER_ZSTD => Self::Layer(Compression::Zstd),
            _ => oci_layer(name),
        }
    }
}

/// OCI layers, the deprecated non-distributable ones included.
fn oci_layer(name: &str) -> MediaKind {
    let rest = name
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| name.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    match rest {
        Some("") => MediaKind::Layer(Compression::None),
        Some("+gzip") => MediaKind::Layer(Compression::Gzip),
        Some("+zstd") => MediaKind::Layer(Compression::Zstd),
        Some(_) | None => MediaKind::Other,
    }
}

/// Limits on documents from outside.
pub mod limits {
    /// Bytes of a manifest or an index; registries allow 4 MiB.
    pub const MANIFEST_BYTES: usize = 4 << 20;
    /// Bytes of an image configuration.
    pub const CONFIG_BYTES: usize = 8 << 20;
    /// Layers of an image. Overlay takes at most 500 lower folders.
    pub const LAYERS: usize = 500;
    /// Manifests of an index.
    pub const MANIFESTS: usize = 4096;
    /// History entries of a configuration.
    pub const HISTORY: usize = 8192;
}

/// Why bytes are no acceptable document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Larger than the limit for its kind.
    #[error("{what} is {size} bytes long, and {limit} is the most allowed")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not JSON of the right shape.
    #[error("invalid {what}: {error}")]
    Json {
        /// Which document.
        what: &'static str,
        /// Where and why.
        error: serde_json::Error,
    },
    /// More entries than allowed.
    #[error("{what} has {count} {entries}, and {limit} is the most allowed")]
    TooMany {
        /// Which document.
        what: &'static str,
        /// Entries of what.
        entries: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Well-formed, yet contradicting itself or the specification.
    #[error("invalid {what}: {why}")]
    Inconsistent {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A pointer to content: what it is, its digest and size. OCI image-spec, descriptor.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is.
    #[serde(default)]
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Other places the content may be had from.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free key-value pairs.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Type of an artifact.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub artifact_type: String,
}

impl Descriptor {
    /// A descriptor with the three required fields.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: String::new(),
        }
    }

    /// What the media type names.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        MediaKind::of(&self.media_type)
    }

    /// Whether this is BuildKit's attestation about another manifest, which nobody runs.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|kind| kind == "attestation-manifest")
    }
}

/// An image manifest: one configuration and its layers, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// OCI leaves it out or repeats its own; Docker always writes it.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub media_type: String,
    /// Type of an artifact.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub artifact_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free key-value pairs.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// An image index, or Docker manifest list: manifests for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI leaves it out or repeats its own; Docker always writes it.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub media_type: String,
    /// Type of an artifact.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "String::is_empty"
    )]
    pub artifact_type: String,
    /// The manifests.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// The manifest this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free key-value pairs.
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// What a reference in a registry or a layout leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once a document and taken apart at once")]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Images for several platforms.
    Index(Index),
}

impl Document {
    /// Parses a manifest or an index, whichever the bytes say they are.
    ///
    /// `declared` is the media type the bearer gave (`Content-Type`, descriptor), if any. Bytes
    /// that can be read both ways, or that contradict `declared`, are refused (CVE-2021-41190).
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self, DocumentError> {
        const WHAT: &str = "manifest";
        check_size(WHAT, bytes, limits::MANIFEST_BYTES)?;
        let probe: Probe = json(WHAT, bytes)?;
        let inconsistent = |why: &str| DocumentError::Inconsistent {
            what: WHAT,
            why: why.into(),
        };
        if probe.schema_version == 1 {
            return Err(inconsistent("schema version 1 is no longer supported"));
        }
        let is_index = match (
            probe.manifests.is_some(),
            probe.config.is_some() || probe.layers.is_some(),
        ) {
            (true, false) => true,
            (false, true) => false,
            (true, true) => return Err(inconsistent("it is a manifest and an index at once")),
            (false, false) => return Err(inconsistent("it has neither layers nor manifests")),
        };
        for named in [declared, Some(probe.media_type.as_str())].into_iter().flatten() {
            let contradicts = match MediaKind::of(named) {
                MediaKind::Manifest => is_index,
                MediaKind::Index => !is_index,
                MediaKind::Config | MediaKind::Layer(_) | MediaKind::ManifestV1 => true,
                MediaKind::Other => false,
            };
            if contradicts {
                return Err(inconsistent(&format!(
                    "its content does not fit its media type {named:?}"
                )));
            }
        }
        if is_index {
            Index::parse(bytes).map(Self::Index)
        } else {
            Manifest::parse(bytes).map(Self::Manifest)
        }
    }
}

/// Just enough of a document to tell which one it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: u32,
    #[serde(default, deserialize_with = "null_is_empty")]
    media_type: String,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Parses a manifest's bytes.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        check_size("manifest", bytes, limits::MANIFEST_BYTES)?;
        let manifest: Self = json("manifest", bytes)?;
        check_schema("manifest", manifest.schema_version)?;
        check_count("manifest", "layers", manifest.layers.len(), limits::LAYERS)?;
        Ok(manifest)
    }

    /// The media type to say for this manifest: its own, or OCI's when it names none.
    #[must_use]
    pub fn effective_media_type(&self) -> &str {
        if self.media_type.is_empty() {
            media_type::OCI_MANIFEST
        } else {
            &self.media_type
        }
    }
}

impl Index {
    /// Parses an index's bytes.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        check_size("index", bytes, limits::MANIFEST_BYTES)?;
        let index: Self = json("index", bytes)?;
        check_schema("index", index.schema_version)?;
        check_count("index", "manifests", index.manifests.len(), limits::MANIFESTS)?;
        Ok(index)
    }
}

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

/// Go writes nil slices, maps and strings of pointers as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(|error| DocumentError::Json { what, error })
}

fn check_size(what: &'static str, bytes: &[u8], limit: usize) -> Result<(), DocumentError> {
    if bytes.len() > limit {
        return Err(DocumentError::TooLarge {
            what,
            size: bytes.len(),
            limit,
        });
    }
    Ok(())
}

fn check_count(what: &'static str, entries: &'static str, count: usize, limit: usize) -> Result<(), DocumentError> {
    if count > limit {
        return Err(DocumentError::TooMany {
            what,
            entries,
            count,
            limit,
        });
    }
    Ok(())
}

fn check_schema(what: &'static str, version: u32) -> Result<(), DocumentError> {
    if version == 2 {
        return Ok(());
    }
    Err(DocumentError::Inconsistent {
        what,
        why: format!("schema version {version} is not supported"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest_text(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{EMPTY}","size":2}},"layers":null{extra}}}"#,
            media_type::OCI_CONFIG
        )
    }

    #[test]
    fn documents_are_told_apart() {
        let manifest = manifest_text("");
        assert!(matches!(
            Document::parse(manifest.as_bytes(), None),
            Ok(Document::Manifest(_))
        ));
        let index = br#"{"schemaVersion":2,"manifests":[],"new":{"unknown":[1]}}"#;
        assert!(matches!(
            Document::parse(index, Some(media_type::DOCKER_LIST)),
            Ok(Document::Index(_))
        ));
    }

    #[test]
    fn ambiguous_and_contradicting_documents_are_refused() {
        fn check(text: &str, declared: Option<&str>, expected: &str) {
            let error = Document::parse(text.as_bytes(), declared).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        check(&manifest_text(r#","manifests":[]"#), None, "at once");
        check(&manifest_text(""), Some(media_type::OCI_INDEX), "does not fit");
        check(
            &manifest_text(r#","mediaType":"application/vnd.oci.image.index.v1+json""#),
            None,
            "does not fit",
        );
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema version 1");
        check("{}", None, "neither");
        check("[1]", None, "invalid manifest");
        check(&" ".repeat(limits::MANIFEST_BYTES + 1), None, "the most allowed");
    }

    #[test]
    fn a_docker_configuration_with_nulls_is_read() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Hostname":"","Env":null,"Cmd":["sh"],
            "Entrypoint":null,"Volumes":null,"Labels":null,"OnBuild":null,"ExposedPorts":{"80/tcp":{}},
            "Healthcheck":{"Test":["CMD","true"],"Interval":1000000000}},
            "rootfs":{"type":"layers","diff_ids":null},"history":[{"empty_layer":true}],"container_config":{}}"#;
        let config = ImageConfig::parse(text.as_bytes()).expect("good");
        assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(config.config.entrypoint, None);
        assert!(config.config.exposed_ports.contains_key("80/tcp"));
        assert!(config.history[0].empty_layer);
        assert_eq!(config.platform().to_string(), "linux/amd64");
    }

    #[test]
    fn media_types_are_classified() {
        assert_eq!(
            MediaKind::of("application/vnd.oci.image.index.v1+json; charset=utf-8"),
            MediaKind::Index
        );
        assert_eq!(
            MediaKind::of(media_type::OCI_LAYER_ZSTD),
            MediaKind::Layer(Compression::Zstd)
        );
        assert_eq!(
            MediaKind::of(media_type::DOCKER_LAYER_GZIP),
            MediaKind::Layer(Compression::Gzip)
        );
        assert_eq!(MediaKind::of("text/plain"), MediaKind::Other);
    }
}
