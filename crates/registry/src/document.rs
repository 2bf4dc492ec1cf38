//! Manifests as clients push them: read and checked once, before anything is kept of them.
//!
//! OCI image-spec 1.1, manifest.md and image-index.md; Docker's image manifest version 2, schema 2.

use std::collections::BTreeMap;

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, MediaKind, media_type};
use serde::Deserialize;

use crate::refusal::{Code, Refusal, Result};

/// The longest manifest, in bytes (OCI distribution-spec 1.1, "Pushing Manifests").
pub(crate) const LONGEST: usize = 4 << 20;

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) media_type: String,
    /// Content that must be there before.
    pub(crate) needs: Vec<Need>,
    /// The manifest that this one is about.
    pub(crate) subject: Option<Digest>,
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The configuration, if it is a manifest.
    pub(crate) config: Option<Descriptor>,
    /// Layers of a manifest, or manifests of an index.
    pub(crate) entries: Vec<Descriptor>,
}

/// A content that a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) kind: NeedKind,
}

/// Where the content is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NeedKind {
    Blob,
    /// A manifest, or whatever an index lists.
    Manifest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
    // Of Docker's first schema, which is refused by name.
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest that its bearer calls `declared`, if anything.
    ///
    /// # Errors
    /// `MANIFEST_INVALID`: it is no manifest, or two at once, or another than it is called
    /// (CVE-2021-41190).
    pub(crate) fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self> {
        let shape: Shape =
            serde_json::from_slice(bytes).map_err(|error| invalid(format!("it cannot be read: {error}")))?;
        if shape.schema_version == 1 || shape.fs_layers.is_some() {
            return Err(invalid("schema version 1 is no longer supported"));
        }
        if shape.schema_version != 2 {
            return Err(invalid(format!(
                "its schema version is {}, not 2",
                shape.schema_version
            )));
        }
        let own = shape.media_type.as_deref().filter(|text| !text.is_empty());
        let declared = declared.map(essence).filter(|text| !text.is_empty());
        if let (Some(own), Some(declared)) = (own, declared)
            && own != declared
        {
            return Err(invalid(format!(
                "it calls itself {own:.200?} and was sent as {declared:.200?}"
            )));
        }
        let is_index = match (
            shape.manifests.is_some(),
            shape.config.is_some() || shape.layers.is_some(),
        ) {
            (true, false) => true,
            (false, true) => false,
            (true, true) => return Err(invalid("it is a manifest and an index at once")),
            (false, false) => return Err(invalid("it has neither layers nor manifests")),
        };
        let default = if is_index {
            media_type::OCI_INDEX
        } else {
            media_type::OCI_MANIFEST
        };
        let media_type = own.or(declared).unwrap_or(default).to_owned();
        check_type(&media_type, is_index, own.is_some())?;
        if !is_index && shape.config.is_none() {
            return Err(invalid("it has no configuration"));
        }
        Ok(Self::of(shape, media_type, is_index))
    }

    fn of(shape: Shape, media_type: String, is_index: bool) -> Self {
        let entries = shape.manifests.or(shape.layers).unwrap_or_default();
        let kind = if is_index { NeedKind::Manifest } else { NeedKind::Blob };
        let config = shape.config.iter();
        let needs = config
            .map(|config| (config, NeedKind::Blob))
            .chain(entries.iter().map(|entry| (entry, kind)))
            .filter(|(descriptor, _)| !is_elsewhere(descriptor))
            .map(|(descriptor, kind)| Need {
                digest: descriptor.digest.clone(),
                size: descriptor.size,
                kind,
            })
            .collect();
        let given = shape.artifact_type.filter(|text| !text.is_empty());
        // A manifest without a type of artifact has its configuration's; an index has none.
        let artifact_type = given.or_else(|| shape.config.as_ref().map(|config| config.media_type.clone()));
        Self {
            media_type,
            needs,
            subject: shape.subject.map(|subject| subject.digest),
            artifact_type: artifact_type.filter(|text| !text.is_empty()),
            annotations: shape.annotations.unwrap_or_default(),
            config: shape.config,
            entries,
        }
    }

    /// Whether it lists manifests.
    pub(crate) fn is_index(&self) -> bool {
        MediaKind::of(&self.media_type) == MediaKind::Index
    }
}

fn invalid(why: impl AsRef<str>) -> Refusal {
    Refusal::new(
        Code::ManifestInvalid,
        format!("the manifest is invalid: {}", why.as_ref()),
    )
}

/// A media type without its parameters.
fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

fn check_type(media_type: &str, is_index: bool, names_itself: bool) -> Result<()> {
    match (MediaKind::of(media_type), is_index) {
        (MediaKind::Manifest, false) | (MediaKind::Index, true) => {}
        (MediaKind::Manifest | MediaKind::Index, _) => {
            return Err(invalid(format!(
                "its content does not fit its media type {media_type:?}"
            )));
        }
        _ => {
            return Err(invalid(format!(
                "manifests of type {media_type:.200?} are not supported"
            )));
        }
    }
    let is_docker = matches!(media_type, media_type::DOCKER_MANIFEST | media_type::DOCKER_LIST);
    if is_docker && !names_itself {
        return Err(invalid("it does not name its media type, as Docker's manifests must"));
    }
    Ok(())
}

/// Layers that are kept elsewhere, and never pushed.
fn is_elsewhere(descriptor: &Descriptor) -> bool {
    const KINDS: [&str; 2] = [
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
    ];
    !descriptor.urls.is_empty() || KINDS.iter().any(|kind| descriptor.media_type.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{HASH}","size":0}}"#)
    }

    #[test]
    fn manifests_say_what_they_need() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{},{}],"subject":{},"annotations":{{"a":"b"}}}}"#,
            descriptor("application/x"),
            descriptor("application/vnd.oci.image.layer.v1.tar"),
            descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            descriptor(media_type::OCI_MANIFEST),
        );
        let document = Document::parse(text.as_bytes(), Some("application/vnd.oci.image.manifest.v1+json; x=y"));
        let document = document.expect("good");
        assert_eq!(document.media_type, media_type::OCI_MANIFEST);
        assert_eq!(document.needs.len(), 2);
        assert_eq!(document.artifact_type.as_deref(), Some("application/x"));
        assert!(document.subject.is_some() && !document.is_index());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let config = descriptor(media_type::OCI_CONFIG);
        let check = |text: &str, declared: Option<&str>, word: &str| {
            let error = Document::parse(text.as_bytes(), declared).expect_err(text);
            assert!(error.message.contains(word), "{}", error.message);
        };
        check("", None, "cannot be read");
        check("[]", None, "cannot be read");
        check(&"[".repeat(100_000), None, "cannot be read");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "version 1");
        check(r#"{"schemaVersion":2}"#, None, "neither");
        check(
            &format!(r#"{{"schemaVersion":2,"config":{config},"manifests":[]}}"#),
            None,
            "at once",
        );
        check(r#"{"schemaVersion":2,"layers":[]}"#, None, "no configuration");
        let plain = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        check(&plain, Some(media_type::OCI_INDEX), "does not fit");
        check(&plain, Some("text/plain"), "not supported");
        check(&plain, Some(media_type::DOCKER_MANIFEST), "does not name");
        let named = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
            media_type::OCI_MANIFEST
        );
        check(&named, Some(media_type::DOCKER_MANIFEST), "calls itself");
        Document::parse(named.as_bytes(), None).expect("good");
    }
}
