//! Images of another registry, fetched when they are asked for and kept.

use std::thread;

use corten_oci::digest::Digest;
use corten_tests::images::{TestImage, TestLayer, noise};
use corten_tests::registry::{Access, Fault, Registry};
use corten_tests::until;
use serde_json::json;

use crate::server::{Server, code};

fn cache(upstream: &Registry, more: &serde_json::Value) -> Server {
    let mut entry = json!({"prefix": "hub", "url": format!("http://{}", upstream.host()), "ttl": "0s"});
    for (name, value) in more.as_object().expect("fields") {
        entry[name] = value.clone();
    }
    Server::configured(&json!({"upstreams": [entry]}), |folder| {
        corten_sys::fs::write(folder.join("password"), "secret\n").expect("a file");
    })
}

fn layer_of(server: &Server, path: &str) -> Digest {
    let document = server.get(path).json();
    document["layers"][0]["digest"]
        .as_str()
        .expect("a digest")
        .parse()
        .expect("a digest")
}

#[test]
fn what_is_asked_for_is_fetched_once() {
    let upstream = Registry::start();
    let image = TestImage::small("hello");
    upstream.add_image("library/app", "1", &image);
    let server = cache(&upstream, &json!({}));
    for _ in 0..3 {
        let answer = server.get("/v2/hub/library/app/manifests/1");
        assert_eq!((answer.status, Digest::sha256(&answer.body)), (200, image.digest()));
        let layer = layer_of(&server, "/v2/hub/library/app/manifests/1");
        let blob = server.get(&format!("/v2/hub/library/app/blobs/{layer}"));
        assert_eq!(Digest::sha256(&blob.body), layer);
        until::is("it is kept", || {
            server
                .root()
                .join("repositories/hub/library/app/_blobs")
                .join(layer.as_str().replace(':', "-"))
                .exists()
        });
    }
    assert_eq!(upstream.count("GET", "/manifests/1"), 1);
    assert_eq!(upstream.count("GET", "/blobs/"), 1);
    assert_eq!(server.get("/v2/hub/library/app/manifests/2").status, 404);
    assert_eq!(server.get("/v2/library/app/manifests/1").status, 404);
    let answer = server.call("POST", "/v2/hub/library/app/blobs/uploads/", &[], &[]);
    assert_eq!((answer.status, code(&answer).as_str()), (405, "UNSUPPORTED"));
    assert_eq!(server.get("/v2/hub/library/app/tags/list").json()["tags"], json!(["1"]));
}

#[test]
fn tags_are_asked_about_again() {
    let upstream = Registry::start();
    upstream.add_image("app", "1", &TestImage::small("old"));
    let server = cache(&upstream, &json!({}));
    server.get("/v2/hub/app/manifests/1");
    let new = TestImage::small("new");
    upstream.add_image("app", "1", &new);
    assert_eq!(
        Digest::sha256(&server.get("/v2/hub/app/manifests/1").body),
        new.digest()
    );
    // Within the time it is believed for, nobody is asked.
    let patient = cache(&upstream, &json!({"ttl": "1h"}));
    patient.get("/v2/hub/app/manifests/1");
    let asked = upstream.requests().len();
    assert_eq!(patient.get("/v2/hub/app/manifests/1").status, 200);
    assert_eq!(upstream.requests().len(), asked);
}

#[test]
fn what_is_here_is_served_when_the_upstream_is_gone() {
    let upstream = Registry::start();
    let image = TestImage::small("hello");
    upstream.add_image("app", "1", &image);
    let server = cache(&upstream, &json!({}));
    let layer = layer_of(&server, "/v2/hub/app/manifests/1");
    let path = format!("/v2/hub/app/blobs/{layer}");
    assert_eq!(server.get(&path).status, 200);
    until::is("it is kept", || {
        server
            .root()
            .join("repositories/hub/app/_blobs")
            .join(layer.as_str().replace(':', "-"))
            .exists()
    });
    drop(upstream);
    assert_eq!(
        Digest::sha256(&server.get("/v2/hub/app/manifests/1").body),
        image.digest()
    );
    assert_eq!(server.get(&path).status, 200);
    let answer = server.get("/v2/hub/app/manifests/2");
    assert_eq!((answer.status, code(&answer).as_str()), (503, "UNAVAILABLE"));
}

#[test]
fn a_fetch_is_shared_and_goes_on_after_a_cut() {
    let upstream = Registry::start();
    let image = TestImage::new(&[TestLayer::file("big", noise(3_000_000, 7))]);
    upstream.add_image("app", "1", &image);
    let server = cache(&upstream, &json!({}));
    let layer = layer_of(&server, "/v2/hub/app/manifests/1");
    let path = format!("/v2/hub/app/blobs/{layer}");
    upstream.inject("/blobs/", 2, Fault::CutAfter(500_000));
    thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Digest::sha256(&server.get(&path).body)))
            .collect();
        for one in all {
            assert_eq!(one.join().expect("a thread"), layer);
        }
    });
    // One fetch, in three parts.
    assert_eq!(upstream.count("GET", "/blobs/"), 3);
}

#[test]
fn wrong_blobs_reach_nobody() {
    let upstream = Registry::start();
    upstream.add_image(
        "app",
        "1",
        &TestImage::new(&[TestLayer::file("big", noise(300_000, 8))]),
    );
    let server = cache(&upstream, &json!({}));
    let layer = layer_of(&server, "/v2/hub/app/manifests/1");
    upstream.inject("/blobs/", 100, Fault::CutAfter(0));
    let path = format!("/v2/hub/app/blobs/{layer}");
    let whole = server.get(&path);
    assert!(whole.status != 200 || Digest::sha256(&whole.body) != layer);
    upstream.heal();
    until::is("it comes when the upstream is well", || {
        Digest::sha256(&server.get(&path).body) == layer
    });
}

#[test]
fn credentials_are_used_upstream_and_not_shown_here() {
    let upstream = Registry::start();
    upstream.add_image("app", "1", &TestImage::small("hello"));
    upstream.restrict(Access::Basic("cache".into(), "secret".into()));
    let stranger = cache(&upstream, &json!({}));
    assert_eq!(stranger.get("/v2/hub/app/manifests/1").status, 404);
    let server = cache(&upstream, &json!({"username": "cache", "password-file": "{}/password"}));
    assert_eq!(server.get("/v2/hub/app/manifests/1").status, 200);
    upstream.restrict(Access::Bearer(Some(("cache".into(), "secret".into()))));
    let server = cache(&upstream, &json!({"username": "cache", "password-file": "{}/password"}));
    assert_eq!(server.get("/v2/hub/app/manifests/1").status, 200);
    assert!(!server.said().contains("secret"));
}
