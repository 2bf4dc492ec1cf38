//! Registries that lie.

use corten_tests::engine::{Engine, Options};
use corten_tests::images::{INDEX, TestImage, TestLayer, index, noise};
use corten_tests::registry::{Access, Fault};
use corten_tests::until;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Asked for by its own name: a mirror that lies is passed over, and the next place is asked.
const APP: &str = "127.0.0.1:5000/library/app";

/// What is in the engine's store: folders of layers, and bytes.
fn stored(engine: &Engine) -> (usize, u64) {
    let root = engine.data_root();
    let count = corten_sys::fs::read_dir(root.join("overlay2")).map_or(0, Iterator::count);
    let bytes = engine.sh(&format!("du -sb {} | cut -f1", root.display())).line();
    (count, bytes.parse().expect("a number"))
}

/// Pulls the image, which is refused with one of the words, and leaves nothing.
#[track_caller]
fn is_refused(engine: &Engine, what: &str, words: &[&str]) {
    let (layers, bytes) = stored(engine);
    let refusal = engine.corten(["pull", APP]).fails(1);
    assert!(words.iter().any(|word| refusal.contains(word)), "{what}: {refusal}");
    assert_eq!(engine.corten(["images", "-aq"]).ok(), "", "{what}");
    // What is thrown away is deleted in the background. What was whole before the lie may be kept for the next
    // attempt; a record of it is small.
    until::is(&format!("nothing is left of {what}"), || {
        let (layers_after, bytes_after) = stored(engine);
        layers == layers_after && bytes_after < bytes + (1 << 20)
    });
    assert!(engine.is_running(), "{what}");
}

fn with_app() -> (Engine, TestImage) {
    // One attempt: what happens between attempts is tested elsewhere.
    let engine = Engine::start_with(Options::with_flags(&["--max-download-attempts", "1"]));
    let image = TestImage::new(&[TestLayer::file("data", noise(300_000, 7))]);
    engine.registry().add_image("library/app", "latest", &image);
    (engine, image)
}

#[test]
fn answers_that_are_not_what_was_asked_for() {
    let (engine, image) = with_app();
    let manifest = "/manifests/latest";
    let layer = format!("/blobs/{}", image.layers[0]);
    let config = format!("/blobs/{}", image.id);
    let html = "<html>log in to the hotel's network</html>".to_owned();
    for (part, fault, words) in [
        (
            manifest,
            Fault::Answer(200, html.clone()),
            &["manifest", "JSON", "json"][..],
        ),
        (manifest, Fault::Answer(200, "{}".to_owned()), &["manifest"]),
        (manifest, Fault::Answer(200, "[".repeat(100_000)), &["manifest"]),
        (
            manifest,
            Fault::Answer(200, " ".repeat(5 << 20)),
            &["manifest", "large", "bytes"],
        ),
        (manifest, Fault::Status(403, None), &["denied", "403", "orbidden"]),
        (&*config, Fault::WrongByte(10), &["digest", "sha256", "verif"]),
        (&*config, Fault::Answer(200, html), &["digest", "size", "sha256"]),
        (
            &*layer,
            Fault::WrongByte(20_000),
            &["digest", "sha256", "verif", "corrupt", "invalid"],
        ),
        (&*layer, Fault::Trailing(50_000), &["size", "bytes", "longer", "digest"]),
        (&*layer, Fault::Status(404, None), &["not found", "unknown", "404"]),
    ] {
        engine.registry().inject(part, 50, fault.clone());
        is_refused(
            &engine,
            &format!("{part} {fault:?}").chars().take(120).collect::<String>(),
            words,
        );
        engine.registry().heal();
    }
    engine.corten(["pull", APP]).ok();
}

/// Puts a changed manifest of the image under the tag.
fn publish(engine: &Engine, image: &TestImage, change: impl FnOnce(&mut Value)) {
    let mut manifest: Value = serde_json::from_slice(&image.manifest).expect("JSON");
    change(&mut manifest);
    let bytes = manifest.to_string().into_bytes();
    engine
        .registry()
        .add_manifest("library/app", Some("latest"), MANIFEST, &bytes);
}

#[test]
fn manifests_that_contradict_what_they_name() {
    let (engine, image) = with_app();
    let other = TestImage::new(&[TestLayer::file("other", noise(200_000, 8))]);
    engine.registry().add_image("library/app", "other", &other);
    let other: Value = serde_json::from_slice(&other.manifest).expect("JSON");
    let zeros = format!("sha256:{}", "0".repeat(64));
    publish(&engine, &image, |manifest| manifest["layers"] = other["layers"].clone());
    is_refused(&engine, "another image's layer", &["layer", "digest", "diff"]);
    publish(&engine, &image, |manifest| manifest["layers"] = json!([]));
    is_refused(&engine, "no layers", &["layer"]);
    publish(&engine, &image, |manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = json!(vec![layer; 5000]);
    });
    is_refused(&engine, "a great many layers", &["layer"]);
    publish(&engine, &image, |manifest| manifest["layers"][0]["size"] = json!(10));
    is_refused(&engine, "a small size", &["size", "bytes", "longer"]);
    publish(&engine, &image, |manifest| manifest["layers"][0]["size"] = json!(-1));
    is_refused(&engine, "a negative size", &["manifest", "size"]);
    publish(&engine, &image, |manifest| {
        manifest["layers"][0]["size"] = json!(u64::MAX)
    });
    is_refused(&engine, "an endless size", &["manifest", "size", "bytes", "space"]);
    publish(&engine, &image, |manifest| {
        manifest["layers"][0]["digest"] = json!("sha256:../../../../etc/passwd")
    });
    is_refused(&engine, "a path for a digest", &["digest", "manifest"]);
    publish(&engine, &image, |manifest| {
        manifest["layers"][0]["digest"] = json!(zeros)
    });
    is_refused(&engine, "a layer that is not there", &["not found", "unknown", "404"]);
    publish(&engine, &image, |manifest| manifest["schemaVersion"] = json!(1));
    is_refused(&engine, "an old schema", &["schema", "manifest"]);
    publish(&engine, &image, |manifest| {
        manifest["config"]["mediaType"] = json!("application/vnd.somebody.chart+json")
    });
    is_refused(
        &engine,
        "no image",
        &["unsupported", "media type", "not an image", "config"],
    );
}

#[test]
fn indexes_that_lead_nowhere() {
    let (engine, _) = with_app();
    let entry = |digest: &str, architecture: &str| {
        let platform = json!({"os": "linux", "architecture": architecture});
        json!({"mediaType": INDEX, "digest": digest, "size": 100, "platform": platform})
    };
    let zeros = format!("sha256:{}", "0".repeat(64));
    let publish = |entries: &[Value]| {
        engine
            .registry()
            .add_manifest("library/app", Some("latest"), INDEX, &index(entries));
    };
    publish(&[]);
    is_refused(&engine, "an empty index", &["no matching manifest"]);
    publish(&[entry(&zeros, "s390x")]);
    is_refused(
        &engine,
        "other machines' images",
        &["no matching manifest for linux/amd64"],
    );
    publish(&[entry(&zeros, "amd64")]);
    is_refused(
        &engine,
        "a manifest that is not there",
        &["not found", "unknown", "404"],
    );
    let inner = engine
        .registry()
        .add_manifest("library/app", None, INDEX, &index(&[entry(&zeros, "amd64")]));
    let mut nested = entry(inner.as_ref(), "amd64");
    nested["size"] = json!(index(&[entry(&zeros, "amd64")]).len());
    publish(&[nested]);
    is_refused(&engine, "an index in an index", &["index", "manifest", "media type"]);
}

#[test]
fn pages_that_lead_in_circles_or_away() {
    let engine = Engine::start();
    let registry = engine.registry();
    for tag in ["1", "2", "3", "4", "5"] {
        registry.add_image("library/app", tag, &TestImage::small(tag));
    }
    let link = |to: &str| Fault::Header("Link", format!("<{to}>; rel=\"next\""));
    let tags = || {
        let listed = engine.corten(["images", "--format", "{{.Tag}}", APP]).ok();
        listed.lines().count()
    };
    registry.inject("/tags/list", 1000, link("/v2/library/app/tags/list?n=3"));
    let refused = engine.corten(["pull", "-a", APP]).fails(1);
    assert!(refused.contains("lead in a circle"), "{refused}");
    assert_eq!(tags(), 0);
    registry.inject("/v2/_catalog", 1000, link("/v2/_catalog"));
    let refused = engine.corten(["search", "127.0.0.1:5000/nothing"]).fails(1);
    assert!(refused.contains("lead in a circle"), "{refused}");
    registry.heal();
    // Nothing is asked of another host, and what was listed is taken.
    registry.inject("/tags/list", 1, link("http://127.0.0.3:5002/v2/library/app/tags/list"));
    let other = engine.start_registry("127.0.0.3:5002");
    engine.corten(["pull", "-a", "-q", APP]).ok();
    assert_eq!(tags(), 3);
    assert!(other.requests().is_empty(), "{:?}", other.requests());
}

#[test]
fn a_tag_or_a_layer_that_goes_during_a_pull() {
    let engine = Engine::start();
    let image = TestImage::new(&[TestLayer::file("data", noise(300_000, 7))]);
    let registry = engine.registry();
    registry.add_image("library/app", "latest", &image);
    let layer = format!("/blobs/{}", image.layers[0]);
    registry.inject(&layer, 1, Fault::Status(404, None));
    is_refused(&engine, "a layer that goes", &["not found", "unknown", "404"]);
    registry.inject(&layer, 1, Fault::StallAfter(100_000));
    let pulling = engine.corten(["pull", APP]).spawn();
    registry.wait_for("GET", &layer, 2);
    registry.remove_tag("library/app", "latest");
    registry.heal();
    // The tag is of no matter once it has led to the manifest.
    let pulled = pulling.wait();
    assert_eq!(pulled.code, 0, "{pulled}");
    let id = engine.corten(["images", "-q", "--no-trunc", APP]).line();
    assert_eq!(id, image.id.to_string());
    let refused = engine.corten(["pull", APP]).fails(1);
    assert!(
        refused.contains("manifest unknown") || refused.contains("not found"),
        "{refused}"
    );
    assert_eq!(
        engine.corten(["images", "-q", "--no-trunc", APP]).line(),
        id,
        "the image here stays"
    );
}

#[test]
fn uploads_that_are_said_to_belong_elsewhere_or_to_have_more() {
    let engine = Engine::start_with(Options::with_flags(&["--max-download-attempts", "2"]));
    let registry = engine.registry();
    let account = ("friend".to_owned(), "password".to_owned());
    registry.restrict(Access::Basic(account.0.clone(), account.1.clone()));
    corten_sys::fs::create_dir(engine.work().join("t")).expect("a folder");
    corten_sys::fs::write(engine.work().join("t/noise"), noise(2_000_000, 5)).expect("a file");
    engine.sh("tar -C t -cf t.tar .").ok();
    engine.corten(["import", "t.tar", APP]).line();
    engine
        .corten(["login", "-u", "friend", "-p", "password", "127.0.0.1:5000"])
        .ok();
    // Who is somewhere else gets no password.
    let other = engine.start_registry("127.0.0.3:5002");
    let elsewhere = "http://127.0.0.3:5002/v2/library/app/blobs/uploads/1";
    registry.inject(
        "POST /v2/library/app/blobs/uploads/",
        100,
        Fault::Header("Location", elsewhere.to_owned()),
    );
    engine.corten(["push", APP]).fails(1);
    let asked = other.requests();
    assert!(
        asked.iter().any(|request| request.path.contains("/blobs/uploads/1")),
        "{asked:?}"
    );
    assert!(
        asked.iter().all(|request| request.header("authorization").is_none()),
        "{asked:?}"
    );
    registry.heal();
    assert!(registry.tags("library/app").is_empty());
    // One that claims to have what it was never sent gets all of it again.
    registry.inject("PATCH /v2/library/app/", 1, Fault::CutUpload(500_000));
    let more = Fault::Header("Range", "0-99999999".to_owned());
    registry.inject("GET /v2/library/app/blobs/uploads/", 1, more);
    engine.corten(["push", APP]).ok();
    let id = engine.corten(["images", "-q", "--no-trunc", APP]).line();
    engine.corten(["rmi", "-f", &id]).ok();
    engine.corten(["pull", "-q", APP]).ok();
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", APP]).line(), id);
}
