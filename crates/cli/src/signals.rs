//! Signals: passed on to a container, and the terminal's changes of size.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are passed on, by the names that the API takes.
const PASSED: [(i32, &str); 10] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (15, "TERM"),
    (18, "CONT"),
    (20, "TSTP"),
    (21, "TTIN"),
];

/// Signals that arrive from now on.
pub(crate) struct Passed(Vec<(&'static str, Signal)>);

impl Passed {
    /// Catches the signals that are passed on.
    pub(crate) fn catch() -> Self {
        let signals = PASSED
            .iter()
            .filter_map(|(number, name)| Some((*name, signal(SignalKind::from_raw(*number)).ok()?)))
            .collect();
        Self(signals)
    }

    /// The next one's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|cx| {
            for (name, signal) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*name);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Waits for a signal that ends the program; gives the exit status that goes with it.
pub(crate) async fn deadly() -> u8 {
    let catch = |number| signal(SignalKind::from_raw(number)).ok();
    let mut signals: Vec<_> = [1u8, 2, 3, 15]
        .into_iter()
        .filter_map(|number| Some((number, catch(i32::from(number))?)))
        .collect();
    std::future::poll_fn(|cx| {
        for (number, signal) in &mut signals {
            if signal.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(128 + *number);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// The terminal's changes of size.
pub(crate) fn window_changes() -> Option<Signal> {
    signal(SignalKind::window_change()).ok()
}
