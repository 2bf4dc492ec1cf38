//! Names of volumes, which are names of folders.

use crate::error::{Error, Result};

/// What is allowed, in Docker's words.
const NAMES: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

/// Checks a name.
///
/// # Errors
/// `Invalid` in Docker's words.
pub(super) fn check(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(
            "volume name is too short, names should be at least two alphanumeric characters",
        ));
    }
    let first_fits = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_fits = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !first_fits || !rest_fits || name.len() > 255 {
        return Err(Error::invalid(format!(
            "\"{name}\" includes invalid characters for a local volume name, only \"{NAMES}\" are allowed. \
             If you intended to pass a host directory, use absolute path"
        )));
    }
    Ok(())
}
