//! The result of a build without outputs: an image for as long as the build goes on, so that others can begin
//! with it.

use std::{collections::BTreeMap, sync::Arc};

use corten_build::{Error, Finished, Output};
use corten_oci::digest::Digest;

use crate::solve::Solve;

/// Keeps a result for a while.
#[derive(Debug)]
pub(crate) struct Unnamed(pub(crate) Arc<Solve>);

impl Output for Unnamed {
    fn title(&self) -> String {
        "keeping the result".to_owned()
    }

    fn export(&self, result: &Finished<'_>) -> Result<BTreeMap<String, String>, Error> {
        let id = Digest::sha256(result.main().config_bytes());
        let is_new = result.store().images().get(&id).is_err();
        let image = result.image()?;
        if is_new && image == id {
            self.0.keep_unnamed(image);
        }
        Ok(BTreeMap::new())
    }
}
