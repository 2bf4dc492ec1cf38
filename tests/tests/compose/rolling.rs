//! `up --rolling`: containers are replaced while they serve, and not one connection is refused.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corten_tests::until;

use crate::project::Project;

/// A web server that says which version it is, on one port; and three on a range of ports.
fn file(version: &str, before: &str) -> String {
    let command = format!("sh -c 'mkdir /www; echo {version} > /www/index.html; {before} exec httpd -f -p 80 -h /www'");
    format!(
        "name: shop
services:
  web:
    image: busybox
    command: {command}
    stop_signal: SIGKILL
    ports: ['8080:80']
    volumes: ['./gate:/gate']
    healthcheck: {{test: wget -q -O /dev/null http://127.0.0.1/, interval: 100ms, retries: 3, start_period: 60s}}
  many:
    image: busybox
    command: {command}
    stop_signal: SIGKILL
    scale: 3
    ports: ['9000-9002:80']
    volumes: ['./gate:/gate']
"
    )
}

/// Clients that connect again and again, and what they were told.
struct Clients {
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<BTreeMap<String, usize>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Clients {
    fn start(project: &Project, ports: &[u16]) -> Self {
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeMap::new())));
        let addresses = ports
            .iter()
            .flat_map(|port| [format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
        let addresses: Vec<SocketAddr> = addresses.map(|address| address.parse().expect("an address")).collect();
        let begin = |address: SocketAddr| {
            let (stop, told) = (Arc::clone(&stop), Arc::clone(&told));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = ask(address).unwrap_or_else(|error| format!("{address}: {error}"));
                    *told.lock().expect("no panic").entry(answer).or_default() += 1;
                    // The engine is to have its turn on small machines; and each connection lingers in the kernel's tables.
                    std::thread::park_timeout(Duration::from_millis(10));
                }
            })
        };
        // Threads are where the one is that begins them.
        let threads = project.engine.inside(|| addresses.into_iter().map(begin).collect());
        Self { stop, told, threads }
    }

    fn count(&self) -> usize {
        self.told.lock().expect("no panic").values().sum()
    }

    /// Waits for some hundred more answers, and gives all different ones.
    #[track_caller]
    fn end(self) -> Vec<String> {
        let before = self.count();
        until::is("hundreds of connections", || self.count() > before + 300);
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no panic");
        }
        let told = self.told.lock().expect("no panic");
        told.keys().cloned().collect()
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().last().unwrap_or("nothing").to_owned())
}

#[test]
fn published_ports_answer_while_containers_are_replaced() {
    let project = Project::new(&file("one", ""));
    project.run("compose up --wait").ok();
    let before = project.ids();
    let clients = Clients::start(&project, &[8080, 9000, 9001, 9002]);
    project.write("compose.yaml", &file("two", "sleep 0.3;"));
    let up = project.run("compose up --rolling --wait-timeout 300").run();
    assert_eq!(up.code, 0, "{up}");
    assert_eq!(clients.end(), ["one", "two"], "not one was refused");
    let after = project.ids();
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(after.iter().all(|(name, id)| before[name] != *id), "{after:?}");
    for port in [8080, 9000, 9001, 9002] {
        assert_eq!(project.engine.curl(&format!("http://127.0.0.1:{port}/")).trim(), "two");
    }
    let again = project.run("compose up --rolling").run();
    assert!(again.code == 0 && !again.stderr.contains("Replac"), "{again}");
    assert_eq!(project.ids(), after);
    project.run("compose down").ok();
    assert!(project.ids().is_empty());
}

#[test]
fn what_is_not_well_is_rolled_back() {
    let project = Project::new(&file("one", ""));
    project.run("compose up --wait").ok();
    let before = project.ids();
    let clients = Clients::start(&project, &[8080, 9000, 9001, 9002]);
    // The first of three is well, and the next one ends.
    project.write("compose.yaml", &file("two", "mkdir /gate/once || exit 3;"));
    let up = project.run("compose up --rolling --wait-timeout 300 many").run();
    assert_eq!(up.code, 1, "{up}");
    let wanted = [
        "service \"many\" was not replaced: container shop-many-2 exited (3)",
        "it was rolled back",
    ];
    assert!(wanted.iter().all(|text| up.stderr.contains(text)), "{up}");
    assert_eq!(project.ids(), before, "those from before run, all of them");
    assert!(project.states().values().all(|state| state == "running"));

    // One that is unhealthy, and one that is not well in time.
    project.write(
        "compose.yaml",
        &file("three", "rm -r /www;").replace("start_period: 60s", "start_period: 0s"),
    );
    let up = project.run("compose up --rolling --wait-timeout 300 web").run();
    assert_eq!(up.code, 1, "{up}");
    assert!(up.stderr.contains("container shop-web-1 is unhealthy"), "{up}");
    project.write("compose.yaml", &file("four", "sleep 1000;"));
    let up = project.run("compose up --rolling --wait-timeout 1 web").run();
    assert_eq!(up.code, 1, "{up}");
    assert!(
        up.stderr.contains("container shop-web-1 is not healthy in time"),
        "{up}"
    );
    let up = project.run("compose up --rolling --wait-timeout 2 many").run();
    assert_eq!(up.code, 1, "{up}");
    assert!(up.stderr.contains("does not listen at port 80/tcp within"), "{up}");
    assert_eq!(project.ids(), before);
    assert!(
        clients.end().iter().all(|answer| answer == "one" || answer == "two"),
        "none was refused"
    );
    assert_eq!(project.engine.curl("http://127.0.0.1:8080/").trim(), "one");
}

#[test]
fn a_replacement_that_was_cut_off_is_finished_by_the_next_up() {
    let project = Project::new(&file("one", ""));
    project.run("compose up --wait web").ok();
    let before = project.ids();
    let clients = Clients::start(&project, &[8080]);
    project.write(
        "compose.yaml",
        &file("two", "while ! test -e /gate/open; do sleep 0.05; done;"),
    );
    let up = project.run("compose up --rolling web").spawn();
    let temporary = format!("{}_shop-web-1", &before["shop-web-1"][..12]);
    until::is("the new one runs", || {
        project.states().get(&temporary).is_some_and(|state| state == "running")
    });
    up.signal(rustix::process::Signal::KILL);
    up.wait();
    assert_eq!(project.engine.curl("http://127.0.0.1:8080/").trim(), "one");
    project.write("gate/open", "");
    until::is("it listens", || {
        let fetch = format!("exec {temporary} wget -q -O /dev/null http://127.0.0.1/");
        project.run(&fetch).run().code == 0
    });
    project.run("compose up -d web").ok();
    until::is("the new one has the port", || {
        project
            .engine
            .try_curl("http://127.0.0.1:8080/")
            .is_some_and(|page| page.trim() == "two")
    });
    assert_eq!(project.ids().keys().collect::<Vec<_>>(), ["shop-web-1"]);
    drop(clients);
}

#[test]
fn what_two_containers_cannot_share_is_refused() {
    let file = |value: u32| {
        format!(
            "name: shop
services:
  web: {{image: busybox, command: sleep {value}, stop_signal: SIGKILL, networks: {{lan: {{ipv4_address: 10.91.3.9}}}}}}
networks: {{lan: {{ipam: {{config: [{{subnet: 10.91.3.0/24}}]}}}}}}
"
        )
    };
    let project = Project::new(&file(1000));
    project.run("compose up -d").ok();
    let before = project.ids();
    project.write("compose.yaml", &file(2000));
    let error = project.run("compose up --rolling").fails(1);
    assert!(
        error.contains("two containers cannot have address 10.91.3.9 at once"),
        "{error}"
    );
    let error = project.run("compose up --rolling --no-start").fails(1);
    assert!(error.contains("--rolling and --no-start are incompatible"), "{error}");
    assert_eq!(project.ids(), before);
    let dry = project.run("compose up --rolling --dry-run --scale web=1").run();
    assert_ne!(dry.code, 0, "{dry}");
}
