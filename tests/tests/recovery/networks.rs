//! Engines that die while a running container comes to a network or leaves one.

use corten_tests::engine::Engine;
use corten_tests::until;

use crate::scene::{dies_of, dying_at};

/// A container on network `b` with a port, by which it says its name.
fn scene(point: &str) -> Engine {
    let engine = dying_at(point);
    for (name, subnet) in [("a", "10.71.1.0/24"), ("b", "10.71.2.0/24")] {
        engine.corten(["network", "create", "--subnet", subnet, name]).ok();
    }
    let server = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www";
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "b",
        "-p",
        "8080:80",
        "busybox",
        "sh",
        "-c",
        server,
    ];
    engine.corten(run).ok();
    until::is("it serves", || engine.try_curl("http://127.0.0.1:8080/").is_some());
    engine
}

fn links(engine: &Engine) -> Vec<String> {
    let links = engine.corten(["exec", "web", "ip", "-o", "-4", "addr"]).ok();
    let mut links: Vec<_> = links
        .lines()
        .filter_map(|line| line.split_whitespace().nth(3))
        .filter(|address| !address.starts_with("127."))
        .map(str::to_owned)
        .collect();
    links.sort();
    links
}

/// The container has the addresses, the way out, the ports and the names that the engine says.
#[track_caller]
fn check(engine: &Engine, addresses: &[&str], gateway: &str) {
    assert_eq!(links(engine), addresses);
    let networks = engine.inspect("web", "{{range .NetworkSettings.Networks}}{{.IPAddress}}/24 {{end}}");
    assert_eq!(networks.split_whitespace().collect::<Vec<_>>(), addresses);
    let routes = engine.corten(["exec", "web", "ip", "route"]).ok();
    let default = format!("default via {gateway} ");
    assert!(routes.contains(&default), "{routes}");
    for url in ["http://127.0.0.1:8080/", "http://[::1]:8080/"] {
        assert_eq!(engine.curl(url), "hello\n", "{url}");
    }
    let hosts = engine.corten(["exec", "web", "cat", "/etc/hosts"]).ok();
    let own: Vec<_> = hosts.lines().filter(|line| line.starts_with("10.71.")).collect();
    assert_eq!(own.len(), addresses.len(), "{hosts}");
    let name = engine.corten(["exec", "web", "nslookup", "web"]).ok();
    assert!(name.contains(addresses[0].trim_end_matches("/24")), "{name}");
    // One end of a link for each address, and nobody else's.
    let bridged = || {
        engine
            .sh("ip -o link show type veth | grep -c ' veth.*master' || true")
            .line()
    };
    until::is("strays are gone", || bridged() == addresses.len().to_string());
}

#[test]
fn a_connection_that_was_cut_off_leaves_nothing() {
    let mut engine = scene("connect:attached");
    dies_of(&mut engine, ["network", "connect", "a", "web"]);
    engine.launch();
    check(&engine, &["10.71.2.2/24"], "10.71.2.1");
    engine.corten(["network", "connect", "a", "web"]).ok();
    check(&engine, &["10.71.1.2/24", "10.71.2.2/24"], "10.71.1.1");
}

#[test]
fn a_connection_that_was_noted_is_made_whole() {
    let mut engine = scene("connect:noted");
    dies_of(&mut engine, ["network", "connect", "a", "web"]);
    engine.launch();
    check(&engine, &["10.71.1.2/24", "10.71.2.2/24"], "10.71.1.1");
}

#[test]
fn a_container_that_was_leaving_has_left() {
    let mut engine = scene("disconnect:noted");
    engine.corten(["network", "connect", "a", "web"]).ok();
    dies_of(&mut engine, ["network", "disconnect", "a", "web"]);
    engine.launch();
    check(&engine, &["10.71.2.2/24"], "10.71.2.1");
}

#[test]
fn a_container_of_the_default_bridge_gets_its_names() {
    let mut engine = dying_at("connect:noted");
    engine.corten(["network", "create", "a"]).ok();
    let run = ["run", "-d", "--name", "web", "busybox", "sleep", "1000"];
    engine.corten(run).ok();
    dies_of(&mut engine, ["network", "connect", "a", "web"]);
    engine.launch();
    engine.corten(["exec", "web", "nslookup", "web"]).ok();
}
