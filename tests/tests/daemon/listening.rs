//! Sockets: their group, several at once, and those that were passed on.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use corten_tests::engine::{Engine, Options};

#[test]
fn the_socket_belongs_to_a_group() {
    // A number, as groups' names differ between machines.
    let engine = Engine::start_with(Options::with_flags(&["--group=12345"]));
    let about = corten_sys::fs::metadata(engine.socket()).expect("a socket");
    assert_eq!(
        (about.uid(), about.gid(), about.permissions().mode() & 0o777),
        (0, 12345, 0o660)
    );
    let unknown = Engine::prepared(Options::with_flags(&["--group=nosuchgroup"]));
    unknown.spawn();
    assert_eq!(unknown.wait_end(), 1);
    assert!(unknown.log().contains("nosuchgroup"), "{}", unknown.log());
}

#[test]
fn several_sockets_lead_to_one_engine() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("deep/second.sock");
    let engine = Engine::start_with(Options::with_flags(&[
        &format!("--host=unix://{}", second.display()),
        "--host=tcp://127.0.0.1:2375",
    ]));
    let id = engine.corten(["info", "-f", "{{.ID}}"]).line();
    for host in [
        format!("unix://{}", second.display()),
        "tcp://127.0.0.1:2375".to_owned(),
    ] {
        assert_eq!(engine.corten(["-H", &host, "info", "-f", "{{.ID}}"]).line(), id);
    }
    engine.stop();
    assert!(!second.exists());
    engine.launch();
}

#[test]
fn called_dockerd_it_is_the_engine() {
    let engine = Engine::prepared(Options::default());
    let dockerd = engine.work().join("dockerd");
    corten_sys::fs::symlink(corten_tests::programs::corten(), &dockerd).expect("a link");
    let version = engine.program(&dockerd, ["--version"]).ok();
    assert!(version.starts_with("Corten version "), "{version}");
    let config = engine.config();
    let config = config.to_str().expect("a plain path");
    let checked = engine
        .program(
            &dockerd,
            [
                "--validate",
                "--config-file",
                config,
                "--containerd=/x",
                "--userland-proxy-path=/y",
            ],
        )
        .run();
    assert_eq!(
        (checked.code, checked.stderr.trim()),
        (0, "configuration OK"),
        "{checked}"
    );
}
