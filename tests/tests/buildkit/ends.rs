//! Builds that fail or are given up.

use corten_sys::fs;
use corten_tests::until;
use rustix::process::Signal;

use super::Bench;

#[test]
fn errors_show_the_line() {
    let Some(bench) = Bench::start() else { return };
    for (text, line, error) in [
        (
            "FROM busybox\nRUN echo said; exit 3\n",
            "   2 | >>> RUN echo said; exit 3",
            "process \"/bin/sh -c echo said; exit 3\" did not complete successfully: exit code: 3",
        ),
        (
            "FROM busybox\nRUNN x\n",
            "   2 | >>> RUNN x",
            "unknown instruction: RUNN (did you mean RUN?)",
        ),
        (
            "FROM busybox\nCOPY nosuch /\n",
            "   2 | >>> COPY nosuch /",
            "\"/nosuch\": not found",
        ),
    ] {
        let folder = bench.folder("wrong", &[("Dockerfile", text)]);
        let told = bench.buildx(&["build", "--progress=plain", &folder]).fails(1);
        assert!(told.contains(line), "{told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("ERROR: failed to build: failed to solve: ") && last.ends_with(error),
            "{told}"
        );
    }
    let folder = bench.folder("none", &[("x", "")]);
    let told = bench.buildx(&["build", "--progress=plain", &folder]).fails(1);
    assert!(
        told.contains("failed to read dockerfile: open Dockerfile: no such file or directory"),
        "{told}"
    );
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder("refused", &[("Dockerfile", "FROM busybox\n")]);
    let told = bench.build(&["--cache-from=nosuch:1", "--cache-from=busybox", &folder]);
    assert!(told.contains("importing cache manifest from nosuch:1"), "{told}");
    assert!(told.contains("#"), "the build goes on: {told}");
    let told = bench
        .buildx(&[
            "build",
            "--progress=plain",
            "--build-arg=BUILDKIT_SYNTAX=docker/nosuch",
            &folder,
        ])
        .fails(1);
    assert!(told.contains("is not supported"), "{told}");
}

#[test]
fn a_build_that_is_given_up_leaves_nothing() {
    let Some(bench) = Bench::start() else { return };
    // A time that no other process sleeps for.
    let seconds = 900_000 + std::process::id();
    let text = format!("FROM busybox\nRUN sleep {seconds}\n");
    let folder = bench.folder("long", &[("Dockerfile", &text)]);
    let mut running = bench
        .buildx(&["build", "--progress=plain", "-t", "long", &folder])
        .spawn();
    let sleeps = || {
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        let arguments = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let wanted = format!("sleep\0{seconds}\0");
        arguments.into_iter().any(|line| line.ends_with(wanted.as_bytes()))
    };
    until::is("the step runs", sleeps);
    running.signal(Signal::INT);
    until::is("the client ends", || running.has_ended());
    until::is("the step has ended", || !sleeps());
    let bundles = bench.engine.exec_root().join("containers");
    until::is("its bundle is gone", || {
        fs::read_dir(&bundles).is_ok_and(|bundles| bundles.count() == 0)
    });
    let listed = bench.buildx(&["history", "ls"]).ok();
    assert!(listed.contains("Canceled") || listed.contains("Error"), "{listed}");
    assert_eq!(bench.engine.corten(["images", "-q", "long"]).ok(), "");
}
