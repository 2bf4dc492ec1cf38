//! What becomes of a build's result: an image with names, an archive, a folder.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};

use corten_oci::digest::Digest;
use corten_oci::image::ImageConfig;
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use corten_store::{Access, Force, Form, Lease, NewImage, PruneParents, Store};
use jiff::Timestamp;

use crate::attest::Stated;
use crate::contents::Filter;
use crate::error::{Error, Result};
use crate::event::{Event, Status};
use crate::exporter::ImageOptions;
use crate::transfer::{self, Attributes, Place};
use crate::work::Work;

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

/// What a build made for one platform.
#[derive(Debug, Clone)]
pub struct Product {
    /// The platform.
    pub platform: Platform,
    /// The image's id.
    pub id: Digest,
    /// Its configuration.
    pub config: ImageConfig,
    /// The configuration's bytes.
    pub(crate) bytes: Vec<u8>,
    /// The image that it is, when nothing was added to one.
    pub(crate) base: Option<Digest>,
    /// The vertex that made it.
    pub(crate) vertex: Option<Digest>,
    /// What is stated about it.
    pub(crate) stated: Vec<Stated>,
}

impl Product {
    /// The configuration's bytes, whose digest is the image's id.
    #[must_use]
    pub fn config_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A finished build.
pub struct Finished<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lease: &'a Lease,
    pub(crate) tell: &'a (dyn Fn(Event) + Sync),
    pub(crate) vertex: Digest,
    pub(crate) products: &'a [Product],
    pub(crate) main: &'a Product,
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("main", &self.main)
            .finish_non_exhaustive()
    }
}

/// What an engine of this machine keeps: what is for it, else what was asked for first.
pub(crate) fn main(products: &[Product]) -> Result<&Product> {
    let host = Platform::host();
    let own = products.iter().find(|product| host.accepts(&product.platform));
    own.or_else(|| products.first())
        .ok_or_else(|| Error::internal("a build is for no platform"))
}

/// Images that were made for an output, and those of them that nobody had before.
#[derive(Debug, Default)]
pub struct Stored {
    /// The images, that of this machine's platform first.
    pub images: Vec<Digest>,
    /// Those that are new.
    new: Vec<Digest>,
}

impl Finished<'_> {
    /// What was made, platform by platform, in the order that was asked for.
    #[must_use]
    pub fn products(&self) -> &[Product] {
        self.products
    }

    /// What is for this machine; else the first.
    #[must_use]
    pub fn main(&self) -> &Product {
        self.main
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
        self.put(self.main)
    }

    fn put(&self, product: &Product) -> Result<Digest> {
        if let Some(base) = &product.base
            && self.store.images().get(base).is_ok()
        {
            return Ok(base.clone());
        }
        self.put_bytes(product, &product.bytes)
    }

    fn put_bytes(&self, product: &Product, config: &[u8]) -> Result<Digest> {
        if product.config.history.is_empty() && product.config.rootfs.diff_ids.is_empty() {
            return Err(Error::invalid("No image was generated. Is your Dockerfile empty?"));
        }
        let new = NewImage {
            config,
            ..NewImage::default()
        };
        Ok(self.store.images().put(new)?)
    }

    /// Makes one image of what was made for all platforms, in the form that is asked for; `inline` with what is stated
    /// about images only.
    ///
    /// # Errors
    /// As [`Finished::image`].
    pub fn stored(&self, form: &dyn Fn(&Platform) -> Form, inline: bool) -> Result<Stored> {
        let mut stored = Stored::default();
        for product in self.products.iter().filter(|product| product.id != self.main.id) {
            let form = stated(form(&product.platform), product, inline);
            self.settle(product, &form, &[], &mut stored)?;
        }
        let form = stated(form(&self.main.platform), self.main, inline);
        let companions = stored.images.clone();
        self.settle(self.main, &form, &companions, &mut stored)?;
        stored.images.rotate_right(1);
        Ok(stored)
    }

    /// Makes an image of a product. One to which nothing was added is the image that it was, unless something else is
    /// asked of it than of that: what others call by its name stays as it is.
    fn settle(&self, product: &Product, form: &Form, companions: &[Digest], stored: &mut Stored) -> Result<()> {
        for layer in &product.config.rootfs.diff_ids {
            if !self.lease.hold(layer) {
                return Err(Error::internal("a layer of the build is gone"));
            }
        }
        let images = self.store.images();
        let base = product.base.as_ref().and_then(|base| images.get(base).ok());
        let mut bytes = Cow::Borrowed(product.bytes.as_slice());
        if let Some(base) = base {
            if images.form(&base)?.unwrap_or_default() == *form && base.companions() == companions {
                stored.images.push(base.id().clone());
                return Ok(());
            }
            if base.config_bytes() == product.bytes {
                // White space: the same configuration, and another image.
                bytes.to_mut().push(b'\n');
            }
        }
        let is_new = images.get(&Digest::sha256(&bytes)).is_err();
        let id = self.put_bytes(product, &bytes)?;
        images.set_form(&id, form)?;
        images.set_companions(&id, companions)?;
        if is_new {
            stored.new.push(id.clone());
        }
        stored.images.push(id);
        Ok(())
    }

    /// Removes images that were only wanted for an output. Somebody may have given one a name meanwhile: then it
    /// stays.
    pub fn forget(&self, stored: Stored) {
        for id in &stored.new {
            let images = self.store.images();
            let _ = images.remove(id.as_str(), Force::No, PruneParents::No, &|_| Vec::new());
        }
    }

    /// Opens its files, to be read: for several platforms a folder for each, as BuildKit names them.
    ///
    /// # Errors
    /// When they cannot be mounted.
    pub fn root(&self) -> Result<(OwnedFd, impl Sized + use<>)> {
        if let [only] = self.products {
            let work = Work::new(self.store, &only.config.rootfs.diff_ids)?;
            let root = work.open(Access::ReadOnly)?.into_fd();
            return Ok((root, work));
        }
        let all = Work::new(self.store, &[])?;
        let to = all.open(Access::ReadWrite)?;
        for product in self.products {
            let work = Work::new(self.store, &product.config.rootfs.diff_ids)?;
            let place = Place {
                path: product.platform.to_string().replace('/', "_"),
                is_folder: true,
            };
            let from = work.open(Access::ReadOnly)?;
            transfer::copy(&from, "", &to, &place, &Attributes::default(), &Filter::default())?;
        }
        Ok((to.into_fd(), all))
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
    pub fn write_image(&self, options: &ImageOptions, out: &mut dyn Write) -> Result<()> {
        let stored = self.stored(&|platform| options.form(platform), false)?;
        let names = options.names.iter().map(|name| name.clone().or_latest()).collect();
        let saved = self.store.save_as(&stored.images, names, out);
        self.forget(stored);
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

/// A form with what is stated of a product.
fn stated(mut form: Form, product: &Product, inline: bool) -> Form {
    // Nothing was built of what is an image of somebody else's.
    let is_said = |stated: &&Stated| !stated.inline_only || (inline && product.base.is_none());
    let stated = product.stated.iter().filter(is_said);
    form.predicates = stated.map(|stated| stated.predicate.clone()).collect();
    if form.oci == Some(false) {
        form.predicates.clear();
    }
    form
}

/// An image in the engine's store, with its names.
#[derive(Debug, Clone, Default)]
pub struct ImageOutput {
    /// Its names, and what its manifest will have.
    pub options: ImageOptions,
}

impl ImageOutput {
    /// Gives what was made its names.
    ///
    /// # Errors
    /// As [`ImageOutput::name`].
    pub fn keep(&self, result: &Finished<'_>, stored: &Stored) -> Result<BTreeMap<String, String>> {
        let main = stored.images.first();
        let id = main.ok_or_else(|| Error::internal("no image was made"))?;
        self.name(result, id)
    }

    /// Gives an image its names; says so, by BuildKit's keys.
    ///
    /// # Errors
    /// When the data root cannot be written.
    pub fn name(&self, result: &Finished<'_>, id: &Digest) -> Result<BTreeMap<String, String>> {
        result.done(format!("writing image {id}"));
        (result.tell)(Event::Built(id.clone()));
        let mut names = Vec::new();
        for name in &self.options.names {
            result.store.images().tag(name, id)?;
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

impl Output for ImageOutput {
    fn title(&self) -> String {
        "exporting to image".to_owned()
    }

    fn export(&self, result: &Finished<'_>) -> Result<BTreeMap<String, String>> {
        let stored = result.stored(&|platform| self.options.form(platform), true)?;
        result.done("exporting layers");
        self.keep(result, &stored)
    }
}

/// What an [`ArchiveOutput`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archive {
    /// The files (`type=tar`, `type=local`).
    Files,
    /// The image (`type=docker`, `type=oci`).
    Image(ImageOptions),
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
            Archive::Image(options) => result.write_image(options, &mut pieces)?,
        }
        pieces.flush()?;
        drop(pieces);
        result.send(self.number, None);
        let id = &result.main.id;
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
