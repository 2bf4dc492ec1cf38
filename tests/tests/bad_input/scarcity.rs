//! What the machine does not have: space, a registry, descriptors.

use corten_tests::engine::{Engine, Options};
use corten_tests::images::{TestImage, TestLayer, noise};
use corten_tests::registry::Fault;

#[test]
fn a_full_disk_refuses_a_pull_and_keeps_what_was_there() {
    let engine = Engine::start_with(Options {
        data_root_size: Some(24 << 20),
        ..Options::default()
    });
    engine.corten(["pull", "-q", "busybox"]).ok();
    let big = TestImage::new(&[TestLayer::file("big", noise(40 << 20, 1))]);
    engine.registry().add_image("library/big", "latest", &big);
    let refusal = engine.corten(["pull", "-q", "big"]).fails(1);
    assert!(refusal.contains("no space left on device"), "{refusal}");
    assert_eq!(
        engine.corten(["images", "--format", "{{.Repository}}"]).ok(),
        "busybox\n"
    );
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "echo", "works"]).ok(),
        "works\n"
    );
}

#[test]
fn a_container_that_fills_the_disk_can_be_removed() {
    let engine = Engine::start_with(Options {
        data_root_size: Some(24 << 20),
        ..Options::default()
    });
    let finished = engine
        .corten([
            "run",
            "--name",
            "greedy",
            "busybox",
            "sh",
            "-c",
            "dd if=/dev/zero of=/big bs=1M count=60",
        ])
        .run();
    assert_ne!(finished.code, 0);
    assert!(
        finished.stderr.contains("No space left on device") || finished.stderr.contains("I/O error"),
        "{finished}"
    );
    engine.corten(["rm", "greedy"]).ok();
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "echo", "works"]).ok(),
        "works\n"
    );
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    let engine = Engine::start_with(Options {
        data_root_size: Some(24 << 20),
        ..Options::default()
    });
    let script = "seq 600000; echo done >&2";
    let finished = engine
        .corten(["run", "--rm", "--log-opt", "max-size=-1", "busybox", "sh", "-c", script])
        .run();
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    // Not the text itself: it is long.
    assert!(finished.stdout.lines().count() == 600_000);
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "echo", "works"]).ok(),
        "works\n"
    );
}

#[test]
fn a_wrong_byte_refuses_the_image() {
    let engine = Engine::start();
    engine.registry().add_image(
        "library/app",
        "latest",
        &TestImage::new(&[TestLayer::file("data", noise(300_000, 2))]),
    );
    engine.registry().inject("/blobs/", 50, Fault::WrongByte(20_000));
    engine.corten(["pull", "-q", "app"]).fails(1);
    assert_eq!(engine.corten(["images", "-q"]).ok(), "");
    engine.registry().heal();
    engine.corten(["pull", "-q", "app"]).ok();
}

#[test]
fn a_registry_that_is_not_there() {
    let engine = Engine::start();
    let refusal = engine.corten(["pull", "127.0.0.1:9/app"]).fails(1);
    assert!(refusal.contains("connection refused"), "{refusal}");
}
