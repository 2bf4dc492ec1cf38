//! Heads, status codes and versions.

use std::io::{Read as _, Write as _};

use corten_tests::engine::Engine;
use serde_json::json;

#[test]
fn ping_tells_who_is_there() {
    let engine = Engine::start();
    let ping = engine.http("GET", "/_ping", None);
    assert_eq!((ping.status, ping.text().as_str()), (200, "OK"));
    assert_eq!(ping.header("Api-Version"), Some("1.51"));
    assert_eq!(ping.header("OSType"), Some("linux"));
    assert!(ping.header("Docker-Experimental").is_some() && ping.header("Server").is_some());
    assert!(
        ping.header("Cache-Control")
            .is_some_and(|value| value.contains("no-cache"))
    );
    let head = engine.http("HEAD", "/_ping", None);
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn versions_from_1_24_to_1_51_are_spoken() {
    let engine = Engine::start();
    for minor in 24..=51 {
        let response = engine.http("GET", &format!("/v1.{minor}/version"), None);
        assert_eq!(response.status, 200, "1.{minor}");
        assert_eq!(response.json()["ApiVersion"], "1.51");
    }
    let old = engine.http("GET", "/v1.23/version", None);
    assert_eq!(old.status, 400);
    assert!(
        old.text()
            .starts_with("client version 1.23 is too old. Minimum supported API version is 1.24"),
        "{}",
        old.text()
    );
    let new = engine.http("GET", "/v1.52/version", None);
    assert_eq!(new.status, 400);
    assert!(
        new.message()
            .contains("client version 1.52 is too new. Maximum supported API version is 1.51"),
        "{}",
        new.text()
    );
}

#[test]
fn a_life_has_its_status_codes() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let body = json!({"Image": "busybox", "Cmd": ["sleep", "300"]});
    let status = |method: &str, path: &str| engine.http(method, path, None).status;
    let created = engine.http("POST", "/containers/create?name=life", Some(&body));
    assert_eq!(created.status, 201);
    assert_eq!(created.json()["Warnings"], json!([]));
    assert_eq!(
        engine.http("POST", "/containers/create?name=life", Some(&body)).status,
        409
    );
    let missing = json!({"Image": "nosuch"});
    assert_eq!(engine.http("POST", "/containers/create", Some(&missing)).status, 404);
    assert_eq!(status("POST", "/containers/life/start"), 204);
    assert_eq!(status("POST", "/containers/life/start"), 304);
    assert_eq!(status("POST", "/containers/life/pause"), 204);
    assert_eq!(status("POST", "/containers/life/pause"), 409);
    assert_eq!(status("POST", "/containers/life/unpause"), 204);
    assert_eq!(status("POST", "/containers/life/unpause"), 500);
    assert_eq!(status("DELETE", "/containers/life"), 409);
    assert_eq!(status("POST", "/containers/life/rename?name=other"), 204);
    assert_eq!(status("POST", "/containers/other/kill?signal=KILL"), 204);
    assert_eq!(
        engine.http("POST", "/containers/other/wait", None).json()["StatusCode"],
        137
    );
    assert_eq!(status("POST", "/containers/other/kill"), 409);
    assert_eq!(status("POST", "/containers/other/stop"), 304);
    assert_eq!(status("DELETE", "/containers/other"), 204);
    assert_eq!(status("DELETE", "/containers/other"), 404);
}

#[test]
fn errors_are_json() {
    let engine = Engine::start();
    let response = engine.http("GET", "/containers/nosuch/json", None);
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    assert_eq!(response.json(), json!({"message": "No such container: nosuch"}));
}

#[test]
fn what_is_not_there_says_so() {
    let engine = Engine::start();
    let response = engine.http("POST", "/session", None);
    assert!(
        response.status >= 400 && response.message().contains("no upgrade proto in request"),
        "{}",
        response.text()
    );
    let response = engine.http("GET", "/services", None);
    assert_eq!(response.status, 503, "{}", response.text());
}

/// What people type for curl, and Go's server takes.
#[test]
fn targets_need_not_be_escaped() {
    let engine = Engine::start();
    engine
        .corten(["create", "--name", "one", "-l", "a=b", "busybox", "true"])
        .ok();
    engine.corten(["create", "--name", "two", "busybox", "true"]).ok();
    let found = engine.get("/containers/json?all=1&filters={\"label\":[\"a=b\"]}");
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["Names"][0], "/one");
    let missing = engine.http("GET", "/containers/<none>/json", None);
    assert_eq!(
        (missing.status, missing.message()),
        (404, "No such container: <none>".to_owned())
    );
    // Later requests of a connection are no different.
    let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("the engine listens");
    stream
        .set_read_timeout(Some(corten_tests::until::PATIENCE))
        .expect("a socket");
    for target in [
        "/_ping",
        "/containers/\"/json",
        "/containers/json?filters={\"label\":[\"<>\"]}",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a socket");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(!head.starts_with("http/1.1 400"), "{target}: {head}");
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.expect("a length").parse().expect("a number");
        stream.read_exact(&mut vec![0; length]).expect("a body");
    }
    // A connection that begins so can be taken over all the same.
    engine
        .corten(["create", "--name", "echo", "busybox", "echo", "hello"])
        .ok();
    let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("the engine listens");
    stream
        .set_read_timeout(Some(corten_tests::until::PATIENCE))
        .expect("a socket");
    let head = "POST /containers/echo/attach?stream=1&stdout=1&note=\"x\" HTTP/1.1\r\nHost: x\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("a socket");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
    engine.corten(["start", "echo"]).ok();
    let mut output = Vec::new();
    stream.read_to_end(&mut output).expect("an end");
    assert_eq!(output, b"\x01\0\0\0\0\0\0\x06hello\n");
}
