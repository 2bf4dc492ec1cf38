//! How an image is given out: what its manifest has beyond a configuration and layers, and the documents that follow.
//!
//! An image of the store is a configuration and layers, unpacked. Its manifest is made when it leaves, as an
//! archive or to a registry; what was asked of that manifest when the image was built is kept beside it.
//!
//! ```text
//! index                     with several platforms, or with attestations
//!  ├── manifest             annotations; layers packed as asked
//!  └── attestation manifest of it: in-toto statements as layers (moby/buildkit docs/attestations/attestation-storage.md)
//! ```

use std::collections::BTreeMap;

use corten_oci::digest::Digest;
use corten_oci::image::{Descriptor, Index, Manifest, media_type};
use corten_oci::platform::Platform;
use corten_oci::reference::Reference;
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::layers::CompressedBlob;
use crate::pack::Packing;

/// The media type of a stored form.
pub(crate) const FORM: &str = "application/vnd.corten.image.form.v1+json";
/// The media type of in-toto statements, and of stored predicates.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What else the documents of an image have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// In the manifest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub manifest: BTreeMap<String, String>,
    /// Beside the manifest's digest, where an index names it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub manifest_descriptor: BTreeMap<String, String>,
    /// In the index.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub index: BTreeMap<String, String>,
    /// Beside the index's digest, in an OCI layout.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub index_descriptor: BTreeMap<String, String>,
}

/// Something that is stated about an image: a predicate of in-toto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicate {
    /// What sort of statement it is: an address.
    pub kind: String,
    /// The JSON, as text.
    pub text: String,
}

/// What is asked of an image's manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    /// Annotations.
    pub annotations: Annotations,
    /// Whether media types are OCI's; as it comes when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<bool>,
    /// How layers are packed that are in no packed form yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packing: Option<Packing>,
    /// Whether layers that are packed in another way are packed anew.
    pub force: bool,
    /// What is stated about the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predicates: Vec<Predicate>,
}

/// A document to be given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenDocument {
    /// What points to it.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An attestation manifest with what it consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The manifest.
    pub manifest: GivenDocument,
    /// Configuration and statements.
    pub blobs: Vec<GivenDocument>,
}

impl Form {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the manifest must be OCI's, or shall be.
    fn is_oci(&self, layers: &[CompressedBlob]) -> bool {
        let needs = || {
            !self.annotations.manifest.is_empty()
                || !self.predicates.is_empty()
                || layers.iter().any(|layer| layer.media_type.ends_with("zstd"))
        };
        self.oci.unwrap_or_else(needs)
    }

    /// The manifest of a configuration and layers.
    ///
    /// # Errors
    /// Internal when it cannot be written down.
    pub fn manifest(
        &self,
        config: (Digest, u64),
        layers: &[CompressedBlob],
        platform: &Platform,
    ) -> Result<GivenDocument> {
        let mut given = match self.is_oci(layers) {
            true => self.oci_manifest(config, layers)?,
            false => docker_manifest(&config, layers)?,
        };
        given.descriptor.platform = Some(platform.clone());
        given
            .descriptor
            .annotations
            .clone_from(&self.annotations.manifest_descriptor);
        Ok(given)
    }

    pub(crate) fn oci_manifest(&self, config: (Digest, u64), layers: &[CompressedBlob]) -> Result<GivenDocument> {
        let layers = layers
            .iter()
            .map(|layer| Descriptor::new(layer_type(&layer.media_type, true), layer.digest.clone(), layer.size));
        let manifest = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: String::new(),
            config: Descriptor::new(media_type::OCI_CONFIG, config.0, config.1),
            layers: layers.collect(),
            subject: None,
            annotations: self.annotations.manifest.clone(),
        };
        Ok(GivenDocument::new(media_type::OCI_MANIFEST, pretty(&manifest)?))
    }

    /// What is stated about a manifest, under these names of the image; none when nothing is.
    ///
    /// # Errors
    /// Internal when it cannot be written down.
    pub fn attestation(
        &self,
        manifest: &GivenDocument,
        names: &[Reference],
        platform: &Platform,
    ) -> Result<Option<Attestation>> {
        if self.predicates.is_empty() {
            return Ok(None);
        }
        let subjects = subjects(&manifest.descriptor.digest, names, platform);
        let mut layers = Vec::new();
        for predicate in &self.predicates {
            let value: Value = serde_json::from_str(&predicate.text).map_err(|error| internal(&error))?;
            let statement = json!({
                "_type": "https://in-toto.io/Statement/v0.1",
                "predicateType": predicate.kind,
                "subject": subjects,
                "predicate": value,
            });
            let bytes = serde_json::to_vec(&statement).map_err(|error| internal(&error))?;
            let mut layer = GivenDocument::new(IN_TOTO, bytes);
            let noted = ("in-toto.io/predicate-type".to_owned(), predicate.kind.clone());
            layer.descriptor.annotations.extend([noted]);
            layers.push(layer);
        }
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.descriptor.digest.as_str()).collect();
        let config = json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let bytes = serde_json::to_vec(&config).map_err(|error| internal(&error))?;
        let config = GivenDocument::new(media_type::OCI_CONFIG, bytes);
        let about = Manifest {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: String::new(),
            config: config.descriptor.clone(),
            layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let mut own = GivenDocument::new(media_type::OCI_MANIFEST, pretty(&about)?);
        own.descriptor.platform = Some(Platform {
            os: "unknown".to_owned(),
            architecture: "unknown".to_owned(),
            ..Platform::default()
        });
        own.descriptor.annotations = BTreeMap::from([
            (
                "vnd.docker.reference.digest".to_owned(),
                manifest.descriptor.digest.to_string(),
            ),
            (
                "vnd.docker.reference.type".to_owned(),
                "attestation-manifest".to_owned(),
            ),
        ]);
        layers.push(config);
        Ok(Some(Attestation {
            manifest: own,
            blobs: layers,
        }))
    }

    /// The index of manifests and what is stated about them.
    ///
    /// # Errors
    /// Internal when it cannot be written down.
    pub fn index(&self, manifests: Vec<Descriptor>) -> Result<GivenDocument> {
        let own = match self.oci {
            Some(false) => media_type::DOCKER_LIST,
            _ => media_type::OCI_INDEX,
        };
        let index = Index {
            schema_version: 2,
            media_type: own.to_owned(),
            artifact_type: String::new(),
            manifests,
            subject: None,
            annotations: self.annotations.index.clone(),
        };
        let mut given = GivenDocument::new(own, pretty(&index)?);
        given
            .descriptor
            .annotations
            .clone_from(&self.annotations.index_descriptor);
        Ok(given)
    }
}

impl GivenDocument {
    /// A document of a media type.
    #[must_use]
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self {
            descriptor: Descriptor::new(media_type, Digest::sha256(&bytes), bytes.len() as u64),
            bytes,
        }
    }
}

/// Docker's schema, indented and in the order that Docker writes it (Image Manifest Version 2, Schema 2).
fn docker_manifest(config: &(Digest, u64), layers: &[CompressedBlob]) -> Result<GivenDocument> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        schema_version: u32,
        media_type: &'a str,
        config: Part<'a>,
        layers: Vec<Part<'a>>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Part<'a> {
        media_type: &'a str,
        size: u64,
        digest: &'a str,
    }
    let layers = layers.iter().map(|layer| Part {
        media_type: layer_type(&layer.media_type, false),
        size: layer.size,
        digest: layer.digest.as_str(),
    });
    let document = Document {
        schema_version: 2,
        media_type: media_type::DOCKER_MANIFEST,
        config: Part {
            media_type: media_type::DOCKER_CONFIG,
            size: config.1,
            digest: config.0.as_str(),
        },
        layers: layers.collect(),
    };
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
    document.serialize(&mut serializer).map_err(|error| internal(&error))?;
    Ok(GivenDocument::new(media_type::DOCKER_MANIFEST, bytes))
}

/// A layer's media type in a manifest's dialect.
#[must_use]
pub fn layer_type(own: &str, is_oci: bool) -> &'static str {
    /// Zstandard came with the OCI's media types; Docker's have none for it.
    const ZSTD: &str = "zstd";
    let is_plain = !own.ends_with("gzip") && !own.ends_with(ZSTD);
    match (is_oci, is_plain) {
        (true, _) if own.ends_with(ZSTD) => media_type::OCI_LAYER_ZSTD,
        (true, true) => media_type::OCI_LAYER,
        (true, false) => media_type::OCI_LAYER_GZIP,
        (false, true) => media_type::DOCKER_LAYER,
        (false, false) => media_type::DOCKER_LAYER_GZIP,
    }
}

/// What a statement is about: the manifest, by the addresses of the packages that it is (package-url, `docker`).
fn subjects(digest: &Digest, names: &[Reference], platform: &Platform) -> Vec<Value> {
    let digests = json!({digest.algorithm().as_str(): digest.hex()});
    let subject = |name: &Reference| json!({"name": package(name, platform), "digest": digests});
    match names {
        [] => vec![json!({"name": "_", "digest": digests})],
        names => names.iter().map(subject).collect(),
    }
}

/// An image's package-url.
#[must_use]
pub fn package(name: &Reference, platform: &Platform) -> String {
    let repository = name.repository().familiar().replace(':', "%3A");
    let platform = platform.to_string().replace('/', "%2F");
    match (name.tag(), name.digest()) {
        (_, Some(digest)) => format!("pkg:docker/{repository}?digest={digest}&platform={platform}"),
        (Some(tag), None) => format!("pkg:docker/{repository}@{tag}?platform={platform}"),
        (None, None) => format!("pkg:docker/{repository}@latest?platform={platform}"),
    }
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| internal(&error))
}

fn internal(error: &serde_json::Error) -> Error {
    Error::internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::image::Compression;

    fn blob(kind: &str) -> CompressedBlob {
        CompressedBlob {
            digest: Digest::sha256(kind.as_bytes()),
            size: 3,
            media_type: kind.to_owned(),
            sources: Vec::new(),
        }
    }

    fn manifest(form: &Form, layers: &[CompressedBlob]) -> GivenDocument {
        let config = (Digest::sha256(b"c"), 1);
        form.manifest(config, layers, &Platform::new("linux", "amd64", ""))
            .unwrap()
    }

    #[test]
    fn manifests_have_what_was_asked() {
        let mut form = Form::default();
        let gzip = [blob(media_type::DOCKER_LAYER_GZIP)];
        assert_eq!(
            manifest(&form, &gzip).descriptor.media_type,
            media_type::DOCKER_MANIFEST
        );
        let zstd = [blob(
            Packing {
                compression: Compression::Zstd,
                level: None,
            }
            .media_type(),
        )];
        assert_eq!(manifest(&form, &zstd).descriptor.media_type, media_type::OCI_MANIFEST);
        form.annotations.manifest.insert("a".into(), "b".into());
        form.annotations.manifest_descriptor.insert("c".into(), "d".into());
        let given = manifest(&form, &gzip);
        let read = Manifest::parse(&given.bytes).unwrap();
        assert_eq!(
            (read.annotations["a"].as_str(), read.layers[0].media_type.as_str()),
            ("b", media_type::OCI_LAYER_GZIP)
        );
        assert_eq!(given.descriptor.annotations["c"], "d");
    }

    #[test]
    fn statements_are_about_the_manifest() {
        let mut form = Form::default();
        let platform = Platform::new("linux", "amd64", "");
        let given = manifest(&form, &[]);
        assert_eq!(form.attestation(&given, &[], &platform).unwrap(), None);
        form.predicates.push(Predicate {
            kind: "https://slsa.dev/provenance/v0.2".into(),
            text: "{\"buildType\":\"x\"}".into(),
        });
        let name: Reference = "127.0.0.1:5000/app:1".parse().unwrap();
        let about = form.attestation(&given, &[name], &platform).unwrap().unwrap();
        assert!(about.manifest.descriptor.is_attestation());
        let statement: Value = serde_json::from_slice(&about.blobs[0].bytes).unwrap();
        assert_eq!(
            statement["subject"][0]["digest"]["sha256"],
            given.descriptor.digest.hex()
        );
        assert_eq!(
            statement["subject"][0]["name"],
            "pkg:docker/127.0.0.1%3A5000/app@1?platform=linux%2Famd64"
        );
        assert_eq!(statement["predicate"]["buildType"], "x");
    }
}
