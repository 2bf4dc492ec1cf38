//! Ports by IPv6 for containers without it, and from `::1`: passed on by the container's shim.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

use crate::{answers, serve};

#[test]
fn ipv6_and_its_loopback_lead_to_every_container() {
    let engine = Engine::start();
    engine.sh("ip address add fd00:99::1/64 dev lo").ok();
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://[::1]:8080/", "web");
    answers(&engine, "http://[fd00:99::1]:8080/", "web");
    serve(&engine, "own", &["-p", "[::1]:8081:80"]);
    answers(&engine, "http://[::1]:8081/", "own");
    assert!(engine.try_curl("http://[fd00:99::1]:8081/").is_none());
    engine
        .corten(["network", "create", "--ipv6", "--subnet", "fd00:7::/64", "dual"])
        .ok();
    serve(&engine, "dual", &["--network", "dual", "-p", "8082:80"]);
    answers(&engine, "http://[::1]:8082/", "dual");
    // The sockets go with the container.
    engine.corten(["rm", "-f", "web"]).ok();
    assert!(engine.try_curl("http://[::1]:8080/").is_none());
    serve(&engine, "again", &["-p", "8080:80"]);
    answers(&engine, "http://[::1]:8080/", "again");
}

#[test]
fn they_go_on_while_the_engine_is_down() {
    let engine = Engine::start();
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://[::1]:8080/", "web");
    engine.kill();
    answers(&engine, "http://[::1]:8080/", "web");
    answers(&engine, "http://127.0.0.1:8080/", "web");
    engine.launch();
    answers(&engine, "http://[::1]:8080/", "web");
}

#[test]
fn they_do_what_rules_do_where_there_are_none() {
    let flags = ["--iptables=false", "--ip6tables=false"];
    let engine = Engine::start_with(Options::with_flags(&flags));
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
}

#[test]
fn none_without_the_userland_proxy() {
    let engine = Engine::start_with(Options::with_flags(&["--userland-proxy=false"]));
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    assert_eq!(engine.corten(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8080\n");
    assert!(engine.try_curl("http://[::1]:8080/").is_none());
}

#[test]
fn datagrams_by_ipv6() {
    let engine = Engine::start_with(Options::with_images(&["debian:bookworm-slim"]));
    let server = "use IO::Socket; $s = IO::Socket::INET->new(LocalPort => 53, Proto => 'udp'); \
                  while ($s->recv($m, 99)) { $s->send($m) }";
    let run = [
        "run",
        "-d",
        "--name",
        "echo",
        "-p",
        "5353:53/udp",
        "debian:bookworm-slim",
    ];
    engine.corten(run.iter().chain(&["perl", "-e", server])).ok();
    until::is("a datagram comes back", || {
        let client = "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(0.5); \
                      s.connect(('::1', 5353)); s.send(b'hello'); print(s.recv(99).decode())";
        let client = engine.program(std::path::Path::new("python3"), ["-c", client]);
        client.run().stdout == "hello\n"
    });
}

#[test]
fn much_data_and_many_clients() {
    let engine = Engine::start();
    let script = "mkdir /www; head -c 8000000 /dev/zero > /www/index.html; exec httpd -f -p 80 -h /www";
    let run = [
        "run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", script,
    ];
    engine.corten(run).ok();
    until::is("it serves", || engine.try_curl("http://127.0.0.1:8080/").is_some());
    let fetch = "seq 20 | xargs -P 10 -I{} curl -g -s -m 30 -o /dev/null -w '%{size_download}\\n' 'http://[::1]:8080/?{}' \
                 | sort | uniq -c";
    assert_eq!(engine.sh(fetch).line(), "20 8000000");
}

#[test]
fn they_follow_a_container_to_other_networks() {
    let engine = Engine::start();
    for (name, subnet) in [("a", "10.81.1.0/24"), ("b", "10.81.2.0/24")] {
        engine.corten(["network", "create", "--subnet", subnet, name]).ok();
    }
    serve(&engine, "web", &["--network", "b", "-p", "8080:80"]);
    answers(&engine, "http://[::1]:8080/", "web");
    // The way out is by the first network now.
    engine.corten(["network", "connect", "a", "web"]).ok();
    engine.corten(["network", "disconnect", "b", "web"]).ok();
    // Somebody else has the old address.
    serve(&engine, "other", &["--network", "b", "--ip", "10.81.2.2"]);
    for url in ["http://127.0.0.1:8080/", "http://[::1]:8080/"] {
        assert_eq!(engine.curl(url), "web\n", "{url}");
    }
    engine.corten(["network", "disconnect", "a", "web"]).ok();
    serve(&engine, "another", &["--network", "a", "--ip", "10.81.1.2"]);
    assert!(engine.try_curl("http://[::1]:8080/").is_none());
    engine.corten(["rm", "-f", "another"]).ok();
    engine.corten(["network", "connect", "a", "web"]).ok();
    assert_eq!(engine.curl("http://[::1]:8080/"), "web\n");
}
