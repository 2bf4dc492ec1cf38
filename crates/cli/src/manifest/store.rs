//! The lists that are being put together: `manifests/<list>/<image>` in the folder of the configuration, as
//! Docker's command line keeps them.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use corten_oci::reference::Reference;

use super::entry::Entry;
use crate::error::{Error, Result};

/// The lists.
pub(super) struct Store(PathBuf);

impl Store {
    /// The lists below the folder of the configuration.
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("manifests"))
    }

    /// An image's manifest in a list; none when it is not there.
    pub(super) fn get(&self, list: &Reference, image: &Reference) -> Result<Option<Entry>> {
        read(&self.folder(list).join(file_name(image)))
    }

    /// Puts an image's manifest into a list.
    pub(super) fn save(&self, list: &Reference, image: &Reference, entry: &Entry) -> Result<()> {
        let folder = self.folder(list);
        let bytes = serde_json::to_vec(entry).map_err(|error| Error::new(error.to_string()))?;
        let written = corten_sys::fs::create_dir_all_mode(&folder, 0o755)
            .and_then(|()| corten_sys::fs::write_atomic_mode(folder.join(file_name(image)), bytes, 0o644));
        written.map_err(|error| Error::new(error.to_string()))
    }

    /// All of a list, in the order of the images' names; none when there is no such list.
    pub(super) fn list(&self, list: &Reference) -> Result<Option<Vec<Entry>>> {
        let entries = match corten_sys::fs::read_dir(self.folder(list)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::new(error.to_string())),
        };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        let found: Vec<Entry> = files
            .iter()
            .filter_map(|file| read(file).transpose())
            .collect::<Result<_>>()?;
        Ok(Some(found).filter(|found| !found.is_empty()))
    }

    /// All of a list.
    ///
    /// # Errors
    /// When there is no such list, in Docker's words.
    pub(super) fn known(&self, list: &Reference) -> Result<Vec<Entry>> {
        self.list(list)?.ok_or_else(|| none(list))
    }

    /// Forgets a list.
    pub(super) fn remove(&self, list: &Reference) -> Result<()> {
        corten_sys::fs::remove_dir_all(self.folder(list)).map_err(|error| Error::new(error.to_string()))
    }

    fn folder(&self, list: &Reference) -> PathBuf {
        self.0.join(file_name(list))
    }
}

/// The error for what is not there.
pub(super) fn none(reference: &Reference) -> Error {
    Error::new(format!("No such manifest: {reference}"))
}

fn read(file: &Path) -> Result<Option<Entry>> {
    let bytes = match corten_sys::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::new(error.to_string())),
    };
    let entry = serde_json::from_slice(&bytes).map_err(|error| Error::new(format!("{}: {error}", file.display())))?;
    Ok(Some(entry))
}

/// A reference as the name of a file.
fn file_name(reference: &Reference) -> String {
    reference.to_string().replace(':', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_file_names_as_docker_s() {
        for (reference, expected) in [
            ("busybox:1", "docker.io_library_busybox-1"),
            ("127.0.0.1:5000/team/app:1", "127.0.0.1-5000_team_app-1"),
        ] {
            assert_eq!(file_name(&reference.parse().unwrap()), expected);
        }
    }
}
