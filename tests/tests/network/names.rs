//! Names at 127.0.0.11: who is known, by whom, and who is asked else.

use std::path::Path;

use corten_tests::engine::Engine;
use corten_tests::until;

/// Asks one question as a program would, and prints the code and the addresses or names of the answer.
/// Arguments: name, kind of record, `udp` or `tcp`, server.
pub(crate) const ASK: &str = r#"
import socket, struct, sys
name, kind, how, server = sys.argv[1:5]
kinds = {"A": 1, "AAAA": 28, "PTR": 12, "MX": 15}
query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
query += b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
query += struct.pack(">HH", kinds[kind], 1) + b"\0\0\x29\x10\0\0\0\0\0\0\0"
if how == "udp":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((server, 53))
    s.send(query)
    answer = s.recv(4096)
else:
    s = socket.create_connection((server, 53), 10)
    s.sendall(struct.pack(">H", len(query)) + query)
    f = s.makefile("rb")
    answer = f.read(struct.unpack(">H", f.read(2))[0])
assert answer[:2] == b"\x12\x34" and answer[2] & 0x80
def skip(at):
    while True:
        if answer[at] >= 192: return at + 2
        if answer[at] == 0: return at + 1
        at += 1 + answer[at]
def read(at):
    parts = []
    while answer[at]:
        parts.append(answer[at + 1:at + 1 + answer[at]].decode())
        at += 1 + answer[at]
    return ".".join(parts)
at, found = skip(12) + 4, []
for _ in range(struct.unpack(">H", answer[6:8])[0]):
    at = skip(at)
    kind, _, _, length = struct.unpack(">HHIH", answer[at:at + 10])
    data = answer[at + 10:at + 10 + length]
    family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
    found.append(socket.inet_ntop(family, data) if family else read(at + 10))
    at += 10 + length
print(answer[3] & 15, " ".join(found))
"#;

/// A server of names that answers everything with one address, by UDP and TCP, and says so. The first
/// question gets a failure if so told. Arguments: address to listen at, address to answer.
pub(crate) const SERVER: &str = r#"
import socket, struct, sys, threading
own, address = sys.argv[1:3]
def answer(query):
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\1" + query[12:-11] + b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" \
        + socket.inet_aton(address) + query[-11:]
tcp = socket.create_server((own, 53))
def by_tcp():
    while True:
        client, _ = tcp.accept()
        f = client.makefile("rb")
        reply = answer(f.read(struct.unpack(">H", f.read(2))[0]))
        client.sendall(struct.pack(">H", len(reply)) + reply)
        client.close()
threading.Thread(target=by_tcp, daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((own, 53))
print("listening", flush=True)
while True:
    query, client = udp.recvfrom(4096)
    udp.sendto(answer(query), client)
"#;

/// Asks from within a container's network, without the engine.
#[track_caller]
pub(crate) fn ask(engine: &Engine, pid: &str, name: &str, kind: &str, how: &str) -> String {
    let arguments = ["-t", pid, "-n", "python3", "-c", ASK, name, kind, how, "127.0.0.11"];
    engine.program(Path::new("nsenter"), arguments).ok().trim().to_owned()
}

pub(crate) fn sleeper(engine: &Engine, name: &str, options: &[&str]) -> String {
    let run = ["run", "-d", "--name", name].into_iter().chain(options.iter().copied());
    engine.corten(run.chain(["busybox", "sleep", "1000"])).ok();
    engine.inspect(name, "{{.State.Pid}}")
}

fn address(engine: &Engine, container: &str, network: &str) -> String {
    engine.inspect(
        container,
        &format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"),
    )
}

#[test]
fn containers_know_each_other_by_name() {
    let engine = Engine::start();
    engine.corten(["network", "create", "front"]).ok();
    sleeper(
        &engine,
        "web",
        &["--network", "front", "--network-alias", "www", "-h", "Host1"],
    );
    let pid = sleeper(&engine, "me", &["--network", "front", "--link", "web:other"]);
    let web = address(&engine, "web", "front");
    let short = engine.inspect("web", "{{.Id}}")[..12].to_owned();
    for name in ["web", "WEB", "www", "host1", "other", "web.front", &short] {
        for how in ["udp", "tcp"] {
            assert_eq!(
                ask(&engine, &pid, name, "A", how),
                format!("0 {web}"),
                "{name} by {how}"
            );
        }
    }
    assert_eq!(ask(&engine, &pid, "web", "AAAA", "udp"), "0");
    assert_eq!(ask(&engine, &pid, "web", "MX", "udp"), "0");
    let mut parts: Vec<&str> = web.split('.').collect();
    parts.reverse();
    let reverse = format!("{}.in-addr.arpa", parts.join("."));
    assert_eq!(ask(&engine, &pid, &reverse, "PTR", "udp"), "0 web.front");
    let resolver = engine.corten(["exec", "me", "cat", "/etc/resolv.conf"]).ok();
    assert!(resolver.contains("nameserver 127.0.0.11\n"), "{resolver}");
    assert!(resolver.contains("ndots:0"), "{resolver}");
    // Who has the default bridge alone asks others, and is not known.
    let other = engine
        .corten(["run", "--rm", "busybox", "cat", "/etc/resolv.conf"])
        .ok();
    assert!(!other.contains("127.0.0.11"), "{other}");
    // Names end with their container.
    engine.corten(["rename", "web", "site"]).ok();
    assert_eq!(ask(&engine, &pid, "site", "A", "udp"), format!("0 {web}"));
    engine.corten(["rm", "-f", "site"]).ok();
    assert!(!ask(&engine, &pid, "www", "A", "udp").contains(&web));
}

#[test]
fn one_name_of_several_containers_means_each_in_turn() {
    let engine = Engine::start();
    engine.corten(["network", "create", "front"]).ok();
    let options = ["--network", "front", "--network-alias", "svc"];
    sleeper(&engine, "one", &options);
    let pid = sleeper(&engine, "two", &options);
    let both = [address(&engine, "one", "front"), address(&engine, "two", "front")];
    let first = |answer: String| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut firsts = [(); 4].map(|()| first(ask(&engine, &pid, "svc", "A", "udp")));
    assert_ne!(firsts[0], firsts[1]);
    firsts.sort();
    assert_eq!((&firsts[0], &firsts[3]), (&both[0], &both[1]));
}

#[test]
fn names_are_answered_while_the_engine_is_down() {
    let engine = Engine::start();
    engine.corten(["network", "create", "front"]).ok();
    sleeper(&engine, "web", &["--network", "front"]);
    let pid = sleeper(&engine, "me", &["--network", "front"]);
    let web = format!("0 {}", address(&engine, "web", "front"));
    assert_eq!(ask(&engine, &pid, "web", "A", "udp"), web);
    engine.kill();
    for how in ["udp", "tcp"] {
        assert_eq!(ask(&engine, &pid, "web", "A", how), web);
    }
    engine.launch();
    assert_eq!(ask(&engine, &pid, "web", "A", "udp"), web);
    // The next engine goes on where the last one was.
    sleeper(&engine, "late", &["--network", "front"]);
    let late = format!("0 {}", address(&engine, "late", "front"));
    assert_eq!(ask(&engine, &pid, "late", "A", "udp"), late);
    assert_ne!(late, web);
    engine.corten(["rm", "-f", "web"]).ok();
    assert_ne!(ask(&engine, &pid, "web", "A", "udp"), web);
}

#[test]
fn other_names_are_asked_of_the_servers_given() {
    let engine = Engine::start();
    engine
        .corten(["network", "create", "--subnet", "10.81.0.0/24", "front"])
        .ok();
    // The first gives no answer: nobody listens there.
    let dns = ["--dns", "10.81.0.1", "--dns", "10.81.0.53", "--network", "front"];
    let pid = sleeper(&engine, "me", &dns);
    engine.sh("ip address add 10.81.0.53/32 dev lo").ok();
    let server = ["-c", SERVER, "10.81.0.53", "192.0.2.80"];
    let mut server = engine.program(Path::new("python3"), server).spawn();
    server.wait_for("listening");
    for how in ["udp", "tcp"] {
        assert_eq!(ask(&engine, &pid, "example.test", "A", how), "0 192.0.2.80", "{how}");
    }
    engine.kill();
    assert_eq!(ask(&engine, &pid, "other.test", "A", "udp"), "0 192.0.2.80");
    engine.launch();
    // On an internal network nobody is asked.
    engine.corten(["network", "create", "--internal", "back"]).ok();
    let inner = sleeper(&engine, "inner", &["--dns", "10.81.0.53", "--network", "back"]);
    assert_eq!(ask(&engine, &inner, "example.test", "A", "udp"), "2");
    assert!(ask(&engine, &inner, "inner", "A", "udp").starts_with("0 "));
    server.signal(rustix::process::Signal::KILL);
}

#[test]
fn other_names_are_asked_of_the_host_s_servers() {
    let engine = Engine::start();
    let text = corten_sys::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
    let Some(host) = lines
        .next()
        .map(str::trim)
        .filter(|server| server.parse::<std::net::Ipv4Addr>().is_ok())
    else {
        eprintln!("skipped: the host has no IPv4 server of names");
        return;
    };
    engine.corten(["network", "create", "front"]).ok();
    let pid = sleeper(&engine, "me", &["--network", "front"]);
    engine.sh(&format!("ip address add {host}/32 dev lo || true")).ok();
    let server = ["-c", SERVER, host, "192.0.2.81"];
    let mut server = engine.program(Path::new("python3"), server).spawn();
    server.wait_for("listening");
    assert_eq!(ask(&engine, &pid, "example.test", "A", "udp"), "0 192.0.2.81");
    let resolver = engine.corten(["exec", "me", "cat", "/etc/resolv.conf"]).ok();
    assert!(resolver.contains(&format!("# ExtServers: [host({host})")), "{resolver}");
    server.signal(rustix::process::Signal::KILL);
}

#[test]
fn a_container_can_have_port_53_itself() {
    let engine = Engine::start();
    engine.corten(["network", "create", "front"]).ok();
    sleeper(&engine, "web", &["--network", "front"]);
    let script = "nc -l -p 53 -e echo mine & sleep 1000";
    let run = [
        "run",
        "-d",
        "--name",
        "dns",
        "--network",
        "front",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    engine.corten(run).ok();
    until::is("the container's own server answers", || {
        let ask = ["exec", "dns", "nc", "127.0.0.1", "53"];
        engine.corten(ask).run().stdout == "mine\n"
    });
    let pid = engine.inspect("dns", "{{.State.Pid}}");
    assert!(ask(&engine, &pid, "web", "A", "tcp").starts_with("0 "));
}
