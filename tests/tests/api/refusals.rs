//! Requests that make no sense: status and sentence are dockerd's.
//!
//! `tests/data/api/refusals.txt` was taken from dockerd 28.5.2: a request in one line (method, path, body),
//! then its answer. Ids are masked; `(bare)` is an answer that is no JSON.

use std::path::Path;

use corten_tests::{engine::Engine, programs};
use serde_json::Value;

use crate::scene;

#[test]
fn bad_requests_get_docker_s_answers() {
    let engine = scene();
    let text = corten_sys::fs::read_to_string(programs::root().join("tests/data/api/refusals.txt")).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    let mut wrong = Vec::new();
    for pair in lines.chunks(2) {
        let [request, expected] = pair else {
            panic!("a request without an answer: {pair:?}");
        };
        let answer = ask(&engine, request);
        if answer != expected.trim_start() {
            wrong.push(format!(
                "{request}\n  expected {}\n  got      {answer}",
                expected.trim()
            ));
        }
    }
    assert!(lines.len() > 500, "{}", lines.len());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        lines.len() / 2,
        wrong.join("\n")
    );
}

fn ask(engine: &Engine, request: &str) -> String {
    let mut parts = request.splitn(3, ' ');
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let body = parts.next();
    let kind = if body.is_some() {
        "Content-Type: application/json\r\n"
    } else {
        ""
    };
    let body = body.unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let response = corten_tests::http::raw(Path::new(&engine.socket()), head.as_bytes());
    let message = match serde_json::from_slice::<Value>(&response.body) {
        Ok(Value::Object(document)) => document.get("message").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let message = message.unwrap_or_else(|| format!("(bare) {}", response.text().trim()));
    masked(&format!("{} {}", response.status, message.replace('\n', "\\n")))
}

/// Replaces runs of 64 and of 12 hexadecimal digits.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        match run.len() {
            64 => masked.push_str("<ID>"),
            12 => masked.push_str("<SHORT_ID>"),
            _ => masked.push_str(&run),
        }
        run.clear();
        masked.push(c);
    }
    masked.trim_end_matches('\0').to_owned()
}

#[test]
fn early_answers_do_not_break_the_request() {
    use std::io::{Read as _, Write as _};
    let engine = Engine::start();
    // A client that sends its body late still gets the answer: nothing was closed before.
    let mut stream = std::os::unix::net::UnixStream::connect(engine.socket()).expect("the engine listens");
    stream
        .write_all(b"POST /plugins/x/set HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n")
        .expect("a socket");
    for _ in 0..100 {
        stream.write_all(&[b' '; 1000]).expect("the engine reads");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}
