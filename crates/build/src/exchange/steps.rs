//! What a stage does with caches and images that are kept elsewhere.

use std::time::Duration;

use super::{Blobs, Done};
use crate::cache::{Done as Remembered, Hit};
use crate::error::{Error, Result};
use crate::executor::Stream;
use crate::key::Keyed;
use crate::stage::Stage;
use crate::state::State;

impl Stage<'_> {
    /// The step as somebody else did it, whose cache is known. What cannot be had is done here.
    pub(crate) fn imported(&self, state: &State, key: &Keyed, text: &str) -> Option<Hit> {
        for cache in &self.build.imported {
            match cache.get(&key.digest, self.build.store, &self.build.lease) {
                Ok(Some(hit)) => {
                    let done = Remembered {
                        instruction: text,
                        took: Duration::ZERO,
                        below: state.image.rootfs.diff_ids.last(),
                    };
                    if let Err(error) = self.build.cache.put(key, &hit, done) {
                        tracing::warn!(%error, "cannot remember an imported step");
                    }
                    return Some(hit);
                }
                Ok(None) => {}
                Err(error) => self.log(Stream::Err, format!("importing the step's layer: {error}\n").as_bytes()),
            }
        }
        None
    }

    /// Notes a step for whoever gets the cache.
    pub(crate) fn done(&self, key: &Keyed, hit: &Hit, text: &str) {
        let done = Done {
            key: key.digest.clone(),
            hit: hit.clone(),
            instruction: text.chars().take(1000).collect(),
        };
        self.build.done(done);
    }

    /// The state that an image in a layout is.
    pub(crate) fn layout(&self, name: &str, blobs: &dyn Blobs, platform: Option<&str>) -> Result<State> {
        let platform = match platform {
            Some(text) => text.parse().map_err(|error| Error::invalid(format!("{error}")))?,
            None => self.build.platform.clone(),
        };
        self.build.layout(name, blobs, &platform)
    }
}
