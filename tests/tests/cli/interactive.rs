//! Sessions on a terminal, and programs at the end of pipes.

use corten_tests::engine::Engine;
use corten_tests::until;
use rustix::process::Signal;

#[test]
fn the_window_s_size_is_followed() {
    let engine = Engine::start();
    let mut shell = engine.terminal(["run", "-it", "--rm", "busybox", "sh"]);
    shell.expect("# ");
    shell.send("stty size\n");
    shell.expect("24 80");
    shell.resize(40, 100);
    shell.send("while [ \"$(stty size)\" != '40 100' ]; do sleep 0.05; done; echo fol''lowed\n");
    shell.expect("followed");
    shell.send("exit\n");
    assert_eq!(shell.wait(), 0);
    assert!(shell.is_cooked());
}

#[test]
fn ctrl_c_goes_to_the_program() {
    let engine = Engine::start();
    let mut shell = engine.terminal([
        "run",
        "-it",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "trap 'echo caught; exit 5' INT; echo re''ady; while :; do sleep 0.1; done",
    ]);
    shell.expect("ready");
    shell.send([3]);
    shell.expect("caught");
    assert_eq!(shell.wait(), 5);
}

#[test]
fn detaching_leaves_the_container_running() {
    let engine = Engine::start();
    let mut shell = engine.terminal(["run", "-it", "--name", "kept", "busybox", "sh"]);
    shell.expect("# ");
    shell.send([16, 17]);
    assert_eq!(shell.wait(), 0);
    assert!(shell.is_cooked());
    assert_eq!(engine.inspect("kept", "{{.State.Status}}"), "running");
    let mut back = engine.terminal(["attach", "kept"]);
    back.send("echo ba''ck\n");
    back.expect("back");
    back.send("exit 6\n");
    assert_eq!(back.wait(), 6);
}

#[test]
fn detach_keys_can_be_chosen() {
    let engine = Engine::start();
    let mut shell = engine.terminal([
        "run",
        "-it",
        "--detach-keys",
        "ctrl-x,x",
        "--name",
        "kept",
        "busybox",
        "sh",
    ]);
    shell.expect("# ");
    shell.send([24]);
    shell.send("x");
    assert_eq!(shell.wait(), 0);
    assert_eq!(engine.inspect("kept", "{{.State.Status}}"), "running");
}

#[test]
fn exec_detaches_too() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "host", "busybox", "sleep", "300"])
        .ok();
    let mut shell = engine.terminal(["exec", "-it", "host", "sh"]);
    shell.expect("# ");
    shell.send([16, 17]);
    // Docker's answer to leaving an exec, unlike a container.
    shell.expect("read escape sequence");
    assert_eq!(shell.wait(), 1);
    assert!(shell.is_cooked());
}

#[test]
fn the_terminal_is_given_back_when_the_client_is_terminated() {
    let engine = Engine::start();
    let mut shell = engine.terminal(["run", "-it", "--name", "one", "busybox", "sh"]);
    shell.expect("# ");
    assert!(!shell.is_cooked());
    engine.corten(["rm", "-f", "one"]).ok();
    assert_eq!(shell.wait(), 137);
    assert!(shell.is_cooked());
}

#[test]
fn data_is_piped_through_and_half_closed() {
    let engine = Engine::start();
    let sorted = engine
        .corten(["run", "-i", "--rm", "busybox", "sort"])
        .stdin("b\na\n")
        .ok();
    assert_eq!(sorted, "a\nb\n");
    let big: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(
        engine
            .corten(["run", "-i", "--rm", "busybox", "cat"])
            .stdin(big.clone())
            .ok(),
        big
    );
    engine
        .corten(["run", "-d", "--name", "host", "busybox", "sleep", "300"])
        .ok();
    assert_eq!(
        engine.corten(["exec", "-i", "host", "cat"]).stdin(big.clone()).ok(),
        big
    );
}

#[test]
fn signals_are_passed_on() {
    let engine = Engine::start();
    let script = "trap 'echo usr1; exit 7' USR1; echo ready; while :; do sleep 0.1; done";
    let mut running = engine
        .corten(["run", "--name", "one", "busybox", "sh", "-c", script])
        .spawn();
    running.wait_for("ready");
    running.signal(Signal::USR1);
    let finished = running.wait();
    assert_eq!((finished.code, finished.stdout.as_str()), (7, "ready\nusr1\n"));
}

#[test]
fn a_client_that_goes_away_leaves_the_container() {
    let engine = Engine::start();
    let script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
    let mut running = engine
        .corten(["run", "--name", "one", "busybox", "sh", "-c", script])
        .spawn();
    running.wait_for("2");
    running.signal(Signal::KILL);
    running.wait();
    until::is("it goes on", || {
        engine.corten(["logs", "one"]).ok().lines().count() > 10
    });
    assert_eq!(engine.inspect("one", "{{.State.Status}}"), "running");
}

#[test]
fn exit_codes_are_dockers() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    for (arguments, code) in [
        (["run", "--rm", "busybox", "sh", "-c", "exit 42"].as_slice(), 42),
        (&["run", "--rm", "busybox", "/etc"], 126),
        (&["run", "--rm", "busybox", "nosuch"], 127),
        (&["run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$"], 143),
        (&["run", "--rm", "--nosuch", "busybox"], 125),
        (&["inspect", "nosuch"], 1),
    ] {
        engine.corten(arguments).fails(code);
    }
}
