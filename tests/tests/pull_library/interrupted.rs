//! Pulls that are given up, killed, or run beside each other.

use std::process::{Command, Stdio};
use std::time::Duration;

use corten_distribution::{Event, Progress, PullRequest, Registries, Step};
use corten_store::{Options, Store};
use corten_tests::images::{self, TestImage, TestLayer};
use corten_tests::registry::{Fault, Registry};

use crate::world::{World, quick};

fn large() -> TestImage {
    TestImage::new(&[TestLayer::file("noise", images::noise(5_000_000, 9))])
}

fn has_bytes(event: &Event) -> bool {
    matches!(event, Event::Layer { step: Step::Downloading { current, .. }, .. } if *current >= 2_000_000)
}

/// The offset that the last request for a layer asked for.
fn last_range(registry: &Registry) -> usize {
    let requests = registry.requests();
    let range = requests.iter().rev().find_map(|request| request.header("range"));
    let start = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    start.expect("a request with a range")
}

/// Starts a pull, waits for two million bytes, and gives it up.
async fn give_up(world: &World, image: &TestImage) {
    world.registry.add_image("app", "1", image);
    world.registry.inject(
        image.layers[0].as_str(),
        1,
        Fault::Slow(100_000, Duration::from_millis(8)),
    );
    let request = world.request(&world.at("app:1"));
    let progress = world.progress();
    tokio::select! {
        result = world.registries.pull(&world.store, &request, &progress) => {
            panic!("the pull ended: {result:?}")
        }
        () = world.wait_for(has_bytes) => {}
    }
    let download = world.download(&image.layers[0]);
    let deadline = tokio::time::Instant::now() + corten_tests::until::PATIENCE;
    while corten_sys::fs::metadata(&download).map_or(0, |file| file.len()) < 1_000_000 {
        assert!(tokio::time::Instant::now() < deadline, "no partial download");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_dropped_pull_is_continued() {
    let world = World::new();
    let image = large();
    give_up(&world, &image).await;
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert!(last_range(&world.registry) >= 1_000_000);
}

#[tokio::test]
async fn a_damaged_partial_download_is_fetched_anew() {
    let world = World::new();
    let image = large();
    give_up(&world, &image).await;
    // The store may still be letting go of the file; then there is more of it, which is as well.
    let path = world.download(&image.layers[0]);
    let mut bytes = corten_sys::fs::read(&path).expect("the partial download");
    bytes[500_000] ^= 1;
    corten_sys::fs::write(&path, bytes).expect("written");
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
}

/// Run by the next test in a process of its own, to be killed; does nothing otherwise.
#[tokio::test]
async fn child_that_pulls() {
    let (Ok(root), Ok(reference)) = (std::env::var("PULL_ROOT"), std::env::var("PULL_REFERENCE")) else {
        return;
    };
    let store = Store::open(&root, Options::default()).expect("a store");
    let request = PullRequest {
        reference: reference.parse().expect("a reference"),
        platform: None,
        auth: None,
        is_nameless: false,
    };
    let registries = Registries::new(quick());
    // Killed before it ends, or the test that started it has failed.
    let _ = registries.pull(&store, &request, &Progress::none()).await;
}

#[tokio::test]
async fn a_killed_pull_is_continued() {
    let World {
        registry,
        registries,
        store,
        events,
        root,
    } = World::new();
    drop(store);
    let image = large();
    registry.add_image("app", "1", &image);
    registry.inject(image.layers[0].as_str(), 1, Fault::StallAfter(3_000_000));
    let reference = format!("{}/app:1", registry.host());
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "interrupted::child_that_pulls"])
        .env("PULL_ROOT", root.path())
        .env("PULL_REFERENCE", &reference)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let download = root
        .path()
        .join(format!("image/downloads/sha256-{}", image.layers[0].hex()));
    let deadline = tokio::time::Instant::now() + corten_tests::until::PATIENCE;
    while corten_sys::fs::metadata(&download).map_or(0, |file| file.len()) < 3_000_000 {
        assert!(tokio::time::Instant::now() < deadline, "no partial download");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    registry.heal();
    let store = Store::open(root.path(), Options::default()).expect("a store");
    let world = World {
        registry,
        registries,
        store,
        events,
        root,
    };
    assert_eq!(world.store.layers().list().len(), 0);
    let pulled = world.pull("app:1").await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(last_range(&world.registry), 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_at_once_share_their_layers() {
    let world = World::new();
    let base = TestLayer::file("base", images::noise(2_000_000, 3));
    let one = TestImage::new(std::slice::from_ref(&base));
    let two = TestImage::new(&[base, TestLayer::file("more", "2")]);
    world.registry.add_image("one", "1", &one);
    world.registry.add_image("two", "1", &two);
    let base = one.layers[0].as_str();
    world
        .registry
        .inject(base, 1, Fault::Slow(100_000, Duration::from_millis(10)));
    let (first, second, third) = tokio::join!(world.pull("one:1"), world.pull("one:1"), world.pull("two:1"));
    world.check(&first.expect("pulled"), &one);
    world.check(&second.expect("pulled"), &one);
    world.check(&third.expect("pulled"), &two);
    assert_eq!(world.registry.count("GET", base), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_one_of_two_pulls_does_not_end_the_other() {
    let world = World::new();
    let image = large();
    world.registry.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    world
        .registry
        .inject(layer, 1, Fault::Slow(100_000, Duration::from_millis(5)));
    let request = world.request(&world.at("app:1"));
    let progress = world.progress();
    let (registries, store) = (world.registries.clone(), world.store.clone());
    let first = {
        let (request, progress) = (request.clone(), progress.clone());
        tokio::spawn(async move { registries.pull(&store, &request, &progress).await })
    };
    world.registry.wait_for("GET", layer, 1);
    let second = world.pull_request(&request);
    tokio::pin!(second);
    tokio::select! {
        _ = &mut second => panic!("too early"),
        () = world.wait_for(has_bytes) => first.abort(),
    }
    world.check(&second.await.expect("pulled"), &image);
    assert_eq!(world.registry.count("GET", layer), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pulls_failure_is_not_ours() {
    let world = World::new();
    let other = Registry::start();
    let image = large();
    world.registry.add_image("app", "1", &image);
    other.add_image("app", "1", &image);
    let layer = image.layers[0].as_str();
    other.inject(layer, 1, Fault::StallAfter(100_000));
    other.inject(layer, 9, Fault::Status(404, None));
    let elsewhere = world.request(&format!("{}/app:1", other.host()));
    let here = world.request(&world.at("app:1"));
    let (bad, good, ()) = tokio::join!(
        world.pull_request(&elsewhere),
        async {
            let waiting = |e: &Event| matches!(e, Event::Layer { .. });
            world.wait_for(waiting).await;
            world.pull_request(&here).await
        },
        async {
            let both = |registry: &Registry| registry.count("GET", "/blobs/") >= 1;
            let deadline = tokio::time::Instant::now() + corten_tests::until::PATIENCE;
            while !(both(&world.registry) && both(&other)) {
                assert!(tokio::time::Instant::now() < deadline);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            other.heal();
            other.inject(layer, 9, Fault::Status(404, None));
        }
    );
    bad.expect_err("the other registry lost the layer");
    world.check(&good.expect("pulled"), &image);
}
