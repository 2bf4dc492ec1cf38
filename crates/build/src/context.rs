//! A context that came as an archive: its Dockerfile, and what `.dockerignore` says of the two.

use std::io::Read;

use corten_dockerfile::Ignore;
use corten_store::{Scratch, Store};
use corten_sys::fs;

use crate::error::{Error, Kind, Result};
use crate::paths;
use crate::request::Context;
use crate::roots::Root;

/// A context and its Dockerfile.
#[derive(Debug)]
pub struct Given {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// Its name, for people.
    pub name: String,
    /// The files.
    pub context: Context,
}

/// Unpacks a context and finds the Dockerfile in it; an empty name means the usual one.
///
/// # Errors
/// Invalid when the archive is none or has no such file, in Docker's words.
pub fn take(store: &Store, archive: &mut dyn Read, dockerfile: &str) -> Result<Given> {
    let files = store.scratch_from_tar(archive)?;
    let root = Root::open(&files.path())?;
    let name = find(&root, dockerfile)?;
    let mut bytes = Vec::new();
    root.file(&name)?.take(32 << 20).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(Error::invalid(format!("the Dockerfile ({name}) cannot be empty")));
    }
    leave_out(&files, &root, &name)?;
    Ok(Given {
        dockerfile: bytes,
        name,
        context: Context::Files(files),
    })
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

/// Clients send Dockerfile and `.dockerignore` even when those are excluded; then no COPY may see them.
fn leave_out(files: &Scratch, root: &Root, dockerfile: &str) -> Result<()> {
    let ignore = Ignore::parse(&root.text(".dockerignore"));
    for name in [dockerfile, ".dockerignore"] {
        let plain = !name.contains('/') && ignore.excludes(name);
        if plain {
            fs::if_there(fs::remove_file(files.path().join(name)))?;
        }
    }
    Ok(())
}
