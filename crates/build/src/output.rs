//! What becomes of a build's result: an image with names, an archive, a folder.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};

use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_oci::reference::Reference;
use corten_store::{Force, Lease, NewImage, PruneParents, Store};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::event::{Event, Status};

/// What takes a result.
pub trait Output: fmt::Debug + Send + Sync {
    /// What its vertex is called: `exporting to image`.
    fn title(&self) -> String;

    /// Takes it; gives what is known of it then, by BuildKit's names (`containerimage.digest`).
    ///
    /// # Errors
    /// When the result cannot be put where it shall be.
    fn export(&self, result: &Finished<'_>) -> Result<BTreeMap<String, String>>;
}

/// A finished build.
pub struct Finished<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lease: &'a Lease,
    pub(crate) tell: &'a (dyn Fn(Event) + Sync),
    pub(crate) vertex: Digest,
    pub(crate) config: &'a ImageConfig,
    pub(crate) bytes: &'a [u8],
    pub(crate) base: Option<&'a Digest>,
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Finished<'_> {
    /// The image's configuration.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        self.config
    }

    /// The configuration's bytes, whose digest is the image's id.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The store that has the result's layers.
    #[must_use]
    pub fn store(&self) -> &Store {
        self.store
    }

    /// Makes it an image of the engine; gives its id.
    ///
    /// # Errors
    /// When it has neither files nor a configuration, and when the data root cannot be written.
    pub fn image(&self) -> Result<Digest> {
        if let Some(base) = self.base
            && self.store.images().get(base).is_ok()
        {
            return Ok(base.clone());
        }
        if self.config.history.is_empty() && self.config.rootfs.diff_ids.is_empty() {
            return Err(Error::invalid("No image was generated. Is your Dockerfile empty?"));
        }
        let new = NewImage {
            config: self.bytes,
            ..NewImage::default()
        };
        Ok(self.store.images().put(new)?)
    }

    /// Opens its files, to be read.
    ///
    /// # Errors
    /// When they cannot be mounted.
    pub fn root(&self) -> Result<(OwnedFd, impl Sized + use<>)> {
        let work = crate::work::Work::new(self.store, &self.config.rootfs.diff_ids)?;
        let root = work.open(corten_store::Access::ReadOnly)?.into_fd();
        Ok((root, work))
    }

    /// Writes its files as a plain tar.
    ///
    /// # Errors
    /// When they cannot be read, or not be written.
    pub fn write_tar(&self, out: &mut dyn Write) -> Result<()> {
        let (root, _work) = self.root()?;
        Ok(corten_store::export(root.as_fd(), out)?)
    }

    /// Writes an archive that `docker load` and tools of OCI read.
    ///
    /// # Errors
    /// As [`Finished::write_tar`].
    pub fn write_image(&self, names: &[Reference], out: &mut dyn Write) -> Result<()> {
        for layer in &self.config.rootfs.diff_ids {
            if !self.lease.hold(layer) {
                return Err(Error::internal("a layer of the build is gone"));
            }
        }
        let own = Digest::sha256(self.bytes);
        let was_there = self.store.images().get(&own).is_ok();
        let id = self.image()?;
        let names = names.iter().map(|name| name.clone().or_latest()).collect();
        let saved = self.store.save_as(&id, names, out);
        if !was_there && id == own {
            // It was only wanted as an archive. Somebody may have given it a name meanwhile: then it stays.
            let _ = self
                .store
                .images()
                .remove(id.as_str(), Force::No, PruneParents::No, &|_| Vec::new());
        }
        Ok(saved?)
    }

    /// Tells that something of the output is done.
    pub fn done(&self, what: impl Into<String>) {
        let now = Timestamp::now();
        (self.tell)(Event::Status(Status {
            vertex: self.vertex.clone(),
            id: what.into(),
            name: String::new(),
            current: 0,
            total: 0,
            timestamp: now,
            started: now,
            completed: Some(now),
        }));
    }

    /// Sends a piece of an output to whoever asked for the build.
    pub fn send(&self, output: usize, bytes: Option<Vec<u8>>) {
        (self.tell)(Event::Exported(output, bytes));
    }
}

/// An image in the engine's store, with its names.
#[derive(Debug, Clone, Default)]
pub struct ImageOutput {
    /// The names.
    pub names: Vec<Reference>,
}

impl Output for ImageOutput {
    fn title(&self) -> String {
        "exporting to image".to_owned()
    }

    fn export(&self, result: &Finished<'_>) -> Result<BTreeMap<String, String>> {
        let id = result.image()?;
        result.done("exporting layers");
        result.done(format!("writing image {id}"));
        (result.tell)(Event::Built(id.clone()));
        let mut names = Vec::new();
        for name in &self.names {
            result.store.images().tag(name, &id)?;
            let name = Reference::clone(name).or_latest();
            result.done(format!("naming to {name}"));
            (result.tell)(Event::Tagged(name.familiar()));
            names.push(name.to_string());
        }
        let mut answer = BTreeMap::from([
            ("containerimage.digest".to_owned(), id.to_string()),
            ("containerimage.config.digest".to_owned(), id.to_string()),
        ]);
        if !names.is_empty() {
            answer.insert("image.name".to_owned(), names.join(","));
        }
        Ok(answer)
    }
}

/// What an [`ArchiveOutput`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archive {
    /// The files (`type=tar`, `type=local`).
    Files,
    /// The image (`type=docker`, `type=oci`).
    Image(Vec<Reference>),
}

/// A stream of bytes for whoever asked for the build.
#[derive(Debug, Clone)]
pub struct ArchiveOutput {
    /// The output's number.
    pub number: usize,
    /// What it is.
    pub archive: Archive,
    /// What its vertex is called.
    pub title: String,
}

impl Output for ArchiveOutput {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn export(&self, result: &Finished<'_>) -> Result<BTreeMap<String, String>> {
        let mut pieces = io::BufWriter::with_capacity(192 << 10, Pieces(self.number, result));
        match &self.archive {
            Archive::Files => result.write_tar(&mut pieces)?,
            Archive::Image(names) => result.write_image(names, &mut pieces)?,
        }
        pieces.flush()?;
        drop(pieces);
        result.send(self.number, None);
        let id = Digest::sha256(result.bytes);
        Ok(BTreeMap::from([(
            "containerimage.config.digest".to_owned(),
            id.to_string(),
        )]))
    }
}

struct Pieces<'a, 'b>(usize, &'a Finished<'b>);

impl Write for Pieces<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.send(self.0, Some(bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
