//! What a build gives out: annotations, packings, pushes.

use corten_sys::fs;
use corten_tests::{engine::Engine, registry::Access};
use serde_json::{Value, json};

use crate::{context, engine};

/// A document that the registry has.
#[track_caller]
pub(crate) fn manifest(engine: &Engine, repository: &str, reference: &str) -> Value {
    let bytes = engine.registry().manifest(repository, reference);
    serde_json::from_slice(&bytes.expect("the registry has it")).expect("JSON")
}

/// A context with one file more than busybox, of which there is only one of this text.
#[track_caller]
fn plain(engine: &Engine, name: &str) -> String {
    let dockerfile = format!("FROM busybox\nRUN echo {name} > /said\nCMD cat /said\n");
    context(engine, name, &[("Dockerfile", &dockerfile)])
}

#[test]
fn annotations_are_kept_through_push_and_save() {
    let engine = engine();
    let folder = plain(&engine, "annotated");
    let name = format!("{}/annotated:1", engine.registry().host());
    let build = |flags: &[&str]| {
        let all = [&["build", "-q", "-t", &name], flags, &[folder.as_str()]].concat();
        engine.corten(all).ok();
    };
    build(&["--annotation", "a.b=c", "--annotation", "manifest[linux/amd64]:d=e"]);
    engine.corten(["push", "-q", &name]).ok();
    let pushed = manifest(&engine, "annotated", "1");
    assert_eq!(pushed["annotations"], json!({"a.b": "c", "d": "e"}));
    assert_eq!(pushed["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    engine.corten(["save", "-o", "saved.tar", &name]).ok();
    let saved = engine.sh("tar xOf saved.tar --wildcards 'blobs/sha256/*'").ok();
    assert!(saved.contains("\"a.b\": \"c\""), "{saved}");

    // The same image without annotations is pushed without them.
    build(&[]);
    engine.corten(["push", "-q", &name]).ok();
    assert_eq!(manifest(&engine, "annotated", "1").get("annotations"), None);

    let archive = engine.work().join("annotated.tar");
    let output = format!("type=oci,dest={}", archive.display());
    build(&["--annotation", "manifest-descriptor:f=g", "--output", &output]);
    let index = engine.sh("tar xOf annotated.tar index.json").ok();
    let index: Value = serde_json::from_str(&index).expect("JSON");
    assert_eq!(index["manifests"][0]["annotations"]["f"], "g");

    let refused = engine.corten(["build", "--annotation", "index:a=b", &folder]).fails(1);
    assert!(
        refused.contains("index annotations not supported for single platform export"),
        "{refused}"
    );
    let refused = engine
        .corten(["build", "--annotation", "manifest[linux/s390x]:a=b", &folder])
        .fails(1);
    assert!(
        refused.contains("invalid annotation: no platform linux/s390x found in source"),
        "{refused}"
    );
}

#[test]
fn layers_are_packed_as_asked() {
    let engine = engine();
    let folder = plain(&engine, "packed");
    let host = engine.registry().host();
    let packings = [
        ("gzip,compression-level=9", "tar.gzip"),
        ("zstd", "tar+zstd"),
        ("zstd,compression-level=19", "tar+zstd"),
        ("uncompressed,oci-mediatypes=true", "v1.tar"),
    ];
    for (number, (packing, kind)) in packings.iter().enumerate() {
        let name = format!("{host}/packed:{number}");
        let output = format!("type=image,name={name},push=true,force-compression=true,compression={packing}");
        engine.corten(["build", "-q", "--output", &output, &folder]).ok();
        let pushed = manifest(&engine, "packed", &number.to_string());
        for layer in pushed["layers"].as_array().expect("layers") {
            let found = layer["mediaType"].as_str().expect("a type");
            assert!(found.ends_with(kind), "{packing}: {found}");
        }
        engine.corten(["rmi", &name]).ok();
        engine.corten(["builder", "prune", "-a", "-f"]).ok();
        assert_eq!(engine.corten(["run", "--rm", &name]).ok(), "packed\n", "{packing}");
        engine.corten(["rmi", &name]).ok();
    }
    let archive = engine.work().join("packed.tar");
    let output = format!("type=oci,dest={},compression=zstd", archive.display());
    engine
        .corten(["build", "-q", "-t", "again:1", "--output", &output, &folder])
        .ok();
    engine.corten(["load", "-q", "-i", &archive.to_string_lossy()]).ok();
    assert_eq!(engine.corten(["run", "--rm", "again:1"]).ok(), "packed\n");
    for (options, said) in [
        ("compression=estargz", "compression=estargz"),
        (
            "compression=zstd,oci-mediatypes=false",
            "conflicts with \"oci-mediatypes=false\"",
        ),
        ("dangling-name-prefix=x", "dangling-name-prefix"),
        ("unpack=false", "unpack=false"),
        ("registry.insecure=true", "registry.insecure=true"),
        ("push=true", "tag is needed when pushing to registry"),
    ] {
        let output = format!("type=image,{options}");
        let refused = engine.corten(["build", "--output", &output, &folder]).fails(1);
        assert!(refused.contains(said), "{options}: {refused}");
    }
}

#[test]
fn images_are_pushed_by_builds() {
    let engine = engine();
    let folder = plain(&engine, "pushed");
    let registry = engine.registry();
    let host = registry.host();
    let (one, two) = (format!("{host}/pushed:1"), format!("{host}/other:2"));
    let about = engine.work().join("about.json");
    engine
        .corten(["build", "-q", "--push", "-t", &one, "-t", &two, "--metadata-file"])
        .arg(&about)
        .arg(&folder)
        .ok();
    assert_eq!(
        (registry.tags("pushed"), registry.tags("other")),
        (vec!["1".to_owned()], vec!["2".to_owned()])
    );
    assert_ne!(engine.corten(["images", "-q", &one]).ok(), "", "it stays here");
    let about: Value = serde_json::from_str(&fs::read_to_string(about).expect("a file")).expect("JSON");
    let digest = about["containerimage.digest"].as_str().expect("a digest");
    assert!(registry.manifest("pushed", digest).is_some(), "{digest}");

    let passing = format!("type=image,name={host}/passing:1,push=true,store=false");
    let dockerfile = "FROM busybox\nLABEL passing=yes\n";
    let passing_folder = context(&engine, "passing", &[("Dockerfile", dockerfile)]);
    let before = engine.corten(["images", "-aq"]).ok();
    engine.corten(["build", "-q", "-o", &passing, &passing_folder]).ok();
    assert_eq!(registry.tags("passing"), ["1"]);
    assert_eq!(engine.corten(["images", "-aq"]).ok(), before, "nothing stays");

    let bare = format!("type=image,name={host}/bare,push=true,push-by-digest=true");
    let id = engine.work().join("bare.json");
    engine
        .corten(["build", "-q", "-o", &bare, "--metadata-file"])
        .arg(&id)
        .arg(&folder)
        .ok();
    assert!(registry.tags("bare").is_empty());
    let about: Value = serde_json::from_str(&fs::read_to_string(id).expect("a file")).expect("JSON");
    let digest = about["containerimage.digest"].as_str().expect("a digest");
    assert!(registry.manifest("bare", digest).is_some(), "{digest}");
}

#[test]
fn pushes_of_builds_need_credentials() {
    let engine = engine();
    let folder = plain(&engine, "guarded");
    let registry = engine.start_registry("127.0.0.1:0");
    registry.restrict(Access::Basic("me".to_owned(), "secret".to_owned()));
    let name = format!("{}/guarded:1", registry.host());
    let output = format!("type=registry,name={name}");
    let refused = engine.corten(["build", "-o", &output, &folder]).fails(1);
    assert!(refused.contains(&format!("failed to push {name}")), "{refused}");
    engine
        .corten(["login", "-u", "me", "--password-stdin", &registry.host()])
        .stdin("secret")
        .ok();
    engine.corten(["build", "-q", "-o", &output, &folder]).ok();
    assert_eq!(registry.tags("guarded"), ["1"]);
}

#[test]
fn layouts_are_folders_as_well() {
    let engine = engine();
    let folder = plain(&engine, "folder");
    let to = engine.work().join("layout");
    for tag in ["one", "two"] {
        let output = format!("type=oci,tar=false,name=local:{tag},dest={}", to.display());
        engine.corten(["build", "-q", "-o", &output, &folder]).ok();
    }
    let index = fs::read(to.join("index.json")).expect("a file");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let listed = index["manifests"].as_array().expect("manifests");
    assert_eq!(listed.len(), 2, "the first stays: {index}");
    let place = to.join("blobs/sha256");
    let digest = listed[0]["digest"]
        .as_str()
        .expect("a digest")
        .trim_start_matches("sha256:")
        .to_owned();
    assert!(fs::exists(place.join(digest)).expect("a folder"));
    assert!(fs::exists(to.join("oci-layout")).expect("a folder"));
    assert!(
        !fs::exists(to.join("manifest.json")).expect("a folder"),
        "that is Docker's"
    );
    // It is what a build can begin with, and others read it.
    let begin = format!("begin=oci-layout://{}:two", to.display());
    let above = context(&engine, "above", &[("Dockerfile", "FROM begin\n")]);
    engine
        .corten(["build", "-q", "-t", "above", "--build-context", &begin, &above])
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "above"]).line(), "folder");
    let refused = engine.corten(["build", "-o", "type=oci,tar=false", &folder]).fails(1);
    assert!(refused.contains("dest is required"), "{refused}");
}
