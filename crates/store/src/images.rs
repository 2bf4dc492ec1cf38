//! Images: their documents byte for byte, their names, and who is who's parent.
//!
//! ```text
//! image/documents/sha256-<hex>   configurations, manifests and indexes as they were received
//!       images/<hex>.json        an image: its names, manifests, parent
//! ```
//! The names stand in the images' own records, with the time they were given: what a crash leaves
//! of a name that moved is told apart by that time, and one damaged record costs one image's names.

mod form;
mod platforms;
mod remove;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::{ImageConfig, MediaKind};
use corten_oci::reference::{Reference, Repository};
use corten_sys::fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::records;
use crate::store::{Inner, State, Store};

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

/// An image as it was when asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Image(Arc<ImageInner>);

#[derive(Debug)]
struct ImageInner {
    config_bytes: Arc<[u8]>,
    config: Arc<ImageConfig>,
    record: ImageRecord,
    names: Vec<Reference>,
    digests: Vec<Reference>,
    size: u64,
}

/// `images/<hex>.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ImageRecord {
    format: u32,
    id: ImageId,
    /// When it was put in.
    stored: Timestamp,
    /// Names with tags, and when each was given.
    #[serde(default)]
    names: BTreeMap<String, Timestamp>,
    /// Names with digests.
    #[serde(default)]
    digests: BTreeMap<String, Timestamp>,
    #[serde(default)]
    documents: Vec<DocumentRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<ImageId>,
    /// Images for other platforms that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    companions: Vec<ImageId>,
    /// When a name was last given, Docker's `Metadata.LastTagTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_tagged: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DocumentRecord {
    digest: Digest,
    media_type: String,
}

impl records::Record for ImageRecord {
    fn format(&self) -> u32 {
        self.format
    }
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

    fn new(record: ImageRecord, config_bytes: Arc<[u8]>, config: Arc<ImageConfig>, size: u64) -> Self {
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

    fn with_record(&self, record: ImageRecord) -> Self {
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

impl Inner {
    fn document_path(&self, digest: &Digest) -> PathBuf {
        self.image
            .join("documents")
            .join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    fn image_path(&self, id: &ImageId) -> PathBuf {
        self.image.join("images").join(format!("{}.json", id.hex()))
    }

    fn put_document(&self, document: &StoredDocument<'_>) -> Result<DocumentRecord> {
        let digest = Digest::sha256(document.bytes);
        self.put_bytes(&digest, document.bytes)?;
        Ok(DocumentRecord {
            digest,
            media_type: document.media_type.into(),
        })
    }

    fn put_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let path = self.document_path(digest);
        if self.document(digest)?.is_none() {
            fs::write_atomic(&path, bytes)?;
            self.queue.register(path);
        }
        Ok(())
    }

    /// A document's bytes; one that does not have its digest is set aside and counts as absent.
    fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.document_path(digest);
        let Some(bytes) = fs::if_there(fs::read(&path))? else {
            return Ok(None);
        };
        if digest.matches(&bytes) {
            return Ok(Some(bytes));
        }
        records::set_aside(&path, "it does not have its digest");
        Ok(None)
    }

    pub(crate) fn remove_document(&self, digest: &Digest) -> Result<()> {
        fs::if_there(fs::remove_file(self.document_path(digest)))?;
        Ok(())
    }

    fn write_image(&self, record: &ImageRecord) -> Result<()> {
        let path = self.image_path(&record.id);
        records::store(&path, record)?;
        self.queue.register(path);
        Ok(())
    }
}

impl Store {
    /// Reads all images. One whose configuration is lost is set aside; names that two claim belong
    /// to the one that got it later.
    pub(crate) fn read_images(&self) -> Result<()> {
        let mut loaded = Vec::new();
        for entry in fs::read_dir(self.inner.image.join("images"))? {
            let entry = entry?;
            let path = entry.path();
            if fs::is_temporary(&entry.file_name()) {
                fs::if_there(fs::remove_file(&path))?;
            } else if path.extension().is_some_and(|extension| extension == "json")
                && let Some(record) = records::load::<ImageRecord>(&path)?
            {
                loaded.push((path, record));
            }
        }
        drop_lost_claims(loaded.iter_mut().map(|(_, record)| record));
        for (path, record) in loaded {
            match self.read_image(record) {
                Ok(image) => self.inner.state().images.set(image),
                Err(error) => records::set_aside(&path, &error.to_string()),
            }
        }
        Ok(())
    }

    fn read_image(&self, record: ImageRecord) -> Result<Image> {
        let bytes = self.inner.document(&record.id)?;
        let bytes = bytes.ok_or_else(|| Error::not_found("its configuration is lost"))?;
        let config = ImageConfig::parse(&bytes)?;
        let state = self.inner.state();
        let size = layers_size(&state, &config.rootfs.diff_ids).unwrap_or_else(|_| {
            tracing::warn!(image = record.id.short(), "image lacks a layer; pull it again");
            0
        });
        drop(state);
        Ok(Image::new(record, bytes.into(), Arc::new(config), size))
    }
}

fn drop_lost_claims<'a>(records: impl Iterator<Item = &'a mut ImageRecord>) {
    let mut owners: HashMap<String, Timestamp> = HashMap::new();
    let mut records: Vec<&mut ImageRecord> = records.collect();
    for (name, given) in records
        .iter()
        .flat_map(|record| record.names.iter().chain(&record.digests))
    {
        let owner = owners.entry(name.clone()).or_insert(*given);
        *owner = (*owner).max(*given);
    }
    for record in &mut records {
        let keeps = |name: &String, given: &mut Timestamp| owners.get(name).is_none_or(|latest| latest == given);
        record.names.retain(keeps);
        record.digests.retain(keeps);
    }
}
