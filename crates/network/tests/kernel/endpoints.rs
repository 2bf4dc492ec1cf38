//! Namespaces, links and addresses.

use std::os::fd::AsFd;

use corten_network::{EndpointPlan, Kind, MacAddress, Neighbours, Reach};
use corten_sys::netns;

use crate::world::{
    TABLE, addresses, as_host, ask_tcp, bridge, container, endpoint, eventually, exists, here, is_cut_off, open,
    outside, run, serve_tcp,
};

#[test]
fn a_container_gets_its_address_and_reaches_the_gateway() {
    as_host(|| {
        let fabric = open(TABLE, 2);
        eventually("the pool is full", || fabric.ready() == 2);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let one = container(&fabric, "cort0", 17, 2);
        let text = addresses(one.netns.as_fd());
        assert!(text.contains("172.17.0.2/16"), "{text}");
        assert!(!text.contains("fe80"), "{text}");
        let link = netns::run_in(one.netns.as_fd(), || run("ip link show eth0")).unwrap();
        assert!(
            link.contains("02:42:ac:11:00:02") && link.contains("mtu 1500"),
            "{link}"
        );
        let routes = netns::run_in(one.netns.as_fd(), || run("ip route")).unwrap();
        assert!(routes.contains("default via 172.17.0.1 dev eth0"), "{routes}");
        let host = here();
        serve_tcp(host.as_fd(), "172.17.0.1:80", "host");
        assert_eq!(ask_tcp(one.netns.as_fd(), "172.17.0.1:80").unwrap(), "host 172.17.0.2");
        assert_eq!(fabric.links().unwrap(), std::slice::from_ref(&one.link.host_ifname));
        eventually("the pool is full again", || fabric.ready() == 2);
    });
}

#[test]
fn links_go_with_their_namespace() {
    as_host(|| {
        let fabric = open(TABLE, 1);
        eventually("the pool is full", || fabric.ready() == 1);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let one = container(&fabric, "cort0", 17, 2);
        let name = one.link.host_ifname.clone();
        assert!(exists(&name));
        drop(one);
        eventually("the link is gone", || !exists(&name));
        drop(fabric);
        eventually("the pool's links are gone", || !run("ip -o link").contains("veth"));
    });
}

#[test]
fn without_a_pool_endpoints_are_made_when_needed() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let one = container(&fabric, "cort0", 17, 2);
        let two = container(&fabric, "cort0", 17, 3);
        serve_tcp(two.netns.as_fd(), "0.0.0.0:80", "two");
        assert_eq!(ask_tcp(one.netns.as_fd(), "172.17.0.3:80").unwrap(), "two 172.17.0.2");
        let missing = fabric.attach("nosuch", &endpoint("172.17.0.9/16", "172.17.0.1"));
        assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
    });
}

#[test]
fn names_link_addresses_and_mtu_are_as_planned() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        let mut plan = bridge("cort0", "172.17.0.1/16");
        plan.mtu = 1400;
        fabric.ensure_bridge(&plan).unwrap();
        let mac: MacAddress = "02:11:22:33:44:55".parse().unwrap();
        let wish = EndpointPlan {
            ifname: "net7".into(),
            mac,
            mtu: 1400,
            gateway4: None,
            ..endpoint("172.17.0.2/16", "172.17.0.1")
        };
        let one = fabric.attach("cort0", &wish).unwrap();
        let link = netns::run_in(one.netns.as_fd(), || run("ip link show net7")).unwrap();
        assert!(
            link.contains("02:11:22:33:44:55") && link.contains("mtu 1400"),
            "{link}"
        );
        let routes = netns::run_in(one.netns.as_fd(), || run("ip route")).unwrap();
        assert!(!routes.contains("default"), "{routes}");
        let host = run(&format!("ip link show {}", one.link.host_ifname));
        assert!(host.contains("mtu 1400") && host.contains("master cort0"), "{host}");
    });
}

#[test]
fn further_networks_come_and_go() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        fabric.ensure_bridge(&bridge("br-b", "172.18.0.1/16")).unwrap();
        let one = container(&fabric, "cort0", 17, 2);
        let other = container(&fabric, "br-b", 18, 2);
        serve_tcp(other.netns.as_fd(), "0.0.0.0:80", "other");
        assert!(is_cut_off(one.netns.as_fd(), "172.18.0.2:80"));
        let plan = EndpointPlan {
            ifname: "eth1".into(),
            gateway4: None,
            ..endpoint("172.18.0.3/16", "172.18.0.1")
        };
        let link = fabric.attach_existing(one.netns.as_fd(), "br-b", &plan).unwrap();
        assert_eq!(ask_tcp(one.netns.as_fd(), "172.18.0.2:80").unwrap(), "other 172.18.0.3");
        let again = fabric.attach_existing(one.netns.as_fd(), "br-b", &plan).unwrap_err();
        assert_eq!(again.kind(), Kind::Conflict);
        assert_eq!(fabric.links().unwrap().len(), 3);
        fabric.detach(&link.host_ifname).unwrap();
        fabric.detach(&link.host_ifname).unwrap();
        assert!(!addresses(one.netns.as_fd()).contains("eth1"));
        let known = [one.link.host_ifname.clone()];
        assert_eq!(
            fabric.strays(&known).unwrap(),
            std::slice::from_ref(&other.link.host_ifname)
        );
        fabric.detach(&other.link.host_ifname).unwrap();
        assert_eq!(fabric.links().unwrap(), known);
    });
}

#[test]
fn ipv6_works_where_it_is_given() {
    as_host(|| {
        let machine = outside();
        let fabric = open(TABLE, 1);
        let mut plan = bridge("cort0", "172.17.0.1/16");
        plan.ipv6 = vec!["fd00:1::1/64".parse().unwrap()];
        fabric.ensure_bridge(&plan).unwrap();
        let wish = EndpointPlan {
            ipv6: Some("fd00:1::2/64".parse().unwrap()),
            gateway6: Some("fd00:1::1".parse().unwrap()),
            ..endpoint("172.17.0.2/16", "172.17.0.1")
        };
        let one = fabric.attach("cort0", &wish).unwrap();
        let text = addresses(one.netns.as_fd());
        assert!(text.contains("fd00:1::2/64") && text.contains("fe80"), "{text}");
        serve_tcp(machine.as_fd(), "[::]:80", "out");
        assert_eq!(
            ask_tcp(one.netns.as_fd(), "[2001:db8::2]:80").unwrap(),
            "out 2001:db8::1"
        );
    });
}

#[test]
fn bridges_are_adopted_changed_and_removed() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        let plan = bridge("cort0", "172.17.0.1/16");
        fabric.ensure_bridge(&plan).unwrap();
        fabric.ensure_bridge(&plan).unwrap();
        let mut moved = bridge("cort0", "172.20.0.1/24");
        moved.mtu = 1300;
        fabric.ensure_bridge(&moved).unwrap();
        let text = run("ip address show cort0");
        assert!(text.contains("172.20.0.1/24") && text.contains("mtu 1300"), "{text}");
        assert!(!text.contains("172.17.0.1"), "{text}");
        let subnets = fabric.host_subnets(&[]).unwrap();
        assert!(subnets.contains(&"172.20.0.0/24".parse().unwrap()), "{subnets:?}");
        let others = fabric.host_subnets(&["cort0".into()]).unwrap();
        assert!(!others.contains(&"172.20.0.0/24".parse().unwrap()), "{others:?}");
        fabric.remove_bridge("cort0").unwrap();
        fabric.remove_bridge("cort0").unwrap();
        assert!(!exists("cort0"));
        run("ip link add taken0 type veth peer name taken1");
        let error = fabric.ensure_bridge(&bridge("taken0", "172.21.0.1/24")).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        let error = fabric
            .ensure_bridge(&bridge("a-name-too-long0", "172.21.0.1/24"))
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
    });
}

#[test]
fn containers_reach_out_as_the_host_or_not_at_all() {
    as_host(|| {
        let machine = outside();
        let fabric = open(TABLE, 0);
        let internal = corten_network::BridgePlan {
            reach: Reach::Internal,
            ..bridge("br-in", "172.18.0.1/16")
        };
        let routed = corten_network::BridgePlan {
            reach: Reach::Routed,
            ..bridge("br-ro", "172.19.0.1/16")
        };
        for plan in [&bridge("cort0", "172.17.0.1/16"), &internal, &routed] {
            fabric.ensure_bridge(plan).unwrap();
        }
        serve_tcp(machine.as_fd(), "0.0.0.0:80", "out");
        let ask = |bridge, net| {
            let one = container(&fabric, bridge, net, 2);
            ask_tcp(one.netns.as_fd(), "192.0.2.2:80").ok()
        };
        assert_eq!(ask("cort0", 17).as_deref(), Some("out 192.0.2.1"));
        assert_eq!(ask("br-in", 18), None);
        assert_eq!(ask("br-ro", 19).as_deref(), Some("out 172.19.0.2"));
    });
}

#[test]
fn neighbours_are_kept_apart_when_asked() {
    for bridge_netfilter in ["0", "1"] {
        as_host(|| {
            run(&format!(
                "sysctl -qw net.bridge.bridge-nf-call-iptables={bridge_netfilter}"
            ));
            let fabric = open(TABLE, 0);
            let plan = corten_network::BridgePlan {
                neighbours: Neighbours::Isolated,
                ..bridge("cort0", "172.17.0.1/16")
            };
            fabric.ensure_bridge(&plan).unwrap();
            let one = container(&fabric, "cort0", 17, 2);
            let two = container(&fabric, "cort0", 17, 3);
            serve_tcp(two.netns.as_fd(), "0.0.0.0:80", "two");
            assert!(is_cut_off(one.netns.as_fd(), "172.17.0.3:80"));
            let host = here();
            assert_eq!(ask_tcp(host.as_fd(), "172.17.0.3:80").unwrap(), "two 172.17.0.1");
        });
    }
}

#[test]
fn an_address_moves_to_its_next_container_at_once() {
    as_host(|| {
        let fabric = open(TABLE, 2);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let host = here();
        for _ in 0..5 {
            let one = container(&fabric, "cort0", 17, 2);
            serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "new");
            let answer = ask_tcp(host.as_fd(), "172.17.0.2:80").unwrap();
            assert_eq!(answer, "new 172.17.0.1");
            // The old container's link is still there when the next one is made.
            std::mem::forget(one);
        }
    });
}
