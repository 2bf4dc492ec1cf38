//! The options of caches that go elsewhere.

use std::collections::BTreeMap;

use corten_store::Packing;

use crate::error::{Error, Kind, Result};
use crate::exporter::{flag, level, packing};

/// How a cache goes elsewhere (moby/buildkit `cache/remotecache`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options that know of yes and no, each by its own name"
)]
pub struct CacheOptions {
    /// Whether steps of all stages go, not only those whose layers are in the result (`mode=max`).
    pub max: bool,
    /// Whether a failure leaves the build as it is.
    pub ignore_error: bool,
    /// Whether media types are OCI's.
    pub oci: bool,
    /// Whether the layers are in an image's manifest; else in an index.
    pub image_manifest: bool,
    /// How layers are packed.
    pub packing: Packing,
    /// Whether layers that are packed in another way are packed anew.
    pub force: bool,
}

impl CacheOptions {
    /// Reads options; those in `places` say where, and are the caller's.
    ///
    /// # Errors
    /// Invalid for what is none of them, Unsupported for what is not done here.
    pub fn read(options: &BTreeMap<String, String>, places: &[&str]) -> Result<Self> {
        let mut read = Self {
            max: false,
            ignore_error: false,
            oci: true,
            image_manifest: true,
            packing: Packing::default(),
            force: false,
        };
        for (name, value) in options {
            match name.as_str() {
                "mode" => {
                    read.max = match value.as_str() {
                        "min" => false,
                        "max" => true,
                        other => return Err(Error::invalid(format!("unsupported cache mode {other:?}: min or max"))),
                    }
                }
                "ignore-error" => read.ignore_error = flag(name, value)?,
                "oci-mediatypes" => read.oci = flag(name, value)?,
                "image-manifest" => read.image_manifest = flag(name, value)?,
                "compression" => read.packing = packing(value)?.unwrap_or_default(),
                "force-compression" => read.force = flag(name, value)?,
                "compression-level" => {}
                name if places.contains(&name) => {}
                other => {
                    let message = format!("cache option {other} is not supported");
                    return Err(Error::new(Kind::Unsupported, message));
                }
            }
        }
        if let Some(text) = options.get("compression-level") {
            read.packing.level = Some(level(text, read.packing.compression)?);
        }
        if !read.oci && !options.contains_key("image-manifest") {
            read.image_manifest = false;
        }
        if read.image_manifest && !read.oci {
            return Err(Error::invalid(
                "invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format",
            ));
        }
        Ok(read)
    }
}
