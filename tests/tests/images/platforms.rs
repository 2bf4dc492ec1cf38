//! Images of one platform: looked at, saved, loaded, imported and removed.

use corten_oci::digest::Digest;
use corten_tests::engine::{Engine, REGISTRY};
use corten_tests::images::{Dialect, INDEX, TestImage, TestLayer, index};
use serde_json::{Value, json};

/// A registry with one name for images of two platforms.
fn with_two(engine: &Engine) -> [TestImage; 2] {
    let layers = |text: &str| [TestLayer::file("greeting", text)];
    let images = [
        TestImage::with(&layers("here"), "amd64", Dialect::Oci),
        TestImage::with(&layers("there"), "s390x", Dialect::Oci),
    ];
    for image in &images {
        engine.registry().add_image("library/app", "single", image);
    }
    let both = index(&[images[0].entry("amd64", ""), images[1].entry("s390x", "")]);
    engine.registry().add_manifest("library/app", Some("1"), INDEX, &both);
    images
}

#[test]
fn a_platform_is_chosen_and_kept_to() {
    let engine = Engine::start();
    let [here, there] = with_two(&engine);
    let id = |name: &str| engine.corten(["images", "-q", "--no-trunc", name]).line();
    engine.corten(["pull", "-q", "app:1"]).ok();
    assert_eq!(id("app:1"), here.id.to_string());
    let platform = |platform: &str| {
        engine
            .corten([
                "image",
                "inspect",
                "--platform",
                platform,
                "--format",
                "{{.Architecture}}",
                "app:1",
            ])
            .run()
    };
    assert_eq!(platform("linux/amd64").stdout, "amd64\n");
    let other = platform("linux/s390x");
    assert_eq!(other.code, 1, "{other}");
    assert!(
        other.stderr.contains("does not match the specified platform") && other.stderr.contains("linux/s390x"),
        "{other}"
    );
    let history = engine
        .corten(["history", "--platform", "linux/s390x", "app:1"])
        .fails(1);
    assert!(history.contains("does not match the specified platform"), "{history}");
    engine.corten(["pull", "-q", "--platform", "linux/s390x", "app:1"]).ok();
    assert_eq!(id("app:1"), there.id.to_string());
    let refused = engine.corten(["rmi", "--platform", "linux/amd64", "app:1"]).fails(1);
    assert!(refused.contains("does not match the specified platform"), "{refused}");
    if let Some(docker) = engine.docker([
        "image",
        "inspect",
        "--platform",
        "linux/s390x",
        "-f",
        "{{.Id}}",
        "app:1",
    ]) {
        assert_eq!(docker.line(), there.id.to_string());
    }
    engine.corten(["rmi", "--platform", "linux/s390x", "app:1"]).ok();
    assert_eq!(engine.corten(["images", "-q", "app:1"]).ok(), "");
}

#[test]
fn archives_are_written_and_read_by_platform() {
    let engine = Engine::start();
    let [here, there] = with_two(&engine);
    engine.corten(["pull", "-q", "app:1"]).ok();
    engine.corten(["tag", "app:1", "mine:here"]).ok();
    engine.corten(["pull", "-q", "--platform", "linux/s390x", "app:1"]).ok();
    engine.corten(["tag", "app:1", "mine:there"]).ok();
    engine
        .corten(["save", "--platform", "linux/s390x", "-o", "there.tar", "mine:there"])
        .ok();
    let refused = engine
        .corten(["save", "--platform", "linux/arm64", "-o", "none.tar", "mine:there"])
        .fails(1);
    assert!(
        refused.contains("no suitable export target found for platform linux/arm64"),
        "{refused}"
    );
    engine
        .corten(["save", "-o", "both.tar", "mine:here", "mine:there"])
        .ok();
    for image in [&here, &there] {
        engine.corten(["rmi", "-f", image.id.as_str()]).ok();
    }
    let loaded = engine
        .corten(["load", "--platform", "linux/s390x", "-i", "both.tar"])
        .ok();
    assert_eq!(loaded, "Loaded image: mine:there\n");
    assert_eq!(
        engine.corten(["images", "-q", "--no-trunc"]).line(),
        there.id.to_string()
    );
    // The layer of the other one is not kept either.
    let layers = |image: &TestImage| engine.data_root().join("overlay2").join(image.diff_ids[0].hex());
    assert!(corten_sys::fs::exists(layers(&there)).unwrap_or(false));
    assert!(!corten_sys::fs::exists(layers(&here)).unwrap_or(true));
    // Nothing for the platform is nothing to complain about, as for Docker.
    let loaded = engine
        .corten(["image", "load", "--platform", "linux/arm64", "-i", "both.tar"])
        .ok();
    assert_eq!(loaded, "");
    if let Some(docker) = engine.docker(["load", "--platform", "linux/amd64", "-i", "both.tar"]) {
        assert_eq!(docker.ok(), "Loaded image: mine:here\n");
    }
}

#[test]
fn a_layout_s_index_is_read_by_platform() {
    let engine = Engine::start();
    let [here, there] = with_two(&engine);
    let folder = engine.work().join("layout");
    corten_sys::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let put = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        corten_sys::fs::write(folder.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        digest
    };
    for image in [&here, &there] {
        image.blobs.iter().for_each(|blob| drop(put(blob)));
        put(&image.manifest);
    }
    let both = index(&[here.entry("amd64", ""), there.entry("s390x", "")]);
    let entry: Value = json!({
        "mediaType": INDEX, "digest": put(&both), "size": both.len(),
        "annotations": {"io.containerd.image.name": "docker.io/library/app:1"},
    });
    corten_sys::fs::write(folder.join("index.json"), index(&[entry])).unwrap();
    corten_sys::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    engine.sh("tar -C layout -cf layout.tar .").ok();
    engine
        .corten(["load", "--platform", "linux/s390x", "-i", "layout.tar"])
        .ok();
    assert_eq!(
        engine.corten(["images", "-q", "--no-trunc"]).line(),
        there.id.to_string()
    );
    engine.corten(["load", "-i", "layout.tar"]).ok();
    assert_eq!(
        engine.corten(["images", "-q", "--no-trunc", "app:1"]).line(),
        here.id.to_string()
    );
}

#[test]
fn an_import_says_for_which_platform() {
    let engine = Engine::start();
    engine
        .sh("mkdir tree && echo x > tree/file && tar -C tree -cf tree.tar .")
        .ok();
    engine
        .corten(["import", "--platform", "linux/arm64", "tree.tar", "far:1"])
        .ok();
    let of = "{{.Os}}/{{.Architecture}}";
    assert_eq!(
        engine.corten(["image", "inspect", "-f", of, "far:1"]).line(),
        "linux/arm64"
    );
    let refused = engine
        .corten(["import", "--platform", "a/b/c/d", "tree.tar", "far:2"])
        .fails(1);
    assert!(refused.contains("a/b/c/d"), "{refused}");
    let warned = engine.corten([
        "pull",
        "-q",
        "--platform",
        "linux/s390x",
        &format!("{REGISTRY}/library/busybox"),
    ]);
    warned.ok();
}
