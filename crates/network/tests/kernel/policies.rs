//! What gateways let in, and networks without a bridge.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use corten_network::{
    BridgePlan, Fabric, FabricConfig, GatewayMode, Kind, MacAddress, MacvlanMode, Medium, Protocol, isolated_namespace,
};
use corten_sys::netns;

use crate::world::{
    TABLE, addresses, as_host, ask_tcp, binding, bridge, container, endpoint, exists, here, is_cut_off, open, outside,
    run, serve_tcp,
};

/// A container that serves ports 80 and 81 on a bridge of the policy, and publishes 80.
fn served(fabric: &Fabric, plan: &BridgePlan, net: u8) -> OwnedFd {
    fabric.ensure_bridge(plan).unwrap();
    let one = container(fabric, &plan.name, net, 2);
    for port in ["0.0.0.0:80", "0.0.0.0:81"] {
        serve_tcp(one.netns.as_fd(), port, "web");
    }
    let host_port = if plan.policy.gateway4 == GatewayMode::Routed {
        0
    } else {
        8000 + u16::from(net)
    };
    let address = format!("172.{net}.0.2");
    let published = [binding(Protocol::Tcp, ("0.0.0.0", host_port), (&address, 80))];
    fabric.publish(&plan.name, &published).unwrap();
    one.netns
}

#[test]
fn gateways_let_in_what_their_mode_says() {
    as_host(|| {
        let machine = outside();
        let fabric = open(TABLE, 0);
        let nat = served(&fabric, &bridge("br-nat", "172.17.0.1/16"), 17);
        let mut unprotected = bridge("br-unp", "172.18.0.1/16");
        unprotected.policy.gateway4 = GatewayMode::NatUnprotected;
        let _unprotected = served(&fabric, &unprotected, 18);
        let mut routed = bridge("br-rou", "172.19.0.1/16");
        routed.policy.gateway4 = GatewayMode::Routed;
        let routed = served(&fabric, &routed, 19);
        let mut trusting = bridge("br-tru", "172.20.0.1/16");
        trusting.policy.trusted = vec!["out0".into()];
        let _trusting = served(&fabric, &trusting, 20);
        let reached = |from: &OwnedFd, address: &str| !is_cut_off(from.as_fd(), address);
        let seen: Vec<_> = [17, 18, 19, 20]
            .iter()
            .map(|net| [80, 81].map(|port| reached(&machine, &format!("172.{net}.0.2:{port}"))))
            .collect();
        assert_eq!(seen, [[false, false], [true, true], [true, false], [true, false]]);
        // Networks of ours: published ports of a routed one are open to the others, nothing else is.
        assert!(reached(&nat, "172.19.0.2:80") && !reached(&nat, "172.18.0.2:81") && !reached(&nat, "172.20.0.2:80"));
        assert!(!reached(&routed, "172.17.0.2:80"));
        // By the host's address they reach each other.
        assert!(reached(&nat, "192.0.2.1:8020"));
    });
}

#[test]
fn everything_published_is_open_when_the_engine_allows_it() {
    as_host(|| {
        let machine = outside();
        let config = FabricConfig {
            direct_routing: true,
            ..FabricConfig::new(TABLE, 0)
        };
        let fabric = Fabric::open(&config).unwrap();
        let _one = served(&fabric, &bridge("br-nat", "172.17.0.1/16"), 17);
        assert!(ask_tcp(machine.as_fd(), "172.17.0.2:80").is_ok());
        assert!(is_cut_off(machine.as_fd(), "172.17.0.2:81"));
    });
}

#[test]
fn without_rules_there_is_no_table() {
    as_host(|| {
        open(TABLE, 0).ensure_bridge(&bridge("br-a", "172.17.0.1/16")).unwrap();
        let config = FabricConfig {
            rules4: false,
            rules6: false,
            ..FabricConfig::new(TABLE, 0)
        };
        let fabric = Arc::new(Fabric::open(&config).unwrap());
        let one = served(&fabric, &bridge("br-a", "172.17.0.1/16"), 17);
        assert_eq!(run("nft list ruleset"), "");
        assert!(ask_tcp(here().as_fd(), "172.17.0.2:80").is_ok());
        drop(one);
        fabric.unpublish("br-a").unwrap();
    });
}

#[test]
fn adopted_bridges_keep_their_addresses_and_outlive_the_network() {
    as_host(|| {
        run("ip link add br-mine type bridge");
        run("ip address add 10.1.1.1/24 dev br-mine");
        let fabric = open(TABLE, 0);
        let present = fabric.bridge_addresses("br-mine").unwrap().unwrap();
        assert_eq!(present, ["10.1.1.1/24".parse().unwrap()]);
        assert_eq!(fabric.bridge_addresses("br-none").unwrap(), None);
        let mut plan = bridge("br-mine", "172.17.0.1/16");
        plan.policy.adopted = true;
        fabric.ensure_bridge(&plan).unwrap();
        let listed = run("ip -brief address show br-mine");
        assert!(
            listed.contains("10.1.1.1/24") && listed.contains("172.17.0.1/16"),
            "{listed}"
        );
        fabric.remove_bridge("br-mine").unwrap();
        assert!(exists("br-mine"));
        let mut bare = bridge("br-bare", "172.18.0.1/16");
        bare.policy.no_address4 = true;
        fabric.ensure_bridge(&bare).unwrap();
        assert!(!run("ip -brief address show br-bare").contains("172.18"));
    });
}

fn on_parent(name: &str, parent: &str, mode: MacvlanMode) -> BridgePlan {
    BridgePlan {
        medium: Medium::Macvlan {
            parent: parent.into(),
            mode,
        },
        ..BridgePlan::new(name)
    }
}

#[test]
fn macvlan_links_lie_on_their_parent() {
    as_host(|| {
        let machine = outside();
        let fabric = open(TABLE, 0);
        fabric
            .ensure_bridge(&on_parent("mv", "out0", MacvlanMode::Bridge))
            .unwrap();
        let wish = |last: u8| endpoint(&format!("192.0.2.{last}/24"), "192.0.2.2");
        let one = fabric.attach("mv", &wish(50)).unwrap();
        let two = fabric.attach("mv", &wish(51)).unwrap();
        serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "one");
        assert_eq!(ask_tcp(machine.as_fd(), "192.0.2.50:80").unwrap(), "one 192.0.2.2");
        assert_eq!(ask_tcp(two.netns.as_fd(), "192.0.2.50:80").unwrap(), "one 192.0.2.51");
        // The host itself is not among them.
        assert!(is_cut_off(here().as_fd(), "192.0.2.50:80"));
        let mac = MacAddress::for_ipv4([192, 0, 2, 50].into()).to_string();
        let link = || run("ip link show eth0");
        assert!(netns::run_in(one.netns.as_fd(), link).unwrap().contains(&mac));
        let further = isolated_namespace().unwrap();
        fabric.attach_existing(further.as_fd(), "mv", &wish(52)).unwrap();
        assert!(addresses(further.as_fd()).contains("192.0.2.52/24"));
        fabric.detach_inside(further.as_fd(), "eth0").unwrap();
        assert!(!addresses(further.as_fd()).contains("eth0"));
        fabric.detach_inside(further.as_fd(), "eth0").unwrap();
        fabric.remove_bridge("mv").unwrap();
        assert!(exists("out0"));
    });
}

#[test]
fn private_links_do_not_see_each_other() {
    as_host(|| {
        let _machine = outside();
        let fabric = open(TABLE, 0);
        fabric
            .ensure_bridge(&on_parent("mv", "out0", MacvlanMode::Private))
            .unwrap();
        let wish = |last: u8| endpoint(&format!("192.0.2.{last}/24"), "192.0.2.2");
        let one = fabric.attach("mv", &wish(50)).unwrap();
        let two = fabric.attach("mv", &wish(51)).unwrap();
        serve_tcp(one.netns.as_fd(), "0.0.0.0:80", "one");
        assert!(is_cut_off(two.netns.as_fd(), "192.0.2.50:80"));
    });
}

#[test]
fn parents_that_cannot_be_are_named() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        let message = |parent: &str| {
            let plan = on_parent("mv", parent, MacvlanMode::Bridge);
            fabric.ensure_bridge(&plan).unwrap_err().to_string()
        };
        assert_eq!(
            message("nosuch"),
            "invalid subinterface vlan name nosuch, example formatting is eth0.10"
        );
        assert_eq!(
            message("nosuch.5"),
            "-o parent interface was not found on the host: nosuch"
        );
    });
}

/// Kernels without VLANs, dummies or ipvlan say so; the others make them and take them away.
#[test]
fn parents_are_made_and_removed_with_their_last_network() {
    as_host(|| {
        let _machine = outside();
        let fabric = open(TABLE, 0);
        for parent in ["out0.10", "dm-0123456789ab"] {
            let (a, b) = (
                on_parent("a", parent, MacvlanMode::Bridge),
                on_parent("b", parent, MacvlanMode::Bridge),
            );
            match fabric.ensure_bridge(&a) {
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
                    continue;
                }
                Ok(()) => fabric.ensure_bridge(&b).unwrap(),
            }
            let one = fabric.attach("a", &endpoint("192.0.2.50/24", "192.0.2.2")).unwrap();
            assert!(addresses(one.netns.as_fd()).contains("192.0.2.50/24"));
            fabric.remove_bridge("a").unwrap();
            assert!(exists(parent));
            fabric.remove_bridge("b").unwrap();
            assert!(!exists(parent));
        }
        let ipvlan = BridgePlan {
            medium: Medium::Ipvlan {
                parent: "out0".into(),
                mode: corten_network::IpvlanMode::L3,
                flag: corten_network::IpvlanFlag::Bridge,
            },
            ..BridgePlan::new("iv")
        };
        fabric.ensure_bridge(&ipvlan).unwrap();
        match fabric.attach("iv", &endpoint("192.0.2.50/24", "192.0.2.2")) {
            Err(error) => assert_eq!(error.kind(), Kind::Unsupported, "{error}"),
            Ok(one) => {
                let routes = netns::run_in(one.netns.as_fd(), || run("ip route")).unwrap();
                assert!(routes.contains("default dev eth0"), "{routes}");
            }
        }
    });
}
