//! Reading logs back: over rotations and compression, by time, with attributes, to the end.

use corten_tests::engine::Engine;
use corten_tests::until;

use crate::run;

/// The names of the files of a container's log.
fn files(engine: &Engine, name: &str) -> Vec<String> {
    let folder = engine
        .data_root()
        .join("containers")
        .join(engine.inspect(name, "{{.Id}}"));
    let list = |folder: &std::path::Path| {
        let entries = corten_sys::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let all = list(&folder).into_iter().chain(list(&folder.join("local-logs")));
    all.filter(|name| name.contains(".log")).collect()
}

#[test]
fn local_logs_are_rotated_compressed_and_read() {
    let engine = Engine::start();
    let script = "seq 3000; while [ ! -e /tmp/end ]; do sleep 0.05; done; seq 3001 3100";
    let options = ["max-size=50k", "max-file=5"];
    run(&engine, &["-d", "--name", "many"], "local", &options, script).ok();
    until::is("rotated files are compressed", || {
        let files = files(&engine, "many");
        files.iter().filter(|name| name.ends_with(".gz")).count() == 4
    });
    let mut following = engine.corten(["logs", "-f", "--tail", "5", "many"]).spawn();
    following.wait_for("3000\n");
    engine.corten(["exec", "many", "touch", "/tmp/end"]).ok();
    let followed = following.wait();
    assert!(followed.stdout.ends_with("3099\n3100\n"), "{followed}");
    let log = engine.corten(["logs", "many"]).ok();
    let numbers: Vec<u32> = log.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a line is missing");
    assert_eq!(numbers.last(), Some(&3100));
    assert_eq!(
        engine.corten(["logs", "--tail", "2500", "many"]).ok().lines().count(),
        2500
    );
}

#[test]
fn a_time_is_found_in_files_of_any_kind() {
    let engine = Engine::start();
    for options in [
        &["max-size=100k", "max-file=9"][..],
        &["max-size=100k", "max-file=9", "compress=true"],
    ] {
        run(&engine, &["--name", "timed"], "json-file", options, "seq 5000").ok();
        let stamped = engine.corten(["logs", "-t", "timed"]).ok();
        let lines: Vec<(&str, &str)> = stamped.lines().filter_map(|line| line.split_once(' ')).collect();
        assert_eq!(lines.len(), 5000);
        for place in [0, 1, 1234, 2500, 4999] {
            let since = engine.corten(["logs", "--since", lines[place].0, "timed"]).ok();
            let wanted: Vec<&str> = lines[place..].iter().map(|(_, text)| *text).collect();
            assert_eq!(since.lines().collect::<Vec<_>>(), wanted, "{options:?} {place}");
            let until = engine.corten(["logs", "--until", lines[place].0, "timed"]).ok();
            assert_eq!(until.lines().count(), place + 1);
        }
        engine.corten(["rm", "timed"]).ok();
    }
}

#[test]
fn details_are_labels_variables_and_the_tag() {
    let engine = Engine::start();
    let options = ["labels-regex=^com", "env=A", "tag={{.Name}}"];
    for (driver, name) in [("json-file", "one"), ("local", "two")] {
        let flags = ["--name", name, "--label", "com.x=1", "--label", "other=2", "-e", "A=3"];
        run(&engine, &flags, driver, &options, "echo x").ok();
        let details = engine.corten(["logs", "--details", name]).ok();
        assert_eq!(details, format!("A=3,com.x=1,tag={name} x\n"));
    }
}

#[test]
fn following_goes_over_rotations_and_ends_with_the_removal() {
    let engine = Engine::start();
    let script = "while [ ! -e /tmp/go ]; do sleep 0.05; done; seq 20000; sleep 1000";
    let options = ["max-size=1m", "max-file=3"];
    run(&engine, &["-d", "--name", "gone"], "json-file", &options, script).ok();
    let mut following = engine.corten(["logs", "-f", "gone"]).spawn();
    engine.corten(["exec", "gone", "touch", "/tmp/go"]).ok();
    let seen = following.wait_for("\n20000\n");
    let wanted: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(seen, wanted);
    engine.corten(["rm", "-f", "gone"]).ok();
    assert_eq!(following.wait().code, 0);
}
