//! What clients send.

use corten_tests::engine::Engine;
use corten_tests::http;
use serde_json::json;

#[track_caller]
fn post(engine: &Engine, path: &str, body: &str, kind: &str) -> http::Response {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    http::raw(&engine.socket(), (head + body).as_bytes())
}

#[test]
fn bodies_that_are_no_json() {
    let engine = Engine::start();
    let create = "/v1.51/containers/create";
    for body in [
        "{",
        "[]",
        "\"x\"",
        "{\"Image\": 5}",
        "{\"HostConfig\": {\"Memory\": \"much\"}}",
        "nul",
        "{}{}",
        "\u{0}",
    ] {
        let response = post(&engine, create, body, "application/json");
        assert_eq!(response.status, 400, "{body:?}: {}", response.text());
        assert!(!response.message().is_empty());
    }
    let response = post(&engine, create, "{}", "text/plain");
    assert_eq!(response.status, 400, "{}", response.text());
    let deep = "[".repeat(100_000);
    assert_eq!(post(&engine, create, &deep, "application/json").status, 400);
    let deep = format!(
        "{{\"Image\":\"x\",\"Unknown\":{}{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert_eq!(post(&engine, create, &deep, "application/json").status, 400);
    assert!(engine.is_running());
}

#[test]
fn requests_that_are_no_http() {
    let engine = Engine::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).unwrap();
        use std::io::{Read as _, Write as _};
        stream.set_read_timeout(Some(corten_tests::until::PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || text.contains(" 400 ") || text.contains(" 505 ") || text.contains(" 404 "),
            "{text}"
        );
    }
    assert_eq!(engine.http("GET", "/_ping", None).text(), "OK");
}

#[test]
fn heads_without_end_are_bounded() {
    let engine = Engine::start();
    let head = format!(
        "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n",
        "y".repeat(4 << 20)
    );
    let response = http::raw(&engine.socket(), head.as_bytes());
    assert!((400..500).contains(&response.status), "{}", response.status);
    assert!(engine.is_running());
}

#[test]
fn paths_and_queries() {
    let engine = Engine::start();
    for (method, path, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/v1.51/nowhere", 404),
        ("GET", "/v9.99/version", 400),
        ("GET", "/v1.0/version", 400),
        ("GET", "/containers/json?limit=x", 500),
        ("GET", "/containers/json?filters=%7B", 400),
        ("GET", "/containers/json?filters=%5B1%5D", 400),
        ("GET", "/containers/%2e%2e%2f%2e%2e/json", 404),
        ("GET", "/containers/nobody/json", 404),
        ("POST", "/containers/nobody/start", 404),
        ("DELETE", "/containers/nobody", 404),
        ("GET", "/containers/nobody/logs?stdout=1", 404),
        ("GET", "/events?since=yesterday", 500),
        ("POST", "/containers/nobody/kill?signal=NOPE", 400),
        ("POST", "/containers/nobody/kill", 404),
    ] {
        let response = engine.http(method, path, None);
        assert_eq!(response.status, status, "{method} {path}: {}", response.text());
        // Clients that are too old get the bare sentence.
        assert!(!response.text().is_empty(), "{method} {path}");
    }
}

#[test]
fn logs_want_a_stream() {
    let engine = Engine::start();
    engine.corten(["run", "--name", "said", "busybox", "true"]).ok();
    let response = engine.http("GET", "/containers/said/logs", None);
    assert_eq!(response.status, 400);
    assert!(
        response.message().contains("you must choose at least one stream"),
        "{}",
        response.text()
    );
}

#[test]
fn values_out_of_range() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    for (host_config, words) in [
        (json!({"Memory": 1000}), "Minimum memory limit allowed is 6MB"),
        (json!({"NanoCpus": -5}), "range of CPUs"),
        (
            json!({"RestartPolicy": {"Name": "no", "MaximumRetryCount": 5}}),
            "maximum retry count",
        ),
        (json!({"Binds": ["a:b:c:d"]}), "invalid volume specification"),
        (json!({"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}}), "nvalid"),
        (json!({"PortBindings": {"nope": [{"HostPort": "1"}]}}), "nvalid"),
        (json!({"CapAdd": ["NOPE"]}), "nvalid"),
        (
            json!({"LogConfig": {"Type": "nope"}}),
            "error looking up logging plugin nope",
        ),
        (json!({"NetworkMode": "container:"}), ""),
    ] {
        let body = json!({"Image": "busybox", "HostConfig": host_config});
        let response = engine.http("POST", "/containers/create", Some(&body));
        assert!(
            (400..500).contains(&response.status),
            "{host_config}: {} {}",
            response.status,
            response.text()
        );
        assert!(response.message().contains(words), "{host_config}: {}", response.text());
    }
    assert_eq!(engine.get("/containers/json?all=1").as_array().map(Vec::len), Some(0));
}
