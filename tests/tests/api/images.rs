//! Endpoints of images whose answers the command line does not show as they are.

use corten_tests::{engine::Engine, http};
use serde_json::{Value, json};

/// Sends a tar and gives the status and the answer's lines.
#[track_caller]
fn send(engine: &Engine, method: &str, path: &str, tar: &[u8]) -> (u16, Vec<Value>) {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        tar.len()
    )
    .into_bytes();
    request.extend_from_slice(tar);
    let answer = http::raw(&engine.socket(), &request);
    let text = answer.text();
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    (answer.status, lines.collect())
}

#[test]
fn archives_are_loaded_quietly_unless_told_otherwise() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let tar = engine.http("GET", "/images/busybox/get", None).body;
    engine.corten(["rmi", "busybox"]).ok();
    let loaded = json!({"stream": "Loaded image: busybox:latest\n"});
    assert_eq!(send(&engine, "POST", "/images/load", &tar), (200, vec![loaded.clone()]));
    engine.corten(["rmi", "busybox"]).ok();
    let (status, lines) = send(&engine, "POST", "/images/load?quiet=0", &tar);
    assert_eq!((status, lines.last()), (200, Some(&loaded)));
    assert!(lines.iter().any(|line| line["status"] == "Loading layer"), "{lines:?}");
    // Older versions know of no platform.
    let foreign = "platform=%7B%22os%22:%22linux%22,%22architecture%22:%22s390x%22%7D";
    assert_eq!(
        send(&engine, "POST", &format!("/v1.47/images/load?{foreign}"), &tar),
        (200, vec![loaded])
    );
    assert_eq!(
        send(&engine, "POST", &format!("/images/load?{foreign}"), &tar),
        (200, vec![])
    );
    let (status, lines) = send(&engine, "POST", &format!("/images/load?{foreign}&{foreign}"), &tar);
    assert_eq!(
        (status, &lines[0]["message"]),
        (400, &json!("multiple platform parameters not supported"))
    );
    let (status, lines) = send(&engine, "POST", "/images/load", b"no tar");
    assert_eq!(status, 200);
    assert!(
        lines[0]["error"].is_string() && lines[0]["errorDetail"]["message"].is_string(),
        "{lines:?}"
    );
}

#[test]
fn what_is_no_image_is_for_no_platform() {
    let engine = Engine::start();
    let registry = engine.registry();
    let config = registry.add_blob("library/chart", b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": config, "size": 2},
        "layers": [],
    });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    registry.add_manifest("library/chart", Some("1"), kind, manifest.to_string().as_bytes());
    let found = engine.http("GET", "/distribution/chart:1/json", None);
    assert_eq!(
        (found.status, &found.json()["Platforms"]),
        (200, &Value::Null),
        "{}",
        found.text()
    );
}
