//! Images for several platforms, as the engine keeps them.

use corten_tests::engine::Engine;
use serde_json::{Value, json};

use crate::{context, engine, given::manifest};

const PLATFORMS: &str = "linux/amd64,linux/arm64";

/// Builds an image for two platforms; `text` makes it another.
#[track_caller]
fn build(engine: &Engine, name: &str, text: &str) {
    let dockerfile = format!(
        "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\nRUN echo {text} for $TARGETARCH > /made\n\
         FROM scratch\nCOPY --from=make /made /made\nCMD [\"/made\"]\n"
    );
    let folder = context(engine, "several", &[("Dockerfile", &dockerfile)]);
    engine
        .corten(["build", "-q", "--platform", PLATFORMS, "-t", name, &folder])
        .ok();
}

/// An image's architecture, for a platform.
#[track_caller]
fn architecture(engine: &Engine, name: &str, platform: &str) -> String {
    let inspect = [
        "image",
        "inspect",
        "-f",
        "{{.Architecture}}",
        "--platform",
        platform,
        name,
    ];
    engine.corten(inspect).line()
}

/// The architectures that a manifest at the test's registry lists.
#[track_caller]
fn pushed(engine: &Engine, tag: &str) -> Vec<String> {
    let document = manifest(engine, "several", tag);
    let listed = document["manifests"].as_array().cloned().unwrap_or_default();
    let one = |one: &Value| one["platform"]["architecture"].as_str().unwrap_or_default().to_owned();
    listed.iter().map(one).collect()
}

#[test]
fn all_platforms_of_a_build_stay() {
    let engine = engine();
    build(&engine, "several:1", "one");
    for arguments in [&["images", "-q", "several"][..], &["images", "-aq", "several"]] {
        assert_eq!(engine.corten(arguments).ok().lines().count(), 1, "{arguments:?}");
    }
    assert_eq!(engine.corten(["images", "-aq"]).ok().lines().count(), 2, "with busybox");
    assert_eq!(architecture(&engine, "several:1", "linux/amd64"), "amd64");
    assert_eq!(architecture(&engine, "several:1", "linux/arm64"), "arm64");
    let missing = engine.corten(["image", "inspect", "--platform", "linux/s390x", "several:1"]);
    assert!(missing.fails(1).contains("does not match the specified platform"));
    let history = ["history", "-q", "--platform", "linux/arm64", "several:1"];
    let inspect = [
        "image",
        "inspect",
        "-f",
        "{{.Id}}",
        "--platform",
        "linux/arm64",
        "several:1",
    ];
    let id = engine.corten(inspect).line();
    let first = engine.corten(history).ok();
    assert!(id.contains(first.lines().next().expect("a line")), "{id}: {first}");

    let tree = engine.corten(["images", "--tree", "several"]).ok();
    assert!(
        tree.contains("├─ linux/amd64") && tree.contains("└─ linux/arm64"),
        "{tree}"
    );
    let told = engine.get("/v1.51/images/several:1/json?manifests=1");
    let platforms: Vec<&Value> = told["Manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .map(|one| &one["ImageData"]["Platform"]["architecture"])
        .collect();
    assert_eq!(platforms, [&json!("amd64"), &json!("arm64")]);
    assert_eq!(told["Manifests"][1]["ID"], json!(id));
    let plain = engine.get("/v1.51/images/several:1/json");
    assert!(plain.get("Manifests").is_none(), "{plain}");

    // Another start of the engine finds them.
    engine.stop();
    engine.launch();
    assert_eq!(architecture(&engine, "several:1", "linux/arm64"), "arm64");
    let create = ["create", "--platform", "linux/arm64", "--name", "other", "several:1"];
    engine.corten(create).ok();
    assert_eq!(engine.inspect("other", "{{.Image}}").trim(), id);
    engine.corten(["rm", "other"]).ok();

    let removed = engine.corten(["rmi", "several:1"]).ok();
    assert!(removed.contains(&format!("Deleted: {id}")), "{removed}");
    assert_eq!(engine.corten(["images", "-aq"]).ok().lines().count(), 1, "busybox");
}

#[test]
fn all_platforms_are_pushed_later() {
    let engine = engine();
    let name = format!("{}/several", engine.registry().host());
    build(&engine, "several:1", "one");
    engine.corten(["tag", "several:1", &name]).ok();
    engine.corten(["push", &name]).ok();
    assert_eq!(pushed(&engine, "latest"), ["amd64", "arm64"]);
    let arm = format!("{name}:arm");
    engine.corten(["tag", "several:1", &arm]).ok();
    engine.corten(["push", "--platform", "linux/arm64", &arm]).ok();
    assert_eq!(pushed(&engine, "arm"), [""; 0], "one manifest");
    engine.corten(["rmi", &arm, &name, "several:1"]).ok();
    engine.corten(["pull", "-q", "--platform", "linux/arm64", &arm]).ok();
    assert_eq!(architecture(&engine, &arm, "linux/arm64"), "arm64");
    let refused = engine.corten(["push", "--platform", "linux/s390x", &arm]).fails(1);
    assert!(refused.contains("does not match the specified platform"), "{refused}");
}

#[test]
fn all_platforms_are_saved_and_loaded() {
    let engine = engine();
    build(&engine, "several:1", "one");
    engine.corten(["save", "-o", "all.tar", "several:1"]).ok();
    let only = ["save", "-o", "arm.tar", "--platform", "linux/arm64", "several:1"];
    engine.corten(only).ok();
    engine.corten(["rmi", "several:1"]).ok();
    engine.corten(["load", "-q", "-i", "arm.tar"]).ok();
    let alone = engine.corten(["image", "inspect", "-f", "{{.Architecture}}", "several:1"]);
    assert_eq!(alone.line(), "arm64");
    engine.corten(["rmi", "several:1"]).ok();
    let loaded = engine.corten(["load", "-i", "all.tar"]).ok();
    assert_eq!(loaded, "Loaded image: several:1\n");
    assert_eq!(architecture(&engine, "several:1", "linux/amd64"), "amd64");
    assert_eq!(architecture(&engine, "several:1", "linux/arm64"), "arm64");
    assert_eq!(engine.corten(["images", "-aq", "several"]).ok().lines().count(), 1);
    // And of an archive that has an OCI layout alone.
    engine.corten(["rmi", "several:1"]).ok();
    engine
        .sh("mkdir oci && tar -C oci -xf all.tar && rm oci/manifest.json && tar -C oci -cf oci.tar .")
        .ok();
    engine.corten(["load", "-q", "-i", "oci.tar"]).ok();
    assert_eq!(architecture(&engine, "several:1", "linux/arm64"), "arm64");
    assert_eq!(engine.corten(["images", "-aq", "several"]).ok().lines().count(), 1);
}

#[test]
fn builds_stand_on_each_platform_of_an_image() {
    let engine = engine();
    build(&engine, "several:1", "one");
    let folder = context(&engine, "above", &[("Dockerfile", "FROM several:1\nLABEL above=yes\n")]);
    let above = ["build", "-q", "--platform", PLATFORMS, "-t", "above", &folder];
    engine.corten(above).ok();
    assert_eq!(architecture(&engine, "above", "linux/arm64"), "arm64");

    // What is replaced is one image without a name, and goes as one.
    build(&engine, "several:1", "two");
    let dangling = ["images", "-q", "-f", "dangling=true"];
    assert_eq!(engine.corten(dangling).ok().lines().count(), 1);
    engine.corten(["rmi", "above"]).ok();
    engine.corten(["image", "prune", "-f"]).ok();
    assert_eq!(
        engine.corten(["images", "-aq"]).ok().lines().count(),
        2,
        "busybox and several"
    );
    assert_eq!(architecture(&engine, "several:1", "linux/arm64"), "arm64");
    // What is built for one platform is for one, and what it is based on stays as it is.
    let once = context(&engine, "once", &[("Dockerfile", "FROM several:1\n")]);
    engine.corten(["build", "-q", "-t", "once", &once]).ok();
    let refused = engine.corten(["image", "inspect", "--platform", "linux/arm64", "once"]);
    assert!(refused.fails(1).contains("does not match"));
    assert_eq!(architecture(&engine, "several:1", "linux/arm64"), "arm64");
}

#[test]
fn annotating_what_adds_nothing_leaves_the_base_as_it_is() {
    let engine = engine();
    let host = engine.registry().host();
    let (plain, annotated) = (format!("{host}/several:plain"), format!("{host}/several:annotated"));
    let built = context(&engine, "built", &[("Dockerfile", "FROM busybox\nLABEL a=b\n")]);
    engine.corten(["build", "-q", "-t", &plain, &built]).ok();
    let text = format!("FROM {plain}\n");
    let folder = context(&engine, "annotated", &[("Dockerfile", &text)]);
    let build = ["build", "-q", "-t", &annotated, "--annotation", "note=yes", &folder];
    engine.corten(build).ok();
    engine.corten(["push", &plain]).ok();
    engine.corten(["push", &annotated]).ok();
    assert_eq!(manifest(&engine, "several", "plain").get("annotations"), None);
    let found = manifest(&engine, "several", "annotated");
    assert_eq!(found["annotations"], json!({"note": "yes"}));
    assert_eq!(
        engine.corten(["run", "--rm", &annotated, "echo", "runs"]).ok(),
        "runs\n"
    );
    // Without anything to be said it is the same image.
    engine.corten(["build", "-q", "-t", "same", &folder]).ok();
    let id = |name: &str| engine.corten(["image", "inspect", "-f", "{{.Id}}", name]).line();
    assert_eq!(id("same"), id(&plain));
    assert_ne!(id(&annotated), id(&plain));
}
