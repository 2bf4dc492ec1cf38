//! IPv6: addresses, routes, ports.

use corten_tests::engine::{Engine, Options};

use crate::{answers, serve};

#[test]
fn networks_with_both_versions_and_with_ipv6_alone() {
    let engine = Engine::start();
    engine
        .corten(["network", "create", "--ipv6", "--subnet", "fd00:7::/64", "dual"])
        .ok();
    let config = "{{.EnableIPv4}} {{.EnableIPv6}} {{len .IPAM.Config}}";
    assert_eq!(
        engine.corten(["network", "inspect", "-f", config, "dual"]).line(),
        "true true 2"
    );
    engine
        .corten(["network", "create", "--ipv6", "--ipv4=false", "six"])
        .ok();
    let chosen = engine
        .corten(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "six"])
        .line();
    assert!(chosen.starts_with("fd") && chosen.ends_with("/64"), "{chosen}");
    // The engine's pool is the same for all networks, and for good.
    engine
        .corten(["network", "create", "--ipv6", "--ipv4=false", "seven"])
        .ok();
    let next = engine
        .corten(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "seven"])
        .line();
    let prefix = |subnet: &str| subnet.split(':').take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(prefix(&chosen), prefix(&next));

    serve(&engine, "web", &["--network", "dual", "-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    answers(&engine, "http://[fd00:7::1]:8080/", "web");
    answers(&engine, "http://[fd00:7::2]/", "web");
    let routes = engine.corten(["exec", "web", "ip", "-6", "route"]).ok();
    assert!(routes.contains("default via fd00:7::1"), "{routes}");
    assert_eq!(
        engine.corten(["port", "web"]).ok(),
        "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    );
    serve(&engine, "lone", &["--network", "six"]);
    let links = engine.corten(["exec", "lone", "ip", "address"]).ok();
    assert!(
        links.contains("inet6 fd") && !links.contains("inet 1") || links.contains("inet 127"),
        "{links}"
    );
    let address = engine.inspect(
        "lone",
        "{{with index .NetworkSettings.Networks \"six\"}}{{.IPAddress}}{{end}}",
    );
    assert_eq!(address, "");
}

#[test]
fn ports_of_one_ipv6_address() {
    let engine = Engine::start();
    engine
        .corten(["network", "create", "--ipv6", "--subnet", "fd00:7::/64", "dual"])
        .ok();
    engine.sh("ip address add fd00:99::1/64 dev lo").ok();
    serve(&engine, "web", &["--network", "dual", "-p", "[fd00:99::1]:8080:80"]);
    answers(&engine, "http://[fd00:99::1]:8080/", "web");
    assert!(engine.try_curl("http://[fd00:7::1]:8080/").is_none());
    assert_eq!(engine.corten(["port", "web"]).ok(), "80/tcp -> [fd00:99::1]:8080\n");
    let refusal = engine
        .corten([
            "run",
            "--rm",
            "--network",
            "dual",
            "-p",
            "[fd00:99::1]:8080:80",
            "busybox",
            "true",
        ])
        .fails(125);
    assert!(
        refusal.contains("Bind for [fd00:99::1]:8080 failed: port is already allocated"),
        "{refusal}"
    );
}

#[test]
fn the_default_bridge_has_ipv6_when_the_engine_is_told() {
    let flags = ["--ipv6", "--fixed-cidr-v6", "fd00:17::/64", "--bip", "172.28.0.1/16"];
    let engine = Engine::start_with(Options::with_flags(&flags));
    serve(&engine, "web", &["-p", "8080:80"]);
    assert_eq!(
        engine.inspect("web", "{{.NetworkSettings.GlobalIPv6Address}}"),
        "fd00:17::2"
    );
    answers(&engine, "http://[fd00:17::1]:8080/", "web");
    assert_eq!(engine.get("/networks/bridge")["EnableIPv6"], true);
}

/// As docker-py's own tests have it: an IPv6 subnet without `EnableIPv6`.
#[test]
fn addresses_of_a_family_that_is_off_are_no_more_than_wishes() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
        .corten(["network", "create", "--subnet", "2001:389::/64", "off"])
        .ok();
    let network = engine.get("/networks/off");
    assert_eq!(
        (&network["EnableIPv4"], &network["EnableIPv6"]),
        (&true.into(), &false.into())
    );
    assert_eq!(network["IPAM"]["Config"][0]["Subnet"], "2001:389::/64");
    let address = "2001:389::f00d";
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "box",
            "--network",
            "off",
            "--ip6",
            address,
            "busybox",
            "sleep",
            "300",
        ])
        .ok();
    let found = &engine.get("/containers/box/json")["NetworkSettings"]["Networks"]["off"];
    assert_eq!(found["IPAMConfig"]["IPv6Address"], address);
    assert_eq!(found["GlobalIPv6Address"], "");
    assert_ne!(found["IPAddress"], "");
    engine
        .corten(["run", "--network", "off", "--ip6", "2001:390::1", "busybox", "true"])
        .fails(125);
}
