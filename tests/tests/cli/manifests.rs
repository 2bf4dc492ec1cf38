//! `manifest …`: lists put together here, with ours and with Docker's own command line.

use corten_oci::digest::Digest;
use corten_tests::{
    command::Finished,
    engine::{Engine, Options, REGISTRY},
    images::{Dialect, TestImage, TestLayer},
};
use serde_json::Value;

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An engine that does not run, and a registry with an image for each of two platforms.
fn ready(dialect: Dialect) -> (Engine, [TestImage; 2]) {
    let engine = Engine::prepared(Options::default());
    let image = |text: &str, architecture: &str| TestImage::with(&[TestLayer::file("f", text)], architecture, dialect);
    let images = [image("one", "amd64"), image("two", "arm64")];
    engine.registry().add_image("team/app", "amd", &images[0]);
    engine.registry().add_image("team/app", "arm", &images[1]);
    engine.registry().add_image("other/app", "arm", &images[1]);
    (engine, images)
}

/// A name at the registry.
fn at(name: &str) -> String {
    format!("{REGISTRY}/{name}")
}

/// Runs a command with ours and, into another folder, with Docker's own; both must say the same.
fn both(engine: &Engine, arguments: &[&str]) -> Finished {
    let ours = engine.corten(arguments).run();
    if let Some(docker) = engine.docker(arguments) {
        let folder = engine.work().join("dockers");
        let theirs = docker.env("DOCKER_CONFIG", folder).run();
        assert_eq!(
            (ours.code, &ours.stdout, &ours.stderr),
            (theirs.code, &theirs.stdout, &theirs.stderr),
            "{arguments:?}"
        );
    }
    ours
}

#[test]
fn a_list_is_made_annotated_and_pushed() {
    let (engine, images) = ready(Dialect::Docker);
    let (list, amd, arm) = (at("team/app:1"), at("team/app:amd"), at("team/app:arm"));
    let created = both(&engine, &["manifest", "create", "--insecure", &list, &amd, &arm]);
    assert_eq!(created.stdout, format!("Created manifest list {list}\n"), "{created}");
    let refused = both(&engine, &["manifest", "create", "--insecure", &list, &amd]);
    assert_eq!(
        refused.stderr,
        "refusing to amend an existing manifest list with no --amend flag\n"
    );
    both(
        &engine,
        &[
            "manifest",
            "annotate",
            "--os=linux",
            "--arch=arm",
            "--variant=v7",
            "--os-version=1.0",
            "--os-features=a,b",
            &list,
            &arm,
        ],
    );
    let refused = both(&engine, &["manifest", "annotate", "--arch", "abacus", &list, &arm]);
    assert_eq!(refused.code, 1, "{refused}");
    let shown = both(&engine, &["manifest", "inspect", &list]);
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["manifests"][1]["platform"]["variant"], "v7");
    both(&engine, &["manifest", "inspect", "--verbose", &list]);
    both(&engine, &["manifest", "inspect", &list, &arm]);
    both(&engine, &["manifest", "inspect", "-v", &list, &arm]);
    let pushed = both(&engine, &["manifest", "push", "--insecure", &list]);
    let sent = engine.registry().manifest("team/app", "1").expect("the list");
    assert_eq!(pushed.stdout, format!("{}\n", Digest::sha256(&sent)), "{pushed}");
    // Each is at home in the list's repository already.
    assert_eq!(engine.registry().count("POST", "/blobs/uploads/"), 0);
    let purged = both(&engine, &["manifest", "push", "--insecure", "--purge", &list]);
    assert_eq!(purged.code, 0, "{purged}");
    let gone = both(&engine, &["manifest", "push", "--insecure", &list]);
    assert_eq!(gone.stderr, format!("No such manifest: {list}\n"));
    // Now it is the registry's.
    let shown = both(&engine, &["manifest", "inspect", "--insecure", &list]);
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["mediaType"], LIST);
    assert_eq!(document["manifests"][0]["digest"], images[0].digest().to_string());
    both(&engine, &["manifest", "inspect", "--insecure", "-v", &list]);
}

#[test]
fn images_of_other_repositories_come_along() {
    let (engine, images) = ready(Dialect::Oci);
    let (list, amd) = (at("team/app:1"), at("team/app:amd"));
    both(&engine, &["manifest", "create", "--insecure", &list, &amd]);
    let amended = both(
        &engine,
        &[
            "manifest",
            "create",
            "--insecure",
            "--amend",
            &list,
            &at("other/app:arm"),
        ],
    );
    assert_eq!(amended.code, 0, "{amended}");
    // The registry is to have it there by the mount alone.
    let digest = images[1].digest();
    let pushed = both(&engine, &["manifest", "push", "--insecure", &list]);
    assert!(
        pushed.stdout.starts_with(&format!(
            "Pushed ref {REGISTRY}/team/app@{digest} with digest: {digest}\n"
        )),
        "{pushed}"
    );
    let sent = engine.registry().manifest("team/app", "1").expect("the list");
    let document: Value = serde_json::from_slice(&sent).expect("JSON");
    assert_eq!(document["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(engine.registry().count("PATCH", "/blobs/uploads/"), 0);
    engine.launch();
    engine.corten(["pull", "-q", "--platform", "linux/arm64", &list]).ok();
    assert_eq!(
        engine.corten(["images", "-q", "--no-trunc", &list]).line(),
        images[1].id.to_string()
    );
}

#[test]
fn lists_are_forgotten_and_refusals_say_why() {
    let (engine, _) = ready(Dialect::Docker);
    let (list, amd) = (at("team/app:1"), at("team/app:amd"));
    both(&engine, &["manifest", "create", "--insecure", &list, &amd]);
    // Docker's lists are ours, and the other way round.
    let folder = engine.work().join("dockers");
    let shared = engine
        .corten(["manifest", "inspect", &list])
        .env("DOCKER_CONFIG", folder);
    assert_eq!(shared.ok(), engine.corten(["manifest", "inspect", &list]).ok());
    both(&engine, &["manifest", "rm", &list]);
    let gone = both(&engine, &["manifest", "rm", &list, &at("team/none:1")]);
    assert_eq!(gone.stderr.lines().count(), 2, "{gone}");
    let missing = both(&engine, &["manifest", "annotate", "--arch", "arm", &list, &amd]);
    assert_eq!(
        missing.stderr,
        format!("manifest for image {amd} does not exist in {list}\n")
    );
    let missing = both(&engine, &["manifest", "inspect", &list, &amd]);
    assert_eq!(missing.stderr, format!("No such manifest: {amd}\n"));
    let bad = both(&engine, &["manifest", "create", "Bad", "x"]);
    assert!(
        bad.stderr
            .starts_with("error parsing name for manifest list Bad: invalid reference format"),
        "{bad}"
    );
    let none = engine.corten(["manifest", "inspect", &at("team/none:1")]).fails(1);
    assert!(none.contains("manifest unknown"), "{none}");
    let elsewhere = "other.test/app:1";
    both(&engine, &["manifest", "create", "--insecure", elsewhere, &amd]);
    let refused = both(&engine, &["manifest", "push", "--insecure", elsewhere]);
    assert_eq!(
        refused.stderr,
        format!("cannot use source images from a different registry than the target image: {REGISTRY} != other.test\n")
    );
    let nested = at("team/app:list");
    both(&engine, &["manifest", "create", "--insecure", &nested, &amd]);
    both(&engine, &["manifest", "push", "--insecure", &nested]);
    let refused = both(&engine, &["manifest", "create", "--insecure", &list, &nested]);
    assert_eq!(refused.stderr, format!("{nested} is a manifest list\n"));
}

#[test]
fn a_registry_that_wants_credentials_gets_the_ones_that_are_kept() {
    use corten_tests::registry::Access;
    let (engine, _) = ready(Dialect::Docker);
    let account = ("friend".to_owned(), "password".to_owned());
    engine.registry().restrict(Access::Bearer(Some(account)));
    let list = at("team/app:1");
    let refused = engine.corten(["manifest", "create", &list, &at("team/app:amd")]).run();
    assert_ne!(refused.code, 0, "{refused}");
    engine.launch();
    engine
        .corten(["login", "-u", "friend", "-p", "password", REGISTRY])
        .ok();
    engine
        .corten(["manifest", "create", &list, &at("team/app:amd"), &at("other/app:arm")])
        .ok();
    engine.corten(["manifest", "push", &list]).ok();
    assert!(engine.registry().manifest("team/app", "1").is_some());
}
