//! Caches, statements and several platforms, as `docker buildx` asks for them.

use corten_sys::fs;
use serde_json::Value;

use super::Bench;

const RANDOM: &str = "FROM busybox\nRUN head -c 9 /dev/urandom | sha256sum > /r\nCMD cat /r\n";

#[track_caller]
fn manifest(bench: &Bench, repository: &str, reference: &str) -> Value {
    let bytes = bench.engine.registry().manifest(repository, reference);
    serde_json::from_slice(&bytes.expect("the registry has it")).expect("JSON")
}

#[test]
fn caches_go_elsewhere_and_come_back() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder("cached", &[("Dockerfile", RANDOM)]);
    let said = || bench.engine.corten(["run", "--rm", "cached"]).ok();
    let forget = || {
        bench.engine.corten(["rmi", "cached"]).ok();
        bench.engine.corten(["builder", "prune", "-a", "-f"]).ok();
    };
    let registry = format!("type=registry,ref={}/cache:1", bench.engine.registry().host());
    let place = bench.engine.work().join("cache");
    let (to, from) = (
        format!("type=local,dest={},mode=max", place.display()),
        format!("type=local,src={}", place.display()),
    );
    for (to, from) in [(registry.clone(), registry), (to, from)] {
        bench.build(&["-t", "cached", "--cache-to", &to, &folder]);
        let first = said();
        forget();
        let told = bench.build(&["-t", "cached", "--cache-from", &from, &folder]);
        assert_eq!(said(), first, "{from}: {told}");
        assert!(told.contains("importing cache manifest from"), "{told}");
        forget();
    }
    assert!(fs::exists(place.join("index.json")).expect("a folder"));
}

#[test]
fn images_are_pushed_with_what_was_asked() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder("asked", &[("Dockerfile", "FROM busybox\nRUN echo asked > /a\n")]);
    let name = format!("{}/asked:1", bench.engine.registry().host());
    let output = format!("type=image,name={name},push=true,compression=zstd,force-compression=true");
    bench.build(&["--provenance=false", "--annotation", "a=b", "-o", &output, &folder]);
    let pushed = manifest(&bench, "asked", "1");
    assert_eq!(pushed["annotations"]["a"], "b");
    assert!(
        pushed["layers"][0]["mediaType"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("zstd")),
        "{pushed}"
    );

    let name = format!("{}/stated:1", bench.engine.registry().host());
    bench.build(&["--push", "--sbom=true", "--provenance=mode=max", "-t", &name, &folder]);
    assert_eq!(
        manifest(&bench, "stated", "1")["manifests"].as_array().map(Vec::len),
        Some(2)
    );
    let provenance = bench
        .buildx(&["imagetools", "inspect", &name, "--format", "{{json .Provenance}}"])
        .ok();
    assert!(provenance.contains("pkg:docker/busybox@latest"), "{provenance}");
    let parts = bench
        .buildx(&["imagetools", "inspect", &name, "--format", "{{json .SBOM}}"])
        .ok();
    assert!(parts.contains("SPDX-2.3"), "{parts}");
}

#[test]
fn several_platforms_are_built_at_once() {
    let Some(bench) = Bench::start() else { return };
    let text = "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\nRUN echo $TARGETARCH > /made\n\
                FROM scratch\nCOPY --from=make /made /made\n";
    let folder = bench.folder("several", &[("Dockerfile", text)]);
    let name = format!("{}/several:1", bench.engine.registry().host());
    bench.build(&[
        "--platform=linux/amd64,linux/arm64",
        "--provenance=false",
        "--push",
        "-t",
        &name,
        &folder,
    ]);
    let index = manifest(&bench, "several", "1");
    let found: Vec<&str> = index["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .filter_map(|one| one["platform"]["architecture"].as_str())
        .collect();
    assert_eq!(found, ["amd64", "arm64"]);
}

#[test]
fn layouts_stand_for_images() {
    let Some(bench) = Bench::start() else { return };
    let base = bench.folder("base", &[("Dockerfile", "FROM busybox\nRUN echo laid > /out\n")]);
    let archive = format!("type=oci,dest={}/layout.tar", bench.engine.work().display());
    bench.build(&["--provenance=false", "-o", &archive, &base]);
    bench.engine.sh("mkdir layout && tar xf layout.tar -C layout").ok();
    let folder = bench.folder("above", &[("Dockerfile", "FROM laid\nCMD cat /out\n")]);
    let index = bench.engine.sh("cat layout/index.json").ok();
    let index: Value = serde_json::from_str(&index).expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let place = bench.engine.work().join("layout");
    let context = format!("laid=oci-layout://{}@{digest}", place.display());
    bench.build(&["-t", "above", "--build-context", &context, &folder]);
    assert_eq!(bench.engine.corten(["run", "--rm", "above"]).ok(), "laid\n");
}
