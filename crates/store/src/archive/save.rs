//! `docker save`: images as one tar that is an OCI layout and Docker's own format at once.
//!
//! OCI image-spec, image-layout.md; Docker API `GET /images/get`. Layers are written as plain tars,
//! made again from their recipes as they go out; each once, however many images have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Index, Manifest, media_type};
use corten_oci::reference::Reference;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::images::{Image, ImageId, no_such};
use crate::store::Store;
use crate::tar::{Entry, EntryKind, Time, Writer};

/// An item of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    layer_sources: BTreeMap<Digest, Descriptor>,
}

/// What a blob's bytes come from.
enum Blob {
    Bytes(Vec<u8>),
    Layer(Digest),
}

/// An image and the names it is saved under.
struct Chosen {
    image: Image,
    names: Vec<Reference>,
}

impl Store {
    /// Writes images as one tar. A name without a tag means all tags of the repository; an id saves
    /// the image without a name.
    ///
    /// # Errors
    /// `NotFound` in Docker's words, before anything is written; Internal when a layer is damaged.
    pub fn save(&self, names: &[&str], out: &mut dyn Write) -> Result<()> {
        let chosen = self.choose(names)?;
        self.write_chosen(&chosen, out)
    }

    /// Writes one image as a tar, under names that it need not have here.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub fn save_as(&self, image: &ImageId, names: Vec<Reference>, out: &mut dyn Write) -> Result<()> {
        let image = self.images().get(image)?;
        self.write_chosen(&[Chosen { image, names }], out)
    }

    fn write_chosen(&self, chosen: &[Chosen], out: &mut dyn Write) -> Result<()> {
        let lease = self.lease();
        let held = chosen
            .iter()
            .flat_map(|chosen| chosen.image.layers())
            .all(|layer| lease.hold(layer));
        if !held {
            return Err(Error::not_found("a layer of the image is not there").with_hint("pull the image again"));
        }
        let mut layout = Layout::default();
        for chosen in chosen {
            layout.add(self, chosen)?;
        }
        layout.write(self, out)
    }

    fn choose(&self, names: &[&str]) -> Result<Vec<Chosen>> {
        let mut chosen: Vec<Chosen> = Vec::new();
        for name in names {
            for found in self.named(name)? {
                match chosen.iter_mut().find(|known| known.image.id() == found.image.id()) {
                    Some(known) => known.names.extend(found.names),
                    None => chosen.push(found),
                }
            }
        }
        for chosen in &mut chosen {
            chosen.names.sort();
            chosen.names.dedup();
        }
        Ok(chosen)
    }

    /// The images a user's text means, with the names they are saved under.
    fn named(&self, name: &str) -> Result<Vec<Chosen>> {
        if let Ok(reference) = name.parse::<Reference>() {
            let found = match self.images().by_reference(&reference) {
                _ if reference.is_name_only() => self.tagged(&reference),
                Some(image) if reference.digest().is_none() => vec![Chosen {
                    image,
                    names: vec![reference],
                }],
                Some(image) => vec![Chosen {
                    image,
                    names: Vec::new(),
                }],
                None => Vec::new(),
            };
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let image = self.images().resolve(name).map_err(|_| no_such(name))?;
        Ok(vec![Chosen {
            image,
            names: Vec::new(),
        }])
    }

    /// All images with a tag of a repository, in the order of the tags.
    fn tagged(&self, reference: &Reference) -> Vec<Chosen> {
        let of_repository = |image: &Image| -> Vec<Reference> {
            image
                .names()
                .iter()
                .filter(|tag| tag.repository() == reference.repository())
                .cloned()
                .collect()
        };
        let images = self.images().list().into_iter();
        let mut found: Vec<Chosen> = images
            .map(|image| Chosen {
                names: of_repository(&image),
                image,
            })
            .collect();
        found.retain(|chosen| !chosen.names.is_empty());
        found.sort_by(|a, b| a.names.cmp(&b.names));
        found
    }
}

/// The files of the archive, gathered before the first byte is written.
#[derive(Default)]
struct Layout {
    blobs: BTreeMap<Digest, Blob>,
    manifests: Vec<Descriptor>,
    items: Vec<Item>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Layout {
    fn add(&mut self, store: &Store, chosen: &Chosen) -> Result<()> {
        let image = &chosen.image;
        let mut layers = Vec::new();
        for diff_id in image.layers() {
            let layer = store.layers().get(diff_id);
            let layer = layer.ok_or_else(|| Error::not_found(format!("layer {} is not there", diff_id.short())))?;
            layers.push(Descriptor::new(
                media_type::OCI_LAYER,
                diff_id.clone(),
                layer.tar_size(),
            ));
            self.blobs.insert(diff_id.clone(), Blob::Layer(diff_id.clone()));
        }
        let size = image.config_bytes().len() as u64;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.into(),
            artifact_type: String::new(),
            config: Descriptor::new(media_type::OCI_CONFIG, image.id().clone(), size),
            layers: layers.clone(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let manifest = json(&manifest)?;
        let digest = Digest::sha256(&manifest);
        let descriptor = Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), manifest.len() as u64);
        self.blobs
            .insert(image.id().clone(), Blob::Bytes(image.config_bytes().to_vec()));
        self.blobs.insert(digest, Blob::Bytes(manifest));
        self.add_names(&descriptor, image, &chosen.names);
        self.items.push(Item {
            config: blob_path(image.id()),
            repo_tags: (!chosen.names.is_empty()).then(|| chosen.names.iter().map(Reference::familiar).collect()),
            layers: image.layers().iter().map(blob_path).collect(),
            layer_sources: layers.into_iter().map(|layer| (layer.digest.clone(), layer)).collect(),
        });
        Ok(())
    }

    /// The names an image has in `index.json` and `repositories`.
    fn add_names(&mut self, manifest: &Descriptor, image: &Image, names: &[Reference]) {
        if names.is_empty() {
            self.manifests.push(manifest.clone());
        }
        for name in names {
            let tag = name.tag().unwrap_or_default();
            let mut named = manifest.clone();
            named
                .annotations
                .insert("io.containerd.image.name".into(), name.to_string());
            named
                .annotations
                .insert("org.opencontainers.image.ref.name".into(), tag.into());
            self.manifests.push(named);
            let top = image.layers().last().unwrap_or(image.id()).hex().to_owned();
            let repository = name.repository().familiar().into_owned();
            self.repositories.entry(repository).or_default().insert(tag.into(), top);
        }
    }

    fn write(self, store: &Store, out: &mut dyn Write) -> Result<()> {
        let mut tar = Writer::new(out);
        let mut folders = BTreeSet::from(["blobs/".to_owned()]);
        folders.extend(
            self.blobs
                .keys()
                .map(|digest| format!("blobs/{}/", digest.algorithm().as_str())),
        );
        for folder in folders {
            tar.entry(
                &Entry::new(folder.as_bytes(), EntryKind::Folder, 0o755),
                &mut io::empty(),
            )?;
        }
        for (digest, blob) in &self.blobs {
            let path = blob_path(digest);
            match blob {
                Blob::Bytes(bytes) => tar.file(&path, 0o644, Time::default(), bytes)?,
                Blob::Layer(diff_id) => write_layer(store, &mut tar, &path, diff_id)?,
            }
        }
        let index = Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.into(),
            artifact_type: String::new(),
            manifests: self.manifests,
            subject: None,
            annotations: BTreeMap::new(),
        };
        tar.file("index.json", 0o644, Time::default(), &json(&index)?)?;
        tar.file("manifest.json", 0o644, Time::default(), &json(&self.items)?)?;
        tar.file(
            "oci-layout",
            0o644,
            Time::default(),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        if !self.repositories.is_empty() {
            tar.file("repositories", 0o644, Time::default(), &json(&self.repositories)?)?;
        }
        tar.finish()?;
        Ok(())
    }
}

fn write_layer(store: &Store, tar: &mut Writer<&mut dyn Write>, path: &str, diff_id: &Digest) -> Result<()> {
    let layer = store.layers().get(diff_id);
    let layer = layer.ok_or_else(|| Error::not_found(format!("layer {} is not there", diff_id.short())))?;
    let mut entry = Entry::new(path.as_bytes(), EntryKind::File, 0o644);
    entry.size = layer.tar_size();
    let mut content = io::BufReader::with_capacity(128 * 1024, layer.tar()?);
    Ok(tar.entry(&entry, &mut content)?)
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::internal(error.to_string()))
}
