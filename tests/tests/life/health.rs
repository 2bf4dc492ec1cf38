//! Health checks, and the restart policy that follows them.

use corten_tests::engine::Engine;
use corten_tests::until;

/// Runs a container that is probed ten times a second.
fn run(engine: &Engine, name: &str, command: &str, more: &[&str]) {
    let mut args = vec!["run", "-d", "--name", name, "--stop-timeout", "0"];
    args.extend(["--health-cmd", command, "--health-interval", "100ms"]);
    args.extend(more);
    args.extend(["busybox", "sleep", "1000"]);
    engine.corten(args).ok();
}

fn becomes(engine: &Engine, name: &str, status: &str) {
    engine.wait_for(name, "{{.State.Health.Status}}", status);
}

fn sh(engine: &Engine, name: &str, script: &str) {
    engine.corten(["exec", name, "sh", "-c", script]).ok();
}

#[test]
fn probes_decide_what_lists_inspections_and_events_say() {
    let engine = Engine::start();
    run(&engine, "web", "test -e /well && echo fine", &["--health-retries", "2"]);
    let format = ["ps", "--format", "{{.Names}} {{.Status}}", "--filter"];
    let list = |filter: &str| engine.corten(format.iter().copied().chain([filter])).ok();
    assert!(list("health=starting").contains("(health: starting)") || list("health=unhealthy").contains("(unhealthy)"));
    becomes(&engine, "web", "unhealthy");
    sh(&engine, "web", "touch /well");
    becomes(&engine, "web", "healthy");
    assert!(list("health=healthy").contains("(healthy)"));
    assert_eq!(list("health=unhealthy"), "");
    // The log's last, of as many as there were until now.
    let probe = "{{.State.Health.FailingStreak}}{{range .State.Health.Log}} {{.ExitCode}} {{json .Output}}{{end}}";
    until::is("the log has it", || {
        engine.inspect("web", probe).ends_with(" 0 \"fine\\n\"")
    });
    assert!(engine.inspect("web", probe).starts_with('0'));
    sh(&engine, "web", "rm /well");
    becomes(&engine, "web", "unhealthy");
    let events = engine
        .corten(["events", "--since", "1h", "--until", "-1s", "--format", "{{.Action}}"])
        .ok();
    let told: Vec<_> = events.lines().filter(|line| line.starts_with("health")).collect();
    let expected = [
        "health_status: unhealthy",
        "health_status: healthy",
        "health_status: unhealthy",
    ];
    assert_eq!(told, expected);
    for verb in [
        "exec_create: /bin/sh -c test",
        "exec_start: /bin/sh -c test",
        "exec_die",
    ] {
        assert!(events.contains(verb), "{verb} is missing in:\n{events}");
    }
    // What does not run is not probed, and nothing of the probes is left.
    engine.corten(["stop", "web"]).ok();
    assert_eq!(engine.inspect("web", "{{.State.Health.Status}}"), "unhealthy");
    assert_eq!(engine.inspect("web", "{{.ExecIDs}}"), "[]");
    let refused = engine.corten(["ps", "--filter", "health=well"]).fails(1);
    assert!(
        refused.contains("must be one of none, starting, healthy, unhealthy"),
        "{refused}"
    );
}

#[test]
fn a_probe_that_hangs_is_killed_with_all_that_it_started() {
    let engine = Engine::start();
    run(
        &engine,
        "slow",
        "echo begun; sleep 777",
        &["--health-timeout", "1s", "--health-retries", "1"],
    );
    becomes(&engine, "slow", "unhealthy");
    let output = "{{(index .State.Health.Log 0).ExitCode}} {{json (index .State.Health.Log 0).Output}}";
    let expected = "-1 \"Health check exceeded timeout (1s): begun\\n\"";
    engine.wait_for("slow", output, expected);
    engine.wait_for("slow", "{{len .State.Health.Log}}", "5");
    // The shell and its child of the probe that runs at the moment, if one does.
    until::is("no others are left", || {
        engine.corten(["top", "slow"]).ok().matches("sleep 777").count() <= 2
    });
}

#[test]
fn a_paused_container_is_not_probed() {
    let engine = Engine::start();
    run(&engine, "web", "true", &[]);
    becomes(&engine, "web", "healthy");
    engine.corten(["pause", "web"]).ok();
    let state = "{{.State.Health.Status}} {{json .State.Health.Log}}";
    let before = engine.inspect("web", state);
    assert!(before.starts_with("unhealthy "), "{before}");
    assert!(engine.corten(["ps"]).ok().contains("(Paused)"));
    engine.corten(["unpause", "web"]).ok();
    becomes(&engine, "web", "healthy");
    assert_ne!(
        engine.inspect("web", state).trim_start_matches("healthy"),
        before.trim_start_matches("unhealthy")
    );
}

#[test]
fn the_last_five_outputs_are_kept_and_long_ones_cut() {
    let engine = Engine::start();
    run(
        &engine,
        "loud",
        "yes | head -c 5000; exit 3",
        &["--health-start-period", "1h", "--health-start-interval", "50ms"],
    );
    engine.wait_for("loud", "{{len .State.Health.Log}}", "5");
    // In the start period failures do not count.
    assert_eq!(
        engine.inspect("loud", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"),
        "starting 0"
    );
    let output = engine.inspect("loud", "{{(index .State.Health.Log 4).Output}}");
    let output = engine.inspect("loud", "{{len (index .State.Health.Log 4).Output}}") + &output[output.len() - 3..];
    assert_eq!(output, "4099...");
}

#[test]
fn an_image_brings_its_check_and_flags_change_it() {
    let engine = Engine::start();
    engine.corten(["pull", "busybox"]).ok();
    let script = "corten create --name of busybox && corten export of | corten import \
                  -c 'HEALTHCHECK --interval=100ms --retries=9 CMD [\"true\"]' -c 'CMD [\"sleep\", \"1000\"]' - checked";
    engine
        .sh(&script.replace("corten", &corten_tests::programs::corten().display().to_string()))
        .ok();
    engine
        .corten(["run", "-d", "--name", "own", "--stop-timeout", "0", "checked"])
        .ok();
    becomes(&engine, "own", "healthy");
    let check = "{{json .Config.Healthcheck}}";
    let own = "{\"Test\":[\"CMD\",\"true\"],\"Interval\":100000000,\"Retries\":9}";
    assert_eq!(engine.inspect("own", check), own);
    engine
        .corten(["create", "--name", "changed", "--health-retries", "2", "checked"])
        .ok();
    assert_eq!(engine.inspect("changed", check), own.replace('9', "2"));
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "none",
            "--stop-timeout",
            "0",
            "--no-healthcheck",
            "checked",
        ])
        .ok();
    assert_eq!(engine.inspect("none", "{{json .State.Health}}"), "null");
    let listed = engine
        .corten(["ps", "--filter", "health=none", "--format", "{{.Names}}"])
        .line();
    assert_eq!(listed, "none");
    let short = engine
        .corten(["create", "--health-interval", "10us", "busybox"])
        .fails(1);
    assert!(
        short.contains("Interval in Healthcheck cannot be less than 1ms"),
        "{short}"
    );
}

#[test]
fn health_outlives_the_engine() {
    let engine = Engine::start();
    run(&engine, "web", "test ! -e /ill", &["--health-retries", "1"]);
    becomes(&engine, "web", "healthy");
    engine.kill();
    engine.launch();
    assert_eq!(engine.inspect("web", "{{.State.Health.Status}}"), "healthy");
    sh(&engine, "web", "touch /ill");
    becomes(&engine, "web", "unhealthy");
}

#[test]
fn a_hanging_probe_of_a_killed_engine_is_killed_by_the_next() {
    let engine = Engine::start();
    run(&engine, "slow", "sleep 777", &["--health-timeout", "1h"]);
    let probes = || engine.corten(["top", "slow"]).ok().matches("sleep 777").count();
    until::is("a probe runs", || probes() > 0);
    engine.kill();
    engine
        .corten(["version"])
        .env("CORTEN_HOST", "unix:///nowhere")
        .fails(1);
    engine.launch();
    // A shell and its child, of the next engine's probe alone.
    until::is("one probe is left", || probes() <= 2);
}

#[test]
fn an_unhealthy_container_is_restarted_by_its_policy() {
    let engine = Engine::start();
    // It is well once it was restarted twice: a process 1 that began at a third time is good.
    let script = "trap \"exit 4\" USR1; sleep 1000 & wait";
    let check = "cut -d' ' -f22 /proc/1/stat >>/runs; test $(sort -u /runs | wc -l) -ge 3";
    let mut args = vec![
        "run",
        "-d",
        "--name",
        "web",
        "--restart",
        "on-unhealthy",
        "--stop-timeout",
        "0",
    ];
    args.extend([
        "--health-cmd",
        check,
        "--health-interval",
        "100ms",
        "--health-retries",
        "1",
    ]);
    args.extend(["busybox", "sh", "-c", script]);
    engine.corten(args).ok();
    engine.wait_for("web", "{{.State.Health.Status}} {{.RestartCount}}", "healthy 2");
    // And as on-failure: it is started again when it fails.
    crate::catches_usr1(&engine, "web");
    engine.corten(["kill", "-s", "USR1", "web"]).ok();
    engine.wait_for(
        "web",
        "{{.State.Status}} {{.State.Health.Status}} {{.RestartCount}}",
        "running healthy 3",
    );
    engine.corten(["stop", "web"]).ok();
    assert_eq!(engine.inspect("web", "{{.State.Status}}"), "exited");
}

#[test]
fn on_unhealthy_gives_up_after_its_times() {
    let engine = Engine::start();
    run(
        &engine,
        "ill",
        "false",
        &["--restart", "on-unhealthy:1", "--health-retries", "1"],
    );
    engine.wait_for(
        "ill",
        "{{.State.Status}} {{.State.Health.Status}} {{.RestartCount}}",
        "running unhealthy 1",
    );
    let policy = engine.inspect("ill", "{{json .HostConfig.RestartPolicy}}");
    assert_eq!(policy, "{\"Name\":\"on-unhealthy\",\"MaximumRetryCount\":1}");
    let refused = engine
        .corten(["create", "--restart", "on-unhealthy:-1", "busybox"])
        .fails(1);
    assert!(refused.contains("maximum retry count cannot be negative"), "{refused}");
    let warned = engine.corten(["create", "--restart", "on-unhealthy", "busybox"]).run();
    assert!(warned.stderr.contains("has no health check"), "{}", warned.stderr);
}
