//! What is stated about an image (`--attest`, moby/buildkit docs/attestations): where it comes from, and what is in it.

mod copyright;
mod packages;
mod provenance;

use std::collections::BTreeMap;

use corten_dockerfile::Dockerfile;
use corten_oci::digest::Digest;
use corten_store::Predicate;
use jiff::Timestamp;

use crate::builder::Shared;
use crate::error::{Error, Kind, Result};
use crate::output::Product;

pub(crate) use provenance::Material;

/// What is to be stated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attest {
    /// Where the image comes from.
    pub provenance: Option<Provenance>,
    /// Whether the packages that are in it are listed.
    pub sbom: bool,
}

/// How the provenance is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Whether arguments and the Dockerfile are told as well (`mode=max`).
    pub max: bool,
    /// Whether it is SLSA's version 1, and not 0.2.
    pub v1: bool,
    /// Whether it goes with images only, and not into archives.
    pub inline_only: bool,
    /// Who builds, as an address.
    pub builder: String,
    /// What is said of reproducibility.
    pub reproducible: bool,
}

/// Something that is stated about a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) predicate: Predicate,
    pub(crate) inline_only: bool,
}

impl Attest {
    /// Reads what is asked for, by kinds: `provenance` as `mode=max,version=v1`, `sbom`.
    ///
    /// # Errors
    /// Invalid for what is unknown, Unsupported for what is not done here.
    pub fn read(asked: &BTreeMap<String, String>) -> Result<Self> {
        let mut read = Self::default();
        for (kind, text) in asked {
            let fields = fields(kind, text)?;
            if fields.get("disabled").is_some_and(|value| value == "true") {
                continue;
            }
            match kind.as_str() {
                "provenance" => read.provenance = Some(Provenance::read(&fields)?),
                "sbom" => {
                    read.sbom = true;
                    if let Some(name) = fields.keys().find(|name| name.as_str() != "disabled") {
                        return Err(refused(&format!(
                            "sbom option {name}: the list is made of the image's package databases"
                        )));
                    }
                }
                other => return Err(refused(&format!("type {other:?}"))),
            }
        }
        Ok(read)
    }

    /// Whether an image gets something that is not only for images here.
    #[must_use]
    pub fn insists(&self) -> bool {
        self.sbom
            || self
                .provenance
                .as_ref()
                .is_some_and(|provenance| !provenance.inline_only)
    }
}

impl Provenance {
    fn read(fields: &BTreeMap<String, String>) -> Result<Self> {
        let mut read = Self::default();
        for (name, value) in fields {
            let wrong = || Error::invalid(format!("invalid provenance option {name}={value}"));
            match (name.as_str(), value.as_str()) {
                ("mode", "min" | "") => {}
                ("mode", "max") => read.max = true,
                ("version", "v0.2") => read.v1 = false,
                ("version", "v1") => read.v1 = true,
                ("inline-only", text) => read.inline_only = text == "true",
                ("reproducible", text) => read.reproducible = text == "true",
                ("builder-id", text) => read.builder = text.to_owned(),
                ("disabled", _) => {}
                ("mode" | "version", _) => return Err(wrong()),
                (other, _) => return Err(refused(&format!("provenance option {other}"))),
            }
        }
        Ok(read)
    }
}

/// `name=value,…`
fn fields(kind: &str, text: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for field in text.split(',').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, "true"));
        match (name, value) {
            ("true", "true") => {}
            ("false", "true") => drop(found.insert("disabled".to_owned(), "true".to_owned())),
            // `type=` says what is known already.
            ("type", value) if value == kind => {}
            _ => drop(found.insert(name.to_owned(), value.to_owned())),
        }
    }
    Ok(found)
}

fn refused(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("attestation {what} is not supported"))
}

/// Says of a product what was asked for.
pub(crate) fn state(
    shared: &Shared<'_>,
    file: &Dockerfile,
    product: &Product,
    materials: &[Material],
    began: Timestamp,
) -> Result<Vec<Stated>> {
    let attest = &shared.request.attest;
    let mut stated = Vec::new();
    if attest.sbom {
        stated.push(Stated {
            predicate: packages::predicate(shared, product)?,
            inline_only: false,
        });
    }
    if let Some(asked) = &attest.provenance {
        let about = provenance::About {
            request: shared.request,
            file,
            platform: &product.platform,
            materials,
            began,
            id: invocation(&product.id, began),
        };
        stated.push(Stated {
            predicate: about.predicate(asked)?,
            inline_only: asked.inline_only,
        });
    }
    Ok(stated)
}

/// A name for this run of the build.
fn invocation(id: &Digest, began: Timestamp) -> String {
    let digest = Digest::sha256(format!("{id} {began}").as_bytes());
    digest.hex().get(..25).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, text: &str) -> Result<Attest> {
        Attest::read(&[(kind.to_owned(), text.to_owned())].into())
    }

    #[test]
    fn what_is_asked_is_read() {
        let provenance = |text: &str| read("provenance", text).unwrap().provenance;
        assert_eq!(provenance("true"), Some(Provenance::default()));
        assert_eq!(provenance("false"), None);
        let max = provenance("mode=max,version=v1,builder-id=https://b").unwrap();
        assert!(max.max && max.v1 && max.builder == "https://b");
        assert!(!read("provenance", "mode=min,inline-only=true").unwrap().insists());
        assert!(read("sbom", "true").unwrap().sbom && !read("sbom", "disabled=true").unwrap().sbom);
        for (kind, text) in [
            ("sbom", "generator=x"),
            ("provenance", "mode=all"),
            ("provenance", "version=v2"),
            ("provenance", "capture=x"),
            ("other", ""),
        ] {
            assert!(read(kind, text).is_err(), "{kind} {text}");
        }
    }
}
