//! Images: names and ids to what the store keeps, and who uses it (Docker API, `/images`).
//!
//! The store knows the rules of names and removal; this module adds what only the engine knows:
//! which containers use an image, whom to tell, and how registries are reached.

mod archive;
mod changes;
mod glob;
mod health_change;
mod inspect;
mod list;
mod login;
mod manifests;
pub(crate) mod pull;
pub(crate) mod push;
mod remove;
mod search;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use corten_distribution::Registries;
use corten_oci::{
    digest::Digest,
    image::ImageConfig,
    platform::{self, Platform},
    reference::Reference,
};
use corten_store::{Image, ImageUser, Store};

pub(crate) use self::archive::named;
pub(crate) use self::pull::bar;
pub use self::{
    archive::ImportRequest,
    changes::apply as apply_changes,
    inspect::InspectRequest,
    list::ListRequest,
    pull::{PullRequest, RemoteImage},
    push::PushRequest,
    remove::RemoveOptions,
    search::SearchRequest,
};
use crate::{
    error::{Error, Result},
    events::Events,
    settings::Settings,
};

/// The images of the engine.
#[derive(Debug, Clone)]
pub struct Images(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    store: Arc<Store>,
    events: Events,
    /// Replaced when the settings are reloaded.
    registries: RwLock<Registries>,
    /// Guards which container uses which image, and whether it runs.
    users: Mutex<HashMap<String, User>>,
}

#[derive(Debug, Clone)]
struct User {
    image: Digest,
    running: bool,
}

/// An image that a reference led to.
#[derive(Debug, Clone)]
pub struct FoundImage {
    /// Its id.
    pub id: Digest,
    /// Its configuration.
    pub config: Arc<ImageConfig>,
}

impl Images {
    /// Images over a store.
    ///
    /// # Errors
    /// `Invalid` when the settings name a mirror or registry that is none.
    pub fn open(settings: &Arc<Settings>, store: Arc<Store>, events: Events) -> Result<Self> {
        let registries = RwLock::new(pull::registries(settings)?);
        let users = Mutex::default();
        Ok(Self(Arc::new(Inner {
            settings: Arc::clone(settings),
            store,
            events,
            registries,
            users,
        })))
    }

    /// Takes up reloaded settings; pulls that go on keep the old ones.
    ///
    /// # Errors
    /// As [`Images::open`]; nothing has changed then.
    pub fn reload(&self) -> Result<()> {
        let registries = pull::registries(&self.0.settings)?;
        *self.0.registries.write().unwrap_or_else(PoisonError::into_inner) = registries;
        Ok(())
    }

    /// Finds an image by name, name and digest, id, or the beginning of an id.
    ///
    /// # Errors
    /// `NotFound`, `No such image: …`; `Invalid` when the text is no reference.
    pub fn find(&self, reference: &str) -> Result<FoundImage> {
        self.find_for(reference, None)
    }

    /// The id of the image that a reference means, and nothing else.
    pub fn id_of(&self, reference: &str) -> Option<Digest> {
        let image = self.0.store.images().resolve(reference).ok()?;
        Some(image.id().clone())
    }

    /// Checks that there is an image for a platform.
    ///
    /// # Errors
    /// `NotFound` when it is for others, or not there.
    pub fn check_platform(&self, reference: &str, wanted: &Platform) -> Result<()> {
        self.resolved(reference, Some(wanted)).map(drop)
    }

    /// Finds an image, of several platforms the one that is wanted.
    ///
    /// # Errors
    /// As [`Images::find`]; `NotFound` when there is none for the platform.
    pub fn find_for(&self, reference: &str, wanted: Option<&Platform>) -> Result<FoundImage> {
        let image = self.resolved(reference, wanted)?;
        Ok(FoundImage {
            id: image.id().clone(),
            config: Arc::new(image.config().clone()),
        })
    }

    fn resolved(&self, reference: &str, wanted: Option<&Platform>) -> Result<Image> {
        let images = self.0.store.images();
        let image = images.resolve(reference)?;
        let Some(wanted) = wanted else {
            return Ok(image);
        };
        images.for_platform(&image, wanted).ok_or_else(|| {
            let own = image.config().platform();
            Error::not_found(platform::mismatch(reference, &own, wanted))
        })
    }

    /// Bytes of an image's files.
    ///
    /// # Errors
    /// `NotFound` when it is gone.
    pub fn size(&self, id: &Digest) -> Result<u64> {
        Ok(self.0.store.images().get(id)?.size())
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.0.store.images().list().len()
    }

    /// Counts a container as user of an image, not running yet.
    ///
    /// # Errors
    /// `NotFound` when the image is gone.
    pub fn acquire(&self, id: &Digest, container_id: &str) -> Result<()> {
        let mut users = self.users();
        self.0.store.images().get(id)?;
        users.insert(
            container_id.to_owned(),
            User {
                image: id.clone(),
                running: false,
            },
        );
        Ok(())
    }

    /// Tells whether a container runs.
    pub fn set_running(&self, container_id: &str, running: bool) {
        if let Some(user) = self.users().get_mut(container_id) {
            user.running = running;
        }
    }

    /// Counts a container as user no more. Doing it again is no error.
    pub fn release(&self, _id: &Digest, container_id: &str) {
        self.users().remove(container_id);
    }

    /// Who uses an image.
    fn users_of(&self, id: &Digest) -> Vec<ImageUser> {
        let users = self.users();
        let mut found: Vec<_> = users
            .iter()
            .filter(|(_, user)| user.image == *id)
            .map(|(container, user)| ImageUser {
                container: container.clone(),
                running: user.running,
            })
            .collect();
        // Running ones first: they are what a message should name.
        found.sort_by(|a, b| b.running.cmp(&a.running).then_with(|| a.container.cmp(&b.container)));
        found
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn registries(&self) -> Registries {
        self.0.registries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells listeners what happened to an image; its labels go along.
    fn emit(&self, action: &'static str, id: &str, name: &str, labels: Option<&BTreeMap<String, String>>) {
        let mut attributes = labels.cloned().unwrap_or_default();
        attributes.insert("name".to_owned(), name.to_owned());
        self.0.events.emit("image", action, id, attributes);
    }

    /// As [`Images::emit`], for what is told of an image by its id alone.
    fn emit_of(&self, action: &'static str, image: &Image) {
        let id = image.id().as_str();
        self.emit(action, id, id, Some(&image.config().config.labels));
    }
}

/// Reads the name that an image is to get.
///
/// # Errors
/// `Invalid` when it is none.
pub(crate) fn parse_name(text: &str) -> Result<Reference> {
    parse(text)
}

/// Reads a reference.
fn parse(text: &str) -> Result<Reference> {
    text.parse().map_err(|error| Error::invalid(format!("{error}")))
}

/// Checks that a text is a reference.
///
/// # Errors
/// `Invalid`, in Docker's words.
pub fn check_reference(text: &str) -> Result<()> {
    parse(text).map(|_| ())
}

/// A size as the API has it.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
