//! What is to be built.

use std::collections::BTreeMap;

use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use corten_store::Scratch;

/// Everything that a build is told.
#[derive(Debug)]
pub struct Request {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// Files for COPY and ADD.
    pub context: Context,
    /// The stage to build; empty for the last.
    pub target: String,
    /// Names for the image.
    pub names: Vec<Reference>,
    /// Values for `ARG`; none takes the default.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Images whose layers may be used again.
    pub cache_from: Vec<String>,
    /// What the image is for.
    pub platform: Platform,
    /// Whether the platform was asked for; then the base image must be for it.
    pub platform_given: bool,
    /// What `RUN --mount=type=secret` may see.
    pub secrets: BTreeMap<String, Secret>,
    /// The name of the build's network, part of what a step sees.
    pub network: String,
}

/// Where COPY and ADD look for files.
#[derive(Debug)]
pub enum Context {
    /// Nowhere: only a Dockerfile was sent.
    None,
    /// In an unpacked archive.
    Files(Scratch),
}

/// A secret's bytes; not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}
