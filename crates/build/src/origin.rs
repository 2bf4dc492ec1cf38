//! Where a step's files come from: a context, a stage, or an image.

use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use corten_dockerfile::Ignore;
use corten_store::Access;

use crate::contents::{self, Filter, Owners};
use crate::context::{Context, Folder};
use crate::error::{Error, Result};
use crate::plan::context_of;
use crate::request::Named;
use crate::roots::Root;
use crate::stage::Stage;
use crate::work::Work;

/// A tree that sources are looked for in.
pub(crate) struct Origin {
    pub(crate) root: Root,
    pub(crate) owners: Owners,
    /// Whether it is the build's own context, whose archives ADD unpacks.
    pub(crate) is_context: bool,
    ignore: Arc<Ignore>,
    /// The folder, when it is one of this machine's.
    folder: Option<Folder>,
    /// Keeps the root.
    _work: Option<Work>,
}

impl Origin {
    /// What is left out below a path: what the context does not have, and more. What the context has is said of files,
    /// wherever links lead to them from.
    pub(crate) fn filter<'a>(&'a self, path: &str, excludes: Option<&'a Ignore>) -> Filter<'a> {
        let real = match self.ignore.is_empty() || path.is_empty() {
            true => None,
            false => self.root.real(path).ok().flatten(),
        };
        Filter::new(&self.ignore, real.as_deref().unwrap_or(path), excludes)
    }

    /// Whether there is something at a path that may be seen.
    pub(crate) fn has(&self, path: &str) -> Result<bool> {
        contents::is_there(&self.root, path, &self.filter("", None))
    }

    /// Where a path is on this machine, if all that is there may be seen.
    pub(crate) fn in_place(&self, path: &str) -> Result<Option<PathBuf>> {
        if self.folder.is_none() || !self.ignore.is_empty() {
            return Ok(None);
        }
        let Some(found) = self.root.open_path(path)? else {
            return Ok(None);
        };
        let place = corten_sys::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
        Ok(Some(place))
    }
}

impl Stage<'_> {
    /// The tree that sources are looked for in: the context, or what `--from` names.
    pub(crate) fn origin(&mut self, from: Option<&str>, wanted: &[String]) -> Result<Origin> {
        let build = self.build;
        let Some(from) = from else {
            let context = build.request.context.as_ref();
            let context = context.ok_or_else(|| Error::invalid("there is no build context"))?;
            let mut origin = self.origin_of("", context.as_ref(), wanted)?;
            origin.is_context = true;
            return Ok(origin);
        };
        let source = match context_of(&build.request.contexts, from) {
            Some((name, Named::Files(context))) => {
                let name = name.to_owned();
                return self.origin_of(&name, context.as_ref(), wanted);
            }
            Some((_, Named::Image(image))) => self.image(image, None, &mut false)?,
            Some((name, Named::Layout(blobs))) => self.layout(name, blobs.as_ref(), None)?,
            None => self.source(from)?,
        };
        let work = self.work(&source.image.rootfs.diff_ids)?;
        Ok(Origin {
            root: work.open(Access::ReadOnly)?,
            owners: Owners::Keep,
            is_context: false,
            ignore: Arc::default(),
            folder: None,
            _work: Some(work),
        })
    }

    pub(crate) fn origin_of(&mut self, name: &str, context: &dyn Context, wanted: &[String]) -> Result<Origin> {
        let (folder, vertex) = self.build.folder(name, context, wanted)?;
        self.needs(&vertex);
        let owners = match context.has_owners() {
            true => Owners::Keep,
            false => Owners::Reset,
        };
        Ok(Origin {
            root: Root::open(&folder.path)?,
            owners,
            is_context: false,
            ignore: Arc::clone(&folder.ignore),
            folder: Some(folder),
            _work: None,
        })
    }
}
