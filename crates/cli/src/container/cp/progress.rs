//! How far a copy is, on a terminal; and how much it was.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use super::Counter;
use crate::opts::size::human_digits;

/// Between two updates.
const PERIOD: Duration = Duration::from_millis(75);

/// What is told about a copy.
pub(super) struct Progress {
    quiet: bool,
    header: &'static str,
    count: Counter,
}

impl Progress {
    pub(super) fn new(quiet: bool, header: &'static str) -> Self {
        Self {
            quiet,
            header,
            count: Counter::new(AtomicU64::new(0)),
        }
    }

    pub(super) fn counter(&self) -> Counter {
        Counter::clone(&self.count)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.count.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Shows progress until the result is dropped.
    pub(super) fn begin(&self) -> Option<Shown> {
        if self.quiet || !std::io::stderr().is_terminal() {
            return None;
        }
        let (end, ended) = mpsc::channel();
        let (header, count) = (self.header, self.counter());
        let thread = std::thread::spawn(move || show(header, &count, &ended));
        Some(Shown {
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Says what was done.
    pub(super) fn end(&self, target: &str) {
        if !self.quiet {
            let text = format!("Successfully copied {} to {target}\n", told(&self.count));
            write(&text);
        }
    }
}

/// A line of progress on the terminal.
pub(super) struct Shown {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It only writes to the terminal.
            let _ = thread.join();
        }
    }
}

fn show(header: &str, count: &Counter, ended: &mpsc::Receiver<()>) {
    // Save the place, hide the cursor.
    write("\x1b[s\x1b[?25l");
    loop {
        write(&format!("\x1b[u\x1b[2K{header}{}", told(count)));
        if ended.recv_timeout(PERIOD) != Err(mpsc::RecvTimeoutError::Timeout) {
            break;
        }
    }
    write("\x1b[u\x1b[2K\x1b[?25h");
}

fn told(count: &Counter) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let bytes = count.load(Ordering::Relaxed) as f64;
    human_digits(bytes, 3)
}

fn write(text: &str) {
    // Nobody is told that nobody can be told.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
