//! What builds state about images, and images for several platforms.

use corten_sys::fs;
use corten_tests::{
    engine::Engine,
    images::{Dialect, TestImage, TestLayer, index},
};
use serde_json::{Value, json};

use crate::{context, engine, given::manifest};

/// A context whose image has a database of packages.
#[track_caller]
fn packaged(engine: &Engine) -> String {
    let status = "Package: libfoo\nStatus: install ok installed\nVersion: 1.2-3\nArchitecture: amd64\n\n\
                  Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
    context(
        engine,
        "packaged",
        &[
            (
                "Dockerfile",
                "FROM busybox\nARG X\nCOPY status /var/lib/dpkg/status\nRUN echo $X > /x\n",
            ),
            ("status", status),
        ],
    )
}

/// The statements about the image under a tag, by their kinds.
#[track_caller]
fn statements(engine: &Engine, repository: &str, tag: &str) -> Vec<(String, String)> {
    let top = manifest(engine, repository, tag);
    let listed = top["manifests"].as_array().expect("an index");
    let about = listed.last().expect("manifests");
    assert_eq!(
        about["annotations"]["vnd.docker.reference.type"],
        "attestation-manifest"
    );
    assert_eq!(about["annotations"]["vnd.docker.reference.digest"], listed[0]["digest"]);
    let about = manifest(engine, repository, about["digest"].as_str().expect("a digest"));
    let layers = about["layers"].as_array().expect("layers");
    let kinds = layers.iter().map(|layer| {
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        let kind = layer["annotations"]["in-toto.io/predicate-type"].as_str();
        (
            kind.expect("a kind").to_owned(),
            layer["digest"].as_str().expect("a digest").to_owned(),
        )
    });
    kinds.collect()
}

#[test]
fn statements_go_with_images() {
    let engine = engine();
    let folder = packaged(&engine);
    let host = engine.registry().host();
    let inspect = |name: &str, format: &str| {
        let told = engine
            .corten(["buildx", "imagetools", "inspect", name, "--format", format])
            .ok();
        serde_json::from_str::<Value>(&told).expect("JSON")
    };
    let full = format!("{host}/stated:full");
    engine
        .corten([
            "build",
            "-q",
            "--push",
            "-t",
            &full,
            "--provenance",
            "mode=max,version=v1",
        ])
        .args([
            "--sbom=true",
            "--build-arg",
            "X=told",
            "--annotation",
            "index:who=me",
            &folder,
        ])
        .ok();
    let kinds: Vec<String> = statements(&engine, "stated", "full")
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["https://spdx.dev/Document", "https://slsa.dev/provenance/v1"]);
    assert_eq!(manifest(&engine, "stated", "full")["annotations"], json!({"who": "me"}));
    let provenance = inspect(&full, "{{json .Provenance}}").to_string();
    assert!(provenance.contains("\"build-arg:X\":\"told\""), "{provenance}");
    assert!(provenance.contains("pkg:docker/busybox@latest"), "{provenance}");
    let parts = inspect(&full, "{{json .SBOM}}").to_string();
    assert!(
        parts.contains("SPDX-2.3") && parts.contains("pkg:deb/libfoo@1.2-3?arch=amd64"),
        "{parts}"
    );
    assert!(!parts.contains("gone"), "{parts}");

    let short = format!("{host}/stated:short");
    engine
        .corten([
            "build",
            "-q",
            "-t",
            &short,
            "--attest",
            "type=provenance",
            "--build-arg",
            "X=hidden",
            &folder,
        ])
        .ok();
    engine.corten(["push", "-q", &short]).ok();
    let provenance = inspect(&short, "{{json .Provenance}}").to_string();
    assert!(
        provenance.contains("https://mobyproject.org/buildkit@v1"),
        "{provenance}"
    );
    assert!(!provenance.contains("hidden"), "{provenance}");
    engine.corten(["rmi", &short]).ok();
    assert_eq!(
        engine.corten(["run", "--rm", &short, "cat", "/x"]).ok(),
        "hidden\n",
        "it is pulled"
    );

    let plain = format!("{host}/stated:plain");
    engine
        .corten(["build", "-q", "--push", "-t", &plain, "--provenance=false", &folder])
        .ok();
    assert_eq!(
        manifest(&engine, "stated", "plain").get("manifests"),
        None,
        "nothing is stated unasked"
    );
    for (flag, said) in [
        ("--sbom=generator=x", "generator"),
        ("--provenance=mode=all", "invalid provenance option mode=all"),
        ("--attest=type=other", "attestation type \"other\" is not supported"),
        ("--attest=mode=max", "attestation type not specified"),
    ] {
        let refused = engine.corten(["build", flag, &folder]).fails(1);
        assert!(refused.contains(said), "{flag}: {refused}");
    }
}

#[test]
fn packages_of_debian_have_their_licences() {
    let engine = engine();
    let status = "Package: hello\nStatus: install ok installed\nVersion: 2.10\nArchitecture: all\nMaintainer: A B\n";
    let copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
                     Files: *\nCopyright: A\nLicense: GPL-3+\n\nFiles: doc/*\nCopyright: A\nLicense: Odd or Expat\n";
    let dockerfile = "FROM scratch\nCOPY status /var/lib/dpkg/status\nCOPY copyright /usr/share/doc/hello/copyright\n";
    let files = [("Dockerfile", dockerfile), ("status", status), ("copyright", copyright)];
    let folder = context(&engine, "licences", &files);
    let name = format!("{}/stated:licences", engine.registry().host());
    engine
        .corten(["build", "-q", "--push", "-t", &name, "--sbom=true", &folder])
        .ok();
    let inspect = ["buildx", "imagetools", "inspect", &name, "--format", "{{json .SBOM}}"];
    let told: Value = serde_json::from_str(&engine.corten(inspect).ok()).expect("JSON");
    let one = told.as_object().and_then(|platforms| platforms.values().next());
    let document = &one.expect("a platform")["SPDX"];
    let package = &document["packages"][1];
    assert_eq!(
        package["licenseDeclared"], "GPL-3.0-or-later AND (LicenseRef-Odd OR MIT)",
        "{told}"
    );
    assert_eq!(
        document["hasExtractedLicensingInfos"][0]["licenseId"], "LicenseRef-Odd",
        "{told}"
    );
}

#[test]
fn images_for_several_platforms_are_one_index() {
    let engine = engine();
    let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\nRUN echo for $TARGETARCH > /made\n\
                      FROM scratch\nCOPY --from=make /made /made\n";
    let folder = context(&engine, "several", &[("Dockerfile", dockerfile)]);
    let name = format!("{}/several:1", engine.registry().host());
    let platforms = "linux/amd64,linux/arm64,linux/riscv64";
    engine
        .corten(["build", "-q", "--platform", platforms, "--push", "-t", &name])
        .args(["--annotation", "manifest[linux/arm64]:a=b", &folder])
        .ok();
    let index = manifest(&engine, "several", "1");
    let listed = index["manifests"].as_array().expect("manifests");
    let found: Vec<&str> = listed
        .iter()
        .filter_map(|one| one["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(found, ["amd64", "arm64", "riscv64"]);
    for (one, annotated) in listed.iter().zip([false, true, false]) {
        let one = manifest(&engine, "several", one["digest"].as_str().expect("a digest"));
        assert_eq!(one["annotations"] == json!({"a": "b"}), annotated, "{one}");
    }
    let kept = engine
        .corten(["image", "inspect", "-f", "{{.Architecture}}", &name])
        .line();
    assert_eq!(kept, "amd64", "this machine's stays");

    let to = engine.work().join("out");
    engine
        .corten([
            "build",
            "-q",
            "--platform",
            platforms,
            "-o",
            &to.to_string_lossy(),
            &folder,
        ])
        .ok();
    for architecture in ["amd64", "arm64", "riscv64"] {
        let made = fs::read_to_string(to.join(format!("linux_{architecture}/made"))).expect("a file");
        assert_eq!(made, format!("for {architecture}\n"));
    }
}

#[test]
fn other_machines_images_are_built_on_but_not_run() {
    let engine = engine();
    let registry = engine.registry();
    let image = |architecture: &str| {
        let image = TestImage::with(&[TestLayer::file("for", architecture)], architecture, Dialect::Oci);
        registry.add_image("both", architecture, &image);
        image.entry(architecture, "")
    };
    let both = index(&[image("amd64"), image("riscv64")]);
    registry.add_manifest("both", Some("1"), "application/vnd.oci.image.index.v1+json", &both);
    let base = format!("{}/both:1", registry.host());
    engine.corten(["pull", "-q", &base]).ok();
    let before = engine.corten(["images", "-aq", "--no-trunc"]).ok();
    let dockerfile = format!("FROM {base}\nCOPY f /f\n");
    let folder = context(&engine, "foreign", &[("Dockerfile", &dockerfile), ("f", "f")]);
    let name = format!("{}/foreign:1", registry.host());
    let output = format!("type=image,name={name},push=true,store=false");
    engine
        .corten([
            "build",
            "-q",
            "--platform",
            "linux/amd64,linux/riscv64",
            "-o",
            &output,
            &folder,
        ])
        .ok();
    assert_eq!(
        manifest(&engine, "foreign", "1")["manifests"].as_array().map(Vec::len),
        Some(2)
    );
    let here = engine
        .corten(["image", "inspect", "-f", "{{.Architecture}}", &base])
        .line();
    assert_eq!(here, "amd64", "the name is still this machine's");
    assert_eq!(
        engine.corten(["images", "-aq", "--no-trunc"]).ok(),
        before,
        "nothing stays"
    );
    let dockerfile = format!("FROM {base}\nRUN [\"/for\"]\n");
    let folder = context(&engine, "run", &[("Dockerfile", &dockerfile)]);
    let failed = engine
        .corten(["build", "--platform", "linux/riscv64", &folder])
        .fails(1);
    assert!(
        failed.contains("cannot run commands for linux/riscv64 on linux/"),
        "{failed}"
    );
}
