//! Several engines, and roots that are damaged.

use corten_tests::engine::{Engine, Options};

use crate::scene::{web, web_answers};

#[test]
fn a_second_engine_on_the_same_roots_is_refused() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sleep", "1000"])
        .ok();
    let mut second = engine.daemon();
    let output = second.output().expect("it starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("pid") || said.contains("in use") || said.contains("another"),
        "{said}"
    );
    assert!(
        said.contains(&engine.pid().to_string()) || said.contains("pid"),
        "{said}"
    );
    // The first is not disturbed.
    assert_eq!(engine.corten(["exec", "box", "echo", "well"]).ok(), "well\n");
}

#[test]
fn two_engines_live_side_by_side() {
    let (one, other) = (Engine::start(), Engine::start());
    for engine in [&one, &other] {
        engine.corten(web("run")).ok();
        web_answers(engine);
    }
    assert_eq!(one.corten(["ps", "-q"]).ok().lines().count(), 1);
    one.corten(["rm", "-f", "web"]).ok();
    one.crash();
    web_answers(&other);
    assert_eq!(one.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn a_damaged_record_is_set_aside() {
    let engine = Engine::start_with(Options {
        may_leave: true,
        ..Options::default()
    });
    engine.corten(["run", "--name", "whole", "busybox", "echo", "one"]).ok();
    for (name, contents) in [
        ("empty", ""),
        ("cut", "{\"format\":1,\"id\":\""),
        ("shape", "[1,2]"),
        ("later", "{\"format\":99}"),
    ] {
        let id = engine.corten(["create", "--name", name, "busybox"]).line();
        let record = engine.data_root().join("containers").join(&id).join("container.json");
        corten_sys::fs::write(&record, contents).expect("a file");
    }
    engine.kill();
    engine.launch();
    assert_eq!(engine.corten(["ps", "-a", "--format", "{{.Names}}"]).ok(), "whole\n");
    assert_eq!(engine.corten(["logs", "whole"]).ok(), "one\n");
    let aside = corten_sys::fs::read_dir(engine.data_root().join("containers"))
        .expect("a folder")
        .flatten();
    let aside = aside
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "damaged"))
        .count();
    assert_eq!(aside, 4, "nothing is thrown away");
    assert!(engine.log().contains("set aside"), "{}", engine.log());
    engine.corten(["run", "--rm", "--name", "cut", "busybox", "true"]).ok();
    engine.crash();
    assert_eq!(engine.corten(["ps", "-aq"]).ok().lines().count(), 1);
}

#[test]
fn containers_outlive_an_engine_that_is_asked_to_end() {
    let engine = Engine::start();
    engine.corten(web("run")).ok();
    let before = engine.inspect("web", "{{.State.Pid}}");
    engine.stop();
    assert!(!engine.socket().exists());
    web_answers(&engine);
    engine.launch();
    assert_eq!(engine.inspect("web", "{{.State.Pid}}"), before);
}
