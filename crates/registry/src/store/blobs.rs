//! Blobs: found, mounted, and taken over when an upload is complete.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use corten_oci::digest::{Algorithm, Digest, Hasher};
use corten_sys::fs;

use super::{Opened, Store};
use crate::name::Name;
use crate::refusal::Result;

/// Bytes read at once where a file is hashed again.
const CHUNK: usize = 256 << 10;

impl Store {
    /// A repository's blob, to be read.
    pub(crate) fn open_blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<Opened>> {
        open(&self.link_path(name, digest))
    }

    /// A blob's size, for a client that may rely on it from now on.
    pub(crate) fn stat_blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        let path = self.link_path(name, digest);
        let Some(metadata) = fs::if_there(fs::metadata(&path))? else {
            return Ok(None);
        };
        let is_there = self.renew_if_old(digest, &path, &metadata)?;
        Ok(is_there.then_some(metadata.len()))
    }

    /// Gives a repository a blob of another.
    pub(crate) fn mount(&self, name: &Name, from: &Name, digest: &Digest) -> Result<bool> {
        let source = self.link_path(from, digest);
        let Some(metadata) = fs::if_there(fs::metadata(&source))? else {
            return Ok(false);
        };
        self.give(name, digest, metadata.len())
    }

    /// Gives a repository a blob that any other has.
    pub(crate) fn mount_from_any(&self, name: &Name, digest: &Digest) -> Result<bool> {
        let size = [self.blob_path(digest), self.landing_path(digest)]
            .iter()
            .find_map(|path| fs::metadata(path).ok())
            .map(|metadata| metadata.len());
        match size {
            Some(size) => self.give(name, digest, size),
            None => Ok(false),
        }
    }

    fn give(&self, name: &Name, digest: &Digest, size: u64) -> Result<bool> {
        let link = self.link_path(name, digest);
        if fs::exists(&link)? {
            return Ok(self.stat_blob(name, digest)?.is_some());
        }
        self.usage.check(self, name, size)?;
        let linked = self.link(digest, &link)?;
        if linked {
            self.usage.added(name, size);
            self.note_folder(&link);
        }
        Ok(linked)
    }

    /// Makes a complete file a blob of a repository. The file is gone afterwards.
    ///
    /// The caller knows that it has this digest and size.
    pub(crate) fn adopt(&self, name: &Name, digest: &Digest, file: &Path, size: u64) -> Result<()> {
        let link = self.link_path(name, digest);
        let is_new = !fs::exists(&link)?;
        self.take_over(digest, file, size, &link)?;
        if is_new {
            self.usage.added(name, size);
        }
        Ok(())
    }

    /// Makes a complete file the content of a digest, or drops it where there is one, and links to it.
    pub(super) fn take_over(&self, digest: &Digest, file: &Path, size: u64, link: &Path) -> io::Result<()> {
        let _guard = self.lock_digest(digest);
        let landing = self.landing_path(digest);
        let is_known = self
            .syncer
            .still(|| Ok::<_, io::Error>(fs::exists(self.blob_path(digest))? || fs::exists(&landing)?))?;
        match is_known {
            true => fs::remove_file(file)?,
            false => fs::rename(file, &landing)?,
        }
        let is_linked = self.link_locked(digest, link);
        match is_known {
            true => self.note_folder(link),
            // After the link, for it to come to the disk with the content.
            false => {
                self.syncer.landed(digest.clone());
                self.usage.stored(size);
            }
        }
        match is_linked? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the content vanished")),
        }
    }

    fn note_folder(&self, link: &Path) {
        if let Some(folder) = link.parent() {
            self.syncer.renamed(folder.to_owned());
        }
    }
}

/// Opens a content.
pub(super) fn open(path: &Path) -> io::Result<Option<Opened>> {
    let Some(file) = fs::if_there(fs::open(path))? else {
        return Ok(None);
    };
    let size = file
        .metadata()
        .map_err(|error| fs::with_path("stat", path, error))?
        .len();
    Ok(Some(Opened {
        file: Arc::new(file),
        size,
    }))
}

/// The hash of a file's first `length` bytes, read in pieces.
pub(crate) fn hash(mut file: &File, algorithm: Algorithm, length: u64) -> io::Result<Hasher> {
    use std::io::Seek as _;
    file.rewind()?;
    let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; CHUNK]);
    let mut reader = file.take(length);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hasher),
            read => hasher.update(&buffer[..read]),
        }
    }
}
