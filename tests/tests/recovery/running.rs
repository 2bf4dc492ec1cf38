//! Containers that run while engines are killed.

use std::time::Instant;

use corten_tests::engine::Engine;
use corten_tests::process::{is_alive, kill};
use corten_tests::until;

use crate::scene::{web, web_answers};

#[test]
fn no_line_of_the_log_is_lost_and_none_comes_twice() {
    let engine = Engine::start();
    let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo line $i; done";
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    let mut crashes = 0;
    while engine.inspect("box", "{{.State.Status}}") == "running" || crashes < 3 {
        engine.crash();
        crashes += 1;
    }
    engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 0");
    let log = engine.corten(["logs", "box"]).ok();
    for (at, line) in log.lines().enumerate() {
        assert_eq!(line, format!("line {}", at + 1), "after {crashes} crashes");
    }
    assert_eq!(log.lines().count(), 100_000);
}

#[test]
fn everything_works_on_after_the_engine_s_death() {
    let engine = Engine::start();
    engine.corten(web("run")).ok();
    web_answers(&engine);
    let all = "{{.State.StartedAt}} {{.State.Pid}} {{.NetworkSettings.IPAddress}} {{.NetworkSettings.Ports}}";
    let before = engine.inspect("web", all);
    engine
        .corten(["run", "-d", "--name", "frozen", "busybox", "sleep", "1000"])
        .ok();
    engine.corten(["pause", "frozen"]).ok();
    engine.kill();
    web_answers(&engine);
    engine.launch();
    assert_eq!(engine.inspect("web", all), before);
    web_answers(&engine);
    assert_eq!(engine.inspect("frozen", "{{.State.Status}}"), "paused");
    engine.corten(["unpause", "frozen"]).ok();
    let taken = engine
        .corten(["run", "--rm", "-p", "8080:80", "busybox", "true"])
        .fails(125);
    assert!(taken.contains("port is already allocated"), "{taken}");
    engine.corten(["rename", "web", "site"]).ok();
    engine
        .corten(["update", "-m", "64m", "--memory-swap", "-1", "site"])
        .ok();
    engine.corten(["restart", "-t", "0", "site"]).ok();
    web_answers(&engine);
    engine.corten(["kill", "frozen"]).ok();
    assert_eq!(engine.corten(["wait", "frozen"]).ok(), "137\n");
}

#[test]
fn a_killed_shim_ends_its_container() {
    let engine = Engine::start();
    engine
        .corten([
            "run", "-d", "--name", "box", "-p", "8080:80", "busybox", "sleep", "1000",
        ])
        .ok();
    let first = engine.first_pid("box");
    kill(engine.shim("box"));
    engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    until::is("its process is gone", || !is_alive(first));
    assert!(engine.log().contains("shim was killed"), "{}", engine.log());
    engine.corten(["start", "box"]).ok();
    assert_eq!(engine.inspect("box", "{{.State.Status}}"), "running");
    engine.corten(["rm", "-f", "box"]).ok();
}

#[test]
fn a_shim_killed_with_the_engine_ends_its_container() {
    let engine = Engine::start();
    let script = "sleep 1000 & sleep 1000 & wait";
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    let (first, shim) = (engine.first_pid("box"), engine.shim("box"));
    engine.kill();
    kill(shim);
    until::is("the shim is gone", || !is_alive(shim));
    engine.launch();
    engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    until::is("its process is gone", || !is_alive(first));
    engine.corten(["rm", "box"]).ok();
}

#[test]
fn twenty_containers_are_taken_up_at_once() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    for number in 0..20 {
        let port = format!("{}:80", 9000 + number);
        engine
            .corten([
                "run", "-d", "-p", &port, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc",
            ])
            .ok();
    }
    engine.kill();
    let begun = Instant::now();
    engine.launch();
    let took = begun.elapsed();
    eprintln!("an engine took up 20 containers in {took:?}");
    assert_eq!(engine.corten(["ps", "-q"]).ok().lines().count(), 20);
    for number in 0..20 {
        let url = format!("http://127.0.0.1:{}/hostname", 9000 + number);
        until::is("it answers", || engine.try_curl(&url).is_some());
    }
}
