//! Images: their documents byte for byte, their names, and who is who's parent.
//!
//! ```text
//! image/documents/sha256-<hex>   configurations, manifests and indexes as they were received
//!       images/<hex>.json        an image: its names, manifests, parent
//! ```
//! The names stand in the images' own records, with the time they were given: what a crash leaves
//! of a name that moved is told apart by that time, and one damaged record costs one image's names.

mod files;
mod form;
mod image;
mod platforms;
mod remove;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::{ImageConfig, MediaKind};
use corten_oci::reference::{Reference, Repository};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::records;
use crate::store::{Inner, State, Store};

use image::ImageRecord;
pub(crate) use image::chain_ids;

pub use image::Image;
pub use remove::{Force, ImageUser, PruneParents, Removed};

/// An image's id: the digest of its configuration.
pub type ImageId = Digest;

/// What makes an image.
#[derive(Debug, Clone, Default)]
pub struct NewImage<'a> {
    /// The configuration's bytes.
    pub config: &'a [u8],
    /// The manifest, and the index it was found in, as received.
    pub documents: &'a [StoredDocument<'a>],
    /// The image it was made from, on this machine.
    pub parent: Option<ImageId>,
}

/// A document and what it is.
#[derive(Debug, Clone, Copy)]
pub struct StoredDocument<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Part of the store's state: the images and whom names lead to.
#[derive(Debug, Default)]
pub(crate) struct ImageTable {
    by_id: HashMap<ImageId, Image>,
    /// Full names with a tag or a digest.
    by_name: HashMap<String, ImageId>,
}

impl ImageTable {
    /// Layers that images refer to.
    pub(crate) fn layers(&self) -> HashSet<&Digest> {
        self.by_id.values().flat_map(Image::layers).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Image> {
        self.by_id.values()
    }

    /// Documents that images refer to.
    pub(crate) fn documents(&self) -> HashSet<Digest> {
        let of_one = |image: &Image| {
            let others = image.0.record.documents.iter().map(|document| document.digest.clone());
            others.chain([image.id().clone()]).collect::<Vec<_>>()
        };
        self.by_id.values().flat_map(of_one).collect()
    }

    fn set(&mut self, image: Image) {
        for name in image.0.record.names.keys().chain(image.0.record.digests.keys()) {
            self.by_name.insert(name.clone(), image.id().clone());
        }
        self.by_id.insert(image.id().clone(), image);
    }

    fn forget(&mut self, id: &ImageId) {
        self.by_name.retain(|_, named| named != id);
        self.by_id.remove(id);
    }
}

/// The images of a store.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a>(pub(crate) &'a Store);

impl Images<'_> {
    /// Puts an image in; one that is there already keeps its names and gets the documents too.
    ///
    /// # Errors
    /// Invalid when the configuration is malformed, `NotFound` when a layer is not there.
    pub fn put(&self, image: NewImage<'_>) -> Result<ImageId> {
        let config = Arc::new(ImageConfig::parse(image.config)?);
        let id = Digest::sha256(image.config);
        let store = &self.0.inner;
        let documents = image
            .documents
            .iter()
            .map(|document| store.put_document(document))
            .collect::<Result<Vec<_>>>()?;
        store.put_bytes(&id, image.config)?;
        let mut state = store.state();
        let size = layers_size(&state, &config.rootfs.diff_ids)?;
        let mut record = match state.images.by_id.get(&id) {
            Some(present) => present.0.record.clone(),
            None => ImageRecord {
                format: records::FORMAT,
                id: id.clone(),
                stored: Timestamp::now(),
                names: BTreeMap::new(),
                digests: BTreeMap::new(),
                documents: Vec::new(),
                parent: None,
                companions: Vec::new(),
                last_tagged: None,
            },
        };
        for document in documents {
            if !record.documents.contains(&document) {
                record.documents.push(document);
            }
        }
        record.parent = image.parent.or(record.parent);
        store.write_image(&record)?;
        state.images.set(Image::new(record, image.config.into(), config, size));
        Ok(id)
    }

    /// An image by its id.
    ///
    /// # Errors
    /// `NotFound` in Docker's words.
    pub fn get(&self, id: &ImageId) -> Result<Image> {
        self.0
            .inner
            .state()
            .images
            .by_id
            .get(id)
            .cloned()
            .ok_or_else(|| no_such(id.as_str()))
    }

    /// An image by what a user writes: a name, with `latest` when it has no tag, a name with a
    /// digest, an id, or the beginning of one that is no other's. Names go before ids.
    ///
    /// # Errors
    /// `NotFound` in Docker's words, also for a beginning that several ids have; Invalid when the
    /// text is no reference.
    pub fn resolve(&self, text: &str) -> Result<Image> {
        let id = text.parse().or_else(|_| Digest::from_sha256_hex(text));
        if let Ok(id) = id {
            return self.get(&id);
        }
        let reference: Reference = text.parse().map_err(|error| Error::invalid(format!("{error}")))?;
        if let Some(image) = self.by_reference(&reference) {
            return Ok(image);
        }
        self.by_prefix(text)
            .ok_or_else(|| no_such(&reference.or_latest().familiar()))
    }

    /// The image a reference names; a digest in it decides.
    #[must_use]
    pub fn by_reference(&self, reference: &Reference) -> Option<Image> {
        let state = self.0.inner.state();
        let id = state.images.by_name.get(&key(reference))?;
        state.images.by_id.get(id).cloned()
    }

    fn by_prefix(&self, text: &str) -> Option<Image> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let state = self.0.inner.state();
        let mut found = state.images.by_id.iter().filter(|(id, _)| id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some((_, image)), None) => Some(image.clone()),
            _ => None,
        }
    }

    /// All images, the newest put in first, without those that are parts of others.
    #[must_use]
    pub fn list(&self) -> Vec<Image> {
        let state = self.0.inner.state();
        let parts = state.images.parts();
        let whole = state.images.by_id.values().filter(|image| !parts.contains(image.id()));
        let mut images: Vec<Image> = whole.cloned().collect();
        drop(state);
        images.sort_by(|a, b| b.stored().cmp(&a.stored()).then_with(|| a.id().cmp(b.id())));
        images
    }

    /// Images made from this one on this machine.
    #[must_use]
    pub fn children(&self, id: &ImageId) -> Vec<ImageId> {
        let state = self.0.inner.state();
        let children = state.images.by_id.values().filter(|image| image.parent() == Some(id));
        children.map(|image| image.id().clone()).collect()
    }

    /// Gives an image a name; `latest` when it has no tag. The name is taken from whoever had it.
    ///
    /// # Errors
    /// `NotFound` when the image is not there, Invalid when the name has a digest.
    pub fn tag(&self, reference: &Reference, id: &ImageId) -> Result<()> {
        if reference.digest().is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        self.give(&reference.clone().or_latest(), id)
    }

    /// Remembers that a repository has the image under a digest: Docker's `RepoDigests`.
    ///
    /// # Errors
    /// `NotFound` when the image is not there.
    pub fn add_digest(&self, repository: &Repository, digest: &Digest, id: &ImageId) -> Result<()> {
        self.give(&repository.with_digest(digest.clone()), id)
    }

    fn give(&self, reference: &Reference, id: &ImageId) -> Result<()> {
        let store = &self.0.inner;
        let mut state = store.state();
        let image = state
            .images
            .by_id
            .get(id)
            .cloned()
            .ok_or_else(|| no_such(id.as_str()))?;
        let name = key(reference);
        let now = Timestamp::now();
        let mut record = image.0.record.clone();
        if reference.digest().is_some() {
            record.digests.insert(name.clone(), now);
        } else {
            record.names.insert(name.clone(), now);
            record.last_tagged = Some(now);
        }
        store.write_image(&record)?;
        let before = state.images.by_name.get(&name).cloned();
        state.images.set(image.with_record(record));
        if let Some(before) = before.filter(|before| before != id) {
            take(store, &mut state, &before, &name)?;
            state.images.by_name.insert(name, id.clone());
        }
        Ok(())
    }

    /// Takes a name away; the image stays.
    ///
    /// # Errors
    /// `NotFound` when nothing has the name.
    pub fn untag(&self, reference: &Reference) -> Result<ImageId> {
        let store = &self.0.inner;
        let mut state = store.state();
        let name = key(reference);
        let id = state.images.by_name.get(&name).cloned();
        let id = id.ok_or_else(|| no_such(&reference.clone().or_latest().familiar()))?;
        take(store, &mut state, &id, &name)?;
        Ok(id)
    }

    /// A manifest, index or configuration by its digest, as it was received: media type and bytes.
    ///
    /// # Errors
    /// Internal when the file is damaged.
    pub fn document(&self, digest: &Digest) -> Result<Option<(String, Vec<u8>)>> {
        let Some(bytes) = self.0.inner.document(digest)? else {
            return Ok(None);
        };
        let state = self.0.inner.state();
        let mut records = state.images.by_id.values().flat_map(|image| &image.0.record.documents);
        let media_type = records
            .find(|document| document.digest == *digest)
            .map(|document| document.media_type.clone());
        Ok(Some((
            media_type.unwrap_or_else(|| corten_oci::image::media_type::OCI_CONFIG.into()),
            bytes,
        )))
    }

    /// The manifest document of an image, if it came with one: digest, media type and bytes.
    ///
    /// # Errors
    /// Internal when the file is damaged.
    pub fn manifest(&self, image: &Image) -> Result<Option<(Digest, String, Vec<u8>)>> {
        for document in &image.0.record.documents {
            if MediaKind::of(&document.media_type) == MediaKind::Manifest
                && let Some(bytes) = self.0.inner.document(&document.digest)?
            {
                return Ok(Some((document.digest.clone(), document.media_type.clone(), bytes)));
            }
        }
        Ok(None)
    }
}

/// Docker's words for an image that is not there.
pub(crate) fn no_such(name: &str) -> Error {
    Error::not_found(format!("No such image: {name}"))
}

/// What a name is filed under: with a digest, the tag beside it does not count.
fn key(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => reference.repository().with_digest(digest.clone()).to_string(),
        None => reference.clone().or_latest().to_string(),
    }
}

fn take(store: &Inner, state: &mut State, id: &ImageId, name: &str) -> Result<()> {
    let Some(image) = state.images.by_id.get(id).cloned() else {
        return Ok(());
    };
    let mut record = image.0.record.clone();
    record.names.remove(name);
    record.digests.remove(name);
    store.write_image(&record)?;
    state.images.by_name.remove(name);
    state.images.set(image.with_record(record));
    Ok(())
}

fn layers_size(state: &State, layers: &[Digest]) -> Result<u64> {
    let mut size = 0;
    for layer in layers {
        let layer = state.layers.by_diff_id.get(layer);
        size += layer
            .ok_or_else(|| Error::not_found("a layer of the image is not there"))?
            .size();
    }
    Ok(size)
}
