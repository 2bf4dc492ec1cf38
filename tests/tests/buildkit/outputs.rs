//! Where results go, and what is remembered.

use corten_sys::fs;

use super::Bench;

const FILES: &str = "FROM busybox AS b\nRUN mkdir -p /o/d && echo one > /o/d/one && ln -s d/one /o/link && chmod 751 /o/d\n\
                     FROM scratch\nCOPY --from=b /o /\n";

#[test]
fn files_go_to_a_folder_or_an_archive() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder("files", &[("Dockerfile", FILES)]);
    let place = bench.engine.work().join("out");
    let local = format!("type=local,dest={}", place.display());
    bench.build(&["-o", &local, &folder]);
    assert_eq!(fs::read_to_string(place.join("link")).expect("a file"), "one\n");
    let mode = bench.engine.sh("stat -c %a out/d").line();
    assert_eq!(mode, "751");

    let tar = bench.engine.work().join("out.tar");
    let output = format!("type=tar,dest={}", tar.display());
    bench.build(&["-o", &output, &folder]);
    let listed = bench.engine.sh("tar tf out.tar").ok();
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["d/", "d/one", "link"]);
    let images = bench.engine.corten(["images", "-a", "-q"]).ok();
    assert_eq!(images.lines().count(), 1, "no image was asked for: {images}");
}

#[test]
fn images_are_loaded_and_pushed() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder("pushed", &[("Dockerfile", "FROM busybox\nRUN echo pushed > /p\n")]);
    let name = format!("{}/pushed:1", bench.engine.registry().host());
    let told = bench.build(&["--push", "-t", &name, &folder]);
    assert!(told.contains(&format!("pushing manifest for {name}@sha256:")), "{told}");
    assert_eq!(bench.engine.registry().tags("pushed"), ["1"]);
    bench.build(&["--load", "-t", "loaded", &folder]);
    let read = bench.engine.corten(["run", "--rm", "loaded", "cat", "/p"]).ok();
    assert_eq!(read, "pushed\n");
}

#[test]
fn builds_and_their_cache_are_listed_and_forgotten() {
    let Some(bench) = Bench::start() else { return };
    let folder = bench.folder(
        "kept",
        &[
            ("Dockerfile", "FROM busybox\nRUN echo said in a step\nCOPY x /\n"),
            ("x", "x"),
        ],
    );
    bench.build(&["-t", "kept", &folder]);
    let listed = bench.buildx(&["history", "ls"]).ok();
    assert!(listed.contains("kept") && listed.contains("Completed"), "{listed}");
    let logs = bench.buildx(&["history", "logs"]).run();
    assert!(format!("{logs}").contains("said in a step"), "{logs}");
    let inspected = bench.buildx(&["history", "inspect"]).ok();
    assert!(inspected.contains("https://slsa.dev/provenance/v0.2"), "{inspected}");

    let used = bench.buildx(&["du"]).ok();
    assert!(used.contains("Total:"), "{used}");
    let sources = bench.buildx(&["du", "--verbose", "--filter", "type=source.local"]).ok();
    assert!(
        sources.contains("source.local") && !sources.contains("regular"),
        "{sources}"
    );
    bench.buildx(&["prune", "-f", "-a"]).ok();
    let used = bench.buildx(&["du"]).ok();
    assert!(!used.contains("true"), "{used}");

    bench.buildx(&["history", "rm", "--all"]).ok();
    assert_eq!(bench.buildx(&["history", "ls", "--format={{.Ref}}"]).line(), "");
    let inspected = bench.buildx(&["inspect"]).ok();
    assert!(
        inspected.contains("Status:") && inspected.contains("running"),
        "{inspected}"
    );
}
