//! Roots that steps work in.

use std::os::fd::{AsFd as _, BorrowedFd};

use corten_oci::digest::Digest;
use corten_store::{Access, Lease, MountPoints, Store};
use rustix::fs::{AtFlags, FileType, Timespec, Timestamps};

use crate::error::Result;
use crate::roots::{self, Root};

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

    /// Makes files that are younger than a time as old as that: `SOURCE_DATE_EPOCH`.
    pub(crate) fn clamp(&self, epoch: i64) -> Result<()> {
        let upper = self.store.snapshots().folders(&self.id)?.upper;
        clamp(Root::open(&upper)?.folder("")?.as_fd(), epoch)
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

fn clamp(folder: BorrowedFd<'_>, epoch: i64) -> Result<()> {
    let time = Timespec {
        tv_sec: epoch,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    for name in roots::names(folder)? {
        let Some(stat) = roots::look(folder, &name)? else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            clamp(roots::subfolder(folder, &name)?.as_fd(), epoch)?;
        }
        if stat.st_mtime >= epoch {
            rustix::fs::utimensat(folder, &name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

/// 64 hexadecimal digits that nobody has had.
pub(crate) fn random_id() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
