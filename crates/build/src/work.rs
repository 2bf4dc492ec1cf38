//! Roots that steps work in.

use corten_oci::digest::Digest;
use corten_store::{Access, Lease, MountPoints, Store};

use crate::error::Result;
use crate::roots::Root;

/// A root over layers, gone when dropped.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) id: String,
    store: Store,
}

impl Work {
    pub(crate) fn new(store: &Store, layers: &[Digest]) -> Result<Self> {
        let id = random_id()?;
        store.snapshots().prepare_layers(&id, layers)?;
        Ok(Self {
            id,
            store: store.clone(),
        })
    }

    pub(crate) fn open(&self, access: Access) -> Result<Root> {
        Ok(Root::of(self.store.snapshots().open_root(&self.id, access)?))
    }

    /// Makes a layer of what was changed.
    pub(crate) fn commit(&self, lease: &Lease) -> Result<Digest> {
        let layers = self.store.layers();
        let layer = layers.from_snapshot(lease, &self.id, &MountPoints::default())?;
        Ok(layer.diff_id().clone())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = self.store.snapshots().remove(&self.id) {
            tracing::warn!(%error, "cannot remove the root of a build's step");
        }
    }
}

/// 64 hexadecimal digits that nobody has had.
pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
