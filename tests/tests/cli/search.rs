//! `search`, against an engine that a test plays: what it asks for, and how it writes what it gets.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    sync::mpsc,
};

use corten_tests::engine::{Engine, Options};
use serde_json::json;

/// Answers one request on a socket with these images; the request's first line comes out of the channel.
fn answer(socket: &Path, images: &serde_json::Value) -> mpsc::Receiver<String> {
    let listener = UnixListener::bind(socket).expect("a socket");
    let (sender, asked) = mpsc::channel();
    let body = images.to_string();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
        let first = lines.next().and_then(Result::ok).unwrap_or_default();
        while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // The client may have what it wants already.
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
        let _ = sender.send(first);
    });
    asked
}

#[test]
fn results_are_a_table_by_stars() {
    let engine = Engine::prepared(Options::default());
    let images = json!([
        {"name": "me/small", "description": "one\nline", "star_count": 3, "is_official": false, "is_automated": false},
        {"name": "busybox", "description": "x".repeat(60), "star_count": 30, "is_official": true, "is_automated": false},
    ]);
    let socket = engine.work().join("api");
    let asked = answer(&socket, &images);
    let host = format!("unix://{}", socket.display());
    let table = engine
        .corten([
            "-H",
            &host,
            "search",
            "--limit",
            "5",
            "--filter",
            "is-official=true",
            "busy box",
        ])
        .ok();
    let cut = format!("{}…", "x".repeat(44));
    assert_eq!(
        table,
        format!(
            "NAME       DESCRIPTION                                     STARS     OFFICIAL\n\
             busybox    {cut}   30        [OK]\n\
             me/small   one line                                        3         \n"
        )
    );
    let request = asked.recv().expect("a request");
    assert!(
        request.contains("/images/search?term=busy%20box&limit=5&filters="),
        "{request}"
    );
    corten_sys::fs::remove_file(&socket).expect("a socket");
    let _asked = answer(&socket, &images);
    let lines = engine
        .corten([
            "-H",
            &host,
            "search",
            "--no-trunc",
            "--format",
            "{{.Name}}: {{.Description}}",
            "x",
        ])
        .ok();
    assert_eq!(lines, format!("busybox: {}\nme/small: one line\n", "x".repeat(60)));
}
