//! Archives that bomb, escape or make no sense, through `import` and `load`.

use std::io::Write as _;

use corten_tests::engine::{Engine, Options};
use corten_tests::images::tar;
use corten_tests::until;

/// One entry of an archive, without the archive's end.
fn entry(path: &str, kind: u8, link: &str, contents: &[u8]) -> Vec<u8> {
    let mut bytes = tar(&[(path.to_owned(), contents.to_vec())]);
    bytes.truncate(bytes.len() - 1024);
    bytes[156] = kind;
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    sign(&mut bytes);
    bytes
}

/// Puts the sum of the header in order.
fn sign(entry: &mut [u8]) {
    entry[148..156].fill(b' ');
    let sum: u32 = entry[..512].iter().map(|byte| u32::from(*byte)).sum();
    entry[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn folders(engine: &Engine) -> usize {
    corten_sys::fs::read_dir(engine.data_root().join("overlay2")).map_or(0, Iterator::count)
}

/// Nothing is there but what was before, and the engine works on.
#[track_caller]
fn left_nothing(engine: &Engine, what: &str, before: usize) {
    assert_eq!(engine.corten(["images", "-aq"]).ok(), "", "{what}");
    // What is thrown away is deleted in the background.
    until::is(&format!("nothing is left of {what}"), || folders(engine) == before);
    assert!(engine.is_running(), "{what}");
}

#[test]
fn no_entry_reaches_outside() {
    let engine = Engine::start();
    let target = engine.work().join("target");
    corten_sys::fs::create_dir_all(&target).expect("a folder");
    corten_sys::fs::write(target.join("key"), "secret").expect("a file");
    let at = target.display().to_string();
    let key = format!("{at}/key");
    let up = format!("../../../../../../../../../..{at}/new");
    for (what, entries) in [
        ("dots", vec![entry(&up, b'0', "", b"x")]),
        ("dots within", vec![entry(&format!("a/../{up}"), b'0', "", b"x")]),
        (
            "a linked folder",
            vec![entry("a", b'2', &at, b""), entry("a/new", b'0', "", b"x")],
        ),
        (
            "a linked file",
            vec![entry("a", b'2', &key, b""), entry("a", b'0', "", b"x")],
        ),
        (
            "a hard link",
            vec![entry("a", b'1', &key, b""), entry("a", b'0', "", b"x")],
        ),
        (
            "a hard link upwards",
            vec![
                entry("a", b'1', &format!("../../../../../../..{key}"), b""),
                entry("a", b'0', "", b"x"),
            ],
        ),
        (
            "a hard link by a link",
            vec![
                entry("d", b'2', &at, b""),
                entry("a", b'1', "d/key", b""),
                entry("a", b'0', "", b"x"),
            ],
        ),
        (
            "a whiteout by a link",
            vec![entry("d", b'2', &at, b""), entry("d/.wh.key", b'0', "", b"")],
        ),
        (
            "a whiteout upwards",
            vec![entry(".wh...", b'0', "", b""), entry("x/.wh..", b'0', "", b"")],
        ),
    ] {
        let finished = engine.corten(["import", "-", "hostile"]).stdin(archive(&entries)).run();
        let names: Vec<_> = corten_sys::fs::read_dir(&target)
            .expect("a folder")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(names, ["key"], "{what}: {finished}");
        assert_eq!(
            corten_sys::fs::read_to_string(target.join("key")).expect("a file"),
            "secret",
            "{what}: {finished}"
        );
        if finished.code == 0 {
            engine.corten(["rmi", "hostile"]).ok();
        }
        assert!(engine.is_running(), "{what}");
    }
}

#[test]
fn rubbish_is_refused() {
    let engine = Engine::start();
    let before = folders(&engine);
    let whole = archive(&[entry("file", b'0', "", &[7; 3000])]);
    let mut huge = entry("file", b'0', "", b"");
    huge[124..136].copy_from_slice(b"77777777777\0");
    sign(&mut huge);
    let mut negative = entry("file", b'0', "", b"");
    negative[124..136].fill(0xff);
    sign(&mut negative);
    let mut unsigned = whole.clone();
    unsigned[0] = b'F';
    let packed = gzip(&whole);
    for (what, bytes) in [
        ("cut in a file", whole[..1500].to_vec()),
        ("a huge size", archive(&[huge])),
        ("a negative size", archive(&[negative])),
        ("a wrong sum", unsigned),
        (
            "no archive",
            b"this is text, and long enough to be looked at. ".repeat(100),
        ),
        ("half of gzip", packed[..packed.len() / 2].to_vec()),
        (
            "zstd that is none",
            [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0xff; 600]].concat(),
        ),
    ] {
        let refusal = engine.corten(["import", "-", "bad"]).stdin(bytes).fails(1);
        assert!(refusal.len() > 20, "{what}: {refusal}");
        left_nothing(&engine, what, before);
    }
}

#[test]
fn a_bomb_leaves_the_disk_as_it_was() {
    let engine = Engine::start_with(Options {
        data_root_size: Some(24 << 20),
        ..Options::default()
    });
    let before = folders(&engine);
    let bomb = gzip(&archive(&[entry("zeros", b'0', "", &vec![0; 100 << 20])]));
    assert!(bomb.len() < 200_000);
    let noisy: Vec<u8> = corten_tests::images::noise(1 << 20, 3).repeat(150);
    let full = archive(&[entry("noise", b'0', "", &noisy)]);
    let refusal = engine.corten(["import", "-", "bomb"]).stdin(full).fails(1);
    assert!(refusal.to_lowercase().contains("no space left on device"), "{refusal}");
    left_nothing(&engine, "noise", before);
    let finished = engine.corten(["import", "-", "bomb"]).stdin(bomb).run();
    if finished.code == 0 {
        // Zeros need no space where they are kept as holes.
        engine.corten(["rmi", "bomb"]).ok();
    }
    left_nothing(&engine, "zeros", before);
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "echo", "works"]).ok(),
        "works\n"
    );
}

#[test]
fn archives_of_images_are_looked_at_closely() {
    let engine = Engine::start();
    let before = folders(&engine);
    let file = |path: &str, text: &str| entry(path, b'0', "", text.as_bytes());
    let manifest = |config: &str, layers: &str| {
        file(
            "manifest.json",
            &format!("[{{\"Config\":\"{config}\",\"RepoTags\":[\"bad:1\"],\"Layers\":[{layers}]}}]"),
        )
    };
    let config = r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#;
    let layer = String::from_utf8_lossy(&archive(&[file("f", "x")])).into_owned();
    for (what, entries) in [
        ("nothing", vec![]),
        ("no manifest", vec![file("x", "y")]),
        ("a manifest that is no JSON", vec![file("manifest.json", "{")]),
        (
            "a manifest of another shape",
            vec![file("manifest.json", "{\"Config\":5}")],
        ),
        ("a deep manifest", vec![file("manifest.json", &"[".repeat(50_000))]),
        ("a configuration that is not there", vec![manifest("config.json", "")]),
        (
            "a configuration elsewhere",
            vec![manifest("../../../../etc/passwd", "")],
        ),
        (
            "a layer that is not there",
            vec![file("config.json", config), manifest("config.json", "\"l.tar\"")],
        ),
        (
            "a layer elsewhere",
            vec![file("config.json", config), manifest("config.json", "\"/etc/passwd\"")],
        ),
        (
            "a layer that is a link",
            vec![
                file("config.json", config),
                entry("l.tar", b'2', "/etc/passwd", b""),
                manifest("config.json", "\"l.tar\""),
            ],
        ),
        (
            "another layer",
            vec![
                file("config.json", config),
                file("l.tar", &layer),
                manifest("config.json", "\"l.tar\""),
            ],
        ),
        (
            "fewer layers",
            vec![file("config.json", config), manifest("config.json", "")],
        ),
        (
            "an index that is no JSON",
            vec![
                file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
                file("index.json", "["),
            ],
        ),
        (
            "an index to nothing",
            vec![
                file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
                file(
                    "index.json",
                    "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":5,\"digest\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}]}",
                ),
            ],
        ),
        (
            "a digest that is a path",
            vec![
                file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
                file(
                    "index.json",
                    "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":5,\"digest\":\"sha256:../../x\"}]}",
                ),
            ],
        ),
    ] {
        let finished = engine.corten(["load"]).stdin(archive(&entries)).run();
        assert_eq!(finished.code, 1, "{what}: {finished}");
        assert!(finished.stderr.trim().len() > 15, "{what}: {finished}");
        assert!(!finished.stderr.contains("root:x:0"), "{what}: {finished}");
        left_nothing(&engine, what, before);
    }
}
