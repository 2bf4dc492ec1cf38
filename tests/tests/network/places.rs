//! Containers on several networks, from their making, or connected and disconnected later.

use corten_tests::engine::Engine;
use serde_json::json;

use crate::names::{ask, sleeper};

fn create(engine: &Engine, name: &str, subnet: &str) {
    engine.corten(["network", "create", "--subnet", subnet, name]).ok();
}

/// A container's addresses and default route, in few words.
fn inside(engine: &Engine, container: &str) -> (Vec<String>, String) {
    let links = engine.corten(["exec", container, "ip", "-o", "-4", "addr"]).ok();
    let links = links.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let links = links
        .filter(|words| words[1] != "lo")
        .map(|words| format!("{} {}", words[1], words[3]));
    let routes = engine.corten(["exec", container, "ip", "route"]).ok();
    let default = routes.lines().find(|line| line.starts_with("default"));
    (links.collect(), default.unwrap_or_default().trim().to_owned())
}

#[track_caller]
fn check(engine: &Engine, container: &str, links: &[&str], default: &str) {
    let (found, route) = inside(engine, container);
    assert_eq!(found, links);
    assert_eq!(route, default);
}

#[test]
fn several_networks_at_once() {
    let engine = Engine::start();
    create(&engine, "a", "10.82.1.0/24");
    create(&engine, "b", "10.82.2.0/24");
    create(&engine, "c", "10.82.3.0/24");
    let long = "name=b,alias=bee,ip=10.82.2.9,mac-address=02:00:00:00:00:09,gw-priority=5";
    let options = ["--network", "c", "--network", long, "--network", "a"];
    let pid = sleeper(&engine, "web", &options);
    let links = ["eth0 10.82.3.2/24", "eth1 10.82.1.2/24", "eth2 10.82.2.9/24"];
    check(&engine, "web", &links, "default via 10.82.2.1 dev eth2");
    let settings = &engine.get("/containers/web/json")["NetworkSettings"]["Networks"];
    let names: Vec<_> = settings.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["a", "b", "c"]);
    let short = engine.inspect("web", "{{.Id}}")[..12].to_owned();
    assert_eq!(settings["b"]["DNSNames"], json!(["web", "bee", short]));
    assert_eq!(settings["b"]["Aliases"], json!(["bee"]));
    assert_eq!(settings["b"]["IPAMConfig"], json!({"IPv4Address": "10.82.2.9"}));
    assert_eq!(settings["b"]["MacAddress"], "02:00:00:00:00:09");
    assert_eq!(settings["b"]["GwPriority"], 5);
    assert_eq!(ask(&engine, &pid, "bee", "A", "udp"), "0 10.82.2.9");
    // Asked for by name alone, the networks answer in the order of their rank.
    assert_eq!(ask(&engine, &pid, "web", "A", "udp"), "0 10.82.2.9");
    assert_eq!(ask(&engine, &pid, "web.c", "A", "udp"), "0 10.82.3.2");
    let hosts = engine.corten(["exec", "web", "cat", "/etc/hosts"]).ok();
    assert_eq!(
        hosts.lines().filter(|line| line.starts_with("10.82.")).count(),
        3,
        "{hosts}"
    );
    // It comes back as it was, and by the name of each network.
    engine.corten(["restart", "-t", "0", "web"]).ok();
    check(&engine, "web", &links, "default via 10.82.2.1 dev eth2");
    let mac = engine
        .corten(["exec", "web", "cat", "/sys/class/net/eth2/address"])
        .line();
    assert_eq!(mac, "02:00:00:00:00:09");
    for network in ["a", "b", "c"] {
        let filter = format!("network={network}");
        let ps = engine
            .corten(["ps", "--filter", &filter, "--format", "{{.Names}}"])
            .ok();
        assert_eq!(ps, "web\n");
        let inspect = engine.get(&format!("/networks/{network}"));
        assert_eq!(inspect["Containers"].as_object().unwrap().len(), 1);
    }
    let refusal = engine.corten(["network", "rm", "b"]).fails(1);
    assert!(
        refusal.contains("network b has active endpoints (name:\"web\" id:\""),
        "{refusal}"
    );
}

#[test]
fn running_containers_are_connected_and_disconnected() {
    let engine = Engine::start();
    create(&engine, "a", "10.83.1.0/24");
    create(&engine, "b", "10.83.2.0/24");
    let pid = sleeper(&engine, "web", &["--network", "b", "-p", "8083:80"]);
    let server = "mkdir /www; echo hello > /www/index.html; httpd -p 80 -h /www";
    engine.corten(["exec", "web", "sh", "-c", server]).ok();
    assert_eq!(engine.curl("http://127.0.0.1:8083/"), "hello\n");
    engine
        .corten(["network", "connect", "--alias", "www", "--ip", "10.83.1.7", "a", "web"])
        .ok();
    // The first by name gives the way out now, and ports lead there.
    let links = ["eth0 10.83.2.2/24", "eth1 10.83.1.7/24"];
    check(&engine, "web", &links, "default via 10.83.1.1 dev eth1");
    assert_eq!(engine.curl("http://127.0.0.1:8083/"), "hello\n");
    assert_eq!(ask(&engine, &pid, "www", "A", "udp"), "0 10.83.1.7");
    let refusal = engine.corten(["network", "connect", "a", "web"]).fails(1);
    let expected = "Error response from daemon: endpoint with name web already exists in network a\n";
    assert_eq!(refusal, expected);
    // An engine that was killed knows it all again.
    engine.kill();
    assert_eq!(engine.curl("http://127.0.0.1:8083/"), "hello\n");
    engine.launch();
    let taken = ["run", "--rm", "--network", "a", "--ip", "10.83.1.7", "busybox", "true"];
    let refusal = engine.corten(taken).fails(125);
    assert!(refusal.contains("Address already in use"), "{refusal}");
    engine.corten(["network", "disconnect", "a", "web"]).ok();
    check(&engine, "web", &links[..1], "default via 10.83.2.1 dev eth0");
    assert_eq!(engine.curl("http://127.0.0.1:8083/"), "hello\n");
    assert!(!ask(&engine, &pid, "www", "A", "udp").contains("10.83"));
    assert_eq!(engine.inspect("web", "{{len .NetworkSettings.Networks}}"), "1");
    let hosts = engine.corten(["exec", "web", "cat", "/etc/hosts"]).ok();
    assert!(!hosts.contains("10.83.1.7") && hosts.contains("10.83.2.2"), "{hosts}");
    let id = engine.inspect("web", "{{.Id}}");
    let refusal = engine.corten(["network", "disconnect", "a", "web"]).fails(1);
    assert_eq!(
        refusal,
        format!("Error response from daemon: container {id} is not connected to network a\n")
    );
    // A name that was taken away can be had again, also as the same link.
    engine.corten(["network", "connect", "a", "web"]).ok();
    check(
        &engine,
        "web",
        &["eth0 10.83.2.2/24", "eth1 10.83.1.2/24"],
        "default via 10.83.1.1 dev eth1",
    );
    engine.corten(["network", "disconnect", "a", "web"]).ok();
    engine.corten(["network", "disconnect", "b", "web"]).ok();
    check(&engine, "web", &[], "");
    engine.corten(["network", "connect", "b", "web"]).ok();
    check(&engine, "web", &["eth0 10.83.2.2/24"], "default via 10.83.2.1 dev eth0");
    assert_eq!(engine.curl("http://127.0.0.1:8083/"), "hello\n");
}

#[test]
fn containers_of_the_default_bridge_learn_names_when_connected() {
    let engine = Engine::start();
    create(&engine, "a", "10.84.1.0/24");
    let pid = sleeper(&engine, "old", &[]);
    sleeper(&engine, "web", &["--network", "a"]);
    engine.corten(["network", "connect", "a", "old"]).ok();
    assert_eq!(ask(&engine, &pid, "web", "A", "udp"), "0 10.84.1.2");
    let found = engine.corten(["exec", "old", "ping", "-c", "1", "-W", "5", "web"]).ok();
    assert!(found.contains("10.84.1.2"), "{found}");
    engine.kill();
    assert_eq!(ask(&engine, &pid, "web", "A", "udp"), "0 10.84.1.2");
    engine.launch();
    engine.corten(["network", "disconnect", "a", "old"]).ok();
    assert_ne!(ask(&engine, &pid, "web", "A", "udp"), "0 10.84.1.2");
}

#[test]
fn containers_that_do_not_run_are_connected_for_later() {
    let engine = Engine::start();
    create(&engine, "a", "10.85.1.0/24");
    create(&engine, "b", "10.85.2.0/24");
    engine
        .corten(["create", "--name", "web", "--network", "a", "busybox", "sleep", "1000"])
        .ok();
    engine
        .corten(["network", "connect", "--ip", "10.85.2.5", "b", "web"])
        .ok();
    engine.corten(["network", "connect", "b", "web"]).ok();
    engine.corten(["start", "web"]).ok();
    check(
        &engine,
        "web",
        &["eth0 10.85.1.2/24", "eth1 10.85.2.5/24"],
        "default via 10.85.1.1 dev eth0",
    );
    engine.corten(["stop", "-t", "0", "web"]).ok();
    engine.corten(["network", "disconnect", "a", "web"]).ok();
    let id = engine.inspect("web", "{{.Id}}");
    let refusal = engine.corten(["network", "disconnect", "a", "web"]).fails(1);
    assert_eq!(
        refusal,
        format!("Error response from daemon: container {id} is not connected to the network a\n")
    );
    engine.corten(["start", "web"]).ok();
    check(&engine, "web", &["eth0 10.85.2.5/24"], "default via 10.85.2.1 dev eth0");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let engine = Engine::start();
    create(&engine, "a", "10.86.1.0/24");
    engine.corten(["network", "create", "auto"]).ok();
    sleeper(&engine, "none", &["--network", "none"]);
    sleeper(&engine, "host", &["--network", "host"]);
    sleeper(&engine, "web", &["--network", "a"]);
    sleeper(&engine, "beside", &["--network", "container:web"]);
    let refuse = |arguments: &[&str], words: &str| {
        let call = engine.corten(["network", "connect"].iter().chain(arguments));
        let refusal = call.fails(1);
        assert_eq!(
            refusal,
            format!("Error response from daemon: {words}\n"),
            "{arguments:?}"
        );
    };
    refuse(
        &["a", "none"],
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    );
    let shared =
        "container sharing network namespace with another container or host cannot be connected to any other network";
    refuse(&["a", "host"], shared);
    refuse(&["a", "beside"], shared);
    let host = "container cannot be disconnected from host network or connected to host network";
    refuse(&["host", "web"], host);
    refuse(&["nosuch", "web"], "network nosuch not found");
    let list = |words: &str| format!("invalid endpoint settings:\n{words}");
    refuse(
        &["--ip", "10.9.9.9", "auto", "web"],
        &list("no configured subnet contains IP address 10.9.9.9"),
    );
    refuse(
        &["--ip", "nonsense", "auto", "web"],
        &list("invalid IPv4 address: nonsense"),
    );
    let alias = "network-scoped aliases are only supported for user-defined networks";
    refuse(&["--alias", "x", "bridge", "web"], &list(alias));
    let run = ["run", "--rm", "--network", "a", "--ip", "10.9.9.9", "busybox", "true"];
    let refusal = engine.corten(run).fails(125);
    let expected =
        "invalid config for network a: invalid endpoint settings:\nno configured subnet contains IP address 10.9.9.9";
    assert!(refusal.contains(expected), "{refusal}");
    assert_eq!(engine.get("/networks/host")["Containers"].as_object().unwrap().len(), 1);
    // A container that is gone is no reason to keep its place.
    let body = json!({"Container": "nosuch", "Force": true});
    let response = engine.http("POST", "/networks/a/disconnect", Some(&body));
    assert_eq!(response.status, 404);
}
