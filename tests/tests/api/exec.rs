//! Execs: how their output is framed.

use corten_tests::engine::Engine;
use serde_json::json;

/// Starts an exec that has a terminal or not, as a client that expects one or not, and returns what it sends.
#[track_caller]
fn output(engine: &Engine, has_tty: bool, as_tty: bool) -> Vec<u8> {
    let config = json!({"Cmd": ["echo", "hello"], "AttachStdout": true, "AttachStderr": true, "Tty": has_tty});
    let created = engine.http("POST", "/containers/box/exec", Some(&config)).json();
    let id = created["Id"].as_str().expect("an id");
    let start = json!({"Detach": false, "Tty": as_tty});
    engine.http("POST", &format!("/exec/{id}/start"), Some(&start)).body
}

#[test]
fn output_is_framed_as_the_client_expects() {
    let engine = Engine::start();
    let sleep = ["run", "-d", "--name", "box", "busybox", "sleep", "300"];
    engine.corten(sleep).ok();
    assert_eq!(output(&engine, false, false), b"\x01\0\0\0\0\0\0\x06hello\n");
    assert_eq!(output(&engine, true, true), b"hello\r\n");
    assert_eq!(output(&engine, true, false), b"\x01\0\0\0\0\0\0\x07hello\r\n");
    assert_eq!(output(&engine, false, true), b"hello\n");
}
