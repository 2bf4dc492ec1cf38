//! What the engine holds when nobody asks for anything.

use std::time::{Duration, Instant};

use corten_sys::fs;
use corten_tests::engine::Engine;
use corten_tests::until;

/// Pages of files, its own program's above all, that the engine has in memory, in KiB.
fn pages_of_files(engine: &Engine) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("the engine runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

#[test]
fn an_idle_engine_gives_memory_back() {
    let engine = Engine::start();
    let work = || engine.corten(["run", "--rm", "busybox", "echo", "on"]).ok();
    for _ in 0..2 {
        let (mut most, mut last) = (0, None::<Instant>);
        until::is("the idle engine holds less than half of what it held", || {
            // Again, in case it was at rest before it was looked at.
            if last.is_none_or(|last| last.elapsed() > Duration::from_secs(9)) {
                assert_eq!(work(), "on\n");
                last = Some(Instant::now());
            }
            let now = pages_of_files(&engine);
            most = most.max(now);
            now < most / 2
        });
    }
    assert_eq!(work(), "on\n");
}
