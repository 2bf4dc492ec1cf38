//! Images of all shapes, and what is reported about them.

use corten_distribution::{Kind, Outcome, Step};
use corten_tests::images::{self, Dialect, INDEX, Packing, TestImage, TestLayer, index};
use serde_json::json;

use crate::world::{World, quick};

#[tokio::test]
async fn new_image_then_up_to_date() {
    let world = World::new();
    let image = TestImage::small("fresh");
    let digest = world.registry.add_image("gp/fresh", "1", &image);
    let pulled = world.pull("gp/fresh:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(pulled.outcome, Outcome::Downloaded);
    let layer = image.layers[0].short();
    let name = world.at("gp/fresh:1");
    assert_eq!(
        world.lines(),
        [
            "1: Pulling from gp/fresh".to_owned(),
            format!("{layer}: Pulling fs layer"),
            format!("{layer}: Verifying Checksum"),
            format!("{layer}: Download complete"),
            format!("{layer}: Pull complete"),
            format!("Digest: {digest}"),
            format!("Status: Downloaded newer image for {name}"),
        ]
    );
    world.events.lock().expect("events").clear();
    let again = world.pull("gp/fresh:1").await.expect("pulled");
    assert_eq!(again.outcome, Outcome::UpToDate);
    assert_eq!(
        world.lines(),
        [
            "1: Pulling from gp/fresh".to_owned(),
            format!("Digest: {digest}"),
            format!("Status: Image is up to date for {name}"),
        ]
    );
    assert_eq!(world.registry.count("GET", "/blobs/"), 2);
}

#[tokio::test]
async fn by_digest() {
    let world = World::new();
    let image = TestImage::small("fresh");
    let digest = world.registry.add_image("gp/fresh", "1", &image);
    let name = format!("gp/fresh@{digest}");
    let pulled = world.pull(&name).await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(pulled.outcome, Outcome::Downloaded);
    let full = world.at(&name);
    assert_eq!(world.lines()[0], format!("{full}: Pulling from gp/fresh"));
    let again = world.pull(&name).await.expect("pulled");
    assert_eq!(again.outcome, Outcome::UpToDate);
    let stored = world.store.images().get(&image.id).expect("there");
    assert_eq!(stored.names(), []);
    assert_eq!(stored.digests().len(), 1);
}

#[tokio::test]
async fn a_tag_that_moved_takes_the_name_along() {
    let world = World::new();
    let (old, new) = (TestImage::small("old"), TestImage::small("new"));
    world.registry.add_image("app", "1", &old);
    world.pull("app:1").await.expect("pulled");
    world.registry.add_image("app", "1", &new);
    let pulled = world.pull("app:1").await.expect("pulled");
    assert_eq!(pulled.outcome, Outcome::Downloaded);
    world.check(&pulled, &new);
    assert_eq!(world.store.images().get(&old.id).expect("there").names(), []);
}

#[tokio::test]
async fn layers_of_every_packing_and_dialect() {
    let world = World::new();
    let layer = |n: u8, packing| TestLayer::file(&format!("file{n}"), images::noise(200_000, n.into())).packed(packing);
    let layers = [
        layer(1, Packing::Plain),
        layer(2, Packing::Gzip),
        layer(3, Packing::Zstd),
        layer(1, Packing::Plain),
    ];
    let oci = TestImage::new(&layers);
    let docker = TestImage::with(&layers[..2], "amd64", Dialect::Docker);
    let bare = TestImage::new(&[]);
    for (tag, image) in [("oci", &oci), ("docker", &docker), ("bare", &bare)] {
        world.registry.add_image("app", tag, image);
        let pulled = world.pull(&format!("app:{tag}")).await.expect("pulled");
        world.check(&pulled, image);
    }
    let path = world
        .store
        .layers()
        .get(&oci.diff_ids[2])
        .expect("there")
        .path()
        .join("file3");
    assert_eq!(corten_sys::fs::read(path).expect("unpacked"), images::noise(200_000, 3));
}

#[tokio::test]
async fn shared_layers_are_fetched_once() {
    let world = World::new();
    let base = TestLayer::file("base", images::noise(100_000, 1));
    let one = TestImage::new(&[base.clone(), TestLayer::file("one", "1")]);
    let two = TestImage::new(&[base, TestLayer::file("two", "2")]);
    world.registry.add_image("one", "1", &one);
    world.registry.add_image("two", "1", &two);
    world.pull("one:1").await.expect("pulled");
    world.events.lock().expect("events").clear();
    let pulled = world.pull("two:1").await.expect("pulled");
    world.check(&pulled, &two);
    assert_eq!(world.steps(|step| *step == Step::AlreadyExists), 1);
    assert_eq!(world.registry.count("GET", one.layers[0].as_str()), 1);
    let layer = world.store.layers().get(&one.diff_ids[0]).expect("there");
    assert_eq!(layer.blobs()[0].sources, [world.at("one"), world.at("two")]);
}

#[tokio::test]
async fn an_index_leads_to_the_platform() {
    let world = World::new();
    let layer = |text: &str| [TestLayer::file("arch", text)];
    let amd64 = TestImage::with(&layer("amd64"), "amd64", Dialect::Oci);
    let arm64 = TestImage::with(&layer("arm64"), "arm64", Dialect::Oci);
    world.registry.add_image("app", "a", &amd64);
    world.registry.add_image("app", "b", &arm64);
    let mut attestation = arm64.entry("unknown", "");
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let bytes = index(&[attestation, arm64.entry("arm64", "v8"), amd64.entry("amd64", "")]);
    let digest = world.registry.add_manifest("app", Some("all"), INDEX, &bytes);
    for (platform, image) in [("linux/amd64", &amd64), ("linux/arm64", &arm64), ("arm64", &arm64)] {
        let pulled = world.pull_for("app:all", platform).await.expect("pulled");
        world.check(&pulled, image);
        assert_eq!(pulled.digest, digest);
    }
    let error = world.pull_for("app:all", "linux/s390x").await.expect_err("none");
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        "no matching manifest for linux/s390x in the manifest list entries"
    );
    let index = world.store.images().document(&digest).expect("readable").expect("kept");
    assert_eq!(index, (INDEX.to_owned(), bytes));
    // Without an index there is no choice: the image comes with a warning.
    world.pull_for("app:b", "linux/amd64").await.expect("pulled");
    let name = world.at("app:b");
    let warning = format!(
        "WARNING: image with reference {name} was found but its platform (linux/arm64) does not match the specified platform (linux/amd64)"
    );
    assert!(world.lines().contains(&warning), "{:?}", world.lines());
}

#[tokio::test]
async fn tags_come_page_by_page_and_can_be_pulled_together() {
    let world = World::new();
    let image = TestImage::small("all");
    let tags: Vec<String> = (1..=7).map(|n| format!("t{n}")).collect();
    for tag in &tags {
        world.registry.add_image("app", tag, &image);
    }
    let repository = world.request(&world.at("app")).reference.repository().clone();
    let found = world.registries.tags(&repository, None).await.expect("tags");
    assert_eq!(found, tags);
    assert_eq!(world.registry.count("GET", "/tags/list"), 3);
    let progress = world.progress();
    let pulled = world
        .registries
        .pull_all_tags(&world.store, &repository, None, None, &progress)
        .await
        .expect("pulled");
    assert_eq!(pulled.len(), 7);
    assert_eq!(world.store.images().get(&image.id).expect("there").names().len(), 7);
}

#[tokio::test]
async fn inspection_fetches_no_layers() {
    let world = World::new();
    let image = TestImage::with(&[TestLayer::file("f", "x")], "arm64", Dialect::Docker);
    let digest = world.registry.add_image("app", "1", &image);
    let bytes = index(&[image.entry("arm64", "v8")]);
    let index_digest = world.registry.add_manifest("app", Some("all"), INDEX, &bytes);
    let reference = |name| world.request(&world.at(name)).reference;
    let one = world
        .registries
        .inspect(&reference("app:1"), None)
        .await
        .expect("inspected");
    assert_eq!(one.descriptor.digest, digest);
    assert_eq!(one.descriptor.media_type, image.media_type);
    assert_eq!(one.platforms.len(), 1);
    assert_eq!(one.platforms[0].architecture, "arm64");
    let all = world
        .registries
        .inspect(&reference("app:all"), None)
        .await
        .expect("inspected");
    assert_eq!(all.descriptor.digest, index_digest);
    assert_eq!(all.platforms[0].variant, "v8");
    let found = world
        .registries
        .resolve_digest(&reference("app:1"), None)
        .await
        .expect("found");
    assert_eq!(
        (found.digest, found.size),
        (digest, image.manifest.len().try_into().expect("size"))
    );
    assert_eq!(world.registry.count("GET", image.layers[0].as_str()), 0);
}

#[tokio::test]
async fn connections_are_used_again_and_downloads_bounded() {
    let world = World::with(corten_distribution::endpoint::Config {
        max_concurrent_downloads: 2,
        ..quick()
    });
    let layers: Vec<TestLayer> = (0..8_u8)
        .map(|n| TestLayer::file(&format!("f{n}"), images::noise(300_000, n.into())))
        .collect();
    let image = TestImage::new(&layers);
    world.registry.add_image("app", "1", &image);
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert!(world.registry.connections() <= 3, "{}", world.registry.connections());
    assert!(world.steps(|step| *step == Step::Waiting) >= 1);
}

#[tokio::test]
async fn a_real_image_from_a_layout() {
    let world = World::new();
    world.registry.serve_layout(&images::real(&["busybox:latest"]));
    let pulled = world.pull("library/busybox:latest").await.expect("pulled");
    let image = world.store.images().by_reference(&pulled.reference).expect("named");
    let layer = world.store.layers().get(&image.layers()[0]).expect("there");
    layer.verify().expect("whole");
    assert!(corten_sys::fs::exists(layer.path().join("bin/sh")).expect("readable"));
    assert_eq!(image.config().config.cmd, Some(vec!["sh".to_owned()]));
}
