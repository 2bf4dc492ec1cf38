//! What the collection asks of the storage.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use corten_oci::digest::Digest;
use corten_sys::fs;

use super::{Removed, Store, lease_age, of_file_name};
use crate::name::Name;

impl Store {
    /// The digests of a repository's links to blobs, in no order.
    pub(crate) fn links(&self, name: &Name) -> io::Result<Vec<Digest>> {
        let folder = self.repository_path(name).join("_blobs");
        let Some(entries) = fs::if_there(fs::read_dir(folder))? else {
            return Ok(Vec::new());
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str().and_then(of_file_name)).collect())
    }

    /// What [`Self::sweep_blob`] would come to.
    pub(crate) fn would_sweep(&self, name: &Name, digest: &Digest, grace: Duration) -> io::Result<Removed> {
        let metadata = fs::if_there(fs::symlink_metadata(self.link_path(name, digest)))?;
        Ok(match metadata {
            None => Removed::Missing,
            Some(metadata) if lease_age(&metadata) < grace => Removed::Kept,
            Some(metadata) => Removed::Yes(metadata.size()),
        })
    }

    /// What [`Self::sweep_content`] would come to.
    pub(crate) fn would_sweep_content(&self, digest: &Digest, grace: Duration) -> io::Result<Removed> {
        let metadata = fs::if_there(fs::symlink_metadata(self.blob_path(digest)))?;
        Ok(match metadata {
            None => Removed::Missing,
            Some(metadata) if metadata.nlink() > 1 || lease_age(&metadata) < grace => Removed::Kept,
            Some(metadata) => Removed::Yes(metadata.size()),
        })
    }

    /// Calls with each content in its place, and its size.
    pub(crate) fn each_content(&self, visit: &mut dyn FnMut(Digest, u64)) -> io::Result<()> {
        for algorithm in ["sha256", "sha512"] {
            for folder in fs::read_dir(self.root.join("blobs").join(algorithm))?.flatten() {
                let Some(entries) = fs::if_there(fs::read_dir(folder.path()))? else {
                    continue;
                };
                for entry in entries.flatten() {
                    let name = entry.file_name();
                    let digest = name.to_str().and_then(|hex| format!("{algorithm}:{hex}").parse().ok());
                    if let (Some(digest), Ok(metadata)) = (digest, entry.metadata()) {
                        visit(digest, metadata.len());
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes what a crash has left between two steps: a manifest's bytes without a record.
    pub(crate) fn sweep_strays(&self, name: &Name, grace: Duration) -> io::Result<()> {
        let folder = self.repository_path(name).join("_manifests");
        let Some(entries) = fs::if_there(fs::read_dir(&folder))? else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let Some(digest) = file.to_str().and_then(of_file_name) else {
                continue;
            };
            // A push that goes on has made it a moment ago.
            if self.record(name, &digest)?.is_none() {
                self.unlink_if_older(&digest, &entry.path(), grace.max(super::RENEWAL))?;
            }
        }
        Ok(())
    }

    /// Removes the folders of a repository that holds nothing.
    pub(crate) fn remove_if_empty(&self, name: &Name) -> io::Result<()> {
        let path = self.repository_path(name);
        let _guard = self.lock_folders();
        for folder in ["_tags", "_referrers", "_manifests", "_blobs"] {
            // What is not empty stays.
            let _ = fs::remove_dir(path.join(folder));
        }
        let above = path
            .ancestors()
            .take_while(|folder| *folder != self.repositories_path());
        for folder in above {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The folder of content that is coming.
    pub(crate) fn drafts(&self) -> std::path::PathBuf {
        self.uploads_path()
    }
}
