//! Configs and secrets that no file holds: their contents are put into the container as an archive.

use corten_tar::{Entry, EntryKind, Writer};

use super::mounts;
use crate::{
    error::{Error, Result},
    model::{FileMount, FileObject, Project, Service},
};

/// Whether a service has configs or secrets that [`archive`] holds.
pub fn has_content(project: &Project, service: &Service) -> bool {
    let configs = service
        .configs
        .iter()
        .filter_map(|file| project.configs.get(&file.source));
    let secrets = service
        .secrets
        .iter()
        .filter_map(|file| project.secrets.get(&file.source));
    let mut objects = configs.map(|object| &object.0).chain(secrets.map(|object| &object.0));
    objects.any(|object| object.file.is_empty())
}

/// The archive of a service's configs and secrets that no file holds, for the root of its container.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound): the variable that one comes from is not set.
pub fn archive(project: &Project, service: &Service) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let failed = |error: &dyn std::fmt::Display| Error::unavailable(format!("cannot write an archive: {error}"));
    for (file, target, object) in mounts::files(project, service)? {
        if !object.file.is_empty() {
            continue;
        }
        let content = content(project, &file.source, object)?;
        let entry = entry(file, &target, &content)?;
        writer
            .entry(&entry, &mut content.as_bytes())
            .map_err(|error| failed(&error))?;
    }
    writer.finish().map_err(|error| failed(&error))?;
    Ok(bytes)
}

fn content(project: &Project, name: &str, object: &FileObject) -> Result<String> {
    if object.environment.is_empty() || !object.content.is_empty() {
        return Ok(object.content.clone());
    }
    let value = project.environment.get(&object.environment);
    value.cloned().ok_or_else(|| {
        Error::not_found(format!(
            "environment variable {:?} required by file {name:?} is not set",
            object.environment
        ))
    })
}

fn entry(file: &FileMount, target: &str, content: &str) -> Result<Entry> {
    let number = |text: &str| match text {
        "" => Ok(0),
        text => text
            .parse::<u32>()
            .map_err(|_| Error::invalid(format!("invalid owner {text:?} of {}", file.source))),
    };
    let mode = file.mode.map_or(0o444, |mode| u32::try_from(mode.0).unwrap_or(0o444));
    let mut entry = Entry::new(target.trim_start_matches('/').as_bytes(), EntryKind::File, mode);
    entry.size = content.len() as u64;
    (entry.uid, entry.gid) = (number(&file.uid)?, number(&file.gid)?);
    Ok(entry)
}
