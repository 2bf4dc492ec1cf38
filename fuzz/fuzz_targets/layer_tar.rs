//! Any bytes as a layer: refused or unpacked inside the layer, and then made again exactly.
//!
//! Needs root, like the store. Works in a folder of its own below the temporary folder.
#![no_main]

use std::io::Read as _;
use std::sync::OnceLock;

use corten_oci::digest::Digest;
use corten_store::{GcOptions, Limits, Options, Store};

fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("corten-fuzz-layer-{}", std::process::id()));
        let limits = Limits { entries: 1000, unpacked: 1 << 20, ..Limits::default() };
        Store::open(root, Options { limits }).expect("the store opens")
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let store = store();
    let lease = store.lease();
    if let Ok(layer) = store.layers().from_tar(&lease, &mut &*bytes) {
        let mut tar = Vec::new();
        layer.tar().expect("a recipe").read_to_end(&mut tar).expect("made again");
        assert_eq!(Digest::sha256(&tar), *layer.diff_id());
    }
    drop(lease);
    store.gc(GcOptions::default()).expect("collected");
});
