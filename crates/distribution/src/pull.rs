//! Pulling: from a reference to an image in the store, with its names.
//!
//! Dropping the future ends a pull at any point. What is here of its layers stays for the next attempt;
//! no name changes before everything is here and right.

use std::sync::Arc;

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, ImageConfig, Manifest};
use corten_oci::platform::{Platform, mismatch};
use corten_oci::reference::{Reference, Repository};
use corten_store::{ImageId, IngestRequest, Lease, NewImage, Store, StoredDocument};
use tokio::task::JoinSet;

use crate::auth::AuthConfig;
use crate::client::Session;
use crate::error::{Error, Kind, Result};
use crate::layers::{Held, Transport, blocking};
use crate::progress::{Event, Outcome, Progress, Step};
use crate::registries::Registries;
use crate::resolve::{Resolved, configuration, resolve};

/// What to pull.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The image; `latest` when it has neither tag nor digest. The digest counts when it has both.
    pub reference: Reference,
    /// For which platform; this machine's when not given.
    pub platform: Option<Platform>,
    /// Who asks.
    pub auth: Option<AuthConfig>,
    /// Whether names stay with whom they are: the image gets none.
    pub is_nameless: bool,
}

/// A pulled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The reference, with its tag.
    pub reference: Reference,
    /// The image.
    pub image: ImageId,
    /// The digest that the reference led to, of an index if there was one.
    pub digest: Digest,
    /// Whether the reference named the image before.
    pub outcome: Outcome,
}

impl Registries {
    /// Pulls an image into the store and gives it the reference as a name.
    ///
    /// # Errors
    /// As the registry says, in Docker's words; Invalid when what it sends is not what its digests say.
    /// The store is then as before, but for partial downloads of good bytes.
    pub async fn pull(&self, store: &Store, request: &PullRequest, progress: &Progress) -> Result<Pulled> {
        let reference = request.reference.clone().or_latest();
        let auth = request.auth.as_ref();
        let pulled = self.anywhere(&reference, auth, |session| {
            let pull = Pull {
                registries: self,
                store,
                progress,
                session,
                reference: &reference,
                platform: request.platform.as_ref(),
                is_nameless: request.is_nameless,
            };
            async move { pull.run().await }
        });
        pulled.await
    }

    /// Pulls all tags of a repository, one after the other.
    ///
    /// # Errors
    /// As [`Self::pull`]; what was pulled before the error stays.
    pub async fn pull_all_tags(
        &self,
        store: &Store,
        repository: &Repository,
        platform: Option<&Platform>,
        auth: Option<&AuthConfig>,
        progress: &Progress,
    ) -> Result<Vec<Pulled>> {
        let mut pulled = Vec::new();
        for tag in self.tags(repository, auth).await? {
            let reference = repository
                .with_tag(&tag)
                .map_err(|error| Error::invalid(error.to_string()))?;
            let request = PullRequest {
                reference,
                platform: platform.cloned(),
                auth: auth.cloned(),
                is_nameless: false,
            };
            pulled.push(self.pull(store, &request, progress).await?);
        }
        Ok(pulled)
    }
}

/// One pull from one place.
struct Pull<'a> {
    registries: &'a Registries,
    store: &'a Store,
    progress: &'a Progress,
    session: Arc<Session>,
    reference: &'a Reference,
    platform: Option<&'a Platform>,
    is_nameless: bool,
}

impl Pull<'_> {
    async fn run(self) -> Result<Pulled> {
        let platform = self.platform.cloned().unwrap_or_else(Platform::host);
        let resolved = resolve(&self.session, self.reference, &platform).await?;
        self.progress.report(Event::Pulling {
            id: match (self.reference.digest(), self.reference.tag()) {
                (None, Some(tag)) => tag.to_owned(),
                _ => self.reference.familiar(),
            },
            from: self.reference.path().to_owned(),
        });
        let lease = self.store.lease();
        let config = match self.present(&lease, &resolved.manifest).await? {
            Some(config) => config,
            None => self.fetch(&lease, &resolved).await?,
        };
        let name = self.name(config.clone(), &resolved).await?;
        self.warn_of_platform(&config)?;
        self.progress.report(Event::Digest(resolved.digest.clone()));
        self.progress.report(Event::Finished {
            reference: self.reference.familiar(),
            outcome: name.outcome,
        });
        Ok(name)
    }

    /// The configuration's bytes, if the image and all its layers are here.
    async fn present(&self, lease: &Lease, manifest: &Manifest) -> Result<Option<Arc<[u8]>>> {
        let (store, lease, id) = (self.store.clone(), lease.clone(), manifest.config.digest.clone());
        blocking(move || {
            let image = store.images().get(&id).ok()?;
            let is_whole = image.layers().iter().all(|layer| lease.hold(layer));
            is_whole.then(|| image.config_bytes().into())
        })
        .await
    }

    /// Brings configuration and layers here; the lease holds them.
    async fn fetch(&self, lease: &Lease, resolved: &Resolved) -> Result<Arc<[u8]>> {
        let configured = configuration(&self.session, &resolved.manifest).await?;
        let layers = resolved.manifest.layers.iter().cloned();
        let layers = layers.zip(configured.config.rootfs.diff_ids.iter().cloned());
        let mut transfers = JoinSet::new();
        for (layer, diff_id) in layers {
            if self.is_here(lease, &layer, &diff_id).await? {
                self.progress.layer(&layer.digest, Step::AlreadyExists);
                continue;
            }
            let transport = self.transport(lease, layer, diff_id);
            transfers.spawn(bring(self.registries.clone(), transport, self.progress.clone()));
        }
        let mut held = Vec::new();
        while let Some(done) = transfers.join_next().await {
            let done =
                done.map_err(|e| Error::new(Kind::Internal, "fetching a layer ended in a panic").with_source(e))?;
            held.push(done?);
        }
        self.hold_all(lease, configured.config.rootfs.diff_ids, held).await?;
        Ok(configured.bytes.to_vec().into())
    }

    /// Whether a layer is here; if so it is held, and known to come from this repository, too.
    async fn is_here(&self, lease: &Lease, layer: &Descriptor, diff_id: &Digest) -> Result<bool> {
        let (store, lease) = (self.store.clone(), lease.clone());
        let request = self.ingest_request(layer, diff_id);
        blocking(move || {
            let is_here = request.diff_id.as_ref().is_some_and(|diff_id| lease.hold(diff_id));
            if is_here {
                store.layer_ingest(&lease, request)?;
            }
            Ok(is_here)
        })
        .await?
    }

    fn ingest_request(&self, layer: &Descriptor, diff_id: &Digest) -> IngestRequest {
        IngestRequest {
            source: Some(self.reference.repository().to_string()),
            ..IngestRequest::of(layer, diff_id)
        }
    }

    fn transport(&self, lease: &Lease, layer: Descriptor, diff_id: Digest) -> Transport {
        Transport {
            session: self.session.clone(),
            config: self.registries.shared.config.clone(),
            slots: self.registries.slots.clone(),
            store: self.store.clone(),
            lease: lease.clone(),
            request: self.ingest_request(&layer, &diff_id),
            layer,
        }
    }

    /// Layers that another pull fetched are held by its lease until this one's does, too.
    async fn hold_all(&self, lease: &Lease, layers: Vec<Digest>, held: Vec<Held>) -> Result<()> {
        let lease = lease.clone();
        let lost = blocking(move || {
            let lost = layers.into_iter().find(|layer| !lease.hold(layer));
            drop(held);
            lost
        });
        match lost.await? {
            Some(lost) => Err(Error::new(
                Kind::Internal,
                format!("layer {lost} was removed while its image was pulled"),
            )),
            None => Ok(()),
        }
    }

    /// Puts the image in and names it.
    async fn name(&self, config: Arc<[u8]>, resolved: &Resolved) -> Result<Pulled> {
        let (store, reference) = (self.store.clone(), self.reference.clone());
        let digest = resolved.digest.clone();
        let documents = resolved.documents.clone();
        let is_nameless = self.is_nameless;
        blocking(move || {
            let documents: Vec<StoredDocument<'_>> = documents
                .iter()
                .map(|(media_type, bytes)| StoredDocument { media_type, bytes })
                .collect();
            let image = store.images().put(NewImage {
                config: &config,
                documents: &documents,
                parent: None,
            })?;
            let before = store.images().by_reference(&reference);
            let outcome = match before.is_some_and(|before| *before.id() == image) {
                true => Outcome::UpToDate,
                false => Outcome::Downloaded,
            };
            if is_nameless {
                return Ok(Pulled {
                    reference,
                    image,
                    digest,
                    outcome,
                });
            }
            if reference.digest().is_none() && outcome == Outcome::Downloaded {
                store.images().tag(&reference, &image)?;
            }
            store.images().add_digest(reference.repository(), &digest, &image)?;
            Ok(Pulled {
                reference,
                image,
                digest,
                outcome,
            })
        })
        .await?
    }

    /// An image that is for another platform than asked for is taken, with a warning, as Docker does:
    /// it came without an index to choose from.
    fn warn_of_platform(&self, config: &[u8]) -> Result<()> {
        let Some(wanted) = self.platform else { return Ok(()) };
        let config =
            ImageConfig::parse(config).map_err(|error| Error::invalid(error.to_string()).with_source(error))?;
        let platform = config.platform().normalized();
        if !wanted.accepts(&platform) {
            let text = mismatch(&self.reference.familiar(), &platform, wanted);
            self.progress.report(Event::Warning(text));
        }
        Ok(())
    }
}

/// Takes part in a layer's transfer. One that was begun for another pull may fail for reasons that are
/// the other's (its credentials, its registry); then this one begins its own.
pub(crate) async fn bring(registries: Registries, transport: Transport, progress: Progress) -> Result<Held> {
    loop {
        let begun = transport.clone();
        let waiter = registries
            .transfers
            .join(&transport.layer.digest, &progress, |board| begun.run(board));
        match waiter.wait().await {
            Err(_) if !waiter.is_first => {}
            result => return result,
        }
    }
}
