//! `--metrics-addr`: what the engine does, in Prometheus' text format, under dockerd's names.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use corten_engine::{Engine, system::VERSION};
use http::{Method, StatusCode, header};

use crate::{
    body::{self, Answer},
    router::Route,
};

/// Upper bounds of the buckets that durations are counted in, in seconds (Prometheus' usual ones).
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What is timed: a metric, and an action of it.
const ACTIONS: [(&str, &str); 11] = [
    ("container", "changes"),
    ("container", "create"),
    ("container", "delete"),
    ("container", "start"),
    ("host_info", "system_info"),
    ("image", "delete"),
    ("image", "prune"),
    ("image", "tag"),
    ("network", "allocate"),
    ("network", "connect"),
    ("network", "release"),
];

/// Durations of everything in [`ACTIONS`].
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    timers: [Timer; ACTIONS.len()],
}

/// How often something was done, and how long it took.
#[derive(Debug, Default)]
struct Timer {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    microseconds: AtomicU64,
}

impl Timer {
    fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            if seconds <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }
}

/// A route that is timed, by its place in [`ACTIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timed(usize);

impl Timed {
    /// The action that a route is.
    pub(crate) fn of(route: &Route) -> Option<Self> {
        use crate::router::ContainerCall;
        let name = match route {
            Route::Container(_, ContainerCall::Changes) => ("container", "changes"),
            Route::ContainerCreate => ("container", "create"),
            Route::ContainerRemove(_) => ("container", "delete"),
            Route::Container(_, ContainerCall::Start) => ("container", "start"),
            Route::Info => ("host_info", "system_info"),
            Route::ImageRemove(_) => ("image", "delete"),
            Route::ImagePrune => ("image", "prune"),
            Route::ImageTag(_) => ("image", "tag"),
            Route::NetworkCreate => ("network", "allocate"),
            Route::NetworkConnect(_) => ("network", "connect"),
            Route::NetworkRemove(_) => ("network", "release"),
            _ => return None,
        };
        ACTIONS.iter().position(|action| *action == name).map(Self)
    }
}

impl Metrics {
    /// Notes how long an action took.
    pub(crate) fn observe(&self, timed: Timed, took: Duration) {
        if let Some(timer) = self.timers.get(timed.0) {
            timer.observe(took);
        }
    }

    /// All figures.
    fn text(&self, engine: &Engine) -> String {
        let mut text = Text::default();
        self.timings(&mut text);
        let (running, paused, stopped) = engine.containers().counts();
        text.head(
            "engine_daemon_container_states_containers",
            "gauge",
            "The count of containers in various states",
        );
        for (state, count) in [("paused", paused), ("running", running), ("stopped", stopped)] {
            text.line(
                "engine_daemon_container_states_containers",
                &format!("{{state=\"{state}\"}}"),
                count,
            );
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        text.one(
            "engine_daemon_engine_cpus_cpus",
            "gauge",
            "The number of cpus that the host system of the engine has",
            cpus,
        );
        text.head(
            "engine_daemon_engine_info",
            "gauge",
            "The information related to the engine and the OS it is running on",
        );
        let uname = rustix::system::uname();
        let labels = format!(
            "{{architecture=\"{}\",daemon_id=\"{}\",graphdriver=\"overlay2\",kernel=\"{}\",os_type=\"linux\",version=\"{VERSION}\"}}",
            uname.machine().to_string_lossy(),
            engine.system().id(),
            uname.release().to_string_lossy(),
        );
        text.line("engine_daemon_engine_info", &labels, 1);
        text.one(
            "engine_daemon_engine_memory_bytes",
            "gauge",
            "The number of bytes of memory that the host system of the engine has",
            memory(),
        );
        text.one(
            "engine_daemon_events_subscribers_total",
            "gauge",
            "The number of current subscribers to events",
            engine.events().listeners(),
        );
        text.one(
            "engine_daemon_events_total",
            "counter",
            "The number of events logged",
            engine.events().count(),
        );
        process(&mut text);
        text.0
    }

    fn timings(&self, text: &mut Text) {
        for family in ["container", "host_info", "image", "network"] {
            let (name, label) = match family {
                "host_info" => ("engine_daemon_host_info_functions_seconds".to_owned(), "function"),
                other => (format!("engine_daemon_{other}_actions_seconds"), "action"),
            };
            text.head(
                &name,
                "histogram",
                "The number of seconds it takes to process each action",
            );
            let timers = ACTIONS.iter().zip(&self.timers).filter(|((of, _), _)| *of == family);
            for ((_, action), timer) in timers {
                let count = timer.count.load(Ordering::Relaxed);
                for (bucket, bound) in timer.buckets.iter().zip(BOUNDS) {
                    let labels = format!("{{{label}=\"{action}\",le=\"{bound}\"}}");
                    text.line(&format!("{name}_bucket"), &labels, bucket.load(Ordering::Relaxed));
                }
                text.line(
                    &format!("{name}_bucket"),
                    &format!("{{{label}=\"{action}\",le=\"+Inf\"}}"),
                    count,
                );
                let seconds = Duration::from_micros(timer.microseconds.load(Ordering::Relaxed)).as_secs_f64();
                text.line(&format!("{name}_sum"), &format!("{{{label}=\"{action}\"}}"), seconds);
                text.line(&format!("{name}_count"), &format!("{{{label}=\"{action}\"}}"), count);
            }
        }
    }
}

/// Lines of the text format.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }
}

/// The host's memory in bytes.
fn memory() -> u64 {
    let text = corten_sys::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or_default().saturating_mul(1024)
}

/// What any process tells of itself, under the names that Prometheus' libraries give.
fn process(text: &mut Text) {
    let stat = corten_sys::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; what follows it is numbers, the state first.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_whitespace()
                .map(|field| field.parse().unwrap_or_default())
                .collect()
        })
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    #[expect(clippy::cast_precision_loss, reason = "hundredths of seconds, for a graph")]
    let cpu = (field(14) + field(15)) as f64 / ticks as f64;
    text.one(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        cpu,
    );
    let open = corten_sys::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    text.one("process_open_fds", "gauge", "Number of open file descriptors.", open);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    text.one(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        field(24) * page,
    );
    text.one(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        field(23),
    );
    text.one("process_threads", "gauge", "Number of threads.", field(20));
}

/// Answers a request to the metrics' own address, which offers nothing else.
pub(crate) fn answer(metrics: &Arc<Metrics>, engine: &Engine, method: &Method, path: &str) -> Answer {
    if path != "/metrics" {
        let mut answer = body::typed("text/plain; charset=utf-8", body::full("404 page not found\n"));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return answer;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = body::empty(StatusCode::METHOD_NOT_ALLOWED);
        answer
            .headers_mut()
            .insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return answer;
    }
    body::typed(
        "text/plain; version=0.0.4; charset=utf-8",
        body::full(metrics.text(engine)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let metrics = Metrics::default();
        let start = Timed::of(&Route::Container("x".into(), crate::router::ContainerCall::Start)).unwrap();
        metrics.observe(start, Duration::from_millis(30));
        metrics.observe(start, Duration::from_secs(60));
        let mut text = Text::default();
        metrics.timings(&mut text);
        let has = |line: &str| assert!(text.0.lines().any(|l| l == line), "{line} in\n{}", text.0);
        has("engine_daemon_container_actions_seconds_bucket{action=\"start\",le=\"0.025\"} 0");
        has("engine_daemon_container_actions_seconds_bucket{action=\"start\",le=\"0.05\"} 1");
        has("engine_daemon_container_actions_seconds_bucket{action=\"start\",le=\"+Inf\"} 2");
        has("engine_daemon_container_actions_seconds_sum{action=\"start\"} 60.03");
        has("engine_daemon_container_actions_seconds_count{action=\"start\"} 2");
        assert_eq!(Timed::of(&Route::Ping), None);
    }
}
