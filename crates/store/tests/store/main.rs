//! The store as its callers see it: real archives, real files, real overlay mounts. Runs as root.

mod archives;
mod ingest;
mod pictures;
mod roots;
mod unpacking;

use std::path::Path;
use std::process::Command;

use corten_store::{Layer, Options, Store};
use tempfile::TempDir;

/// A store in a folder of its own, and the folder.
fn store() -> (TempDir, Store) {
    let folder = tempfile::Builder::new()
        .prefix("corten-store-")
        .tempdir_in("/var/tmp")
        .expect("temp dir");
    let store = Store::open(folder.path().join("data"), Options::default()).expect("a store opens");
    (folder, store)
}

fn reopen(folder: &TempDir, store: Store) -> Store {
    drop(store);
    Store::open(folder.path().join("data"), Options::default()).expect("the store opens again")
}

/// Runs a shell script in a folder and gives what it printed.
fn shell(folder: &Path, script: &str) -> Vec<u8> {
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder)
        .output()
        .expect("sh runs");
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Runs a Python program that writes a tar to `sys.stdout.buffer`.
fn python(program: &str) -> Vec<u8> {
    let prelude = "import io, sys, tarfile\n\
        out = io.BytesIO()\n\
        def tar(**k): return tarfile.open(fileobj=out, mode='w', **k)\n\
        def entry(t, name, data=None, **k):\n\
        \x20   i = tarfile.TarInfo(name)\n\
        \x20   for key, value in k.items(): setattr(i, key, value)\n\
        \x20   if data is not None: i.size = len(data)\n\
        \x20   t.addfile(i, io.BytesIO(data) if data is not None else None)\n";
    let program = format!("{prelude}{program}\nsys.stdout.buffer.write(out.getvalue())\n");
    let output = Command::new("python3")
        .args(["-c", &program])
        .output()
        .expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Takes a tar in as a layer, and checks that its exact bytes come out again.
fn add(store: &Store, tar: &[u8]) -> Layer {
    let lease = store.lease();
    let layer = store.layers().from_tar(&lease, &mut &*tar).expect("a good layer");
    assert_eq!(*layer.diff_id(), corten_oci::digest::Digest::sha256(tar));
    let mut again = Vec::new();
    std::io::copy(&mut layer.tar().expect("a recipe"), &mut again).expect("made again");
    assert!(again == tar, "the tar made again differs");
    layer
}

/// The error of an archive that is refused; nothing may be left of it.
fn refused(store: &Store, tar: &[u8]) -> String {
    let lease = store.lease();
    let error = store.layers().from_tar(&lease, &mut &*tar).expect_err("a bad layer");
    assert!(store.layers().list().is_empty());
    error.to_string()
}
