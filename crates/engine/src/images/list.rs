//! `GET /images/json`, and the images' part of `GET /system/df`.

use std::collections::{BTreeSet, HashMap};

use corten_api::{filters::Filters, image::Summary, time::Time};
use corten_oci::{digest::Digest, reference::Reference};
use corten_store::Image;
use jiff::Timestamp;

use super::{Images, glob, signed};
use crate::error::{Error, Result, blocking};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Whether images that only others are built on are listed too.
    pub all: bool,
    /// Whether to count bytes shared with other images.
    pub shared_size: bool,
    /// Whether all platforms of each image are told.
    pub manifests: bool,
    /// `dangling`, `label`, `label!`, `before`, `since`, `until`, `reference`.
    pub filters: Filters,
}

impl Images {
    /// Lists images, the newest first.
    ///
    /// # Errors
    /// `Invalid` for other filters; `NotFound` when an image in a filter is not there.
    pub async fn list(&self, options: ListRequest) -> Result<Vec<Summary>> {
        let filter = Filter::new(self, &options)?;
        let images = self.clone();
        blocking(move || {
            let shared = if options.shared_size {
                images.shared()?
            } else {
                HashMap::new()
            };
            let mut found: Vec<_> = images
                .0
                .store
                .images()
                .list()
                .iter()
                .filter_map(|image| filter.summary(&images, image).transpose())
                .collect::<Result<_>>()?;
            for summary in &mut found {
                summary.shared_size = match shared.get(&summary.id) {
                    Some(bytes) => *bytes,
                    None => -1,
                };
            }
            found.sort_by_key(|image| std::cmp::Reverse(image.created));
            Ok(found)
        })
        .await
    }

    /// Bytes of all layers' files, each layer once.
    ///
    /// # Errors
    /// `Internal` when the store cannot be read.
    pub async fn total_size(&self) -> Result<u64> {
        let images = self.clone();
        blocking(move || Ok(images.0.store.disk_usage()?.layers_size)).await
    }

    /// How many containers use an image.
    pub fn user_count(&self, id: &str) -> i64 {
        let count = id.parse().map_or(0, |id| self.users_of(&id).len());
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn shared(&self) -> Result<HashMap<String, i64>> {
        let usage = self.0.store.disk_usage()?.images;
        Ok(usage
            .into_iter()
            .map(|image| (image.id.as_str().to_owned(), signed(image.shared)))
            .collect())
    }
}

/// The filters, read.
struct Filter {
    all: bool,
    manifests: bool,
    dangling: Option<bool>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    filters: Filters,
}

impl Filter {
    fn new(images: &Images, options: &ListRequest) -> Result<Self> {
        let filters = &options.filters;
        filters.accept(&["dangling", "label", "label!", "before", "since", "until", "reference"])?;
        let dangling = filters
            .has("dangling")
            .then(|| filters.switch("dangling", false))
            .transpose()?;
        let created_of = |name: &str| -> Result<Option<Timestamp>> {
            let Some(reference) = filters.values(name).next() else {
                return Ok(None);
            };
            Ok(Some(created(&images.0.store.images().resolve(reference)?)))
        };
        let until = crate::time_filter::until(filters)
            .map_err(|error| Error::internal(error.message()))?
            .map(Time::timestamp);
        let before = [created_of("before")?, until].into_iter().flatten().min();
        Ok(Self {
            all: options.all,
            manifests: options.manifests,
            dangling,
            before,
            since: created_of("since")?,
            filters: filters.clone(),
        })
    }

    /// The summary of an image that passes.
    fn summary(&self, images: &Images, image: &Image) -> Result<Option<Summary>> {
        let at = created(image);
        if self.before.is_some_and(|before| at >= before)
            || self.since.is_some_and(|since| at <= since)
            || !self.filters.labels(&image.config().config.labels)
        {
            return Ok(None);
        }
        let tags = self.names(image.names())?;
        let digests = self.names(image.digests())?;
        if tags.is_empty() && digests.is_empty() {
            let hidden = self.filters.has("reference") || self.dangling == Some(false);
            let is_between = !self.all && !images.0.store.images().children(image.id()).is_empty();
            if hidden || is_between {
                return Ok(None);
            }
        } else if self.dangling == Some(true) && !tags.is_empty() {
            return Ok(None);
        }
        Ok(Some(Summary {
            containers: -1,
            created: at.as_second(),
            id: image.id().as_str().to_owned(),
            labels: Some(image.config().config.labels.clone()).filter(|labels| !labels.is_empty()),
            parent_id: image.parent().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            repo_digests: digests,
            repo_tags: tags,
            shared_size: -1,
            size: signed(image.size()),
            manifests: self.manifests.then(|| images.manifests(image)).flatten(),
        }))
    }

    /// The names that the filter `reference` leaves.
    fn names(&self, names: &[Reference]) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for name in names {
            let mut wanted = !self.filters.has("reference");
            for pattern in self.filters.values("reference") {
                wanted |= is_match(pattern, name)?;
            }
            if wanted {
                left.push(name.familiar());
            }
        }
        Ok(left)
    }
}

/// Docker's `reference.FamiliarMatch`: the whole name, or the repository alone.
fn is_match(pattern: &str, name: &Reference) -> Result<bool> {
    let matches = |text: &str| {
        glob::matches(pattern, text).map_err(|glob::BadPattern| Error::internal("syntax error in pattern"))
    };
    Ok(matches(&name.familiar())? || matches(&name.repository().familiar())?)
}

/// When an image was made, as its configuration says; the epoch when it does not.
pub(super) fn created(image: &Image) -> Timestamp {
    let text = image.config().created.as_deref().unwrap_or_default();
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Diff ids that images have, for what remains after a removal.
pub(super) fn layers_of(image: &Image) -> BTreeSet<Digest> {
    image.layers().iter().cloned().collect()
}
