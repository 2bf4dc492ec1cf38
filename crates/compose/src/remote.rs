//! Files that are elsewhere: in Git repositories and in registries. Who loads a project brings them here.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Where files are that are not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A repository of Git: `https://host/path.git#reference:folder`, `ssh://…`, `git@host:path`, `github.com/…`.
    Git {
        /// The repository.
        repository: String,
        /// Branch, tag or commit; empty for the default branch.
        reference: String,
        /// The folder or file in it; empty for its root.
        path: String,
    },
    /// An artifact at a registry: `oci://host/repository:tag`.
    Registry(String),
}

impl Address {
    /// Reads an address; none for what is a path on this machine.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(reference) = text.strip_prefix("oci://") {
            return Some(Self::Registry(reference.to_owned()));
        }
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (plain, query) = before.split_once('?').unwrap_or((before, ""));
        let is_web = plain.starts_with("http://") || plain.starts_with("https://");
        let is_git = ["git://", "ssh://", "git@", "github.com/"]
            .iter()
            .any(|start| plain.starts_with(start))
            || (is_web && plain.trim_end_matches('/').ends_with(".git"));
        if !is_git {
            return None;
        }
        let (reference, path) = fragment.split_once(':').unwrap_or((fragment, ""));
        let (mut reference, mut path) = (reference.to_owned(), path.to_owned());
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ref" | "branch" | "tag" | "commit" => value.clone_into(&mut reference),
                "subdir" => value.clone_into(&mut path),
                _ => {}
            }
        }
        let repository = match plain.strip_prefix("github.com/") {
            Some(path) => format!("https://github.com/{path}"),
            None => plain.to_owned(),
        };
        Some(Self::Git {
            repository,
            reference,
            path,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "oci://{reference}"),
            Self::Git {
                repository,
                reference,
                path,
            } => match (reference.as_str(), path.as_str()) {
                ("", "") => write!(f, "{repository}"),
                (reference, "") => write!(f, "{repository}#{reference}"),
                (reference, path) => write!(f, "{repository}#{reference}:{path}"),
            },
        }
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The Compose file.
    pub file: PathBuf,
    /// All that came with it: paths of the file that leave it are refused.
    pub root: PathBuf,
}

/// Brings files here that are elsewhere.
pub trait Remote {
    /// Fetches what an address stands for.
    ///
    /// # Errors
    /// Whatever went wrong; the address is added by who asks.
    fn fetch(&self, address: &Address) -> Result<Local>;
}

/// Fetches nothing: every address is refused by name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Remote for Nowhere {
    fn fetch(&self, _: &Address) -> Result<Local> {
        let error = Error::unsupported("Compose files of repositories and registries are not read here");
        Err(error.hint("fetch it first, and name the local file"))
    }
}

/// What an address stands for, or nothing for a path of this machine.
pub(crate) fn local(remote: &dyn Remote, path: &str) -> Result<Option<Local>> {
    let Some(address) = Address::parse(path) else {
        return Ok(None);
    };
    let local = remote.fetch(&address).map_err(|error| error.within(path))?;
    check_inside(&local.root, &local.file)?;
    Ok(Some(local))
}

/// Refuses a file that is not in the folder that was fetched, wherever links lead.
pub(crate) fn check_inside(root: &Path, file: &Path) -> Result<()> {
    let escapes = || {
        Error::invalid(format!(
            "{} leads out of {}, which was fetched from elsewhere",
            file.display(),
            root.display()
        ))
    };
    // As it is written, before anybody looks what is there.
    if !Path::new(&crate::short::clean(&file.to_string_lossy())).starts_with(root) {
        return Err(escapes());
    }
    let real = |path: &Path| {
        corten_sys::fs::canonicalize(path).map_err(|error| {
            let message = format!("open {}: {}", path.display(), corten_sys::fs::reason(&error));
            match error.kind() {
                std::io::ErrorKind::NotFound => Error::not_found(message),
                _ => Error::unavailable(message),
            }
        })
    };
    if real(file)?.starts_with(real(root)?) {
        return Ok(());
    }
    Err(escapes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths() {
        let git = |repository: &str, reference: &str, path: &str| {
            Some(Address::Git {
                repository: repository.to_owned(),
                reference: reference.to_owned(),
                path: path.to_owned(),
            })
        };
        for (text, expected) in [
            ("https://x/y.git", git("https://x/y.git", "", "")),
            ("https://x/y.git#v1:a/b", git("https://x/y.git", "v1", "a/b")),
            ("https://x/y.git?ref=v1&subdir=a", git("https://x/y.git", "v1", "a")),
            ("git@host:a/b.git#:d", git("git@host:a/b.git", "", "d")),
            ("ssh://git@host/a.git", git("ssh://git@host/a.git", "", "")),
            ("github.com/a/b", git("https://github.com/a/b", "", "")),
            ("oci://host/app:1", Some(Address::Registry("host/app:1".to_owned()))),
            ("./x.git", None),
            ("https://x/compose.yaml", None),
            ("compose.yaml", None),
        ] {
            assert_eq!(Address::parse(text), expected, "{text}");
        }
        let address = Address::parse("https://x/y.git#v1:a").expect("one");
        assert_eq!(address.to_string(), "https://x/y.git#v1:a");
    }
}
