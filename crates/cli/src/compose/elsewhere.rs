//! Compose files that are elsewhere: fetched into a cache of the user's, each under the digest or commit that it has.
//!
//! ```text
//!   <cache>/<commit>/…             a repository at that commit
//!   <cache>/<digest>/compose.yaml  the files of an artifact, and those that they extend and read variables from
//! ```
//!
//! It is where Docker's Compose has its own: mounts of paths in it are the same for both, and so are services' hashes.
//!
//! A folder appears in one step when all of it is there, so that two commands at once do not meet.

pub(super) mod artifact;
mod git;

use std::path::{Path, PathBuf};

use corten_compose::{
    Error, Result,
    remote::{Address, Local, Remote},
};

use crate::cli::Cli;

/// Fetches what is at registries and in repositories.
pub(super) struct Elsewhere<'a>(pub(super) &'a Cli);

impl Remote for Elsewhere<'_> {
    fn fetch(&self, address: &Address) -> Result<Local> {
        let Self(cli) = self;
        let (variable, kind) = match address {
            Address::Git { .. } => ("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "git"),
            Address::Registry(_) => ("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "OCI"),
        };
        match cli.variable(variable).as_deref() {
            None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => {}
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {
                return Err(Error::unsupported(format!(
                    "{kind} remote resource is disabled by {variable:?}"
                )));
            }
            Some(_) => {
                return Err(Error::invalid(format!(
                    "{variable} environment variable expects boolean value"
                )));
            }
        }
        let cache = cache(cli)?;
        match address {
            Address::Git {
                repository,
                reference,
                path,
            } => git::fetch(&cache, repository, reference, path),
            Address::Registry(reference) => artifact::fetch(cli, &cache, reference),
        }
    }
}

fn cache(cli: &Cli) -> Result<PathBuf> {
    let folder = match cli.variable("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => match cli.variable("HOME") {
            Some(home) => Path::new(&home).join(".cache"),
            None => {
                let error = Error::unavailable("there is no folder to keep fetched files in");
                return Err(error.hint("set HOME or XDG_CACHE_HOME"));
            }
        },
    };
    Ok(folder.join("docker-compose"))
}

/// A folder of the cache: made by `fill` in a place of its own, unless it is there.
fn kept(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let failed = |error: std::io::Error| Error::unavailable(error.to_string());
    if corten_sys::fs::exists(folder).map_err(failed)? {
        return Ok(());
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.with_file_name(format!(".{name}.{}", std::process::id()));
    corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(&new)).map_err(failed)?;
    corten_sys::fs::create_dir_all_mode(&new, 0o700).map_err(failed)?;
    let filled = fill(&new).and_then(|()| match corten_sys::fs::rename(&new, folder) {
        Ok(()) => Ok(true),
        // Somebody else was faster.
        Err(_) if corten_sys::fs::exists(folder).unwrap_or(false) => Ok(false),
        Err(error) => Err(failed(error)),
    });
    if !matches!(filled, Ok(true)) {
        corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(&new)).map_err(failed)?;
    }
    filled.map(|_| ())
}
