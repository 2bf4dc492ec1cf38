//! A container's files as a whole: what it changed, and all of them as an archive.

use std::sync::Arc;

use corten_api::container::Change;
use corten_store::Access;

use super::{Containers, spec};
use crate::{
    error::{Result, blocking, on_thread},
    pipe::{Pieces, Writer},
};

impl Containers {
    /// Lists what a container changed against its image, sorted by path.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn changes(&self, name: &str) -> Result<Vec<Change>> {
        let container = self.find(name)?;
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let changes = inner.store.snapshots().diff(&container.id, &spec::mount_points())?;
            let told = changes.into_iter().map(|change| Change {
                path: change.path.to_string_lossy().into_owned(),
                kind: change.kind as u8,
            });
            Ok(told.collect())
        })
        .await
    }

    /// Writes all files of a container as a tar.
    ///
    /// # Errors
    /// `NotFound`, before the first piece.
    pub async fn export(&self, name: &str) -> Result<Pieces> {
        let container = self.find(name)?;
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(&container));
        let root = blocking(move || inner.root_below_mounts(&held, Access::ReadOnly)).await?;
        let (mut writer, pieces) = Writer::new();
        tokio::spawn(on_thread(move || {
            let result = corten_store::export(std::os::fd::AsFd::as_fd(&root), &mut writer);
            writer.finish(result.map_err(Into::into));
            Ok(())
        }));
        self.0.emit(&container, "export", &[]);
        Ok(pieces)
    }
}
