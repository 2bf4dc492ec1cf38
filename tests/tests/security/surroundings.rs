//! What is around containers: logs, sockets, folders.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use corten_tests::engine::Engine;
use corten_tests::until;

#[test]
fn a_log_cannot_be_forged() {
    let engine = Engine::start();
    let script = r#"printf '{"log":"forged\\n","stream":"stderr","time":"2001-01-01T00:00:00Z"}\n'
        printf 'esc \033[2J bell \007 tab \t quote " back \\ return \r end\n'; printf 'nul \000 after\n'
        printf 'not \377\376 text\n'; printf 'snow \342\230\203\n'; printf 'no newline'"#;
    engine
        .corten(["run", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    let log = engine.corten(["logs", "box"]).ok();
    let expected = "{\"log\":\"forged\\n\",\"stream\":\"stderr\",\"time\":\"2001-01-01T00:00:00Z\"}\n\
        esc \u{1b}[2J bell \u{7} tab \t quote \" back \\ return \r end\nnul \0 after\n\
        not \u{fffd}\u{fffd} text\nsnow \u{2603}\nno newline";
    assert_eq!(log, expected);
    let times = engine.corten(["logs", "-t", "box"]).ok();
    assert!(
        times
            .split('\n')
            .all(|line| line.starts_with("20") && !line.starts_with("2001")),
        "{times}"
    );
    let file = engine.inspect("box", "{{.LogPath}}");
    for line in corten_sys::fs::read_to_string(file).expect("a log").lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
    }
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "head -c 5000000 /dev/zero | tr '\\0' x; sleep 1000",
        ])
        .ok();
    let size = || engine.corten(["logs", "box"]).ok().len();
    // The rest of the line waits for its end, or for a whole piece.
    until::is("all whole pieces are in the log", || size() > 4_980_000);
    let shim = engine.shim("box");
    let status = corten_sys::fs::read_to_string(format!("/proc/{shim}/status")).expect("it runs");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .expect("a field");
    let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    assert!(peak < 4096, "the shim has {peak} kB");
}

#[test]
fn strangers_have_no_access() {
    let engine = Engine::start();
    let mode = |path: &std::path::Path| corten_sys::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    let socket = corten_sys::fs::metadata(engine.socket()).expect("a socket");
    assert_eq!((mode(&engine.socket()), socket.uid()), (0o660, 0));
    let corten = corten_tests::programs::corten();
    let as_nobody = |what: &str| {
        engine
            .sh(&format!("setpriv --reuid 65534 --regid 65534 --clear-groups {what}"))
            .run()
    };
    let refused = as_nobody(&format!("{} ps", corten.display()));
    assert_eq!(refused.code, 1, "{refused}");
    assert!(
        refused.stderr.contains("permission denied while trying to connect"),
        "{refused}"
    );
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "box",
            "-e",
            "PASSWORD=secret",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    for root in [engine.data_root(), engine.exec_root()] {
        assert_eq!(mode(&root) & 0o066, 0, "{}", root.display());
        for below in ["containers", "overlay2", "image", "volumes"] {
            let refused = as_nobody(&format!("ls {}/{below}", root.display()));
            assert_ne!(refused.code, 0, "{below}: {refused}");
        }
    }
    let daemon = as_nobody(&format!(
        "{} daemon --data-root /tmp/never --exec-root /tmp/never",
        corten.display()
    ));
    assert_eq!(daemon.code, 1, "{daemon}");
    assert!(daemon.stderr.contains("root privileges"), "{daemon}");
}

#[test]
fn a_fork_bomb_and_a_hog_stay_inside() {
    let engine = Engine::start();
    let bomb = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done 2>&1; echo over";
    let finished = engine
        .corten(["run", "--rm", "--pids-limit", "20", "busybox", "sh", "-c", bomb])
        .run();
    assert!(
        finished.stdout.contains("fork") || finished.stderr.contains("fork"),
        "{finished}"
    );
    let hog = "head -c 200m /dev/zero | tail";
    let options = [
        "run",
        "--name",
        "hog",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
    ];
    engine.corten(options.iter().chain(&[hog])).run();
    assert_eq!(engine.inspect("hog", "{{.State.OOMKilled}}"), "true");
    let disk = engine
        .corten([
            "run",
            "--rm",
            "--shm-size",
            "1m",
            "busybox",
            "dd",
            "if=/dev/zero",
            "of=/dev/shm/f",
            "bs=1M",
            "count=2",
        ])
        .run();
    assert!(
        disk.code != 0 && disk.stderr.contains("No space left on device"),
        "{disk}"
    );
}
