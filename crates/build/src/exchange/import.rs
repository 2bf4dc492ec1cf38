//! Taking in a cache: its records at once, layers when a step is found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Document, ImageConfig, Manifest};
use corten_store::{Lease, Store};

use super::{Blobs, CACHE_CONFIG, Config};
use crate::cache::Hit;
use crate::error::{Error, Kind, Result};

/// The most records and layers of a cache.
const MOST: usize = 100_000;

/// The records of a cache.
#[derive(Debug)]
pub(crate) struct Imported {
    blobs: Arc<dyn Blobs>,
    steps: HashMap<Digest, Step>,
}

/// A step that somebody did.
#[derive(Debug)]
struct Step {
    layer: Option<(Descriptor, Digest)>,
    created: String,
}

impl Imported {
    /// What a key led to; its layer comes here.
    pub(crate) fn get(&self, key: &Digest, store: &Store, lease: &Lease) -> Result<Option<Hit>> {
        let Some(step) = self.steps.get(key) else {
            return Ok(None);
        };
        if let Some((layer, diff_id)) = &step.layer
            && !lease.hold(diff_id)
        {
            self.blobs.layer(layer, diff_id, store, lease)?;
            if !lease.hold(diff_id) {
                return Err(Error::internal("a layer of an imported cache is gone"));
            }
        }
        Ok(Some(Hit {
            layer: step.layer.as_ref().map(|(_, diff_id)| diff_id.clone()),
            created: step.created.clone(),
        }))
    }
}

/// Reads the records of a cache: of one that stands for itself, or in images.
pub(crate) fn import(blobs: &Arc<dyn Blobs>) -> Result<Imported> {
    let mut imported = Imported {
        blobs: Arc::clone(blobs),
        steps: HashMap::new(),
    };
    let top = blobs.top()?;
    let wrong = |error: &dyn std::fmt::Display| Error::invalid(format!("{}: {error}", blobs.title()));
    match Document::parse(&top, None).map_err(|error| wrong(&error))? {
        Document::Manifest(manifest) => imported.manifest(&manifest)?,
        Document::Index(index) => match index.manifests.iter().find(|one| one.media_type == CACHE_CONFIG) {
            Some(config) => imported.standing(config, &index.manifests)?,
            None => {
                for descriptor in index.manifests.iter().filter(|one| !one.is_attestation()) {
                    let bytes = blobs.document(descriptor)?;
                    let manifest = Manifest::parse(&bytes).map_err(|error| wrong(&error))?;
                    imported.manifest(&manifest)?;
                }
            }
        },
    }
    if imported.steps.is_empty() {
        let message = format!("{} has no cache in it", blobs.title());
        return Err(Error::new(Kind::NotFound, message));
    }
    Ok(imported)
}

impl Imported {
    fn manifest(&mut self, manifest: &Manifest) -> Result<()> {
        if manifest.config.media_type == CACHE_CONFIG {
            return self.standing(&manifest.config, &manifest.layers);
        }
        let bytes = self.blobs.document(&manifest.config)?;
        let image = ImageConfig::parse(&bytes).map_err(|error| Error::invalid(error.to_string()))?;
        let Some(text) = &image.inline_cache else {
            return Ok(());
        };
        let config = decode(text).ok_or_else(|| Error::invalid("the image's cache is not in base64"))?;
        let layers = image.rootfs.diff_ids.iter().zip(&manifest.layers);
        let layers: BTreeMap<&Digest, &Descriptor> = layers.collect();
        self.take(&config, &|record| layers.get(&record.0).map(|layer| (*layer).clone()))
    }

    /// A cache that stands for itself.
    fn standing(&mut self, config: &Descriptor, layers: &[Descriptor]) -> Result<()> {
        let bytes = self.blobs.document(config)?;
        let layers: BTreeMap<&Digest, &Descriptor> = layers.iter().map(|layer| (&layer.digest, layer)).collect();
        self.take(&bytes, &|record| layers.get(&record.1).map(|layer| (*layer).clone()))
    }

    /// Takes records; `find` finds a layer by its diff id and blob.
    fn take(&mut self, bytes: &[u8], find: &dyn Fn((Digest, Digest)) -> Option<Descriptor>) -> Result<()> {
        let config: Config = serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid(format!("the cache's configuration: {error}")))?;
        if config.layers.len() > MOST || config.records.len() > MOST {
            return Err(Error::invalid(format!("a cache of more than {MOST} records")));
        }
        // Records of others have no such note: their keys are of no use here.
        for record in config.records.into_iter().filter(|record| !record.created.is_empty()) {
            let layer = match record.layers.first() {
                None => None,
                Some(one) => {
                    let Some(known) = config.layers.get(one.layer) else {
                        continue;
                    };
                    let Some(diff_id) = known.annotations.as_ref().and_then(|notes| notes.diff_id.clone()) else {
                        continue;
                    };
                    let Some(layer) = find((diff_id.clone(), known.blob.clone())) else {
                        continue;
                    };
                    Some((layer, diff_id))
                }
            };
            let step = Step {
                layer,
                created: record.created,
            };
            self.steps.insert(record.digest, step);
        }
        Ok(())
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).ok()
}
