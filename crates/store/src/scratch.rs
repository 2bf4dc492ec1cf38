//! Trees of files that belong to nobody for long: a build's context, an archive on its way into an image.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_oci::digest::Algorithm;
use corten_sys::fs;

use crate::error::{Error, Result};
use crate::pipeline::{CHUNK, Pipeline, Plan};
use crate::store::{Inner, Store};

/// A tree of files, gone when dropped; after a crash the next start removes it.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    store: Arc<Inner>,
}

impl Scratch {
    /// The tree's root.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("diff")
    }

    /// A folder beside the tree, for what goes with it.
    #[must_use]
    pub fn beside(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = self.store.throw_away(&self.folder);
    }
}

impl Store {
    /// An empty tree.
    ///
    /// # Errors
    /// Internal when the data root cannot be written.
    pub fn scratch(&self) -> Result<Scratch> {
        let folder = self.inner.temporary("scratch");
        fs::create_dir(&folder)?;
        let scratch = Scratch {
            folder,
            store: Arc::clone(&self.inner),
        };
        fs::create_dir(scratch.path())?;
        fs::set_mode(scratch.path(), 0o755)?;
        Ok(scratch)
    }

    /// Unpacks a tar, plain or compressed, with the same care as a layer.
    ///
    /// # Errors
    /// Invalid when it is no tar, truncated, beyond a limit, or leads outside.
    pub fn scratch_from_tar(&self, input: &mut dyn Read) -> Result<Scratch> {
        let scratch = self.scratch()?;
        let plan = Plan {
            compressed: Algorithm::Sha256,
            diff_id: Algorithm::Sha256,
            replay: None,
        };
        let mut pipeline = Pipeline::start(scratch.folder.clone(), plan, self.inner.limits)?;
        loop {
            let mut chunk = vec![0; CHUNK];
            let length = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::from(error)),
            };
            chunk.truncate(length);
            pipeline.send(chunk)?;
        }
        pipeline.finish()?;
        Ok(scratch)
    }
}
