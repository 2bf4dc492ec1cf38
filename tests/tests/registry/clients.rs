//! Other people's clients, and our own.

use std::path::{Path, PathBuf};
use std::process::Command;

use corten_tests::command::Running;
use corten_tests::engine::Engine;
use corten_tests::{programs, until};

use crate::server::Server;

/// A registry in an engine's network namespace.
pub(crate) fn beside(engine: &Engine, port: u16) -> Running {
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
        .sh(&format!(
            "mkdir -p t && echo hello, {name} > t/file && tar -C t -cf t.tar ."
        ))
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

/// A program of Debian's; without it the test says so, and in CI that is a failure.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/usr/local/bin"]
        .into_iter()
        .map(|folder| Path::new(folder).join(name));
    let found = found.into_iter().find(|path| path.exists());
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "no {name}: run the tests with `./x test`"
    );
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    if found.is_none() {
        eprintln!("SKIPPED: there is no {name} (./x test fetches one)");
    }
    found
}

/// Runs a program of the containers family with all its places in the registry's folder.
fn run(server: &Server, program: &Path, arguments: &[&str]) -> String {
    let folder = server.folder();
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env("TMPDIR", folder)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {arguments:?}: {said}", program.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn buildah_pushes_and_podman_pulls_and_pushes() {
    let (Some(buildah), Some(podman)) = (find("buildah"), find("podman")) else {
        return;
    };
    let server = Server::start(&[]);
    corten_sys::fs::write(server.folder().join("file"), "hello").expect("a file");
    corten_sys::fs::write(
        server.folder().join("policy.json"),
        r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
    )
    .expect("a file");
    let place = |name: &str| server.folder().join(name).display().to_string();
    let with = |program: &Path, store: &str, arguments: &[&str]| {
        let (root, state) = (place(&format!("{store}-root")), place(&format!("{store}-run")));
        let options = ["--root", &root, "--runroot", &state, "--storage-driver", "vfs"];
        run(&server, program, &[&options[..], arguments].concat())
    };
    let (file, policy) = (place("file"), place("policy.json"));
    let container = with(&buildah, "one", &["from", "--signature-policy", &policy, "scratch"])
        .trim()
        .to_owned();
    with(&buildah, "one", &["copy", &container, &file, "/file"]);
    with(
        &buildah,
        "one",
        &["commit", "--signature-policy", &policy, "-q", &container, "app:1"],
    );
    let (first, second) = (
        format!("{}/team/app:1", server.address),
        format!("{}/copies/app:2", server.address),
    );
    let to = format!("docker://{first}");
    with(
        &buildah,
        "one",
        &[
            "push",
            "--signature-policy",
            &policy,
            "--tls-verify=false",
            "app:1",
            &to,
        ],
    );
    with(
        &podman,
        "two",
        &[
            "pull",
            "-q",
            "--signature-policy",
            &policy,
            "--tls-verify=false",
            &first,
        ],
    );
    with(&podman, "two", &["tag", &first, &second]);
    with(
        &podman,
        "two",
        &[
            "push",
            "-q",
            "--signature-policy",
            &policy,
            "--tls-verify=false",
            &second,
        ],
    );
    let config = |path: &str| server.get(path).json()["config"]["digest"].clone();
    assert_eq!(config("/v2/team/app/manifests/1"), config("/v2/copies/app/manifests/2"));
}

#[test]
fn skopeo_pushes_copies_and_deletes() {
    let Some(skopeo) = find("skopeo") else { return };
    let server = Server::start(&[]);
    server.push_image("a", "1", &vec![4; 100_000]);
    let skopeo = |arguments: &[&str]| run(&server, &skopeo, &[&["--insecure-policy"], arguments].concat());
    let (from, to) = (
        format!("docker://{}/a:1", server.address),
        format!("docker://{}/b:2", server.address),
    );
    let place = format!("oci:{}/layout:1", server.folder().display());
    skopeo(&["copy", "--src-tls-verify=false", "--preserve-digests", &from, &place]);
    skopeo(&["copy", "--dest-tls-verify=false", "--preserve-digests", &place, &to]);
    let digest = |name: &str| {
        let path = format!("/v2/{name}");
        server
            .head(&path)
            .header("docker-content-digest")
            .expect("a digest")
            .to_owned()
    };
    assert_eq!(digest("a/manifests/1"), digest("b/manifests/2"));
    assert!(skopeo(&["list-tags", "--tls-verify=false", &to[..to.len() - 2]]).contains("\"2\""));
    skopeo(&["delete", "--tls-verify=false", &to]);
    assert_eq!(server.head("/v2/b/manifests/2").status, 404);
}
