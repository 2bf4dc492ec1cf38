//! An OCI layout as a tar, of documents and packed layers.

use std::collections::BTreeSet;
use std::io::{self, Write};

use corten_oci::digest::Digest;

use crate::error::Result;
use crate::form::GivenDocument;
use crate::pack::PackedFile;
use crate::tar::{Entry, EntryKind, Time, Writer};

/// Writes an OCI layout (image-layout.md) as a tar.
///
/// # Errors
/// When it cannot be written.
pub fn write_layout(
    documents: Vec<GivenDocument>,
    layers: Vec<PackedFile>,
    index: &[u8],
    out: &mut dyn Write,
) -> Result<()> {
    let mut tar = Writer::new(out);
    for folder in ["blobs/", "blobs/sha256/"] {
        let entry = Entry::new(folder.as_bytes(), EntryKind::Folder, 0o755);
        tar.entry(&entry, &mut io::empty())?;
    }
    let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
    let mut written = BTreeSet::new();
    for document in documents {
        if written.insert(document.descriptor.digest.clone()) {
            let path = path(&document.descriptor.digest);
            tar.file(&path, 0o644, Time::default(), &document.bytes)?;
        }
    }
    for layer in layers {
        if written.insert(layer.blob.digest.clone()) {
            let path = path(&layer.blob.digest);
            let mut entry = Entry::new(path.as_bytes(), EntryKind::File, 0o644);
            entry.size = layer.blob.size;
            tar.entry(&entry, &mut io::BufReader::with_capacity(128 << 10, layer.file))?;
        }
    }
    tar.file("index.json", 0o644, Time::default(), index)?;
    let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
    tar.file("oci-layout", 0o644, Time::default(), version)?;
    tar.finish()?;
    Ok(())
}
