//! Images to test with: tiny ones made in memory, and real ones made out of Debian's packages.
//!
//! Real ones are made by the script `tests/images` into one OCI layout under the user's cache folder,
//! each when first asked for, so that quick tests need no more than busybox.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use corten_oci::digest::Digest;
use serde_json::{Value, json};

/// How a layer of a test image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// A bare tar.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Whose media types an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OCI's.
    Oci,
    /// Docker's schema 2, which knows no Zstandard.
    Docker,
}

/// A layer to be made: files by path.
#[derive(Debug, Clone)]
pub struct TestLayer {
    /// Paths (no leading slash) and contents; folders are implied.
    pub files: Vec<(String, Vec<u8>)>,
    /// How it is packed.
    pub packing: Packing,
}

impl TestLayer {
    /// A gzip layer with one file.
    pub fn file(path: &str, contents: impl Into<Vec<u8>>) -> Self {
        Self {
            files: vec![(path.into(), contents.into())],
            packing: Packing::Gzip,
        }
    }

    /// The same, packed otherwise.
    #[must_use]
    pub fn packed(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }
}

/// An image made in memory.
#[derive(Debug, Clone)]
pub struct TestImage {
    /// Configuration and layers as they are stored in a registry.
    pub blobs: Vec<Arc<[u8]>>,
    /// Digest of the configuration, which is the image's id.
    pub id: Digest,
    /// Digests of the layers as packed, lowest first.
    pub layers: Vec<Digest>,
    /// Digests of the layers' tars.
    pub diff_ids: Vec<Digest>,
    /// The manifest's media type.
    pub media_type: String,
    /// The manifest.
    pub manifest: Vec<u8>,
}

impl TestImage {
    /// An image with one layer, that has the text in the file `greeting`.
    pub fn small(text: &str) -> Self {
        Self::new(&[TestLayer::file("greeting", text)])
    }

    /// An OCI image for linux/amd64.
    pub fn new(layers: &[TestLayer]) -> Self {
        Self::with(layers, "amd64", Dialect::Oci)
    }

    /// An image for linux on the given architecture.
    pub fn with(layers: &[TestLayer], architecture: &str, dialect: Dialect) -> Self {
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar(&layer.files)).collect();
        let diff_ids: Vec<Digest> = tars.iter().map(|tar| Digest::sha256(tar)).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": layers.iter().map(|_| json!({"created_by": "test"})).collect::<Vec<_>>(),
        });
        let config = config.to_string().into_bytes();
        let id = Digest::sha256(&config);
        let (kind, config_kind) = match dialect {
            Dialect::Oci => (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
            ),
            Dialect::Docker => (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            ),
        };
        let mut blobs = Vec::new();
        let mut described = Vec::new();
        for (layer, tar) in layers.iter().zip(tars) {
            let packed = pack(&tar, layer.packing);
            described.push(describe(layer_kind(layer.packing, dialect), &packed));
            blobs.push(packed.into());
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kind,
            "config": describe(config_kind, &config),
            "layers": described,
        });
        let layers = blobs.iter().map(|blob: &Arc<[u8]>| Digest::sha256(blob)).collect();
        blobs.push(config.into());
        Self {
            blobs,
            id,
            layers,
            diff_ids,
            media_type: kind.into(),
            manifest: manifest.to_string().into_bytes(),
        }
    }

    /// The manifest's digest.
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.manifest)
    }

    /// The entry for an index that leads here.
    pub fn entry(&self, architecture: &str, variant: &str) -> Value {
        let mut entry = describe(&self.media_type, &self.manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        if !variant.is_empty() {
            entry["platform"]["variant"] = variant.into();
        }
        entry
    }
}

/// The media type of an OCI index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An OCI index of such entries.
pub fn index(entries: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
        .to_string()
        .into_bytes()
}

fn describe(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len()})
}

fn layer_kind(packing: Packing, dialect: Dialect) -> &'static str {
    match (dialect, packing) {
        (Dialect::Oci, Packing::Plain) => "application/vnd.oci.image.layer.v1.tar",
        (Dialect::Oci, Packing::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
        (Dialect::Oci, Packing::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
        (Dialect::Docker, Packing::Plain) => "application/vnd.docker.image.rootfs.diff.tar",
        (Dialect::Docker, Packing::Gzip | Packing::Zstd) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
}

fn pack(tar: &[u8], packing: Packing) -> Vec<u8> {
    use std::io::Write as _;
    match packing {
        Packing::Plain => tar.to_vec(),
        Packing::Gzip => {
            let level = flate2::Compression::new(1);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(tar).expect("memory");
            encoder.finish().expect("memory")
        }
        Packing::Zstd => zstd::encode_all(tar, 1).expect("memory"),
    }
}

/// A tar (ustar) of files by path.
pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, contents) in files {
        tar.extend_from_slice(&tar_header(path, contents.len()));
        tar.extend_from_slice(contents);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn tar_header(path: &str, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "14545000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\u{0}00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Bytes that do not compress, always the same for a seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The OCI layout with at least these real images (`busybox:latest`, `nginx:alpine`, …; `tests/images`
/// has the list), which are made if they are not there. Making needs root, and a Debian mirror for all
/// but busybox and alpine.
///
/// # Panics
/// When an image cannot be made.
pub fn real(names: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
    let output = Command::new(&script)
        .arg("make")
        .args(names)
        .stdin(Stdio::null())
        .output()
        .expect("tests/images runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} failed: {errors}", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_reproducible() {
        assert_eq!(noise(20, 1), noise(20, 1));
        assert_ne!(noise(20, 1), noise(20, 2));
    }

    #[test]
    fn tars_are_whole_blocks_with_valid_sums() {
        let tar = tar(&[("a/b".into(), b"hello".to_vec())]);
        assert_eq!(tar.len(), 512 + 512 + 1024);
        assert_eq!(&tar[512..517], b"hello");
        let sum: u32 = tar[..512]
            .iter()
            .enumerate()
            .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        assert_eq!(&tar[148..154], format!("{sum:06o}").as_bytes());
    }
}
