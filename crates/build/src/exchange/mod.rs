//! Steps that other engines did: the cache as documents that a registry or a folder keeps.
//!
//! The documents are BuildKit's (moby/buildkit `cache/remotecache/v1`): a configuration of type
//! `application/vnd.buildkit.cacheconfig.v0`, which lists layers and records, in a manifest or index that lists the
//! layers as well; or the same text in an image's own configuration (`type=inline`). Keys are Corten's: BuildKit's
//! are digests of its graphs, which nobody else can make, so that neither finds anything in the other's records.

mod export;
mod import;
mod layout;
mod options;
mod steps;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::Descriptor;
use corten_store::{Lease, Store};
use serde::{Deserialize, Serialize};

use crate::error::Result;

pub(crate) use export::{Done, export, inline};
pub use export::{Exported, FolderTarget};
pub(crate) use import::{Imported, import};
pub use layout::LayoutBlobs;
pub(crate) use layout::image_of;
pub use options::CacheOptions;

/// The media type of a cache's configuration.
pub const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// Manifests and blobs somewhere else.
pub trait Blobs: fmt::Debug + Send + Sync {
    /// What they are called: a name, a folder.
    fn title(&self) -> String;

    /// The manifest or index to begin with.
    ///
    /// # Errors
    /// When there is none, or it cannot be had.
    fn top(&self) -> Result<Vec<u8>>;

    /// A manifest or configuration that another document names.
    ///
    /// # Errors
    /// When it cannot be had, or is not what its digest says.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>>;

    /// Brings a layer into the store, held by the lease.
    ///
    /// # Errors
    /// When it cannot be had, or is not what its digests say.
    fn layer(&self, layer: &Descriptor, diff_id: &Digest, store: &Store, lease: &Lease) -> Result<()>;
}

/// What takes a cache.
pub trait CacheTarget: fmt::Debug + Send + Sync {
    /// What its vertex is called.
    fn title(&self) -> String;

    /// Takes it; gives what is known of it then, by BuildKit's names.
    ///
    /// # Errors
    /// When it cannot be put where it shall be.
    fn export(&self, cache: &Exported<'_>, options: &CacheOptions) -> Result<BTreeMap<String, String>>;
}

/// Where the cache goes.
#[derive(Debug, Clone)]
pub struct CacheTo {
    /// How.
    pub options: CacheOptions,
    /// Where.
    pub target: Arc<dyn CacheTarget>,
}

/// `CacheConfig`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Config {
    #[serde(default)]
    layers: Vec<LayerRecord>,
    #[serde(default)]
    records: Vec<StepRecord>,
}

/// `CacheLayer`
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LayerRecord {
    blob: Digest,
    #[serde(default = "none")]
    parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<LayerNotes>,
}

fn none() -> i64 {
    -1
}

/// `LayerAnnotations`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct LayerNotes {
    #[serde(skip_serializing_if = "String::is_empty")]
    media_type: String,
    #[serde(rename = "diffID", skip_serializing_if = "Option::is_none")]
    diff_id: Option<Digest>,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_at: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `CacheRecord`, with what Corten notes besides.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StepRecord {
    digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<StepLayer>,
    /// When the step was done; of Corten's own records.
    #[serde(rename = "corten.created", default, skip_serializing_if = "String::is_empty")]
    created: String,
    /// Its instruction.
    #[serde(rename = "corten.instruction", default, skip_serializing_if = "String::is_empty")]
    instruction: String,
}

/// `CacheResult`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepLayer {
    layer: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    created_at: String,
}
