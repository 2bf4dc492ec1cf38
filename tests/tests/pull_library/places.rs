//! Where images come from: what is not there, mirrors, proxies.

use corten_distribution::Kind;
use corten_distribution::endpoint::{Config, Proxies};
use corten_tests::images::TestImage;
use corten_tests::registry::{Fault, Registry};

use crate::world::{World, quick};

#[tokio::test]
async fn what_is_not_there_is_told_in_dockers_words() {
    let world = World::new();
    world.registry.add_image("gp/fresh", "1", &TestImage::small("x"));
    for name in ["gp/fresh:nosuch", "gp/nosuch:1"] {
        let error = world.pull(name).await.expect_err("not there");
        assert_eq!(error.kind(), Kind::NotFound);
        let name = world.at(name);
        assert_eq!(
            error.to_string(),
            format!("manifest for {name} not found: manifest unknown: manifest unknown")
        );
    }
    let error = world.pull("gp/fresh").await.expect_err("no latest");
    let name = world.at("gp/fresh:latest");
    assert!(
        error.to_string().starts_with(&format!("manifest for {name} not found")),
        "{error}"
    );
    assert_eq!(world.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_refused_connection_is_told_in_dockers_words() {
    let world = World::new();
    let request = world.request("127.0.0.1:1/gp-nosuch:1");
    let error = world.pull_request(&request).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(
        error.to_string(),
        "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"
    );
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_without_credentials() {
    let (broken, lacking, good) = (Registry::start(), Registry::start(), Registry::start());
    let mirrors = [&broken, &lacking, &good].map(|m| format!("http://{}", m.host()));
    let world = World::with(Config {
        mirrors: mirrors.iter().map(|m| m.parse().expect("a mirror")).collect(),
        ..quick()
    });
    let image = TestImage::small("mirrored");
    broken.add_image("library/app", "1", &image);
    broken.inject("/blobs/", 99, Fault::WrongByte(5));
    good.add_image("library/app", "1", &image);
    let mut request = world.request("app:1");
    request.auth = Some(corten_distribution::AuthConfig {
        username: "bob".into(),
        password: "s3cret".into(),
        ..Default::default()
    });
    let pulled = world.pull_request(&request).await.expect("pulled");
    world.check(&pulled, &image);
    assert_eq!(pulled.reference.familiar(), "app:1");
    assert_eq!(lacking.count("GET", "/manifests/1"), 1);
    for mirror in [&broken, &lacking, &good] {
        let requests = mirror.requests();
        assert!(requests.iter().all(|request| request.header("authorization").is_none()));
    }
    let layer = world.store.layers().get(&image.diff_ids[0]).expect("there");
    assert_eq!(layer.blobs()[0].sources, ["docker.io/library/app"]);
}

#[tokio::test]
async fn an_insecure_registry_is_reached_through_a_proxy() {
    // An address for documentation (RFC 5737): only through the proxy is there an answer.
    const FAR: &str = "192.0.2.10:5000";
    let proxy = Registry::start();
    let image = TestImage::small("far");
    proxy.add_image("app", "1", &image);
    let address = format!("http://user:p%40ss@{}", proxy.host());
    let world = World::with(Config {
        insecure: vec!["192.0.2.0/24".parse().expect("a network")],
        proxies: Proxies {
            http: Some(address.clone()),
            https: Some(address),
            no_proxy: String::new(),
        },
        ..quick()
    });
    let request = world.request(&format!("{FAR}/app:1"));
    let pulled = world.pull_request(&request).await.expect("pulled");
    world.check(&pulled, &image);
    let requests = proxy.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("CONNECT", FAR)
    );
    let gets: Vec<_> = requests.iter().filter(|r| r.method == "GET").collect();
    assert!(gets.iter().all(|r| r.header("host") == Some(FAR)));
    let secret = "Basic dXNlcjpwQHNz";
    assert!(requests.iter().all(|r| r.header("proxy-authorization") == Some(secret)));
}
