//! Waiting for conditions, with a deadline.

use std::time::{Duration, Instant};

/// How long a condition may take to come true before a test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none after [`PATIENCE`].
#[track_caller]
pub fn some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Asks again and again until it is so.
///
/// # Panics
/// When it is not so after [`PATIENCE`].
#[track_caller]
pub fn is(what: &str, mut ask: impl FnMut() -> bool) {
    some(what, || ask().then_some(()));
}
