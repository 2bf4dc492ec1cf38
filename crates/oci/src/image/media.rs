//! What bytes are: media types, and what they stand for.

use serde::{Deserialize, Serialize};

/// Names of what bytes are.
pub mod media_type {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, a plain tar.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// OCI's empty JSON object, in artifacts without a configuration.
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image manifest, schema 1 (signed); recognised to be refused.
    pub const DOCKER_MANIFEST_V1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker plugin configuration.
    pub const DOCKER_PLUGIN_CONFIG: &str = "application/vnd.docker.plugin.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, plain.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

/// What a media type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// An image manifest.
    Manifest,
    /// An index, or manifest list.
    Index,
    /// An image configuration.
    Config,
    /// A layer.
    Layer(Compression),
    /// A manifest of the abandoned first schema.
    ManifestV1,
    /// Something else (an artifact, a plugin, a foreign layer).
    Other,
}

impl MediaKind {
    /// Classifies a media type; parameters (`; charset=utf-8`) are ignored.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        let name = media_type.split(';').next().unwrap_or_default().trim();
        match name {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => Self::Manifest,
            media_type::OCI_INDEX | media_type::DOCKER_LIST => Self::Index,
            media_type::OCI_CONFIG | media_type::DOCKER_CONFIG => Self::Config,
            media_type::DOCKER_MANIFEST_V1 | "application/vnd.docker.distribution.manifest.v1+json" => Self::ManifestV1,
            media_type::DOCKER_LAYER_GZIP => Self::Layer(Compression::Gzip),
            media_type::DOCKER_LAYER => Self::Layer(Compression::None),
            media_type::DOCKER_LAYER_ZSTD => Self::Layer(Compression::Zstd),
            _ => oci_layer(name),
        }
    }
}

/// OCI layers, the deprecated non-distributable ones included.
fn oci_layer(name: &str) -> MediaKind {
    let rest = name
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| name.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    match rest {
        Some("") => MediaKind::Layer(Compression::None),
        Some("+gzip") => MediaKind::Layer(Compression::Gzip),
        Some("+zstd") => MediaKind::Layer(Compression::Zstd),
        Some(_) | None => MediaKind::Other,
    }
}
