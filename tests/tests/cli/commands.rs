//! Flags of commands that other suites have no use for.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

/// An engine with a container `box` that runs, and says what signals it gets.
fn running() -> Engine {
    let engine = Engine::start();
    let script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done";
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    until::is("it is ready", || engine.corten(["logs", "box"]).ok() == "ready\n");
    engine
}

#[test]
fn stopping_and_starting_take_signals_and_times() {
    let engine = running();
    engine.corten(["stop", "--signal", "KILL", "box"]).ok();
    assert_eq!(engine.inspect("box", "{{.State.ExitCode}}"), "137");
    engine.corten(["start", "--detach-keys", "ctrl-a", "box"]).ok();
    engine
        .corten(["restart", "--signal", "INT", "--timeout", "0", "box"])
        .ok();
    engine.corten(["restart", "--time", "0", "box"]).ok();
    assert_eq!(engine.inspect("box", "{{.State.Status}}"), "running");
}

#[test]
fn attaching_can_leave_the_input_and_signals_alone() {
    let engine = Engine::start();
    let script = "read line; echo got $line";
    engine
        .corten(["run", "-d", "-i", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    let attached = engine
        .corten([
            "attach",
            "--no-stdin",
            "--sig-proxy=false",
            "--detach-keys",
            "ctrl-a",
            "box",
        ])
        .stdin("not this\n")
        .spawn();
    until::is("it is attached", || {
        let events = engine.corten(["events", "--since", "0", "--until", "0s", "--filter", "event=attach"]);
        !events.ok().is_empty()
    });
    let second = engine.corten(["attach", "box"]).stdin("that\n").run();
    assert_eq!(second.stdout, "got that\n", "{second}");
    assert_eq!(attached.wait().stdout, "got that\n");
}

#[test]
fn execs_read_variables_from_files() {
    let engine = running();
    let file = engine.work().join("variables");
    corten_sys::fs::write(&file, "A=from a file\n").expect("a file");
    let file = file.to_string_lossy().into_owned();
    let said = engine
        .corten([
            "exec",
            "--env-file",
            &file,
            "--detach-keys",
            "ctrl-a",
            "box",
            "sh",
            "-c",
            "echo $A",
        ])
        .ok();
    assert_eq!(said, "from a file\n");
}

#[test]
fn objects_are_inspected_by_templates_and_with_sizes() {
    let engine = running();
    engine.corten(["exec", "box", "sh", "-c", "echo 12345 > /file"]).ok();
    assert_eq!(
        engine
            .corten(["inspect", "--size", "--format", "{{.SizeRw}}", "box"])
            .line(),
        "6"
    );
    assert_eq!(
        engine
            .corten(["container", "inspect", "--size", "--format", "{{.SizeRw}}", "box"])
            .line(),
        "6"
    );
    engine.corten(["volume", "create", "kept"]).ok();
    assert_eq!(
        engine
            .corten(["volume", "inspect", "--format", "{{.Name}} {{.Driver}}", "kept"])
            .line(),
        "kept local"
    );
    assert_eq!(engine.corten(["volume", "ls", "--format", "{{.Name}}"]).line(), "kept");
    assert_eq!(
        engine
            .corten(["network", "inspect", "--verbose", "--format", "{{.Driver}}", "bridge"])
            .line(),
        "bridge"
    );
    assert_eq!(
        engine.corten(["ps", "--last", "1", "--format", "{{.Names}}"]).line(),
        "box"
    );
    let diff = engine.corten(["diff", "box"]).ok();
    assert_eq!(diff, "A /file\n");
}

#[test]
fn images_are_told_in_full() {
    let engine = Engine::start();
    engine
        .corten([
            "pull",
            "--disable-content-trust",
            "--platform",
            "linux/amd64",
            "busybox",
        ])
        .ok();
    let id = engine.corten(["images", "--no-trunc", "-q", "busybox"]).line();
    let history = engine
        .corten([
            "history",
            "--no-trunc",
            "--human=false",
            "--platform",
            "linux/amd64",
            "busybox",
        ])
        .ok();
    assert!(history.contains(&id) && history.contains('T'), "{history}");
    engine.corten(["tag", "busybox", "other:1"]).ok();
    engine.corten(["create", "--name", "user", "busybox"]).ok();
    let tree = engine.corten(["images", "--tree"]).ok();
    let lines: Vec<_> = tree
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    let short = &id["sha256:".len()..][..12];
    assert_eq!(lines[3], ["busybox:latest"], "{tree}");
    assert_eq!(
        (lines[4][0], lines[4][1], lines[4][4]),
        ("other:1", short, "U"),
        "{tree}"
    );
    let refused = engine.corten(["images", "--tree", "-q"]).fails(1);
    assert!(
        refused.contains("--quiet is not yet supported with --tree"),
        "{refused}"
    );
    engine.corten(["rm", "user"]).ok();
    assert_eq!(
        engine.corten(["rmi", "--no-prune", "other:1"]).line(),
        "Untagged: other:1"
    );
    assert_eq!(
        engine
            .corten(["image", "prune", "-a", "-f", "--filter", "label=of-no-image"])
            .line(),
        "Total reclaimed space: 0B"
    );
}

#[test]
fn pruning_the_system_takes_what_was_asked_for() {
    let engine = Engine::start_with(Options::default());
    engine
        .corten(["run", "--name", "done", "--label", "keep=no", "busybox", "true"])
        .ok();
    engine
        .corten(["run", "--name", "kept", "--label", "keep=yes", "busybox", "true"])
        .ok();
    engine.corten(["volume", "create", "named"]).ok();
    engine
        .corten(["system", "prune", "-f", "--filter", "label=keep=no"])
        .ok();
    assert_eq!(engine.corten(["ps", "-a", "--format", "{{.Names}}"]).line(), "kept");
    engine.corten(["system", "prune", "-f", "--all", "--volumes"]).ok();
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
    assert_eq!(engine.corten(["images", "-q"]).ok(), "");
    let verbose = engine.corten(["system", "df", "--verbose"]).ok();
    assert!(verbose.contains("Images space usage:"), "{verbose}");
    // A volume with a name is somebody's.
    assert_eq!(engine.corten(["volume", "ls", "-q"]).line(), "named");
}

#[test]
fn statistics_follow_containers_as_they_come_and_go() {
    let engine = Engine::start();
    let run = |name: &str| {
        engine
            .corten(["run", "-d", "--name", name, "busybox", "sleep", "1000"])
            .ok();
    };
    run("one");
    run("two");
    let format = "{{.Name}}:{{.PIDs}};";
    let mut seen = engine.corten(["stats", "--format", format]).spawn();
    let mut named = engine.corten(["stats", "--format", format, "one", "two"]).spawn();
    seen.wait_for("one:1;");
    seen.wait_for("two:1;");
    run("three");
    seen.wait_for("three:1;");
    named.wait_for("two:1;");
    engine.corten(["rm", "-f", "two"]).ok();
    // Whom the user named stays, with nothing known of it.
    named.wait_for("two:--;");
    run("four");
    let all = seen.wait_for("four:1;");
    let lines: Vec<&str> = all.lines().collect();
    let four = lines.iter().position(|line| *line == "four:1;").expect("it was seen");
    // A painting is: one, three, four.
    assert!(
        lines[four - 3..four].iter().all(|line| !line.starts_with("two")),
        "{all}"
    );
    for running in [seen, named] {
        running.signal(rustix::process::Signal::INT);
        assert_ne!(running.wait().code, 0);
    }
    let once = engine
        .corten(["stats", "--no-stream", "--format", format, "three", "one"])
        .ok();
    assert_eq!(once, "three:1;\none:1;\n");
    let error = engine.corten(["stats", "--no-stream", "one", "two"]).fails(1);
    assert!(error.contains("No such container: two"), "{error}");
    let error = engine.corten(["stats", "nobody"]).fails(1);
    assert!(error.contains("No such container: nobody"), "{error}");
}
