//! The documents of what was pushed: manifests, what is stated about them, an index.

use bytes::Bytes;
use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Manifest};
use corten_store::{CompressedBlob, Form, GivenDocument, Image, Store};

use super::{Push, Pushed};
use crate::error::Result;
use crate::layers::blocking;
use crate::progress::Event;

/// An image whose layers and configuration the registry has.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) image: Image,
    pub(super) form: Form,
    pub(super) blobs: Vec<CompressedBlob>,
}

impl Made {
    /// Its manifest: the one it was pulled with, byte for byte, when its layers are the same; else a new one.
    fn manifest(&self, store: &Store) -> Result<GivenDocument> {
        if self.form.is_plain()
            && let Some((_, media_type, bytes)) = store.images().manifest(&self.image)?
            && is_of(&bytes, &self.blobs)
        {
            return Ok(GivenDocument::new(&media_type, bytes));
        }
        let config = (self.image.id().clone(), self.image.config_bytes().len() as u64);
        Ok(self
            .form
            .manifest(config, &self.blobs, &self.image.config().platform())?)
    }
}

/// Whether a manifest's layers are these, in their order.
fn is_of(manifest: &[u8], layers: &[CompressedBlob]) -> bool {
    Manifest::parse(manifest).is_ok_and(|manifest| {
        manifest
            .layers
            .iter()
            .map(|layer| &layer.digest)
            .eq(layers.iter().map(|layer| &layer.digest))
    })
}

impl Push {
    /// Puts manifests and, for several or with statements, an index; gives the first image the digest as a name.
    pub(super) async fn put_images(&self, made: Vec<Made>, by_digest: bool) -> Result<Pushed> {
        let (store, made) = {
            let store = self.store.clone();
            let with = store.clone();
            let found = blocking(move || {
                let with_manifest = |made: Made| Ok((made.manifest(&with)?, made));
                made.into_iter().map(with_manifest).collect::<Result<Vec<_>>>()
            });
            (store, found.await??)
        };
        let names = std::slice::from_ref(&self.reference);
        let mut listed: Vec<Descriptor> = Vec::new();
        let mut attested: Vec<Descriptor> = Vec::new();
        for (manifest, made) in &made {
            let platform = made.image.config().platform();
            listed.push(manifest.descriptor.clone());
            if let Some(about) = made.form.attestation(manifest, names, &platform)? {
                for blob in &about.blobs {
                    let (digest, bytes) = (&blob.descriptor.digest, Bytes::copy_from_slice(&blob.bytes));
                    if !self.session.has_blob(digest).await? {
                        self.session.put_blob(digest, bytes).await?;
                    }
                }
                self.put(&about.manifest, None).await?;
                attested.push(about.manifest.descriptor);
            }
        }
        let Some((manifest, first)) = made.first() else {
            return Err(crate::Error::new(crate::Kind::Internal, "nothing to push"));
        };
        let tag = self.reference.tag().unwrap_or_default();
        let tag = (!by_digest).then_some(tag);
        let (top, size) = if made.len() == 1 && attested.is_empty() {
            self.put(manifest, tag).await?;
            (manifest.descriptor.digest.clone(), manifest.bytes.len())
        } else {
            for (manifest, _) in &made {
                self.put(manifest, None).await?;
            }
            listed.append(&mut attested);
            let index = first.form.index(listed)?;
            self.put(&index, tag).await?;
            (index.descriptor.digest.clone(), index.bytes.len())
        };
        self.name(&store, &top, &first.image).await?;
        self.progress.report(Event::Pushed {
            tag: tag.unwrap_or_default().to_owned(),
            digest: top.clone(),
            size,
        });
        Ok(Pushed { digest: top })
    }

    pub(super) async fn put(&self, document: &GivenDocument, tag: Option<&str>) -> Result<()> {
        let place = tag.unwrap_or_else(|| document.descriptor.digest.as_str());
        let bytes = Bytes::copy_from_slice(&document.bytes);
        self.session
            .put_manifest(place, &document.descriptor.media_type, bytes)
            .await
    }

    async fn name(&self, store: &Store, digest: &Digest, image: &Image) -> Result<()> {
        let (store, repository) = (store.clone(), self.reference.repository().clone());
        let (digest, image) = (digest.clone(), image.id().clone());
        blocking(move || store.images().add_digest(&repository, &digest, &image)).await??;
        Ok(())
    }
}
