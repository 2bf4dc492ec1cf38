//! What a crash can leave, put right before the first request.
//!
//! Content that had landed but may not have been on the disk is hashed again: after a crash of ours it is
//! whole and gets its place, after a power cut it may not be, and then it goes, with all its links.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use corten_oci::digest::Digest;
use corten_sys::fs;

use super::{Store, blobs, of_file_name};

impl Store {
    pub(super) fn recover(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("landing"))?.flatten() {
            let name = entry.file_name();
            let Some(digest) = name.to_str().and_then(of_file_name) else {
                fs::remove_file(entry.path())?;
                continue;
            };
            let file = fs::open(entry.path())?;
            let length = file.metadata()?.len();
            if blobs::hash(&file, digest.algorithm(), length)?.finish() == digest {
                self.syncer.landed(digest);
            } else {
                tracing::warn!(%digest, "a blob did not reach the disk before power was lost: it is removed");
                self.forget(&digest, file.metadata()?.ino())?;
                fs::remove_file(entry.path())?;
            }
        }
        for entry in fs::read_dir(self.uploads_path())?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("copy-") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes all links of repositories to a file.
    fn forget(&self, digest: &Digest, inode: u64) -> io::Result<()> {
        let (name, mut repositories) = (Self::name_of(digest), Vec::new());
        self.each_repository(&mut |repository| repositories.push(repository))?;
        for repository in repositories {
            for folder in ["_blobs", "_manifests"] {
                let path = self.repository_path(&repository).join(folder).join(&name);
                let is_it = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.ino() == inode);
                if is_it {
                    fs::remove_file(&path)?;
                    // There is one beside manifests only.
                    let _ = fs::remove_file(path.with_file_name(format!("{name}.json")));
                }
            }
        }
        Ok(())
    }
}
