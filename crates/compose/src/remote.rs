//! Files that are elsewhere: in Git repositories and in registries.

use crate::error::{Error, Result};

/// Refuses what is no local file, by name.
pub(crate) fn refuse(path: &str) -> Result<()> {
    let git = ["git://", "ssh://", "git@", "github.com/"]
        .iter()
        .any(|p| path.starts_with(p))
        || ((path.starts_with("https://") || path.starts_with("http://")) && path.contains(".git"));
    if git || path.starts_with("oci://") {
        let message = format!("{path}: Compose files of repositories and registries are not read");
        return Err(Error::unsupported(message).hint("fetch it first, and name the local file"));
    }
    Ok(())
}
