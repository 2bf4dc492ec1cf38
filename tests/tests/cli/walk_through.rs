//! The first hour of a newcomer, line by line, with both command lines.

use corten_tests::command::Call;
use corten_tests::engine::{Engine, Options};
use corten_tests::{programs, until};

/// A test for each command line.
macro_rules! with_both {
    ($($name:ident($images:expr)),+ $(,)?) => {
        mod corten {
            $(#[test] fn $name() { super::$name(&super::Walk::new(super::Who::Corten, $images).expect("ours is there")); })+
        }
        mod docker {
            $(#[test] fn $name() {
                if let Some(walk) = super::Walk::new(super::Who::Docker, $images) { super::$name(&walk); }
            })+
        }
    };
}

with_both! {
    versions_and_hello(&[]),
    a_web_server(&["nginx:latest"]),
    looking_inside(&["nginx:latest"]),
    stopping_and_removing(&["nginx:latest"]),
    a_shell_to_come_back_to(&["ubuntu:latest"]),
    a_volume_keeps(&[]),
    limits_restarts_and_events(&[]),
    images_and_disk(&["nginx:latest"]),
}

enum Who {
    Corten,
    Docker,
}

struct Walk {
    who: Who,
    engine: Engine,
}

impl Walk {
    fn new(who: Who, images: &[&'static str]) -> Option<Self> {
        if matches!(who, Who::Docker) {
            programs::docker()?;
        }
        Some(Self {
            who,
            engine: Engine::start_with(Options::with_images(images)),
        })
    }

    fn run<const N: usize>(&self, arguments: [&str; N]) -> Call {
        match self.who {
            Who::Corten => self.engine.corten(arguments),
            Who::Docker => self.engine.docker(arguments).expect("asked before"),
        }
    }

    /// A pipeline in which `docker` is the command line in question.
    fn pipe(&self, script: &str) -> Call {
        let program = match self.who {
            Who::Corten => programs::corten(),
            Who::Docker => programs::docker().expect("asked before"),
        };
        self.engine.sh(&script.replace("docker", &program.to_string_lossy()))
    }
}

fn versions_and_hello(walk: &Walk) {
    let version = walk.run(["version"]).ok();
    assert!(version.contains("Client:") && version.contains("Server:"), "{version}");
    let info = walk.run(["info"]).ok();
    for part in [
        "Containers: 0",
        "Storage Driver: overlay2",
        "Logging Driver: json-file",
        "Cgroup Version: ",
    ] {
        assert!(info.contains(part), "no {part:?} in {info}");
    }
    let hello = walk.run(["run", "hello-world"]).ok();
    assert!(hello.contains("Hello from"), "{hello}");
    assert_eq!(walk.engine.registry().requests().len(), 0, "hello-world is built in");
}

fn a_web_server(walk: &Walk) {
    let id = walk
        .run(["run", "-d", "-p", "8080:80", "--name", "web", "nginx"])
        .line();
    assert_eq!(id.len(), 64, "{id}");
    until::is("nginx answers", || {
        walk.engine.try_curl("http://localhost:8080/").is_some()
    });
    assert!(walk.engine.curl("http://localhost:8080/").contains("nginx"));
    let ps = walk.run(["ps"]).ok();
    for part in ["CONTAINER ID", &id[..12], "nginx", "Up ", "0.0.0.0:8080->80/tcp", "web"] {
        assert!(ps.contains(part), "no {part:?} in {ps}");
    }
    until::is("the log has the request", || {
        walk.run(["logs", "web"]).ok().contains("GET / HTTP/1.1")
    });
}

fn looking_inside(walk: &Walk) {
    walk.run(["run", "-d", "-p", "8080:80", "--name", "web", "nginx"]).ok();
    let mut shell = corten_tests::terminal::Terminal::start(walk.run(["exec", "-it", "web", "sh"]), 24, 80);
    shell.expect("#");
    shell.send("echo $((6*7)); tty\n");
    shell.expect("42");
    shell.expect("/dev/pts/");
    shell.send("exit 3\n");
    assert_eq!(shell.wait(), 3);
    assert!(shell.is_cooked());
    let inspected: serde_json::Value = serde_json::from_str(&walk.run(["inspect", "web"]).ok()).expect("JSON");
    assert_eq!(inspected[0]["Name"], "/web");
    let address = walk
        .run(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"])
        .line();
    assert!(address.starts_with("172.28."), "{address}");
    until::is("the container answers", || {
        walk.engine.try_curl(&format!("http://{address}/")).is_some()
    });
    let port = walk.run(["port", "web"]).ok();
    assert!(port.contains("80/tcp -> 0.0.0.0:8080"), "{port}");
}

fn stopping_and_removing(walk: &Walk) {
    walk.run(["run", "-d", "-p", "8080:80", "--name", "web", "nginx"]).ok();
    // It stops when asked only once it listens for that, too.
    until::is("nginx answers", || {
        walk.engine.try_curl("http://localhost:8080/").is_some()
    });
    assert_eq!(walk.run(["stop", "web"]).ok(), "web\n");
    assert!(walk.engine.try_curl("http://localhost:8080/").is_none());
    let ps = walk.run(["ps", "-a"]).ok();
    assert!(ps.contains("Exited (0)"), "{ps}");
    assert_eq!(walk.run(["start", "web"]).ok(), "web\n");
    until::is("nginx answers again", || {
        walk.engine.try_curl("http://localhost:8080/").is_some()
    });
    let refusal = walk.run(["rm", "web"]).fails(1);
    assert!(
        refusal.contains("container is running: stop the container before removing or force remove"),
        "{refusal}"
    );
    assert_eq!(walk.run(["rm", "-f", "web"]).ok(), "web\n");
    assert_eq!(walk.run(["ps", "-aq"]).ok(), "");
}

fn a_shell_to_come_back_to(walk: &Walk) {
    let call = walk.run(["run", "-it", "--name", "my-ubuntu", "ubuntu", "bash"]);
    let mut shell = corten_tests::terminal::Terminal::start(call, 24, 80);
    shell.expect("# ");
    shell.send("cat /etc/image-name; stty size; echo later > /note\n");
    shell.expect("ubuntu:latest");
    shell.expect("24 80");
    shell.send("exit\n");
    assert_eq!(shell.wait(), 0);
    let mut again = corten_tests::terminal::Terminal::start(walk.run(["start", "-ai", "my-ubuntu"]), 24, 80);
    again.send("cat /note\n");
    again.expect("later");
    again.send("exit 4\n");
    assert_eq!(again.wait(), 4);
}

fn a_volume_keeps(walk: &Walk) {
    walk.run([
        "run",
        "--rm",
        "-v",
        "data:/data",
        "busybox",
        "sh",
        "-c",
        "echo kept > /data/f",
    ])
    .ok();
    assert_eq!(
        walk.run(["run", "--rm", "-v", "data:/data", "busybox", "cat", "/data/f"])
            .ok(),
        "kept\n"
    );
    assert_eq!(walk.run(["volume", "ls", "-q"]).ok(), "data\n");
    walk.run(["volume", "rm", "data"]).ok();
}

fn limits_restarts_and_events(walk: &Walk) {
    let mut events = walk
        .run(["events", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}"])
        .spawn();
    until::is("the client of events is there", || {
        let info = walk.engine.get("/info");
        info["NEventsListener"].as_u64() == Some(1)
    });
    let script = "sleep 0.2; exit 1";
    let options = [
        "run",
        "-d",
        "--name",
        "again",
        "--restart",
        "always",
        "-m",
        "64m",
        "--cpus",
        "0.5",
    ];
    let rest = ["--pids-limit", "50", "busybox", "sh", "-c", script];
    let all: Vec<&str> = options.into_iter().chain(rest).collect();
    let all: [&str; 16] = all.try_into().expect("sixteen");
    walk.run(all).ok();
    events.wait_for("die 1");
    let restarts = |least: u64| {
        walk.engine
            .inspect("again", "{{.RestartCount}}")
            .parse::<u64>()
            .is_ok_and(|n| n >= least)
    };
    until::is("it is started again, and again", || restarts(2));
    let limits = walk.engine.inspect(
        "again",
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}",
    );
    assert_eq!(limits, "67108864 500000000 50");
    walk.run(["rm", "-f", "again"]).ok();
    let seen = events.wait_for("destroy");
    for action in ["create", "start", "die 1"] {
        assert!(seen.contains(action), "no {action} in {seen}");
    }
}

fn images_and_disk(walk: &Walk) {
    walk.run(["pull", "-q", "nginx"]).ok();
    let images = walk.run(["images"]).ok();
    assert!(images.starts_with("REPOSITORY") && images.contains("nginx"), "{images}");
    let history = walk.run(["history", "nginx"]).ok();
    assert_eq!(history.lines().count(), 3, "{history}");
    let loaded = walk.pipe("docker save nginx | docker load").ok();
    assert!(loaded.contains("Loaded image: nginx:latest"), "{loaded}");
    let removed = walk.run(["rmi", "nginx"]).ok();
    assert!(
        removed.contains("Untagged: nginx:latest") && removed.contains("Deleted: sha256:"),
        "{removed}"
    );
    walk.run(["create", "busybox"]).ok();
    let usage = walk.run(["system", "df"]).ok();
    assert!(usage.contains("Images") && usage.contains("Local Volumes"), "{usage}");
    let pruned = walk.run(["system", "prune", "-f"]).ok();
    assert!(
        pruned.contains("Deleted Containers:") && pruned.contains("Total reclaimed space:"),
        "{pruned}"
    );
}
