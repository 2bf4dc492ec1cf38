//! Networks as their users see them: addresses, ports, names.

mod flags;
mod flush;
mod ipv6;
mod isolation;
mod links;
mod macvlan;
mod names;
mod options;
mod places;
mod relays;
mod standby;

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

/// A web server that says its name.
fn serve(engine: &Engine, name: &str, options: &[&str]) {
    let script = format!("mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 80 -h /www");
    let before = ["run", "-d", "--name", name];
    let after = ["busybox", "sh", "-c", &script];
    engine.corten(before.iter().chain(options).chain(&after)).ok();
}

#[track_caller]
fn answers(engine: &Engine, url: &str, text: &str) {
    until::is(&format!("{url} answers"), || {
        engine.try_curl(url).is_some_and(|page| page.trim() == text)
    });
}

#[test]
fn published_ports_are_reachable_from_everywhere() {
    let engine = Engine::start();
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    answers(&engine, "http://localhost:8080/", "web");
    answers(&engine, "http://172.28.0.1:8080/", "web");
    // From a neighbour, from itself, by the bridge's address.
    let fetch = ["wget", "-q", "-O", "-", "http://172.28.0.1:8080/"];
    assert_eq!(
        engine.corten(["run", "--rm", "busybox"].into_iter().chain(fetch)).ok(),
        "web\n"
    );
    assert_eq!(engine.corten(["exec", "web"].into_iter().chain(fetch)).ok(), "web\n");
    let address = engine.inspect("web", "{{.NetworkSettings.IPAddress}}");
    let direct = format!("http://{address}/");
    assert_eq!(
        engine
            .corten(["run", "--rm", "busybox", "wget", "-q", "-O", "-", &direct])
            .ok(),
        "web\n"
    );
}

#[test]
fn a_port_of_one_address_is_on_that_alone() {
    let engine = Engine::start();
    serve(&engine, "web", &["-p", "127.0.0.1:8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    assert!(engine.try_curl("http://172.28.0.1:8080/").is_none());
}

#[test]
fn ranges_and_any_ports() {
    let engine = Engine::start();
    serve(&engine, "ranged", &["-p", "9000-9002:80-82"]);
    answers(&engine, "http://127.0.0.1:9000/", "ranged");
    let ports = engine.corten(["port", "ranged"]).ok();
    assert_eq!(ports.lines().count(), 6, "{ports}");
    serve(&engine, "any", &["-p", "80"]);
    let port = engine.corten(["port", "any", "80"]).ok();
    let port = port.lines().next().unwrap_or_default();
    answers(
        &engine,
        &format!("http://{}/", port.replace("0.0.0.0", "127.0.0.1")),
        "any",
    );
    serve(&engine, "all", &["-P", "--expose", "80"]);
    assert_eq!(engine.corten(["port", "all"]).ok().lines().count(), 2);
}

#[test]
fn datagrams_are_forwarded_and_answered() {
    let engine = Engine::start_with(Options::with_images(&["debian:bookworm-slim"]));
    let server = "use IO::Socket; $s = IO::Socket::INET->new(LocalPort => 53, Proto => 'udp'); \
                  while ($s->recv($m, 99)) { $s->send($m) }";
    let listen = ["debian:bookworm-slim", "perl", "-e", server];
    let run = ["run", "-d", "--name", "echo", "-p", "5353:53/udp"];
    engine.corten(run.iter().chain(&listen)).ok();
    until::is("a datagram comes back", || {
        let client = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5); \
                      s.connect(('127.0.0.1', 5353)); s.send(b'hello'); print(s.recv(99).decode())";
        let client = engine.program(std::path::Path::new("python3"), ["-c", client]);
        client.run().stdout == "hello\n"
    });
}

#[test]
fn a_freed_port_can_be_had_again() {
    let engine = Engine::start();
    serve(&engine, "first", &["-p", "8080:80"]);
    let refusal = engine
        .corten(["run", "--rm", "-p", "8080:80", "busybox", "true"])
        .fails(125);
    assert!(
        refusal.contains("Bind for 0.0.0.0:8080 failed: port is already allocated"),
        "{refusal}"
    );
    engine.corten(["rm", "-f", "first"]).ok();
    serve(&engine, "second", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "second");
}

#[test]
fn names_and_files_are_written() {
    let engine = Engine::start();
    let run = |options: &[&str], script: &str| {
        let after = ["busybox", "sh", "-c", script];
        engine.corten(["run", "--rm"].iter().chain(options).chain(&after)).ok()
    };
    let hosts = run(
        &[
            "-h",
            "box",
            "--add-host",
            "db:10.0.0.5",
            "--add-host",
            "up:host-gateway",
        ],
        "cat /etc/hosts",
    );
    assert!(hosts.contains("127.0.0.1\tlocalhost"), "{hosts}");
    assert!(hosts.contains("10.0.0.5\tdb"), "{hosts}");
    assert!(hosts.contains("172.28.0.1\tup"), "{hosts}");
    assert!(
        hosts
            .lines()
            .any(|line| line.starts_with("172.28.") && line.ends_with("\tbox")),
        "{hosts}"
    );
    assert_eq!(run(&["-h", "box"], "hostname; cat /etc/hostname"), "box\nbox\n");
    let resolver = run(
        &[
            "--dns",
            "10.1.1.1",
            "--dns-search",
            "here.test",
            "--dns-option",
            "ndots:3",
        ],
        "cat /etc/resolv.conf",
    );
    for line in ["nameserver 10.1.1.1", "search here.test", "options ndots:3"] {
        assert!(resolver.contains(line), "no {line} in {resolver}");
    }
}

#[test]
fn modes_share_what_they_say() {
    let engine = Engine::start();
    serve(&engine, "web", &[]);
    let fetch = ["wget", "-q", "-O", "-", "http://127.0.0.1/"];
    until::is("it answers in its own network", || {
        engine
            .corten(
                ["run", "--rm", "--network", "container:web", "busybox"]
                    .into_iter()
                    .chain(fetch),
            )
            .run()
            .stdout
            == "web\n"
    });
    let links = engine
        .corten(["run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net"])
        .ok();
    assert_eq!(links, "lo\n");
    let fetch = ["wget", "-q", "-O", "-", "http://127.0.0.1:5000/v2/"];
    engine
        .corten(["run", "--rm", "--network", "host", "busybox"].into_iter().chain(fetch))
        .ok();
}

#[test]
fn networks_are_listed_and_inspected() {
    let engine = Engine::start();
    serve(&engine, "web", &[]);
    let list = engine
        .corten(["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"])
        .ok();
    assert_eq!(list, "bridge bridge local\nhost host local\nnone null local\n");
    let bridge = engine.get("/networks/bridge");
    assert_eq!(bridge["IPAM"]["Config"][0]["Subnet"], "172.28.0.0/16");
    let id = engine.inspect("web", "{{.Id}}");
    assert_eq!(bridge["Containers"][&id]["Name"], "web");
}

#[test]
fn two_hundred_requests_at_once() {
    let engine = Engine::start();
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    let script = "seq 200 | xargs -P 20 -n 1 curl -s -m 10 -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:8080/ | sort | uniq -c";
    let script = script.replace("-n 1 curl", "-I{} curl").replace("8080/", "8080/?{}");
    assert_eq!(engine.sh(&script).line(), "200 200");
}

#[test]
fn a_flushed_table_is_put_back() {
    let engine = Engine::start();
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    engine.sh("nft flush ruleset").ok();
    answers(&engine, "http://127.0.0.1:8080/", "web");
}
