//! The table's text for a state; `nft list table` agrees with it in the kernel tests.

use super::ruleset::{State, ruleset};
use crate::{BridgePlan, GatewayMode, Neighbours, PortBinding, Protocol, Reach};

fn bridge(name: &str, ipv4: &str, ipv6: Option<&str>, reach: Reach, neighbours: Neighbours) -> BridgePlan {
    BridgePlan {
        ipv4: vec![ipv4.parse().unwrap()],
        ipv6: ipv6.map(|net| net.parse().unwrap()).into_iter().collect(),
        reach,
        neighbours,
        ..BridgePlan::new(name)
    }
}

fn binding(protocol: Protocol, host: &str, port: u16, container: &str, to: u16) -> PortBinding {
    PortBinding {
        protocol,
        host_ip: host.parse().unwrap(),
        host_port: port,
        container_ip: container.parse().unwrap(),
        container_port: to,
    }
}

#[test]
fn the_table_reads_as_designed() {
    let mut state = State::default();
    for plan in [
        bridge(
            "corten0",
            "172.17.0.1/16",
            Some("fd00:1::1/64"),
            Reach::Masqueraded,
            Neighbours::Open,
        ),
        bridge("br-inside", "172.18.0.1/16", None, Reach::Internal, Neighbours::Open),
        bridge("br-shy", "172.19.0.1/16", None, Reach::Routed, Neighbours::Isolated),
    ] {
        state.bridges.insert(plan.name.clone(), plan);
    }
    let mut web = vec![
        binding(Protocol::Tcp, "0.0.0.0", 8080, "172.17.0.2", 80),
        binding(Protocol::Tcp, "::", 8080, "fd00:1::2", 80),
        binding(Protocol::Udp, "127.0.0.1", 5353, "172.17.0.2", 53),
    ];
    web.extend((9000..9100).map(|port| binding(Protocol::Udp, "0.0.0.0", port, "172.17.0.2", port)));
    state.published.insert("web".into(), web);
    insta::assert_snapshot!(ruleset("corten", &state));
}

#[test]
fn policies_open_what_they_say() {
    let mut state = State::default();
    let all = [
        (
            "br-routed",
            "172.17.0.1/16",
            Some("fd00:1::1/64"),
            GatewayMode::Nat,
            GatewayMode::Routed,
        ),
        (
            "br-unprot",
            "172.18.0.1/16",
            None,
            GatewayMode::NatUnprotected,
            GatewayMode::Nat,
        ),
    ];
    for (name, ipv4, ipv6, gateway4, gateway6) in all {
        let mut plan = bridge(name, ipv4, ipv6, Reach::Masqueraded, Neighbours::Open);
        (plan.policy.gateway4, plan.policy.gateway6) = (gateway4, gateway6);
        state.bridges.insert(plan.name.clone(), plan);
    }
    let mut trusting = bridge("br-trust", "172.19.0.1/16", None, Reach::Masqueraded, Neighbours::Open);
    trusting.policy.trusted = vec!["wg0".into()];
    trusting.policy.source4 = Some([192, 0, 2, 9].into());
    state.bridges.insert(trusting.name.clone(), trusting);
    let web = vec![
        binding(Protocol::Tcp, "0.0.0.0", 8080, "172.17.0.2", 80),
        binding(Protocol::Tcp, "::", 0, "fd00:1::2", 80),
        binding(Protocol::Tcp, "0.0.0.0", 8081, "172.19.0.2", 80),
    ];
    state.published.insert("web".into(), web);
    insta::assert_snapshot!(ruleset("corten", &state));
}

#[test]
fn one_family_alone() {
    let mut state = State::default();
    state.without.ipv4 = true;
    let plan = bridge(
        "corten0",
        "172.17.0.1/16",
        Some("fd00:1::1/64"),
        Reach::Masqueraded,
        Neighbours::Open,
    );
    state.bridges.insert(plan.name.clone(), plan);
    let web = vec![
        binding(Protocol::Tcp, "0.0.0.0", 8080, "172.17.0.2", 80),
        binding(Protocol::Tcp, "::", 8080, "fd00:1::2", 80),
    ];
    state.published.insert("web".into(), web);
    insta::assert_snapshot!(ruleset("corten", &state));
}
