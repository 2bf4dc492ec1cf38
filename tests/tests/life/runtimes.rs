//! Containers that Debian's runc and crun run: all works as with our own runtime.

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

const RUNTIMES: [(&str, &str); 2] = [("runc", "/usr/sbin/runc"), ("crun", "/usr/bin/crun")];

/// Does the same with an engine whose default runtime is the one, and with the other.
fn with_each(check: impl Fn(&Engine, &str)) {
    for (name, path) in RUNTIMES {
        assert!(std::path::Path::new(path).exists(), "install the package {name}");
        let flags = [
            "--add-runtime".to_owned(),
            format!("{name}={path}"),
            "--default-runtime".to_owned(),
            name.to_owned(),
        ];
        let engine = Engine::start_with(Options {
            flags: flags.to_vec(),
            ..Options::default()
        });
        engine.corten(["pull", "-q", "busybox"]).ok();
        check(&engine, name);
    }
}

/// A container that runs until it is stopped.
fn run(engine: &Engine, more: &[&str], command: &str) {
    let args = ["run", "-d", "--name", "web", "--stop-timeout", "0"];
    let command = ["busybox", "sh", "-c", command];
    engine.corten(args.iter().chain(more).chain(&command)).ok();
}

#[test]
fn streams_terminals_and_exit_codes() {
    with_each(|engine, name| {
        let script = "cat; echo no >&2; id -u; exit 7";
        let run = engine.corten(["run", "--rm", "-i", "-u", "33", "busybox", "sh", "-c", script]);
        let finished = run.stdin("typed\n").run();
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str(), finished.code),
            ("typed\n33\n", "no\n", 7)
        );
        let missing = engine.corten(["run", "--rm", "busybox", "nosuch"]).fails(127);
        assert!(
            missing.contains(&format!("OCI runtime create failed: {name} create failed: ")),
            "{missing}"
        );
        let mut terminal = engine.terminal([
            "run",
            "--rm",
            "-it",
            "busybox",
            "sh",
            "-c",
            "stty size; read x; echo $x$x",
        ]);
        terminal.expect("24 80");
        terminal.send("ab\n");
        terminal.expect("abab");
        assert_eq!(engine.corten(["info", "-f", "{{.DefaultRuntime}}"]).line(), name);
    });
}

#[test]
fn execs_limits_and_pauses() {
    with_each(|engine, name| {
        run(engine, &["-m", "32m", "--hostname", "host"], "hostname; sleep 1000");
        assert_eq!(engine.inspect("web", "{{.HostConfig.Runtime}}"), name);
        let exec = engine
            .corten(["exec", "-i", "-e", "A=b", "web", "sh", "-c", "cat; echo $A; exit 5"])
            .stdin("x\n")
            .run();
        assert_eq!((exec.stdout.as_str(), exec.code), ("x\nb\n", 5));
        let missing = engine.corten(["exec", "web", "nosuch"]).run();
        assert_eq!(missing.code, 127, "{}", missing.stdout);
        // Not every runtime sets the terminal's size before the program runs; then our shim does, a moment later.
        let script = "until stty size 2>/dev/null; do sleep 0.02; done; read x; echo $x$x";
        let mut terminal = engine.terminal(["exec", "-it", "web", "sh", "-c", script]);
        terminal.expect("24 80");
        terminal.send("cd\n");
        terminal.expect("cdcd");
        let limit = |expected: &str| {
            let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true";
            let limit = engine.corten(["exec", "web", "sh", "-c", script]).line();
            assert_eq!(limit, expected);
        };
        limit("33554432");
        engine
            .corten(["update", "-m", "40m", "--memory-swap", "80m", "web"])
            .ok();
        limit("41943040");
        let stats = engine
            .corten(["stats", "--no-stream", "--format", "{{.MemUsage}}", "web"])
            .line();
        assert!(stats.ends_with("/ 40MiB"), "{stats}");
        assert!(engine.corten(["top", "web"]).ok().contains("sleep 1000"));
        engine.corten(["pause", "web"]).ok();
        assert_eq!(engine.inspect("web", "{{.State.Status}}"), "paused");
        engine.corten(["unpause", "web"]).ok();
        assert_eq!(engine.corten(["logs", "web"]).ok(), "host\n");
    });
}

#[test]
fn restarts_and_another_engine() {
    with_each(|engine, _| {
        run(
            engine,
            &[
                "--restart",
                "on-failure",
                "--health-cmd",
                "true",
                "--health-interval",
                "100ms",
            ],
            "trap 'exit 3' USR1; sleep 1000 & wait",
        );
        engine.wait_for("web", "{{.State.Health.Status}}", "healthy");
        crate::catches_usr1(engine, "web");
        engine.corten(["kill", "-s", "USR1", "web"]).ok();
        engine.wait_for("web", "{{.State.Status}} {{.RestartCount}}", "running 1");
        engine.kill();
        engine.launch();
        assert_eq!(engine.inspect("web", "{{.State.Status}}"), "running");
        assert_eq!(engine.corten(["exec", "web", "echo", "still"]).line(), "still");
        engine.corten(["stop", "web"]).ok();
        assert_eq!(
            engine.inspect("web", "{{.State.Status}} {{.State.ExitCode}}"),
            "exited 137"
        );
        engine.corten(["start", "web"]).ok();
        // A shim that is killed takes its container with it, and the next start finds nothing in its way.
        let shim = engine
            .sh(&format!("ps -o ppid= -p {}", engine.inspect("web", "{{.State.Pid}}")))
            .line();
        engine.corten(["update", "--restart", "no", "web"]).ok();
        engine.sh(&format!("kill -9 {}", shim.trim())).ok();
        engine.wait_for("web", "{{.State.Status}}", "exited");
        engine.corten(["start", "web"]).ok();
        engine.corten(["rm", "-f", "web"]).ok();
    });
}

#[test]
fn the_file_registers_runtimes_and_unknown_ones_are_refused() {
    let config = r#"{"runtimes": {"crun": {"path": "crun", "runtimeArgs": ["--debug"]}, "gone": {"path": "/nosuch"}}}"#;
    let engine = Engine::start_with(Options {
        config: Some(config.to_owned()),
        ..Options::default()
    });
    assert_eq!(
        engine
            .corten(["run", "--rm", "--runtime", "crun", "busybox", "echo", "hi"])
            .line(),
        "hi"
    );
    let info = engine
        .corten([
            "info",
            "-f",
            "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}{{.DefaultRuntime}}",
        ])
        .line();
    assert_eq!(info, "corten crun gone runc corten");
    let unknown = engine
        .corten(["run", "--runtime", "kata", "busybox", "true"])
        .fails(125);
    assert!(unknown.contains("unknown or invalid runtime name: kata"), "{unknown}");
    let gone = engine
        .corten(["run", "--name", "gone", "--runtime", "gone", "busybox", "true"])
        .fails(127);
    assert!(
        gone.contains("\"/nosuch\": executable file not found in $PATH"),
        "{gone}"
    );
    until::is("it did not start", || {
        engine.inspect("gone", "{{.State.Status}}") == "created"
    });
}
