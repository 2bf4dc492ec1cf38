//! The engine's own log, in dockerd's formats, on standard error.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use corten_api::time::Time;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::dynamic_filter_fn,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// The level that is logged; it may change while the engine runs.
#[derive(Debug, Clone)]
pub(super) struct Level(Arc<AtomicU8>);

impl Level {
    /// Sets it.
    pub(super) fn set(&self, level: tracing::Level) {
        self.0.store(number(level), Ordering::Relaxed);
    }
}

/// Starts to log.
pub(super) fn start(level: tracing::Level, json: bool) -> Level {
    let current = Level(Arc::new(AtomicU8::new(number(level))));
    let shared = Arc::clone(&current.0);
    let ours = dynamic_filter_fn(move |metadata, _| {
        let is_wanted = number(*metadata.level()) <= shared.load(Ordering::Relaxed);
        is_wanted && (metadata.target().starts_with("corten") || *metadata.level() <= tracing::Level::WARN)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Lines { json });
    // A second call, as in tests, leaves the first one's subscriber in place.
    let _ = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
    current
}

fn number(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 1,
        tracing::Level::WARN => 2,
        tracing::Level::INFO => 3,
        tracing::Level::DEBUG => 4,
        tracing::Level::TRACE => 5,
    }
}

/// `time="…" level=info msg="…" key=value`, or the same as JSON.
struct Lines {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            tracing::Level::WARN => "warning",
            tracing::Level::ERROR => "error",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        writeln!(writer, "{}", fields.line(self.json, level, Time::now()))
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn line(&self, json: bool, level: &str, now: Time) -> String {
        if json {
            let mut map = BTreeMap::<_, serde_json::Value>::new();
            for (name, value) in &self.others {
                map.insert(*name, value.as_str().into());
            }
            map.insert("level", level.into());
            map.insert("msg", self.message.as_str().into());
            map.insert("time", now.to_string().into());
            return serde_json::to_string(&map).unwrap_or_default();
        }
        let mut line = format!("time=\"{now}\" level={level} msg={:?}", self.message);
        for (name, value) in &self.others {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/@^+:".contains(c);
            // Writing to a string cannot fail.
            let _ = match !value.is_empty() && value.chars().all(is_plain) {
                true => write!(line, " {name}={value}"),
                false => write!(line, " {name}={value:?}"),
            };
        }
        line
    }

    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value
        } else {
            self.others.push((field.name(), value))
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_as_dockerd_s() {
        let fields = Fields {
            message: "API listen on \"x\"".to_owned(),
            others: vec![("id", "abc".to_owned()), ("error", "not found: y".to_owned())],
        };
        let now = Time::from_nanoseconds(0);
        assert_eq!(
            fields.line(false, "info", now),
            r#"time="1970-01-01T00:00:00Z" level=info msg="API listen on \"x\"" id=abc error="not found: y""#
        );
        assert_eq!(
            fields.line(true, "info", now),
            r#"{"error":"not found: y","id":"abc","level":"info","msg":"API listen on \"x\"","time":"1970-01-01T00:00:00Z"}"#
        );
    }
}
