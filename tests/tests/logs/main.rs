//! Logs: what drivers keep and deliver, what becomes of lines when receivers are away, and reading.

mod drivers;
mod followers;
mod journal;
mod options;
mod reading;

use corten_tests::command::Call;
use corten_tests::engine::Engine;

/// `corten run` with a log driver, its options, and a script.
fn run(engine: &Engine, flags: &[&str], driver: &str, options: &[&str], script: &str) -> Call {
    let mut words = vec!["run"];
    words.extend(flags);
    words.extend(["--log-driver", driver]);
    for option in options {
        words.extend(["--log-opt", option]);
    }
    words.extend(["busybox", "sh", "-c", script]);
    engine.corten(words)
}
