//! What an image is made of: names, digests, and descriptors as JSON.

use bytes::Bytes;
use corten_distribution::{Documents, Purpose};
use corten_oci::{
    digest::Digest,
    image::{Descriptor, Document, Index, Manifest, MediaKind},
    platform::Platform,
    reference::Reference,
};

use super::about;
use crate::{
    error::{Error, Result},
    remote::{Remote, named, selector, wrong},
};

/// A source as it was given.
enum Given {
    Name(Reference),
    Digest(Digest),
    Descriptor(Descriptor),
}

impl Given {
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        if text.starts_with('{') {
            let descriptor = serde_json::from_str(text).map_err(|error| Error::new(error.to_string()))?;
            return Ok(Self::Descriptor(descriptor));
        }
        named(text).map(Self::Name)
    }
}

/// A source as its registry has it.
pub(super) struct Source {
    /// Its name, with the digest when it was given by that alone.
    pub(super) name: Reference,
    /// Where it is.
    pub(super) documents: Documents,
    /// What it is, with its platform if it is one image.
    pub(super) descriptor: Descriptor,
    /// The document.
    pub(super) bytes: Bytes,
    /// The document, read.
    pub(super) content: Document,
}

impl Source {
    /// Finds the sources at their registries. What is no name is in the only repository that is named.
    pub(super) async fn find(remote: &Remote<'_>, given: &[String], tags: &[Reference]) -> Result<Vec<Self>> {
        let given = given
            .iter()
            .map(|text| Given::parse(text))
            .collect::<Result<Vec<_>>>()?;
        let names = given.iter().filter_map(|given| match given {
            Given::Name(name) => Some(name),
            Given::Digest(_) | Given::Descriptor(_) => None,
        });
        let mut repositories: Vec<_> = names.chain(tags).map(Reference::repository).collect();
        repositories.sort();
        repositories.dedup();
        if repositories.is_empty() {
            return Err(Error::new(
                "no repositories specified, please set a reference in tag or source",
            ));
        }
        let mut found = Vec::new();
        for source in &given {
            let (name, annotations) = match (source, repositories.as_slice()) {
                (Given::Name(name), _) => (name.clone(), Default::default()),
                (Given::Digest(digest), [only]) => (only.with_digest(digest.clone()), Default::default()),
                (Given::Descriptor(given), [only]) => {
                    (only.with_digest(given.digest.clone()), given.annotations.clone())
                }
                (Given::Digest(digest) | Given::Descriptor(Descriptor { digest, .. }), _) => {
                    return Err(Error::new(format!(
                        "multiple repositories specified, cannot infer repository for {digest:?}"
                    )));
                }
            };
            let mut source = Self::fetch(remote, name).await?;
            source.descriptor.annotations.extend(annotations);
            found.push(source);
        }
        Ok(found)
    }

    /// Fetches what is under a name.
    pub(super) async fn fetch(remote: &Remote<'_>, name: Reference) -> Result<Self> {
        let documents = remote.open(&name, Purpose::Pull).await?;
        let fetched = documents
            .manifest(&selector(&name))
            .await
            .map_err(|error| about(&name, wrong(error)))?;
        let declared = Some(fetched.media_type.as_str()).filter(|text| !text.is_empty());
        let content =
            Document::parse(&fetched.bytes, declared).map_err(|error| Error::new(format!("{name}: {error}")))?;
        let own = match &content {
            Document::Manifest(manifest) => manifest.effective_media_type(),
            Document::Index(index) if index.media_type.is_empty() => corten_oci::image::media_type::OCI_INDEX,
            Document::Index(index) => &index.media_type,
        };
        let size = u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX);
        let mut descriptor = Descriptor::new(declared.unwrap_or(own), fetched.digest, size);
        if let Document::Manifest(manifest) = &content {
            descriptor.platform = platform(&documents, manifest).await?;
        }
        Ok(Self {
            name,
            documents,
            descriptor,
            bytes: fetched.bytes,
            content,
        })
    }

    /// What an index of this source's images would list: all of its own index, or itself.
    pub(super) fn listed(&self) -> Vec<Descriptor> {
        match &self.content {
            Document::Index(index) => index.manifests.clone(),
            Document::Manifest(_) => vec![self.descriptor.clone()],
        }
    }

    /// Keeps only the images of these platforms, and what is said about them.
    pub(super) fn keep(&mut self, platforms: &[Platform]) -> Result<()> {
        let wanted = |platform: &Option<Platform>| {
            let platform = platform.as_ref().map(|platform| platform.clone().normalized());
            platform.is_some_and(|platform| platforms.contains(&platform))
        };
        let Document::Index(index) = &mut self.content else {
            return match wanted(&self.descriptor.platform) {
                true => Ok(()),
                false => Err(Error::new(format!("{}: no image for these platforms", self.name))),
            };
        };
        let kept: Vec<Digest> = index
            .manifests
            .iter()
            .filter(|manifest| wanted(&manifest.platform))
            .map(|manifest| manifest.digest.clone())
            .collect();
        let is_about_kept = |manifest: &Descriptor| {
            let about = manifest.annotations.get("vnd.docker.reference.digest");
            kept.contains(&manifest.digest) || about.is_some_and(|about| kept.iter().any(|kept| kept.as_str() == about))
        };
        index.manifests.retain(is_about_kept);
        if index.manifests.is_empty() {
            return Err(Error::new(format!("{}: no image for these platforms", self.name)));
        }
        self.bytes = write(index)?.into();
        let size = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        self.descriptor = Descriptor::new(&self.descriptor.media_type, Digest::sha256(&self.bytes), size);
        Ok(())
    }
}

/// An index as the builder's commands write it.
pub(super) fn write(index: &Index) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(index).map_err(|error| Error::new(error.to_string()))
}

/// The platform that an image's configuration names.
async fn platform(documents: &Documents, manifest: &Manifest) -> Result<Option<Platform>> {
    if MediaKind::of(&manifest.config.media_type) != MediaKind::Config {
        return Ok(None);
    }
    let config = documents.blob(&manifest.config.digest).await.map_err(wrong)?;
    let platform: Platform = serde_json::from_slice(&config).unwrap_or_default();
    Ok((!platform.os.is_empty()).then_some(platform))
}
