//! One image: its documents, names and record.

use std::collections::BTreeMap;
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_oci::reference::Reference;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ImageId;
use crate::records;

/// An image as it was when asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Image(pub(super) Arc<ImageInner>);

#[derive(Debug)]
pub(super) struct ImageInner {
    pub(super) config_bytes: Arc<[u8]>,
    pub(super) config: Arc<ImageConfig>,
    pub(super) record: ImageRecord,
    pub(super) names: Vec<Reference>,
    pub(super) digests: Vec<Reference>,
    pub(super) size: u64,
}

/// `images/<hex>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    pub(super) format: u32,
    pub(super) id: ImageId,
    /// When it was put in.
    pub(super) stored: Timestamp,
    /// Names with tags, and when each was given.
    #[serde(default)]
    pub(super) names: BTreeMap<String, Timestamp>,
    /// Names with digests.
    #[serde(default)]
    pub(super) digests: BTreeMap<String, Timestamp>,
    #[serde(default)]
    pub(super) documents: Vec<DocumentRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<ImageId>,
    /// Images for other platforms that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) companions: Vec<ImageId>,
    /// When a name was last given, Docker's `Metadata.LastTagTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_tagged: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DocumentRecord {
    pub(super) digest: Digest,
    pub(super) media_type: String,
}

impl records::Record for ImageRecord {
    fn format(&self) -> u32 {
        self.format
    }
}

impl Image {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ImageId {
        &self.0.record.id
    }

    /// Its configuration, byte for byte.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        &self.0.config_bytes
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.0.config
    }

    /// Its layers' diff ids, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Digest] {
        &self.0.config.rootfs.diff_ids
    }

    /// Its names with tags, sorted.
    #[must_use]
    pub fn names(&self) -> &[Reference] {
        &self.0.names
    }

    /// Its names with digests, sorted: Docker's `RepoDigests`.
    #[must_use]
    pub fn digests(&self) -> &[Reference] {
        &self.0.digests
    }

    /// The image it was made from, if that is known on this machine.
    #[must_use]
    pub fn parent(&self) -> Option<&ImageId> {
        self.0.record.parent.as_ref()
    }

    /// When a name was last given.
    #[must_use]
    pub fn last_tagged(&self) -> Option<Timestamp> {
        self.0.record.last_tagged
    }

    /// When it was put in.
    #[must_use]
    pub fn stored(&self) -> Timestamp {
        self.0.record.stored
    }

    /// Bytes of its layers' files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Its manifests and indexes: digest and media type.
    #[must_use]
    pub fn documents(&self) -> Vec<(Digest, String)> {
        self.0
            .record
            .documents
            .iter()
            .map(|document| (document.digest.clone(), document.media_type.clone()))
            .collect()
    }

    /// Digests of its layers stacked up, lowest first. OCI image-spec, config.md "Layer ChainID".
    #[must_use]
    pub fn chain_ids(&self) -> Vec<Digest> {
        chain_ids(self.layers())
    }

    pub(super) fn new(record: ImageRecord, config_bytes: Arc<[u8]>, config: Arc<ImageConfig>, size: u64) -> Self {
        // Only well-formed names get into records; a record edited by hand loses the others.
        let parsed = |names: &BTreeMap<String, Timestamp>| names.keys().filter_map(|name| name.parse().ok()).collect();
        let (names, digests) = (parsed(&record.names), parsed(&record.digests));
        Self(Arc::new(ImageInner {
            config_bytes,
            config,
            record,
            names,
            digests,
            size,
        }))
    }

    pub(super) fn with_record(&self, record: ImageRecord) -> Self {
        Self::new(
            record,
            Arc::clone(&self.0.config_bytes),
            Arc::clone(&self.0.config),
            self.0.size,
        )
    }
}

/// Chain ids of a list of layers, lowest first.
pub(crate) fn chain_ids(layers: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(layers.len());
    for layer in layers {
        let next = match chain.last() {
            Some(below) => Digest::sha256(format!("{below} {layer}").as_bytes()),
            None => layer.clone(),
        };
        chain.push(next);
    }
    chain
}
