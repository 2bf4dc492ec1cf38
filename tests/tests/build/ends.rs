//! What is left when a build ends, well or badly: nothing but its result.

use corten_sys::fs;
use corten_tests::engine::Engine;
use corten_tests::until;
use rustix::process::Signal;

use crate::{context, engine};

/// Names in a folder.
fn names(path: std::path::PathBuf) -> Vec<String> {
    // One that nothing was ever put into is not there.
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Waits until no step runs or has anything on disk.
#[track_caller]
fn nothing_is_left(engine: &Engine) {
    until::is("nothing of a step is left", || {
        let roots = names(engine.data_root().join("overlay2"));
        let own = |name: &String| {
            name.starts_with(".scratch")
                || engine
                    .data_root()
                    .join("overlay2")
                    .join(name)
                    .join("snapshot.json")
                    .exists()
        };
        names(engine.exec_root().join("containers")).is_empty()
            && names(engine.data_root().join("containers")).is_empty()
            && !roots.iter().any(own)
    });
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn a_failed_build_leaves_nothing() {
    let engine = engine();
    let folder = context(
        &engine,
        "fails",
        &[("Dockerfile", "FROM busybox\nRUN touch /x\nRUN exit 3\n")],
    );
    engine.corten(["build", "-t", "never", &folder]).fails(1);
    nothing_is_left(&engine);
    assert_eq!(engine.corten(["images", "-q", "never"]).ok(), "");
    assert_eq!(
        engine.corten(["images", "-aq"]).ok().lines().count(),
        1,
        "busybox alone"
    );
}

#[test]
fn a_client_that_leaves_ends_the_build() {
    let engine = engine();
    let folder = context(
        &engine,
        "leaves",
        &[("Dockerfile", "FROM busybox\nRUN echo begun; sleep 1000\n")],
    );
    let mut build = engine.corten(["build", &folder]).spawn();
    until::is("the command runs", || {
        !names(engine.exec_root().join("containers")).is_empty()
    });
    // It is nobody's container.
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
    build.signal(Signal::KILL);
    build.close_stdin();
    build.wait();
    nothing_is_left(&engine);
}

#[test]
fn an_engine_that_is_killed_leaves_nothing_running() {
    let engine = engine();
    let folder = context(
        &engine,
        "killed",
        &[("Dockerfile", "FROM busybox\nRUN echo kept > /k\nRUN sleep 1000\n")],
    );
    let build = engine.corten(["build", "-t", "killed", &folder]).spawn();
    until::is("the last command runs", || {
        let all = names(engine.exec_root().join("containers"));
        all.iter().any(|id| {
            let config = engine.exec_root().join("containers").join(id).join("config.json");
            fs::read_to_string(config).is_ok_and(|text| text.contains("sleep 1000"))
        })
    });
    engine.kill();
    build.wait();
    engine.launch();
    nothing_is_left(&engine);
    // What was done before is still there.
    fs::write(
        engine.work().join("killed/Dockerfile"),
        "FROM busybox\nRUN echo kept > /k\n",
    )
    .expect("a file");
    let said = engine.corten(["build", "-t", "killed", &folder]).run().stderr;
    assert!(
        said.contains("[2/2] RUN echo kept > /k\n") && said.contains("#5 CACHED\n"),
        "{said}"
    );
}

#[test]
fn the_cache_outlives_images_until_it_is_pruned() {
    let engine = engine();
    let folder = context(
        &engine,
        "prune",
        &[("Dockerfile", "FROM busybox\nRUN head -c 100000 /dev/urandom > /f\n")],
    );
    let id = engine.corten(["build", "-q", "-t", "prune", &folder]).line();
    engine.corten(["rmi", "prune"]).ok();
    assert_eq!(engine.corten(["build", "-q", "-t", "prune", &folder]).line(), id);
    let kept = engine.corten(["builder", "prune", "-f"]).ok();
    assert!(
        kept.contains("Total reclaimed space: 0B"),
        "what images have stays: {kept}"
    );
    engine.corten(["rmi", "prune"]).ok();
    let cache = engine.get("/system/df")["BuildCache"].as_array().expect("a list").len();
    assert_eq!(cache, 1);
    let pruned = engine.corten(["builder", "prune", "-f"]).ok();
    assert!(
        pruned.contains("Deleted build cache objects:\n") && pruned.contains("Total reclaimed space: 100kB"),
        "{pruned}"
    );
    assert_ne!(engine.corten(["build", "-q", &folder]).line(), id);
}
