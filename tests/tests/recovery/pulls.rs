//! Pulls that the engine's death cuts off.

use corten_tests::engine::{Engine, Options};
use corten_tests::images::{TestImage, TestLayer, noise};
use corten_tests::registry::Fault;
use corten_tests::until;

use crate::scene::has_died;

const SIZE: usize = 6 << 20;

fn big() -> TestImage {
    let layer = |path: &str, seed| TestLayer::file(path, noise(SIZE, seed));
    TestImage::new(&[layer("first", 1), layer("second", 2)])
}

#[test]
fn a_pull_goes_on_where_it_was() {
    let engine = Engine::start();
    let image = big();
    engine.registry().add_image("library/big", "latest", &image);
    let slow = format!("/blobs/{}", image.layers[1]);
    engine.registry().inject(&slow, 1, Fault::StallAfter(4 << 20));
    let pull = engine.corten(["pull", "big"]).spawn();
    engine.registry().wait_for("GET", "/blobs/", 3);
    let size = || {
        engine
            .sh(&format!("du -sb {} | cut -f1", engine.data_root().display()))
            .line()
    };
    until::is("most of it is there", || {
        size().parse::<usize>().is_ok_and(|bytes| bytes > SIZE + (3 << 20))
    });
    engine.kill();
    engine.registry().heal();
    assert_ne!(pull.wait().code, 0);
    engine.launch();
    assert_eq!(engine.corten(["images", "-q"]).ok(), "", "half an image is none");
    engine.corten(["pull", "big"]).ok();
    for layer in &image.layers {
        let part = format!("/blobs/{layer}");
        let requests: Vec<_> = engine
            .registry()
            .requests()
            .into_iter()
            .filter(|r| r.path.contains(&part))
            .collect();
        let again = requests
            .get(1)
            .map(|request| request.header("range").unwrap_or("all of it").to_owned());
        // Whole by then, or asked for from where it was.
        assert!(
            requests.len() <= 2 && again.is_none_or(|range| range.len() > "bytes=1000000-".len() - 1),
            "{requests:?}"
        );
    }
}

#[test]
fn a_pull_that_ended_with_the_engine_is_whole_or_not_there() {
    let env = vec![("CORTEN_CRASH_AT".to_owned(), "pull:stored".to_owned())];
    let mut engine = Engine::start_with(Options {
        env,
        ..Options::default()
    });
    engine.registry().add_image("library/big", "latest", &big());
    assert_ne!(engine.corten(["pull", "big"]).run().code, 0);
    has_died(&mut engine);
    engine.launch();
    assert!(!engine.corten(["images", "-q"]).ok().is_empty());
    engine.corten(["pull", "big"]).ok();
    engine.corten(["rmi", "big"]).ok();
}
