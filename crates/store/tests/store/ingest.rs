//! Layers that come in over a network: checked, resumed, shared.

use std::io::Write as _;

use corten_oci::digest::Digest;
use corten_store::{Ingest, IngestRequest, Ingestion, Kind, Lease, Store};
use corten_sys::fs;

use super::{add, python, reopen, shell, store};

fn ready(store: &Store, lease: &Lease, request: IngestRequest) -> Ingest {
    match store.layer_ingest(lease, request).expect("accepted") {
        Ingestion::Ready(ingest) => ingest,
        other => panic!("not ready: {other:?}"),
    }
}

/// A tar of 4 MB that does not compress, gzipped, and the request for it.
fn large() -> (Vec<u8>, IngestRequest) {
    let folder = tempfile::tempdir().expect("temp dir");
    shell(
        folder.path(),
        "head -c 4000000 /dev/urandom > f; tar -cf t.tar f; gzip -k t.tar",
    );
    let tar = fs::read(folder.path().join("t.tar")).expect("read");
    let gzip = fs::read(folder.path().join("t.tar.gz")).expect("read");
    let request = IngestRequest {
        compressed: Some(Digest::sha256(&gzip)),
        size: Some(gzip.len() as u64),
        diff_id: Some(Digest::sha256(&tar)),
        media_type: corten_oci::image::media_type::OCI_LAYER_GZIP.into(),
        source: Some("registry.example/app".into()),
        ..IngestRequest::default()
    };
    (gzip, request)
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let (folder, store) = store();
    let (gzip, request) = large();
    let lease = store.lease();
    let mut ingest = ready(&store, &lease, request.clone());
    ingest.write_all(&gzip[..3_000_000]).expect("written");
    drop(ingest);
    let store = reopen(&folder, store);
    let lease = store.lease();
    let mut ingest = ready(&store, &lease, request.clone());
    assert_eq!(ingest.offset(), 3_000_000);
    ingest.write_all(&gzip[3_000_000..]).expect("written");
    let layer = ingest.finish().expect("a good layer");
    assert_eq!(Some(layer.diff_id()), request.diff_id.as_ref());
    let blob = layer.blobs().remove(0);
    assert_eq!(
        (Some(&blob.digest), blob.size),
        (request.compressed.as_ref(), gzip.len() as u64)
    );
    assert_eq!(blob.sources, ["registry.example/app"]);
    assert!(store.layers().by_compressed(&blob.digest).is_some());
    assert_eq!(
        fs::read_dir(folder.path().join("data/image/downloads"))
            .expect("there")
            .count(),
        0
    );
    let again = IngestRequest {
        source: Some("other.example/app".into()),
        ..request
    };
    assert!(matches!(
        store.layer_ingest(&lease, again).expect("accepted"),
        Ingestion::Present(_)
    ));
    assert_eq!(layer.blobs()[0].sources, ["registry.example/app", "other.example/app"]);
}

#[test]
fn an_unfinished_download_is_kept_and_a_wrong_one_is_not() {
    let (folder, store) = store();
    let (gzip, request) = large();
    let downloads = || {
        fs::read_dir(folder.path().join("data/image/downloads"))
            .expect("there")
            .count()
    };
    let lease = store.lease();
    let mut ingest = ready(&store, &lease, request.clone());
    ingest.write_all(&gzip[..2_000_000]).expect("written");
    assert_eq!(ingest.finish().expect_err("short").kind(), Kind::Unavailable);
    assert_eq!(downloads(), 1);
    let mut ingest = ready(&store, &lease, request.clone());
    let mut rest = gzip[2_000_000..].to_vec();
    rest[100] ^= 1;
    let result = ingest
        .write_all(&rest)
        .map_err(Into::into)
        .and_then(|()| ingest.finish().map(|_| ()));
    assert_eq!(result.expect_err("damaged").kind(), Kind::Invalid);
    assert!(store.layers().list().is_empty());
    ready(&store, &lease, request).discard();
    assert_eq!(downloads(), 0);
}

#[test]
fn digests_and_sizes_must_fit() {
    let (_folder, store) = store();
    let (gzip, request) = large();
    let wrong = Some(Digest::sha256(b"something else"));
    let lease = store.lease();
    let check = |request: IngestRequest, expected: &str| {
        let mut ingest = ready(&store, &lease, request);
        let result = ingest
            .write_all(&gzip)
            .map_err(corten_store::Error::from)
            .and_then(|()| ingest.finish());
        let error = result.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    };
    check(
        IngestRequest {
            compressed: wrong.clone(),
            ..request.clone()
        },
        "layer verification failed for digest",
    );
    check(
        IngestRequest {
            diff_id: wrong,
            ..request.clone()
        },
        "does not have the diff id",
    );
    check(
        IngestRequest {
            size: Some(1_500_000),
            ..request
        },
        "longer than the 1500000 bytes promised",
    );
}

#[test]
fn two_who_want_the_same_layer_share_it() {
    let (_folder, store) = store();
    let (gzip, request) = large();
    let lease = store.lease();
    let mut ingest = ready(&store, &lease, request.clone());
    let Ingestion::Busy(wait) = store.layer_ingest(&lease, request.clone()).expect("accepted") else {
        panic!("somebody is at it")
    };
    let waiter = std::thread::spawn(move || wait.wait());
    ingest.write_all(&gzip).expect("written");
    ingest.finish().expect("a good layer");
    waiter.join().expect("woken");
    assert!(matches!(
        store.layer_ingest(&lease, request).expect("accepted"),
        Ingestion::Present(_)
    ));
}

#[test]
fn gzip_members_and_zstd_frames_are_read_to_the_end() {
    let (folder, store) = store();
    let tar = python("t = tar()\nentry(t, 'f', b'x' * 100000)\nt.close()");
    fs::write(folder.path().join("t"), &tar).expect("written");
    let gzip = shell(folder.path(), "head -c 5000 t | gzip -c; tail -c +5001 t | gzip -c");
    let lease = store.lease();
    let layer = store.layers().from_tar(&lease, &mut &*gzip).expect("good");
    assert_eq!(*layer.diff_id(), Digest::sha256(&tar));
    let other = python("t = tar()\nentry(t, 'g', b'y' * 100000)\nt.close()");
    let half = other.len() / 2;
    let mut frames = zstd::encode_all(&other[..half], 1).expect("to memory");
    frames.extend(zstd::encode_all(&other[half..], 1).expect("to memory"));
    let layer = store.layers().from_tar(&lease, &mut &*frames).expect("good");
    assert_eq!(*layer.diff_id(), Digest::sha256(&other));
}

#[test]
fn damage_is_found_and_dropped() {
    let (folder, store) = store();
    let layer = add(&store, &python("t = tar()\nentry(t, 'f', b'content')\nt.close()"));
    assert!(store.check(corten_store::Repair::Report).expect("checked").is_empty());
    fs::write(layer.path().join("f"), b"CONTENT").expect("damaged");
    let damage = store.check(corten_store::Repair::Drop).expect("checked");
    assert_eq!(damage.len(), 1);
    assert!(damage[0].why.contains("is damaged"), "{}", damage[0].why);
    assert!(!store.layers().contains(layer.diff_id()));
    let store = reopen(&folder, store);
    assert!(store.layers().list().is_empty());
}

#[test]
fn what_a_crash_leaves_is_cleared_and_what_was_written_in_another_boot_is_verified() {
    let (folder, store) = store();
    let good = add(&store, &python("t = tar()\nentry(t, 'f', b'good')\nt.close()"));
    let bad = add(&store, &python("t = tar()\nentry(t, 'f', b'bad!')\nt.close()"));
    store.flush();
    let overlay = folder.path().join("data/overlay2");
    for layer in [&good, &bad] {
        let record = overlay.join(layer.diff_id().hex()).join("layer.json");
        let text = fs::read_to_string(&record)
            .expect("there")
            .replacen('{', "{\"unsynced_boot\":\"before\",", 1);
        fs::write(&record, text).expect("written");
    }
    fs::write(bad.path().join("f"), b"").expect("cut short");
    fs::create_dir_all(overlay.join(".ingest-1-1/diff")).expect("made");
    fs::create_dir_all(overlay.join("container-without-record/diff")).expect("made");
    let damaged = overlay.join("abc");
    fs::create_dir_all(&damaged).expect("made");
    fs::write(damaged.join("layer.json"), b"{half").expect("written");
    let store = reopen(&folder, store);
    assert!(store.layers().contains(good.diff_id()));
    assert!(!store.layers().contains(bad.diff_id()));
    let names = fs::read_dir(&overlay)
        .expect("there")
        .map(|e| e.expect("entry").file_name().into_string().expect("text"));
    let names: Vec<String> = names.filter(|name| !name.starts_with(".trash")).collect();
    assert_eq!(names, [good.diff_id().hex()]);
}

#[test]
fn a_data_root_serves_one_engine() {
    let (folder, _store) = store();
    let error = Store::open(folder.path().join("data"), corten_store::Options::default()).expect_err("locked");
    assert_eq!(error.kind(), Kind::Conflict);
}
