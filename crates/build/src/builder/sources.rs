//! What stages take from elsewhere: images, layouts and contexts, each found once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use jiff::Timestamp;

use super::{Build, vertex_digest};
use crate::attest::Material;
use crate::context::{Context, Folder};
use crate::error::{Error, Result};
use crate::event::{Event, Status, Transfer};
use crate::exchange::{self, Blobs};
use crate::state::State;

impl Build<'_> {
    /// An image, looked for once however many ask.
    pub(crate) fn image(&self, name: &str, platform: &str, pulling: &mut dyn FnMut(Transfer)) -> Result<State> {
        let key = (name.to_owned(), platform.to_owned());
        let cell = {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(images.entry(key).or_default())
        };
        cell.get_or_init(|| self.find_image(name, platform, pulling)).clone()
    }

    /// Notes what a base image was.
    fn material(&self, name: &str, id: &Digest, config: &ImageConfig) {
        let Ok(reference) = name.parse::<Reference>() else {
            return;
        };
        let image = self.store.images().get(id).ok();
        let pulled = image.and_then(|image| {
            let own = image
                .digests()
                .iter()
                .find(|one| one.repository() == reference.repository())?;
            own.digest().cloned()
        });
        let material = Material {
            uri: corten_store::package(&reference.or_latest(), &config.platform()),
            digest: pulled.unwrap_or_else(|| id.clone()),
        };
        let mut materials = self.materials.lock().unwrap_or_else(PoisonError::into_inner);
        materials.insert((self.platform.to_string(), material));
    }

    /// An image of a layout, brought here once.
    pub(crate) fn layout(&self, name: &str, blobs: &dyn Blobs, platform: &Platform) -> Result<State> {
        let key = (format!("oci-layout:{name}"), platform.to_string());
        let cell = {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(images.entry(key).or_default())
        };
        let find = || {
            let title = format!("[context {name}] {}", blobs.title());
            self.internal(&title, Vec::new(), |_| {
                let config = exchange::image_of(blobs, platform, self.store, &self.lease)?;
                Ok(State::new(config))
            })
        };
        cell.get_or_init(find).clone()
    }

    fn find_image(&self, name: &str, platform: &str, pulling: &mut dyn FnMut(Transfer)) -> Result<State> {
        let title = format!("[internal] load metadata for {}", crate::stage::whole_name(name));
        self.internal(&title, Vec::new(), |_| {
            let found = self.executor.image(name, platform, pulling)?;
            for layer in &found.config.rootfs.diff_ids {
                if !self.lease.hold(layer) {
                    return Err(Error::internal(format!(
                        "a layer of {name} is not there: pull it again"
                    )));
                }
            }
            self.material(name, &found.id, &found.config);
            let mut state = State::new(found.config);
            (state.image.container, state.image.comment) = (String::new(), String::new());
            state.image.docker_version = String::new();
            state.base = Some(found.id);
            Ok(state)
        })
    }

    /// Tells, once, that it is known what of the context is left out.
    pub(crate) fn ignored(&self) {
        if self.request.context.is_none() || self.ignored.swap(true, Ordering::Relaxed) {
            return;
        }
        let _ = self.internal("[internal] load .dockerignore", Vec::new(), |vertex| {
            let now = Timestamp::now();
            (self.tell)(Event::Status(Status {
                vertex: vertex.clone(),
                id: "transferring context:".to_owned(),
                name: String::new(),
                current: 2,
                total: 0,
                timestamp: now,
                started: now,
                completed: Some(now),
            }));
            Ok(())
        });
    }

    /// The folder of a context, with what is wanted of it.
    pub(crate) fn folder(&self, name: &str, context: &dyn Context, wanted: &[String]) -> Result<(Folder, Digest)> {
        let (title, id) = match name {
            "" => ("[internal] load build context".to_owned(), "transferring context:"),
            name => (format!("[context {name}] load from client"), "transferring:"),
        };
        let known = self
            .contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        if let Some(vertex) = known {
            return Ok((context.folder(wanted)?, vertex));
        }
        let digest = vertex_digest(&title, &[]);
        self.contexts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), digest.clone());
        let folder = self.internal(&title, Vec::new(), |vertex| {
            let began = Timestamp::now();
            let folder = context.folder(wanted)?;
            let now = Timestamp::now();
            (self.tell)(Event::Status(Status {
                vertex: vertex.clone(),
                id: id.to_owned(),
                name: String::new(),
                current: 0,
                total: 0,
                timestamp: now,
                started: began,
                completed: Some(now),
            }));
            Ok(folder)
        })?;
        Ok((folder, digest))
    }
}
