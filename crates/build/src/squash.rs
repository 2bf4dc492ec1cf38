//! `--squash`: all that a build adds to its base becomes one layer.

use corten_oci::image::History;
use corten_store::Access;
use jiff::Timestamp;

use crate::builder::Build;
use crate::contents::Filter;
use crate::error::{Error, Result};
use crate::roots::Root;
use crate::state::State;
use crate::transfer::{self, Attributes, Nature, Place};
use crate::work::Work;

/// Puts the layers of a build together; its history stays, and says so.
pub(crate) fn squash(build: &Build<'_>, state: &mut State) -> Result<()> {
    let (layers, lines) = state.below;
    let image = &mut state.image;
    if image.rootfs.diff_ids.len() < layers + 2 {
        return Ok(());
    }
    let added = image.rootfs.diff_ids.split_off(layers);
    let work = Work::new(build.store, &image.rootfs.diff_ids)?;
    {
        let root = work.open(Access::ReadWrite)?;
        for layer in &added {
            let layer = build.store.layers().get(layer);
            let layer = layer.ok_or_else(|| Error::internal("a layer of the build is gone"))?;
            let attributes = Attributes {
                source: Nature::Layer,
                ..Attributes::default()
            };
            let place = Place {
                path: String::new(),
                is_folder: false,
            };
            let from = Root::open(layer.path())?;
            transfer::copy(&from, "", &root, &place, &attributes, &Filter::default())?;
        }
    }
    if let Some(epoch) = build.epoch {
        work.clamp(epoch)?;
    }
    let squashed = work.commit(&build.lease)?;
    for line in image.history.iter_mut().skip(lines) {
        line.empty_layer = true;
    }
    let created = build.epoch_text().unwrap_or_else(|| Timestamp::now().to_string());
    image.created = Some(created.clone());
    image.history.push(History {
        created: Some(created),
        comment: format!("squashed {} layers", added.len()),
        ..History::default()
    });
    image.rootfs.diff_ids.push(squashed);
    state.base = None;
    Ok(())
}
