//! The table: as planned, beside others, after a flush, after a restart.

use std::os::fd::AsFd;

use corten_network::{Fabric, FabricConfig, GatewayMode, Kind, PortBinding, Protocol, PublishedState, Verdict};

use crate::world::{
    HOST, TABLE, as_host, ask_tcp, binding, bridge, container, eventually, exists, here, is_cut_off, nft, open,
    outside, run, serve_tcp,
};

fn web() -> Vec<PortBinding> {
    vec![binding(Protocol::Tcp, ("0.0.0.0", 8080), ("172.17.0.2", 80))]
}

#[test]
fn nft_lists_the_table_as_planned() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        let mut dual = bridge("cort0", "172.17.0.1/16");
        dual.ipv6 = vec!["fd00:1::1/64".parse().unwrap()];
        fabric.ensure_bridge(&dual).unwrap();
        fabric.ensure_bridge(&bridge("br-b", "172.18.0.1/20")).unwrap();
        let mut all = web();
        all.push(binding(Protocol::Udp, ("127.0.0.1", 53), ("172.17.0.2", 5353)));
        all.push(binding(Protocol::Sctp, ("::", 99), ("fd00:1::2", 100)));
        all.push(binding(Protocol::Tcp, ("fd00:1::1", 99), ("fd00:1::2", 100)));
        all.extend((9000..9100).map(|port| binding(Protocol::Udp, ("0.0.0.0", port), ("172.17.0.2", port))));
        fabric.publish("web", &all).unwrap();
        let listed = run(&format!("nft list table inet {TABLE}"));
        assert_eq!(normal(&listed), normal(&fabric.ruleset()), "\n{listed}");
    });
}

/// Undoes `nft`'s own line breaks.
fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_flushed_ruleset_comes_back() {
    as_host(|| {
        let (machine, _) = (outside(), here());
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let one = container(&fabric, "cort0", 17, 2);
        serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "web");
        fabric.publish("web", &web()).unwrap();
        assert_eq!(fabric.verify_or_restore().unwrap(), Verdict::Intact);
        let address = format!("{HOST}:8080");
        for damage in [
            "flush ruleset".to_owned(),
            format!("flush table inet {TABLE}"),
            format!("flush map inet {TABLE} any4"),
            format!("delete table inet {TABLE}"),
        ] {
            nft(&damage);
            assert!(is_cut_off(machine.as_fd(), &address), "{damage}");
            assert_eq!(fabric.verify_or_restore().unwrap(), Verdict::Restored, "{damage}");
            assert_eq!(ask_tcp(machine.as_fd(), &address).unwrap(), "web 192.0.2.2");
            assert_eq!(fabric.verify_or_restore().unwrap(), Verdict::Intact);
        }
        let watch = fabric.watch().unwrap();
        nft("flush ruleset");
        eventually("the watch restored the rules", || {
            run("nft list ruleset").contains("8080 : 172.17.0.2 . 80")
        });
        drop(watch);
        // Ports change by elements even when someone removed them before.
        nft(&format!("flush map inet {TABLE} any4"));
        fabric.unpublish("web").unwrap();
        nft("flush ruleset");
        fabric.publish("web", &web()).unwrap();
        assert_eq!(ask_tcp(machine.as_fd(), &address).unwrap(), "web 192.0.2.2");
    });
}

#[test]
fn the_next_engine_takes_over() {
    as_host(|| {
        let (machine, host) = (outside(), here());
        let fabric = open(TABLE, 2);
        let plan = bridge("cort0", "172.17.0.1/16");
        fabric.ensure_bridge(&plan).unwrap();
        let one = container(&fabric, "cort0", 17, 2);
        serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "web");
        fabric.publish("web", &web()).unwrap();
        drop(fabric);
        let works = || {
            assert_eq!(
                ask_tcp(machine.as_fd(), &format!("{HOST}:8080")).unwrap(),
                "web 192.0.2.2"
            );
            assert_eq!(ask_tcp(host.as_fd(), "127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        };
        works();
        let next = open(TABLE, 2);
        works();
        assert_eq!(next.verify_or_restore().unwrap(), Verdict::Intact);
        works();
        let state = PublishedState {
            owner: "web".into(),
            bindings: web(),
        };
        next.restore(std::slice::from_ref(&plan), vec![state]).unwrap();
        works();
        assert_eq!(next.links().unwrap(), std::slice::from_ref(&one.link.host_ifname));
        assert!(
            next.strays(std::slice::from_ref(&one.link.host_ifname))
                .unwrap()
                .is_empty()
        );
        let taken = next.reserve(
            "other",
            &crate::ports::request(&["0.0.0.0"], corten_network::HostPorts::One(8080)),
        );
        assert_eq!(
            taken.unwrap_err().to_string(),
            "Bind for 0.0.0.0:8080 failed: port is already allocated"
        );
        let two = container(&next, "cort0", 17, 3);
        assert_eq!(ask_tcp(two.netns.as_fd(), "172.17.0.2:80").unwrap(), "web 172.17.0.3");
        next.unpublish("web").unwrap();
        assert!(is_cut_off(machine.as_fd(), &format!("{HOST}:8080")));
    });
}

#[test]
fn two_engines_do_not_meet() {
    as_host(|| {
        let machine = outside();
        let a = open("corten-a", 1);
        let b = open("corten-b", 1);
        a.ensure_bridge(&bridge("cort-a", "172.17.0.1/16")).unwrap();
        b.ensure_bridge(&bridge("cort-b", "172.18.0.1/16")).unwrap();
        let one = container(&a, "cort-a", 17, 2);
        let two = container(&b, "cort-b", 18, 2);
        serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "one");
        serve_tcp(two.netns.as_fd(), "0.0.0.0:80", "two");
        a.publish("x", &web()).unwrap();
        let other = [binding(Protocol::Tcp, ("0.0.0.0", 8081), ("172.18.0.2", 80))];
        b.publish("x", &other).unwrap();
        let ask = |from, port| ask_tcp(from, &format!("{HOST}:{port}"));
        assert_eq!(ask(machine.as_fd(), 8080).unwrap(), "one 192.0.2.2");
        assert_eq!(ask(machine.as_fd(), 8081).unwrap(), "two 192.0.2.2");
        assert_eq!(ask(two.netns.as_fd(), 8080).unwrap(), "one 172.17.0.1");
        assert_eq!(ask(one.netns.as_fd(), 8081).unwrap(), "two 172.18.0.1");
        assert!(is_cut_off(one.netns.as_fd(), "172.18.0.2:80"));
        assert_eq!(a.links().unwrap(), std::slice::from_ref(&one.link.host_ifname));
        assert_eq!(b.links().unwrap(), std::slice::from_ref(&two.link.host_ifname));
        a.teardown().unwrap();
        assert_eq!(ask(machine.as_fd(), 8081).unwrap(), "two 192.0.2.2");
        assert!(is_cut_off(machine.as_fd(), &format!("{HOST}:8080")));
    });
}

#[test]
fn teardown_leaves_nothing() {
    as_host(|| {
        nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; } }");
        let before = run("nft -a list ruleset");
        let fabric = open(TABLE, 1);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        drop(container(&fabric, "cort0", 17, 2));
        fabric.publish("web", &web()).unwrap();
        fabric.teardown().unwrap();
        assert_eq!(run("nft -a list ruleset"), before);
        assert!(!exists("cort0"));
        drop(fabric);
        eventually("only loopback is left", || run("ip -o link").lines().count() == 1);
    });
}

#[test]
fn iptables_policy_does_not_cut_containers_off() {
    for bridge_netfilter in ["0", "1"] {
        as_host(|| {
            run(&format!(
                "sysctl -qw net.bridge.bridge-nf-call-iptables={bridge_netfilter}"
            ));
            nft(
                "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; } }
                 table inet mine { chain open { type filter hook forward priority 10; policy accept; } }",
            );
            let machine = outside();
            let fabric = open(TABLE, 0);
            fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
            let one = container(&fabric, "cort0", 17, 2);
            let two = container(&fabric, "cort0", 17, 3);
            serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "web");
            serve_tcp(machine.as_fd(), "0.0.0.0:80", "out");
            fabric.publish("web", &web()).unwrap();
            let works = || {
                let address = format!("{HOST}:8080");
                assert_eq!(ask_tcp(machine.as_fd(), &address).unwrap(), "web 192.0.2.2");
                let near = ask_tcp(two.netns.as_fd(), "172.17.0.2:80").unwrap();
                assert_eq!(near, "web 172.17.0.3");
                let out = ask_tcp(one.netns.as_fd(), "192.0.2.2:80").unwrap();
                assert_eq!(out, "out 192.0.2.1");
            };
            works();
            assert!(fabric.obstacles().unwrap().is_empty());
            nft("flush chain ip filter FORWARD");
            assert!(is_cut_off(machine.as_fd(), &format!("{HOST}:8080")));
            assert_eq!(fabric.verify_or_restore().unwrap(), Verdict::Restored);
            works();
            fabric.remove_bridge("cort0").unwrap();
            assert!(!run("nft list chain ip filter FORWARD").contains("cort0"));
            nft("table inet mine { chain shut { type filter hook forward priority 9; policy drop; } }");
            assert_eq!(fabric.obstacles().unwrap(), ["inet mine shut"]);
        });
    }
}

#[test]
fn without_the_privilege_it_says_so() {
    as_host(|| {
        use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            },
        )
        .unwrap();
        let config = FabricConfig::new(TABLE, 0);
        let error = Fabric::open(&config).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden);
        assert!(error.advice().unwrap().contains("root"), "{error:?}");
    });
}

#[test]
fn bad_table_names_are_refused() {
    as_host(|| {
        let config = FabricConfig::new("a b", 0);
        assert_eq!(Fabric::open(&config).unwrap_err().kind(), Kind::Invalid);
    });
}

#[test]
fn nft_lists_policies_as_planned() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        let mut routed = bridge("br-routed", "172.17.0.1/16");
        routed.ipv6 = vec!["fd00:1::1/64".parse().unwrap()];
        routed.policy.gateway4 = GatewayMode::Routed;
        routed.policy.gateway6 = GatewayMode::Routed;
        let mut open = bridge("br-open", "172.18.0.1/16");
        open.policy.gateway4 = GatewayMode::NatUnprotected;
        open.policy.source4 = Some([192, 0, 2, 9].into());
        open.policy.trusted = vec!["wg0".into()];
        fabric.ensure_bridge(&routed).unwrap();
        fabric.ensure_bridge(&open).unwrap();
        let all = vec![
            binding(Protocol::Tcp, ("0.0.0.0", 0), ("172.17.0.2", 80)),
            binding(Protocol::Sctp, ("::", 0), ("fd00:1::2", 80)),
            binding(Protocol::Tcp, ("0.0.0.0", 8080), ("172.18.0.2", 80)),
        ];
        fabric.publish("web", &all).unwrap();
        let listed = run(&format!("nft list table inet {TABLE}"));
        assert_eq!(normal(&listed), normal(&fabric.ruleset()), "\n{listed}");
        fabric.unpublish("web").unwrap();
        let listed = run(&format!("nft list table inet {TABLE}"));
        assert_eq!(normal(&listed), normal(&fabric.ruleset()), "\n{listed}");
    });
}
