//! `POST /images/{name}/tag`, `DELETE /images/{name}` and `POST /images/prune`.

use std::collections::BTreeMap;

use corten_api::{
    filters::Filters,
    image::{Deleted, Pruned},
    time::Time,
};
use corten_oci::digest::Digest;
use corten_store::{Force, Image, PruneParents, Removed};

use super::{
    Images,
    list::{created, layers_of},
    parse,
};
use crate::error::{Error, Result, blocking};

/// How to remove an image.
#[derive(Debug, Clone, Copy)]
pub struct RemoveOptions {
    /// Whether several names and stopped containers are overridden.
    pub force: bool,
    /// Whether parents without names go too.
    pub prune_parents: bool,
}

impl Images {
    /// Gives an image a further name; `latest` when the tag is empty.
    ///
    /// # Errors
    /// As [`Images::find`]; `Invalid` for names that are none.
    pub async fn tag(&self, reference: &str, repository: &str, tag: &str) -> Result<()> {
        let image = self.0.store.images().resolve(reference)?;
        let mut name = parse(repository)?;
        if name.digest().is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        if !tag.is_empty() {
            name = name
                .repository()
                .with_tag(tag)
                .map_err(|error| Error::invalid(error.to_string()))?;
        }
        let name = name.or_latest();
        let (images, id, given) = (self.clone(), image.id().clone(), name.clone());
        blocking(move || Ok(images.0.store.images().tag(&given, &id)?)).await?;
        self.emit(
            "tag",
            image.id().as_str(),
            &name.familiar(),
            Some(&image.config().config.labels),
        );
        Ok(())
    }

    /// Removes a name, or an image with all its names and the layers nobody else needs.
    ///
    /// # Errors
    /// `NotFound` and `Conflict` in Docker's words.
    pub async fn remove(&self, reference: &str, options: RemoveOptions) -> Result<Vec<Deleted>> {
        let (images, reference) = (self.clone(), reference.to_owned());
        blocking(move || images.remove_now(&reference, options)).await
    }

    /// Removes images that no container uses: those without a name, or with `dangling=false` all
    /// (filters `dangling`, `label`, `label!`, `until`).
    ///
    /// # Errors
    /// `Invalid` for other filters.
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.accept(&["dangling", "label", "label!", "until"])?;
        let only_dangling = filters.switch("dangling", true)?;
        let until = crate::time_filter::until(filters)
            .map_err(|error| Error::internal(error.message()))?
            .map(Time::timestamp);
        let (images, filters) = (self.clone(), filters.clone());
        blocking(move || {
            let wanted = |image: &Image| {
                (image.names().is_empty() || !only_dangling)
                    && filters.labels(&image.config().config.labels)
                    && until.is_none_or(|until| created(image) < until)
            };
            Ok(images.prune_now(&wanted))
        })
        .await
    }

    fn prune_now(&self, wanted: &dyn Fn(&Image) -> bool) -> Pruned {
        let mut pruned = Pruned {
            images_deleted: Some(Vec::new()),
            space_reclaimed: 0,
        };
        for image in self.0.store.images().list() {
            let store = self.0.store.images();
            let in_use = !self.users_of(image.id()).is_empty() || !store.children(image.id()).is_empty();
            if in_use || !wanted(&image) || store.get(image.id()).is_err() {
                continue;
            }
            let sizes = self.layer_sizes(&image);
            match self.remove_now(
                image.id().as_str(),
                RemoveOptions {
                    force: true,
                    prune_parents: true,
                },
            ) {
                Ok(deleted) => {
                    pruned.images_deleted.get_or_insert_default().extend(deleted);
                    let gone = sizes
                        .into_iter()
                        .filter(|(layer, _)| !self.0.store.layers().contains(layer));
                    pruned.space_reclaimed += gone.map(|(_, size)| size).sum::<u64>();
                }
                // A container took it in the meantime: it stays.
                Err(error) => tracing::warn!(image = %image.id(), error = error.report(), "the image is kept"),
            }
        }
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), pruned.space_reclaimed.to_string())]);
        self.0.events.emit("image", "prune", "", reclaimed);
        pruned
    }

    fn layer_sizes(&self, image: &Image) -> BTreeMap<Digest, u64> {
        let size = |layer: &Digest| self.0.store.layers().get(layer).map_or(0, |layer| layer.size());
        layers_of(image)
            .into_iter()
            .map(|layer| (layer.clone(), size(&layer)))
            .collect()
    }

    fn remove_now(&self, reference: &str, options: RemoveOptions) -> Result<Vec<Deleted>> {
        let image = self.0.store.images().resolve(reference)?;
        let force = if options.force { Force::Yes } else { Force::No };
        let prune = if options.prune_parents {
            PruneParents::Yes
        } else {
            PruneParents::No
        };
        let removed = self
            .0
            .store
            .images()
            .remove(reference, force, prune, &|id| self.users_of(id))?;
        let labels = &image.config().config.labels;
        Ok(removed
            .into_iter()
            .map(|step| match step {
                Removed::Untagged { name, image } => {
                    self.emit("untag", image.as_str(), image.as_str(), Some(labels));
                    Deleted {
                        untagged: name,
                        ..Deleted::default()
                    }
                }
                Removed::Image(id) => {
                    self.emit("delete", id.as_str(), id.as_str(), None);
                    Deleted {
                        deleted: id.as_str().to_owned(),
                        ..Deleted::default()
                    }
                }
                Removed::Layer(chain) => Deleted {
                    deleted: chain.as_str().to_owned(),
                    ..Deleted::default()
                },
            })
            .collect())
    }
}
