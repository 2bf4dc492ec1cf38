//! What ends half-way: builds that fail or are interrupted, and projects that are not brought up to the end.

use std::collections::BTreeMap;

use corten_sys::fs;
use corten_tests::images::TestImage;
use corten_tests::registry::Fault;
use corten_tests::{programs, until};
use rustix::process::Signal;

use crate::project::{Project, sleepers};

/// A file with a service that runs already, and others that are built in folders of their names.
fn with_builds(names: &[&str]) -> String {
    let mut file = sleepers(&["web"]);
    for name in names {
        file.push_str(&format!(
            "  {name}: {{build: ./{name}, command: sleep 1000, stop_signal: SIGKILL}}\n"
        ));
    }
    file
}

/// A script whose standard output has all that `corten` says.
fn merged(words: &str) -> String {
    format!("exec {} {words} 2>&1", programs::corten().display())
}

/// Whether a process of this test's engine sleeps for so long.
fn sleeps(seconds: u32) -> bool {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    let mut arguments = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let wanted = format!("sleep\0{seconds}\0");
    arguments.any(|line| line.ends_with(wanted.as_bytes()))
}

/// The engine's mounts.
fn mounts(project: &Project) -> Vec<String> {
    let path = format!("/proc/{}/mounts", project.engine.pid());
    let text = fs::read_to_string(path).expect("mounts");
    let root = project.engine.work();
    let root = root.parent().expect("it has one").display().to_string();
    let mut list: Vec<_> = text
        .lines()
        .filter(|line| line.contains(&root))
        .map(str::to_owned)
        .collect();
    list.sort();
    list
}

fn bundles(project: &Project) -> usize {
    let folder = project.engine.exec_root().join("containers");
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn is_image(project: &Project, name: &str) -> bool {
    !project.engine.corten(["images", "-q", name]).line().is_empty()
}

#[test]
fn a_build_that_fails_among_nine_is_told_and_the_rest_goes_on_later() {
    let names = ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"];
    let project = Project::of_sleepers(&["web"]);
    project.run("compose up -d").ok();
    let before = project.started("shop-web-1");
    for name in names {
        let step = if name == "b5" {
            "echo the reason; exit 7"
        } else {
            "true"
        };
        project.write(&format!("{name}/Dockerfile"), &format!("FROM busybox\nRUN {step}\n"));
    }
    let changed = with_builds(&names).replacen("sleep 1000", "sleep 2000", 1);
    project.write("compose.yaml", &changed);

    let one_by_one = project.run("compose --parallel 1 up -d").run();
    assert_eq!(one_by_one.code, 1, "{one_by_one}");
    for text in [
        "the reason",
        "service \"b5\" was not built: ",
        "exit code: 7",
        "built: b1, b2, b3, b4; not built: b6, b7, b8, b9; what ran before still runs",
    ] {
        assert!(one_by_one.stderr.contains(text), "{text}: {one_by_one}");
    }
    let at_once = project.run("compose up -d --build").run();
    assert_eq!(at_once.code, 1, "{at_once}");
    assert!(at_once.stderr.contains("service \"b5\" was not built: "), "{at_once}");
    assert!(is_image(&project, "shop-b1") && !is_image(&project, "shop-b5"));
    assert_eq!(project.started("shop-web-1"), before);
    assert_eq!(project.ids().len(), 1);

    project.write("b5/Dockerfile", "FROM busybox\nRUN true\n");
    project.run("compose up -d").ok();
    let states = project.states();
    assert!(
        states.len() == 10 && states.values().all(|state| state == "running"),
        "{states:?}"
    );
    assert_ne!(project.started("shop-web-1"), before, "its definition changed");
}

/// Interrupts `up` while it builds, so often; gives what it said.
fn interrupted(words: &str, times: usize) {
    let project = Project::of_sleepers(&["web"]);
    project.run("compose up -d").ok();
    let before = project.started("shop-web-1");
    let (mounted, bundled) = (mounts(&project), bundles(&project));
    // A time that no other process sleeps for.
    let seconds = 800_000 + std::process::id() * 4 + u32::try_from(times + words.len()).expect("few") % 4;
    project.write("done/Dockerfile", "FROM busybox\nRUN true\n");
    project.write("long/Dockerfile", &format!("FROM base\nRUN sleep {seconds}\n"));
    let inline = "{dockerfile_inline: \"FROM base\\nRUN true\", additional_contexts: {base: 'service:long'}}";
    let file = with_builds(&["done", "long"]).replace(
        "build: ./long",
        "build: {context: ./long, additional_contexts: {base: 'service:done'}}",
    );
    project.write("compose.yaml", &format!("{file}  late: {{build: {inline}}}\n"));
    project.write("tmp/keep", "");
    let temporary = project.engine.work().join("tmp");
    let up = project.run(words).env("TMPDIR", &temporary).spawn();
    until::is("the step runs", || sleeps(seconds));
    for _ in 0..times {
        up.signal(Signal::INT);
    }
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    assert!(
        up.stderr
            .contains("interrupted\nbuilt: done; cut off: long; not built: late; what ran before still runs"),
        "{up}"
    );
    until::is("the step has ended", || !sleeps(seconds));
    until::is("its bundle is gone", || bundles(&project) == bundled);
    until::is("its mounts are gone", || mounts(&project) == mounted);
    assert!(is_image(&project, "shop-done") && !is_image(&project, "shop-long"));
    let left: Vec<_> = fs::read_dir(&temporary).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(project.started("shop-web-1"), before);
    assert_eq!(project.ids().len(), 1);
    // It goes on where it was cut off.
    project.write("long/Dockerfile", "FROM base\nRUN true\n");
    project.run("compose up -d").ok();
    assert_eq!(project.ids().len(), 4);
    assert_eq!(project.started("shop-web-1"), before);
}

#[test]
fn an_interrupt_ends_builds_and_tells_what_was_built() {
    interrupted("compose up -d", 1);
    interrupted("compose up", 1);
}

#[test]
fn a_second_interrupt_ends_builds_at_once() {
    interrupted("compose up --build", 2);
}

#[test]
fn an_interrupt_tells_what_was_made() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sleep 1000, depends_on: {base: {condition: service_healthy}}}
  base:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    healthcheck: {test: 'false', interval: 1h, start_period: 1h}
",
    );
    let mut up = project.engine.sh(&merged("compose up -d")).spawn();
    up.wait_for("Container shop-base-1  Waiting");
    up.signal(Signal::INT);
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    let told = "interrupted\ndone: create network shop_default, create container shop-base-1, \
                create container shop-web-1, start container shop-base-1; not begun: start container shop-web-1\n";
    let told = told.replace("                ", "");
    assert!(up.stdout.ends_with(&told), "{up}");
    let states = BTreeMap::from([("shop-base-1", "running"), ("shop-web-1", "created")]);
    let states = states
        .into_iter()
        .map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(project.states(), states.collect());
    project.run("compose down").ok();
    assert!(project.ids().is_empty());
}

#[test]
fn an_interrupt_ends_pulls_and_tells_what_was_fetched() {
    let project = Project::of_sleepers(&["web"]);
    project.run("compose up -d").ok();
    let before = project.started("shop-web-1");
    let registry = project.engine.registry();
    let host = registry.host();
    for name in ["quick", "slow"] {
        registry.add_image(&format!("shop/{name}"), "latest", &TestImage::small(name));
    }
    registry.inject("/v2/shop/slow/blobs", 100, Fault::StallAfter(10));
    let file = sleepers(&["web"]);
    project.write(
        "compose.yaml",
        &format!(
            "{file}  quick: {{image: {host}/shop/quick, command: sleep 1000}}\n  \
             slow: {{image: '{host}/shop/slow', command: sleep 1000}}\n"
        ),
    );
    let mut up = project.engine.sh(&merged("compose up -d")).spawn();
    up.wait_for("quick Pulled");
    registry.wait_for("GET", "/v2/shop/slow/blobs", 1);
    up.signal(Signal::INT);
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    assert!(
        up.stdout.ends_with("interrupted\npulled: quick; not pulled: slow\n"),
        "{up}"
    );
    assert_eq!(project.started("shop-web-1"), before);
    assert_eq!(project.ids().len(), 1);
    registry.heal();
}

#[test]
fn a_port_that_another_program_has_is_told() {
    let project = Project::new(&sleepers(&["old"]));
    project.run("compose up -d").ok();
    let before = project.started("shop-old-1");
    let listener = project.engine.inside(|| std::net::TcpListener::bind("127.0.0.1:8088"));
    let listener = listener.expect("a port");
    let file = sleepers(&["old", "base"]);
    project.write(
        "compose.yaml",
        &format!(
            "{file}  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, ports: ['127.0.0.1:8088:80'], depends_on: [base]}}
  late: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL, depends_on: [web]}}
"
        ),
    );
    let up = project.run("compose up -d").run();
    assert_eq!(up.code, 1, "{up}");
    for text in [
        "127.0.0.1:8088",
        "address already in use",
        "start container shop-base-1",
        "failed: start container shop-web-1",
        "not begun: start container shop-late-1",
    ] {
        assert!(up.stderr.contains(text), "{text}: {up}");
    }
    assert_eq!(project.started("shop-old-1"), before);
    drop(listener);
    project.run("compose up -d").ok();
    assert!(project.states().values().all(|state| state == "running"));
    assert_eq!(project.started("shop-old-1"), before);
}
