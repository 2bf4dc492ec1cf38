//! What happens, in numbers, for Prometheus (text format 0.0.4).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::gc::Report;

/// Kinds of request, as [`crate::route::Route::kind`] names them.
const KINDS: [&str; 11] = [
    "base",
    "catalogue",
    "tags",
    "manifest",
    "blob",
    "upload",
    "referrers",
    "token",
    "health",
    "page",
    "unknown",
];
/// Classes of status: 1xx to 5xx.
const CLASSES: usize = 5;
/// Upper bounds of durations, in milliseconds.
const BOUNDS: [u64; 9] = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000];

/// The numbers.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; CLASSES]; KINDS.len()],
    durations: [AtomicU64; BOUNDS.len() + 1],
    duration_sum: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    pulls: AtomicU64,
    pushes: AtomicU64,
    collections: AtomicU64,
    collected: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    /// A request was answered. The time is until the answer's head.
    pub(crate) fn answered(&self, kind: &str, status: u16, time: Duration) {
        let kind = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1);
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        add(&self.requests[kind][class], 1);
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let bucket = BOUNDS
            .iter()
            .position(|bound| milliseconds < *bound)
            .unwrap_or(BOUNDS.len());
        add(&self.durations[bucket], 1);
        add(&self.duration_sum, u64::try_from(time.as_micros()).unwrap_or(0));
    }

    /// Bytes of uploads have come.
    pub(crate) fn received(&self, bytes: u64) {
        add(&self.received, bytes);
    }

    /// Bytes of content go out.
    pub(crate) fn sent(&self, bytes: u64) {
        add(&self.sent, bytes);
    }

    /// A manifest was fetched.
    pub(crate) fn pulled(&self) {
        add(&self.pulls, 1);
    }

    /// A manifest was pushed.
    pub(crate) fn pushed(&self) {
        add(&self.pushes, 1);
    }

    /// What nobody needed was collected.
    pub(crate) fn collected(&self, report: &Report) {
        add(&self.collections, 1);
        add(&self.collected, report.bytes);
    }

    /// The text, with what is true now beside what was counted.
    pub(crate) fn write(&self, uploads: usize, stored: u64) -> String {
        let mut text = String::new();
        let mut line = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "# HELP corten_registry_{name} {help}\n# TYPE corten_registry_{name} {kind}"
            );
            for (labels, value) in values {
                let _ = writeln!(text, "corten_registry_{name}{labels} {value}");
            }
        };
        let requests = self.requests.iter().zip(KINDS).flat_map(|(classes, kind)| {
            let counted = classes.iter().enumerate().filter(|(_, count)| get(count) > 0);
            counted.map(move |(class, count)| (format!("{{kind=\"{kind}\",status=\"{}xx\"}}", class + 1), get(count)))
        });
        let requests: Vec<_> = requests.collect();
        line("requests_total", "counter", "Requests answered.", &requests);
        let one = |value| [(String::new(), value)];
        line(
            "received_bytes_total",
            "counter",
            "Bytes of uploads.",
            &one(get(&self.received)),
        );
        line(
            "sent_bytes_total",
            "counter",
            "Bytes of content asked for.",
            &one(get(&self.sent)),
        );
        line("pulls_total", "counter", "Manifests fetched.", &one(get(&self.pulls)));
        line("pushes_total", "counter", "Manifests pushed.", &one(get(&self.pushes)));
        line(
            "collections_total",
            "counter",
            "Collections of what nobody needs.",
            &one(get(&self.collections)),
        );
        line(
            "collected_bytes_total",
            "counter",
            "Bytes that they freed.",
            &one(get(&self.collected)),
        );
        line(
            "uploads",
            "gauge",
            "Uploads that go on.",
            &one(u64::try_from(uploads).unwrap_or(0)),
        );
        line(
            "stored_bytes",
            "gauge",
            "Bytes of content, each blob once.",
            &one(stored),
        );
        self.write_durations(&mut text);
        text
    }

    fn write_durations(&self, text: &mut String) {
        const NAME: &str = "corten_registry_request_duration_seconds";
        let _ = writeln!(
            text,
            "# HELP {NAME} Time until an answer's head.\n# TYPE {NAME} histogram"
        );
        let mut total = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.durations) {
            total += get(count);
            let _ = writeln!(
                text,
                "{NAME}_bucket{{le=\"{}.{:03}\"}} {total}",
                bound / 1000,
                bound % 1000
            );
        }
        total += get(&self.durations[BOUNDS.len()]);
        let sum = get(&self.duration_sum);
        let _ = writeln!(text, "{NAME}_bucket{{le=\"+Inf\"}} {total}");
        let _ = writeln!(
            text,
            "{NAME}_sum {}.{:06}\n{NAME}_count {total}",
            sum / 1_000_000,
            sum % 1_000_000
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_written() {
        let metrics = Metrics::default();
        metrics.answered("blob", 206, Duration::from_millis(7));
        metrics.answered("nonsense", 404, Duration::from_secs(60));
        metrics.sent(10);
        let text = metrics.write(2, 3);
        for line in [
            "corten_registry_requests_total{kind=\"blob\",status=\"2xx\"} 1",
            "corten_registry_requests_total{kind=\"unknown\",status=\"4xx\"} 1",
            "corten_registry_sent_bytes_total 10",
            "corten_registry_uploads 2",
            "corten_registry_stored_bytes 3",
            "corten_registry_request_duration_seconds_bucket{le=\"0.005\"} 0",
            "corten_registry_request_duration_seconds_bucket{le=\"0.010\"} 1",
            "corten_registry_request_duration_seconds_bucket{le=\"+Inf\"} 2",
            "corten_registry_request_duration_seconds_sum 60.007000",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
