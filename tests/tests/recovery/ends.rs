//! Containers that end while no engine is there, and what their policies ask for then.

use corten_tests::engine::Engine;
use corten_tests::process::{is_alive, kill};
use corten_tests::until;

use crate::scene::sleeps;

/// A container that ends with a code once the file `end` is in the folder for the test's own files.
fn ends_on_demand(engine: &Engine, code: u8, options: &[&str]) {
    let script = format!("while [ ! -e /w/end ]; do sleep 0.02; done; echo over; exit {code}");
    let volume = format!("{}:/w", engine.work().display());
    let head = ["run", "-d", "--name", "box", "-v", &volume];
    engine
        .corten(head.iter().chain(options).chain(&["busybox", "sh", "-c", &script]))
        .ok();
}

/// Lets the container end while the engine is dead, and starts the next engine.
fn end_meanwhile(engine: &Engine) {
    let (first, shim) = (engine.first_pid("box"), engine.shim("box"));
    engine.kill();
    corten_sys::fs::write(engine.work().join("end"), "").expect("a file");
    until::is("the container has ended", || !is_alive(first) && !is_alive(shim));
    engine.launch();
}

#[test]
fn code_and_time_are_those_of_the_end() {
    let engine = Engine::start();
    ends_on_demand(&engine, 42, &[]);
    let mut waiting = engine.corten(["wait", "box"]).spawn();
    assert!(!waiting.has_ended());
    let before = engine.sh("date -u +%Y-%m-%dT%H:%M:%S").line();
    end_meanwhile(&engine);
    assert_eq!(
        engine.inspect("box", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}"),
        "exited 42 0"
    );
    assert!(engine.inspect("box", "{{.State.FinishedAt}}") > before);
    assert_eq!(engine.corten(["logs", "box"]).ok(), "over\n");
    assert_eq!(engine.corten(["wait", "box"]).ok(), "42\n");
}

#[test]
fn one_that_is_to_be_removed_is_removed() {
    let engine = Engine::start();
    ends_on_demand(&engine, 0, &["--rm", "-v", "/anonymous"]);
    end_meanwhile(&engine);
    until::is("it is removed", || engine.corten(["ps", "-aq"]).ok().is_empty());
    until::is("its volume too", || {
        engine.corten(["volume", "ls", "-q"]).ok().is_empty()
    });
}

#[test]
fn one_that_is_to_be_started_again_is() {
    for (policy, code, again) in [
        ("always", 0, true),
        ("on-failure", 3, true),
        ("on-failure", 0, false),
        ("no", 3, false),
    ] {
        let engine = Engine::start();
        ends_on_demand(&engine, code, &["--restart", policy]);
        end_meanwhile(&engine);
        if again {
            until::is("it is started again", || {
                engine.inspect("box", "{{.RestartCount}}") != "0"
            });
        } else {
            assert_eq!(
                engine.inspect("box", "{{.State.Status}} {{.RestartCount}}"),
                "exited 0",
                "{policy}"
            );
        }
        engine.corten(["rm", "-f", "box"]).ok();
    }
}

#[test]
fn one_that_waits_for_its_restart_is_started_by_the_next_engine() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "box", "--restart", "always", "busybox", "false"])
        .ok();
    let restarts = || {
        engine
            .inspect("box", "{{.RestartCount}}")
            .parse::<u64>()
            .expect("a number")
    };
    until::is("it is in its pauses", || restarts() >= 3);
    engine.kill();
    engine.launch();
    let before = restarts();
    until::is("it is started again", || restarts() > before);
    engine.corten(["stop", "box"]).ok();
    engine.crash();
    assert_eq!(engine.inspect("box", "{{.State.Status}}"), "exited");
}

#[test]
fn one_that_the_user_stopped_stays_so() {
    let engine = Engine::start();
    sleeps(&engine, "unless-stopped");
    engine.corten(["stop", "-t", "0", "box"]).ok();
    engine.crash();
    assert_eq!(engine.inspect("box", "{{.State.Status}}"), "exited");
}

#[test]
fn after_the_end_of_everything_what_should_run_is_started() {
    let engine = Engine::start();
    sleeps(&engine, "always");
    let (first, shim) = (engine.first_pid("box"), engine.shim("box"));
    engine.kill();
    kill(shim);
    until::is("the shim is gone", || !is_alive(shim));
    engine.launch();
    until::is("it runs again", || {
        let state = engine.inspect("box", "{{.State.Status}} {{.State.Pid}}");
        state.starts_with("running") && !state.ends_with(&format!(" {first}"))
    });
    until::is("the first is gone", || !is_alive(first));
}

#[test]
fn restarts_without_pause_are_no_obstacle_to_the_end() {
    let engine = Engine::start();
    for round in 0..15 {
        let name = format!("box{round}");
        let options = ["run", "-d", "--name", &name, "--restart", "always", "busybox", "true"];
        engine.corten(options).ok();
        if round % 2 == 0 {
            engine.corten(["stop", "-t", "0", &name]).ok();
            assert_eq!(engine.inspect(&name, "{{.State.Status}}"), "exited", "{round}");
        }
        engine.corten(["rm", "-f", &name]).ok();
    }
}
