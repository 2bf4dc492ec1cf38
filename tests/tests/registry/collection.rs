//! Collection, retention and quotas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use corten_oci::digest::Digest;
use serde_json::json;

use crate::server::{Server, code};

#[test]
fn what_nobody_needs_is_collected() {
    let server = Server::start(&[]);
    server.push_image("a", "1", b"kept");
    let stray = server.push_blob("a", b"stray");
    // The grace keeps what is young.
    let said = server.collect(&[]);
    assert!(
        said.starts_with("removed 0 tags, 0 manifests, 0 links to blobs, 0 blobs"),
        "{said}"
    );
    let said = server.collect(&["--grace", "0", "--dry-run"]);
    assert!(said.starts_with("would remove 0 tags, 0 manifests, 1 links"), "{said}");
    assert_eq!(server.head(&format!("/v2/a/blobs/{stray}")).status, 200);
    server.collect(&["--grace", "0"]);
    assert_eq!(server.head(&format!("/v2/a/blobs/{stray}")).status, 404);
    assert_eq!(
        server.head(&format!("/v2/a/blobs/{}", Digest::sha256(b"kept"))).status,
        200
    );
    assert_eq!(server.get("/v2/a/manifests/1").status, 200);
}

#[test]
fn a_blob_is_stored_once_and_goes_with_the_last_who_has_it() {
    let server = Server::start(&[]);
    let layer = vec![3; 1 << 20];
    let (a, b) = (server.push_image("a", "1", &layer), server.push_image("b", "1", &layer));
    let stored = || {
        let path = server.root().join("blobs/sha256");
        let folders = corten_sys::fs::read_dir(path).expect("a folder").flatten();
        let files = folders.flat_map(|folder| corten_sys::fs::read_dir(folder.path()).expect("a folder").flatten());
        files.map(|file| file.metadata().expect("a file").len()).sum::<u64>()
    };
    // A content that has landed is moved when it is on the disk, which a push waits for.
    assert!((1 << 20..2 << 20).contains(&stored()), "{}", stored());
    server.call("DELETE", &format!("/v2/a/manifests/{a}"), &[], &[]);
    server.collect(&["--grace", "0"]);
    assert_eq!(
        server.head(&format!("/v2/a/blobs/{}", Digest::sha256(&layer))).status,
        404
    );
    assert_eq!(
        server.head(&format!("/v2/b/blobs/{}", Digest::sha256(&layer))).status,
        200
    );
    server.call("DELETE", &format!("/v2/b/manifests/{b}"), &[], &[]);
    server.collect(&["--grace", "0"]);
    assert_eq!(stored(), 0);
    assert_eq!(server.get("/v2/_catalog").json()["repositories"], json!([]));
}

#[test]
fn a_stopped_registry_is_collected_too() {
    let mut server = Server::start(&[]);
    server.push_blob("a", b"stray");
    server.kill();
    let said = server.collect(&["--grace", "0"]);
    assert!(said.contains("1 links to blobs"), "{said}");
}

#[test]
fn pushes_go_on_while_it_collects() {
    let server = Server::start(&[]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::SeqCst) || rounds == 0 {
                server.collect(&[]);
                rounds += 1;
            }
        });
        let pushing: Vec<_> = (0..3_u8)
            .map(|worker| {
                let server = &server;
                scope.spawn(move || {
                    for number in 0..15_u8 {
                        // The same layers over and over, pushed, deleted and pushed again.
                        let layer = vec![number % 3; 10_000];
                        let name = format!("r{worker}");
                        let digest = server.push_image(&name, "1", &layer);
                        assert_eq!(server.get(&format!("/v2/{name}/manifests/{digest}")).status, 200);
                        let blob = server.get(&format!("/v2/{name}/blobs/{}", Digest::sha256(&layer)));
                        assert!(blob.body == layer);
                        server.call("DELETE", &format!("/v2/{name}/manifests/{digest}"), &[], &[]);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = pushing.into_iter().map(|pushing| pushing.join()).collect();
        is_over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok));
        collecting.join().expect("it collects");
    });
}

#[test]
fn old_tags_go_by_rules() {
    let config = json!({"retention": [
        {"repositories": "team/*", "tags": "build-*", "keep-last": 2, "untagged-for": "0s"},
    ]});
    let server = Server::configured(&config, |_| {});
    for tag in ["build-1", "build-2", "build-3", "release-1"] {
        server.push_image("team/app", tag, tag.as_bytes());
    }
    server.push_image("other/app", "build-1", b"x");
    let gone = server
        .head("/v2/team/app/manifests/build-1")
        .header("docker-content-digest")
        .expect("one")
        .to_owned();
    let said = server.collect(&[]);
    assert!(said.starts_with("removed 1 tags, 1 manifests"), "{said}");
    let tags = server.get("/v2/team/app/tags/list").json()["tags"].clone();
    assert_eq!(tags, json!(["build-2", "build-3", "release-1"]));
    assert_eq!(server.head(&format!("/v2/team/app/manifests/{gone}")).status, 404);
    assert_eq!(server.head("/v2/other/app/manifests/build-1").status, 200);
}

#[test]
fn quotas_are_kept() {
    let config = json!({"quota": {"total": "50KB", "repositories": [{"repositories": "small/*", "size": "10KB"}]}});
    let server = Server::configured(&config, |_| {});
    let post = |repository: &str, bytes: &[u8]| {
        let path = format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(bytes));
        server.call("POST", &path, &[], bytes)
    };
    assert_eq!(post("small/a", &[1; 9000]).status, 201);
    let answer = post("small/a", &[2; 2000]);
    assert_eq!((answer.status, code(&answer).as_str()), (403, "DENIED"));
    assert!(
        answer.text().contains("quota of repository small/a"),
        "{}",
        answer.text()
    );
    // Each repository has its own; what it deletes is free again.
    assert_eq!(post("small/b", &[2; 2000]).status, 201);
    let path = format!("/v2/small/a/blobs/{}", Digest::sha256(&[1; 9000]));
    assert_eq!(server.call("DELETE", &path, &[], &[]).status, 202);
    assert_eq!(post("small/a", &[2; 2000]).status, 201);
    // A body of unknown length is cut where the quota ends.
    let place = server.begin("small/c");
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 20_000, "x".repeat(20_000));
    let answer = server.raw(format!("{head}{chunk}0\r\n\r\n").as_bytes());
    assert_eq!((answer.status, code(&answer).as_str()), (403, "DENIED"));
    let answer = post("large", &[4; 60_000]);
    assert!(answer.text().contains("quota of the registry"), "{}", answer.text());
}
