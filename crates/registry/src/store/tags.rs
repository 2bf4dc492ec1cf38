//! Tags: which manifest each names, and since when.

use std::io;

use corten_oci::digest::Digest;
use corten_sys::fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::name::{Name, Tag};

/// What is kept of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagRecord {
    /// The manifest.
    pub(crate) digest: Digest,
    /// When it was put there, or last found unchanged upstream.
    pub(crate) pushed: Timestamp,
}

impl Store {
    /// What a tag names.
    pub(crate) fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<TagRecord>> {
        let path = self.tag_folder(name).join(tag.as_str());
        let Some(bytes) = fs::if_there(fs::read(&path))? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                tracing::error!(repository = %name, %tag, %error, "a tag is damaged: it is set aside");
                fs::rename(&path, path.with_file_name(format!(".{tag}.damaged")))?;
                Ok(None)
            }
        }
    }

    /// Lets a tag name a manifest. The caller holds the repository's lock.
    pub(crate) fn write_tag(&self, name: &Name, tag: &Tag, digest: &Digest) -> io::Result<()> {
        let folder = self.tag_folder(name);
        let _guard = self.lock_folders();
        fs::create_dir_all_mode(&folder, 0o700)?;
        let record = TagRecord {
            digest: digest.clone(),
            pushed: Timestamp::now(),
        };
        let path = folder.join(tag.as_str());
        fs::write_atomic(&path, serde_json::to_vec(&record)?)?;
        self.syncer.wrote(path);
        Ok(())
    }

    /// Removes a tag; tells whether there was one. The caller holds the repository's lock.
    pub(crate) fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool> {
        let folder = self.tag_folder(name);
        let removed = fs::if_there(fs::remove_file(folder.join(tag.as_str())))?.is_some();
        if removed {
            self.syncer.renamed(folder);
        }
        Ok(removed)
    }

    /// All tags of a repository and what they name.
    pub(crate) fn tag_records(&self, name: &Name) -> io::Result<Vec<(Tag, TagRecord)>> {
        let (mut tags, mut records) = (Vec::new(), Vec::new());
        self.each_tag(name, |tag| tags.push(tag))?;
        for tag in tags {
            if let Some(record) = self.tag(name, &tag)? {
                records.push((tag, record));
            }
        }
        Ok(records)
    }
}

/// Whole seconds since a moment.
pub(crate) fn seconds(since: Timestamp) -> u64 {
    u64::try_from(Timestamp::now().as_second() - since.as_second()).unwrap_or(0)
}
