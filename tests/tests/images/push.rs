//! Images sent to registries.

use corten_tests::engine::{Engine, Options};
use corten_tests::images::{TestImage, TestLayer, noise};
use corten_tests::registry::{Access, Fault};

const HOST: &str = "127.0.0.1:5000";

/// An image of this engine's own, one layer with a file.
fn made(engine: &Engine, name: &str) -> String {
    let name = format!("{HOST}/{name}");
    engine
        .sh("mkdir -p t && echo hello > t/file && tar -C t -cf t.tar .")
        .ok();
    engine.corten(["import", "t.tar", &name]).line();
    name
}

#[test]
fn what_was_pushed_can_be_pulled() {
    let engine = Engine::start();
    let name = made(&engine, "team/app:1");
    let id = engine.corten(["images", "-q", "--no-trunc", &name]).line();
    let said = engine.corten(["push", &name]).ok();
    assert!(
        said.starts_with(&format!("The push refers to repository [{HOST}/team/app]\n")),
        "{said}"
    );
    let digest = engine
        .corten(["inspect", "-f", "{{index .RepoDigests 0}}", &name])
        .line();
    let digest = digest.split_once('@').expect("a digest").1;
    assert!(said.contains(&format!("1: digest: {digest} size: ")), "{said}");
    assert_eq!(engine.corten(["push", "--quiet", &name]).line(), name);
    engine.corten(["rmi", "-f", &id]).ok();
    engine.corten(["pull", "-q", &name]).ok();
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", &name]).line(), id);
    let soon = engine.sh("echo $(($(date +%s) + 1))").line();
    let filter = ["--filter", "event=push", "--format", "{{.ID}}"];
    let events = engine
        .corten(["events", "--since", "1", "--until", &soon].iter().chain(&filter))
        .ok();
    assert_eq!(events, format!("{name}\n{name}\n"));
}

#[test]
fn a_pulled_image_keeps_its_manifest_and_sends_nothing() {
    let engine = Engine::start();
    let image = TestImage::new(&[TestLayer::file("one", "1"), TestLayer::file("two", "2")]);
    engine.registry().add_image("library/app", "latest", &image);
    engine.corten(["pull", "-q", &format!("{HOST}/library/app")]).ok();
    let copy = format!("{HOST}/copies/app:latest");
    engine.corten(["tag", &format!("{HOST}/library/app"), &copy]).ok();
    let said = engine.corten(["push", "--disable-content-trust", &copy]).ok();
    assert_eq!(said.matches(": Mounted from library/app\n").count(), 2, "{said}");
    assert!(
        said.contains(&format!("latest: digest: {} size: ", image.digest())),
        "{said}"
    );
    assert_eq!(engine.registry().count("PATCH", "/blobs/uploads/"), 0);
    assert_eq!(
        engine.registry().manifest("copies/app", "latest").as_deref(),
        Some(&image.manifest[..])
    );
    let again = engine.corten(["push", &copy]).ok();
    assert_eq!(again.matches(": Layer already exists\n").count(), 2, "{again}");
}

#[test]
fn all_tags_go_at_once() {
    let engine = Engine::start();
    let first = made(&engine, "team/app:1");
    let second = format!("{HOST}/team/app:2");
    engine.corten(["tag", &first, &second]).ok();
    engine.corten(["push", "--all-tags", &format!("{HOST}/team/app")]).ok();
    assert_eq!(engine.registry().tags("team/app"), ["1", "2"]);
    let refused = engine.corten(["push", "--all-tags", &first]).fails(1);
    assert!(refused.contains("tag can't be used with --all-tags/-a"), "{refused}");
    let pushed = engine.corten(["push", "--platform", "linux/s390x", &first]).fails(1);
    assert!(pushed.contains("does not match the specified platform"), "{pushed}");
}

#[test]
fn what_breaks_off_is_sent_again() {
    let engine = Engine::start_with(Options::default());
    let name = made(&engine, "team/app:1");
    // Where the upload begins, and where its bytes go.
    engine
        .registry()
        .inject("/blobs/uploads/", 1, Fault::Status(503, Some(0)));
    engine.registry().inject("/blobs/uploads/", 1, Fault::HangUp);
    let said = engine.corten(["push", &name]).ok();
    assert!(said.contains(": Pushed\n"), "{said}");
    assert_eq!(engine.registry().tags("team/app"), ["1"]);
}

/// An image whose only layer has a file that does not compress, and the layer's packed size at least.
fn with_noise(engine: &Engine, name: &str, length: usize) -> (String, usize) {
    let name = format!("{HOST}/{name}");
    engine.sh("mkdir -p noise").ok();
    corten_sys::fs::write(engine.work().join("noise/file"), noise(length, 7)).expect("a file");
    engine.sh("tar -C noise -cf noise.tar .").ok();
    engine.corten(["import", "noise.tar", &name]).line();
    (name, length)
}

#[test]
fn a_cut_upload_goes_on_where_it_was() {
    let engine = Engine::start();
    let (name, size) = with_noise(&engine, "team/large:1", 12_000_000);
    let registry = engine.registry();
    // In the middle of the stream, and again in the middle of a later part.
    registry.inject("PATCH /v2/team/large/", 1, Fault::CutUpload(5_000_000));
    registry.inject("PATCH /v2/team/large/", 1, Fault::CutUpload(1_000_000));
    registry.inject("PATCH /v2/team/large/", 1, Fault::Status(503, Some(0)));
    let said = engine.corten(["push", &name]).ok();
    assert!(said.contains(": Pushed\n"), "{said}");
    let sent: Vec<_> = registry
        .requests()
        .into_iter()
        .filter(|r| r.method == "PATCH")
        .collect();
    // The third was refused whole.
    let taken = sent.iter().enumerate().filter(|(n, _)| *n != 2);
    let bytes: usize = taken.map(|(_, request)| request.body.len()).sum();
    assert!(bytes >= size && bytes < size + 200_000, "{bytes} of {size} were sent");
    let starts: Vec<_> = sent
        .iter()
        .map(|r| r.header("content-range").and_then(|r| r.split('-').next()))
        .collect();
    assert_eq!(starts[..4], [None, Some("5000000"), Some("6000000"), Some("6000000")]);
    // One upload for the layer, one for the configuration.
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 2);
    let id = engine.corten(["images", "-q", "--no-trunc", &name]).line();
    engine.corten(["rmi", "-f", &id]).ok();
    engine.corten(["pull", "-q", &name]).ok();
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", &name]).line(), id);
}

#[test]
fn an_upload_that_the_registry_gave_up_begins_anew() {
    let engine = Engine::start();
    let (name, _) = with_noise(&engine, "team/large:1", 2_000_000);
    let registry = engine.registry();
    registry.inject("PATCH /v2/team/large/", 1, Fault::CutUpload(1_000_000));
    let gone = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}"#;
    registry.inject(
        "GET /v2/team/large/blobs/uploads/",
        1,
        Fault::Answer(404, gone.to_owned()),
    );
    let said = engine.corten(["push", &name]).ok();
    assert!(said.contains(": Pushed\n"), "{said}");
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 3);
    assert_eq!(registry.tags("team/large"), ["1"]);
}

#[test]
fn what_is_there_is_asked_for_once_a_layer() {
    let engine = Engine::start();
    let layers: Vec<_> = (0..6)
        .map(|n| TestLayer::file(&format!("f{n}"), format!("{n}")))
        .collect();
    engine
        .registry()
        .add_image("library/app", "1", &TestImage::new(&layers));
    let name = format!("{HOST}/library/app:1");
    engine.corten(["pull", "-q", &name]).ok();
    // Another form of a layer, elsewhere, is not asked for.
    engine.corten(["push", "-q", &name]).ok();
    let registry = engine.registry();
    let before = registry.requests().len();
    let said = engine.corten(["push", &name]).ok();
    assert_eq!(said.matches(": Layer already exists\n").count(), 6, "{said}");
    let requests = registry.requests();
    let asked: Vec<_> = requests[before..].iter().map(|r| r.method.as_str()).collect();
    let count = |method: &str| asked.iter().filter(|asked| **asked == method).count();
    // Six layers and the configuration; the question whether it is a registry; the manifest.
    assert_eq!(
        (count("HEAD"), count("GET"), count("PUT"), asked.len()),
        (7, 1, 1, 9),
        "{asked:?}"
    );
    if let Some(docker) = engine.docker(["push", &name]) {
        let said = docker.ok();
        assert_eq!(said.matches(": Layer already exists\n").count(), 6, "{said}");
    }
}

#[test]
fn tokens_for_a_mount_allow_both_repositories() {
    let engine = Engine::start();
    let account = ("friend".to_owned(), "password".to_owned());
    engine.registry().restrict(Access::Bearer(Some(account)));
    engine
        .registry()
        .add_image("library/app", "1", &TestImage::new(&[TestLayer::file("one", "1")]));
    engine.corten(["login", "-u", "friend", "-p", "password", HOST]).ok();
    engine.corten(["pull", "-q", &format!("{HOST}/library/app:1")]).ok();
    let copy = format!("{HOST}/copies/app:1");
    engine.corten(["tag", &format!("{HOST}/library/app:1"), &copy]).ok();
    let said = engine.corten(["push", &copy]).ok();
    assert_eq!(said.matches(": Mounted from library/app\n").count(), 1, "{said}");
    assert_eq!(engine.registry().count("PATCH", "/blobs/"), 0);
    let scopes: Vec<_> = engine
        .registry()
        .requests()
        .iter()
        .filter_map(|request| request.form("scope"))
        .collect();
    let both = "repository:copies/app:pull,push repository:library/app:pull";
    assert!(scopes.iter().any(|asked| asked == both), "{scopes:?}");
}

#[test]
fn refusals_say_who_refused_and_leave_no_tag() {
    let engine = Engine::start();
    let name = made(&engine, "team/app:1");
    engine
        .registry()
        .restrict(Access::Bearer(Some(("friend".into(), "password".into()))));
    let refused = engine.corten(["push", &name]).fails(1);
    assert!(
        refused.contains("unauthorized") || refused.contains("denied"),
        "{refused}"
    );
    assert!(engine.registry().tags("team/app").is_empty());
    let answered = engine.http("POST", "/images/nosuch/push?tag=1", None);
    assert_eq!(answered.status, 200);
    assert!(
        answered
            .text()
            .contains("An image does not exist locally with the tag: nosuch"),
        "{}",
        answered.text()
    );
}
