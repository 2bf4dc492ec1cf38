//! Who may pull: credentials, tokens, and where they must not go.

use corten_distribution::{AuthConfig, Kind};
use corten_tests::images::{self, TestImage, TestLayer};
use corten_tests::registry::{Access, Fault, Registry};

use crate::world::World;

fn bob(password: &str) -> AuthConfig {
    AuthConfig {
        username: "bob".into(),
        password: password.into(),
        ..AuthConfig::default()
    }
}

fn bobs() -> (String, String) {
    ("bob".into(), "s3cret".into())
}

fn world_with(access: Access) -> (World, TestImage) {
    let world = World::new();
    let image = TestImage::new(&[TestLayer::file("f", "x"), TestLayer::file("g", "y")]);
    world.registry.add_image("team/app", "1", &image);
    world.registry.restrict(access);
    (world, image)
}

#[tokio::test]
async fn basic() {
    let (user, password) = bobs();
    let (world, image) = world_with(Access::Basic(user, password));
    let error = world.pull("team/app:1").await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    let error = world.pull_as("team/app:1", bob("wrong")).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Unauthorized);
    let pulled = world.pull_as("team/app:1", bob("s3cret")).await.expect("pulled");
    world.check(&pulled, &image);
}

#[tokio::test]
async fn tokens_for_everybody_are_fetched_once() {
    let (world, image) = world_with(Access::Bearer(None));
    let pulled = world.pull("team/app:1").await.expect("pulled");
    world.check(&pulled, &image);
    world.pull("team/app:1").await.expect("pulled");
    assert_eq!(world.registry.count("GET", "/token"), 1);
    let asked = world
        .registry
        .requests()
        .into_iter()
        .find(|r| r.path.starts_with("/token"));
    let asked = asked.expect("a request");
    assert_eq!(asked.query("scope").as_deref(), Some("repository:team/app:pull"));
    assert_eq!(asked.query("service").as_deref(), Some("test"));
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn tokens_for_a_user() {
    let (world, image) = world_with(Access::Bearer(Some(bobs())));
    let error = world.pull_as("team/app:1", bob("wrong")).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = error.to_string();
    assert!(text.ends_with("unauthorized: incorrect username or password"), "{text}");
    assert!(!text.contains("wrong") && !format!("{error:?}").contains("wrong"));
    let pulled = world.pull_as("team/app:1", bob("s3cret")).await.expect("pulled");
    world.check(&pulled, &image);
}

#[tokio::test]
async fn identity_and_registry_tokens() {
    let (world, image) = world_with(Access::Bearer(Some(bobs())));
    let auth = AuthConfig {
        identitytoken: "identity-bob".into(),
        ..AuthConfig::default()
    };
    let pulled = world.pull_as("team/app:1", auth).await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(world.registry.count("POST", "/token"), 1);
    let requests = world.registry.requests();
    let used = requests
        .iter()
        .find_map(|r| r.header("authorization")?.strip_prefix("Bearer "));
    let auth = AuthConfig {
        registrytoken: used.expect("a token").into(),
        ..AuthConfig::default()
    };
    world.pull_as("team/app:1", auth).await.expect("pulled");
    assert_eq!(world.registry.count("POST", "/token"), 1);
}

#[tokio::test]
async fn a_token_that_expired_is_replaced() {
    let (world, image) = world_with(Access::Bearer(None));
    world.pull("team/app:1").await.expect("pulled");
    world.registry.revoke_tokens();
    let other = TestImage::new(&[TestLayer::file("other", images::noise(1000, 1))]);
    world.registry.add_image("team/app", "2", &other);
    let pulled = world.pull("team/app:2").await.expect("pulled");
    world.check(&pulled, &other);
    assert_eq!(world.registry.count("GET", "/token"), 2);
    assert_eq!(world.store.images().get(&image.id).expect("there").names().len(), 1);
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_there() {
    let (world, _) = world_with(Access::Bearer(None));
    let error = world.pull("team/secret:1").await.expect_err("hidden");
    assert_eq!(error.kind(), Kind::NotFound);
    let name = world.at("team/secret");
    assert_eq!(
        error.to_string(),
        format!(
            "pull access denied for {name}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
        )
    );
}

#[tokio::test]
async fn redirects_take_no_credentials_along() {
    let (user, password) = bobs();
    let (world, image) = world_with(Access::Basic(user, password));
    let elsewhere = Registry::start();
    elsewhere.add_image("team/app", "1", &image);
    let target = format!("http://{}", elsewhere.host());
    world.registry.inject("/blobs/", 9, Fault::RedirectTo(target));
    let pulled = world.pull_as("team/app:1", bob("s3cret")).await.expect("pulled");
    world.check(&pulled, &image);
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn redirects_end() {
    let (world, _) = world_with(Access::Open);
    let itself = format!("http://{}", world.registry.host());
    world.registry.inject("/manifests/", 99, Fault::RedirectTo(itself));
    let error = world.pull("team/app:1").await.expect_err("refused");
    assert!(error.to_string().ends_with("stopped after 10 redirects"), "{error}");
    world.registry.heal();
    world
        .registry
        .inject("/manifests/", 1, Fault::RedirectTo("file:///etc".into()));
    let error = world.pull("team/app:1").await.expect_err("refused");
    assert!(error.to_string().contains("redirect"), "{error}");
}

#[tokio::test]
async fn credentials_are_not_sent_for_tokens_in_the_clear() {
    let (world, _) = world_with(Access::Bearer(Some(bobs())));
    for realm in ["http://192.0.2.1/token", "ftp://127.0.0.1/token", "nonsense"] {
        world.registry.set_realm(realm);
        let error = world.pull_as("team/app:1", bob("s3cret")).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains(realm), "{error}");
    }
}
