//! Image documents: descriptors, manifests, indexes and configurations, as OCI and Docker write them.
//!
//! OCI image-spec 1.1 (descriptor.md, manifest.md, image-index.md, config.md) and Docker image
//! manifest version 2, schema 2. The types here are for reading and for writing new documents;
//! documents that came from elsewhere are kept and passed on as bytes, because their digest is over
//! those. Fields nobody here knows are accepted and ignored.

mod config;
mod manifest;
mod media;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, Document, Index, Manifest};
pub use media::{Compression, MediaKind, media_type};

/// Limits on documents from outside.
pub mod limits {
    /// Bytes of a manifest or an index; registries allow 4 MiB.
    pub const MANIFEST_BYTES: usize = 4 << 20;
    /// Bytes of an image configuration.
    pub const CONFIG_BYTES: usize = 8 << 20;
    /// Layers of an image. Overlay takes at most 500 lower folders.
    pub const LAYERS: usize = 500;
    /// Manifests of an index.
    pub const MANIFESTS: usize = 4096;
    /// History entries of a configuration.
    pub const HISTORY: usize = 8192;
}

/// Why bytes are no acceptable document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Larger than the limit for its kind.
    #[error("{what} is {size} bytes long, and {limit} is the most allowed")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not JSON of the right shape.
    #[error("invalid {what}: {error}")]
    Json {
        /// Which document.
        what: &'static str,
        /// Where and why.
        error: serde_json::Error,
    },
    /// More entries than allowed.
    #[error("{what} has {count} {entries}, and {limit} is the most allowed")]
    TooMany {
        /// Which document.
        what: &'static str,
        /// Entries of what.
        entries: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Well-formed, yet contradicting itself or the specification.
    #[error("invalid {what}: {why}")]
    Inconsistent {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// Go writes nil slices, maps and strings of pointers as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn json<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DocumentError> {
    serde_json::from_slice(bytes).map_err(|error| DocumentError::Json { what, error })
}

fn check_size(what: &'static str, bytes: &[u8], limit: usize) -> Result<(), DocumentError> {
    if bytes.len() > limit {
        return Err(DocumentError::TooLarge {
            what,
            size: bytes.len(),
            limit,
        });
    }
    Ok(())
}

fn check_count(what: &'static str, entries: &'static str, count: usize, limit: usize) -> Result<(), DocumentError> {
    if count > limit {
        return Err(DocumentError::TooMany {
            what,
            entries,
            count,
            limit,
        });
    }
    Ok(())
}

fn check_schema(what: &'static str, version: u32) -> Result<(), DocumentError> {
    if version == 2 {
        return Ok(());
    }
    Err(DocumentError::Inconsistent {
        what,
        why: format!("schema version {version} is not supported"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest_text(extra: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{EMPTY}","size":2}},"layers":null{extra}}}"#,
            media_type::OCI_CONFIG
        )
    }

    #[test]
    fn documents_are_told_apart() {
        let manifest = manifest_text("");
        assert!(matches!(
            Document::parse(manifest.as_bytes(), None),
            Ok(Document::Manifest(_))
        ));
        let index = br#"{"schemaVersion":2,"manifests":[],"new":{"unknown":[1]}}"#;
        assert!(matches!(
            Document::parse(index, Some(media_type::DOCKER_LIST)),
            Ok(Document::Index(_))
        ));
    }

    #[test]
    fn ambiguous_and_contradicting_documents_are_refused() {
        fn check(text: &str, declared: Option<&str>, expected: &str) {
            let error = Document::parse(text.as_bytes(), declared).expect_err(text).to_string();
            assert!(error.contains(expected), "{error}");
        }
        check(&manifest_text(r#","manifests":[]"#), None, "at once");
        check(&manifest_text(""), Some(media_type::OCI_INDEX), "does not fit");
        check(
            &manifest_text(r#","mediaType":"application/vnd.oci.image.index.v1+json""#),
            None,
            "does not fit",
        );
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, None, "schema version 1");
        check("{}", None, "neither");
        check("[1]", None, "invalid manifest");
        check(&" ".repeat(limits::MANIFEST_BYTES + 1), None, "the most allowed");
    }

    #[test]
    fn a_docker_configuration_with_nulls_is_read() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Hostname":"","Env":null,"Cmd":["sh"],
            "Entrypoint":null,"Volumes":null,"Labels":null,"OnBuild":null,"ExposedPorts":{"80/tcp":{}},
            "Healthcheck":{"Test":["CMD","true"],"Interval":1000000000}},
            "rootfs":{"type":"layers","diff_ids":null},"history":[{"empty_layer":true}],"container_config":{}}"#;
        let config = ImageConfig::parse(text.as_bytes()).expect("good");
        assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(config.config.entrypoint, None);
        assert!(config.config.exposed_ports.contains_key("80/tcp"));
        assert!(config.history[0].empty_layer);
        assert_eq!(config.platform().to_string(), "linux/amd64");
    }

    #[test]
    fn media_types_are_classified() {
        assert_eq!(
            MediaKind::of("application/vnd.oci.image.index.v1+json; charset=utf-8"),
            MediaKind::Index
        );
        assert_eq!(
            MediaKind::of(media_type::OCI_LAYER_ZSTD),
            MediaKind::Layer(Compression::Zstd)
        );
        assert_eq!(
            MediaKind::of(media_type::DOCKER_LAYER_GZIP),
            MediaKind::Layer(Compression::Gzip)
        );
        assert_eq!(MediaKind::of("text/plain"), MediaKind::Other);
    }
}
