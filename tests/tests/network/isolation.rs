//! Who reaches whom: internal networks, networks of others, gateways' modes, neighbours.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

use crate::{answers, serve};

/// Whether a container of the name reaches a page within a moment.
fn reaches(engine: &Engine, from: &str, url: &str) -> bool {
    let fetch = ["exec", from, "timeout", "1", "wget", "-q", "-O", "-", url];
    engine.corten(fetch).run().code == 0
}

/// A busy machine may need more than one try.
#[track_caller]
fn is_reached(engine: &Engine, from: &str, url: &str) {
    until::is(&format!("{from} reaches {url}"), || reaches(engine, from, url));
}

fn address(engine: &Engine, name: &str, network: &str) -> String {
    let template = format!("{{{{with index .NetworkSettings.Networks \"{network}\"}}}}{{{{.IPAddress}}}}{{{{end}}}}");
    engine.inspect(name, &template)
}

/// A web server that answers on its network; returns its address.
fn serving(engine: &Engine, name: &str, network: &str, options: &[&str]) -> String {
    let all: Vec<&str> = ["--network", network].iter().chain(options).copied().collect();
    serve(engine, name, &all);
    let address = address(engine, name, network);
    until::is("it serves itself", || reaches(engine, name, "http://127.0.0.1/"));
    address
}

#[test]
fn internal_networks_lead_nowhere() {
    let engine = Engine::start();
    engine.corten(["network", "create", "--internal", "inside"]).ok();
    engine.corten(["network", "create", "outside"]).ok();
    let inner = serving(&engine, "inner", "inside", &["-p", "8080:80"]);
    let outer = serving(&engine, "outer", "outside", &[]);
    serve(&engine, "friend", &["--network", "inside"]);
    is_reached(&engine, "friend", &format!("http://{inner}/"));
    assert!(!reaches(&engine, "inner", &format!("http://{outer}/")));
    assert!(!reaches(&engine, "outer", &format!("http://{inner}/")));
    let routes = engine.corten(["exec", "inner", "ip", "route"]).ok();
    assert!(!routes.contains("default"), "{routes}");
    // The host itself reaches it by its address, as with Docker, and by no port.
    answers(&engine, &format!("http://{inner}/"), "inner");
    assert!(engine.try_curl("http://127.0.0.1:8080/").is_none());
    assert_eq!(engine.corten(["port", "inner"]).ok(), "");
}

#[test]
fn networks_are_apart_but_for_published_ports() {
    let engine = Engine::start();
    for network in ["red", "blue"] {
        engine.corten(["network", "create", network]).ok();
    }
    let red = serving(&engine, "red", "red", &["-p", "8080:80"]);
    serve(&engine, "blue", &["--network", "blue"]);
    assert!(!reaches(&engine, "blue", &format!("http://{red}/")));
    let gateway = engine
        .corten(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "blue"])
        .line();
    is_reached(&engine, "blue", &format!("http://{gateway}:8080/"));
}

#[test]
fn neighbours_without_icc() {
    let engine = Engine::start_with(Options::with_flags(&["--icc=false"]));
    serve(&engine, "web", &["-p", "8080:80"]);
    serve(&engine, "other", &[]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    let direct = engine.inspect("web", "{{.NetworkSettings.IPAddress}}");
    assert!(!reaches(&engine, "other", &format!("http://{direct}/")));
    engine
        .corten([
            "network",
            "create",
            "-o",
            "com.docker.network.bridge.enable_icc=false",
            "shy",
        ])
        .ok();
    let shy = serving(&engine, "shy", "shy", &[]);
    serve(&engine, "shy2", &["--network", "shy"]);
    assert!(!reaches(&engine, "shy2", &format!("http://{shy}/")));
}

#[test]
fn isolated_gateways_have_no_address() {
    let engine = Engine::start();
    let mode = "com.docker.network.bridge.gateway_mode_ipv4=isolated";
    let refusal = engine.corten(["network", "create", "-o", mode, "bad"]).fails(1);
    assert!(
        refusal.contains("gateway mode 'isolated' can only be used for an internal network"),
        "{refusal}"
    );
    let bridge = "com.docker.network.bridge.name=br-alone";
    engine
        .corten(["network", "create", "--internal", "-o", mode, "-o", bridge, "alone"])
        .ok();
    assert!(!engine.sh("ip address show br-alone").ok().contains("inet "));
}

#[test]
fn routed_ports_are_open_at_the_container_s_address() {
    let engine = Engine::start();
    let mode = "com.docker.network.bridge.gateway_mode_ipv4=routed";
    engine.corten(["network", "create", "-o", mode, "routed"]).ok();
    engine.corten(["network", "create", "plain"]).ok();
    let web = serving(&engine, "web", "routed", &["-p", "8080:80"]);
    serve(&engine, "other", &["--network", "plain"]);
    is_reached(&engine, "other", &format!("http://{web}/"));
    let ports = engine
        .corten(["inspect", "-f", "{{json .NetworkSettings.Ports}}", "web"])
        .line();
    assert!(ports.contains(r#"{"HostIp":"0.0.0.0","HostPort":""}"#), "{ports}");
    let list = engine.sh("nft list ruleset").ok();
    assert!(list.contains(&format!("tcp . {web} . 80")), "{list}");
}
