//! Registries and networks that fail: what can be saved is, what is wrong is refused and leaves nothing.

use std::time::Duration;

use corten_distribution::{Kind, Step};
use corten_tests::images::{self, INDEX, Packing, TestImage, TestLayer, index};
use corten_tests::registry::Fault;
use serde_json::json;

use crate::world::World;

/// An image whose one layer is some 3 MB as packed.
fn large(packing: Packing) -> TestImage {
    TestImage::new(&[TestLayer::file("noise", images::noise(3_000_000, 7)).packed(packing)])
}

fn ranges(world: &World) -> Vec<usize> {
    let requests = world.registry.requests();
    let ranges = requests.iter().filter_map(|request| request.header("range"));
    let start = |range: &str| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
    ranges.filter_map(start).collect()
}

#[tokio::test]
async fn a_cut_is_continued_where_it_was() {
    let world = World::new();
    let image = large(Packing::Gzip);
    world.registry.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    for _ in 0..3 {
        world.registry.inject(layer, 1, Fault::CutAfter(700_000));
    }
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(ranges(&world), [700_000, 1_400_000, 2_100_000]);
}

#[tokio::test]
async fn more_cuts_than_attempts_are_survived_while_bytes_come() {
    let world = World::new();
    let image = large(Packing::Zstd);
    world.registry.add_image("app", "1", &image);
    world
        .registry
        .inject(image.layers[0].as_str(), 20, Fault::CutAfter(150_000));
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
}

#[tokio::test]
async fn without_ranges_the_known_part_is_skipped() {
    let world = World::new();
    let image = large(Packing::Gzip);
    world.registry.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    world.registry.inject(layer, 1, Fault::CutAfter(1_000_000));
    world.registry.inject(layer, 1, Fault::NoRange);
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(ranges(&world), [1_000_000]);
}

#[tokio::test]
async fn passing_troubles_are_waited_out() {
    let world = World::new();
    let image = large(Packing::Gzip);
    world.registry.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    for (part, fault) in [
        ("/v2/", Fault::Status(503, None)),
        ("/manifests/", Fault::Status(429, Some(0))),
        ("/manifests/", Fault::HangUp),
        ("/manifests/", Fault::CutAfter(10)),
        (image.id.as_str(), Fault::Status(500, None)),
        (image.id.as_str(), Fault::CutAfter(10)),
        (layer, Fault::Status(503, Some(0))),
        (layer, Fault::HangUp),
        (layer, Fault::LongerLength(10)),
        (layer, Fault::Chunked),
    ] {
        world.registry.inject(part, 1, fault);
    }
    // A length that cannot be is refused at once: no byte of that answer would be worth anything.
    let error = world.pull("app:1").await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("another length"), "{error}");
    world.check_empty();
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
}

#[tokio::test]
async fn lasting_troubles_are_told() {
    let world = World::new();
    let image = large(Packing::Gzip);
    world.registry.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    world.registry.inject(layer, 5, Fault::Status(503, None));
    let error = world.pull("app:1").await.expect_err("unavailable");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(
        error.to_string(),
        "received unexpected HTTP status: 503 Service Unavailable"
    );
    assert_eq!(world.registry.count("GET", layer), 5);
    let many = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    world.registry.inject("/manifests/", 5, Fault::Answer(429, many.into()));
    let error = world.pull("app:1").await.expect_err("too many");
    assert_eq!(
        error.to_string(),
        "toomanyrequests: You have reached your pull rate limit."
    );
    assert_eq!(world.store.images().list().len(), 0);
}

#[tokio::test]
async fn a_silent_registry_is_given_up() {
    let world = World::with(corten_distribution::endpoint::Config {
        idle_timeout: Duration::from_secs(2),
        ..crate::world::quick()
    });
    let image = large(Packing::Gzip);
    world.registry.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    world.registry.inject(layer, 1, Fault::StallAfter(500_000));
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(ranges(&world), [500_000]);
}

#[tokio::test]
async fn a_wrong_byte_anywhere_refuses_the_image_and_leaves_nothing() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let image = large(packing);
        let layer = image.layers[0].as_str();
        for at in [0, 5, 600, 1_500_000, usize::MAX] {
            let world = World::new();
            world.registry.add_image("app", "1", &image);
            world.registry.inject(layer, 1, Fault::WrongByte(at));
            let error = world.pull("app:1").await.expect_err("refused");
            assert_eq!(error.kind(), Kind::Invalid, "{packing:?} {at}: {error}");
            assert!(error.to_string().contains(layer), "{packing:?} {at}: {error}");
            world.check_empty();
        }
    }
}

#[tokio::test]
async fn wrong_documents_are_refused_and_leave_nothing() {
    let image = TestImage::small("x");
    let world = World::new();
    let digest = world.registry.add_image("app", "1", &image);
    world.registry.inject(image.id.as_str(), 1, Fault::WrongByte(3));
    let error = world.pull("app:1").await.expect_err("refused");
    assert_eq!(
        error.to_string(),
        format!("blob verification failed for digest {}", image.id)
    );
    for reference in ["app:1".to_owned(), format!("app@{digest}")] {
        world.registry.inject("/manifests/", 1, Fault::WrongByte(30));
        let error = world.pull(&reference).await.expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!("manifest verification failed for digest {digest}")
        );
    }
    world.check_empty();
}

#[tokio::test]
async fn lengths_that_lie_are_refused() {
    let image = large(Packing::Plain);
    for (faults, words) in [
        (vec![Fault::Trailing(5)], "another length"),
        (vec![Fault::CutAfter(500_000), Fault::ShiftedRange(1)], "another range"),
    ] {
        let world = World::new();
        world.registry.add_image("app", "1", &image);
        for fault in faults {
            world.registry.inject(image.layers[0].as_str(), 1, fault);
        }
        let error = world.pull("app:1").await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
        world.check_empty();
    }
}

#[tokio::test]
async fn a_layer_of_another_size_than_said_is_refused() {
    for (by, words) in [(-10_i64, "longer"), (10, "another length")] {
        let world = World::new();
        let image = TestImage::small("x");
        world.registry.add_image("app", "0", &image);
        let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).expect("JSON");
        let size = manifest["layers"][0]["size"].as_i64().expect("a size");
        manifest["layers"][0]["size"] = (size + by).into();
        let bytes = manifest.to_string().into_bytes();
        world.registry.add_manifest("app", Some("1"), &image.media_type, &bytes);
        if by < 0 {
            world.registry.inject(image.layers[0].as_str(), 1, Fault::Chunked);
        }
        let error = world.pull("app:1").await.expect_err("refused");
        assert!(error.to_string().contains(words), "{error}");
        world.check_empty();
    }
}

#[tokio::test]
async fn a_layer_that_is_not_its_configurations_is_refused() {
    let world = World::new();
    let (image, other) = (TestImage::small("x"), TestImage::small("y"));
    world.registry.add_image("app", "0", &image);
    world.registry.add_image("app", "0", &other);
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).expect("JSON");
    let stranger: serde_json::Value = serde_json::from_slice(&other.manifest).expect("JSON");
    manifest["layers"] = stranger["layers"].clone();
    let bytes = manifest.to_string().into_bytes();
    world.registry.add_manifest("app", Some("1"), &image.media_type, &bytes);
    let error = world.pull("app:1").await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Invalid);
    world.check_empty();
}

#[tokio::test]
async fn what_is_no_image_is_refused() {
    let world = World::new();
    let image = TestImage::small("x");
    world.registry.add_image("app", "good", &image);
    let good: serde_json::Value = serde_json::from_slice(&image.manifest).expect("JSON");
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest.to_string().into_bytes()
    };
    let list = index(&[image.entry("amd64", "")]);
    let list_digest = world.registry.add_manifest("app", None, INDEX, &list);
    let nested = json!({"mediaType": INDEX, "digest": list_digest, "size": list.len(),
        "platform": {"os": "linux", "architecture": "amd64"}});
    let kind = image.media_type.as_str();
    let v1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (tag, kind, bytes, words) in [
        (
            "artifact",
            kind,
            changed(&|m| m["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into()),
            "not the configuration of an image",
        ),
        (
            "foreign",
            kind,
            changed(&|m| {
                m["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into()
            }),
            "foreign.diff",
        ),
        (
            "both",
            kind,
            changed(&|m| m["manifests"] = json!([])),
            "manifest and an index at once",
        ),
        (
            "fewer",
            kind,
            changed(&|m| m["layers"] = json!([])),
            "has 1 layers, and its manifest 0",
        ),
        ("text", kind, b"hello".to_vec(), "invalid manifest"),
        ("huge", kind, vec![b' '; 5 << 20], "longer than"),
        (
            "v1",
            v1,
            br#"{"schemaVersion":1}"#.to_vec(),
            "schema 1 is not supported",
        ),
        ("lies", INDEX, image.manifest.clone(), "does not fit its media type"),
        ("nested", INDEX, index(&[nested]), "index within an index"),
    ] {
        world.registry.add_manifest("app", Some(tag), kind, &bytes);
        let error = world.pull(&format!("app:{tag}")).await.expect_err(tag);
        assert!(error.to_string().contains(words), "{tag}: {error}");
    }
    world.check_empty();
}

#[tokio::test]
async fn a_slow_registry_reports_progress() {
    let world = World::new();
    let image = large(Packing::Gzip);
    world.registry.add_image("app", "1", &image);
    let slow = Fault::Slow(300_000, Duration::from_millis(30));
    world.registry.inject(image.layers[0].as_str(), 1, slow);
    world.pull("app:1").await.expect("pulled");
    assert!(world.steps(|step| matches!(step, Step::Downloading { .. })) >= 2);
}
