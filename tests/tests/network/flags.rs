//! What each flag of `network create`, `connect`, `disconnect` and `ls` does.

use corten_tests::engine::Engine;
use serde_json::json;

use crate::names::{ask, sleeper};

#[test]
fn addresses_are_given_from_where_the_user_says() {
    let engine = Engine::start();
    let create = [
        "network",
        "create",
        "--subnet",
        "10.91.0.0/16",
        "--ip-range",
        "10.91.5.0/29",
        "--gateway",
        "10.91.5.1",
        "--aux-address",
        "router=10.91.5.2",
        "--aux-address",
        "printer=10.91.5.4",
        "lan",
    ];
    engine.corten(create).ok();
    let config = &engine.get("/networks/lan")["IPAM"]["Config"];
    let expected = json!([{
        "Subnet": "10.91.0.0/16", "IPRange": "10.91.5.0/29", "Gateway": "10.91.5.1",
        "AuxiliaryAddresses": {"printer": "10.91.5.4", "router": "10.91.5.2"},
    }]);
    assert_eq!(*config, expected);
    let mut given = Vec::new();
    // The range's first and last address are addresses like others, inside a larger subnet.
    for number in 0..5 {
        let name = format!("box{number}");
        sleeper(&engine, &name, &["--network", "lan"]);
        given.push(engine.inspect(&name, "{{.NetworkSettings.Networks.lan.IPAddress}}"));
    }
    given.sort();
    assert_eq!(given, ["10.91.5.0", "10.91.5.3", "10.91.5.5", "10.91.5.6", "10.91.5.7"]);
    let refusal = engine
        .corten(["run", "--rm", "--network", "lan", "busybox", "true"])
        .fails(125);
    assert!(
        refusal.contains("no available IPv4 addresses on this network's address pools: lan"),
        "{refusal}"
    );
    // What is asked for need not be in the range, but must not be another's.
    sleeper(&engine, "fixed", &["--network", "lan", "--ip", "10.91.200.1"]);
    let taken = [
        "run",
        "--rm",
        "--network",
        "lan",
        "--ip",
        "10.91.5.4",
        "busybox",
        "true",
    ];
    let refusal = engine.corten(taken).fails(125);
    assert!(refusal.contains("Address already in use"), "{refusal}");
    let bad = |flags: &[&str], words: &str| {
        let call = engine.corten(
            ["network", "create", "--subnet", "10.92.0.0/24"]
                .iter()
                .chain(flags)
                .chain(&["bad"]),
        );
        let refusal = call.fails(1);
        assert!(refusal.contains(words), "{flags:?}: {refusal}");
    };
    bad(
        &["--ip-range", "10.93.0.0/29"],
        "no matching subnet for range 10.93.0.0/29",
    );
    bad(
        &["--ip-range", "10.92.0.1/29"],
        "invalid ip-range 10.92.0.1/29: it should be 10.92.0.0/29",
    );
    bad(
        &["--aux-address", "x=10.93.0.1"],
        "no matching subnet for aux-address 10.93.0.1",
    );
}

#[test]
fn what_a_network_is_made_with_is_shown() {
    let engine = Engine::start();
    let create = [
        "network",
        "create",
        "--attachable",
        "--label",
        "tier=back",
        "--label",
        "empty",
        "--ipam-driver",
        "default",
        "--ipam-opt",
        "colour=blue",
        "--scope",
        "local",
        "--subnet",
        "10.94.0.0/24",
        "back",
    ];
    let id = engine.corten(create).line();
    let network = engine.get("/networks/back");
    assert_eq!(
        (&network["Attachable"], &network["Scope"]),
        (&json!(true), &json!("local"))
    );
    assert_eq!(network["Labels"], json!({"tier": "back", "empty": ""}));
    assert_eq!(network["IPAM"]["Driver"], "default");
    assert_eq!(network["IPAM"]["Options"], json!({"colour": "blue"}));
    let list = |flags: &[&str]| engine.corten(["network", "ls", "-q"].iter().chain(flags)).ok();
    assert_eq!(list(&["--no-trunc", "--filter", "label=tier=back"]), format!("{id}\n"));
    assert_eq!(list(&["--filter", "label=tier=back"]), format!("{}\n", &id[..12]));
    assert_eq!(list(&["--filter", "label=tier=front"]), "");
    // The engine knows it all again.
    engine.kill();
    engine.launch();
    assert_eq!(engine.get("/networks/back"), network);
    let unknown = engine
        .corten(["network", "create", "--ipam-driver", "nosuch", "x"])
        .fails(1);
    assert!(unknown.contains("plugin \"nosuch\" not found"), "{unknown}");
}

#[test]
fn what_only_a_swarm_has_is_refused_in_docker_s_words() {
    let engine = Engine::start();
    let refuse = |flags: &[&str], words: &str| {
        let call = engine.corten(["network", "create"].iter().chain(flags).chain(&["cluster"]));
        assert_eq!(
            call.fails(1),
            format!("Error response from daemon: {words}\n"),
            "{flags:?}"
        );
    };
    refuse(
        &["--scope", "swarm"],
        "cannot create a swarm scoped network when swarm is not active",
    );
    refuse(&["--ingress"], "Ingress network can only be global scope network");
    let manager = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this \
                   node to swarm and try again.";
    refuse(&["--driver", "overlay"], manager);
    let response = engine.http(
        "POST",
        "/networks/create",
        Some(&json!({"Name": "x", "Driver": "overlay"})),
    );
    assert_eq!((response.status, response.message()), (403, manager.to_owned()));
    assert_eq!(
        engine.corten(["network", "ls", "-q", "--filter", "type=custom"]).ok(),
        ""
    );
}

#[test]
fn configurations_are_kept_and_taken() {
    let engine = Engine::start();
    let create = |flags: &[&str]| engine.corten(["network", "create"].iter().chain(flags));
    let subnet = ["--subnet", "10.95.0.0/24", "--gateway", "10.95.0.9"];
    let options = [
        "--ipv6",
        "--subnet",
        "fd00:95::/64",
        "--label",
        "tier=back",
        "-o",
        "com.docker.network.driver.mtu=1400",
    ];
    create(
        &["--config-only"]
            .iter()
            .chain(&subnet)
            .chain(&options)
            .chain(&["plan"])
            .copied()
            .collect::<Vec<_>>(),
    )
    .ok();
    let plan = engine.get("/networks/plan");
    assert_eq!((&plan["ConfigOnly"], &plan["Driver"]), (&json!(true), &json!("null")));
    assert_eq!((&plan["Scope"], &plan["EnableIPv6"]), (&json!("local"), &json!(true)));
    assert_eq!(
        plan["IPAM"]["Config"][0],
        json!({"Subnet": "10.95.0.0/24", "Gateway": "10.95.0.9"})
    );
    assert!(!engine.sh("ip address").ok().contains("10.95.0"));
    let run = ["run", "--rm", "--network", "plan", "busybox", "true"];
    let refusal = engine.corten(run).fails(125);
    assert!(
        refusal.contains("cannot create endpoint on configuration-only network"),
        "{refusal}"
    );
    engine.corten(["network", "prune", "--force"]).ok();
    create(&["--config-from", "plan", "--internal", "real"]).ok();
    engine.kill();
    engine.launch();
    let real = engine.get("/networks/real");
    assert_eq!(
        (&real["ConfigFrom"]["Network"], &real["ConfigOnly"]),
        (&json!("plan"), &json!(false))
    );
    assert_eq!((&real["Driver"], &real["Internal"]), (&json!("bridge"), &json!(true)));
    for same in ["Labels", "Options", "EnableIPv6"] {
        assert_eq!(real[same], plan[same]);
    }
    sleeper(&engine, "web", &["--network", "real"]);
    let links = engine.corten(["exec", "web", "ip", "address"]).ok();
    for words in ["mtu 1400", "10.95.0.1/24", "fd00:95::2/64"] {
        assert!(links.contains(words), "no {words} in {links}");
    }
    let refuse = |flags: &[&str], words: &str| {
        let refusal = create(flags).fails(1);
        assert_eq!(refusal, format!("Error response from daemon: {words}\n"), "{flags:?}");
    };
    refuse(
        &["--config-from", "nosuch", "x"],
        "configuration network \"nosuch\" does not exist",
    );
    refuse(
        &["--config-from", "real", "x"],
        "configuration network \"real\" does not exist",
    );
    refuse(
        &["--config-from", "plan", "--subnet", "10.96.0.0/24", "x"],
        "user-specified configurations are not supported if the network depends on a configuration network",
    );
    refuse(
        &["--config-from", "plan", "-o", "a=b", "x"],
        "network driver options are not supported if the network depends on a configuration network",
    );
    refuse(
        &["--config-from", "plan", "--config-only", "x"],
        "a configuration network cannot depend on another configuration network",
    );
    let operator = "configuration network can only contain network specific fields. Network operator fields like \
                    [ ingress | internal | attachable | scope ] are not supported.";
    refuse(&["--config-only", "--attachable", "x"], operator);
    refuse(&["--config-only", "plan"], "network with name plan already exists");
    let used = engine.corten(["network", "rm", "plan"]).fails(1);
    assert!(used.contains("configuration network \"plan\" is in use"), "{used}");
    engine.corten(["rm", "-f", "web"]).ok();
    engine.corten(["network", "rm", "real", "plan"]).ok();
}

#[test]
fn connections_are_made_as_asked() {
    let engine = Engine::start();
    engine
        .corten(["network", "create", "--subnet", "10.97.1.0/24", "a"])
        .ok();
    let dual = ["--subnet", "10.97.2.0/24", "--ipv6", "--subnet", "fd00:97::/64"];
    engine
        .corten(["network", "create"].iter().chain(&dual).chain(&["b"]))
        .ok();
    sleeper(&engine, "db", &["--network", "b"]);
    let pid = sleeper(&engine, "web", &["--network", "a"]);
    let other = sleeper(&engine, "other", &["--network", "b"]);
    // The flag is a list of comma separated values.
    let sysctls = "\"com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,\
                   net.ipv4.conf.IFNAME.rp_filter=2\"";
    let connect = [
        "network",
        "connect",
        "--ip6",
        "fd00:97::77",
        "--link-local-ip",
        "169.254.7.7",
        "--link",
        "db:store",
        "--gw-priority",
        "1",
        "--driver-opt",
        "com.docker.network.endpoint.ifname=lan0",
        "--driver-opt",
        sysctls,
        "b",
        "web",
    ];
    engine.corten(connect).ok();
    let links = engine.corten(["exec", "web", "ip", "address", "show", "lan0"]).ok();
    for words in ["fd00:97::77/64", "169.254.7.7/16", "10.97.2."] {
        assert!(links.contains(words), "no {words} in {links}");
    }
    let settings = "cd /proc/sys/net/ipv4/conf/lan0; cat log_martians rp_filter";
    assert_eq!(engine.corten(["exec", "web", "sh", "-c", settings]).ok(), "1\n2\n");
    let routes = engine.corten(["exec", "web", "ip", "route"]).ok();
    assert!(routes.contains("default via 10.97.2.1 dev lan0"), "{routes}");
    // A link is a name for this container alone.
    let address = engine.inspect("db", "{{.NetworkSettings.Networks.b.IPAddress}}");
    assert_eq!(ask(&engine, &pid, "store", "A", "udp"), format!("0 {address}"));
    assert!(!ask(&engine, &other, "store", "A", "udp").contains("10.97"));
    let shown = &engine.get("/containers/web/json")["NetworkSettings"]["Networks"]["b"];
    assert_eq!(
        (&shown["GwPriority"], &shown["Links"]),
        (&json!(1), &json!(["db:store"]))
    );
    assert_eq!(
        shown["IPAMConfig"],
        json!({"IPv6Address": "fd00:97::77", "LinkLocalIPs": ["169.254.7.7"]})
    );
    // It is all there after a restart.
    engine.corten(["restart", "-t", "0", "web"]).ok();
    assert_eq!(engine.corten(["exec", "web", "sh", "-c", settings]).ok(), "1\n2\n");
    let bad = [
        "network",
        "connect",
        "--driver-opt",
        "com.docker.network.endpoint.sysctls=net.core.x=1",
        "a",
        "db",
    ];
    let refusal = engine.corten(bad).fails(1);
    assert!(
        refusal.contains("invalid endpoint settings:\nunrecognised network interface sysctl 'net.core.x=1'"),
        "{refusal}"
    );
    let missing = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.nosuch=1";
    let refusal = engine
        .corten(["network", "connect", "--driver-opt", missing, "a", "db"])
        .fails(1);
    assert!(refusal.contains("nosuch is not a sysctl file"), "{refusal}");
    let inside = engine.corten(["exec", "db", "ls", "/sys/class/net"]).ok();
    assert_eq!(inside, "eth0\nlo\n");
    engine.corten(["network", "disconnect", "--force", "b", "web"]).ok();
    assert_eq!(engine.inspect("web", "{{len .NetworkSettings.Networks}}"), "1");
    engine.corten(["stop", "-t", "0", "web"]).ok();
    engine.corten(["network", "disconnect", "--force", "a", "web"]).ok();
    assert_eq!(engine.inspect("web", "{{len .NetworkSettings.Networks}}"), "0");
}

#[test]
fn an_alias_of_a_created_container_is_known() {
    let engine = Engine::start();
    engine.corten(["network", "create", "a"]).ok();
    let create = [
        "create",
        "--name",
        "web",
        "--network",
        "a",
        "--network-alias",
        "www",
        "busybox",
        "sleep",
        "1000",
    ];
    engine.corten(create).ok();
    engine.corten(["start", "web"]).ok();
    let pid = sleeper(&engine, "other", &["--network", "a"]);
    let address = engine.inspect("web", "{{.NetworkSettings.Networks.a.IPAddress}}");
    assert_eq!(ask(&engine, &pid, "www", "A", "udp"), format!("0 {address}"));
}
