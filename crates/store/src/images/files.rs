//! The files of images: documents, records, and what is made of them when a store is opened.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_sys::fs;
use jiff::Timestamp;

use super::image::{DocumentRecord, ImageRecord};
use super::{Image, ImageId, StoredDocument, layers_size};
use crate::error::{Error, Result};
use crate::records;
use crate::store::{Inner, Store};

impl Inner {
    fn document_path(&self, digest: &Digest) -> PathBuf {
        self.image
            .join("documents")
            .join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    pub(super) fn image_path(&self, id: &ImageId) -> PathBuf {
        self.image.join("images").join(format!("{}.json", id.hex()))
    }

    pub(super) fn put_document(&self, document: &StoredDocument<'_>) -> Result<DocumentRecord> {
        let digest = Digest::sha256(document.bytes);
        self.put_bytes(&digest, document.bytes)?;
        Ok(DocumentRecord {
            digest,
            media_type: document.media_type.into(),
        })
    }

    pub(super) fn put_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let path = self.document_path(digest);
        if self.document(digest)?.is_none() {
            fs::write_atomic(&path, bytes)?;
            self.queue.register(path);
        }
        Ok(())
    }

    /// A document's bytes; one that does not have its digest is set aside and counts as absent.
    pub(super) fn document(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
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

    pub(super) fn write_image(&self, record: &ImageRecord) -> Result<()> {
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
