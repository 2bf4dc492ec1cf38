//! Descriptors, manifests and indexes (OCI image-spec, descriptor.md, manifest.md, image-index.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DocumentError, MediaKind, check_count, check_schema, check_size, json, limits, media_type, null_is_empty};
use crate::digest::Digest;
use crate::platform::Platform;

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
