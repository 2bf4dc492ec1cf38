//! `buildx imagetools`: images looked at and put together at their registries.

use corten_oci::digest::Digest;
use corten_tests::{
    command::Finished,
    engine::{Engine, Options, REGISTRY},
    images::{Dialect, INDEX, TestImage, TestLayer, index},
};
use serde_json::{Value, json};

fn at(name: &str) -> String {
    format!("{REGISTRY}/{name}")
}

fn image(text: &str, architecture: &str, dialect: Dialect) -> TestImage {
    TestImage::with(&[TestLayer::file("f", text)], architecture, dialect)
}

/// An engine that does not run, and a registry with images of two platforms, apart and in an index.
fn ready() -> (Engine, [TestImage; 2]) {
    let engine = Engine::prepared(Options::default());
    let images = [image("one", "amd64", Dialect::Oci), image("two", "s390x", Dialect::Oci)];
    engine.registry().add_image("team/oci", "amd", &images[0]);
    engine.registry().add_image("team/oci", "s390x", &images[1]);
    let mut second = images[1].entry("s390x", "");
    second["annotations"] = json!({"k": "v", "longer": "w"});
    let both = index(&[images[0].entry("amd64", ""), second]);
    engine.registry().add_manifest("team/oci", Some("both"), INDEX, &both);
    engine
        .registry()
        .add_image("team/docker", "arm", &image("three", "arm64", Dialect::Docker));
    (engine, images)
}

fn imagetools(engine: &Engine, arguments: &[&str]) -> Finished {
    engine.corten(["buildx", "imagetools"].iter().chain(arguments)).run()
}

#[test]
fn what_a_registry_has_is_shown() {
    let (engine, images) = ready();
    let name = at("team/oci:both");
    let shown = engine.corten(["buildx", "imagetools", "inspect", &name]).ok();
    let bytes = engine.registry().manifest("team/oci", "both").expect("the index");
    let expected = format!(
        "Name:      {name}\n\
         MediaType: {INDEX}\n\
         Digest:    {}\n           \n\
         Manifests: \n  \
           Name:        {name}@{}\n  \
           MediaType:   application/vnd.oci.image.manifest.v1+json\n  \
           Platform:    linux/amd64\n               \n  \
           Name:        {name}@{}\n  \
           MediaType:   application/vnd.oci.image.manifest.v1+json\n  \
           Platform:    linux/s390x\n  \
           Annotations: \n    \
             k:      v\n    \
             longer: w\n",
        Digest::sha256(&bytes),
        images[0].digest(),
        images[1].digest()
    );
    assert_eq!(shown, expected);
    let single = imagetools(&engine, &["inspect", &at("team/oci:amd")]);
    assert!(
        single.stdout.ends_with(&format!("Digest:    {}\n", images[0].digest())),
        "{single}"
    );
    let raw = engine.corten(["buildx", "imagetools", "inspect", "--raw", &name]).ok();
    assert_eq!(raw.as_bytes(), bytes);
    let format = |format: &str, name: &str| {
        engine
            .corten(["buildx", "imagetools", "inspect", "--format", format, name])
            .ok()
    };
    let manifest: Value = serde_json::from_str(&format("{{json .Manifest}}", &name)).expect("JSON");
    assert_eq!(manifest["digest"], Digest::sha256(&bytes).to_string());
    assert_eq!(manifest["manifests"][1]["annotations"]["k"], "v");
    let whole: Value = serde_json::from_str(&format("{{json .}}", &name)).expect("JSON");
    assert_eq!(whole["image"]["linux/s390x"]["architecture"], "s390x");
    assert_eq!(
        format("{{range .Manifest.Manifests}}{{.Platform.Architecture}} {{end}}", &name),
        "amd64 s390x "
    );
    assert_eq!(
        format("{{(index .Image \"linux/amd64\").Config.Env}} {{.Name}}", &name),
        format!("[PATH=/bin] {name}")
    );
    assert_eq!(
        format("{{.Image.Architecture}} {{.Manifest.Digest}}", &at("team/oci:amd")),
        format!("amd64 {}", images[0].digest())
    );
    assert_eq!(format("{{json .SBOM}}", &at("team/oci:amd")), "{}");
    let debugged = imagetools(&engine, &["inspect", "--debug", "--builder", "default", &name]);
    assert!(debugged.stderr.contains("DEBUG"), "{debugged}");
    for (arguments, words) in [
        (
            &["inspect", "--raw", "--format", "x", &name][..],
            "format and raw cannot be used together",
        ),
        (&["inspect", "--builder", "other", &name], "no builder \"other\" found"),
        (&["inspect", &at("team/none:1")], "team/none:1: not found"),
    ] {
        let refused = imagetools(&engine, arguments);
        assert!(refused.code == 1 && refused.stderr.starts_with("ERROR: "), "{refused}");
        assert!(refused.stderr.contains(words), "{arguments:?}: {refused}");
    }
}

#[test]
fn what_builders_have_said_is_shown() {
    let (engine, images) = ready();
    let registry = engine.registry();
    let statement = json!({"predicateType": "https://slsa.dev/provenance/v1", "predicate": {"made": "by hand"}});
    let blob = registry.add_blob("team/oci", statement.to_string().as_bytes());
    let config = registry.add_blob("team/oci", b"{}");
    let attestation = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [{
            "mediaType": "application/vnd.in-toto+json", "digest": blob, "size": statement.to_string().len(),
            "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"},
        }],
    });
    let attestation = attestation.to_string();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let digest = registry.add_manifest("team/oci", None, kind, attestation.as_bytes());
    let entry = json!({
        "mediaType": kind, "digest": digest, "size": attestation.len(),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": images[0].digest(),
            "vnd.docker.reference.type": "attestation-manifest",
        },
    });
    let with = index(&[images[0].entry("amd64", ""), entry]);
    registry.add_manifest("team/oci", Some("said"), INDEX, &with);
    let said = engine
        .corten([
            "buildx",
            "imagetools",
            "inspect",
            "--format",
            "{{json .Provenance}}",
            &at("team/oci:said"),
        ])
        .ok();
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said, json!({"linux/amd64": {"SLSA": {"made": "by hand"}}}));
}

#[test]
fn an_image_is_made_of_others() {
    let (engine, images) = ready();
    let (amd, s390x) = (at("team/oci:amd"), at("team/oci:s390x"));
    let dry = |arguments: &[&str]| -> Value {
        let made = imagetools(&engine, &[&["create", "--dry-run"], arguments].concat());
        assert_eq!(made.code, 0, "{made}");
        serde_json::from_str(&made.stdout).expect("JSON")
    };
    let digests = |index: &Value| -> Vec<String> {
        let listed = index["manifests"].as_array().expect("manifests").iter();
        listed
            .map(|entry| entry["digest"].as_str().expect("a digest").to_owned())
            .collect()
    };
    let own = [images[0].digest().to_string(), images[1].digest().to_string()];
    let made = dry(&[&amd, &s390x]);
    assert_eq!((digests(&made), &made["mediaType"]), (own.to_vec(), &json!(INDEX)));
    assert_eq!(
        made["manifests"][1]["platform"],
        json!({"architecture": "s390x", "os": "linux"})
    );
    let docker = dry(&[&at("team/docker:arm")]);
    assert_eq!(
        docker["mediaType"],
        "application/vnd.docker.distribution.manifest.list.v2+json"
    );
    // A single image is copied, if that is wanted.
    let copied = dry(&["--prefer-index=false", &amd]);
    assert!(copied["layers"].is_array(), "{copied}");
    let one = dry(&["--platform", "linux/s390x", &at("team/oci:both")]);
    assert_eq!(digests(&one), own[1..]);
    let noted = dry(&[
        "--annotation",
        "index:who=me",
        "--annotation",
        "manifest-descriptor[linux/amd64]:a=b",
        &amd,
        &s390x,
    ]);
    assert_eq!(noted["annotations"], json!({"who": "me"}));
    assert_eq!(noted["manifests"][0]["annotations"], json!({"a": "b"}));
    assert_eq!(noted["manifests"][1]["annotations"], Value::Null);
    let described = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": own[0], "size": 1});
    corten_sys::fs::write(engine.work().join("source.json"), described.to_string()).unwrap();
    let from_file = dry(&["--file", "source.json", "--tag", &at("team/oci:x")]);
    assert_eq!(digests(&from_file), own[..1]);
    let nowhere = engine.corten([
        "buildx",
        "imagetools",
        "create",
        "--dry-run",
        "--annotation",
        "a=b",
        &amd,
    ]);
    let error = nowhere.fails(1);
    assert!(error.contains("\"\" annotations are not supported yet"), "{error}");
    for (arguments, words) in [
        (&["create"][..], "no sources specified"),
        (
            &["create", &amd],
            "can't push with no tags specified, please set --tag or --dry-run",
        ),
        (
            &[
                "create",
                "--dry-run",
                "--annotation",
                "index:a=b",
                &at("team/docker:arm"),
            ],
            "annotations are only allowed on OCI indexes",
        ),
        (
            &["create", "--dry-run", "--file", "source.json"],
            "no repositories specified",
        ),
        (
            &["create", "--dry-run", "--progress", "odd", &amd],
            "invalid progress mode odd",
        ),
        (
            &["create", "--dry-run", "--platform", "linux/arm", &amd],
            "no image for these platforms",
        ),
        (&["create", "--dry-run", &at("team/none:1")], "not found"),
    ] {
        let refused = imagetools(&engine, arguments);
        assert_eq!(refused.code, 1, "{arguments:?}: {refused}");
        assert!(refused.stderr.contains(words), "{arguments:?}: {refused}");
    }
}

#[test]
fn what_was_made_is_where_its_name_says() {
    let (engine, images) = ready();
    let other = engine.start_registry("127.0.0.1:5001");
    let (here, there) = (at("copies/app:1"), "127.0.0.1:5001/copies/app:1");
    let arguments = [
        "buildx",
        "imagetools",
        "create",
        "--progress",
        "plain",
        "--builder",
        "default",
        "--debug",
        "--tag",
        &here,
        "--tag",
        there,
        &at("team/oci:both"),
    ];
    let made = engine.corten(arguments).run();
    assert_eq!(made.code, 0, "{made}");
    assert!(
        made.stderr.contains(&format!("#2 [internal] pushing {there}\n")),
        "{made}"
    );
    let bytes = engine.registry().manifest("team/oci", "both").expect("the index");
    // The index is the same, here by mounts, and there by copies.
    assert_eq!(
        engine.registry().manifest("copies/app", "1").as_deref(),
        Some(&bytes[..])
    );
    assert_eq!(other.manifest("copies/app", "1").as_deref(), Some(&bytes[..]));
    assert_eq!(engine.registry().count("PATCH", "/blobs/"), 0);
    let appended = imagetools(
        &engine,
        &[
            "create",
            "--progress=none",
            "--append",
            "-t",
            &here,
            &at("team/docker:arm"),
        ],
    );
    assert_eq!((appended.code, appended.stderr.as_str()), (0, ""), "{appended}");
    let index: Value =
        serde_json::from_slice(&engine.registry().manifest("copies/app", "1").expect("the index")).expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(3));
    engine.launch();
    engine.corten(["pull", "-q", "--platform", "linux/s390x", there]).ok();
    assert_eq!(
        engine.corten(["images", "-q", "--no-trunc", there]).line(),
        images[1].id.to_string()
    );
}
