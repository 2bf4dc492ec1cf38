//! Options of the bridge driver, and dockerd's flags about networks.

use corten_tests::engine::{Engine, Options};

use crate::{answers, serve};

#[test]
fn options_shape_the_bridge_and_its_links() {
    let engine = Engine::start();
    let options = [
        "com.docker.network.bridge.name=br-mine",
        "com.docker.network.driver.mtu=1400",
        "com.docker.network.container_iface_prefix=lan",
        "com.docker.network.bridge.host_binding_ipv4=127.0.0.1",
        "com.docker.network.host_ipv4=192.0.2.7",
        "unknown.option=1",
    ];
    let mut create = vec!["network", "create"];
    options.iter().for_each(|option| create.extend(["-o", option]));
    engine.corten(create.iter().chain(&["mine"])).ok();
    serve(&engine, "web", &["--network", "mine", "-p", "8080:80"]);
    let links = engine.corten(["exec", "web", "ip", "link"]).ok();
    assert!(links.contains("lan0") && links.contains("mtu 1400"), "{links}");
    assert!(engine.sh("ip link show br-mine").ok().contains("mtu 1400"));
    answers(&engine, "http://127.0.0.1:8080/", "web");
    assert_eq!(engine.corten(["port", "web"]).ok(), "80/tcp -> 127.0.0.1:8080\n");
    assert!(engine.sh("nft list ruleset").ok().contains("snat ip to 192.0.2.7"));
    let shown = engine
        .corten([
            "network",
            "inspect",
            "-f",
            "{{index .Options \"unknown.option\"}}",
            "mine",
        ])
        .line();
    assert_eq!(shown, "1");
    let same = engine.corten(["network", "create", "-o", options[0], "again"]).fails(1);
    assert!(same.contains("networks have same bridge name"), "{same}");
}

#[test]
fn bad_values_are_refused_in_docker_s_words() {
    let engine = Engine::start();
    let check = |option: &str, words: &str| {
        let refusal = engine.corten(["network", "create", "-o", option, "bad"]).fails(1);
        assert!(refusal.contains(words), "{refusal}");
    };
    check(
        "com.docker.network.driver.mtu=x",
        "failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing \"x\": invalid syntax)",
    );
    check(
        "com.docker.network.bridge.enable_ip_masquerade=perhaps",
        "failed to parse com.docker.network.bridge.enable_ip_masquerade value: perhaps (strconv.ParseBool: parsing \
         \"perhaps\": invalid syntax)",
    );
    check(
        "com.docker.network.bridge.gateway_mode_ipv6=bridge",
        "failed to parse com.docker.network.bridge.gateway_mode_ipv6 value: bridge (unknown gateway mode bridge)",
    );
    check(
        "com.docker.network.bridge.host_binding_ipv4=here",
        "failed to parse com.docker.network.bridge.host_binding_ipv4 value: here (nil ip)",
    );
}

#[test]
fn default_options_are_for_networks_that_do_not_name_them() {
    let option = "bridge=com.docker.network.driver.mtu=1300";
    let engine = Engine::start_with(Options::with_flags(&["--default-network-opt", option]));
    let mtu = |name: &str| {
        let template = "{{index .Options \"com.docker.network.driver.mtu\"}}";
        engine.corten(["network", "inspect", "-f", template, name]).line()
    };
    engine.corten(["network", "create", "one"]).ok();
    engine
        .corten(["network", "create", "-o", "com.docker.network.driver.mtu=1450", "two"])
        .ok();
    assert_eq!((mtu("one").as_str(), mtu("two").as_str()), ("1300", "1450"));
}

#[test]
fn another_gateway_for_the_default_bridge() {
    let flags = ["--bip", "172.28.0.1/16", "--default-gateway", "172.28.0.99"];
    let engine = Engine::start_with(Options::with_flags(&flags));
    let routes = engine.corten(["run", "--rm", "busybox", "ip", "route"]).ok();
    assert!(routes.contains("default via 172.28.0.99"), "{routes}");
}

#[test]
fn a_bridge_of_the_user_s_keeps_its_address() {
    let engine = Engine::prepared(Options::with_flags(&["--bridge", "br-mine"]));
    engine
        .sh("ip link add br-mine type bridge && ip address add 10.66.0.9/24 dev br-mine")
        .ok();
    engine.sh("ip link set br-mine up").ok();
    engine.launch();
    let routes = engine.corten(["run", "--rm", "busybox", "ip", "route"]).ok();
    assert!(routes.contains("default via 10.66.0.9"), "{routes}");
    assert!(engine.sh("ip address show br-mine").ok().contains("10.66.0.9/24"));
}

#[test]
fn without_rules_containers_run_and_nothing_is_in_nftables() {
    let engine = Engine::start_with(Options::with_flags(&["--iptables=false", "--ip6tables=false"]));
    serve(&engine, "web", &[]);
    let address = engine.inspect("web", "{{.NetworkSettings.IPAddress}}");
    answers(&engine, &format!("http://{address}/"), "web");
    assert_eq!(engine.sh("nft list ruleset").ok(), "");
}
