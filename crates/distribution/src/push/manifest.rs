//! The manifest of a pushed image (Image Manifest Version 2, Schema 2; OCI image-spec, manifest.md).

use std::io;

use corten_oci::image::{Descriptor, media_type};
use corten_store::CompressedBlob;
use serde::{Deserialize, Serialize};
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::error::{Error, Kind, Result};

/// Zstandard came with the OCI's media types; Docker's have none for it.
const ZSTD: &str = "zstd";

/// A manifest as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
}

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

impl Manifest {
    /// Writes the manifest: Docker's schema, unless a layer's form needs the OCI's.
    pub(super) fn new(config: &Descriptor, layers: &[CompressedBlob]) -> Result<Self> {
        let is_oci = layers.iter().any(|layer| layer.media_type.ends_with(ZSTD));
        let (own, configuration) = match is_oci {
            true => (media_type::OCI_MANIFEST, media_type::OCI_CONFIG),
            false => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
        };
        let document = Document {
            schema_version: 2,
            media_type: own,
            config: Part {
                media_type: configuration,
                size: config.size,
                digest: config.digest.as_str(),
            },
            layers: layers
                .iter()
                .map(|layer| Part {
                    media_type: layer_type(&layer.media_type, is_oci),
                    size: layer.size,
                    digest: layer.digest.as_str(),
                })
                .collect(),
        };
        Ok(Self {
            media_type: own.to_owned(),
            bytes: written(&document)?,
        })
    }

    /// Whether its layers are these, in their order.
    pub(super) fn names(&self, layers: &[CompressedBlob]) -> bool {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            layers: Vec<Descriptor>,
        }
        serde_json::from_slice::<Named>(&self.bytes).is_ok_and(|named| {
            named.layers.len() == layers.len()
                && named
                    .layers
                    .iter()
                    .zip(layers)
                    .all(|(own, layer)| own.digest == layer.digest)
        })
    }
}

/// A layer's media type in the manifest's dialect.
fn layer_type(own: &str, is_oci: bool) -> &str {
    let is_plain = !own.ends_with("gzip") && !own.ends_with(ZSTD);
    match (is_oci, is_plain) {
        (true, _) if own.ends_with(ZSTD) => media_type::OCI_LAYER_ZSTD,
        (true, true) => media_type::OCI_LAYER,
        (true, false) => media_type::OCI_LAYER_GZIP,
        (false, true) => media_type::DOCKER_LAYER,
        (false, false) => media_type::DOCKER_LAYER_GZIP,
    }
}

/// JSON as Docker indents its manifests.
fn written(document: &Document<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"   "));
    document
        .serialize(&mut serializer)
        .map_err(|error| Error::new(Kind::Internal, "writing the manifest").with_source(io::Error::from(error)))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_oci::digest::Digest;

    fn blob(kind: &str, bytes: &[u8]) -> CompressedBlob {
        CompressedBlob {
            digest: Digest::sha256(bytes),
            size: 3,
            media_type: kind.to_owned(),
            sources: Vec::new(),
        }
    }

    #[test]
    fn docker_s_schema_unless_a_layer_needs_the_oci_s() {
        let config = Descriptor::new("x", Digest::sha256(b"config"), 7);
        let gzip = [blob(media_type::OCI_LAYER_GZIP, b"a")];
        let manifest = Manifest::new(&config, &gzip).unwrap();
        assert_eq!(manifest.media_type, media_type::DOCKER_MANIFEST);
        let text = String::from_utf8(manifest.bytes.clone()).unwrap();
        assert!(
            text.starts_with("{\n   \"schemaVersion\": 2,\n   \"mediaType\""),
            "{text}"
        );
        assert!(text.contains(media_type::DOCKER_LAYER_GZIP), "{text}");
        assert!(manifest.names(&gzip));
        let mixed = [
            blob(media_type::OCI_LAYER_ZSTD, b"b"),
            blob(media_type::DOCKER_LAYER_GZIP, b"a"),
        ];
        let manifest = Manifest::new(&config, &mixed).unwrap();
        assert_eq!(manifest.media_type, media_type::OCI_MANIFEST);
        assert!(!manifest.names(&gzip));
    }
}
