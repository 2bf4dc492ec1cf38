//! A repository's links to content, made and removed; and content without links, removed.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use corten_oci::digest::Digest;
use corten_sys::fs;

use super::{Store, file_name, lease_age};
use crate::name::Name;

/// What a removal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// Gone; so many bytes with it.
    Yes(u64),
    /// Somebody has it, or asked for it lately.
    Kept,
    /// It was not there.
    Missing,
}

impl Store {
    /// Makes `link` a name of the content, wherever that is now. `false`: nobody has it.
    pub(super) fn link(&self, digest: &Digest, link: &Path) -> io::Result<bool> {
        let _guard = self.lock_digest(digest);
        self.link_locked(digest, link)
    }

    pub(super) fn link_locked(&self, digest: &Digest, link: &Path) -> io::Result<bool> {
        self.syncer.still(|| {
            for content in [self.blob_path(digest), self.landing_path(digest)] {
                match self.try_link(&content, link) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                    Ok(()) => return Ok(true),
                }
            }
            Ok(false)
        })
    }

    fn try_link(&self, content: &Path, link: &Path) -> io::Result<()> {
        match fs::hard_link(content, link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => renew(link),
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::exists(content)? => {
                // The repository is new, or was removed as empty a moment ago.
                let _guard = self.lock_folders();
                fs::create_dir_all_mode(link.parent().unwrap_or(content), 0o700)?;
                fs::hard_link(content, link)
            }
            Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {
                // A second copy for those that come from now on.
                let copy = self.uploads_path().join(format!("copy-{}", super::uploads::new_id()));
                fs::copy(content, &copy)?;
                fs::rename(&copy, content)?;
                fs::hard_link(content, link)
            }
            other => other,
        }
    }

    /// Takes a blob from a repository.
    pub(crate) fn unlink_blob(&self, name: &Name, digest: &Digest) -> io::Result<Removed> {
        self.sweep_blob(name, digest, Duration::ZERO)
    }

    /// As [`Self::unlink_blob`], unless somebody asked for the blob within `grace`.
    pub(crate) fn sweep_blob(&self, name: &Name, digest: &Digest, grace: Duration) -> io::Result<Removed> {
        let path = self.link_path(name, digest);
        let removed = self.unlink_if_older(digest, &path, grace)?;
        if let Removed::Yes(bytes) = removed {
            self.usage.removed(name, bytes);
            // Its lease was over, and nobody else has it: why wait for another round.
            self.sweep_content(digest, Duration::ZERO)?;
        }
        Ok(removed)
    }

    /// Takes a name of a content away; the content itself stays for the sweep.
    pub(super) fn unlink_if_older(&self, digest: &Digest, path: &Path, grace: Duration) -> io::Result<Removed> {
        let _guard = self.lock_digest(digest);
        let Some(metadata) = fs::if_there(fs::symlink_metadata(path))? else {
            return Ok(Removed::Missing);
        };
        if lease_age(&metadata) < grace {
            return Ok(Removed::Kept);
        }
        fs::remove_file(path)?;
        if let Some(folder) = path.parent() {
            self.syncer.renamed(folder.to_owned());
        }
        Ok(Removed::Yes(metadata.size()))
    }

    /// Removes a content that no repository has, unless it had one, or was asked for, within `grace`.
    pub(crate) fn sweep_content(&self, digest: &Digest, grace: Duration) -> io::Result<Removed> {
        let _guard = self.lock_digest(digest);
        let path = self.blob_path(digest);
        let Some(metadata) = fs::if_there(fs::symlink_metadata(&path))? else {
            return Ok(Removed::Missing);
        };
        if metadata.nlink() > 1 || lease_age(&metadata) < grace {
            return Ok(Removed::Kept);
        }
        fs::remove_file(&path)?;
        self.usage.freed(metadata.size());
        Ok(Removed::Yes(metadata.size()))
    }

    /// Renews the lease of a name that a client was told of.
    pub(super) fn renew_if_old(&self, digest: &Digest, path: &Path, metadata: &std::fs::Metadata) -> io::Result<bool> {
        if lease_age(metadata) < super::RENEWAL {
            return Ok(true);
        }
        let _guard = self.lock_digest(digest);
        match renew(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The name of a content's file, for who lists them.
    pub(super) fn name_of(digest: &Digest) -> String {
        file_name(digest)
    }
}

/// Moves a file's times to now.
fn renew(path: &Path) -> io::Result<()> {
    let options = std::fs::OpenOptions::new().read(true).clone();
    let file = fs::open_with(&options, path)?;
    file.set_modified(std::time::SystemTime::now())
        .map_err(|error| fs::with_path("utimens", path, error))
}
