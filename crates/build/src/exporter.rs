//! The options of image outputs, by BuildKit's names (moby/buildkit `exporter/containerimage/exptypes`).

use std::collections::BTreeMap;

use corten_oci::image::Compression;
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use corten_store::{Annotations, Form, Packing};

use crate::attest::Attest;
use crate::error::{Error, Kind, Result};

/// What is asked of an image that is given out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options that know of yes and no, each by its own name"
)]
pub struct ImageOptions {
    /// Its names.
    pub names: Vec<Reference>,
    /// Whether it is pushed.
    pub push: bool,
    /// Whether it is pushed without a tag.
    pub by_digest: bool,
    /// Whether it does not stay with the engine when it was pushed.
    pub passes: bool,
    /// Annotations, by the platforms that they are for; empty for all.
    annotations: BTreeMap<String, Annotations>,
    oci: Option<bool>,
    packing: Option<Packing>,
    force: bool,
}

impl ImageOptions {
    /// Reads options.
    ///
    /// # Errors
    /// Invalid for what is none of them or contradicts another, Unsupported for what is not done here.
    pub fn read(options: &BTreeMap<String, String>) -> Result<Self> {
        let mut read = Self::default();
        for (name, value) in options {
            read.take(name, value)?;
        }
        if let Some(level) = options.get("compression-level") {
            read.level(level)?;
        }
        read.check()?;
        Ok(read)
    }

    /// An image with these names, and nothing else asked.
    #[must_use]
    pub fn named(names: Vec<Reference>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// The form of the image for a platform.
    #[must_use]
    pub fn form(&self, platform: &Platform) -> Form {
        let platform = platform.to_string();
        let mut annotations = Annotations::default();
        for (of, some) in &self.annotations {
            annotations.index.extend(some.index.clone());
            annotations.index_descriptor.extend(some.index_descriptor.clone());
            if of.is_empty() || *of == platform {
                annotations.manifest.extend(some.manifest.clone());
                annotations.manifest_descriptor.extend(some.manifest_descriptor.clone());
            }
        }
        Form {
            annotations,
            oci: self.oci,
            packing: self.packing,
            force: self.force,
            predicates: Vec::new(),
        }
    }

    /// Checks what can only be checked when it is known what the image is for.
    ///
    /// # Errors
    /// Invalid for annotations of an index that there is not, and of platforms that are not built.
    pub fn check_for(&self, platforms: &[Platform], attest: &Attest) -> Result<()> {
        let has_index = platforms.len() > 1 || attest.insists();
        for (of, some) in &self.annotations {
            if !of.is_empty() && !platforms.iter().any(|platform| platform.to_string() == *of) {
                let message = format!("invalid annotation: no platform {of} found in source");
                return Err(Error::invalid(message));
            }
            let is_about_index = !some.index.is_empty() || !some.index_descriptor.is_empty();
            if !has_index && is_about_index {
                return Err(Error::invalid(
                    "index annotations not supported for single platform export",
                ));
            }
        }
        if self.oci == Some(false) && attest.insists() {
            return Err(Error::invalid(
                "cannot export attestations with \"oci-mediatypes=false\"",
            ));
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        if let Some(rest) = name.strip_prefix("annotation") {
            return self.annotate(name, rest, value);
        }
        match name {
            "name" => self.names = names(value)?,
            "push" => self.push = flag(name, value)?,
            "push-by-digest" => self.by_digest = flag(name, value)?,
            "store" => self.passes = !flag(name, value)?,
            "oci-mediatypes" => self.oci = Some(flag(name, value)?),
            "compression" => self.packing = packing(value)?,
            "force-compression" => self.force = flag(name, value)?,
            "compression-level" => {}
            // Layers are kept unpacked, and times are those of SOURCE_DATE_EPOCH when it is given.
            "unpack" | "rewrite-timestamp" | "attestation-inline" | "prefer-image-digest" => {
                if !flag(name, value)? && name == "unpack" {
                    return Err(refused("unpack=false: images are kept unpacked"));
                }
            }
            "buildinfo"
            | "buildinfo-attrs"
            | "name-canonical"
            | "oci-artifact"
            | "prefer-nondist-layers"
            | "registry.insecure"
            | "danging-name-empty-only" => {
                if !value.is_empty() && value != "false" && value != "0" {
                    return Err(refused(&format!("{name}={value}")));
                }
            }
            "dangling-name-prefix" => {
                return Err(refused("dangling-name-prefix: an image without a name has its id only"));
            }
            other => return Err(refused(other)),
        }
        Ok(())
    }

    /// `annotation[-<where>][\[<platform>\]].<key>`
    fn annotate(&mut self, name: &str, rest: &str, value: &str) -> Result<()> {
        let wrong = || Error::invalid(format!("invalid annotation key {name:?}"));
        let (place, key) = match rest.split_once("].") {
            Some((place, key)) => (place, key),
            None => rest.split_once('.').ok_or_else(wrong)?,
        };
        let (kind, platform) = place.split_once('[').unwrap_or((place, ""));
        let platform = match platform {
            "" => String::new(),
            text => {
                let parsed = text.parse::<Platform>();
                parsed
                    .map_err(|error| Error::invalid(format!("{error}")))?
                    .normalized()
                    .to_string()
            }
        };
        if key.is_empty() {
            return Err(wrong());
        }
        let of_index = matches!(kind, "-index" | "-index-descriptor");
        if of_index && !platform.is_empty() {
            return Err(Error::invalid(format!(
                "{name}: annotations of an index are of no platform"
            )));
        }
        let annotations = self.annotations.entry(platform).or_default();
        let place = match kind {
            "" | "-manifest" => &mut annotations.manifest,
            "-manifest-descriptor" => &mut annotations.manifest_descriptor,
            "-index" => &mut annotations.index,
            "-index-descriptor" => &mut annotations.index_descriptor,
            _ => return Err(wrong()),
        };
        place.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn level(&mut self, text: &str) -> Result<()> {
        let packing = self.packing.get_or_insert_default();
        packing.level = Some(level(text, packing.compression)?);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let is_zstd = self
            .packing
            .is_some_and(|packing| packing.compression == Compression::Zstd);
        let is_annotated = self
            .annotations
            .values()
            .any(|annotations| *annotations != Annotations::default());
        if self.oci == Some(false) && is_zstd {
            return Err(Error::invalid(
                "exporter option \"compression=zstd\" conflicts with \"oci-mediatypes=false\"",
            ));
        }
        if self.oci == Some(false) && is_annotated {
            return Err(Error::invalid(
                "cannot export annotations with \"oci-mediatypes=false\"",
            ));
        }
        if self.by_digest && !self.push {
            return Err(Error::invalid("push-by-digest is for what is pushed: say push=true"));
        }
        if self.passes && !self.push {
            return Err(Error::invalid(
                "store=false is for what is pushed: with neither, nothing would become of the image",
            ));
        }
        if self.push && self.names.is_empty() {
            return Err(Error::invalid("tag is needed when pushing to registry"));
        }
        if self.by_digest && self.names.iter().any(|name| name.tag().is_some()) {
            return Err(Error::invalid(
                "can't push tagged ref by digest: give the name without a tag",
            ));
        }
        Ok(())
    }
}

/// Names with commas between them.
fn names(text: &str) -> Result<Vec<Reference>> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let parse = |name: &str| {
        let wrong = |error| Error::invalid(format!("invalid tag {name:?}: {error}"));
        name.parse::<Reference>().map_err(wrong)
    };
    names.map(parse).collect()
}

pub(crate) fn packing(value: &str) -> Result<Option<Packing>> {
    let compression = match value {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        "uncompressed" => Compression::None,
        "estargz" => return Err(refused("compression=estargz: layers are gzip, zstd or uncompressed")),
        other => return Err(Error::invalid(format!("unsupported compression type {other}"))),
    };
    Ok(Some(Packing {
        compression,
        level: None,
    }))
}

/// How hard layers are packed.
pub(crate) fn level(text: &str, compression: Compression) -> Result<i32> {
    let wrong = || Error::invalid(format!("non-integer value {text} specified for compression-level"));
    let level: i32 = text.parse().map_err(|_| wrong())?;
    let most = if compression == Compression::Zstd { 22 } else { 9 };
    match compression != Compression::None && (0..=most).contains(&level) {
        true => Ok(level),
        false => Err(Error::invalid(format!(
            "compression-level={level}: from 0 to 9 for gzip, and to 22 for zstd"
        ))),
    }
}

/// What Go's `strconv.ParseBool` takes.
pub(crate) fn flag(name: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::invalid(format!("non-bool value specified for {name}"))),
    }
}

fn refused(what: &str) -> Error {
    Error::new(Kind::Unsupported, format!("output option {what} is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ImageOptions> {
        let pairs = text.split(';').filter(|pair| !pair.is_empty());
        let pairs = pairs.filter_map(|pair| pair.split_once('='));
        ImageOptions::read(&pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn options_are_read() {
        let options = read("name=a:1,b;push=true;compression=zstd;compression-level=7;force-compression=1").unwrap();
        assert_eq!((options.names.len(), options.push, options.by_digest), (2, true, false));
        let form = options.form(&Platform::host());
        assert_eq!(form.packing.map(|packing| packing.level), Some(Some(7)));
        assert!(form.force);
        let options = read(
            "annotation.a=1;annotation-manifest[linux/amd64].x.y=2;annotation-manifest-descriptor.c=3;annotation-index.d=4",
        )
        .unwrap();
        let amd64 = options.form(&Platform::new("linux", "amd64", "")).annotations;
        let arm64 = options.form(&Platform::new("linux", "arm64", "")).annotations;
        assert_eq!(
            (amd64.manifest["a"].as_str(), amd64.manifest["x.y"].as_str()),
            ("1", "2")
        );
        assert_eq!(
            (arm64.manifest.len(), arm64.manifest_descriptor["c"].as_str()),
            (1, "3")
        );
        assert!(
            options
                .check_for(&[Platform::new("linux", "amd64", "")], &Attest::default())
                .is_err(),
            "no index"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for text in [
            "push=maybe",
            "push=true",
            "compression=estargz",
            "compression=lz4",
            "compression=zstd;oci-mediatypes=false",
            "annotation.a=b;oci-mediatypes=false",
            "compression-level=10",
            "compression=uncompressed;compression-level=1",
            "dangling-name-prefix=x",
            "unpack=false",
            "store=false",
            "name=a:1;push=true;push-by-digest=true",
            "nosuch=1",
            "annotation-other.a=b",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
