//! Giving out a cache.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Index, Manifest, media_type};
use corten_store::{CompressedBlob, GivenDocument, Layer, Lease, Store, layer_type};
use serde::Serialize;

use super::{CACHE_CONFIG, CacheOptions, CacheTarget, Config, LayerNotes, LayerRecord, StepLayer, StepRecord};
use crate::cache::Hit;
use crate::error::{Error, Result};
use crate::event::Event;

/// A step that a build did or found.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) key: Digest,
    pub(crate) hit: Hit,
    pub(crate) instruction: String,
}

/// A cache to be given out.
pub struct Exported<'a> {
    store: &'a Store,
    tell: &'a (dyn Fn(Event) + Sync),
    steps: Vec<Done>,
    layers: Vec<Layer>,
}

impl std::fmt::Debug for Exported<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exported")
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

/// Gathers what a build did; with `of` only what led to these layers.
pub(crate) fn export<'a>(
    store: &'a Store,
    lease: &Lease,
    tell: &'a (dyn Fn(Event) + Sync),
    done: &[Done],
    of: Option<&[Digest]>,
) -> Exported<'a> {
    let (mut steps, mut layers, mut keys) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut known = BTreeSet::new();
    for step in done {
        if let Some(diff_id) = &step.hit.layer {
            if of.is_some_and(|of| !of.contains(diff_id)) || !lease.hold(diff_id) {
                continue;
            }
            if known.insert(diff_id.clone()) {
                layers.extend(store.layers().get(diff_id));
            }
        }
        if keys.insert(step.key.clone()) {
            steps.push(step.clone());
        }
    }
    Exported {
        store,
        tell,
        steps,
        layers,
    }
}

/// What an image's configuration has of the steps that made it; nothing when none did.
pub(crate) fn inline(done: &[Done], layers: &[Digest]) -> Result<Option<String>> {
    let made: Vec<&Done> = done
        .iter()
        .filter(|step| step.hit.layer.as_ref().is_none_or(|layer| layers.contains(layer)))
        .collect();
    if made.is_empty() {
        return Ok(None);
    }
    let record = |diff_id: &Digest| LayerRecord {
        // The image's manifest says in which form it has the layer.
        blob: diff_id.clone(),
        parent: -1,
        annotations: Some(LayerNotes {
            diff_id: Some(diff_id.clone()),
            ..LayerNotes::default()
        }),
    };
    let config = Config {
        layers: layers.iter().map(record).collect(),
        records: records(made.into_iter(), layers),
    };
    Ok(Some(STANDARD.encode(json(&config)?)))
}

fn records<'a>(steps: impl Iterator<Item = &'a Done>, layers: &[Digest]) -> Vec<StepRecord> {
    let record = |step: &Done| {
        let at = step
            .hit
            .layer
            .as_ref()
            .and_then(|layer| layers.iter().position(|one| one == layer));
        StepRecord {
            digest: step.key.clone(),
            layers: at
                .map(|layer| StepLayer {
                    layer,
                    created_at: step.hit.created.clone(),
                })
                .into_iter()
                .collect(),
            created: step.hit.created.clone(),
            instruction: step.instruction.clone(),
        }
    };
    steps.map(record).collect()
}

impl Exported<'_> {
    /// The layers, each once.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The store that has them.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.store
    }

    /// Configuration and manifest, for layers in these forms.
    ///
    /// # Errors
    /// Internal when they cannot be written down.
    pub fn documents(
        &self,
        blobs: &[CompressedBlob],
        options: &CacheOptions,
    ) -> Result<(GivenDocument, GivenDocument)> {
        let diff_ids: Vec<Digest> = self.layers.iter().map(|layer| layer.diff_id().clone()).collect();
        let forms: Vec<Descriptor> = blobs
            .iter()
            .map(|blob| {
                Descriptor::new(
                    layer_type(&blob.media_type, options.oci),
                    blob.digest.clone(),
                    blob.size,
                )
            })
            .collect();
        let layers = forms.iter().zip(&diff_ids).map(|(form, diff_id)| LayerRecord {
            blob: form.digest.clone(),
            parent: -1,
            annotations: Some(LayerNotes {
                media_type: form.media_type.clone(),
                diff_id: Some(diff_id.clone()),
                size: form.size,
                created_at: String::new(),
            }),
        });
        let config = Config {
            layers: layers.collect(),
            records: records(self.steps.iter(), &diff_ids),
        };
        let config = GivenDocument::new(CACHE_CONFIG, json(&config)?);
        let manifest = match options.image_manifest {
            true => {
                let manifest = Manifest {
                    schema_version: 2,
                    media_type: media_type::OCI_MANIFEST.to_owned(),
                    artifact_type: String::new(),
                    config: config.descriptor.clone(),
                    layers: forms,
                    subject: None,
                    annotations: BTreeMap::new(),
                };
                GivenDocument::new(media_type::OCI_MANIFEST, json(&manifest)?)
            }
            false => {
                let own = match options.oci {
                    true => media_type::OCI_INDEX,
                    false => media_type::DOCKER_LIST,
                };
                let index = Index {
                    schema_version: 2,
                    media_type: own.to_owned(),
                    artifact_type: String::new(),
                    manifests: forms.into_iter().chain([config.descriptor.clone()]).collect(),
                    subject: None,
                    annotations: BTreeMap::new(),
                };
                GivenDocument::new(own, json(&index)?)
            }
        };
        Ok((config, manifest))
    }

    /// What the client is told of a cache's manifest.
    ///
    /// # Errors
    /// Internal when it cannot be written down.
    pub fn answer(manifest: &GivenDocument) -> Result<BTreeMap<String, String>> {
        let descriptor = String::from_utf8_lossy(&json(&manifest.descriptor)?).into_owned();
        Ok(BTreeMap::from([("cache.manifest".to_owned(), descriptor)]))
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()))
}

/// A folder of the client's, that gets the cache as an OCI layout (`type=local`).
#[derive(Debug, Clone)]
pub struct FolderTarget {
    /// The number of the output that the client puts there.
    pub number: usize,
    /// The tag that the cache gets.
    pub tag: String,
    /// The `index.json` that is there already.
    pub index: Option<String>,
}

impl CacheTarget for FolderTarget {
    fn title(&self) -> String {
        "exporting cache to client directory".to_owned()
    }

    fn export(&self, cache: &Exported<'_>, options: &CacheOptions) -> Result<BTreeMap<String, String>> {
        let pack = |layer: &Layer| cache.store.pack_to_file(layer, options.packing);
        let packed = cache.layers.iter().map(pack).collect::<Result<Vec<_>, _>>()?;
        let blobs: Vec<CompressedBlob> = packed.iter().map(|file| file.blob.clone()).collect();
        let (config, manifest) = cache.documents(&blobs, options)?;
        let mut named = manifest.descriptor.clone();
        let name = ("org.opencontainers.image.ref.name".to_owned(), self.tag.clone());
        named.annotations.extend([name]);
        let index = self.merged(named);
        let answer = Exported::answer(&manifest)?;
        let mut pieces = io::BufWriter::with_capacity(192 << 10, Pieces(self.number, cache.tell));
        corten_store::write_layout(vec![config, manifest], packed, &json(&index)?, &mut pieces)?;
        pieces.flush()?;
        drop(pieces);
        (cache.tell)(Event::Exported(self.number, None));
        Ok(answer)
    }
}

impl FolderTarget {
    /// The index with one more manifest, in the place of what had the tag.
    fn merged(&self, named: Descriptor) -> Index {
        let text = self.index.as_deref().unwrap_or_default();
        let mut index = Index::parse(text.as_bytes()).unwrap_or(Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.to_owned(),
            artifact_type: String::new(),
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        });
        let has_tag = |one: &Descriptor| one.annotations.get("org.opencontainers.image.ref.name") == Some(&self.tag);
        index.manifests.retain(|one| !has_tag(one));
        index.manifests.push(named);
        index
    }
}

struct Pieces<'a>(usize, &'a (dyn Fn(Event) + Sync));

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.1)(Event::Exported(self.0, Some(bytes.to_vec())));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
