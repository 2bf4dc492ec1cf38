//! Builds of several services at once, and what is said when one of them fails.

use crate::project::Project;

#[test]
fn builds_go_on_at_once() {
    // Each waits for the other, by a folder that builds share.
    let meet = |own: &str, other: &str| {
        format!(
            "FROM busybox
RUN --mount=type=cache,id=meet,target=/meet touch /meet/{own}; \\
    for i in $(seq 600); do test -e /meet/{other} && exit 0; sleep 0.1; done; exit 1
"
        )
    };
    let project = Project::new(
        "name: shop
services:
  one: {build: ./one, command: sleep 1000, stop_signal: SIGKILL}
  two: {build: ./two, command: sleep 1000, stop_signal: SIGKILL}
",
    );
    project.write("one/Dockerfile", &meet("one", "two"));
    project.write("two/Dockerfile", &meet("two", "one"));
    let up = project.run("compose up -d --build").run();
    assert_eq!(up.code, 0, "{up}");
    assert!(
        up.stderr.contains("shop-one  Built") && up.stderr.contains("shop-two  Built"),
        "{up}"
    );
    assert_eq!(project.ids().len(), 2);
    let again = project.run("compose --parallel 1 build").run();
    assert_eq!(again.code, 0, "one after the other, from the cache: {again}");
}

#[test]
fn a_build_begins_when_the_one_that_it_needs_is_done() {
    let project = Project::new(
        "name: shop
services:
  slow: {build: ./slow, command: sleep 1000, stop_signal: SIGKILL}
  base: {build: ./base, command: sleep 1000, stop_signal: SIGKILL}
  web: {build: {context: ./web, additional_contexts: {base: 'service:base'}}, command: sleep 1000, stop_signal: SIGKILL}
",
    );
    // This one ends when the one has been built that needs another one.
    let wait = "for i in $(seq 600); do test -e /meet/web && exit 0; sleep 0.1; done; exit 1";
    let meet = "RUN --mount=type=cache,id=meet,target=/meet";
    project.write("slow/Dockerfile", &format!("FROM busybox\n{meet} {wait}\n"));
    project.write("base/Dockerfile", "FROM busybox\nRUN true\n");
    project.write("web/Dockerfile", &format!("FROM base\n{meet} touch /meet/web\n"));
    let built = project.run("compose build").run();
    assert_eq!(built.code, 0, "{built}");
}

#[test]
fn a_build_that_fails_leaves_what_runs() {
    let file = |more: &str| {
        format!(
            "name: shop
services:
  web: {{image: busybox, command: sleep 1000, stop_signal: SIGKILL}}
{more}"
        )
    };
    let project = Project::new(&file(""));
    project.run("compose up -d").ok();
    let before = project.started("shop-web-1");
    project.write("good/Dockerfile", "FROM busybox\nRUN true\n");
    project.write("bad/Dockerfile", "FROM base\nRUN exit 7\n");
    project.write("late/Dockerfile", "FROM base\nRUN true\n");
    let changed = file(
        "  good: {build: ./good, command: sleep 1000, stop_signal: SIGKILL}
  bad: {build: {context: ./bad, additional_contexts: {base: 'service:good'}}, command: sleep 1000}
  late: {build: {context: ./late, additional_contexts: {base: 'service:bad'}}, command: sleep 1000}
",
    );
    project.write(
        "compose.yaml",
        &changed.replace("sleep 1000, stop_signal: SIGKILL}\n  good", "sleep 2000}\n  good"),
    );
    let up = project.run("compose up -d --build").run();
    assert_ne!(up.code, 0, "{up}");
    for text in [
        "service \"bad\" was not built",
        "built: good; not built: late; what ran before still runs",
    ] {
        assert!(up.stderr.contains(text), "{text}: {up}");
    }
    assert_eq!(project.started("shop-web-1"), before);
    assert_eq!(project.ids().len(), 1);
}

#[test]
fn a_port_that_is_taken_is_told_and_the_rest_stays() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sleep 1000, stop_signal: SIGKILL, ports: ['127.0.0.1:8087:80'], depends_on: [base]}
  base: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
",
    );
    let taken = [
        "run",
        "-d",
        "--name",
        "taken",
        "-p",
        "127.0.0.1:8087:80",
        "--stop-timeout",
        "0",
    ];
    let run = taken.iter().chain(&["busybox", "sleep", "1000"]);
    project.engine.corten(run).ok();
    let up = project.run("compose up -d").run();
    assert_eq!(up.code, 1, "{up}");
    for text in ["shop-web-1", "127.0.0.1:8087", "port is already allocated"] {
        assert!(up.stderr.contains(text), "{text}: {up}");
    }
    let states = project.states();
    assert_eq!(
        (&*states["shop-base-1"], &*states["shop-web-1"]),
        ("running", "created")
    );
    // Once it is free, what is there is started.
    project.engine.corten(["rm", "-f", "taken"]).ok();
    let made = project.ids();
    project.run("compose up -d").ok();
    assert_eq!(project.ids()["shop-web-1"], made["shop-web-1"]);
    assert_eq!(project.states()["shop-web-1"], "running");
}
