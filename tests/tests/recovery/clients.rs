//! Clients that are attached while the engine dies: their sockets belong to the shims.

use corten_tests::engine::Engine;

#[test]
fn a_terminal_goes_on() {
    let engine = Engine::start();
    let mut shell = engine.terminal(["run", "-it", "--name", "box", "busybox", "sh"]);
    shell.expect("# ");
    engine.kill();
    shell.send("echo still-$((20+1))\n");
    shell.expect("still-21");
    engine.launch();
    shell.send("echo again-$((20+2))\n");
    shell.expect("again-22");
    shell.send("exit 7\n");
    assert_eq!(shell.wait(), 7);
    assert!(shell.is_cooked());
    assert_eq!(engine.inspect("box", "{{.State.ExitCode}}"), "7");
}

#[test]
fn a_pipe_goes_on() {
    let engine = Engine::start();
    let script = "while read line; do echo got $line; done; exit 9";
    let mut run = engine
        .corten(["run", "-i", "--name", "box", "busybox", "sh", "-c", script])
        .spawn();
    run.write("one\n");
    run.wait_for("got one");
    engine.kill();
    run.write("two\n");
    run.wait_for("got two");
    run.close_stdin();
    engine.launch();
    let finished = run.wait();
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (9, "got one\ngot two\n"),
        "{finished}"
    );
    assert_eq!(engine.corten(["logs", "box"]).ok(), "got one\ngot two\n");
}

#[test]
fn an_attached_client_goes_on() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "-di",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "while read l; do echo got $l; done",
        ])
        .ok();
    let mut attached = engine.corten(["attach", "box"]).spawn();
    attached.write("one\n");
    attached.wait_for("got one");
    engine.kill();
    attached.write("two\n");
    attached.wait_for("got two");
    engine.launch();
    attached.write("three\n");
    attached.wait_for("got three");
    engine.corten(["stop", "-t", "0", "box"]).ok();
    assert_eq!(attached.wait().code, 137);
}

#[test]
fn an_exec_goes_on() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sleep", "1000"])
        .ok();
    let mut shell = engine.terminal(["exec", "-it", "box", "sh"]);
    shell.expect("# ");
    engine.kill();
    shell.send("echo still-$((20+1))\n");
    shell.expect("still-21");
    engine.launch();
    shell.send("echo again-$((20+2))\n");
    shell.expect("again-22");
    assert!(engine.corten(["top", "box"]).ok().contains("sh"));
}
