//! `compose up` with the output of containers.

use rustix::process::Signal;

use crate::project::Project;

const FILE: &str = "name: shop
services:
  test: {image: busybox, command: sh -c 'echo tested; exit 5', depends_on: [base]}
  base:
    image: busybox
    command: sh -c 'echo ready; sleep 1000'
    stop_signal: SIGKILL
";

#[test]
fn output_is_shown_until_all_have_ended() {
    let project = Project::new(
        "name: shop
services:
  one: {image: busybox, command: 'echo from one'}
  two: {image: busybox, command: sh -c 'echo from two; exit 3'}
",
    );
    let up = project.run("compose up").run();
    assert_eq!(up.code, 0, "{up}");
    for line in [
        "one-1  | from one\n",
        "two-1  | from two\n",
        "two-1 exited with code 3\n",
    ] {
        assert!(up.stdout.contains(line), "{line:?}: {up}");
    }
    let one = project.run("compose up --no-log-prefix --attach one").run();
    assert!(
        one.stdout.contains("from one\n") && !one.stdout.contains("from two"),
        "{one}"
    );
    let without = project.run("compose up --no-color --no-attach one").run();
    assert!(
        without.stdout.contains("from two\n") && !without.stdout.contains("from one"),
        "{without}"
    );
}

#[test]
fn the_end_of_one_ends_all_and_its_status_is_ours() {
    let project = Project::new(FILE);
    for words in [
        "compose up --abort-on-container-exit",
        "compose up --exit-code-from test",
        "compose up --abort-on-container-failure",
    ] {
        let up = project.run(words).run();
        assert_eq!(up.code, 5, "{words}: {up}");
        assert!(up.stdout.contains("test-1  | tested\n"), "{words}: {up}");
        assert_eq!(project.states()["shop-base-1"], "exited", "{words}");
    }
    let from = project.run("compose up --exit-code-from base").run();
    assert_eq!(from.code, 137, "it was killed by its own stop signal: {from}");
    let error = project.run("compose up -d --abort-on-container-exit").fails(1);
    assert!(error.contains("--abort-on-container-exit"), "{error}");
    let error = project.run("compose up --exit-code-from nothing").fails(1);
    assert!(error.contains("nothing"), "{error}");
}

#[test]
fn an_interrupt_stops_services_and_lets_them_say_farewell() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sh -c 'trap \"echo farewell; exit 0\" TERM; echo ready; while :; do sleep 0.05; done'
",
    );
    let mut up = project.run("compose up").spawn();
    up.wait_for("web-1  | ready\n");
    up.signal(Signal::INT);
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    assert!(up.stderr.contains("Gracefully Stopping"), "{up}");
    assert!(up.stdout.contains("web-1  | farewell\n"), "{up}");
    assert_eq!(
        project
            .engine
            .inspect("shop-web-1", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 0"
    );
}

#[test]
fn a_second_interrupt_kills() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sh -c 'trap \"echo no\" TERM; echo ready; while :; do sleep 0.05; done'
    stop_grace_period: 1h
",
    );
    let mut up = project.run("compose up").spawn();
    up.wait_for("web-1  | ready\n");
    up.signal(Signal::INT);
    up.wait_for("web-1  | no\n");
    up.signal(Signal::INT);
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    assert_eq!(
        project
            .engine
            .inspect("shop-web-1", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 137"
    );
}

#[test]
fn an_interrupt_ends_waiting_for_health() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sleep 1000, depends_on: {base: {condition: service_healthy}}}
  base:
    image: busybox
    command: sh -c 'echo ready; sleep 1000'
    stop_signal: SIGKILL
    healthcheck: {test: 'false', interval: 1h, start_period: 1h}
",
    );
    let mut up = project.run("compose up").spawn();
    up.wait_for("base-1  | ready\n");
    up.signal(Signal::TERM);
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    let states = project.states();
    assert_eq!((&*states["shop-web-1"], &*states["shop-base-1"]), ("created", "exited"));
}

#[test]
fn a_container_that_is_restarted_is_followed() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sh -c 'echo again; sleep 0.2; exit 2', restart: 'on-failure:2'}
  other: {image: busybox, command: sh -c 'while sleep 0.05; do echo still here; done', stop_signal: SIGKILL}
",
    );
    let mut up = project.run("compose up --attach web web").spawn();
    up.wait_for("web-1 exited with code 2 (restarting)\nweb-1  | again\n");
    let up = up.wait();
    assert_eq!(up.code, 0, "{up}");
    assert_eq!(project.engine.inspect("shop-web-1", "{{.RestartCount}}"), "2");

    project.run("compose up -d other").ok();
    let started = project.started("shop-other-1");
    let mut up = project
        .run("compose up --attach-dependencies --no-recreate other")
        .spawn();
    up.wait_for("other-1  | still here\n");
    project.run("compose kill other").ok();
    let up = up.wait();
    assert!(up.stdout.contains("other-1 exited with code 137"), "{up}");
    assert_eq!(project.started("shop-other-1"), started, "it was left as it ran");
}

#[test]
fn containers_that_come_later_are_followed() {
    let file = |word: &str| {
        format!(
            "name: shop
services:
  web: {{image: busybox, command: sh -c 'echo >> /n; echo {word} $(wc -l < /n); sleep 1000', stop_signal: SIGKILL}}
  other: {{image: busybox, command: sh -c 'echo unseen; sleep 1000', stop_signal: SIGKILL}}
"
        )
    };
    let project = Project::new(&file("first"));
    let mut up = project.run("compose up --timestamps web").spawn();
    up.wait_for(" first 1\n");
    project.run("compose up -d --scale web=2 --no-recreate").ok();
    let seen = up.wait_for("web-2  | ");
    let line = seen.lines().find(|line| line.starts_with("web-1  | ")).expect("a line");
    assert!(line[9..].starts_with("20") && line.ends_with("Z first 1"), "{line}");
    project.write("compose.yaml", &file("second"));
    project.run("compose up -d").ok();
    up.wait_for(" second 1\n");
    project.run("compose restart -t 0 web").ok();
    up.wait_for(" second 2\n");
    project.run("compose kill web").ok();
    let up = up.wait();
    assert_eq!(up.code, 0, "{up}");
    assert!(!up.stdout.contains("unseen"), "{up}");
}

#[test]
fn a_container_that_alone_is_restarted_is_followed() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sh -c 'echo >> /n; echo again $(wc -l < /n); sleep 1000', stop_signal: SIGKILL}
",
    );
    let mut up = project.run("compose up").spawn();
    up.wait_for("web-1  | again 1\n");
    let mut logs = project.run("compose logs -f").spawn();
    logs.wait_for("web-1  | again 1\n");
    project.run("compose restart web").ok();
    for program in [&mut up, &mut logs] {
        program.wait_for("web-1 exited with code 137");
        program.wait_for("web-1  | again 2\n");
    }
    project.run("compose kill").ok();
    assert_eq!(up.wait().code, 0);
    assert_eq!(logs.wait().code, 0);
}

#[test]
fn logs_follow_what_is_started_later() {
    let project = Project::new(
        "name: shop
services:
  web: {image: busybox, command: sh -c 'echo here >&2; sleep 1000', stop_signal: SIGKILL}
  other: {image: busybox, command: sh -c 'echo there=$$WORD; sleep 1000', environment: [WORD], stop_signal: SIGKILL}
",
    );
    project.run("compose up -d web").ok();
    let mut logs = project.run("compose logs --follow").spawn();
    logs.wait_for("web-1  | here\n");
    project.run("compose up -d --scale web=2").ok();
    logs.wait_for("web-2");
    logs.wait_for("| there=\n");
    project.run("compose up -d other").env("WORD", "anew").ok();
    logs.wait_for("| there=anew\n");
    project.run("compose down").ok();
    let logs = logs.wait();
    assert_eq!(logs.code, 0, "{logs}");
    assert_eq!(logs.stdout.matches("web-1  | here\n").count(), 1, "{logs}");
}
