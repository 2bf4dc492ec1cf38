//! Leases: while one lives, nothing that was added under it is collected.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use corten_oci::digest::Digest;

use crate::store::Inner;

/// Holds layers for somebody who has not yet an image that refers to them: a pull, a build, a load.
/// Cheap to clone; the last clone dropped lets go.
#[derive(Clone)]
pub struct Lease(Arc<Held>);

struct Held {
    store: Weak<Inner>,
    number: u64,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lease").field(&self.0.number).finish()
    }
}

/// Part of the store's state: what each living lease holds.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    next: u64,
    held: HashMap<u64, HashSet<Digest>>,
}

impl Leases {
    pub(crate) fn hold(&mut self, lease: &Lease, layer: &Digest) {
        self.held.entry(lease.0.number).or_default().insert(layer.clone());
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Digest> {
        self.held.values().flatten()
    }
}

impl Lease {
    pub(crate) fn new(store: &Arc<Inner>) -> Self {
        let mut state = store.state();
        let number = state.leases.next;
        state.leases.next += 1;
        state.leases.held.insert(number, HashSet::new());
        drop(state);
        Self(Arc::new(Held {
            store: Arc::downgrade(store),
            number,
        }))
    }

    /// Holds a layer that is there already; `false` if it is not.
    #[must_use]
    pub fn hold(&self, layer: &Digest) -> bool {
        let Some(store) = self.0.store.upgrade() else {
            return false;
        };
        let mut state = store.state();
        if !state.layers.by_diff_id.contains_key(layer) {
            return false;
        }
        state.leases.hold(self, layer);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.state().leases.held.remove(&self.number);
        }
    }
}
