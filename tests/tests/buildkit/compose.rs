//! `docker compose build` and `up --build`, and `docker build` with the plugin.

use std::path::PathBuf;

use corten_sys::fs;
use corten_tests::{command::Call, programs};

use super::Bench;

/// A configuration folder that has the plugins.
fn config(bench: &Bench, plugins: &[(&str, PathBuf)]) -> PathBuf {
    let config = bench.engine.work().join("with-plugins");
    let folder = config.join("cli-plugins");
    fs::create_dir_all(&folder).expect("a folder");
    for (name, program) in plugins {
        fs::symlink(program, folder.join(name)).expect("a link");
    }
    config
}

#[test]
fn compose_builds_and_runs_services() {
    let (Some(bench), Some(compose), Some(buildx)) = (Bench::start(), programs::compose(), programs::buildx()) else {
        return;
    };
    let project = "name: built\nservices:\n  web:\n    build: {context: web, args: {TEXT: one}}\n    init: true\n";
    let dockerfile = "FROM busybox\nARG TEXT\nRUN echo $TEXT > /text\nCOPY page /page\nCMD [\"sh\", \"-c\", \"cat /text /page; exec sleep 300\"]\n";
    let folder = bench.folder(
        "project",
        &[
            ("compose.yaml", project),
            ("web/Dockerfile", dockerfile),
            ("web/page", "page\n"),
        ],
    );
    let config = config(&bench, &[("docker-buildx", buildx)]);
    let run = |arguments: &[&str]| -> Call {
        let call = bench.engine.program(&compose, arguments.iter().copied());
        call.current_dir(&folder).env("DOCKER_CONFIG", &config)
    };
    run(&["build"]).ok();
    assert_eq!(
        bench.engine.corten(["run", "--rm", "built-web", "cat", "/text"]).ok(),
        "one\n"
    );
    fs::write(format!("{folder}/web/page"), "changed\n").expect("a file");
    run(&["up", "-d", "--build"]).ok();
    let logs = || run(&["logs", "--no-log-prefix", "web"]).ok();
    corten_tests::until::is("the service speaks", || logs() == "one\nchanged\n");
    run(&["down", "-t", "0"]).ok();
}

#[test]
fn docker_build_goes_through_the_plugin() {
    let (Some(bench), Some(docker), Some(buildx)) = (Bench::start(), programs::docker(), programs::buildx()) else {
        return;
    };
    let folder = bench.folder("plain", &[("Dockerfile", "FROM busybox\nRUN echo plugged > /p\n")]);
    let config = config(&bench, &[("docker-buildx", buildx)]);
    let call = bench
        .engine
        .program(&docker, ["build", "--progress=plain", "-t", "plugged", &folder]);
    let finished = call.env("DOCKER_CONFIG", &config).run();
    assert_eq!(finished.code, 0, "{finished}");
    assert!(finished.stderr.contains("[2/2] RUN echo plugged > /p"), "{finished}");
    assert_eq!(
        bench.engine.corten(["run", "--rm", "plugged", "cat", "/p"]).ok(),
        "plugged\n"
    );
}
