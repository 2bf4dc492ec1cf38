//! Images for several platforms under one name.
//!
//! The image that has the name is for this machine's platform, and its record lists those for others, its
//! companions. Those need no name: for as long as one lists them they are parts of it, in no list of images, and they go
//! when it goes.

use std::collections::HashSet;

use corten_oci::platform::Platform;

use super::{Image, ImageId, ImageTable, Images, no_such};
use crate::error::Result;

impl ImageTable {
    /// Companions of other images that have no name of their own.
    pub(super) fn parts(&self) -> HashSet<&ImageId> {
        let listed = self.by_id.values().flat_map(Image::companions);
        let is_part = |id: &&ImageId| {
            let image = self.by_id.get(*id);
            image.is_some_and(|image| image.names().is_empty() && image.digests().is_empty())
        };
        listed.filter(is_part).collect()
    }
}

impl Image {
    /// Images for other platforms that go with it.
    #[must_use]
    pub fn companions(&self) -> &[ImageId] {
        &self.0.record.companions
    }
}

impl Images<'_> {
    /// Says which images for other platforms go with one, instead of what was said before.
    ///
    /// # Errors
    /// `NotFound` when one of them is not there.
    pub fn set_companions(&self, id: &ImageId, companions: &[ImageId]) -> Result<()> {
        let store = &self.0.inner;
        let mut state = store.state();
        let find = |id: &ImageId| state.images.by_id.get(id).ok_or_else(|| no_such(id.as_str()));
        let image = find(id)?.clone();
        for companion in companions {
            find(companion)?;
        }
        let mut companions: Vec<ImageId> = companions.iter().filter(|other| *other != id).cloned().collect();
        let mut seen = HashSet::new();
        companions.retain(|id| seen.insert(id.clone()));
        if image.companions() == companions {
            return Ok(());
        }
        let mut record = image.0.record.clone();
        record.companions = companions;
        store.write_image(&record)?;
        state.images.set(image.with_record(record));
        Ok(())
    }

    /// An image and its companions, those that are there.
    #[must_use]
    pub fn whole(&self, image: &Image) -> Vec<Image> {
        let companions = image.companions().iter().filter_map(|id| self.get(id).ok());
        std::iter::once(image.clone()).chain(companions).collect()
    }

    /// What an image and its companions have for a platform, the image itself first.
    #[must_use]
    pub fn for_platform(&self, image: &Image, platform: &Platform) -> Option<Image> {
        let mut all = self.whole(image).into_iter();
        all.find(|image| platform.accepts(&image.config().platform()))
    }
}
