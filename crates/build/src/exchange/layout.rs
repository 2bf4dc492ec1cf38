//! OCI layouts in folders: caches (`type=local`), and images that stand for names (`oci-layout://`).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Document, ImageConfig, Index, Manifest, limits};
use corten_oci::platform::{Platform, no_match};
use corten_store::{IngestRequest, Lease, Resume, Store};

use super::Blobs;
use crate::error::{Error, Kind, Result};
use crate::roots::Root;

/// A layout in a folder.
#[derive(Debug, Clone)]
pub struct LayoutBlobs {
    folder: PathBuf,
    /// A tag or digest; empty for `latest`, or the only one.
    which: String,
    /// What keeps the folder there.
    _held: Option<Arc<corten_store::Scratch>>,
}

impl LayoutBlobs {
    /// A layout in a folder, of which a tag or digest is meant.
    #[must_use]
    pub fn new(folder: &Path, which: &str, held: Option<Arc<corten_store::Scratch>>) -> Self {
        Self {
            folder: folder.to_path_buf(),
            which: which.to_owned(),
            _held: held,
        }
    }

    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>> {
        let missing = |error: &dyn std::fmt::Display| {
            let message = format!("{}: {path}: {error}", self.folder.display());
            Error::new(Kind::NotFound, message)
        };
        let root = Root::open(&self.folder).map_err(|error| missing(&error))?;
        let file = root.file(path).map_err(|error| missing(&error))?;
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        match bytes.len() > limit {
            true => Err(Error::invalid(format!("{path} is longer than {limit} bytes"))),
            false => Ok(bytes),
        }
    }

    fn blob(digest: &Digest) -> String {
        format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
    }
}

impl Blobs for LayoutBlobs {
    fn title(&self) -> String {
        format!("local:{}", self.folder.display())
    }

    fn top(&self) -> Result<Vec<u8>> {
        if let Ok(digest) = self.which.parse::<Digest>() {
            return self.document(&Descriptor::new("", digest, 0));
        }
        let bytes = self.read("index.json", limits::MANIFEST_BYTES)?;
        let index = Index::parse(&bytes).map_err(|error| Error::invalid(error.to_string()))?;
        let wanted = match self.which.as_str() {
            "" => "latest",
            tag => tag,
        };
        let has_tag = |one: &&Descriptor| {
            let name = one.annotations.get("org.opencontainers.image.ref.name");
            name.is_some_and(|name| name == wanted || name.ends_with(&format!(":{wanted}")))
        };
        let only = || (self.which.is_empty() && index.manifests.len() == 1).then(|| &index.manifests[0]);
        let found = index.manifests.iter().find(has_tag).or_else(only);
        let found = found.ok_or_else(|| {
            let message = format!(
                "{}: index.json has no manifest with the tag {wanted}",
                self.folder.display()
            );
            Error::new(Kind::NotFound, message)
        })?;
        self.document(found)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.read(&Self::blob(&descriptor.digest), limits::CONFIG_BYTES)?;
        match descriptor.digest.matches(&bytes) {
            true => Ok(bytes),
            false => Err(Error::invalid(format!(
                "{} does not have its digest",
                descriptor.digest
            ))),
        }
    }

    fn layer(&self, layer: &Descriptor, diff_id: &Digest, store: &Store, lease: &Lease) -> Result<()> {
        let request = IngestRequest {
            resume: Resume::Never,
            ..IngestRequest::of(layer, diff_id)
        };
        store.take_layer(lease, &request, |mut ingest| {
            let mut file = Root::open(&self.folder)?.file(&Self::blob(&layer.digest))?;
            ingest.copy_from(&mut file)?;
            Ok::<_, Error>(ingest.finish()?)
        })?;
        Ok(())
    }
}

/// The manifest for a platform.
fn choose(blobs: &dyn Blobs, platform: &Platform) -> Result<Manifest> {
    let mut bytes = blobs.top()?;
    for _ in 0..4 {
        let wrong = |error: &dyn std::fmt::Display| Error::invalid(format!("{}: {error}", blobs.title()));
        match Document::parse(&bytes, None).map_err(|error| wrong(&error))? {
            Document::Manifest(manifest) => return Ok(manifest),
            Document::Index(index) => {
                let candidates = platform.candidates(&index.manifests);
                let first = candidates.first();
                let first = first.ok_or_else(|| Error::new(Kind::NotFound, no_match(platform)))?;
                bytes = blobs.document(first)?;
            }
        }
    }
    Err(Error::invalid("the layout's indexes are nested too deeply"))
}

/// Brings the layers of an image in a layout into the store; gives its configuration.
pub(crate) fn image_of(blobs: &dyn Blobs, platform: &Platform, store: &Store, lease: &Lease) -> Result<ImageConfig> {
    let manifest = choose(blobs, platform)?;
    let config = blobs.document(&manifest.config)?;
    let config = ImageConfig::parse(&config).map_err(|error| Error::invalid(error.to_string()))?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::invalid(format!(
            "{}: the manifest has {} layers, and the configuration {}",
            blobs.title(),
            manifest.layers.len(),
            config.rootfs.diff_ids.len()
        )));
    }
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        if !lease.hold(diff_id) {
            blobs.layer(layer, diff_id, store, lease)?;
        }
    }
    Ok(config)
}
