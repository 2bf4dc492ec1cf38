//! Every command on a disk that has no byte left.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

/// An engine with a container `box`, on a disk of its own.
fn small() -> Engine {
    let engine = Engine::start_with(Options {
        data_root_size: Some(24 << 20),
        ..Options::default()
    });
    engine
        .corten([
            "create",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "echo begun; sleep 1000",
        ])
        .ok();
    engine
}

fn fill(engine: &Engine) {
    let file = engine.data_root().join("filler");
    engine
        .sh(&format!(
            "dd if=/dev/zero of={} bs=4k 2>/dev/null; true",
            file.display()
        ))
        .ok();
}

fn make_room(engine: &Engine) {
    corten_sys::fs::remove_file(engine.data_root().join("filler")).expect("it is there");
}

#[test]
fn what_needs_space_is_refused_and_leaves_nothing() {
    let engine = small();
    let folders = || corten_sys::fs::read_dir(engine.data_root().join("overlay2")).map_or(0, Iterator::count);
    let before = folders();
    fill(&engine);
    for command in [
        &["create", "--name", "new", "busybox"][..],
        &["run", "--rm", "busybox", "true"],
    ] {
        let finished = engine.corten(command).run();
        assert_ne!(finished.code, 0, "{command:?}: {finished}");
        assert!(
            finished.stderr.contains("no space left on device"),
            "{command:?}: {finished}"
        );
    }
    assert_eq!(engine.corten(["ps", "-aq"]).ok().lines().count(), 1);
    // What is thrown away is deleted in the background.
    until::is("nothing is left of what was refused", || folders() == before);
    make_room(&engine);
    assert_eq!(
        engine
            .corten(["run", "--rm", "--name", "new", "busybox", "echo", "works"])
            .ok(),
        "works\n"
    );
}

#[test]
fn the_engine_starts_on_a_full_disk() {
    let engine = small();
    engine
        .corten(["run", "-d", "--name", "on", "busybox", "sleep", "1000"])
        .ok();
    let pid = engine.inspect("on", "{{.State.Pid}}");
    fill(&engine);
    engine.crash();
    assert_eq!(engine.inspect("on", "{{.State.Pid}}"), pid);
    engine.corten(["exec", "on", "true"]).ok();
    engine.stop();
    engine.launch();
    assert_eq!(engine.inspect("on", "{{.State.Pid}}"), pid);
    make_room(&engine);
}

#[test]
fn a_start_works_or_is_undone() {
    let engine = small();
    fill(&engine);
    let finished = engine.corten(["start", "box"]).run();
    let state = engine.inspect("box", "{{.State.Running}}");
    assert_eq!(state, (finished.code == 0).to_string(), "{finished}");
    assert!(
        finished.code == 0 || finished.stderr.contains("no space left on device"),
        "{finished}"
    );
    make_room(&engine);
    if finished.code != 0 {
        engine.corten(["start", "box"]).ok();
    }
    assert_eq!(engine.corten(["exec", "box", "echo", "works"]).ok(), "works\n");
    engine.corten(["rm", "-f", "box"]).ok();
}

#[test]
fn what_runs_can_be_stopped_and_removed_and_its_end_is_told() {
    let engine = small();
    engine.corten(["start", "box"]).ok();
    fill(&engine);
    assert_eq!(engine.corten(["exec", "box", "echo", "works"]).ok(), "works\n");
    engine.corten(["kill", "box"]).run();
    engine.wait_for("box", "{{.State.Running}}", "false");
    // The end is in the exec root, which has its own space; the next engine knows it from there.
    make_room(&engine);
    engine.crash();
    until::is("the end is known", || {
        engine.inspect("box", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    });
    engine.corten(["start", "box"]).ok();
    fill(&engine);
    engine.corten(["rm", "-f", "box"]).ok();
    make_room(&engine);
    assert_eq!(
        engine
            .corten(["run", "--rm", "--name", "box", "busybox", "echo", "works"])
            .ok(),
        "works\n"
    );
}
