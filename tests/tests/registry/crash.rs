//! SIGKILL at any moment.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use corten_oci::digest::Digest;
use corten_tests::until;

use crate::server::Server;

#[test]
fn an_upload_outlives_the_registry() {
    let mut server = Server::start(&[]);
    let place = server.begin("a");
    assert_eq!(server.call("PATCH", &place, &[], b"01234").status, 202);
    let mut stream = server.connect();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n567");
    stream.write_all(head.as_bytes()).expect("sent");
    until::is("it has eight bytes", || {
        let file = corten_sys::fs::read_dir(server.root().join("uploads"))
            .expect("a folder")
            .flatten()
            .next();
        file.is_some_and(|file| file.metadata().expect("a file").len() == 8)
    });
    server.kill();
    server.restart();
    assert_eq!(server.get(&place).header("range"), Some("0-7"));
    let digest = Digest::sha256(b"0123456789");
    let answer = server.call(
        "PUT",
        &format!("{place}?digest={digest}"),
        &[("Content-Range", "8-9")],
        b"89",
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(server.get(&format!("/v2/a/blobs/{digest}")).text(), "0123456789");
}

/// Whatever was acknowledged is there; whatever is there is whole.
#[test]
fn what_was_acknowledged_is_there_after_each_kill() {
    kill_while_it_works(&[]);
}

#[test]
fn what_was_acknowledged_before_the_disk_had_it_is_there_after_each_kill() {
    kill_while_it_works(&["--no-durable"]);
}

fn kill_while_it_works(arguments: &[&str]) {
    let mut server = Server::start(arguments);
    let mut acknowledged: Vec<(String, Digest)> = Vec::new();
    for round in 0..4_u8 {
        let is_killed = AtomicBool::new(false);
        let killed_after = usize::from(round) * 3 + 2;
        let (address, pushed) = (server.address.clone(), std::sync::Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for worker in 0..2_u8 {
                let (address, pushed, is_killed) = (&address, &pushed, &is_killed);
                scope.spawn(move || {
                    for number in 0..200_u8 {
                        let tag = format!("r{round}w{worker}n{number}");
                        let layer = [vec![round, worker, number], vec![5; 20_000]].concat();
                        match push(address, &tag, &layer) {
                            Some(digest) => pushed.lock().expect("a list").push((tag, digest)),
                            None => return assert!(is_killed.load(Ordering::SeqCst), "a push failed"),
                        }
                    }
                });
            }
            until::is("some are pushed", || {
                pushed.lock().expect("a list").len() >= killed_after
            });
            is_killed.store(true, Ordering::SeqCst);
            server.kill();
        });
        acknowledged.extend(pushed.into_inner().expect("a list"));
        server.restart();
        for (tag, digest) in &acknowledged {
            let answer = server.get(&format!("/v2/a/manifests/{tag}"));
            assert_eq!((answer.status, &Digest::sha256(&answer.body)), (200, digest), "{tag}");
            let document = answer.json();
            for blob in document["layers"]
                .as_array()
                .expect("layers")
                .iter()
                .chain([&document["config"]])
            {
                let name = blob["digest"].as_str().expect("a digest");
                let bytes = server.get(&format!("/v2/a/blobs/{name}"));
                assert_eq!((bytes.status, Digest::sha256(&bytes.body).as_str()), (200, name));
            }
        }
    }
    until::is("all has its place", || {
        let landing = corten_sys::fs::read_dir(server.root().join("landing")).expect("a folder");
        landing.count() == 0
    });
    server.collect(&["--grace", "0"]);
    assert_eq!(server.get("/v2/a/manifests/r0w0n0").status, 200);
}

/// Pushes an image by hand; `None` when the registry is gone.
fn push(address: &str, tag: &str, layer: &[u8]) -> Option<Digest> {
    let config = format!("{{\"tag\":\"{tag}\"}}");
    for blob in [layer, config.as_bytes()] {
        let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(blob));
        send(address, "POST", &path, blob).filter(|status| *status == 201)?;
    }
    let manifest = crate::server::manifest(config.as_bytes(), &[layer]).to_string();
    send(address, "PUT", &format!("/v2/a/manifests/{tag}"), manifest.as_bytes()).filter(|status| *status == 201)?;
    Some(Digest::sha256(manifest.as_bytes()))
}

fn send(address: &str, method: &str, path: &str, body: &[u8]) -> Option<u16> {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(until::PATIENCE)).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

#[test]
fn pushes_and_deletes_are_answered_when_the_disk_has_it() {
    let server = Server::start(&[]);
    for number in 0..3_u8 {
        let digest = server.push_image("a", "1", &vec![number; 200_000]);
        // What is not yet on the disk waits there.
        let landing = corten_sys::fs::read_dir(server.root().join("landing")).expect("a folder");
        assert_eq!(landing.count(), 0);
        let answer = server.call("DELETE", &format!("/v2/a/manifests/{digest}"), &[], &[]);
        assert_eq!(answer.status, 202);
    }
}

#[test]
fn stale_uploads_expire() {
    let server = Server::start(&["--upload-expiry", "0s"]);
    let place = server.begin("a");
    server.call("PATCH", &place, &[], b"bytes");
    let said = server.collect(&[]);
    assert!(said.contains("1 uploads"), "{said}");
    assert_eq!(server.get(&place).status, 404);
}

#[test]
fn one_registry_has_a_folder() {
    let server = Server::start(&[]);
    let output = std::process::Command::new(corten_tests::programs::corten())
        .args(["registry", "serve", "--listen", "127.0.0.1:0", "--data-root"])
        .arg(server.root())
        .output()
        .expect("corten runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("in use by another registry"), "{said}");
}
