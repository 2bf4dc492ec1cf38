//! The engine dies at each named step of what it does to a container.

use corten_tests::process::is_alive;
use corten_tests::until;

use crate::scene::{box_is, dies_of, dying_at, has_died, sleeps, web, web_answers};

#[test]
fn a_container_whose_making_was_cut_off_is_not_there() {
    for point in ["create:folder", "create:snapshot"] {
        let mut engine = dying_at(point);
        dies_of(
            &mut engine,
            ["create", "--name", "box", "-v", "/anonymous", "busybox", "true"],
        );
        engine.launch();
        assert_eq!(engine.corten(["ps", "-aq"]).ok(), "", "{point}");
        let left = |folder: &str| corten_sys::fs::read_dir(engine.data_root().join(folder)).map_or(0, Iterator::count);
        assert_eq!(left("containers"), 0, "{point}");
        assert_eq!(
            engine.corten(["run", "--name", "box", "busybox", "echo", "again"]).ok(),
            "again\n",
            "{point}"
        );
        engine.corten(["rm", "box"]).ok();
        engine.corten(["rmi", "busybox"]).ok();
    }
}

#[test]
fn a_container_that_was_recorded_can_be_used() {
    let mut engine = dying_at("create:recorded");
    dies_of(&mut engine, ["create", "--name", "box", "busybox", "echo", "here"]);
    engine.launch();
    assert_eq!(engine.inspect("box", "{{.State.Status}}"), "created");
    assert_eq!(engine.corten(["start", "-a", "box"]).ok(), "here\n");
}

#[test]
fn a_start_that_was_cut_off_can_be_repeated() {
    let mut engine = dying_at("start:prepared");
    engine.corten(web("create")).ok();
    dies_of(&mut engine, ["start", "web"]);
    engine.launch();
    assert_eq!(engine.inspect("web", "{{.State.Status}}"), "created");
    engine.corten(["start", "web"]).ok();
    web_answers(&engine);
    engine.corten(["rm", "-f", "web"]).ok();
}

#[test]
fn a_start_with_shared_memory_that_was_cut_off_can_be_removed() {
    let mut engine = dying_at("start:prepared");
    engine
        .corten(["create", "--name", "box", "--ipc", "shareable", "busybox", "true"])
        .ok();
    dies_of(&mut engine, ["start", "box"]);
    engine.launch();
    engine.corten(["rm", "box"]).ok();
}

#[test]
fn a_container_that_was_started_runs_on() {
    for point in ["start:running", "start:recorded"] {
        let mut engine = dying_at(point);
        engine.corten(web("create")).ok();
        dies_of(&mut engine, ["start", "web"]);
        web_answers(&engine);
        engine.launch();
        assert_eq!(engine.inspect("web", "{{.State.Status}}"), "running", "{point}");
        web_answers(&engine);
        let address = engine.inspect("web", "{{.NetworkSettings.IPAddress}}");
        assert!(address.starts_with("172.28."), "{point}: {address:?}");
        assert_eq!(
            engine.corten(["port", "web", "80"]).ok().lines().next(),
            Some("0.0.0.0:8080"),
            "{point}"
        );
        let other = engine.corten(["run", "--rm", "busybox", "hostname", "-i"]).line();
        assert_ne!(other, address, "{point}");
        assert_eq!(engine.corten(["exec", "web", "cat", "/etc/hostname"]).line().len(), 12);
        engine.corten(["stop", "-t", "1", "web"]).ok();
        assert!(engine.try_curl("http://127.0.0.1:8080/hostname").is_none(), "{point}");
        engine.corten(["start", "web"]).ok();
        web_answers(&engine);
        engine.corten(["rm", "-f", "web"]).ok();
    }
}

#[test]
fn a_container_that_was_started_and_ended_unseen_is_told_of() {
    let mut engine = dying_at("start:running");
    engine
        .corten(["create", "--name", "box", "busybox", "sh", "-c", "echo done; exit 7"])
        .ok();
    dies_of(&mut engine, ["start", "box"]);
    let id_folder = corten_sys::fs::read_dir(engine.exec_root().join("containers")).expect("bundles");
    let bundle = id_folder.flatten().next().expect("one").path();
    until::is("the container has ended", || bundle.join("exit.json").exists());
    engine.launch();
    engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 7");
    assert_eq!(engine.corten(["logs", "box"]).ok(), "done\n");
    let finished = engine.inspect("box", "{{.State.FinishedAt}}");
    engine.crash();
    assert_eq!(
        engine.inspect("box", "{{.State.ExitCode}} {{.State.FinishedAt}}"),
        format!("7 {finished}")
    );
}

#[test]
fn a_stop_that_was_cut_off_leaves_a_container_that_can_be_stopped() {
    for point in ["stop:noted", "stop:signalled"] {
        let mut engine = dying_at(point);
        sleeps(&engine, "unless-stopped");
        let first = engine.first_pid("box");
        dies_of(&mut engine, ["stop", "-t", "60", "box"]);
        assert!(is_alive(first), "process 1 has no handler for the signal");
        engine.launch();
        assert_eq!(engine.inspect("box", "{{.State.Status}}"), "running", "{point}");
        engine.corten(["stop", "-t", "0", "box"]).ok();
        box_is(&engine, "exited 137", point);
        assert!(!is_alive(first));
    }
}

#[test]
fn an_end_is_told_truly_wherever_the_engine_dies() {
    for point in ["end:seen", "end:released", "end:recorded"] {
        let mut engine = dying_at(point);
        let script = "echo begun; while [ ! -e /end ]; do sleep 0.02; done; echo ended; exit 5";
        engine
            .corten([
                "run", "-d", "--name", "box", "-p", "8080:80", "busybox", "sh", "-c", script,
            ])
            .ok();
        let _ = engine.corten(["exec", "box", "touch", "/end"]).run();
        has_died(&mut engine);
        engine.launch();
        box_is(&engine, "exited 5", point);
        assert_eq!(engine.corten(["logs", "box"]).ok(), "begun\nended\n", "{point}");
        let times = engine.inspect("box", "{{.State.StartedAt}} {{.State.FinishedAt}}");
        let (started, finished) = times.split_once(' ').expect("two");
        assert!(started < finished && !finished.starts_with("0001"), "{point}: {times}");
        engine.corten(["start", "box"]).ok();
        engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 5");
        engine.corten(["rm", "box"]).ok();
    }
}

#[test]
fn a_removal_that_was_cut_off_is_finished() {
    for point in ["remove:noted", "remove:snapshot", "remove:volumes"] {
        for (flag, left) in [("-f", 1), ("-v", 0)] {
            let mut engine = dying_at(point);
            engine
                .corten([
                    "run",
                    "--name",
                    "box",
                    "-v",
                    "/anonymous",
                    "busybox",
                    "touch",
                    "/anonymous/kept",
                ])
                .ok();
            dies_of(&mut engine, ["rm", flag, "box"]);
            engine.launch();
            assert_eq!(engine.corten(["ps", "-aq"]).ok(), "", "{point}");
            let volumes = engine.corten(["volume", "ls", "-q"]).ok();
            assert_eq!(volumes.lines().count(), left, "{point} {flag}: {volumes}");
            engine.corten(["run", "--rm", "--name", "box", "busybox", "true"]).ok();
            engine.corten(["rmi", "busybox"]).ok();
        }
    }
}
