//! `GET /containers/{id}/attach/ws`, with a client of the test's own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use corten_tests::{engine::Engine, until};

struct Socket(UnixStream);

impl Socket {
    #[track_caller]
    fn open(engine: &Engine, path: &str) -> Self {
        let mut stream = UnixStream::connect(engine.socket()).expect("the engine listens");
        stream.set_read_timeout(Some(until::PATIENCE)).expect("a socket");
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://localhost\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("a socket");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        // RFC 6455, 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Self(stream)
    }

    /// Sends a masked frame.
    fn send(&mut self, opcode: u8, data: &[u8]) {
        let length = u8::try_from(data.len()).expect("short");
        assert!(length < 126);
        let mut frame = vec![0x80 | opcode, 0x80 | length, 9, 8, 7, 6];
        frame.extend(data.iter().zip([9, 8, 7, 6].iter().cycle()).map(|(b, m)| b ^ m));
        self.0.write_all(&frame).expect("a socket");
    }

    /// Reads one frame: opcode and data.
    fn read(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut more = [0; 2];
            self.0.read_exact(&mut more).expect("a frame");
            length = usize::from(u16::from_be_bytes(more));
        }
        let mut data = vec![0; length];
        self.0.read_exact(&mut data).expect("a frame");
        (head[0] & 0x0f, data)
    }

    /// Reads output until the close, which it returns no part of.
    fn rest(&mut self) -> String {
        let mut text = Vec::new();
        loop {
            match self.read() {
                (2, data) => text.extend(data),
                (8, _) => return String::from_utf8_lossy(&text).into_owned(),
                (other, data) => panic!("frame {other}: {data:?}"),
            }
        }
    }
}

#[test]
fn input_and_output_go_over_a_websocket() {
    let engine = Engine::start();
    engine
        .corten(["create", "-i", "--name", "ws", "busybox", "head", "-n", "1"])
        .ok();
    let mut socket = Socket::open(&engine, "/containers/ws/attach/ws?stream=1&stdin=1&stdout=1&stderr=1");
    engine.corten(["start", "ws"]).ok();
    socket.send(9, b"there?");
    assert_eq!(socket.read(), (10, b"there?".to_vec()), "a ping is answered");
    socket.send(1, b"he");
    socket.send(2, b"llo\n");
    assert_eq!(socket.rest(), "hello\n");
}

#[test]
fn both_streams_come_without_docker_s_frames() {
    let engine = Engine::start();
    let script = "echo out; echo error >&2";
    engine
        .corten(["create", "--name", "ws", "busybox", "sh", "-c", script])
        .ok();
    let mut all = Socket::open(&engine, "/v1.41/containers/ws/attach/ws?stream=1");
    let mut errors = Socket::open(&engine, "/containers/ws/attach/ws?stream=1&stderr=1");
    engine.corten(["start", "ws"]).ok();
    let text = all.rest();
    assert!(
        text.contains("out\n") && text.contains("error\n") && text.len() == 10,
        "{text:?}"
    );
    assert_eq!(errors.rest(), "error\n");
}

#[test]
fn the_log_comes_first_when_asked() {
    let engine = Engine::start();
    engine.corten(["run", "--name", "ws", "busybox", "echo", "before"]).ok();
    let mut socket = Socket::open(&engine, "/containers/ws/attach/ws?logs=1&stdout=1");
    assert_eq!(socket.rest(), "before\n");
}

#[test]
fn what_is_no_handshake_is_refused() {
    let engine = Engine::start();
    engine.corten(["create", "--name", "ws", "busybox", "true"]).ok();
    let answer = engine.http("GET", "/containers/ws/attach/ws", None);
    assert_eq!((answer.status, answer.text().trim()), (400, "not websocket protocol"));
    assert_eq!(engine.http("GET", "/containers/nosuch/attach/ws", None).status, 404);
}
