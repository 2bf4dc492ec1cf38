//! Where COPY, ADD and mounts look for files.
//!
//! A context is asked for what a step wants, and answers with a folder of this machine that has at least
//! that: a folder that is here is read in place, an archive was unpacked, and a remote one brings over what
//! it has not brought yet.

use std::any::Any;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_dockerfile::Ignore;
use corten_store::{Scratch, Store};

use crate::error::{Error, Kind, Result};
use crate::paths;
use crate::roots::Root;

/// Files that a build may read. Several steps may ask at once.
pub trait Context: fmt::Debug + Send + Sync {
    /// A folder that has what these paths mean, as far as the context has it: paths or patterns from its
    /// root, as COPY has them; an empty one is all of it. Links that lead elsewhere in the context are
    /// followed.
    ///
    /// # Errors
    /// When the files cannot be had.
    fn folder(&self, wanted: &[String]) -> Result<Folder>;

    /// Whether files' owners mean something; those of a user's own folder do not.
    fn has_owners(&self) -> bool {
        false
    }
}

/// A folder of this machine.
#[derive(Clone)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What in it is not part of the context.
    pub ignore: Arc<Ignore>,
    /// Keeps it.
    pub keep: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A folder of this machine, read in place.
#[derive(Debug, Clone)]
pub struct Local {
    path: PathBuf,
    ignore: Arc<Ignore>,
}

impl Local {
    /// A folder without what `.dockerignore` names: `<dockerfile>.dockerignore`, or the folder's own.
    ///
    /// # Errors
    /// Invalid when a line of that is no pattern.
    pub fn new(path: &Path, dockerfile: &str) -> Result<Self> {
        let ignore = match Root::open(path) {
            Ok(root) => ignore(&root, dockerfile)?,
            Err(_) => Ignore::default(),
        };
        Ok(Self {
            path: path.to_path_buf(),
            ignore: Arc::new(ignore),
        })
    }
}

impl Local {
    /// A folder without what patterns name.
    #[must_use]
    pub fn with_ignore(path: &Path, ignore: Ignore) -> Self {
        Self {
            path: path.to_path_buf(),
            ignore: Arc::new(ignore),
        }
    }
}

impl Context for Local {
    fn folder(&self, _wanted: &[String]) -> Result<Folder> {
        Ok(Folder {
            path: self.path.clone(),
            ignore: Arc::clone(&self.ignore),
            keep: None,
        })
    }
}

/// What was unpacked, or fetched whole.
#[derive(Debug, Clone)]
pub struct Unpacked {
    tree: Arc<Scratch>,
    below: String,
    ignore: Arc<Ignore>,
}

impl Unpacked {
    /// A folder of a tree.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn new(tree: Arc<Scratch>, below: &str) -> Result<Self> {
        let below = paths::below(below);
        if !Root::open(&tree.path())?.is_folder(&below)? {
            return Err(Error::new(Kind::NotFound, format!("there is no folder /{below}")));
        }
        Ok(Self {
            tree,
            below,
            ignore: Arc::default(),
        })
    }
}

impl Context for Unpacked {
    fn folder(&self, _wanted: &[String]) -> Result<Folder> {
        Ok(Folder {
            // No link leads out of it: the folder was looked at, and nobody else changes the tree.
            path: self.tree.path().join(&self.below),
            ignore: Arc::clone(&self.ignore),
            keep: Some(self.tree.clone()),
        })
    }
}

/// A context and its Dockerfile.
#[derive(Debug, Clone)]
pub struct Given {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// Its name, for people.
    pub name: String,
    /// The files.
    pub context: Option<Arc<dyn Context>>,
}

/// Unpacks a context and finds the Dockerfile in it; an empty name means the usual one.
///
/// # Errors
/// Invalid when the archive is none or has no such file, in Docker's words.
pub fn take(store: &Store, archive: &mut dyn Read, dockerfile: &str) -> Result<Given> {
    take_tree(Arc::new(store.scratch_from_tar(archive)?), "", dockerfile)
}

/// Finds the Dockerfile in a folder of a tree.
///
/// # Errors
/// As [`take`].
pub fn take_tree(tree: Arc<Scratch>, below: &str, dockerfile: &str) -> Result<Given> {
    let mut context = Unpacked::new(tree, below)?;
    let root = Root::open(&context.folder(&[])?.path)?;
    let (name, bytes) = dockerfile_of(&root, dockerfile)?;
    let ignore = ignore(&root, &name)?;
    context.ignore = Arc::new(sent_ignore(&ignore, &name));
    Ok(Given {
        dockerfile: bytes,
        name,
        context: Some(Arc::new(context)),
    })
}

/// Reads the Dockerfile of a folder of this machine; an empty name means the usual one.
///
/// # Errors
/// As [`take`].
pub fn take_local(folder: &Path, dockerfile: &str) -> Result<Given> {
    let root = Root::open(folder)?;
    let (name, bytes) = dockerfile_of(&root, dockerfile)?;
    Ok(Given {
        dockerfile: bytes,
        context: Some(Arc::new(Local::new(folder, &name)?)),
        name,
    })
}

fn dockerfile_of(root: &Root, asked: &str) -> Result<(String, Vec<u8>)> {
    /// The most bytes of a Dockerfile that are read; the parser's own limit is smaller.
    const MOST: u64 = 32 << 20;
    let name = find(root, asked)?;
    let mut bytes = Vec::new();
    root.file(&name)?.take(MOST).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(Error::invalid(format!("the Dockerfile ({name}) cannot be empty")));
    }
    Ok((name, bytes))
}

fn find(root: &Root, asked: &str) -> Result<String> {
    let name = paths::below(if asked.is_empty() { "Dockerfile" } else { asked });
    if root.find(&name)?.is_some() {
        return Ok(name);
    }
    let lower = name.to_lowercase();
    if asked.is_empty() && root.find(&lower)?.is_some() {
        return Ok(lower);
    }
    Err(Error::new(
        Kind::Invalid,
        format!("Cannot locate specified Dockerfile: {name}"),
    ))
}

fn ignore(root: &Root, dockerfile: &str) -> Result<Ignore> {
    let own = format!("{dockerfile}.dockerignore");
    let own = match root.find(&own) {
        Ok(Some(_)) => own,
        _ => ".dockerignore".to_owned(),
    };
    patterns(&root.text(&own), &own)
}

/// Reads the text of a `.dockerignore`.
///
/// # Errors
/// Invalid when a line of it is no pattern, with its name and the line.
pub fn patterns(text: &str, name: &str) -> Result<Ignore> {
    match Ignore::mistake(text) {
        Some((line, why)) => Err(Error::invalid(format!("{name}:{line}: {why}"))),
        None => Ok(Ignore::parse(text)),
    }
}

/// Clients leave out what `.dockerignore` names before they send an archive, but send it and the Dockerfile
/// even when those are named; then no COPY may see the two.
fn sent_ignore(ignore: &Ignore, dockerfile: &str) -> Ignore {
    let excluded = [dockerfile, ".dockerignore"];
    Ignore::of(
        excluded
            .into_iter()
            .filter(|name| !name.contains('/') && ignore.excludes(name)),
    )
}
