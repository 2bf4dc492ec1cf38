//! Other people's clients, and our own.

use std::path::Path;
use std::process::Command;

use corten_tests::command::Running;
use corten_tests::engine::Engine;
use corten_tests::{programs, until};

use crate::server::Server;

/// A registry in an engine's network namespace.
fn beside(engine: &Engine, port: u16) -> Running {
    let address = format!("127.0.0.1:{port}");
    let root = engine.work().join("registry");
    let arguments = ["registry", "serve", "--listen", &address, "--data-root"];
    let arguments = arguments.iter().map(Path::new).chain([root.as_path()]);
    let running = engine.program(&programs::corten(), arguments).spawn();
    until::is("it listens", || {
        engine.inside(|| std::net::TcpStream::connect(&address).is_ok())
    });
    running
}

/// Pushes an image of an engine's own, pulls it back, and looks that it is the same.
fn round_trip(engine: &Engine, name: &str, program: &str) {
    let run = |arguments: &[&str]| match program {
        "docker" => engine.docker(arguments),
        _ => Some(engine.corten(arguments)),
    };
    engine
        .sh("mkdir -p t && echo hello > t/file && tar -C t -cf t.tar .")
        .ok();
    engine.corten(["import", "t.tar", name]).line();
    let id = engine.corten(["images", "-q", "--no-trunc", name]).line();
    let Some(push) = run(&["push", name]) else { return };
    let said = push.ok();
    assert!(
        said.contains(": Pushed\n") && said.contains("digest: sha256:"),
        "{said}"
    );
    let again = run(&["push", name]).expect("as before").ok();
    assert!(again.contains(": Layer already exists\n"), "{again}");
    engine.corten(["rmi", "-f", &id]).ok();
    run(&["pull", "-q", name]).expect("as before").ok();
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", name]).line(), id);
}

#[test]
fn corten_and_docker_push_and_pull() {
    let engine = Engine::start();
    let _registry = beside(&engine, 5001);
    round_trip(&engine, "127.0.0.1:5001/team/ours:1", "corten");
    round_trip(&engine, "127.0.0.1:5001/team/theirs:1", "docker");
}

#[test]
fn skopeo_pushes_copies_and_deletes() {
    let found = ["/usr/bin/skopeo", "/usr/local/bin/skopeo"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(skopeo) = found else {
        assert!(
            std::env::var_os("CI").is_none(),
            "no skopeo: run the tests with `./x test`"
        );
        return;
    };
    let server = Server::start(&[]);
    server.push_image("a", "1", &vec![4; 100_000]);
    let run = |arguments: &[&str]| {
        let output = Command::new(skopeo)
            .arg("--insecure-policy")
            .args(arguments)
            .env("HOME", server.folder())
            .env("XDG_RUNTIME_DIR", server.folder())
            .env("TMPDIR", server.folder())
            .output()
            .expect("skopeo runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "skopeo {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (from, to) = (
        format!("docker://{}/a:1", server.address),
        format!("docker://{}/b:2", server.address),
    );
    let place = format!("oci:{}/layout:1", server.folder().display());
    run(&["copy", "--src-tls-verify=false", "--preserve-digests", &from, &place]);
    run(&["copy", "--dest-tls-verify=false", "--preserve-digests", &place, &to]);
    let digest = |name: &str| {
        let path = format!("/v2/{name}");
        server
            .head(&path)
            .header("docker-content-digest")
            .expect("a digest")
            .to_owned()
    };
    assert_eq!(digest("a/manifests/1"), digest("b/manifests/2"));
    assert!(run(&["list-tags", "--tls-verify=false", &to[..to.len() - 2]]).contains("\"2\""));
    run(&["delete", "--tls-verify=false", &to]);
    assert_eq!(server.head("/v2/b/manifests/2").status, 404);
}
