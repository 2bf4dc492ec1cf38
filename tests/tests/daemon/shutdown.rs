//! What the engine takes along when it is told to stop.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

const RUN: [&str; 3] = ["run", "-d", "--name"];

/// A program that ends when it is asked to, and says so by its status.
const POLITE: &str = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";

#[test]
fn containers_outlive_the_engine() {
    let engine = Engine::start();
    engine
        .corten(RUN.iter().chain(&["kept", "busybox", "sleep", "1000"]))
        .ok();
    let pid = engine.inspect("kept", "{{.State.Pid}}");
    engine.stop();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    engine.launch();
    assert_eq!(engine.inspect("kept", "{{.State.Pid}}"), pid);
}

#[test]
fn without_live_restore_containers_stop_and_come_back_by_their_policies() {
    let engine = Engine::start_with(Options::with_flags(&["--live-restore=false", "--shutdown-timeout=15"]));
    assert_eq!(engine.get("/info")["LiveRestoreEnabled"], serde_json::json!(false));
    engine
        .corten(RUN.iter().chain(&["once", "busybox", "sh", "-c", POLITE]))
        .ok();
    engine
        .corten(
            RUN.iter()
                .chain(&["always", "--restart=always", "busybox", "sh", "-c", POLITE]),
        )
        .ok();
    engine
        .corten(RUN.iter().chain(&[
            "deaf",
            "--stop-timeout=1",
            "busybox",
            "sh",
            "-c",
            "trap '' TERM; echo ready; sleep 1000",
        ]))
        .ok();
    engine
        .corten(RUN.iter().chain(&["paused", "busybox", "sleep", "1000"]))
        .ok();
    engine.corten(["pause", "paused"]).ok();
    for name in ["once", "always", "deaf"] {
        until::is("its signals are caught", || {
            engine.corten(["logs", name]).ok() == "ready\n"
        });
    }
    let pids: Vec<_> = ["once", "always", "deaf", "paused"]
        .map(|name| engine.inspect(name, "{{.State.Pid}}"))
        .to_vec();
    engine.stop();
    for pid in pids {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "{pid} still runs"
        );
    }
    engine.launch();
    engine.wait_for("always", "{{.State.Running}}", "true");
    assert_eq!(
        engine.inspect("once", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 7"
    );
    assert_eq!(
        engine.inspect("deaf", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 137"
    );
    assert_eq!(engine.inspect("paused", "{{.State.Status}}"), "exited");
}
