//! Manifests: kept as content like blobs, with a record of what they are; and what refers to them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use corten_oci::digest::Digest;
use corten_sys::fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Opened, Removed, Store, blobs, file_name, of_file_name};
use crate::document::{Document, Need, NeedKind};
use crate::name::{Name, Tag};
use crate::refusal::{Code, Refusal, Result};

/// What is kept of a manifest beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Record {
    pub(crate) media_type: String,
    pub(crate) size: u64,
    pub(crate) pushed: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Digest>,
}

/// A manifest as the referrers API lists it: a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A manifest to be kept.
#[derive(Debug)]
pub(crate) struct Put<'a> {
    pub(crate) name: &'a Name,
    pub(crate) digest: &'a Digest,
    pub(crate) bytes: &'a [u8],
    pub(crate) document: &'a Document,
    pub(crate) tags: &'a [Tag],
    /// Whether what it refers to must be there; in a cache it comes when it is asked for.
    pub(crate) is_complete: bool,
}

impl Store {
    fn manifest_path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository_path(name).join("_manifests").join(file_name(digest))
    }

    fn record_path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository_path(name)
            .join("_manifests")
            .join(format!("{}.json", file_name(digest)))
    }

    fn referrer_path(&self, name: &Name, subject: &Digest, digest: &Digest) -> PathBuf {
        self.referrers_path(name, subject).join(file_name(digest))
    }

    fn referrers_path(&self, name: &Name, subject: &Digest) -> PathBuf {
        self.repository_path(name).join("_referrers").join(file_name(subject))
    }

    /// What is kept of a manifest.
    pub(crate) fn record(&self, name: &Name, digest: &Digest) -> io::Result<Option<Record>> {
        let path = self.record_path(name, digest);
        let Some(bytes) = fs::if_there(fs::read(&path))? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                tracing::error!(repository = %name, %digest, %error, "a manifest's record is damaged: it is set aside");
                fs::rename(&path, path.with_extension("damaged"))?;
                Ok(None)
            }
        }
    }

    /// A manifest, to be read.
    pub(crate) fn open_manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<(Record, Opened)>> {
        let Some(record) = self.record(name, digest)? else {
            return Ok(None);
        };
        let opened = blobs::open(&self.manifest_path(name, digest))?;
        Ok(opened.map(|opened| (record, opened)))
    }

    /// A manifest's bytes and what they say.
    pub(crate) fn read_manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<Document>> {
        let Some(record) = self.record(name, digest)? else {
            return Ok(None);
        };
        let bytes = fs::if_there(fs::read(self.manifest_path(name, digest)))?;
        Ok(bytes.and_then(|bytes| Document::parse(&bytes, Some(&record.media_type)).ok()))
    }

    /// Keeps a manifest and lets tags name it.
    ///
    /// # Errors
    /// `MANIFEST_BLOB_UNKNOWN` and `SIZE_INVALID` when what it refers to is not there or not so long.
    pub(crate) fn put_manifest(&self, put: &Put<'_>) -> Result<()> {
        let _guard = self.lock_repository(put.name);
        if put.is_complete {
            self.check_needs(put.name, &put.document.needs)?;
        }
        if self.record(put.name, put.digest)?.is_none() {
            let size = u64::try_from(put.bytes.len()).unwrap_or(u64::MAX);
            self.usage.check(self, put.name, size)?;
            self.keep(put, size)?;
            self.usage.added(put.name, size);
        }
        for tag in put.tags {
            self.write_tag(put.name, tag, put.digest)?;
        }
        Ok(())
    }

    /// The content first, then what leads to it.
    fn keep(&self, put: &Put<'_>, size: u64) -> io::Result<()> {
        let draft = self.uploads_path().join(format!("copy-{}", super::uploads::new_id()));
        fs::write(&draft, put.bytes)?;
        self.take_over(put.digest, &draft, size, &self.manifest_path(put.name, put.digest))?;
        if let Some(subject) = &put.document.subject {
            self.write_referrer(put, subject, size)?;
        }
        let record = Record {
            media_type: put.document.media_type.clone(),
            size,
            pushed: Timestamp::now(),
            subject: put.document.subject.clone(),
        };
        let path = self.record_path(put.name, put.digest);
        fs::write_atomic(&path, serde_json::to_vec(&record)?)?;
        self.syncer.wrote(path);
        Ok(())
    }

    fn write_referrer(&self, put: &Put<'_>, subject: &Digest, size: u64) -> io::Result<()> {
        let referrer = Referrer {
            media_type: put.document.media_type.clone(),
            digest: put.digest.clone(),
            size,
            artifact_type: put.document.artifact_type.clone(),
            annotations: put.document.annotations.clone(),
        };
        let path = self.referrer_path(put.name, subject, put.digest);
        let _guard = self.lock_folders();
        fs::create_dir_all_mode(self.referrers_path(put.name, subject), 0o700)?;
        fs::write_atomic(&path, serde_json::to_vec(&referrer)?)?;
        self.syncer.wrote(path);
        Ok(())
    }

    /// Checks that content is there, and keeps it from being collected meanwhile.
    fn check_needs(&self, name: &Name, needs: &[Need]) -> Result<()> {
        let mut unknown = Refusal::new(
            Code::ManifestBlobUnknown,
            "manifest references a manifest or blob unknown to registry",
        );
        let mut is_complete = true;
        for need in needs {
            match self.size_of(name, need)? {
                None => {
                    is_complete = false;
                    unknown = unknown.detail(json!({"digest": need.digest}));
                }
                Some(size) if size != need.size => {
                    let (digest, said) = (&need.digest, need.size);
                    let message = format!("{digest} is {size} bytes long, and the manifest says {said}");
                    return Err(Refusal::new(Code::SizeInvalid, message).detail(json!({"digest": digest})));
                }
                Some(_) => {}
            }
        }
        if is_complete { Ok(()) } else { Err(unknown) }
    }

    fn size_of(&self, name: &Name, need: &Need) -> io::Result<Option<u64>> {
        if need.kind == NeedKind::Manifest
            && let Some(record) = self.record(name, &need.digest)?
        {
            return Ok(Some(record.size));
        }
        self.stat_blob(name, &need.digest)
    }

    /// Removes a manifest with the tags that name it; tells whether there was one. The caller holds the
    /// repository's lock.
    pub(crate) fn remove_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let Some(record) = self.record(name, digest)? else {
            return Ok(false);
        };
        for (tag, named) in self.tag_records(name)? {
            if named.digest == *digest {
                self.remove_tag(name, &tag)?;
            }
        }
        fs::if_there(fs::remove_file(self.record_path(name, digest)))?;
        if let Some(subject) = &record.subject {
            fs::if_there(fs::remove_file(self.referrer_path(name, subject, digest)))?;
            // It may have others in it.
            let _ = fs::remove_dir(self.referrers_path(name, subject));
        }
        let path = self.manifest_path(name, digest);
        if let Removed::Yes(bytes) = self.unlink_if_older(digest, &path, std::time::Duration::ZERO)? {
            self.usage.removed(name, bytes);
        }
        Ok(true)
    }

    /// The digests of a repository's manifests, in no order; files without a record among them if asked.
    pub(crate) fn manifests(&self, name: &Name) -> io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        let folder = self.repository_path(name).join("_manifests");
        let Some(entries) = fs::if_there(fs::read_dir(folder))? else {
            return Ok(digests);
        };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let record = file.to_str().and_then(|name| name.strip_suffix(".json"));
            digests.extend(record.and_then(of_file_name));
        }
        Ok(digests)
    }

    /// What refers to a manifest, in the order of digests.
    pub(crate) fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Referrer>> {
        let mut found = Vec::new();
        let Some(entries) = fs::if_there(fs::read_dir(self.referrers_path(name, subject)))? else {
            return Ok(found);
        };
        for entry in entries.flatten() {
            if fs::is_temporary(&entry.file_name()) {
                continue;
            }
            let Some(bytes) = fs::if_there(fs::read(entry.path()))? else {
                continue;
            };
            match serde_json::from_slice::<Referrer>(&bytes) {
                // One without a manifest is what a crash left.
                Ok(referrer) if self.record(name, &referrer.digest)?.is_some() => found.push(referrer),
                Ok(_) => {}
                Err(error) => tracing::error!(repository = %name, %subject, %error, "a referrer is damaged"),
            }
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }
}
