//! What is about to be made for a container: anonymous volumes, noted before they are made, so that an
//! engine that dies before their container is recorded leaves none behind.

use std::path::Path;

use super::mounts::{Needs, Wanted};
use crate::{
    error::{Error, Result},
    identifiers,
    volumes::{ANONYMOUS, Volumes},
};

/// The note in the container's folder.
const FILE: &str = "volumes.json";

/// Names the volumes that nobody named, and notes the names.
pub(super) fn name_volumes(folder: &Path, mut wanted: Vec<Wanted>) -> Result<Vec<Wanted>> {
    let mut names = Vec::new();
    for Wanted { record, needs } in &mut wanted {
        if let Needs::Volume { labels, .. } = needs
            && record.point.name.is_empty()
        {
            record.point.name = identifiers::random();
            labels.insert(ANONYMOUS.to_owned(), String::new());
            names.push(record.point.name.clone());
        }
    }
    if !names.is_empty() {
        let note = serde_json::to_vec(&names).map_err(|e| Error::internal("cannot note volumes").source(e))?;
        corten_sys::fs::write(folder.join(FILE), note)?;
    }
    Ok(wanted)
}

/// Forgets the note: the container's record has the names now.
pub(super) fn done(folder: &Path) -> Result<()> {
    corten_sys::fs::if_there(corten_sys::fs::remove_file(folder.join(FILE)))?;
    Ok(())
}

/// Removes the volumes that were noted for a container that is not there.
pub(super) fn undo(folder: &Path, volumes: &Volumes) {
    let Ok(note) = corten_sys::fs::read(folder.join(FILE)) else {
        return;
    };
    let names: Vec<String> = serde_json::from_slice(&note).unwrap_or_default();
    for name in names {
        if let Err(error) = volumes.discard(&name) {
            tracing::warn!(
                volume = name,
                error = error.report(),
                "cannot remove the volume of a container that was not made"
            );
        }
    }
}
