//! `--cache-from` and `--cache-to`.

use std::{collections::BTreeMap, path::PathBuf};

use corten_sys::fs;

use super::{
    order::Named,
    outputs::{self, Destination},
};
use crate::{
    error::{Error, Result},
    flags::Matches,
};

/// Kinds of caches that are kept by services of others.
const SERVICES: &[&str] = &["gha", "s3", "azblob"];

/// Where cached steps come from and go.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// Images, and caches at registries.
    pub(super) images: Vec<String>,
    /// Folders.
    pub(super) from: Vec<BTreeMap<String, String>>,
    /// Those folders, as contexts.
    pub(super) folders: Vec<(String, Named)>,
    /// Where steps go.
    pub(super) to: Vec<BTreeMap<String, String>>,
}

impl Caches {
    /// Reads the flags. What the engine sends for a folder is one more output.
    pub(super) fn read(m: &Matches, destinations: &mut Vec<Destination>) -> Result<Self> {
        let mut found = Self::default();
        for text in m.all("cache-from") {
            found.from(text)?;
        }
        for text in m.all("cache-to") {
            found.to(text, destinations)?;
        }
        Ok(found)
    }

    fn from(&mut self, text: &str) -> Result<()> {
        let mut fields = fields(text, "--cache-from")?;
        match fields.get("type").map_or("registry", String::as_str) {
            "registry" => {
                let name = fields.remove("ref").filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| Error::new("cache-from of type registry needs ref=…"))?;
                self.images.push(name);
            }
            "local" => {
                let folder = fields.get("src").filter(|path| !path.is_empty());
                let folder = folder.ok_or_else(|| Error::new("local cache importer requires src"))?;
                let folder = PathBuf::from(folder);
                if !folder.join("index.json").is_file() {
                    // As BuildKit: a cache that is not there yet is none.
                    return Ok(());
                }
                let name = format!("corten-cache-{}", self.folders.len());
                self.folders.push((name.clone(), Named::Folder(folder)));
                fields.insert("context".to_owned(), name);
                self.from.push(fields);
            }
            other => return Err(refused("--cache-from", other)),
        }
        Ok(())
    }

    fn to(&mut self, text: &str, destinations: &mut Vec<Destination>) -> Result<()> {
        let mut fields = fields(text, "--cache-to")?;
        let kind = fields.entry("type".to_owned()).or_insert_with(|| "registry".to_owned());
        match kind.as_str() {
            "inline" => {}
            "registry" => {
                if fields.get("ref").is_none_or(String::is_empty) {
                    return Err(Error::new("registry cache exporter requires ref"));
                }
            }
            "local" => {
                let folder = fields.get("dest").filter(|path| !path.is_empty()).cloned();
                let folder = folder.ok_or_else(|| Error::new("local cache exporter requires dest"))?;
                let folder = PathBuf::from(folder);
                fs::create_dir_all(&folder).map_err(|error| Error::new(error.to_string()))?;
                if let Ok(index) = fs::read_to_string(folder.join("index.json")) {
                    fields.insert("index".to_owned(), index);
                }
                fields.insert("number".to_owned(), destinations.len().to_string());
                destinations.push(Destination::Folder(folder));
            }
            other => return Err(refused("--cache-to", other)),
        }
        self.to.push(fields);
        Ok(())
    }
}

fn fields(text: &str, flag: &str) -> Result<BTreeMap<String, String>> {
    if !text.contains('=') {
        return Ok([("ref".to_owned(), text.to_owned())].into());
    }
    outputs::fields(text).map_err(|error| Error::new(format!("{flag} {text}: {}", error.message)))
}

fn refused(flag: &str, kind: &str) -> Error {
    match SERVICES.contains(&kind) {
        true => Error::new(format!(
            "{flag} type={kind} is not supported: try local, inline or registry"
        )),
        false => Error::new(format!("{flag}: unknown type {kind:?}: try local, inline or registry")),
    }
}
