//! Clients that are slow, or go in the middle of a request.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use corten_tests::engine::Engine;
use corten_tests::until;

fn connect(engine: &Engine, bytes: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(engine.socket()).expect("the engine listens");
    stream.write_all(bytes).expect("the engine reads");
    stream
}

/// How many descriptors the engine has.
fn descriptors(engine: &Engine) -> usize {
    corten_sys::fs::read_dir(format!("/proc/{}/fd", engine.pid()))
        .expect("it runs")
        .count()
}

#[test]
fn half_requests_keep_nobody_waiting() {
    let engine = Engine::start();
    let before = descriptors(&engine);
    let half = b"POST /v1.51/containers/create?name=half HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let body = [&half[..], b"Content-Length: 100000\r\n\r\n{\"Image\":\"busybox\""].concat();
    let chunk = [
        &half[..],
        b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n{\"Image\":\"busybox\"",
    ]
    .concat();
    let mut slow = Vec::new();
    for _ in 0..100 {
        slow.push(connect(&engine, half));
        slow.push(connect(&engine, &body));
        slow.push(connect(&engine, &chunk));
    }
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "echo", "works"]).ok(),
        "works\n"
    );
    drop(slow);
    until::is("the engine has closed them", || descriptors(&engine) < before + 30);
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn a_body_without_end_is_refused() {
    let engine = Engine::start();
    let head = b"POST /v1.51/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = connect(&engine, head);
    stream.set_read_timeout(Some(until::PATIENCE)).expect("a socket");
    let piece = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    // Up to a gigabyte; the engine hangs up long before.
    let sent = (0..1000).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < 200, "{sent} MB were taken");
    let mut answer = Vec::new();
    // It may have closed with what it had not read, which takes the answer along.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.is_empty() || text.contains(" 413 ") || text.contains(" 400 "),
        "{text}"
    );
    assert_eq!(engine.http("GET", "/_ping", None).text(), "OK");
}

#[test]
fn who_does_not_read_holds_up_nobody_else() {
    let engine = Engine::start();
    let script = "while :; do echo a line that is long enough to fill a socket soon; done";
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "box",
            "--log-opt",
            "max-size=1m",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    let logs = connect(
        &engine,
        b"GET /v1.51/containers/box/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let events = connect(&engine, b"GET /v1.51/events HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..20 {
        assert_eq!(engine.corten(["exec", "box", "echo", "works"]).ok(), "works\n");
    }
    engine.corten(["rm", "-f", "box"]).ok();
    drop((logs, events));
}

#[test]
fn a_client_that_goes_takes_its_pull_along() {
    let engine = Engine::start();
    let image = corten_tests::images::TestImage::small("x");
    engine.registry().add_image("library/app", "latest", &image);
    engine
        .registry()
        .inject("/blobs/", 50, corten_tests::registry::Fault::StallAfter(10));
    let stream = connect(
        &engine,
        b"POST /v1.51/images/create?fromImage=app&tag=latest HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    );
    engine.registry().wait_for("GET", "/blobs/", 1);
    drop(stream);
    engine.registry().heal();
    engine.corten(["pull", "app"]).ok();
}
