//! Collecting what nothing refers to, while everything goes on.
//!
//! Roots are images, containers' roots and living leases. What is to go is decided and taken out of
//! the tables under one lock, renamed away, and deleted in the background.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use corten_oci::digest::Digest;
use corten_sys::fs;
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::store::{Inner, State, Store};

/// What to collect.
#[derive(Debug, Clone, Copy)]
pub struct GcOptions {
    /// Layers put in less than this ago stay, so that a pull that was cut can go on. Default 0.
    pub keep_layers: Duration,
    /// Downloads touched less than this ago stay. Default 7 days.
    pub keep_downloads: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            keep_layers: Duration::ZERO,
            keep_downloads: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What was collected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Diff ids of deleted layers.
    pub layers: Vec<Digest>,
    /// Bytes given back, by files' lengths.
    pub bytes: u64,
    /// Deleted downloads.
    pub downloads: usize,
    /// Deleted documents.
    pub documents: usize,
}

/// What to do with damage that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Tell only.
    Report,
    /// Drop damaged layers, so that a pull fetches them again.
    Drop,
}

/// A damaged layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its diff id.
    pub layer: Digest,
    /// Images that have it.
    pub images: Vec<Digest>,
    /// What is wrong.
    pub why: String,
}

/// Takes those of the candidates out that nothing refers to, and throws them away.
pub(crate) fn collect_layers<'a>(
    store: &Arc<Inner>,
    state: &mut State,
    candidates: impl Iterator<Item = &'a Digest>,
) -> Result<GcReport> {
    let mut report = GcReport::default();
    let kept: HashSet<Digest> = referred(state);
    for diff_id in candidates.filter(|candidate| !kept.contains(*candidate)) {
        if let Some(layer) = state.layers.remove(diff_id) {
            store.throw_away(layer.folder())?;
            report.bytes += layer.size();
            report.layers.push(diff_id.clone());
        }
    }
    Ok(report)
}

fn referred(state: &State) -> HashSet<Digest> {
    let snapshots = state.snapshots.all().flat_map(|snapshot| &snapshot.layers);
    state
        .images
        .layers()
        .into_iter()
        .chain(snapshots)
        .chain(state.leases.all())
        .cloned()
        .collect()
}

impl Store {
    /// Deletes layers, documents and old downloads that nothing refers to.
    ///
    /// # Errors
    /// Internal when the data root cannot be read or written.
    pub fn gc(&self, options: GcOptions) -> Result<GcReport> {
        let mut state = self.inner.state();
        let old = |created: Timestamp| Timestamp::now().duration_since(created).unsigned_abs() >= options.keep_layers;
        let layers = state.layers.by_diff_id.values();
        let candidates: Vec<Digest> = layers
            .filter(|layer| old(layer.record().created))
            .map(|layer| layer.diff_id().clone())
            .collect();
        let mut report = collect_layers(&self.inner, &mut state, candidates.iter())?;
        report.documents = self.collect_documents(&state)?;
        drop(state);
        report.downloads = self.collect_downloads(options.keep_downloads)?;
        Ok(report)
    }

    fn collect_documents(&self, state: &State) -> Result<usize> {
        let kept = state.images.documents();
        let mut count = 0;
        for entry in fs::read_dir(self.inner.image.join("documents"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().replacen('-', ":", 1);
            let wanted = name
                .parse::<Digest>()
                .map_or(!fs::is_temporary(&entry.file_name()), |digest| kept.contains(&digest));
            // A document just written belongs to an image whose record is about to be.
            if !wanted && is_older(&entry.path(), Duration::from_secs(60)) {
                fs::if_there(fs::remove_file(entry.path()))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn collect_downloads(&self, keep: Duration) -> Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(self.downloads())? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .replacen('-', ":", 1);
            let busy = name
                .parse::<Digest>()
                .is_ok_and(|digest| self.inner.busy.contains(&digest));
            if !busy && is_older(&path, keep) {
                fs::if_there(fs::remove_file(&path))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Makes every layer's tar again and compares digests.
    ///
    /// # Errors
    /// Internal when a damaged layer cannot be dropped.
    pub fn check(&self, repair: Repair) -> Result<Vec<Damage>> {
        let mut found = Vec::new();
        for layer in self.layers().list() {
            let Err(error) = layer.verify() else { continue };
            let mut state = self.inner.state();
            let users = state
                .images
                .all()
                .filter(|image| image.layers().contains(layer.diff_id()));
            let images = users.map(|image| image.id().clone()).collect();
            found.push(Damage {
                layer: layer.diff_id().clone(),
                images,
                why: error.to_string(),
            });
            if repair == Repair::Drop {
                self.refuse_if_mounted(&state, layer.diff_id())?;
                state.layers.remove(layer.diff_id());
                self.inner.throw_away(layer.folder())?;
            }
        }
        Ok(found)
    }

    /// A layer under a container's root stays: the container would lose its files at once.
    fn refuse_if_mounted(&self, state: &State, layer: &Digest) -> Result<()> {
        if state.snapshots.all().any(|snapshot| snapshot.layers.contains(layer)) {
            let message = format!("damaged layer {} is used by a container", layer.short());
            return Err(Error::conflict(message).with_hint("remove the containers of its images first"));
        }
        Ok(())
    }
}

fn is_older(path: &std::path::Path, than: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= than))
}
