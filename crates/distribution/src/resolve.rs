//! From a reference to one image's documents: index, platform, manifest, configuration.
//!
//! Each document is checked against its digest, its limits and the others before anything is made of it.

use bytes::Bytes;
use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Document, ImageConfig, Index, Manifest, MediaKind, limits, media_type};
use corten_oci::platform::{Platform, no_match};
use corten_oci::reference::Reference;

use crate::client::{Fetched, Session};
use crate::error::{Error, Kind, Result};

/// One image's documents, as received and as read.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The digest that the reference led to: the index's, if there is one.
    pub(crate) digest: Digest,
    /// The manifest and, if there is one, the index: media type and bytes.
    pub(crate) documents: Vec<(String, Bytes)>,
    pub(crate) manifest: Manifest,
}

/// The image's configuration.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) bytes: Bytes,
    pub(crate) config: ImageConfig,
}

/// Follows a reference to the manifest for a platform.
pub(crate) async fn resolve(session: &Session, reference: &Reference, platform: &Platform) -> Result<Resolved> {
    let fetched = session.manifest(&selector(reference)).await?;
    let digest = fetched.digest.clone();
    let mut documents = Vec::new();
    let (fetched, manifest) = match parse(&fetched)? {
        Document::Manifest(manifest) => (fetched, manifest),
        Document::Index(index) => {
            documents.push((index_type(&index).to_owned(), fetched.bytes));
            choose(session, &index, platform).await?
        }
    };
    check_manifest(&fetched, &manifest)?;
    documents.insert(0, (manifest.effective_media_type().to_owned(), fetched.bytes));
    Ok(Resolved {
        digest,
        documents,
        manifest,
    })
}

/// The tag or digest to ask for; the digest counts when both are written.
pub(crate) fn selector(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_owned(),
        (None, None) => corten_oci::reference::DEFAULT_TAG.to_owned(),
    }
}

/// The media type to say for an index: its own, or OCI's when it names none.
pub(crate) fn index_type(index: &Index) -> &str {
    match index.media_type.as_str() {
        "" => media_type::OCI_INDEX,
        named => named,
    }
}

/// Parses what was fetched as a manifest or an index.
pub(crate) fn parse(fetched: &Fetched) -> Result<Document> {
    let declared = Some(fetched.media_type.as_str()).filter(|text| !text.is_empty());
    if declared.map(MediaKind::of) == Some(MediaKind::ManifestV1) {
        return Err(Error::new(
            Kind::Unsupported,
            "Docker Image manifest version 2, schema 1 is not supported: push the image again with a current tool",
        ));
    }
    Document::parse(&fetched.bytes, declared)
        .map_err(|error| Error::invalid(format!("manifest {}: {error}", fetched.digest)).with_source(error))
}

async fn choose(session: &Session, index: &Index, platform: &Platform) -> Result<(Fetched, Manifest)> {
    let Some(chosen) = platform.candidates(&index.manifests).into_iter().next() else {
        return Err(Error::new(Kind::NotFound, no_match(platform)));
    };
    let fetched = session.manifest(chosen.digest.as_str()).await?;
    if u64::try_from(fetched.bytes.len()).ok() != Some(chosen.size) {
        return Err(Error::invalid(format!(
            "manifest {} is not {} bytes long, as its index says",
            chosen.digest, chosen.size
        )));
    }
    match parse(&fetched)? {
        Document::Manifest(manifest) => Ok((fetched, manifest)),
        Document::Index(_) => Err(Error::new(
            Kind::Unsupported,
            format!("manifest {} is an index within an index", chosen.digest),
        )),
    }
}

/// Refuses what is no image: artifacts, plugins, layers of unknown kind or kept elsewhere.
fn check_manifest(fetched: &Fetched, manifest: &Manifest) -> Result<()> {
    let config_type = &manifest.config.media_type;
    if MediaKind::of(config_type) != MediaKind::Config {
        let why = format!("unsupported: {config_type:?} is not the configuration of an image");
        return Err(Error::new(
            Kind::Unsupported,
            format!("manifest {}: {why}", fetched.digest),
        ));
    }
    for layer in &manifest.layers {
        let kind = &layer.media_type;
        if !matches!(MediaKind::of(kind), MediaKind::Layer(_)) {
            let why = format!("unsupported: layer {} is of type {kind:?}", layer.digest);
            return Err(Error::new(
                Kind::Unsupported,
                format!("manifest {}: {why}", fetched.digest),
            ));
        }
    }
    Ok(())
}

/// Fetches and checks an image's configuration.
pub(crate) async fn configuration(session: &Session, manifest: &Manifest) -> Result<Configured> {
    let Descriptor { digest, size, .. } = &manifest.config;
    let bytes = session.small_blob(digest, limits::CONFIG_BYTES).await?;
    if u64::try_from(bytes.len()).ok() != Some(*size) {
        return Err(Error::invalid(format!(
            "image configuration {digest} is not {size} bytes long, as its manifest says"
        )));
    }
    let config = ImageConfig::parse(&bytes)
        .map_err(|error| Error::invalid(format!("image configuration {digest}: {error}")).with_source(error))?;
    if !matches!(config.os.as_str(), "linux" | "") {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "image operating system {:?} cannot be used on this platform: operating system is not supported",
                config.os
            ),
        ));
    }
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::invalid(format!(
            "image configuration {digest} has {} layers, and its manifest {}",
            config.rootfs.diff_ids.len(),
            manifest.layers.len()
        )));
    }
    Ok(Configured { bytes, config })
}
