//! The history for the engine's own clients: builds of `POST /build` are kept in it, and what is kept is told
//! without BuildKit's protocol.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::build::{Event as Told, Log, Past, Status as Progress, Vertex};
use corten_build::{Built, Event};
use corten_engine::builds::Watch;
use corten_oci::{digest::Digest, image::media_type::DOCKER_CONFIG};
use jiff::Timestamp;

use crate::{
    BuildKit,
    grpc::{Code, Status},
    inner::Inner,
    proto::{
        control::{BuildHistoryRecord, BuildResultInfo, Descriptor, Exporter, StatusResponse},
        parts::Time,
    },
    status::StatusLog,
};

/// Letters of a build's name, as BuildKit's clients make them.
const LETTERS: usize = 25;

impl BuildKit {
    /// Begins a record of a build, by what it was asked for.
    #[must_use]
    pub fn watch(&self, attributes: BTreeMap<String, String>, names: &[String]) -> Arc<dyn Watch> {
        let reference = new_name();
        Arc::new(Recorder {
            inner: Arc::clone(&self.0),
            log: StatusLog::new(&reference),
            began: Timestamp::now(),
            reference,
            attributes,
            names: names.join(","),
            ended: Mutex::default(),
        })
    }

    /// The builds that have ended, the newest first, after those that go on.
    #[must_use]
    pub fn history(&self) -> Vec<Past> {
        let running = self.0.solves.list();
        let running = running.iter().filter(|solve| !solve.request.internal);
        let running = running.map(|solve| past(crate::control::record(solve), true));
        running
            .chain(self.0.history.list().into_iter().map(|record| past(record, false)))
            .collect()
    }

    /// What a build told; none when there is no such build.
    #[must_use]
    pub fn history_log(&self, reference: &str) -> Option<Vec<Told>> {
        let messages = self.0.history.log(reference)?;
        Some(messages.into_iter().flat_map(told).collect())
    }

    /// Forgets a build; whether there was one.
    #[must_use]
    pub fn forget(&self, reference: &str) -> bool {
        self.0.history.remove(reference).is_ok()
    }
}

/// A name that no other build has.
fn new_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let text = format!(
        "{} {} {}",
        std::process::id(),
        Timestamp::now().as_nanosecond(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    Digest::sha256(text.as_bytes()).hex()[..LETTERS].to_owned()
}

/// Keeps a record of a build.
#[derive(Debug)]
struct Recorder {
    inner: Arc<Inner>,
    log: StatusLog,
    began: Timestamp,
    reference: String,
    attributes: BTreeMap<String, String>,
    names: String,
    /// Whether it was told how the build ended.
    ended: Mutex<bool>,
}

impl Watch for Recorder {
    fn event(&self, event: &Event) {
        match event {
            Event::Warnings(warnings) => self.log.count_warnings(warnings.len()),
            Event::Warned(_) => self.log.count_warnings(1),
            Event::Exported(..) => {}
            event => self.log.event(event.clone()),
        }
    }

    fn end(&self, result: Result<&Built, &corten_build::Error>) {
        let status = result.err().map(|error| match error.kind() {
            corten_build::Kind::Cancelled => Status::new(Code::Cancelled, "context canceled"),
            _ => Status::unknown(error.told()),
        });
        self.keep(result.ok().map(|built| built.image.to_string()), status);
    }
}

impl Recorder {
    fn keep(&self, image: Option<String>, status: Option<Status>) {
        if std::mem::replace(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner), true) {
            return;
        }
        self.log.end();
        let counts = self.log.counts();
        let image = image.map(|digest| Descriptor {
            media_type: DOCKER_CONFIG.to_owned(),
            digest,
            ..Descriptor::default()
        });
        let exporter = Exporter {
            kind: "image".to_owned(),
            attrs: BTreeMap::from([("name".to_owned(), self.names.clone())]),
        };
        let record = BuildHistoryRecord {
            reference: self.reference.clone(),
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: self.attributes.clone(),
            exporters: vec![exporter],
            error: status.map(|status| status.to_rpc()),
            created_at: Some(self.began.into()),
            completed_at: Some(Time::now()),
            result: image.map(|image| BuildResultInfo {
                result_deprecated: Some(image.clone()),
                attestations: Vec::new(),
                results: BTreeMap::from([(0, image)]),
            }),
            cached_steps: counts.cached,
            total_steps: counts.total,
            completed_steps: counts.completed,
            warnings: counts.warnings,
            ..BuildHistoryRecord::default()
        };
        let log = self.log.all().iter().map(|message| (**message).clone()).collect();
        if let Err(error) = self.inner.history.add(record, log, None) {
            tracing::warn!(%error, "a build is not kept in the history");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A build that came to no end was refused before it began, or given up.
        let has_begun = !self.log.all().is_empty();
        if has_begun {
            self.keep(None, Some(Status::new(Code::Cancelled, "context canceled")));
        }
    }
}

fn past(record: BuildHistoryRecord, is_running: bool) -> Past {
    let status = match &record.error {
        _ if is_running => "Running",
        None => "Completed",
        Some(error) if error.code == Code::Cancelled as i32 => "Canceled",
        Some(_) => "Error",
    };
    let result = record.result.unwrap_or_default();
    let names = record
        .exporters
        .iter()
        .filter_map(|exporter| exporter.attrs.get("name"));
    Past {
        status: status.to_owned(),
        names: names.cloned().collect::<Vec<_>>().join(","),
        created: time(record.created_at).unwrap_or_default(),
        completed: time(record.completed_at).unwrap_or_default(),
        error: record.error.map(|error| error.message).unwrap_or_default(),
        image: result
            .results
            .into_values()
            .next()
            .map(|image| image.digest)
            .unwrap_or_default(),
        reference: record.reference,
        attributes: record.frontend_attrs,
        cached_steps: record.cached_steps,
        total_steps: record.total_steps,
        completed_steps: record.completed_steps,
        warnings: record.warnings,
    }
}

fn time(time: Option<Time>) -> Option<String> {
    let time = time?;
    let found = Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(found.to_string())
}

/// The same in the engine's own words.
fn told(message: StatusResponse) -> Vec<Told> {
    let vertices = message.vertexes.into_iter().map(|vertex| {
        Told::Vertex(Vertex {
            digest: vertex.digest,
            inputs: vertex.inputs,
            name: vertex.name,
            started: time(vertex.started),
            completed: time(vertex.completed),
            cached: vertex.cached,
            error: vertex.error,
        })
    });
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let statuses = message.statuses.into_iter().map(|status| {
        Told::Status(Progress {
            id: status.id,
            vertex: status.vertex,
            name: status.name,
            total: count(status.total),
            current: count(status.current),
            timestamp: time(status.timestamp).unwrap_or_default(),
            started: time(status.started),
            completed: time(status.completed),
        })
    });
    let logs = message.logs.into_iter().map(|log| {
        Told::Log(Log {
            vertex: log.vertex,
            stream: if log.stream == 2 { 2 } else { 1 },
            data: STANDARD.encode(log.msg),
            timestamp: time(log.timestamp).unwrap_or_default(),
        })
    });
    vertices.chain(statuses).chain(logs).collect()
}
