//! How containers end: asked, told, out of memory.

use corten_tests::engine::Engine;
use corten_tests::until;

#[test]
fn stop_asks_first() {
    let engine = Engine::start();
    let script = "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    engine
        .corten(["run", "-d", "--name", "polite", "busybox", "sh", "-c", script])
        .ok();
    until::is("it is ready", || engine.corten(["logs", "polite"]).ok() == "ready\n");
    engine.corten(["stop", "polite"]).ok();
    assert_eq!(
        engine.inspect("polite", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 5"
    );
    assert_eq!(engine.corten(["logs", "polite"]).ok(), "ready\nasked\n");
}

#[test]
fn stop_kills_what_does_not_listen() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "deaf",
            "--stop-timeout",
            "0",
            "busybox",
            "sleep",
            "300",
        ])
        .ok();
    engine.corten(["stop", "deaf"]).ok();
    assert_eq!(engine.inspect("deaf", "{{.State.ExitCode}}"), "137");
}

#[test]
fn stop_uses_the_signal_that_was_chosen() {
    let engine = Engine::start();
    let script = "trap 'exit 6' USR1; echo ready; while :; do sleep 0.05; done";
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "chosen",
            "--stop-signal",
            "USR1",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    until::is("it is ready", || engine.corten(["logs", "chosen"]).ok() == "ready\n");
    engine.corten(["stop", "chosen"]).ok();
    assert_eq!(engine.inspect("chosen", "{{.State.ExitCode}}"), "6");
}

#[test]
fn kill_sends_signals_by_name_and_number() {
    let engine = Engine::start();
    let script = "trap 'echo hup' HUP; trap 'echo int' INT; echo ready; while :; do sleep 0.05; done";
    engine
        .corten(["run", "-d", "--name", "ears", "busybox", "sh", "-c", script])
        .ok();
    until::is("it is ready", || engine.corten(["logs", "ears"]).ok() == "ready\n");
    engine.corten(["kill", "-s", "SIGHUP", "ears"]).ok();
    until::is("it hears the name", || {
        engine.corten(["logs", "ears"]).ok() == "ready\nhup\n"
    });
    engine.corten(["kill", "-s", "2", "ears"]).ok();
    until::is("it hears the number", || {
        engine.corten(["logs", "ears"]).ok() == "ready\nhup\nint\n"
    });
    engine.corten(["kill", "ears"]).ok();
    assert_eq!(engine.corten(["wait", "ears"]).ok(), "137\n");
}

#[test]
fn pause_freezes_and_unpause_thaws() {
    let engine = Engine::start();
    let script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
    engine
        .corten(["run", "-d", "--name", "counts", "busybox", "sh", "-c", script])
        .ok();
    engine.corten(["pause", "counts"]).ok();
    assert!(engine.corten(["ps"]).ok().contains("(Paused)"));
    let lines = || engine.corten(["logs", "counts"]).ok().lines().count();
    // What was written before may still be on its way to the log.
    let frozen = until::some("it stands still", || {
        let before = lines();
        std::thread::park_timeout(std::time::Duration::from_millis(150));
        (lines() == before).then_some(before)
    });
    engine.corten(["unpause", "counts"]).ok();
    until::is("it counts on", || lines() > frozen);
}

#[test]
fn lack_of_memory_is_told() {
    let engine = Engine::start();
    let script = "head -c 200m /dev/zero | tail";
    let finished = engine
        .corten([
            "run",
            "--name",
            "hungry",
            "-m",
            "24m",
            "--memory-swap",
            "24m",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .run();
    assert_ne!(finished.code, 0, "{finished}");
    assert_eq!(engine.inspect("hungry", "{{.State.OOMKilled}}"), "true");
    // Durations are cut to whole seconds, as Docker does; this is not.
    let now = engine.sh("date +%s.%N").line();
    let events = engine
        .corten(["events", "--since", "10m", "--until", &now, "--format", "{{.Action}}"])
        .ok();
    assert!(events.lines().any(|action| action == "oom"), "{events}");
}

#[test]
fn limits_arrive_in_the_cgroups() {
    let engine = Engine::start();
    let options = [
        "run",
        "-d",
        "--name",
        "limited",
        "-m",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "50",
        "--cpuset-cpus",
        "0",
    ];
    engine
        .corten(options.into_iter().chain(["busybox", "sleep", "300"]))
        .ok();
    let id = engine.inspect("limited", "{{.Id}}");
    let parent = engine.cgroup_parent();
    let read = |v1: &str, v2: &str| {
        let script = format!("cat /sys/fs/cgroup/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}");
        let script = script.replace("GROUP", &format!("{parent}/{id}"));
        engine.sh(&script).line()
    };
    assert_eq!(
        read("memory/GROUP/memory.limit_in_bytes", "GROUP/memory.max"),
        "67108864"
    );
    assert_eq!(read("pids/GROUP/pids.max", "GROUP/pids.max"), "50");
    assert_eq!(read("cpuset/GROUP/cpuset.cpus", "GROUP/cpuset.cpus"), "0");
    let quota = read("cpu/GROUP/cpu.cfs_quota_us", "GROUP/cpu.max");
    assert!(quota.starts_with("50000"), "{quota}");
}

#[test]
fn forty_containers_at_once_leave_nothing() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..10 {
                    let name = format!("c{client}-{number}");
                    engine
                        .corten(["run", "-d", "--name", &name, "busybox", "sleep", "300"])
                        .ok();
                }
            });
        }
    });
    let ids = engine.corten(["ps", "-q"]).ok();
    assert_eq!(ids.lines().count(), 40);
    let addresses = engine.corten(
        ["inspect", "-f", "{{.NetworkSettings.IPAddress}}"]
            .into_iter()
            .chain(ids.lines()),
    );
    let addresses = addresses.ok();
    let different: std::collections::BTreeSet<&str> = addresses.lines().collect();
    assert_eq!(different.len(), 40, "{addresses}");
    engine.corten(["rm", "-f"].into_iter().chain(ids.lines())).ok();
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}
