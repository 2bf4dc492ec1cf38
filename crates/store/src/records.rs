//! Records on disk: JSON with a format number. A damaged one is set aside, never fatal.

use std::path::Path;

use corten_sys::fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The format this version writes in each record; readers accept it and every older one.
pub(crate) const FORMAT: u32 = 1;

/// A record with a format number.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The number the record says.
    fn format(&self) -> u32;
}

/// Reads a record. One that is damaged or of a newer format is renamed to `*.damaged`, told in the
/// log, and counts as absent.
pub(crate) fn load<T: Record>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = fs::if_there(fs::read(path))? else {
        return Ok(None);
    };
    let why = match serde_json::from_slice::<T>(&bytes) {
        Ok(record) if record.format() <= FORMAT => return Ok(Some(record)),
        Ok(record) => format!("it is of the newer format {}", record.format()),
        Err(error) => error.to_string(),
    };
    set_aside(path, &why);
    Ok(None)
}

/// Renames something damaged to `*.damaged` and says so.
pub(crate) fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    tracing::warn!(path = %path.display(), why, "damaged record set aside");
    if let Err(error) = fs::rename(path, &aside) {
        tracing::warn!(%error, "the damaged record cannot be renamed");
    }
}

/// Writes a record so that a crash of ours leaves the old or the new one.
pub(crate) fn store<T: Record>(path: &Path, record: &T) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|error| Error::internal(error.to_string()))?;
    bytes.push(b'\n');
    Ok(fs::write_atomic(path, bytes)?)
}
