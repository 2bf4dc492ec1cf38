//! Times the ways of a container's start and end, in a network namespace of its own, beside what
//! `ip` and `nft` take for the same. Run with `cargo bench -p corten-network`.

use std::error::Error;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use corten_network::{
    BridgePlan, EndpointPlan, Fabric, FabricConfig, HostPorts, MacAddress, PortBinding, PortRequest, Protocol,
    isolated_namespace,
};
use corten_sys::netns;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: u8 = 40;
const POOL: usize = 4;

fn main() -> Outcome<()> {
    let host = isolated_namespace()?;
    netns::run_in(host.as_fd(), measure)?
}

fn measure() -> Outcome<()> {
    let fabric = Fabric::open(&FabricConfig::new("corten-bench", POOL))?;
    let bridges = [plan("cort0", 17), plan("br-b", 18)];
    let times: Outcome<Vec<_>> = bridges
        .iter()
        .map(|bridge| timed(|| fabric.ensure_bridge(bridge)))
        .collect();
    report("ensure_bridge", times?)?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        wait_for_pool(&fabric);
        one_container(&fabric, round, &mut times)?;
    }
    report("attach, from the pool", times.attach)?;
    report("reserve + publish tcp", times.publish)?;
    report("unpublish tcp", times.unpublish)?;
    report("publish udp (forgets connections)", times.udp)?;
    let mut hurried = Vec::new();
    for round in 0..ROUNDS {
        let start = Instant::now();
        drop(fabric.attach("cort0", &endpoint(round))?);
        hurried.push(start.elapsed());
    }
    report("attach, one after the other without a pause", hurried)?;
    report("verify_or_restore", repeat(|| fabric.verify_or_restore().map(drop))?)?;
    let element = "add element inet corten-bench any4 { tcp . 9999 : 172.17.0.9 . 80 }";
    report(
        "nft add element (program)",
        repeat(|| program(&format!("nft {element}")))?,
    )?;
    report("ip link show (program)", repeat(|| program("ip link show lo"))?)?;
    fabric.teardown()?;
    Ok(())
}

#[derive(Default)]
struct Times {
    attach: Vec<Duration>,
    publish: Vec<Duration>,
    unpublish: Vec<Duration>,
    udp: Vec<Duration>,
}

fn one_container(fabric: &Fabric, round: u8, times: &mut Times) -> Outcome<()> {
    let start = Instant::now();
    let endpoint = fabric.attach("cort0", &endpoint(round))?;
    times.attach.push(start.elapsed());
    let start = Instant::now();
    let reserved = fabric.reserve("one", &request(Protocol::Tcp))?;
    fabric.publish("one", &[binding(Protocol::Tcp, reserved.port)])?;
    times.publish.push(start.elapsed());
    times.unpublish.push(timed(|| fabric.unpublish("one"))?);
    let reserved = fabric.reserve("one", &request(Protocol::Udp))?;
    times.udp.push(timed(|| {
        fabric.publish("one", &[binding(Protocol::Udp, reserved.port)])
    })?);
    fabric.unpublish("one")?;
    drop(endpoint);
    Ok(())
}

fn wait_for_pool(fabric: &Fabric) {
    while fabric.ready() < POOL {
        std::thread::yield_now();
    }
}

fn timed(work: impl FnOnce() -> corten_network::Result<()>) -> Outcome<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn repeat<E: Into<Box<dyn Error + Send + Sync>>>(mut work: impl FnMut() -> Result<(), E>) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work().map_err(Into::into)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn program(line: &str) -> std::io::Result<()> {
    Command::new("sh")
        .args([
            "-c",
            &format!("exec {} >/dev/null", line.replace('{', "'{").replace('}', "}'")),
        ])
        .status()
        .map(drop)
}

fn report(what: &str, mut times: Vec<Duration>) -> Outcome<()> {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    writeln!(
        std::io::stdout().lock(),
        "{what:45} median {:7.3} ms   p90 {:7.3} ms   max {:7.3} ms",
        at(50),
        at(90),
        at(100)
    )?;
    Ok(())
}

fn plan(name: &str, net: u8) -> BridgePlan {
    BridgePlan {
        ipv4: vec![ipnet::Ipv4Net::new_assert([172, net, 0, 1].into(), 16)],
        ..BridgePlan::new(name)
    }
}

fn endpoint(round: u8) -> EndpointPlan {
    let address = [172, 17, 1, round].into();
    EndpointPlan {
        ifname: "eth0".into(),
        ipv4: Some(ipnet::Ipv4Net::new_assert(address, 16)),
        ipv6: None,
        link_local: Vec::new(),
        gateway4: Some([172, 17, 0, 1].into()),
        gateway6: None,
        mac: MacAddress::for_ipv4(address),
        mtu: 1500,
        settings: Vec::new(),
    }
}

fn request(protocol: Protocol) -> PortRequest {
    PortRequest {
        protocol,
        host_ips: vec![[0, 0, 0, 0].into()],
        ports: HostPorts::Any,
        container_ip: [172, 17, 1, 1].into(),
        container_port: 80,
        one_socket: true,
    }
}

fn binding(protocol: Protocol, host_port: u16) -> PortBinding {
    PortBinding {
        protocol,
        host_ip: [0, 0, 0, 0].into(),
        host_port,
        container_ip: [172, 17, 1, 1].into(),
        container_port: 80,
    }
}
