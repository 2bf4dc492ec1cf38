//! A client that attaches on one connection and starts the container on another.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use corten_tests::engine::Engine;
use corten_tests::until;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
