//! What is asked of images' manifests, beside them.

use super::{Image, ImageId, Images, StoredDocument, no_such};
use crate::error::{Error, Result};
use crate::form::{FORM, Form};

impl Images<'_> {
    /// What was asked of an image's manifest, if anything was.
    ///
    /// # Errors
    /// Internal when the file is damaged.
    pub fn form(&self, image: &Image) -> Result<Option<Form>> {
        let documents = &image.0.record.documents;
        let Some(record) = documents.iter().find(|document| document.media_type == FORM) else {
            return Ok(None);
        };
        let bytes = self.0.inner.document(&record.digest)?;
        let form = bytes.map(|bytes| serde_json::from_slice(&bytes));
        form.transpose().map_err(|error| Error::internal(error.to_string()))
    }

    /// Says what is asked of an image's manifest, instead of what was said before.
    ///
    /// # Errors
    /// `NotFound` when the image is not there.
    pub fn set_form(&self, id: &ImageId, form: &Form) -> Result<()> {
        let store = &self.0.inner;
        // Under the lock from the beginning: nobody removes the document before the record names it.
        let mut state = store.state();
        let image = state.images.by_id.get(id).cloned();
        let image = image.ok_or_else(|| no_such(id.as_str()))?;
        let mut record = image.0.record.clone();
        let (before, mut documents): (Vec<_>, Vec<_>) =
            record.documents.into_iter().partition(|known| known.media_type == FORM);
        if !form.is_plain() {
            let bytes = serde_json::to_vec(form).map_err(|error| Error::internal(error.to_string()))?;
            documents.push(store.put_document(&StoredDocument {
                media_type: FORM,
                bytes: &bytes,
            })?);
        }
        record.documents = documents;
        if record.documents == image.0.record.documents {
            return Ok(());
        }
        store.write_image(&record)?;
        state.images.set(image.with_record(record));
        let kept = state.images.documents();
        for old in before.iter().filter(|old| !kept.contains(&old.digest)) {
            store.remove_document(&old.digest)?;
        }
        Ok(())
    }
}
