//! A client that attaches on one connection and starts the container on another.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use corten_tests::engine::Engine;
use corten_tests::until;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

#[test]
fn a_start_waits_for_those_who_attached_before() {
    let engine = Engine::start();
    for round in 0..3 {
        let name = format!("box{round}");
        engine
            .corten(["create", "--name", &name, "busybox", "echo", "all of it"])
            .ok();
        let mut stream = UnixStream::connect(engine.socket()).expect("the engine listens");
        let head = format!(
            "POST /containers/{name}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it is taken");
        // The answer is there, and not read yet: the engine still holds the connection.
        until::is("the answer came", || {
            let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
            let mut fds = [PollFd::new(&stream, PollFlags::IN)];
            poll(&mut fds, Some(&wait)).is_ok_and(|ready| ready == 1)
        });
        let path = format!("/containers/{name}/start");
        assert_eq!(engine.http("POST", &path, None).status, 204);
        let mut said = Vec::new();
        stream.read_to_end(&mut said).expect("the whole session");
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 101"), "{said:?}");
        assert!(said.ends_with("all of it\n"), "{round}: {said:?}");
    }
}

/// docker-py reads the answer's head through a buffer and then goes on with the bare socket: what came along with
/// the head would be lost.
#[test]
fn no_output_comes_along_with_the_head() {
    let engine = Engine::start();
    engine.ready_box(&[], "true");
    // With a terminal, but read in frames: the engine stands between.
    for tty in [true, false] {
        let heads_alone = (0..20).any(|_| {
            let body = json!({"Cmd": ["echo", "all of it"], "AttachStdout": true, "Tty": true});
            let made = engine.http("POST", "/containers/box/exec", Some(&body)).json();
            let id = made["Id"].as_str().expect("an id");
            let body = json!({"Detach": false, "Tty": tty}).to_string();
            let request = format!(
                "POST /exec/{id}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut stream = UnixStream::connect(engine.socket()).expect("the engine listens");
            stream.write_all(request.as_bytes()).expect("it is taken");
            let wait = |nanoseconds| Timespec {
                tv_sec: 0,
                tv_nsec: nanoseconds,
            };
            until::is("the answer came", || {
                let mut fds = [PollFd::new(&stream, PollFlags::IN)];
                poll(&mut fds, Some(&wait(999_999_999))).is_ok_and(|ready| ready == 1)
            });
            // The time in which it would have run. A busy machine may take longer than the engine waits.
            assert_eq!(poll(&mut [], Some(&wait(200_000_000))), Ok(0));
            let mut first = vec![0; 64 << 10];
            let length = stream.read(&mut first).expect("an answer");
            let mut said = first[..length].to_vec();
            let is_head = said.ends_with(b"\r\n\r\n");
            stream.read_to_end(&mut said).expect("the whole session");
            let said = String::from_utf8_lossy(&said);
            assert!(said.ends_with("all of it\r\n"), "{said:?}");
            is_head
        });
        assert!(heads_alone, "tty: {tty}");
    }
}
