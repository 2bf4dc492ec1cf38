//! `docker load`: images from a tar, as it streams by.
//!
//! An OCI layout, Docker's own format old or new, or both at once. What looks like JSON is kept in
//! memory, what looks like a layer is unpacked at once, and nothing is written anywhere else: names
//! in the archive are keys, never paths. Docker API `POST /images/load`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Document, ImageConfig, Index, Manifest};
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::gc::collect_layers;
use crate::images::{ImageId, NewImage, StoredDocument};
use crate::ingest::{Ingest, IngestRequest, Resume};
use crate::layers::Layer;
use crate::lease::Lease;
use crate::pipeline::Format;
use crate::store::Store;
use crate::tar::{Entry, EntryKind, Reader};
use crate::unpack::clean_name;

/// Most bytes of one JSON file, and of all of them.
const DOCUMENT: u64 = 8 << 20;
const DOCUMENTS: u64 = 128 << 20;
/// Bytes looked at to tell what a file is.
const PEEK: usize = 512;
/// Symbolic links followed from one name.
const MAX_LINKS: usize = 8;
/// Indexes in indexes.
const MAX_DEPTH: usize = 4;

/// What goes on while loading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadEvent {
    /// A layer is being unpacked.
    Layer {
        /// What the archive calls it, shortened.
        name: String,
        /// Bytes unpacked so far.
        current: u64,
        /// Bytes there are.
        total: u64,
    },
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: ImageId,
    /// The names it was given; none if the archive has none for it.
    pub names: Vec<Reference>,
}

/// An item of Docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Store {
    /// Loads all images of an archive, plain or compressed; with a platform only those that it accepts.
    ///
    /// # Errors
    /// Invalid when it is no such archive, truncated, or contradicts itself. Images loaded before
    /// the error stay.
    pub fn load(
        &self,
        input: &mut dyn Read,
        platform: Option<&Platform>,
        progress: &mut dyn FnMut(LoadEvent),
    ) -> Result<Vec<Loaded>> {
        let mut input = BufReader::with_capacity(128 * 1024, input);
        let format = Format::of(fill(&mut input, 6)?)?;
        let mut load = Load::new(self, platform, progress);
        let loaded = load.all(format, input);
        if loaded.is_err() || platform.is_some() {
            // What is wrong with the archive is what the user wants to hear; what stays is collected later.
            let _ = load.forget();
        }
        loaded
    }
}

/// What was read of the archive so far, by clean name.
struct Load<'a> {
    store: &'a Store,
    /// Images for others are passed over.
    platform: Option<&'a Platform>,
    progress: &'a mut dyn FnMut(LoadEvent),
    lease: Lease,
    documents: HashMap<Vec<u8>, Vec<u8>>,
    documents_size: u64,
    layers: HashMap<Vec<u8>, Layer>,
    links: HashMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Load<'a> {
    fn new(store: &'a Store, platform: Option<&'a Platform>, progress: &'a mut dyn FnMut(LoadEvent)) -> Self {
        let lease = store.lease();
        let (documents, layers, links) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self {
            store,
            platform,
            progress,
            lease,
            documents,
            documents_size: 0,
            layers,
            links,
        }
    }

    fn all(&mut self, format: Format, input: impl BufRead) -> Result<Vec<Loaded>> {
        match format {
            Format::Plain => self.read(input)?,
            Format::Gzip => self.read(BufReader::with_capacity(
                128 * 1024,
                flate2::bufread::MultiGzDecoder::new(input),
            ))?,
            Format::Zstd => self.read(BufReader::with_capacity(128 * 1024, zstd::Decoder::with_buffer(input)?))?,
        }
        self.images()
    }

    /// Throws away the layers to which no image came.
    fn forget(self) -> Result<()> {
        let layers: Vec<Digest> = self.layers.values().map(|layer| layer.diff_id().clone()).collect();
        let inner = &self.store.inner;
        drop((self.lease, self.layers));
        collect_layers(inner, &mut inner.state(), layers.iter()).map(drop)
    }

    fn read(&mut self, input: impl BufRead) -> Result<()> {
        let mut reader = Reader::new(input, (), self.store.inner.limits.reader());
        while let Some(entry) = reader.next()? {
            let path = clean_name(&entry.path)?.into_owned();
            match &entry.kind {
                EntryKind::File => self.file(path, &entry, &mut reader)?,
                EntryKind::Symlink(target) => {
                    let folder = path
                        .iter()
                        .rposition(|byte| *byte == b'/')
                        .map_or(&[][..], |slash| &path[..slash]);
                    let target = clean_name(&[folder, target].join(&b'/'))?.into_owned();
                    self.links.insert(path, target);
                }
                EntryKind::HardLink(target) => {
                    self.links.insert(path, clean_name(target)?.into_owned());
                }
                EntryKind::Folder
                | EntryKind::Fifo
                | EntryKind::CharDevice(_)
                | EntryKind::BlockDevice(_)
                | EntryKind::Global => {}
            }
        }
        Ok(())
    }

    fn file<R: BufRead>(&mut self, path: Vec<u8>, entry: &Entry, reader: &mut Reader<R, ()>) -> Result<()> {
        let mut start = Vec::new();
        reader.take(PEEK as u64).read_to_end(&mut start)?;
        if is_layer(&path, &start) {
            let layer = self.layer(&path, &start, entry.size, reader)?;
            self.layers.insert(path, layer);
            return Ok(());
        }
        self.documents_size += entry.size;
        if entry.size > DOCUMENT || self.documents_size > DOCUMENTS {
            let name = String::from_utf8_lossy(&path).into_owned();
            return Err(Error::invalid(format!(
                "{name:?} is no layer and too large for a document"
            )));
        }
        reader.read_to_end(&mut start)?;
        self.documents.insert(path, start);
        Ok(())
    }

    fn layer<R: BufRead>(
        &mut self,
        path: &[u8],
        start: &[u8],
        total: u64,
        reader: &mut Reader<R, ()>,
    ) -> Result<Layer> {
        let digest = blob_digest(path);
        if let Some(digest) = &digest
            && let Some(layer) = self
                .store
                .layers()
                .get(digest)
                .or_else(|| self.store.layers().by_compressed(digest))
            && self.lease.hold(layer.diff_id())
        {
            return Ok(layer);
        }
        let request = IngestRequest {
            compressed: digest,
            resume: Resume::Never,
            ..IngestRequest::default()
        };
        let progress = &mut self.progress;
        self.store.take_layer(&self.lease, &request, |ingest| {
            unpack(progress, path, ingest, start, total, reader)
        })
    }

    /// Puts the images in, once all of the archive is known.
    fn images(&mut self) -> Result<Vec<Loaded>> {
        if let Some(bytes) = self.documents.remove(&b"manifest.json"[..]) {
            let items: Vec<Item> = serde_json::from_slice(&bytes)
                .map_err(|error| Error::invalid(format!("invalid manifest.json: {error}")))?;
            let loaded = items.into_iter().map(|item| self.item(item));
            let loaded: Vec<Loaded> = loaded.filter_map(Result::transpose).collect::<Result<_>>()?;
            return self.joined(loaded);
        }
        if let Some(bytes) = self.documents.remove(&b"index.json"[..]) {
            let mut loaded = Vec::new();
            for descriptor in &Index::parse(&bytes)?.manifests {
                self.descriptor(descriptor, &names_of(descriptor), 0, &mut loaded)?;
            }
            return Ok(loaded);
        }
        Err(Error::invalid(
            "the archive holds no images: it has neither manifest.json nor index.json",
        ))
    }

    fn item(&self, item: Item) -> Result<Option<Loaded>> {
        let config = self.document(item.config.as_bytes())?;
        if !self.is_wanted(config)? {
            return Ok(None);
        }
        let layers = item.layers.unwrap_or_default();
        let layers = layers
            .iter()
            .map(|path| self.find_layer(path.as_bytes()))
            .collect::<Result<Vec<_>>>()?;
        let mut names = Vec::new();
        for tag in item.repo_tags.unwrap_or_default() {
            let name: Reference = tag.parse().map_err(|error| Error::invalid(format!("{error}")))?;
            if name.digest().is_some() {
                return Err(Error::invalid(format!("invalid tag {tag:?}")));
            }
            names.push(name.or_latest());
        }
        self.put(config, &[], &layers, names).map(Some)
    }

    /// Whether an image, by its configuration, is for the platform that was asked for.
    fn is_wanted(&self, config: &[u8]) -> Result<bool> {
        match self.platform {
            Some(platform) => Ok(platform.accepts(&ImageConfig::parse(config)?.platform())),
            None => Ok(true),
        }
    }

    /// Loads what a descriptor of an OCI index leads to, for this platform when there are several.
    fn descriptor(
        &self,
        descriptor: &Descriptor,
        names: &[Reference],
        depth: usize,
        loaded: &mut Vec<Loaded>,
    ) -> Result<()> {
        let bytes = self.document(blob_path(&descriptor.digest).as_bytes())?;
        if !descriptor.digest.matches(bytes) {
            return Err(Error::invalid(format!(
                "{} does not have its digest",
                descriptor.digest
            )));
        }
        match Document::parse(bytes, None)? {
            Document::Manifest(manifest) => {
                let Some(image) = self.manifest(&manifest, bytes, names)? else {
                    return Ok(());
                };
                match loaded.iter_mut().find(|known| known.id == image.id) {
                    Some(known) => known.names.extend(image.names),
                    None => loaded.push(image),
                }
                Ok(())
            }
            Document::Index(index) if depth < MAX_DEPTH => {
                let host = Platform::host();
                let candidates = self.platform.unwrap_or(&host).candidates(&index.manifests);
                match (candidates.first(), self.platform) {
                    (Some(first), Some(_)) => self.descriptor(first, names, depth + 1, loaded),
                    (Some(first), None) => {
                        self.descriptor(first, names, depth + 1, loaded)?;
                        self.companions(&index, first, depth)
                    }
                    (None, Some(_)) => Ok(()),
                    (None, None) => Err(Error::invalid("the archive has no image for this platform")),
                }
            }
            Document::Index(_) => Err(Error::invalid("the archive's indexes are nested too deeply")),
        }
    }

    /// Loads what an index has for other platforms, as far as it is in the archive, to go with the first.
    fn companions(&self, index: &Index, first: &Descriptor, depth: usize) -> Result<()> {
        let mut found = Vec::new();
        let is_here = |one: &&Descriptor| self.document(blob_path(&one.digest).as_bytes()).is_ok();
        let others = index.manifests.iter().filter(|one| !one.is_attestation());
        for other in others.filter(|one| one.digest != first.digest).filter(is_here) {
            self.descriptor(other, &[], depth + 1, &mut found)?;
        }
        let Some(main) = self.config_of(first)? else {
            return Ok(());
        };
        let found: Vec<ImageId> = found.into_iter().map(|loaded| loaded.id).collect();
        self.store.images().set_companions(&main, &found)
    }

    /// The id of the image that a manifest is of.
    fn config_of(&self, descriptor: &Descriptor) -> Result<Option<ImageId>> {
        let Ok(bytes) = self.document(blob_path(&descriptor.digest).as_bytes()) else {
            return Ok(None);
        };
        match Document::parse(bytes, None)? {
            Document::Manifest(manifest) => Ok(Some(manifest.config.digest)),
            Document::Index(_) => Ok(None),
        }
    }

    /// Joins what is one image in the archive's index, if it has one, and several in Docker's own list.
    fn joined(&self, mut loaded: Vec<Loaded>) -> Result<Vec<Loaded>> {
        let Ok(bytes) = self.document(b"index.json") else {
            return Ok(loaded);
        };
        for descriptor in Index::parse(bytes)?.manifests {
            let Ok(bytes) = self.document(blob_path(&descriptor.digest).as_bytes()) else {
                continue;
            };
            let Document::Index(index) = Document::parse(bytes, None)? else {
                continue;
            };
            let manifests = index.manifests.iter().filter(|one| !one.is_attestation());
            let mut ids = Vec::new();
            for manifest in manifests {
                let id = self.config_of(manifest)?;
                ids.extend(id.filter(|id| loaded.iter().any(|known| known.id == *id)));
            }
            let has_name = |id: &&ImageId| loaded.iter().any(|known| known.id == **id && !known.names.is_empty());
            let Some(main) = ids.iter().find(has_name).or(ids.first()).cloned() else {
                continue;
            };
            self.store.images().set_companions(&main, &ids)?;
            loaded.retain(|known| known.id == main || !ids.contains(&known.id) || !known.names.is_empty());
        }
        Ok(loaded)
    }

    fn manifest(&self, manifest: &Manifest, bytes: &[u8], names: &[Reference]) -> Result<Option<Loaded>> {
        let config = self.document(blob_path(&manifest.config.digest).as_bytes())?;
        if !manifest.config.digest.matches(config) {
            return Err(Error::invalid(format!(
                "{} does not have its digest",
                manifest.config.digest
            )));
        }
        if !self.is_wanted(config)? {
            return Ok(None);
        }
        let layers = manifest
            .layers
            .iter()
            .map(|layer| self.find_layer(blob_path(&layer.digest).as_bytes()));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let document = StoredDocument {
            media_type: manifest.effective_media_type(),
            bytes,
        };
        self.put(config, &[document], &layers, names.to_vec()).map(Some)
    }

    fn put(
        &self,
        config: &[u8],
        documents: &[StoredDocument<'_>],
        layers: &[Layer],
        names: Vec<Reference>,
    ) -> Result<Loaded> {
        let expected = ImageConfig::parse(config)?.rootfs.diff_ids;
        if expected.len() != layers.len() {
            return Err(Error::invalid(format!(
                "invalid manifest, layers length mismatch: expected {}, got {}",
                expected.len(),
                layers.len()
            )));
        }
        for (index, (expected, layer)) in expected.iter().zip(layers).enumerate() {
            if expected != layer.diff_id() {
                let found = layer.diff_id().as_str();
                return Err(Error::invalid(format!(
                    "invalid diffID for layer {index}: expected {:?}, got {found:?}",
                    expected.as_str()
                )));
            }
        }
        let id = self.store.images().put(NewImage {
            config,
            documents,
            parent: None,
        })?;
        for name in &names {
            self.store.images().tag(name, &id)?;
        }
        Ok(Loaded { id, names })
    }

    fn document(&self, path: &[u8]) -> Result<&[u8]> {
        let path = self.real(path)?;
        let missing = || Error::invalid(format!("the archive lacks {:?}", String::from_utf8_lossy(&path)));
        self.documents.get(&path).map(Vec::as_slice).ok_or_else(missing)
    }

    fn find_layer(&self, path: &[u8]) -> Result<Layer> {
        let path = self.real(path)?;
        if let Some(layer) = self.layers.get(&path) {
            return Ok(layer.clone());
        }
        // An archive may leave out layers that are here already.
        let present = blob_digest(&path).and_then(|digest| self.store.layers().get(&digest));
        let missing = || Error::invalid(format!("the archive lacks {:?}", String::from_utf8_lossy(&path)));
        present
            .filter(|layer| self.lease.hold(layer.diff_id()))
            .ok_or_else(missing)
    }

    /// The clean name behind links in the archive.
    fn real(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut path = clean_name(path)?.into_owned();
        for _ in 0..MAX_LINKS {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => return Ok(path),
            }
        }
        Err(Error::invalid("the archive's links go round in circles"))
    }
}

/// Unpacks a layer whose first bytes were looked at, and tells how far it is.
fn unpack<R: BufRead>(
    progress: &mut dyn FnMut(LoadEvent),
    path: &[u8],
    mut ingest: Ingest,
    start: &[u8],
    total: u64,
    reader: &mut Reader<R, ()>,
) -> Result<Layer> {
    let name = layer_name(path);
    ingest.copy_from(&mut &*start)?;
    let mut told = 0;
    loop {
        let copied = ingest.copy_from(&mut reader.by_ref().take(1 << 20))?;
        let current = ingest.offset();
        if copied == 0 || current - told >= 8 << 20 {
            told = current;
            progress(LoadEvent::Layer {
                name: name.clone(),
                current,
                total,
            });
        }
        if copied == 0 {
            return ingest.finish();
        }
    }
}

/// Whether a file is a layer: by its name in the old format, by its first bytes otherwise.
fn is_layer(path: &[u8], start: &[u8]) -> bool {
    let named = path.ends_with(b"/layer.tar") || path.ends_with(b".tar");
    let compressed = Format::of(start).is_ok_and(|format| format != Format::Plain);
    let tar = start.get(257..262) == Some(b"ustar");
    let empty_tar = start.len() == PEEK && start.iter().all(|byte| *byte == 0);
    named || compressed || tar || empty_tar
}

/// The digest in a name like `blobs/sha256/<hex>`.
fn blob_digest(path: &[u8]) -> Option<Digest> {
    let rest = std::str::from_utf8(path).ok()?.strip_prefix("blobs/")?;
    rest.replacen('/', ":", 1).parse().ok()
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// What to call a layer while it is unpacked: its digest's or old id's beginning.
fn layer_name(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    let name = text
        .trim_end_matches("/layer.tar")
        .trim_end_matches(".tar")
        .rsplit('/')
        .next()
        .unwrap_or_default();
    name.chars().take(12).collect()
}

/// The names that annotations give an image.
fn names_of(descriptor: &Descriptor) -> Vec<Reference> {
    let full = descriptor.annotations.get("io.containerd.image.name");
    // The other annotation often holds a bare tag, which names nothing.
    let short = descriptor
        .annotations
        .get("org.opencontainers.image.ref.name")
        .filter(|name| name.contains([':', '/']));
    let name = full.or(short).and_then(|name| name.parse::<Reference>().ok());
    name.into_iter()
        .filter(|name| name.digest().is_none())
        .map(Reference::or_latest)
        .collect()
}

/// At least the first bytes of a reader, as far as it has them at once.
fn fill<R: Read>(input: &mut BufReader<R>, count: usize) -> Result<&[u8]> {
    if input.fill_buf()?.len() < count {
        // A reader that gives less than the magic's bytes at first is a pipe: they fit one write,
        // and what is shorter than a magic is no archive anyhow.
        return Ok(input.buffer());
    }
    Ok(input.buffer())
}
