//! Published ports, from everywhere.

use std::os::fd::AsFd;
use std::time::Duration;

use corten_network::{EndpointPlan, HostPorts, PortRequest, Protocol};

use crate::world::{
    HOST, TABLE, as_host, ask_tcp, ask_udp, binding, bridge, container, endpoint, eventually, here, is_cut_off,
    is_gateway, open, outside, run, serve_tcp, serve_udp, udp_client,
};

const A_MOMENT: Duration = Duration::from_millis(50);

#[test]
fn tcp_is_reachable_from_everywhere() {
    for bridge_netfilter in ["0", "1"] {
        as_host(|| {
            run(&format!(
                "sysctl -qw net.bridge.bridge-nf-call-iptables={bridge_netfilter}"
            ));
            reach_from_everywhere();
        });
    }
}

fn reach_from_everywhere() {
    let (machine, host) = (outside(), here());
    let fabric = open(TABLE, 0);
    fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
    fabric.ensure_bridge(&bridge("br-b", "172.18.0.1/16")).unwrap();
    let web = container(&fabric, "cort0", 17, 2);
    let near = container(&fabric, "cort0", 17, 3);
    let far = container(&fabric, "br-b", 18, 2);
    serve_tcp(web.netns.as_fd(), "0.0.0.0:80", "web");
    let published = [binding(Protocol::Tcp, ("0.0.0.0", 8080), ("172.17.0.2", 80))];
    // The reservation must get none of the connections.
    let reserved = fabric
        .reserve("web", &request(&["0.0.0.0"], HostPorts::One(8080)))
        .unwrap();
    fabric.publish("web", &published).unwrap();
    let host_address = format!("{HOST}:8080");
    let ask = |from, address: &str| ask_tcp(from, address).unwrap_or_else(|error| panic!("{address}: {error}"));
    assert!(is_gateway(&ask(host.as_fd(), "127.0.0.1:8080"), "web", "172.17.0.1"));
    assert_eq!(ask(host.as_fd(), "127.0.0.2:8080"), "web 172.17.0.1");
    assert_eq!(ask(host.as_fd(), &host_address), format!("web {HOST}"));
    assert_eq!(ask(host.as_fd(), "172.17.0.1:8080"), "web 172.17.0.1");
    assert_eq!(ask(machine.as_fd(), &host_address), "web 192.0.2.2");
    assert_eq!(ask(near.netns.as_fd(), &host_address), "web 172.17.0.1");
    assert_eq!(ask(near.netns.as_fd(), "172.17.0.1:8080"), "web 172.17.0.1");
    assert_eq!(ask(web.netns.as_fd(), &host_address), "web 172.17.0.1");
    // Masquerading between bridges shows the bridge's address on the way out.
    assert_eq!(ask(far.netns.as_fd(), &host_address), "web 172.17.0.1");
    // Not published: the container's address itself, for others than its neighbours.
    assert_eq!(ask(near.netns.as_fd(), "172.17.0.2:80"), "web 172.17.0.3");
    assert!(is_cut_off(far.netns.as_fd(), "172.17.0.2:80"));
    assert!(is_cut_off(machine.as_fd(), "172.17.0.2:80"));
    fabric.unpublish("web").unwrap();
    drop(reserved);
    assert!(is_cut_off(machine.as_fd(), &host_address));
    assert!(is_cut_off(host.as_fd(), "127.0.0.1:8080"));
}

#[test]
fn one_address_is_published_alone() {
    as_host(|| {
        let (machine, host) = (outside(), here());
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let web = container(&fabric, "cort0", 17, 2);
        serve_tcp(web.netns.as_fd(), "0.0.0.0:80", "web");
        let published = [binding(Protocol::Tcp, ("127.0.0.1", 8080), ("172.17.0.2", 80))];
        fabric.publish("web", &published).unwrap();
        assert_eq!(ask_tcp(host.as_fd(), "127.0.0.1:8080").unwrap(), "web 172.17.0.1");
        assert!(is_cut_off(host.as_fd(), &format!("{HOST}:8080")));
        assert!(is_cut_off(machine.as_fd(), &format!("{HOST}:8080")));
    });
}

#[test]
fn loopback_is_not_for_the_wire() {
    as_host(|| {
        let (machine, host) = (outside(), here());
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let web = container(&fabric, "cort0", 17, 2);
        serve_tcp(web.netns.as_fd(), "0.0.0.0:80", "web");
        serve_tcp(host.as_fd(), "127.0.0.3:90", "private");
        let published = [binding(Protocol::Tcp, ("127.0.0.3", 8080), ("172.17.0.2", 80))];
        fabric.publish("web", &published).unwrap();
        // An attacker who may do anything on his own machine sends to the host's loopback.
        for (from, link, gateway) in [
            (machine.as_fd(), "wan0", HOST),
            (web.netns.as_fd(), "eth0", "172.17.0.1"),
        ] {
            corten_sys::netns::run_in(from, || {
                run("ip address del 127.0.0.1/8 dev lo");
                run(&format!("sysctl -qw net.ipv4.conf.{link}.route_localnet=1"));
                run(&format!(
                    "ip route add 127.0.0.3 via {gateway} dev {link} src {}",
                    match link {
                        "eth0" => "172.17.0.2",
                        _ => "192.0.2.2",
                    }
                ));
            })
            .unwrap();
            assert!(is_cut_off(from, "127.0.0.3:8080"), "{link}");
            assert!(is_cut_off(from, "127.0.0.3:90"), "{link}");
        }
        assert_eq!(ask_tcp(host.as_fd(), "127.0.0.3:8080").unwrap(), "web 172.17.0.1");
    });
}

#[test]
fn udp_follows_a_container_that_comes_back() {
    as_host(|| {
        let (machine, host) = (outside(), here());
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let clients = [
            udp_client(machine.as_fd(), &format!("{HOST}:5300")),
            udp_client(host.as_fd(), "127.0.0.1:5300"),
        ];
        let one = container(&fabric, "cort0", 17, 2);
        serve_udp(one.netns.as_fd(), "0.0.0.0:53", "one");
        let at = |ip| [binding(Protocol::Udp, ("0.0.0.0", 5300), (ip, 53))];
        let reservation = PortRequest {
            protocol: Protocol::Udp,
            ..request(&["0.0.0.0"], HostPorts::One(5300))
        };
        let _held = fabric.reserve("dns", &reservation).unwrap();
        fabric.publish("dns", &at("172.17.0.2")).unwrap();
        for client in &clients {
            let first = || ask_udp(client, A_MOMENT).is_ok_and(|answer| answer.starts_with("one"));
            eventually("the client reaches the container", first);
        }
        fabric.unpublish("dns").unwrap();
        let _held = fabric.reserve(
            "dns",
            &PortRequest {
                host_ips: vec!["127.0.0.9".parse().unwrap()],
                ..reservation
            },
        );
        for client in &clients {
            eventually("the old container is gone", || ask_udp(client, A_MOMENT).is_err());
        }
        let two = container(&fabric, "cort0", 17, 3);
        serve_udp(two.netns.as_fd(), "0.0.0.0:53", "two");
        fabric.publish("dns", &at("172.17.0.3")).unwrap();
        for client in &clients {
            eventually("the client reaches the new container", || {
                ask_udp(client, A_MOMENT).is_ok_and(|answer| answer.starts_with("two"))
            });
        }
    });
}

#[test]
fn ipv6_is_published_too() {
    as_host(|| {
        let (machine, host) = (outside(), here());
        let fabric = open(TABLE, 0);
        let mut plan = bridge("cort0", "172.17.0.1/16");
        plan.ipv6 = vec!["fd00:1::1/64".parse().unwrap()];
        fabric.ensure_bridge(&plan).unwrap();
        let wish = EndpointPlan {
            ipv6: Some("fd00:1::2/64".parse().unwrap()),
            gateway6: Some("fd00:1::1".parse().unwrap()),
            ..endpoint("172.17.0.2/16", "172.17.0.1")
        };
        let web = fabric.attach("cort0", &wish).unwrap();
        serve_tcp(web.netns.as_fd(), "[::]:80", "web");
        let published = [binding(Protocol::Tcp, ("::", 8080), ("fd00:1::2", 80))];
        let _held = fabric
            .reserve(
                "web",
                &PortRequest {
                    container_ip: "fd00:1::2".parse().unwrap(),
                    ..request(&["::"], HostPorts::One(8080))
                },
            )
            .unwrap();
        fabric.publish("web", &published).unwrap();
        let ask = |from, address: &str| ask_tcp(from, address).unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_eq!(ask(machine.as_fd(), "[2001:db8::1]:8080"), "web 2001:db8::2");
        assert_eq!(ask(host.as_fd(), "[2001:db8::1]:8080"), "web 2001:db8::1");
        assert_eq!(ask(web.netns.as_fd(), "[2001:db8::1]:8080"), "web fd00:1::1");
        let loopback = ask_tcp(host.as_fd(), "[::1]:8080").unwrap_err();
        assert_eq!(loopback.kind(), std::io::ErrorKind::ConnectionRefused);
        // What is left to a relay makes no rules.
        let relayed = [
            binding(Protocol::Tcp, ("::1", 8081), ("fd00:1::2", 80)),
            binding(Protocol::Tcp, ("::", 8081), ("172.17.0.2", 80)),
        ];
        fabric.publish("x", &relayed).unwrap();
        assert!(!fabric.ruleset().contains("8081"));
    });
}

#[test]
fn ranges_keep_their_numbers() {
    as_host(|| {
        let host = here();
        let fabric = open(TABLE, 0);
        fabric.ensure_bridge(&bridge("cort0", "172.17.0.1/16")).unwrap();
        let web = container(&fabric, "cort0", 17, 2);
        serve_tcp(web.netns.as_fd(), "0.0.0.0:9050", "web");
        let all: Vec<_> = (9000..9100)
            .map(|port| binding(Protocol::Tcp, ("0.0.0.0", port), ("172.17.0.2", port)))
            .collect();
        fabric.publish("web", &all).unwrap();
        assert_eq!(ask_tcp(host.as_fd(), "127.0.0.1:9050").unwrap(), "web 172.17.0.1");
        fabric.unpublish("web").unwrap();
        assert!(is_cut_off(host.as_fd(), "127.0.0.1:9050"));
    });
}

#[test]
fn reservations_keep_others_out() {
    as_host(|| {
        let fabric = open(TABLE, 0);
        let any = request(&["0.0.0.0", "::"], HostPorts::Any);
        let any = PortRequest {
            host_ips: vec!["0.0.0.0".parse().unwrap()],
            ..any
        };
        let first = fabric.reserve("a", &any).unwrap();
        let second = fabric.reserve("b", &any).unwrap();
        assert_eq!((first.port, second.port), (32768, 32769));
        let taken = std::net::TcpListener::bind(("0.0.0.0", first.port));
        assert!(taken.is_err());
        let range = request(&["0.0.0.0"], HostPorts::Range(32768, 32770));
        assert_eq!(fabric.reserve("c", &range).unwrap().port, 32770);
        let full = fabric.reserve("d", &range).unwrap_err();
        assert_eq!(full.to_string(), "all ports are allocated");
        fabric.unpublish("a").unwrap();
        drop(first);
        let one = request(&["0.0.0.0"], HostPorts::One(32768));
        assert_eq!(fabric.reserve("e", &one).unwrap().port, 32768);
        let foreign = request(&["192.0.2.77"], HostPorts::One(80));
        assert_eq!(
            fabric.reserve("f", &foreign).unwrap_err().to_string(),
            "failed to bind host port for 192.0.2.77:80:172.17.0.2:80/tcp: \
             cannot assign requested address"
        );
    });
}

pub(crate) fn request(hosts: &[&str], ports: HostPorts) -> PortRequest {
    PortRequest {
        protocol: Protocol::Tcp,
        host_ips: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        ports,
        container_ip: "172.17.0.2".parse().unwrap(),
        container_port: 80,
        one_socket: true,
    }
}
