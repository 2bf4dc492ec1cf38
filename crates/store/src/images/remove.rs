//! Removing images by Docker's rules: what a name, an id and force mean, and in which words it is refused.
//!
//! Docker API `DELETE /images/{name}`. The order of what is told is Docker's: names first, then the
//! image, then its layers from the top, by their chain ids.

use std::collections::HashSet;

use corten_oci::digest::Digest;
use corten_oci::reference::Reference;

use super::{Image, ImageId, Images, chain_ids, key, no_such, take};
use crate::error::{Error, Result};
use crate::store::State;

/// Whether soft conflicts (several names, stopped containers) are overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// They refuse the removal.
    No,
    /// They are overridden; running containers and dependent images still refuse it.
    Yes,
}

/// Whether parents without names that nothing uses go too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneParents {
    /// They stay.
    No,
    /// They go.
    Yes,
}

/// A container made from an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// Its id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// What a removal did, in Docker's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name was taken from an image.
    Untagged {
        /// The name as people write it.
        name: String,
        /// The image.
        image: ImageId,
    },
    /// An image was deleted.
    Image(ImageId),
    /// A layer was deleted; the digest is that of it and all below it, the chain id.
    Layer(Digest),
}

/// Asks who uses an image.
pub(super) type Users<'a> = &'a dyn Fn(&ImageId) -> Vec<ImageUser>;

impl Images<'_> {
    /// Removes a name, or an image with all its names and the layers nobody else needs.
    ///
    /// # Errors
    /// `NotFound` and Conflict in Docker's words.
    pub fn remove(&self, text: &str, force: Force, prune: PruneParents, users: Users<'_>) -> Result<Vec<Removed>> {
        let image = self.resolve(text)?;
        let mut removal = Removal {
            images: self,
            users,
            done: Vec::new(),
        };
        let by_id = is_id_prefix(image.id(), text);
        let finished = if by_id {
            removal.drop_single_name(&image, force)?;
            false
        } else {
            removal.drop_name(&image, text, force)?
        };
        if !finished {
            removal.delete(image.id(), force, prune, if by_id { Quiet::No } else { Quiet::Yes })?;
        }
        Ok(removal.done)
    }
}

struct Removal<'a> {
    images: &'a Images<'a>,
    users: Users<'a>,
    done: Vec<Removed>,
}

/// Whether a conflict just ends the removal, as for an image that lost its name anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    No,
    Yes,
}

/// Why an image may not go.
struct Conflict {
    hard: bool,
    used: bool,
    message: String,
}

impl Removal<'_> {
    /// Removes the name the user gave; `true` if other names keep the image.
    fn drop_name(&mut self, image: &Image, text: &str, force: Force) -> Result<bool> {
        if force == Force::No
            && is_single(&references(image))
            && let Some(user) = (self.users)(image.id()).first()
        {
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {text:?} (must force) - container {} is using its referenced image {}",
                short(&user.container),
                image.id().short()
            )));
        }
        let reference: Reference = text.parse().map_err(|error| Error::invalid(format!("{error}")))?;
        self.untag(image.id(), &reference.clone().or_latest())?;
        let left = references(&self.images.get(image.id())?);
        let repository = reference.repository();
        if reference.digest().is_none()
            && !left
                .iter()
                .any(|r| r.digest().is_none() && r.repository() == repository)
        {
            for digest in left.iter().filter(|r| r.repository() == repository) {
                self.untag(image.id(), digest)?;
            }
        }
        Ok(!references(&self.images.get(image.id())?).is_empty())
    }

    /// For an image given by id: removes its names if they are all of one repository with one tag.
    fn drop_single_name(&mut self, image: &Image, force: Force) -> Result<()> {
        let references = references(image);
        if !is_single(&references) {
            return Ok(());
        }
        if let Some(conflict) = self.in_use(image.id(), force) {
            return Err(conflict.error(image.id()));
        }
        references
            .iter()
            .try_for_each(|reference| self.untag(image.id(), reference))
    }

    fn untag(&mut self, id: &ImageId, reference: &Reference) -> Result<()> {
        let store = &self.images.0.inner;
        take(store, &mut store.state(), id, &key(reference))?;
        self.done.push(Removed::Untagged {
            name: reference.familiar(),
            image: id.clone(),
        });
        Ok(())
    }

    fn delete(&mut self, id: &ImageId, force: Force, prune: PruneParents, quiet: Quiet) -> Result<()> {
        let image = self.images.get(id)?;
        if let Some(conflict) = self.conflict(&image, force) {
            let dangling = references(&image).is_empty();
            return if quiet == Quiet::Yes && (!dangling || conflict.used) {
                Ok(())
            } else {
                Err(conflict.error(id))
            };
        }
        for reference in references(&image) {
            self.untag(id, &reference)?;
        }
        let parent = image.parent().cloned();
        self.forget(&image)?;
        match parent {
            Some(parent) if prune == PruneParents::Yes && self.images.get(&parent).is_ok() => {
                // A parent with a name or a user stays; that is no failure of this removal.
                self.delete_parent(&parent)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn delete_parent(&mut self, id: &ImageId) -> Result<()> {
        let image = self.images.get(id)?;
        if self.conflict(&image, Force::No).is_some() {
            return Ok(());
        }
        self.delete(id, Force::No, PruneParents::Yes, Quiet::Yes)
    }

    fn conflict(&self, image: &Image, force: Force) -> Option<Conflict> {
        let hard = |used, message: String| {
            Some(Conflict {
                hard: true,
                used,
                message,
            })
        };
        if !self.images.children(image.id()).is_empty() {
            return hard(false, "image has dependent child images".into());
        }
        let users = (self.users)(image.id());
        if let Some(user) = users.iter().find(|user| user.running) {
            return hard(
                true,
                format!("image is being used by running container {}", short(&user.container)),
            );
        }
        if force == Force::Yes {
            return None;
        }
        if !references(image).is_empty() {
            let message = "image is referenced in multiple repositories".into();
            return Some(Conflict {
                hard: false,
                used: false,
                message,
            });
        }
        stopped_user(&users)
    }

    /// The conflicts that matter before the last name goes: all but the names themselves.
    fn in_use(&self, id: &ImageId, force: Force) -> Option<Conflict> {
        let hard = |used, message: String| {
            Some(Conflict {
                hard: true,
                used,
                message,
            })
        };
        if !self.images.children(id).is_empty() {
            return hard(false, "image has dependent child images".into());
        }
        let users = (self.users)(id);
        if let Some(user) = users.iter().find(|user| user.running) {
            return hard(
                true,
                format!("image is being used by running container {}", short(&user.container)),
            );
        }
        if force == Force::Yes {
            None
        } else {
            stopped_user(&users)
        }
    }

    /// Takes the image out, with the parts of it that are no other's.
    fn forget(&mut self, image: &Image) -> Result<()> {
        self.forget_one(image)?;
        for id in image.companions() {
            let is_part = |state: &State| state.images.parts().contains(id);
            let is_named = |image: Image| !references(&image).is_empty();
            if is_part(&self.images.0.inner.state()) || self.images.get(id).map_or(true, is_named) {
                continue;
            }
            // One that a container uses stays, as an image without a name.
            self.delete(id, Force::No, PruneParents::No, Quiet::Yes)?;
        }
        Ok(())
    }

    /// Takes the image out and deletes what nothing refers to any more.
    fn forget_one(&mut self, image: &Image) -> Result<()> {
        let store = &self.images.0.inner;
        let mut state = store.state();
        if !state.images.by_id.contains_key(image.id()) {
            return Err(no_such(image.id().as_str()));
        }
        corten_sys::fs::remove_file(store.image_path(image.id()))?;
        store.queue.register_folder(store.image.join("images"));
        state.images.forget(image.id());
        self.done.push(Removed::Image(image.id().clone()));
        let kept = kept_chains(&state);
        let gone = image
            .chain_ids()
            .into_iter()
            .rev()
            .filter(|chain| !kept.contains(chain));
        self.done.extend(gone.map(Removed::Layer));
        crate::gc::collect_layers(store, &mut state, image.layers().iter())?;
        let documents = state.images.documents();
        let own = image
            .0
            .record
            .documents
            .iter()
            .map(|document| &document.digest)
            .chain([image.id()]);
        for digest in own.filter(|digest| !documents.contains(*digest)) {
            store.remove_document(digest)?;
        }
        Ok(())
    }
}

impl Conflict {
    fn error(self, id: &ImageId) -> Error {
        let how = if self.hard {
            "cannot be forced"
        } else {
            "must be forced"
        };
        Error::conflict(format!(
            "conflict: unable to delete {} ({how}) - {}",
            id.short(),
            self.message
        ))
    }
}

fn stopped_user(users: &[ImageUser]) -> Option<Conflict> {
    let user = users.iter().find(|user| !user.running)?;
    let message = format!("image is being used by stopped container {}", short(&user.container));
    Some(Conflict {
        hard: false,
        used: true,
        message,
    })
}

/// Chains that other images and containers' roots stand on.
fn kept_chains(state: &State) -> HashSet<Digest> {
    let images = state.images.all().flat_map(Image::chain_ids);
    let roots = state.snapshots.all().flat_map(|snapshot| chain_ids(&snapshot.layers));
    images.chain(roots).collect()
}

/// Names with tags, then names with digests.
fn references(image: &Image) -> Vec<Reference> {
    image.names().iter().chain(image.digests()).cloned().collect()
}

/// Whether there is at most one tag, and every digest is of the same repository.
fn is_single(references: &[Reference]) -> bool {
    let tags = references
        .iter()
        .filter(|reference| reference.digest().is_none())
        .count();
    let same = references
        .windows(2)
        .all(|pair| pair[0].repository() == pair[1].repository());
    references.len() <= 1 || (tags <= 1 && same)
}

fn is_id_prefix(id: &ImageId, text: &str) -> bool {
    id.as_str().starts_with(text) || id.hex().starts_with(text)
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
