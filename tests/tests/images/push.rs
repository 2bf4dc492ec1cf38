//! Images sent to registries.

use corten_tests::engine::{Engine, Options};
use corten_tests::images::{TestImage, TestLayer};
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
