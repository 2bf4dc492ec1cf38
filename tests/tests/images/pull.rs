//! Images fetched from registries, by ours and by Docker's own command line.

use corten_tests::engine::Engine;
use corten_tests::images::{Packing, TestImage, TestLayer, noise};
use corten_tests::registry::{Access, Fault};

const HOST: &str = "127.0.0.1:5000";

#[test]
fn every_tag_is_pulled_at_once() {
    let engine = Engine::start();
    let name = format!("{HOST}/team/app");
    // More tags than a page has.
    for tag in ["1", "2", "3", "4", "5"] {
        engine.registry().add_image("team/app", tag, &TestImage::small(tag));
    }
    let said = engine.corten(["pull", "--all-tags", &name]).ok();
    assert!(
        said.contains("5: Pulling from team/app\n") && said.ends_with(&format!("{name}\n")),
        "{said}"
    );
    let tags = || {
        engine
            .corten(["images", "--format", "{{.Tag}}", &name])
            .ok()
            .lines()
            .count()
    };
    assert_eq!(tags(), 5);
    let refused = engine.corten(["pull", "-a", &format!("{name}:1")]).fails(1);
    assert!(refused.contains("tag can't be used with --all-tags/-a"), "{refused}");
    if let Some(docker) = engine.docker(["pull", "-a", "-q", &name]) {
        docker.ok();
        assert_eq!(tags(), 5);
    }
}

#[test]
fn a_tag_that_moves_during_a_pull_gives_one_image_whole() {
    let engine = Engine::start();
    let image = |seed: u64| TestImage::new(&[TestLayer::file("data", noise(400_000, seed))]);
    let (old, new) = (image(1), image(2));
    let name = format!("{HOST}/team/app:1");
    let registry = engine.registry();
    registry.add_image("team/app", "1", &old);
    let layer = format!("/blobs/{}", old.layers[0]);
    registry.inject(&layer, 1, Fault::StallAfter(100_000));
    let pulling = engine.corten(["pull", &name]).spawn();
    registry.wait_for("GET", &layer, 1);
    registry.add_image("team/app", "1", &new);
    registry.heal();
    let pulled = pulling.wait();
    assert_eq!(pulled.code, 0, "{pulled}");
    // What the tag led to when it was asked.
    assert!(
        pulled.stdout.contains(&format!("Digest: {}\n", old.digest())),
        "{pulled}"
    );
    let id = || engine.corten(["images", "-q", "--no-trunc", &name]).line();
    assert_eq!(id(), old.id.to_string());
    let again = engine.corten(["pull", &name]).ok();
    assert!(again.contains(&format!("Digest: {}\n", new.digest())), "{again}");
    assert_eq!(id(), new.id.to_string());
    // The old digest still leads to the old image.
    let by_digest = format!("{HOST}/team/app@{}", old.digest());
    engine.corten(["pull", "-q", &by_digest]).ok();
    assert_eq!(
        engine.corten(["image", "inspect", "-f", "{{.Id}}", &by_digest]).line(),
        old.id.to_string()
    );
}

#[test]
fn layers_of_every_packing_arrive() {
    let engine = Engine::start();
    let layers = [Packing::Plain, Packing::Gzip, Packing::Zstd].map(|packing| {
        let name = format!("{packing:?}");
        TestLayer::file(&name, noise(50_000, 3)).packed(packing)
    });
    let image = TestImage::new(&layers);
    engine.registry().add_image("team/app", "1", &image);
    let name = format!("{HOST}/team/app:1");
    engine.corten(["pull", "-q", &name]).ok();
    // Each goes on as it came.
    let copy = format!("{HOST}/copies/app:1");
    engine.corten(["tag", &name, &copy]).ok();
    let said = engine.corten(["push", &copy]).ok();
    assert!(
        said.contains(&format!("1: digest: {} size: ", image.digest())),
        "{said}"
    );
}

#[test]
fn credentials_go_to_the_token_server_and_to_nobody_else() {
    let engine = Engine::start();
    let account = ("friend".to_owned(), "password".to_owned());
    // The registry sends for tokens to another host, and for layers to a third.
    let tokens = engine.start_registry("127.0.0.2:5001");
    tokens.restrict(Access::Bearer(Some(account.clone())));
    let store = engine.start_registry("127.0.0.3:5002");
    let image = TestImage::small("far away");
    store.add_image("team/app", "1", &image);
    let registry = engine.registry();
    registry.add_image("team/app", "1", &image);
    registry.restrict(Access::Bearer(Some(account)));
    registry.set_realm("http://127.0.0.2:5001/token");
    // Tokens of the other host are good here.
    registry.trust(&tokens);
    registry.inject(
        &format!("/blobs/{}", image.layers[0]),
        1,
        Fault::RedirectTo("http://127.0.0.3:5002".to_owned()),
    );
    engine.corten(["login", "-u", "friend", "-p", "password", HOST]).ok();
    engine.corten(["pull", "-q", &format!("{HOST}/team/app:1")]).ok();
    let basic = |request: &corten_tests::registry::Request| {
        let header = request.header("authorization").unwrap_or_default().to_owned();
        header.starts_with("Basic") || request.body.windows(13).any(|part| part == b"refresh_token")
    };
    assert!(
        tokens.requests().iter().any(basic),
        "the token server is to know who asks"
    );
    assert!(
        !registry.requests().iter().any(basic),
        "the registry is shown tokens alone"
    );
    let far = store.requests();
    assert!(far.iter().any(|request| request.path.contains("/blobs/")));
    assert!(far.iter().all(|request| request.header("authorization").is_none()));
    // Elsewhere and without TLS, credentials could be read on the way.
    registry.set_realm("http://192.0.2.1/token");
    engine.crash();
    let refused = engine.corten(["pull", "-q", &format!("{HOST}/team/app:1")]).fails(1);
    assert!(refused.contains("http://192.0.2.1/token"), "{refused}");
}
