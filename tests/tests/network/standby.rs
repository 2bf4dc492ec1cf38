//! Containers that stand by for others, and take their ports and names over.

use corten_tests::engine::Engine;
use corten_tests::until;

use crate::{answers, serve};

/// A leader and its stand-by, which both want port 8080, and a third one that knows the leader by name.
fn pair(options: &[&str]) -> Engine {
    let engine = Engine::start();
    engine.corten(["network", "create", "lan"]).ok();
    let all = |more: &[&'static str]| [options, &["--network", "lan", "--network-alias", "site"], more].concat();
    serve(&engine, "old", &all(&["-p", "8080:80", "-p", "127.0.0.1::80"]));
    answers(&engine, "http://127.0.0.1:8080/", "old");
    let id = engine.inspect("old", "{{.Id}}");
    let annotation = format!("corten.stands-by-for={id}");
    serve(
        &engine,
        "new",
        &[&all(&["-p", "8080:80", "--annotation"])[..], &[&annotation]].concat(),
    );
    let run = [
        "run",
        "-d",
        "--name",
        "third",
        "--network",
        "lan",
        "busybox",
        "sleep",
        "1000",
    ];
    engine.corten(run).ok();
    engine
}

fn take_over(engine: &Engine, name: &str) -> u16 {
    let path = format!("/containers/{name}/takeover?listening=30&draining=5");
    engine.http("POST", &path, None).status
}

/// What a neighbour finds by name.
fn found(engine: &Engine) -> String {
    let fetch = ["exec", "third", "wget", "-q", "-O", "-", "http://site/"];
    engine.corten(fetch).ok().trim().to_owned()
}

#[test]
fn ports_and_names_change_hands() {
    let engine = pair(&[]);
    for (standby, leader) in [("new", "old"), ("old", "new")] {
        for _ in 0..3 {
            assert_eq!(found(&engine), leader);
        }
        answers(&engine, "http://[::1]:8080/", leader);
        assert_eq!(take_over(&engine, standby), 204);
        for url in [
            "http://127.0.0.1:8080/",
            "http://[::1]:8080/",
            "http://172.28.0.1:8080/",
        ] {
            assert_eq!(engine.curl(url).trim(), standby, "{url}");
        }
        let port = |name: &str| engine.corten(["port", name, "80"]).run().stdout;
        assert!(port(standby).contains("0.0.0.0:8080"), "{}", port(standby));
        assert!(!port(leader).contains(":8080"), "{}", port(leader));
        assert_eq!(take_over(&engine, standby), 304, "it stands by for nobody");
    }
    // Ports that only one of them has stay its own.
    assert!(engine.corten(["port", "old", "80"]).ok().contains("127.0.0.1:"));
}

#[test]
fn a_stand_by_takes_over_when_its_leader_ends() {
    let engine = pair(&[]);
    engine.corten(["kill", "old"]).ok();
    answers(&engine, "http://127.0.0.1:8080/", "new");
    answers(&engine, "http://[::1]:8080/", "new");
    until::is("the name is the new one's", || found(&engine) == "new");
    // And the other stands by when it comes back.
    engine.corten(["start", "old"]).ok();
    assert_eq!(engine.curl("http://127.0.0.1:8080/").trim(), "new");
    assert_eq!(take_over(&engine, "old"), 204);
    assert_eq!(engine.curl("http://127.0.0.1:8080/").trim(), "old");
    engine.corten(["rm", "-f", "old"]).ok();
    answers(&engine, "http://127.0.0.1:8080/", "new");
    engine.corten(["restart", "-t", "0", "new"]).ok();
    answers(&engine, "http://[::1]:8080/", "new");
    engine.corten(["rm", "-f", "new"]).ok();
    serve(&engine, "other", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "other");
}

#[test]
fn who_does_not_listen_does_not_take_over() {
    let engine = Engine::start();
    serve(&engine, "old", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "old");
    let annotation = "corten.stands-by-for=old";
    let run = [
        "run",
        "-d",
        "--name",
        "new",
        "-p",
        "8080:80",
        "--annotation",
        annotation,
    ];
    engine.corten(run.iter().chain(&["busybox", "sleep", "1000"])).ok();
    let refused = engine.http("POST", "/containers/new/takeover?listening=1", None);
    assert_eq!(refused.status, 409);
    assert!(
        refused
            .text()
            .contains("container new does not listen at port 80/tcp within 1 s"),
        "{}",
        refused.text()
    );
    assert_eq!(engine.curl("http://127.0.0.1:8080/").trim(), "old");
    assert_eq!(engine.http("POST", "/containers/old/takeover", None).status, 304);
    assert_eq!(engine.http("POST", "/containers/none/takeover", None).status, 404);
    engine.corten(["stop", "-t", "0", "new"]).ok();
    assert_eq!(engine.curl("http://127.0.0.1:8080/").trim(), "old");
}

#[test]
fn connections_that_stand_go_on() {
    let engine = Engine::start();
    // One that answers only when it is told something.
    let echo = ["busybox", "nc", "-ll", "-p", "80", "-e", "cat"];
    engine
        .corten(["run", "-d", "--name", "old", "-p", "8080:80"].iter().chain(&echo))
        .ok();
    let connect = |address: &str| {
        engine
            .inside(|| std::net::TcpStream::connect(address))
            .expect("it listens")
    };
    let mut clients = Vec::new();
    let listens = [
        "exec",
        "old",
        "sh",
        "-c",
        "grep -q ':0050 .* 0A' /proc/net/tcp6 /proc/net/tcp",
    ];
    until::is("it listens", || engine.corten(listens).run().code == 0);
    for address in ["127.0.0.1:8080", "[::1]:8080"] {
        let mut client = connect(address);
        say(&mut client, "before");
        clients.push(client);
    }
    let annotation = "corten.stands-by-for=old";
    let run = [
        "run",
        "-d",
        "--name",
        "new",
        "-p",
        "8080:80",
        "--annotation",
        annotation,
    ];
    engine.corten(run.iter().chain(&echo)).ok();
    let taken = engine.http("POST", "/containers/new/takeover?listening=30&draining=0", None);
    assert_eq!(taken.status, 204);
    for client in &mut clients {
        say(client, "after");
    }
    engine.corten(["rm", "-f", "new"]).ok();
    for client in &mut clients {
        say(client, "they were the old one's");
    }
}

/// Says something and hears it again.
#[track_caller]
fn say(client: &mut std::net::TcpStream, text: &str) {
    use std::io::{Read as _, Write as _};
    client.set_read_timeout(Some(until::PATIENCE)).expect("a socket");
    client.write_all(text.as_bytes()).expect("the connection stands");
    let mut heard = vec![0; text.len()];
    client.read_exact(&mut heard).expect("the connection stands");
    assert_eq!(heard, text.as_bytes());
}
