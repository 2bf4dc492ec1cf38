//! What was said, kept and read back.

use corten_tests::engine::Engine;

#[test]
fn following_ends_with_the_container() {
    let engine = Engine::start();
    let script = "for i in 1 2 3; do echo $i; sleep 0.1; done";
    engine
        .corten(["run", "-d", "--name", "talks", "busybox", "sh", "-c", script])
        .ok();
    assert_eq!(engine.corten(["logs", "-f", "talks"]).ok(), "1\n2\n3\n");
}

#[test]
fn streams_stay_apart() {
    let engine = Engine::start();
    engine
        .corten(["run", "--name", "both", "busybox", "sh", "-c", "echo out; echo err >&2"])
        .ok();
    let finished = engine.corten(["logs", "both"]).run();
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn parts_can_be_chosen() {
    let engine = Engine::start();
    engine.corten(["run", "--name", "ten", "busybox", "seq", "10"]).ok();
    assert_eq!(engine.corten(["logs", "--tail", "2", "ten"]).ok(), "9\n10\n");
    assert_eq!(engine.corten(["logs", "--tail", "0", "ten"]).ok(), "");
    let stamped = engine.corten(["logs", "-t", "ten"]).ok();
    let times: Vec<&str> = stamped.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(times.len(), 10);
    let fifth = times[4];
    let since = engine.corten(["logs", "--since", fifth, "ten"]).ok();
    assert!(since.lines().count() <= 6 && since.ends_with("10\n"), "{since}");
    let until = engine.corten(["logs", "--until", fifth, "ten"]).ok();
    assert!(until.starts_with("1\n") && until.lines().count() >= 5 - 1, "{until}");
    assert_eq!(engine.corten(["logs", "--since", "1h", "ten"]).ok().lines().count(), 10);
}

#[test]
fn long_lines_and_no_newline_are_kept() {
    let engine = Engine::start();
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; printf end";
    engine
        .corten(["run", "--name", "long", "busybox", "sh", "-c", script])
        .ok();
    let log = engine.corten(["logs", "long"]).ok();
    assert_eq!(log, format!("{}\nend", "x".repeat(100_000)));
}

#[test]
fn rotation_keeps_to_its_bounds() {
    let engine = Engine::start();
    let options = [
        "run",
        "--name",
        "much",
        "--log-opt",
        "max-size=10k",
        "--log-opt",
        "max-file=3",
    ];
    engine
        .corten(options.into_iter().chain(["busybox", "seq", "5000"]))
        .ok();
    let id = engine.inspect("much", "{{.Id}}");
    let folder = engine.data_root().join("containers").join(&id);
    let sizes: Vec<u64> = corten_sys::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("-json.log"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 12 * 1024), "{sizes:?}");
    let log = engine.corten(["logs", "much"]).ok();
    assert!(log.ends_with("4999\n5000\n"), "{log}");
    let numbers: Vec<u32> = log.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a line is missing");
}

#[test]
fn logs_are_bounded_by_default() {
    let engine = Engine::start();
    // 130 MB as JSON, of which 100 are kept.
    let script = "yes $(head -c 900 /dev/zero | tr '\\0' y) | head -n 140000";
    engine
        .corten(["run", "-d", "--name", "flood", "busybox", "sh", "-c", script])
        .ok();
    assert_eq!(engine.corten(["wait", "flood"]).ok(), "0\n");
    let id = engine.inspect("flood", "{{.Id}}");
    let script = format!(
        "du -cb {}/containers/{id}/*-json.log* | tail -1 | cut -f1",
        engine.data_root().display()
    );
    let bytes: u64 = engine.sh(&script).line().parse().unwrap();
    assert!(bytes > 80 << 20 && bytes < 110 << 20, "{bytes}");
}

#[test]
fn no_log_can_be_had() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "--name",
            "quiet",
            "--log-driver",
            "none",
            "busybox",
            "echo",
            "unheard",
        ])
        .ok();
    let refusal = engine.corten(["logs", "quiet"]).fails(1);
    assert!(
        refusal.contains("configured logging driver does not support reading"),
        "{refusal}"
    );
}
