//! Go's decoder takes keys in whatever case, and docker-py sends some as `detachKeys`.

use std::io::{Read as _, Write as _};

use corten_tests::engine::Engine;
use serde_json::json;

#[test]
fn keys_of_bodies_may_have_any_case() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let network = json!({"name": "own", "ipam": {"config": [{"subnet": "10.77.0.0/24"}]}, "LABELS": {"image": "kept"}});
    let made = engine.http("POST", "/networks/create", Some(&network));
    assert_eq!(made.status, 201, "{}", made.text());
    let found = engine.get("/networks/own");
    assert_eq!(found["IPAM"]["Config"], json!([{"Subnet": "10.77.0.0/24"}]));
    assert_eq!(found["Labels"], json!({"image": "kept"}));
    let volume = engine.http(
        "POST",
        "/volumes/create",
        Some(&json!({"name": "kept", "labels": {"Name": "x"}})),
    );
    assert_eq!((volume.status, &volume.json()["Labels"]), (201, &json!({"Name": "x"})));
    let body = json!({
        "image": "busybox", "CMD": ["sleep", "300"], "labels": {"Cmd": "a", "cmd": "b"},
        "hostconfig": {"MEMORY": 67_108_864, "binds": ["kept:/data"], "networkmode": "own"},
        "networkingConfig": {"endpointsConfig": {"own": {"ipamconfig": {"ipv4address": "10.77.0.9"}}}},
    });
    let made = engine.http("POST", "/containers/create?name=box", Some(&body));
    assert_eq!(made.status, 201, "{}", made.text());
    engine.corten(["start", "box"]).ok();
    let found = engine.get("/containers/box/json");
    assert_eq!(found["Config"]["Labels"], json!({"Cmd": "a", "cmd": "b"}));
    assert_eq!(
        (&found["HostConfig"]["Memory"], &found["Mounts"][0]["Name"]),
        (&json!(67_108_864), &json!("kept"))
    );
    assert_eq!(found["NetworkSettings"]["Networks"]["own"]["IPAddress"], "10.77.0.9");
    // The error tells the key as it is known.
    let refused = engine.http("POST", "/containers/create", Some(&json!({"tty": "yes"})));
    assert_eq!(
        refused.message(),
        "invalid JSON: json: cannot unmarshal string into Go struct field .Tty of type bool"
    );
}

#[test]
fn keys_that_detach_an_exec_may_have_any_case() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sleep", "300"])
        .ok();
    let exec = json!({"Cmd": ["cat"], "AttachStdin": true, "AttachStdout": true, "Tty": true, "detachKeys": "ctrl-p"});
    let made = engine.http("POST", "/containers/box/exec", Some(&exec)).json();
    let id = made["Id"].as_str().expect("an id").to_owned();
    let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("the engine listens");
    stream
        .set_read_timeout(Some(corten_tests::until::PATIENCE))
        .expect("a socket");
    let body = json!({"Tty": true}).to_string();
    let head = format!(
        "POST /exec/{id}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("a socket");
    stream.write_all(&[b'p' - b'a' + 1]).expect("a socket");
    // The stream ends though `cat` goes on.
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an end");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(engine.get(&format!("/exec/{id}/json"))["Running"], true);
}
