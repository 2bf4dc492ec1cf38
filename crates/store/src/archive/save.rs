//! `docker save`: images as one tar that is an OCI layout and Docker's own format at once.
//!
//! OCI image-spec, image-layout.md; Docker API `GET /images/get`. Layers are written as plain tars,
//! made again from their recipes as they go out; each once, however many images have it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use corten_oci::digest::Digest;
use corten_oci::image::{Compression, Descriptor, Index, media_type};
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::form::{Form, GivenDocument};
use crate::images::{Image, ImageId, no_such};
use crate::layers::CompressedBlob;
use crate::pack::PackedFile;
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
    Packed(PackedFile),
}

/// An image and the names it is saved under; with the same for other platforms, when there are any.
struct Chosen {
    image: Image,
    names: Vec<Reference>,
    others: Vec<Image>,
}

impl Store {
    /// Writes images as one tar, for all their platforms or only for some. A name without a tag means all tags of
    /// the repository; an id saves the image without a name.
    ///
    /// # Errors
    /// `NotFound` in Docker's words, before anything is written; Internal when a layer is damaged.
    pub fn save(&self, names: &[&str], platforms: &[Platform], out: &mut dyn Write) -> Result<()> {
        let mut chosen = self.choose(names)?;
        for chosen in &mut chosen {
            let mut whole = self.images().whole(&chosen.image);
            let is_wanted = |image: &Image| {
                let own = image.config().platform();
                platforms.is_empty() || platforms.iter().any(|platform| platform.accepts(&own))
            };
            whole.retain(is_wanted);
            if whole.is_empty() {
                return Err(Error::not_found("the image is for none of the platforms"));
            }
            chosen.image = whole.remove(0);
            chosen.others = whole;
        }
        self.write_chosen(&chosen, out)
    }

    /// Writes an image as a tar, with those that it is for other platforms, under names that they need not have
    /// here, as their forms say.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub fn save_as(&self, images: &[ImageId], names: Vec<Reference>, out: &mut dyn Write) -> Result<()> {
        let mut images = images.iter().map(|id| self.images().get(id));
        let first = images.next().transpose()?;
        let image = first.ok_or_else(|| Error::internal("no image is to be saved"))?;
        let others = images.collect::<Result<_>>()?;
        self.write_chosen(&[Chosen { image, names, others }], out)
    }

    fn write_chosen(&self, chosen: &[Chosen], out: &mut dyn Write) -> Result<()> {
        let lease = self.lease();
        let held = chosen
            .iter()
            .flat_map(|chosen| std::iter::once(&chosen.image).chain(&chosen.others))
            .flat_map(Image::layers)
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
                    others: Vec::new(),
                }],
                Some(image) => vec![Chosen {
                    image,
                    names: Vec::new(),
                    others: Vec::new(),
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
            others: Vec::new(),
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
                others: Vec::new(),
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
        let mut listed = Vec::new();
        let mut attested = Vec::new();
        let form = store.images().form(&chosen.image)?.unwrap_or_default();
        for image in std::iter::once(&chosen.image).chain(&chosen.others) {
            let own = store.images().form(image)?.unwrap_or_default();
            let (manifest, item) = self.add_image(store, image, &own)?;
            if let Some(about) = own.attestation(&manifest, &chosen.names, &image.config().platform())? {
                for blob in about.blobs {
                    self.bytes(blob);
                }
                attested.push(about.manifest.descriptor.clone());
                self.bytes(about.manifest);
            }
            listed.push(manifest.descriptor.clone());
            self.bytes(manifest);
            let is_first = *image.id() == *chosen.image.id();
            let names = chosen.names.iter().filter(|_| is_first);
            let names: Vec<String> = names.map(Reference::familiar).collect();
            self.items.push(Item {
                repo_tags: (!names.is_empty()).then_some(names),
                ..item
            });
        }
        let top = match (listed.as_slice(), attested.is_empty()) {
            ([only], true) => Descriptor {
                platform: None,
                ..only.clone()
            },
            _ => {
                let index = form.index(listed.into_iter().chain(attested).collect())?;
                let descriptor = index.descriptor.clone();
                self.bytes(index);
                descriptor
            }
        };
        self.add_names(&top, &chosen.image, &chosen.names);
        Ok(())
    }

    fn bytes(&mut self, document: GivenDocument) {
        self.blobs
            .insert(document.descriptor.digest, Blob::Bytes(document.bytes));
    }

    /// One image's configuration and layers; gives its manifest.
    fn add_image(&mut self, store: &Store, image: &Image, form: &Form) -> Result<(GivenDocument, Item)> {
        let mut layers = Vec::new();
        for diff_id in image.layers() {
            let layer = store.layers().get(diff_id);
            let layer = layer.ok_or_else(|| Error::not_found(format!("layer {} is not there", diff_id.short())))?;
            let packing = form.packing.filter(|packing| packing.compression != Compression::None);
            let (blob, content) = match packing {
                Some(packing) => {
                    let packed = store.pack_to_file(&layer, packing)?;
                    (packed.blob.clone(), Blob::Packed(packed))
                }
                None => {
                    let blob = CompressedBlob {
                        digest: diff_id.clone(),
                        size: layer.tar_size(),
                        media_type: media_type::OCI_LAYER.to_owned(),
                        sources: Vec::new(),
                    };
                    (blob, Blob::Layer(diff_id.clone()))
                }
            };
            self.blobs.insert(blob.digest.clone(), content);
            layers.push(blob);
        }
        let config = (image.id().clone(), image.config_bytes().len() as u64);
        let mut manifest = form.oci_manifest(config, &layers)?;
        manifest.descriptor.platform = Some(image.config().platform());
        manifest
            .descriptor
            .annotations
            .clone_from(&form.annotations.manifest_descriptor);
        self.blobs
            .insert(image.id().clone(), Blob::Bytes(image.config_bytes().to_vec()));
        let sources = layers.iter().zip(image.layers()).map(|(blob, diff_id)| {
            let kind = crate::form::layer_type(&blob.media_type, true);
            (diff_id.clone(), Descriptor::new(kind, blob.digest.clone(), blob.size))
        });
        let item = Item {
            config: blob_path(image.id()),
            repo_tags: None,
            layers: layers.iter().map(|blob| blob_path(&blob.digest)).collect(),
            layer_sources: sources.collect(),
        };
        Ok((manifest, item))
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
        for (digest, blob) in self.blobs {
            let path = blob_path(&digest);
            match blob {
                Blob::Bytes(bytes) => tar.file(&path, 0o644, Time::default(), &bytes)?,
                Blob::Layer(diff_id) => write_layer(store, &mut tar, &path, &diff_id)?,
                Blob::Packed(packed) => {
                    let mut entry = Entry::new(path.as_bytes(), EntryKind::File, 0o644);
                    entry.size = packed.blob.size;
                    tar.entry(&entry, &mut io::BufReader::with_capacity(128 * 1024, packed.file))?;
                }
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
