//! How much room things take, agreeing with du: every file counted once, in blocks.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use corten_sys::fs;

use crate::error::Result;
use crate::images::ImageId;
use crate::store::Store;

/// Room a tree takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of its files by their lengths, as Docker counts.
    pub bytes: u64,
    /// Bytes on disk, as du counts.
    pub disk: u64,
    /// Files, folders and the rest.
    pub inodes: u64,
}

/// Room the store takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskUsage {
    /// Bytes of all layers' files, each layer once: Docker's `LayersSize`.
    pub layers_size: u64,
    /// Bytes of all layers on disk, as du counts.
    pub layers_disk: u64,
    /// Each image's share.
    pub images: Vec<ImageUsage>,
    /// Bytes of downloads that were cut and can be resumed.
    pub downloads: u64,
}

/// An image's share of the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub id: ImageId,
    /// Bytes of all its layers' files.
    pub size: u64,
    /// Bytes of those of them that other images use too.
    pub shared: u64,
}

/// Measures a tree, not following symbolic links; what vanishes meanwhile counts nothing.
pub(crate) fn of_tree(root: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut seen = HashSet::new();
    let mut folders = vec![root.to_path_buf()];
    if let Some(metadata) = fs::if_there(fs::symlink_metadata(root))? {
        usage.disk += metadata.blocks() * 512;
        usage.inodes += 1;
    }
    while let Some(folder) = folders.pop() {
        let Some(entries) = fs::if_there(fs::read_dir(&folder))? else {
            continue;
        };
        for entry in entries {
            let Ok(metadata) = entry
                .as_ref()
                .map_err(|_| ())
                .and_then(|e| e.metadata().map_err(|_| ()))
            else {
                continue;
            };
            if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            usage.disk += metadata.blocks() * 512;
            usage.inodes += 1;
            if metadata.is_dir() {
                folders.extend(entry.map(|entry| entry.path()));
            } else if metadata.is_file() {
                usage.bytes += metadata.len();
            }
        }
    }
    Ok(usage)
}

impl Store {
    /// Tells how much room layers and images take.
    ///
    /// # Errors
    /// Internal when the data root cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let layers = self.layers().list();
        let images = self.images().list();
        let mut users = std::collections::HashMap::new();
        for image in &images {
            for layer in image.layers().iter().collect::<HashSet<_>>() {
                *users.entry(layer.clone()).or_insert(0_u32) += 1;
            }
        }
        let sizes: std::collections::HashMap<_, _> =
            layers.iter().map(|layer| (layer.diff_id(), layer.size())).collect();
        let size_of = |layer: &corten_oci::digest::Digest| sizes.get(layer).copied().unwrap_or(0);
        let shares = images.iter().map(|image| ImageUsage {
            id: image.id().clone(),
            size: image.layers().iter().map(size_of).sum(),
            shared: image
                .layers()
                .iter()
                .filter(|layer| users.get(*layer).is_some_and(|n| *n > 1))
                .map(size_of)
                .sum(),
        });
        Ok(DiskUsage {
            layers_size: layers.iter().map(super::layers::Layer::size).sum(),
            layers_disk: layers.iter().map(super::layers::Layer::disk_size).sum(),
            images: shares.collect(),
            downloads: of_tree(&self.downloads())?.bytes,
        })
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.inner.image.join("downloads")
    }
}
