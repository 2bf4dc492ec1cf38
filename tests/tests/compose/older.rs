//! Engines of older versions of the API.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::project::Project;

/// A socket that passes everything on to an engine, and what clients said there.
struct Recorder {
    socket: PathBuf,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn start(project: &Project) -> Self {
        let socket = project.engine.work().join("recorder.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let (engine, said) = (project.engine.socket(), Arc::new(Mutex::new(Vec::new())));
        let all = Arc::clone(&said);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                let engine = engine.clone();
                std::thread::spawn(move || pass(client, &engine, &all));
            }
        });
        Self { socket, said }
    }

    /// The requests to this path since the last look, with their bodies.
    fn requests(&self) -> Vec<String> {
        let said = std::mem::take(&mut *self.said.lock().expect("no panic"));
        let said = String::from_utf8_lossy(&said).into_owned();
        said.split("POST /v").skip(1).map(str::to_owned).collect()
    }
}

fn pass(mut client: UnixStream, engine: &Path, said: &Mutex<Vec<u8>>) {
    let Ok(mut engine) = UnixStream::connect(engine) else {
        return;
    };
    let (mut from, mut to) = (
        engine.try_clone().expect("a descriptor"),
        client.try_clone().expect("a descriptor"),
    );
    std::thread::spawn(move || {
        // One of both goes at the end.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        said.lock().expect("no panic").extend(&buffer[..count]);
        if engine.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // It may have more to say.
    let _ = engine.shutdown(Shutdown::Write);
}

const FILE: &str = "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    mac_address: '02:42:0a:00:00:07'
    networks:
      front: {aliases: [shown]}
      first: {priority: 10}
      back: {ipv4_address: 10.123.7.9}
networks:
  front: {}
  first: {}
  back: {ipam: {config: [{subnet: 10.123.7.0/24}]}}
";

/// What there is of a container's networks.
fn places(project: &Project, container: &str) -> String {
    let template = "{{range $name, $place := .NetworkSettings.Networks}}{{$name}} {{$place.IPAMConfig}} \
                    {{json $place.DNSNames}}\n{{end}}";
    let text = project.engine.inspect(container, template);
    let id = project.engine.inspect(container, "{{.Id}}");
    text.replace(&id[..12], "ID").replace(container, "NAME")
}

#[test]
fn containers_are_connected_to_further_networks_later() {
    let project = Project::new(FILE);
    project.run("compose up -d").ok();
    let (expected, mac) = (
        places(&project, "shop-web-1"),
        "{{range .NetworkSettings.Networks}}{{.MacAddress}} {{end}}",
    );
    project.run("compose rm -sf").ok();

    let recorder = Recorder::start(&project);
    let old = |words: &str| {
        let call = project.run(words).env("DOCKER_API_VERSION", "1.43");
        call.env("DOCKER_HOST", format!("unix://{}", recorder.socket.display()))
    };
    old("compose up -d").ok();
    let requests = recorder.requests();
    let made = requests
        .iter()
        .filter(|text| text.starts_with("1.43/containers/create"));
    let made: Vec<_> = made.collect();
    assert_eq!(made.len(), 1, "{requests:?}");
    assert!(
        made[0].contains("\"shop_first\":{") && !made[0].contains("shop_front") && !made[0].contains("shop_back\":"),
        "{}",
        made[0]
    );
    let connected = requests.iter().filter_map(|text| text.strip_prefix("1.43/networks/"));
    let connected: Vec<_> = connected.filter_map(|text| text.split_once("/connect ")).collect();
    let names: Vec<_> = connected.iter().map(|(network, _)| *network).collect();
    assert_eq!(names, ["shop_back", "shop_front"]);
    assert_eq!(places(&project, "shop-web-1"), expected);
    assert!(project.engine.inspect("shop-web-1", mac).contains("02:42:0a:00:00:07"));

    // Who speaks a newer version leaves it as it is.
    let before = project.started("shop-web-1");
    project.run("compose up -d").ok();
    assert_eq!(project.started("shop-web-1"), before);

    project.run("compose rm -sf").ok();
    let said = old("compose run --rm -T web ip -o -4 addr").ok();
    assert!(
        said.contains("eth0") && said.contains("eth1") && said.contains("eth2"),
        "{said}"
    );
}

#[test]
fn a_container_that_cannot_be_connected_is_not_left() {
    let project = Project::new(&FILE.replace("ipv4_address: 10.123.7.9", "ipv4_address: 10.124.7.9"));
    let up = project.run("compose up -d").env("DOCKER_API_VERSION", "1.43").run();
    assert_eq!(up.code, 1, "{up}");
    assert!(up.stderr.contains("10.124.7.9"), "{up}");
    assert!(project.ids().is_empty(), "{up}");
}
