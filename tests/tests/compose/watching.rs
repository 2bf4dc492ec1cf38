//! `compose watch`, and `up --watch`: changes of sources come into services.

use corten_sys::fs;
use corten_tests::{command::Running, terminal::Terminal, until};
use rustix::process::Signal;

use crate::project::Project;

const SYNCED: &str = "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    develop:
      watch:
        - {path: ./src, action: sync, target: /app, ignore: [skipped/, '**/*.log']}
        - {path: ./conf, action: sync+restart, target: /conf, include: ['*.conf']}
        - {path: ./hook, action: sync+exec, target: /hook, exec: {command: [sh, -c, 'cat /hook/a > /said; echo said it'], user: root}}
        - {path: ./again, action: restart}
";

/// What a file in the container says.
fn inside(project: &Project, path: &str) -> Option<String> {
    let words = format!("compose exec -T web cat {path}");
    let finished = project.run(&words).run();
    (finished.code == 0).then_some(finished.stdout)
}

#[track_caller]
fn until_inside(project: &Project, path: &str, text: &str) {
    until::is(path, || inside(project, path).as_deref() == Some(text));
}

fn watch(project: &Project, words: &str) -> Running {
    let mut watch = project.run(words).spawn();
    watch.wait_for("Watch enabled\n");
    watch
}

/// Ends a watch as ctrl-C does.
#[track_caller]
fn end(watch: Running) {
    watch.signal(Signal::INT);
    let watch = watch.wait();
    assert_eq!(watch.code, 130, "{watch}");
    assert!(watch.stdout.contains("Watch disabled\n"), "{watch}");
}

#[test]
fn files_are_sent_as_they_change_and_removed_as_they_go() {
    let project = Project::new(SYNCED);
    project.write("src/old", "before");
    let mut watching = watch(&project, "compose watch");
    let started = project.started("shop-web-1");
    project.write("src/a", "1");
    project.write("src/skipped/x", "no");
    project.write("src/x.log", "no");
    until_inside(&project, "/app/a", "1");
    watching.wait_for("Syncing service \"web\" after ");
    // As editors save: beside it, and then in its place.
    let src = project.engine.work().join("src");
    project.write("src/.a.new", "2");
    fs::rename(src.join(".a.new"), src.join("a")).expect("a file");
    until_inside(&project, "/app/a", "2");
    project.write("src/deep/er/file", "below");
    until_inside(&project, "/app/deep/er/file", "below");
    fs::rename(src.join("deep"), src.join("moved")).expect("a folder");
    until_inside(&project, "/app/moved/er/file", "below");
    until::is("the old folder goes", || {
        inside(&project, "/app/deep/er/file").is_none()
    });
    fs::remove_file(src.join("a")).expect("a file");
    until::is("the file goes", || inside(&project, "/app/a").is_none());
    for path in ["/app/old", "/app/skipped/x", "/app/x.log"] {
        assert_eq!(inside(&project, path), None, "{path}");
    }
    assert_eq!(project.started("shop-web-1"), started, "it ran all the time");
    end(watching);
}

#[test]
fn changes_restart_services_and_run_commands() {
    let project = Project::new(SYNCED);
    project.run("compose up -d").ok();
    let mut watching = watch(&project, "compose watch --no-up");
    let started = project.started("shop-web-1");
    project.write("conf/ignored.txt", "");
    project.write("hook/a", "a word");
    until_inside(&project, "/said", "a word");
    watching.wait_for("said it\n");
    assert_eq!(project.started("shop-web-1"), started);
    project.write("conf/web.conf", "new");
    watching.wait_for("service(s) [\"web\"] restarted\n");
    until_inside(&project, "/conf/web.conf", "new");
    assert_eq!(inside(&project, "/conf/ignored.txt"), None);
    let again = project.started("shop-web-1");
    assert_ne!(again, started);
    project.write("again/file", "");
    until::is("it is restarted", || project.started("shop-web-1") != again);
    end(watching);
}

#[test]
fn no_change_is_lost_when_there_are_more_than_the_kernel_keeps() {
    let project = Project::new(SYNCED);
    project.write("src/gone", "");
    let watching = watch(&project, "compose watch");
    project.write("src/gone", "here");
    until_inside(&project, "/app/gone", "here");
    watching.signal(Signal::STOP);
    // Changes of two files in turn, which the kernel does not take for one; what comes after them it forgets.
    let script = "most=$(cat /proc/sys/fs/inotify/max_queued_events); cd src; i=0
        while [ $i -lt $most ]; do echo >> a; echo >> b; i=$((i+2)); done
        mkdir -p lost/deep; printf lost > lost/deep/file; printf c > c; rm gone";
    project.engine.sh(script).ok();
    watching.signal(Signal::CONT);
    until_inside(&project, "/app/lost/deep/file", "lost");
    until_inside(&project, "/app/c", "c");
    until::is("what is gone goes", || inside(&project, "/app/gone").is_none());
    // New folders are watched from then on.
    project.write("src/lost/deep/file", "found");
    until_inside(&project, "/app/lost/deep/file", "found");
    end(watching);
}

const BUILT: &str = "name: shop
services:
  web:
    build: .
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [base]
    develop:
      watch: [{path: ., action: rebuild}]
  base: {image: busybox, command: sleep 1000, stop_signal: SIGKILL}
";

#[test]
fn a_change_rebuilds_its_service_alone() {
    let project = Project::new(BUILT);
    project.write("Dockerfile", "FROM busybox\nCOPY text /text\n");
    project.write(".dockerignore", "notes\n");
    project.write("text", "one");
    let mut watching = watch(&project, "compose watch --quiet");
    let before = [project.started("shop-web-1"), project.started("shop-base-1")];
    assert_eq!(inside(&project, "/text").as_deref(), Some("one"));
    let old = project.engine.inspect("shop-web-1", "{{.Image}}");
    project.write("notes", "left out");
    project.write(".git/index", "left out");
    project.write("text", "two");
    watching.wait_for("Rebuilding service(s) [\"web\"] after changes were detected...\n");
    until_inside(&project, "/text", "two");
    assert_ne!(project.started("shop-web-1"), before[0]);
    assert_eq!(project.started("shop-base-1"), before[1]);
    until::is("the old image goes", || {
        project.engine.corten(["image", "inspect", &old]).run().code != 0
    });
    // A build that fails leaves what runs as it is, and the next one is tried.
    project.write("Dockerfile", "FROM busybox\nRUN false\n");
    let second = project.started("shop-web-1");
    watching.wait_for("Build failed. Error: ");
    assert_eq!(project.started("shop-web-1"), second);
    project.write("Dockerfile", "FROM busybox\nRUN echo three > /text\n");
    until_inside(&project, "/text", "three\n");
    end(watching);
}

#[test]
fn a_file_on_standard_input_is_known_to_rebuilds() {
    let project = Project::new("name: other\n");
    project.write("Dockerfile", "FROM busybox\nCOPY text /text\n");
    project.write("text", "one");
    let mut watching = project.run("compose -f - watch --quiet").spawn();
    watching.write(BUILT);
    watching.close_stdin();
    watching.wait_for("Watch enabled");
    project.write("text", "two");
    watching.wait_for("service(s) [\"web\"] successfully built\n");
    let read = || {
        project
            .engine
            .corten(["exec", "shop-web-1", "cat", "/text"])
            .run()
            .stdout
    };
    until::is("the new text is inside", || read() == "two");
    end(watching);
}

#[test]
fn prune_can_be_left_out() {
    let project = Project::new(BUILT);
    project.write("Dockerfile", "FROM busybox\nCOPY text /text\n");
    project.write("text", "one");
    let mut watching = watch(&project, "compose watch --prune=false");
    let old = project.engine.inspect("shop-web-1", "{{.Image}}");
    project.write("text", "two");
    watching.wait_for("service(s) [\"web\"] successfully built\n");
    until_inside(&project, "/text", "two");
    project.engine.corten(["image", "inspect", &old]).ok();
    end(watching);
}

#[test]
fn all_is_sent_at_the_beginning_when_asked_for() {
    let project = Project::new(
        "name: shop
services:
  web:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
    develop: {watch: [{path: ./src, action: sync, target: /app, initial_sync: true, ignore: [no]}]}
",
    );
    project.write("src/deep/a", "here");
    project.write("src/no", "not here");
    let watching = watch(&project, "compose watch");
    assert_eq!(inside(&project, "/app/deep/a").as_deref(), Some("here"));
    assert_eq!(inside(&project, "/app/no"), None);
    end(watching);
}

#[test]
fn up_watches_while_it_shows_output() {
    let project = Project::new(BUILT);
    project.write(
        "Dockerfile",
        "FROM busybox\nCOPY text /text\nCMD cat /text; sleep 1000\n",
    );
    let file = BUILT.replace(
        "    command: sleep 1000\n    stop_signal: SIGKILL\n    depends",
        "    stop_signal: SIGKILL\n    depends",
    );
    project.write("compose.yaml", &file);
    project.write("text", "one\n");
    let mut up = project.run("compose up --watch").spawn();
    up.wait_for("web-1   | one\n");
    up.wait_for(" \u{29bf} Watch enabled\n");
    project.write("text", "two\n");
    up.wait_for("web-1   | two\n");
    up.signal(Signal::INT);
    let up = up.wait();
    assert_eq!(up.code, 130, "{up}");
    assert!(project.states().values().all(|state| state == "exited"));
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let project = Project::of_sleepers(&["web"]);
    let error = project.run("compose watch --no-up").fails(1);
    assert!(
        error.contains("none of the selected services is configured for watch"),
        "{error}"
    );
    let error = project.run("compose up --watch").fails(1);
    assert!(
        error.contains("none of the selected services is configured for watch"),
        "{error}"
    );
    let error = project.run("compose up -d --watch").fails(1);
    assert!(error.contains("--detach cannot be combined with"), "{error}");
    project.write("compose.yaml", BUILT);
    let error = project.run("compose up -w --no-build").fails(1);
    assert!(error.contains("--no-build and --watch are incompatible"), "{error}");
    assert!(project.ids().is_empty());
}

#[test]
fn a_key_begins_and_ends_to_watch() {
    let project = Project::new(SYNCED);
    project.write("src/a", "1");
    project.run("compose up -d").ok();
    let mut terminal = Terminal::start(project.run("compose up --menu"), 30, 100);
    terminal.expect(" Enable Watch");
    terminal.send("w");
    terminal.expect("Watch enabled");
    terminal.expect(" Disable Watch");
    project.write("src/a", "2");
    until_inside(&project, "/app/a", "2");
    terminal.send("w");
    terminal.expect("Watch disabled");
    terminal.expect(" Enable Watch");
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 130);
    assert!(terminal.is_cooked());

    let words = |words: &str| project.run(words).env("COMPOSE_MENU", "false");
    for call in [project.run("compose up --menu=false"), words("compose up")] {
        let mut terminal = Terminal::start(call, 30, 100);
        terminal.expect("Attaching to web-1");
        until::is("it runs", || project.states()["shop-web-1"] == "running");
        terminal.send("\x03");
        assert_eq!(terminal.wait(), 130);
        assert!(!terminal.text().contains("Watch"), "{:?}", terminal.text());
    }
}
