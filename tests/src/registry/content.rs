//! What the test registry holds: repositories of tags, manifests and blobs, and uploads under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_oci::digest::Digest;
use serde_json::Value;

/// A blob's bytes, or the file that has them.
#[derive(Debug, Clone)]
pub(super) enum Blob {
    Memory(Arc<[u8]>),
    File(PathBuf),
}

impl Blob {
    pub(super) fn read(&self) -> Arc<[u8]> {
        match self {
            Self::Memory(bytes) => bytes.clone(),
            Self::File(path) => corten_sys::fs::read(path).expect("the layout's blob").into(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct StoredManifest {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) bytes: Arc<[u8]>,
}

#[derive(Debug, Default)]
struct Repository {
    tags: BTreeMap<String, Digest>,
    manifests: HashMap<Digest, StoredManifest>,
    blobs: BTreeSet<Digest>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    repositories: BTreeMap<String, Repository>,
    blobs: HashMap<Digest, Blob>,
    uploads: HashMap<String, Vec<u8>>,
    uploads_begun: usize,
}

impl Content {
    pub(super) fn add_blob(&mut self, repository: &str, blob: Blob) -> Digest {
        let digest = match &blob {
            Blob::Memory(bytes) => Digest::sha256(bytes),
            Blob::File(path) => {
                let hex = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                Digest::from_sha256_hex(hex).expect("a blob is named by its digest")
            }
        };
        self.blobs.insert(digest.clone(), blob);
        self.repository(repository).blobs.insert(digest.clone());
        digest
    }

    pub(super) fn add_manifest(&mut self, repository: &str, kind: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let manifest = StoredManifest {
            digest: digest.clone(),
            media_type: kind.into(),
            bytes: bytes.into(),
        };
        self.repository(repository).manifests.insert(digest.clone(), manifest);
        digest
    }

    pub(super) fn tag(&mut self, repository: &str, tag: &str, digest: &Digest) {
        self.repository(repository).tags.insert(tag.into(), digest.clone());
    }

    pub(super) fn untag(&mut self, repository: &str, tag: &str) {
        self.repository(repository).tags.remove(tag);
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.into()).or_default()
    }

    pub(super) fn repositories(&self) -> Vec<String> {
        self.repositories.keys().cloned().collect()
    }

    pub(super) fn tags(&self, repository: &str) -> Vec<String> {
        let found = self.repositories.get(repository);
        found.map_or_else(Vec::new, |r| r.tags.keys().cloned().collect())
    }

    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<StoredManifest> {
        let repository = self.repositories.get(repository)?;
        let digest = match reference.parse() {
            Ok(digest) => digest,
            Err(_) => repository.tags.get(reference)?.clone(),
        };
        repository.manifests.get(&digest).cloned()
    }

    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Option<Blob> {
        let is_here = self.repositories.get(repository)?.blobs.contains(digest);
        self.blobs.get(digest).filter(|_| is_here).cloned()
    }

    /// Makes a blob of one repository one of another's; false when there is no such blob.
    pub(super) fn mount(&mut self, repository: &str, from: &str, digest: &Digest) -> bool {
        let found = self.blob(from, digest).is_some();
        if found {
            self.repository(repository).blobs.insert(digest.clone());
        }
        found
    }

    pub(super) fn begin_upload(&mut self) -> String {
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        self.uploads.insert(id.clone(), Vec::new());
        id
    }

    /// Adds bytes to an upload; returns how many it has now.
    pub(super) fn append(&mut self, id: &str, bytes: &[u8]) -> Option<usize> {
        let upload = self.uploads.get_mut(id)?;
        upload.extend_from_slice(bytes);
        Some(upload.len())
    }

    /// Ends an upload; the blob stays if it is what its digest says.
    pub(super) fn finish_upload(&mut self, repository: &str, id: &str, digest: &Digest) -> bool {
        let Some(bytes) = self.uploads.remove(id) else {
            return false;
        };
        let fits = digest.matches(&bytes);
        if fits {
            self.add_blob(repository, Blob::Memory(bytes.into()));
        }
        fits
    }

    pub(super) fn add_layout(&mut self, folder: &Path) {
        let read = |path: PathBuf| corten_sys::fs::read(path).expect("an OCI layout");
        let index: Value = serde_json::from_slice(&read(folder.join("index.json"))).expect("JSON");
        for entry in index["manifests"].as_array().into_iter().flatten() {
            let name = &entry["annotations"]["org.opencontainers.image.ref.name"];
            let Some((repository, tag)) = name.as_str().and_then(|name| name.split_once(':')) else {
                continue;
            };
            let repository = match repository.contains('/') {
                true => repository.to_owned(),
                false => format!("library/{repository}"),
            };
            let path = |descriptor: &Value| {
                let digest: Digest = descriptor["digest"]
                    .as_str()
                    .unwrap_or_default()
                    .parse()
                    .expect("a digest");
                folder.join("blobs/sha256").join(digest.hex())
            };
            let bytes = read(path(entry));
            let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
            let layers = manifest["layers"].as_array().into_iter().flatten();
            for descriptor in layers.chain([&manifest["config"]]) {
                self.add_blob(&repository, Blob::File(path(descriptor)));
            }
            let kind = entry["mediaType"].as_str().unwrap_or_default();
            let digest = self.add_manifest(&repository, kind, &bytes);
            self.tag(&repository, tag, &digest);
        }
    }
}
