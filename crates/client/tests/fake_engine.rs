//! The client against an engine that follows a script.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    thread::JoinHandle,
};

use corten_client::{AttachOptions, Client, Endpoint, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A listening socket in a folder of its own, and the thread that answers.
struct Engine {
    folder: tempfile::TempDir,
    thread: JoinHandle<Vec<String>>,
}

impl Engine {
    /// Serves connections one after the other; `answer` gets each request's head and body.
    fn start(connections: usize, answer: impl Fn(&str, &mut UnixStream) -> bool + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        let thread = std::thread::spawn(move || {
            let mut lines = Vec::new();
            for _ in 0..connections {
                let (mut stream, _) = listener.accept().unwrap();
                while let Some(request) = read_request(&mut stream) {
                    lines.push(request.lines().next().unwrap_or_default().to_owned());
                    if !answer(&request, &mut stream) {
                        break;
                    }
                }
            }
            lines
        });
        Self { folder, thread }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// The request lines, once every connection is over.
    fn finish(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn read_request(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .lines()
        .find_map(|l| {
            l.to_ascii_lowercase()
                .strip_prefix("content-length: ")
                .map(str::to_owned)
        })
        .map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Some(head + &String::from_utf8(body).unwrap())
}

fn reply(stream: &mut UnixStream, status: &str, body: &str) {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn steps_down_to_the_engines_version_and_reuses_the_connection() {
    let engine = Engine::start(1, |request, stream| {
        if request.contains("/v1.51/") {
            let text = r#"{"message":"client version 1.51 is too new. Maximum supported API version is 1.43"}"#;
            reply(stream, "400 Bad Request", text);
        } else {
            reply(stream, "200 OK", "[]");
        }
        true
    });
    run(async {
        let client = Client::new(Endpoint::unix(engine.path()));
        let none = corten_api::filters::Filters::default();
        assert!(client.containers(true, 0, false, &none).await.unwrap().is_empty());
        assert_eq!(client.api_version(), "1.43");
        assert!(client.containers(false, 3, false, &none).await.unwrap().is_empty());
    });
    assert_eq!(
        engine.finish(),
        [
            "GET /v1.51/containers/json?all=1 HTTP/1.1",
            "GET /v1.43/containers/json?all=1 HTTP/1.1",
            "GET /v1.43/containers/json?limit=3 HTTP/1.1",
        ]
    );
}

#[test]
fn carries_streams_and_the_half_close_of_input() {
    let engine = Engine::start(1, |request, stream| {
        assert!(request.contains("Upgrade: tcp"));
        stream
            .write_all(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nearly ")
            .unwrap();
        let mut input = String::new();
        stream.read_to_string(&mut input).unwrap();
        stream.write_all(format!("got {input}").as_bytes()).unwrap();
        false
    });
    run(async {
        let client = Client::new(Endpoint::unix(engine.path()));
        let options = AttachOptions {
            stream: true,
            stdin: true,
            stdout: true,
            ..AttachOptions::default()
        };
        let connection = client.attach_container("a", &options).await.unwrap();
        assert_eq!(connection.is_raw(), Some(true));
        let (mut reader, mut writer) = connection.split();
        writer.write_all(b"input").await.unwrap();
        writer.shutdown().await.unwrap();
        let mut output = String::new();
        reader.read_to_string(&mut output).await.unwrap();
        assert_eq!(output, "early got input");
    });
    assert_eq!(
        engine.finish(),
        ["POST /v1.51/containers/a/attach?stdin=1&stdout=1&stream=1 HTTP/1.1"]
    );
}

#[test]
fn reports_refusals_and_messages() {
    let engine = Engine::start(2, |request, stream| {
        if request.contains("/attach") {
            reply(stream, "404 Not Found", r#"{"message":"No such container: a"}"#);
            return false;
        }
        let body = "{\"status\":\"one\"}\r\n{\"status\":\"two\",\"id\":\"x\"}\r\n";
        let (first, second) = body.split_at(20);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for part in [first, second] {
            write!(stream, "{:x}\r\n{part}\r\n", part.len()).unwrap();
            stream.flush().unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        true
    });
    run(async {
        let client = Client::new(Endpoint::unix(engine.path()));
        let error = client
            .attach_container("a", &AttachOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "Error response from daemon: No such container: a");
        let mut messages = client.pull(&corten_client::PullOptions::default()).await.unwrap();
        assert_eq!(messages.next().await.unwrap().unwrap().status, "one");
        assert_eq!(messages.next().await.unwrap().unwrap().id, "x");
        assert!(messages.next().await.unwrap().is_none());
        drop(client);
    });
    assert_eq!(engine.finish().len(), 2);
}

#[test]
fn says_when_nobody_listens() {
    run(async {
        let client = Client::new(Endpoint::unix("/nonexistent/corten.sock"));
        assert_eq!(
            client.version().await.unwrap_err().to_string(),
            "Cannot connect to the Docker daemon at unix:///nonexistent/corten.sock. Is the docker daemon running?"
        );
    });
}
