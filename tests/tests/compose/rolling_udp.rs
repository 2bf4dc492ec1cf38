//! `up --rolling` of services that publish ports of UDP.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

use crate::project::Project;

/// A server that says which version it is, to every datagram, once it has done something else.
fn file(version: &str, before: &str) -> String {
    let server = "use IO::Socket; BEFORE $$s = IO::Socket::INET->new(LocalPort => 5300, Proto => 'udp'); \
                  while ($$s->recv($$m, 99)) { $$s->send('VERSION') }";
    let server = server.replace("VERSION", version).replace("BEFORE", before);
    format!(
        "name: shop
services:
  web:
    image: debian:bookworm-slim
    command: [perl, -e, \"{server}\"]
    stop_signal: SIGKILL
    ports: ['5300:5300/udp']
"
    )
}

/// Asks by a socket, and again where an answer does not come, as clients of UDP do.
fn ask(socket: &UdpSocket) -> std::io::Result<String> {
    let mut buffer = [0; 64];
    for _ in 0..60 {
        socket.send(b"which")?;
        match socket.recv(&mut buffer) {
            Ok(count) => return Ok(String::from_utf8_lossy(&buffer[..count]).trim().to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// A socket that asks there.
fn socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let own = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(own)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

/// Asks by new sockets until told to stop; gives all different answers.
fn ask_anew(address: SocketAddr, stop: &AtomicBool, count: &AtomicUsize) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = socket(address).and_then(|socket| ask(&socket));
        told.insert(answer.unwrap_or_else(|error| format!("{address}: {error}")));
        count.fetch_add(1, Ordering::Relaxed);
        // The engine is to have its turn on small machines.
        std::thread::park_timeout(Duration::from_millis(2));
    }
    told
}

/// Tells clients to stop, also when the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn datagrams_are_answered_while_containers_are_replaced() {
    let engine = Engine::start_with(Options::with_images(&["debian:bookworm-slim"]));
    let project = Project { engine };
    project.write("compose.yaml", &file("one", ""));
    project.run("compose up --wait").ok();
    let before = project.ids();
    let addresses: [SocketAddr; 2] = ["127.0.0.1:5300", "[::1]:5300"].map(|text| text.parse().expect("an address"));
    let (stop, count) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let told = project.engine.inside(|| {
        for address in addresses {
            until::is("it answers", || socket(address).and_then(|socket| ask(&socket)).is_ok());
        }
        std::thread::scope(|scope| {
            let clients = addresses.map(|address| scope.spawn(move || ask_anew(address, stop, count)));
            let _end = End(stop);
            // One that keeps its port.
            let kept = addresses.map(|address| socket(address).expect("a socket"));
            let stands = || {
                kept.iter()
                    .map(|socket| ask(socket).expect("an answer"))
                    .collect::<Vec<_>>()
            };
            assert_eq!(stands(), ["one", "one"]);
            project.write("compose.yaml", &file("two", "sleep 1;"));
            let up = project.run("compose up --rolling --wait-timeout 300").run();
            assert_eq!(up.code, 0, "{up}");
            assert_eq!(stands(), ["two", "two"], "the old one is gone");
            let so_far = count.load(Ordering::Relaxed);
            until::is("some more answers", || count.load(Ordering::Relaxed) > so_far + 50);
            stop.store(true, Ordering::Relaxed);
            clients.map(|client| client.join().expect("no panic"))
        })
    });
    for told in told {
        let answers = told.iter().filter(|answer| !["one", "two"].contains(&answer.as_str()));
        assert_eq!(answers.collect::<Vec<_>>(), [""; 0], "not one was refused");
    }
    assert_ne!(project.ids(), before);
}
