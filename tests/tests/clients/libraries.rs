//! Libraries that speak the API, each through a program that uses most of it.

use corten_tests::engine::{Engine, Options};
use corten_tests::programs;

#[test]
fn docker_py() {
    let Some(python) = programs::python() else { return };
    let engine = Engine::start();
    let said = engine.program(&python, [programs::clients("docker_py.py")]).ok();
    assert!(said.ends_with("docker-py: all well\n"), "{said}");
}

#[test]
fn docker_py_with_files() {
    let Some(python) = programs::python() else { return };
    let engine = Engine::start();
    let program = [programs::clients("docker_py_files.py")];
    assert_eq!(engine.program(&python, program).ok(), "docker-py: all well\n");
}

#[test]
fn testcontainers() {
    let Some(python) = programs::python() else { return };
    let engine = Engine::start_with(Options::with_images(&["redis:alpine"]));
    let program = engine
        .program(&python, [programs::clients("testcontainers_py.py")])
        // Its reaper is an image of its own, from a hub.
        .env("TESTCONTAINERS_RYUK_DISABLED", "true");
    let said = program.ok();
    assert!(said.ends_with("testcontainers: all well\n"), "{said}");
}

#[test]
fn bollard() {
    let Some(program) = programs::bollard() else { return };
    let engine = Engine::start();
    let said = engine.program(&program, [""; 0]).ok();
    assert_eq!(said, "bollard: all well\n");
}
