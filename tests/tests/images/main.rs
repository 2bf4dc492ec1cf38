//! Images as their users see them: pulled, named, saved, loaded, removed.

mod platforms;
mod pull;
mod push;

use corten_tests::engine::{Engine, Options};
use corten_tests::images::{TestImage, TestLayer};
use corten_tests::registry::Access;

#[test]
fn a_pull_shows_its_layers() {
    let engine = Engine::start();
    let image = TestImage::new(&[TestLayer::file("one", "1"), TestLayer::file("two", "2")]);
    engine.registry().add_image("library/app", "latest", &image);
    let said = engine.corten(["pull", "app"]).ok();
    assert!(
        said.starts_with("Using default tag: latest\nlatest: Pulling from library/app\n"),
        "{said}"
    );
    assert_eq!(said.matches(": Pull complete\n").count(), 2, "{said}");
    assert!(said.contains(&format!("Digest: {}\n", image.digest())), "{said}");
    assert!(
        said.ends_with("Status: Downloaded newer image for app:latest\ndocker.io/library/app:latest\n"),
        "{said}"
    );
    let again = engine.corten(["pull", "app"]).ok();
    assert!(again.contains("Status: Image is up to date for app:latest"), "{again}");
}

#[test]
fn shared_layers_are_fetched_once() {
    let engine = Engine::start();
    let base = TestLayer::file("base", "the base");
    engine.registry().add_image(
        "library/one",
        "latest",
        &TestImage::new(&[base.clone(), TestLayer::file("one", "1")]),
    );
    engine.registry().add_image(
        "library/two",
        "latest",
        &TestImage::new(&[base.clone(), TestLayer::file("two", "2")]),
    );
    engine.corten(["pull", "-q", "one"]).ok();
    let said = engine.corten(["pull", "two"]).ok();
    assert_eq!(said.matches(": Already exists\n").count(), 1, "{said}");
    // Removing one leaves the other whole.
    engine.corten(["rmi", "one"]).ok();
    engine.corten(["save", "-o", "two.tar", "two"]).ok();
}

#[test]
fn names_tags_and_digests() {
    let engine = Engine::start();
    let image = TestImage::small("hello");
    engine.registry().add_image("library/app", "1.0", &image);
    let by_digest = format!("app@{}", image.digest());
    engine.corten(["pull", "-q", &by_digest]).ok();
    let id = engine.corten(["images", "-q", "--no-trunc"]).line();
    assert_eq!(id, image.id.to_string());
    engine.corten(["tag", &id, "mine:1"]).ok();
    engine.corten(["tag", "mine:1", "other.test:5000/team/mine:2"]).ok();
    assert_eq!(
        engine.corten(["inspect", "-f", "{{len .RepoTags}}", &id[7..19]]).line(),
        "2"
    );
    let removed = engine.corten(["rmi", "mine:1"]).ok();
    assert_eq!(removed, "Untagged: mine:1\n");
    let removed = engine.corten(["rmi", "-f", &id]).ok();
    assert!(
        removed.contains("Untagged: other.test:5000/team/mine:2") && removed.contains(&format!("Deleted: {id}")),
        "{removed}"
    );
    assert_eq!(engine.corten(["images", "-aq"]).ok(), "");
}

#[test]
fn save_and_load_keep_the_image_s_identity() {
    let engine = Engine::start_with(Options::with_images(&["nginx:latest"]));
    engine.corten(["pull", "-q", "nginx"]).ok();
    let id = engine.corten(["images", "-q", "--no-trunc", "nginx"]).line();
    engine.corten(["save", "-o", "nginx.tar", "nginx"]).ok();
    engine.corten(["rmi", "nginx"]).ok();
    assert_eq!(
        engine.corten(["load", "-i", "nginx.tar"]).ok(),
        "Loaded image: nginx:latest\n"
    );
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", "nginx"]).line(), id);
    assert!(
        engine
            .corten(["run", "--rm", "nginx", "nginx", "-v"])
            .run()
            .stderr
            .contains("nginx version")
    );
}

#[test]
fn real_docker_archives_come_and_go() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let script = "mkdir -p look && tar -C look -xf - < box.tar && ls look";
    engine.corten(["save", "-o", "box.tar", "busybox"]).ok();
    let files = engine.sh(script).ok();
    for name in ["manifest.json", "oci-layout", "index.json", "blobs", "repositories"] {
        assert!(files.lines().any(|file| file == name), "no {name} in {files}");
    }
}

#[test]
fn import_makes_an_image_of_a_tree() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
        .sh("mkdir -p tree/bin && cp $(command -v busybox) tree/bin/ && tar -C tree -cf tree.tar .")
        .ok();
    let options = [
        "import",
        "-c",
        "ENV A=1",
        "-c",
        "ENTRYPOINT [\"/bin/busybox\",\"echo\"]",
        "-m",
        "by hand",
        "tree.tar",
        "made:1",
    ];
    let id = engine.corten(options).line();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(engine.corten(["run", "--rm", "made:1", "ran"]).ok(), "ran\n");
    let history = engine.corten(["history", "made:1", "--format", "{{.Comment}}"]).ok();
    assert_eq!(history, "by hand\n");
}

#[test]
fn a_registry_that_wants_to_know_who_asks() {
    let engine = Engine::start();
    engine
        .registry()
        .add_image("library/app", "latest", &TestImage::small("for friends"));
    engine
        .registry()
        .restrict(Access::Bearer(Some(("friend".into(), "password".into()))));
    engine.corten(["pull", "-q", "127.0.0.1:5000/library/app"]).fails(1);
    let token = engine.sh("printf friend:password | base64").line();
    let folder = engine.work().join("config");
    corten_sys::fs::create_dir(&folder).unwrap();
    let config = format!("{{\"auths\": {{\"127.0.0.1:5000\": {{\"auth\": \"{token}\"}}}}}}");
    corten_sys::fs::write(folder.join("config.json"), config).unwrap();
    let pull = engine.corten([
        "--config",
        folder.to_str().unwrap(),
        "pull",
        "-q",
        "127.0.0.1:5000/library/app",
    ]);
    assert_eq!(pull.ok(), "127.0.0.1:5000/library/app:latest\n");
    assert!(!engine.log().contains("password"), "a secret is in the log");
}

#[test]
fn usage_agrees_with_the_disk() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine.corten(["create", "busybox", "true"]).ok();
    let usage = engine.get("/system/df");
    let told = usage["LayersSize"].as_u64().unwrap();
    let script = format!(
        "du -sbc {}/overlay2/*/diff | tail -1 | cut -f1",
        engine.data_root().display()
    );
    let found: u64 = engine.sh(&script).line().parse().unwrap();
    let difference = told.abs_diff(found);
    assert!(difference < 600_000, "{told} is told, {found} is there");
}

#[test]
fn prune_takes_what_nobody_needs() {
    let engine = Engine::start();
    engine
        .registry()
        .add_image("library/app", "1", &TestImage::small("old"));
    engine.corten(["pull", "-q", "app:1"]).ok();
    engine
        .registry()
        .add_image("library/app", "1", &TestImage::small("new"));
    engine.corten(["pull", "-q", "app:1"]).ok();
    assert_eq!(engine.corten(["images", "-q"]).ok().lines().count(), 2);
    engine.corten(["image", "prune", "-f"]).ok();
    assert_eq!(engine.corten(["images", "-q"]).ok().lines().count(), 1);
    engine.corten(["image", "prune", "-af"]).ok();
    assert_eq!(engine.corten(["images", "-q"]).ok(), "");
}

#[test]
fn prune_s_filters_choose() {
    let engine = Engine::start();
    engine.sh("mkdir t && echo 1 > t/1 && tar -C t -cf t.tar .").ok();
    for (name, label) in [("one:1", "LABEL stage=build"), ("two:1", "LABEL stage=final")] {
        engine.corten(["import", "-c", label, "t.tar", name]).ok();
    }
    let names = || engine.corten(["images", "--format", "{{.Repository}}"]).ok();
    let prune = |filter: &str| engine.corten(["image", "prune", "-af", "--filter", filter]).run();
    prune("until=24h");
    prune("label=stage=none");
    assert_eq!(names().lines().count(), 2);
    prune("label!=stage=final");
    assert_eq!(names(), "two\n");
    let dangling = engine
        .corten(["image", "prune", "-f", "--filter", "dangling=true"])
        .ok();
    assert_eq!(
        (dangling.as_str(), names().as_str()),
        ("Total reclaimed space: 0B\n", "two\n")
    );
    for (filter, words) in [
        ("colour=red", "invalid filter 'colour'"),
        ("until=soon", "failed to parse value as time or duration"),
    ] {
        let refused = prune(filter);
        assert_ne!(refused.code, 0, "{refused}");
        assert!(refused.stderr.contains(words), "{refused}");
    }
    let soon = engine.sh("echo $(($(date +%s) + 60))").line();
    prune(&format!("until={soon}"));
    assert_eq!(names(), "");
}
