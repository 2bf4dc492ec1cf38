//! Networks on a link of the host, and drivers that are refused.

use corten_tests::engine::Engine;

/// Gives the engine's host a link, whose other end is a machine outside: named as containers' links are.
fn parent(engine: &Engine) {
    engine.sh("ip link add lan0 type veth peer name eth0").ok();
    engine.sh("ip link set lan0 up && ip link set eth0 up").ok();
    engine.sh("ip address add 10.77.0.1/24 dev eth0").ok();
}

#[test]
fn macvlan_containers_are_machines_of_their_own() {
    let engine = Engine::start();
    parent(&engine);
    let create = ["network", "create", "-d", "macvlan", "-o", "parent=lan0", "--subnet"];
    let more = ["10.77.0.0/24", "--gateway", "10.77.0.1", "lan"];
    engine.corten(create.iter().chain(&more)).ok();
    assert_eq!(
        engine
            .corten(["network", "inspect", "-f", "{{.Driver}} {{.Options.parent}}", "lan"])
            .line(),
        "macvlan lan0"
    );
    let mac = "02:42:0a:4d:00:99";
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "lan",
        "--mac-address",
        mac,
        "-p",
        "80:80",
    ];
    let serve = "mkdir /www; echo lan > /www/index.html; exec httpd -f -p 80 -h /www";
    engine.corten(run.iter().chain(&["busybox", "sh", "-c", serve])).ok();
    let seen = engine
        .corten(["exec", "web", "cat", "/sys/class/net/eth0/address"])
        .line();
    assert_eq!(seen, mac);
    let network = "{{with index .NetworkSettings.Networks \"lan\"}}{{.IPAddress}} {{.Gateway}} {{.MacAddress}}{{end}}";
    assert_eq!(engine.inspect("web", network), format!("10.77.0.2 10.77.0.1 {mac}"));
    // A neighbour reaches it, and nothing of it is on the host.
    let fetch = [
        "run",
        "--rm",
        "--network",
        "lan",
        "busybox",
        "timeout",
        "5",
        "wget",
        "-q",
        "-O",
        "-",
        "http://10.77.0.2/",
    ];
    assert_eq!(engine.corten(fetch).ok(), "lan\n");
    assert!(engine.try_curl("http://127.0.0.1:80/").is_none());
    assert_eq!(engine.corten(["port", "web"]).ok(), "");
    let refusal = engine.corten(["network", "rm", "lan"]).fails(1);
    assert!(refusal.contains("has active endpoints"), "{refusal}");
    engine.corten(["rm", "-f", "web"]).ok();
    engine.corten(["network", "rm", "lan"]).ok();
    engine.sh("ip link del lan0").ok();
}

#[test]
fn bad_parents_and_modes_are_refused() {
    let engine = Engine::start();
    parent(&engine);
    let refused = |arguments: &[&str]| {
        let create = ["network", "create"];
        engine.corten(create.iter().chain(arguments).chain(&["bad"])).fails(1)
    };
    let check = |arguments: &[&str], words: &str| {
        let refusal = refused(arguments);
        assert!(refusal.contains(words), "{refusal}");
    };
    check(
        &["-d", "macvlan", "-o", "parent=lan0", "-o", "macvlan_mode=x"],
        "requested macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default",
    );
    check(
        &["-d", "ipvlan", "-o", "parent=lan0", "-o", "ipvlan_mode=x"],
        "requested ipvlan mode 'x' is not valid, 'l2' mode is the ipvlan driver default",
    );
    check(
        &["-d", "macvlan", "-o", "parent=lo"],
        "loopback interface is not a valid macvlan parent link",
    );
    check(
        &["-d", "macvlan", "-o", "parent=nosuch"],
        "invalid subinterface vlan name nosuch, example formatting is eth0.10",
    );
    check(&["-d", "weave"], "plugin \"weave\" not found");
    check(&["-d", "overlay"], "This node is not a swarm manager.");
    let passthru = [
        "network",
        "create",
        "-d",
        "macvlan",
        "-o",
        "parent=lan0",
        "-o",
        "macvlan_mode=passthru",
    ];
    engine.corten(passthru.iter().chain(&["one"])).ok();
    check(
        &["-d", "macvlan", "-o", "parent=lan0"],
        "is already using parent interface lan0 in mode passthru",
    );
    assert_eq!(engine.corten(["network", "ls", "-q", "-f", "name=bad"]).ok(), "");
    engine.sh("ip link del lan0").ok();
}

/// Kernels without `ipvlan` say what they lack when a container comes.
#[test]
fn ipvlan_where_the_kernel_has_it() {
    let engine = Engine::start();
    parent(&engine);
    let create = [
        "network",
        "create",
        "-d",
        "ipvlan",
        "-o",
        "parent=lan0",
        "-o",
        "ipvlan_mode=l3",
        "l3",
    ];
    engine.corten(create).ok();
    let run = engine
        .corten(["run", "--rm", "--network", "l3", "busybox", "ip", "route"])
        .run();
    if run.code == 0 {
        assert!(run.stdout.contains("default dev eth0"), "{}", run.stdout);
    } else {
        assert!(
            run.stderr.contains("the kernel has no links of the kind ipvlan"),
            "{}",
            run.stderr
        );
    }
    engine.sh("ip link del lan0").ok();
}
