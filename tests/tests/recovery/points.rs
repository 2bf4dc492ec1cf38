//! The engine kills itself at each of its named points (`crates/engine/src/crash.rs`).

use corten_tests::engine::{Engine, Options};
use corten_tests::until;

/// An engine that will die at a point, with busybox pulled by one that did not.
fn doomed(point: &str) -> Engine {
    let mut options = Options::default();
    options.env.push(("CORTEN_CRASH_AT".into(), point.into()));
    Engine::start_with(options)
}

/// Starts the engine again, without the point.
fn again(engine: &Engine) {
    engine.wait_end();
    engine.relaunch_without("CORTEN_CRASH_AT");
}

/// Whatever happened to a container: it can be removed, its name used again, and that one runs.
fn can_go_on(engine: &Engine, name: &str) {
    let removed = engine.corten(["rm", "-f", name]).run();
    assert_eq!(removed.code, 0, "{removed}");
    let seen = engine.corten(["run", "--rm", "--name", name, "busybox", "echo", "on"]).ok();
    assert_eq!(seen, "on\n");
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn while_creating() {
    for point in ["create:folder", "create:snapshot", "create:recorded"] {
        let engine = doomed(point);
        engine.corten(["pull", "-q", "busybox"]).ok();
        engine.corten(["create", "--name", "one", "-v", "/vol", "busybox", "true"]).run();
        again(&engine);
        let there = engine.corten(["ps", "-aq"]).ok();
        assert_eq!(there.is_empty(), point != "create:recorded", "{point}: {there:?}");
        can_go_on(&engine, "one");
    }
}

#[test]
fn while_starting() {
    for point in ["start:prepared", "start:running", "start:recorded"] {
        let engine = doomed(point);
        engine.corten(["pull", "-q", "busybox"]).ok();
        engine.corten(["create", "--name", "one", "-p", "8080:80", "busybox", "sleep", "300"]).ok();
        engine.corten(["start", "one"]).run();
        again(&engine);
        let state = engine.inspect("one", "{{.State.Status}}");
        if point == "start:prepared" {
            // The shim was there and had not been told to start: it may not run by itself.
            assert_eq!(state, "created", "{point}");
            engine.corten(["start", "one"]).ok();
        } else {
            assert_eq!(state, "running", "{point}");
        }
        assert_eq!(engine.corten(["exec", "one", "echo", "alive"]).ok(), "alive\n", "{point}");
        assert_eq!(engine.inspect("one", "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}"), "8080");
        can_go_on(&engine, "one");
    }
}

#[test]
fn while_stopping() {
    for point in ["stop:noted", "stop:signalled"] {
        let engine = doomed(point);
        engine.corten(["run", "-d", "--name", "one", "--restart", "always", "busybox", "sleep", "300"]).ok();
        engine.corten(["stop", "-t", "0", "one"]).run();
        again(&engine);
        // It was told to stop: either it still runs, or it has ended; but nobody starts it again.
        let state = engine.inspect("one", "{{.State.Status}} {{.RestartCount}}");
        assert!(["running 0", "exited 0"].contains(&&*state), "{point}: {state}");
        engine.corten(["stop", "-t", "0", "one"]).ok();
        assert_eq!(engine.inspect("one", "{{.State.Status}}"), "exited");
        can_go_on(&engine, "one");
    }
}

#[test]
fn while_a_container_ends() {
    for point in ["end:seen", "end:recorded", "end:released"] {
        let engine = doomed(point);
        engine.corten(["run", "-d", "--name", "one", "-p", "8080:80", "busybox", "sh", "-c", "echo bye; exit 7"]).run();
        again(&engine);
        engine.wait_for("one", "{{.State.Status}} {{.State.ExitCode}}", "exited 7");
        assert_eq!(engine.corten(["logs", "one"]).ok(), "bye\n", "{point}");
        can_go_on(&engine, "one");
        // Its port is free.
        engine.corten(["run", "--rm", "-p", "8080:80", "busybox", "true"]).ok();
    }
}

#[test]
fn while_removing() {
    for point in ["remove:noted", "remove:snapshot", "remove:volumes"] {
        let engine = doomed(point);
        engine.corten(["pull", "-q", "busybox"]).ok();
        engine.corten(["create", "--name", "one", "-v", "/vol", "busybox", "true"]).ok();
        engine.corten(["rm", "-v", "one"]).run();
        again(&engine);
        until::is("the removal is finished", || engine.corten(["ps", "-aq"]).ok().is_empty());
        assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "", "{point}");
        can_go_on(&engine, "one");
    }
}
