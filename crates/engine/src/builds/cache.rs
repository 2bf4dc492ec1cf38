//! Caches of builds at registries.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use corten_build::{Blobs, CacheOptions, CacheTarget, Error, Exported};
use corten_distribution::{CachePush, Documents, Purpose, Registries};
use corten_oci::{digest::Digest, image::Descriptor, reference::Reference};
use corten_store::{Lease, Store};
use tokio::{runtime::Handle, sync::watch};

use super::{
    Builds, StepSettings,
    executor::{auth_for, build_error},
};
use crate::{error::Kind, images::pull::credentials};

/// A repository at a registry, of which a build knows a tag.
#[derive(Debug, Clone)]
pub(super) struct Place {
    runtime: Handle,
    registries: Registries,
    reference: Reference,
    settings: StepSettings,
    cancel: watch::Sender<bool>,
}

impl Builds {
    /// A place at a registry.
    fn place(
        &self,
        reference: &str,
        settings: &StepSettings,
        cancel: &watch::Sender<bool>,
        runtime: &Handle,
    ) -> Result<Place, Error> {
        let parsed = reference.parse::<Reference>();
        let reference = parsed.map_err(|error| {
            let message = format!("invalid cache reference {reference:?}: {error}");
            Error::new(Kind::Invalid, message)
        })?;
        Ok(Place {
            runtime: runtime.clone(),
            registries: self.0.images.registries(),
            reference: reference.or_latest(),
            settings: settings.clone(),
            cancel: cancel.clone(),
        })
    }

    /// A cache at a registry, to be read.
    ///
    /// # Errors
    /// Invalid for what is no reference.
    pub fn cache_source(
        &self,
        reference: &str,
        settings: &StepSettings,
        cancel: &watch::Sender<bool>,
        runtime: &Handle,
    ) -> Result<Arc<dyn Blobs>, Error> {
        Ok(Arc::new(RegistryBlobs {
            place: self.place(reference, settings, cancel, runtime)?,
            opened: Mutex::default(),
        }))
    }

    /// A cache at a registry, to be written.
    ///
    /// # Errors
    /// Invalid for what is no reference.
    pub fn cache_target(
        &self,
        reference: &str,
        settings: &StepSettings,
        cancel: &watch::Sender<bool>,
        runtime: &Handle,
    ) -> Result<Arc<dyn CacheTarget>, Error> {
        Ok(Arc::new(RegistryTarget(
            self.place(reference, settings, cancel, runtime)?,
        )))
    }
}

impl Place {
    /// Waits for something, unless the build is cancelled before.
    fn wait<T>(&self, work: impl Future<Output = Result<T, corten_distribution::Error>>) -> Result<T, Error> {
        let mut cancelled = self.cancel.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                result = work => result.map_err(|error| build_error(&crate::Error::from(error))),
                _ = cancelled.wait_for(|cancelled| *cancelled) => {
                    Err(Error::new(Kind::Cancelled, "the build was cancelled"))
                }
            }
        })
    }

    fn auth(&self) -> Option<corten_distribution::AuthConfig> {
        let domain = self.reference.domain();
        let known = auth_for(&self.settings.registries, domain);
        let asked = match (&known, &self.settings.credentials) {
            (None, Some(asked)) => self.runtime.block_on(asked.of(domain)),
            _ => None,
        };
        known.or(asked).map(credentials)
    }
}

/// A cache at a registry.
#[derive(Debug)]
struct RegistryBlobs {
    place: Place,
    /// The conversation, once it was begun.
    opened: Mutex<Option<Documents>>,
}

impl RegistryBlobs {
    fn documents(&self) -> Result<Documents, Error> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(documents) = &*opened {
            return Ok(documents.clone());
        }
        let auth = self.place.auth();
        let repository = self.place.reference.repository();
        let documents = self
            .place
            .registries
            .documents(repository, auth.as_ref(), Purpose::Pull);
        let documents = self.place.wait(documents)?;
        *opened = Some(documents.clone());
        Ok(documents)
    }
}

impl Blobs for RegistryBlobs {
    fn title(&self) -> String {
        self.place.reference.familiar()
    }

    fn top(&self) -> Result<Vec<u8>, Error> {
        let documents = self.documents()?;
        let reference = &self.place.reference;
        let which = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.tag().unwrap_or("latest").to_owned(),
        };
        Ok(self.place.wait(documents.manifest(&which))?.bytes.to_vec())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        use corten_oci::image::MediaKind;
        let documents = self.documents()?;
        match descriptor.kind() {
            MediaKind::Manifest | MediaKind::Index => {
                let fetched = self.place.wait(documents.manifest(descriptor.digest.as_str()))?;
                Ok(fetched.bytes.to_vec())
            }
            _ => Ok(self.place.wait(documents.blob(&descriptor.digest))?.to_vec()),
        }
    }

    fn layer(&self, layer: &Descriptor, diff_id: &Digest, store: &Store, lease: &Lease) -> Result<(), Error> {
        let documents = self.documents()?;
        let source = self.place.reference.repository().to_string();
        let registries = &self.place.registries;
        self.place
            .wait(documents.layer(registries, (store, lease), layer, diff_id, &source))
    }
}

/// A cache that goes to a registry.
#[derive(Debug)]
struct RegistryTarget(Place);

impl CacheTarget for RegistryTarget {
    fn title(&self) -> String {
        "exporting cache to registry".to_owned()
    }

    fn export(&self, cache: &Exported<'_>, options: &CacheOptions) -> Result<BTreeMap<String, String>, Error> {
        let place = &self.0;
        let request = CachePush {
            reference: place.reference.clone(),
            layers: cache.layers().to_vec(),
            packing: options.packing,
            force: options.force,
            auth: place.auth(),
        };
        let blobs = place.wait(place.registries.push_cache_layers(cache.store(), &request))?;
        let (config, manifest) = cache.documents(&blobs, options)?;
        let put = place
            .registries
            .push_cache_documents(cache.store(), &request, &config, &manifest);
        place.wait(put)?;
        Exported::answer(&manifest)
    }
}
