//! A repository's documents and blobs, for what looks at them or puts them together: `manifest …` and
//! `buildx imagetools …`. No image and no store.

use std::sync::Arc;

use bytes::Bytes;
use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, limits};
use corten_oci::reference::Repository;
use corten_store::{IngestRequest, Lease, Store};
use tokio::sync::mpsc;

use crate::auth::AuthConfig;
use crate::client::{Fetched, Purpose, Session};
use crate::endpoint::endpoints;
use crate::error::{Error, Kind, Result};
use crate::layers::Transport;
use crate::progress::Progress;
use crate::pull::bring;
use crate::registries::Registries;

/// Pieces of a blob that may wait to be sent.
const DEPTH: usize = 8;

/// A repository at its registry.
#[derive(Debug, Clone)]
pub struct Documents(Arc<Session>);

impl Registries {
    /// Opens a repository.
    ///
    /// # Errors
    /// Unavailable, when its registry cannot be reached or is none.
    pub async fn documents(
        &self,
        repository: &Repository,
        auth: Option<&AuthConfig>,
        purpose: Purpose,
    ) -> Result<Documents> {
        let mut last = None;
        let places = endpoints(&self.shared.config, repository.domain()).await?;
        for endpoint in places.into_iter().filter(|place| !place.is_mirror) {
            let (shared, auth) = (self.shared.clone(), auth.cloned());
            match Session::open(shared, endpoint, repository.path(), auth, purpose).await {
                Err(error) if error.is_unreachable() => last = Some(error),
                Err(error) => return Err(error),
                Ok(session) => return Ok(Documents(Arc::new(session))),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Internal, "no endpoint for the registry")))
    }
}

impl Documents {
    /// Fetches a manifest or index, by tag or digest.
    ///
    /// # Errors
    /// As the registry says; Invalid, when it is not what its digest says.
    pub async fn manifest(&self, tag_or_digest: &str) -> Result<Fetched> {
        self.0.manifest(tag_or_digest).await
    }

    /// Fetches a small blob, such as a configuration.
    ///
    /// # Errors
    /// As [`Documents::manifest`].
    pub async fn blob(&self, digest: &Digest) -> Result<Bytes> {
        self.0.small_blob(digest, limits::CONFIG_BYTES).await
    }

    /// Brings a layer into the store, held by the lease; it comes from a repository, by its whole name.
    ///
    /// # Errors
    /// As the registry says; Invalid, when it is not what its digests say.
    pub async fn layer(
        &self,
        registries: &Registries,
        (store, lease): (&Store, &Lease),
        layer: &Descriptor,
        diff_id: &Digest,
        source: &str,
    ) -> Result<()> {
        let transport = Transport {
            session: Arc::clone(&self.0),
            config: Arc::clone(&registries.shared.config),
            slots: Arc::clone(&registries.slots),
            store: store.clone(),
            lease: lease.clone(),
            request: IngestRequest {
                source: Some(source.to_owned()),
                ..IngestRequest::of(layer, diff_id)
            },
            layer: layer.clone(),
        };
        let _held = bring(registries.clone(), transport, Progress::none()).await?;
        match lease.hold(diff_id) {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Internal,
                format!("layer {diff_id} was removed while it was fetched"),
            )),
        }
    }

    /// Puts a manifest or index under a tag or digest.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn put_manifest(&self, tag_or_digest: &str, media_type: &str, bytes: Bytes) -> Result<()> {
        self.0.put_manifest(tag_or_digest, media_type, bytes).await
    }

    /// Puts a small blob into the repository, unless it is there.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn put_blob(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        if self.0.has_blob(digest).await? {
            return Ok(());
        }
        self.0.put_blob(digest, bytes).await
    }

    /// Sees to it that this repository has a blob of another: the registry is asked to lend it; else its bytes
    /// are fetched and sent at once.
    ///
    /// # Errors
    /// As either registry says.
    pub async fn take_blob(&self, from: &Self, blob: &Descriptor) -> Result<()> {
        if self.0.has_blob(&blob.digest).await? {
            return Ok(());
        }
        let upload = if self.0.registry() == from.0.registry() {
            match self.0.mount(&blob.digest, from.0.path()).await? {
                None => return Ok(()),
                Some(upload) => upload,
            }
        } else {
            self.0.begin_upload().await?
        };
        let (pieces, sent) = mpsc::channel(DEPTH);
        let fetching = async {
            let fetched = fetch(&from.0, blob, &pieces).await;
            if fetched.is_err() {
                // A body that broke off is never taken for whole.
                let _ = pieces.send(Err(std::io::ErrorKind::InvalidData.into())).await;
            }
            drop(pieces);
            fetched
        };
        let (fetched, sent) = tokio::join!(fetching, self.0.send_pieces(&upload, sent));
        fetched?;
        self.0.finish_upload(&sent?, &blob.digest).await
    }
}

async fn fetch(from: &Session, blob: &Descriptor, pieces: &mpsc::Sender<std::io::Result<Bytes>>) -> Result<()> {
    let mut answer = from.blob(&blob.digest, 0).await?;
    while let Some(chunk) = answer.chunk().await? {
        if pieces.send(Ok(chunk)).await.is_err() {
            // The other registry says why it does not want any more.
            return Ok(());
        }
    }
    Ok(())
}
