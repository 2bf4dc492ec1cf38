//! A host, containers and an outside machine, all namespaces.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corten_network::{
    BridgePlan, Endpoint, EndpointPlan, Fabric, FabricConfig, MacAddress, PortBinding, Protocol, isolated_namespace,
};
use corten_sys::netns;

pub(crate) const TABLE: &str = "corten-test";
/// The host's address towards the outside, and the outside machine's.
pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const OUTSIDE: &str = "192.0.2.2";

/// Runs a test as the host: in a namespace of its own, with `lo` up.
pub(crate) fn as_host(test: impl FnOnce() + Send) {
    let host = isolated_namespace().unwrap();
    netns::run_in(host.as_fd(), test).unwrap();
}

pub(crate) fn open(table: &str, pool_size: usize) -> Arc<Fabric> {
    Arc::new(Fabric::open(&FabricConfig::new(table, pool_size)).unwrap())
}

/// Runs a program in the current namespace and returns what it prints.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{line}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

pub(crate) fn nft(script: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // nft wants a line end after a closing brace.
    let lines = script.replace('}', "}\n");
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::yield_now();
    }
}

/// Makes a machine outside, linked to the host.
pub(crate) fn outside() -> OwnedFd {
    let machine = isolated_namespace().unwrap();
    let host = rustix::thread::gettid().as_raw_nonzero();
    let lines = [
        format!("ip link add wan0 type veth peer name out0 netns {host}"),
        format!("ip address add {OUTSIDE}/24 dev wan0"),
        "sysctl -qw net.ipv6.conf.wan0.disable_ipv6=0".to_owned(),
        "ip address add 2001:db8::2/64 dev wan0 nodad".to_owned(),
        "ip link set wan0 up".to_owned(),
        format!("ip route add 172.16.0.0/12 via {HOST}"),
        "ip route add fd00::/8 via 2001:db8::1".to_owned(),
    ];
    netns::run_in(machine.as_fd(), || {
        lines.iter().for_each(|line| drop(run(line)));
    })
    .unwrap();
    run(&format!("ip address add {HOST}/24 dev out0"));
    // Namespaces of ours start without IPv6 on new links.
    run("sysctl -qw net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.out0.disable_ipv6=0");
    run("ip address add 2001:db8::1/64 dev out0 nodad");
    run("ip link set out0 up");
    machine
}

pub(crate) fn bridge(name: &str, ipv4: &str) -> BridgePlan {
    BridgePlan {
        ipv4: vec![ipv4.parse().unwrap()],
        ..BridgePlan::new(name)
    }
}

pub(crate) fn endpoint(ipv4: &str, gateway: &str) -> EndpointPlan {
    let net: ipnet::Ipv4Net = ipv4.parse().unwrap();
    EndpointPlan {
        ifname: "eth0".into(),
        ipv4: Some(net),
        ipv6: None,
        link_local: Vec::new(),
        gateway4: Some(gateway.parse().unwrap()),
        gateway6: None,
        mac: MacAddress::for_ipv4(net.addr()),
        mtu: 1500,
        settings: Vec::new(),
    }
}

/// Attaches a container to a bridge of `172.x.0.1/16` with the host part given.
pub(crate) fn container(fabric: &Fabric, bridge: &str, net: u8, last: u8) -> Endpoint {
    let plan = endpoint(&format!("172.{net}.0.{last}/16"), &format!("172.{net}.0.1"));
    fabric.attach(bridge, &plan).unwrap()
}

pub(crate) fn binding(protocol: Protocol, host: (&str, u16), to: (&str, u16)) -> PortBinding {
    PortBinding {
        protocol,
        host_ip: host.0.parse().unwrap(),
        host_port: host.1,
        container_ip: to.0.parse().unwrap(),
        container_port: to.1,
    }
}

/// Serves TCP in a namespace: answers each connection with the server's name and the client's
/// address, until dropped.
pub(crate) fn serve_tcp(netns: BorrowedFd<'_>, address: &str, name: &'static str) {
    let listener = netns::run_in(netns, || TcpListener::bind(address).unwrap()).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let peer = client.peer_addr().unwrap().ip();
            // A client that has gone makes its own test fail.
            let _ = write!(client, "{name} {peer}");
        }
    });
}

/// Serves UDP in a namespace as [`serve_tcp`] does; the socket's peer must stop it by closing.
pub(crate) fn serve_udp(netns: BorrowedFd<'_>, address: &str, name: &'static str) {
    let socket = netns::run_in(netns, || UdpSocket::bind(address).unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// Connects from a namespace and returns what the server says.
pub(crate) fn ask_tcp(from: BorrowedFd<'_>, address: &str) -> io::Result<String> {
    connect(from, address, Duration::from_secs(5))
}

/// Whether a namespace gets no answer, because it is refused or its packets vanish. Answers take
/// well under a millisecond here.
pub(crate) fn is_cut_off(from: BorrowedFd<'_>, address: &str) -> bool {
    connect(from, address, Duration::from_millis(200)).is_err()
}

fn connect(from: BorrowedFd<'_>, address: &str, patience: Duration) -> io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    netns::run_in(from, || {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })?
}

/// Opens a client whose source port stays the same.
pub(crate) fn udp_client(from: BorrowedFd<'_>, to: &str) -> UdpSocket {
    let to: SocketAddr = to.parse().unwrap();
    netns::run_in(from, || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket
    })
    .unwrap()
}

/// Sends a question and waits for the answer.
pub(crate) fn ask_udp(client: &UdpSocket, patience: Duration) -> io::Result<String> {
    client.set_read_timeout(Some(patience))?;
    client.send(b"?")?;
    let mut buffer = [0; 64];
    let length = client.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Returns the test's own namespace.
pub(crate) fn here() -> OwnedFd {
    netns::current().unwrap()
}

/// Names and addresses of a namespace's links, as `ip` sees them.
pub(crate) fn addresses(netns: BorrowedFd<'_>) -> String {
    netns::run_in(netns, || run("ip -brief address")).unwrap()
}

/// Whether a link of that name exists here.
pub(crate) fn exists(name: &str) -> bool {
    run("ip -o link").contains(&format!(" {name}"))
}

pub(crate) fn is_gateway(text: &str, server: &str, gateway: &str) -> bool {
    let gateway: IpAddr = gateway.parse().unwrap();
    text == format!("{server} {gateway}")
}
