//! Restart policies.

use corten_tests::engine::Engine;
use corten_tests::until;

fn run(engine: &Engine, name: &str, policy: &str, script: &str) {
    engine
        .corten([
            "run",
            "-d",
            "--name",
            name,
            "--restart",
            policy,
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
}

fn restarts(engine: &Engine, name: &str) -> u32 {
    engine.inspect(name, "{{.RestartCount}}").parse().expect("a number")
}

#[test]
fn on_failure_gives_up_after_its_times() {
    let engine = Engine::start();
    run(&engine, "fails", "on-failure:2", "exit 3");
    engine.wait_for(
        "fails",
        "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}",
        "exited 2 3",
    );
}

#[test]
fn on_failure_leaves_success_alone() {
    let engine = Engine::start();
    run(&engine, "works", "on-failure", "exit 0");
    engine.wait_for("works", "{{.State.Status}} {{.RestartCount}}", "exited 0");
}

#[test]
fn always_starts_again_and_stop_ends_it() {
    let engine = Engine::start();
    run(&engine, "again", "always", "exit 0");
    until::is("it is restarted", || restarts(&engine, "again") >= 2);
    engine.corten(["stop", "again"]).ok();
    let count = restarts(&engine, "again");
    assert_eq!(engine.inspect("again", "{{.State.Status}}"), "exited");
    assert_eq!(restarts(&engine, "again"), count);
    // Starting it by hand starts the policy too.
    engine.corten(["start", "again"]).ok();
    until::is("it is restarted", || restarts(&engine, "again") >= 1);
}

#[test]
fn a_restarting_container_can_be_removed() {
    let engine = Engine::start();
    run(&engine, "again", "always", "exit 1");
    engine.wait_for("again", "{{.State.Status}}", "restarting");
    engine.corten(["rm", "-f", "again"]).ok();
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn restart_keeps_the_container() {
    let engine = Engine::start();
    run(&engine, "kept", "no", "echo started >> /note; exec sleep 300");
    let pid = engine.inspect("kept", "{{.State.Pid}}");
    let note = || engine.corten(["exec", "kept", "cat", "/note"]).run().stdout;
    until::is("the first start is noted", || note() == "started\n");
    engine.corten(["restart", "-t", "0", "kept"]).ok();
    assert_ne!(engine.inspect("kept", "{{.State.Pid}}"), pid);
    until::is("both starts are noted", || note() == "started\nstarted\n");
}
