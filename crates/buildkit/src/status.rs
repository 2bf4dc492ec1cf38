//! What a build tells, kept so that whoever asks late sees all of it (`Control.Status`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use corten_build::{Event, Log, Status as Progress, Stream, Vertex, Warning};
use corten_oci::digest::Digest;
use tokio::sync::watch;

use crate::{
    proto::{
        control::{StatusResponse, Vertex as WireVertex, VertexLog, VertexStatus, VertexWarning},
        ops::{Position, Range, SourceInfo},
        parts::Time,
    },
    rules,
};

/// Bytes that one vertex may write; BuildKit's limit.
const CLIPPED: usize = 2 << 20;
/// Bytes of all logs of a build.
const MOST: usize = 64 << 20;
/// So many messages are many.
const MANY: usize = 10_000;
/// Bytes of output in one message, more or less.
const MESSAGE: usize = 512 << 10;

/// The record of a build that goes on, or has just ended.
#[derive(Debug)]
pub(crate) struct StatusLog {
    /// Sets its vertices off from those of other builds.
    salt: String,
    /// Guards what was told.
    told: Mutex<Told>,
    length: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Told {
    messages: Vec<Arc<StatusResponse>>,
    vertices: HashMap<String, WireVertex>,
    written: HashMap<String, usize>,
    /// How much was last told to have moved, by vertex and what moves.
    moved: HashMap<(String, String), i64>,
    bytes: usize,
    warnings: i32,
    ended: bool,
}

/// Numbers for the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Vertices that were found in the cache.
    pub(crate) cached: i32,
    /// All vertices.
    pub(crate) total: i32,
    /// Those that were completed.
    pub(crate) completed: i32,
    /// Warnings.
    pub(crate) warnings: i32,
}

impl StatusLog {
    /// Of a build that begins.
    pub(crate) fn new(reference: &str) -> Self {
        Self {
            salt: reference.to_owned(),
            told: Mutex::default(),
            length: watch::channel(0).0,
        }
    }

    /// What was recorded of a build that has ended.
    pub(crate) fn recorded(messages: Vec<StatusResponse>) -> Self {
        let log = Self::new("");
        for message in messages {
            log.push(message);
        }
        log.end();
        log
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A vertex's identity on the wire: the same work in another build is another vertex.
    pub(crate) fn vertex(&self, digest: &Digest) -> String {
        Digest::sha256(format!("{}\n{digest}", self.salt).as_bytes()).to_string()
    }

    /// Tells a message.
    pub(crate) fn push(&self, message: StatusResponse) {
        let mut told = self.told();
        if told.ended {
            return;
        }
        for vertex in &message.vertexes {
            told.vertices.insert(vertex.digest.clone(), vertex.clone());
        }
        told.warnings += i32::try_from(message.warnings.len()).unwrap_or(0);
        told.messages.push(Arc::new(message));
        self.length.send_replace(told.messages.len());
    }

    /// Tells an event of the builder.
    pub(crate) fn event(&self, event: Event) {
        let mut message = StatusResponse::default();
        match event {
            Event::Vertex(vertex) => message.vertexes.push(self.wire_vertex(vertex)),
            Event::Status(status) => message.statuses.push(self.wire_status(&status)),
            Event::Log(log) => match self.wire_log(log) {
                Some(log) => message.logs.push(log),
                None => return,
            },
            _ => return,
        }
        self.push(message);
    }

    /// Counts warnings that are told elsewhere.
    pub(crate) fn count_warnings(&self, count: usize) {
        let mut told = self.told();
        told.warnings = told.warnings.saturating_add(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// Tells what the checks of a Dockerfile found.
    pub(crate) fn warnings(&self, vertex: &Digest, warnings: &[Warning], file: &SourceInfo) {
        if warnings.is_empty() {
            return;
        }
        let warnings = warnings.iter().map(|warning| VertexWarning {
            vertex: self.vertex(vertex),
            level: 1,
            short: format!(
                "{}: {} (line {})",
                warning.rule.name(),
                warning.message,
                warning.lines.first
            )
            .into_bytes(),
            detail: vec![rules::description(warning.rule.name()).as_bytes().to_vec()],
            url: rules::url(warning),
            info: Some(file.clone()),
            ranges: vec![range(warning.lines)],
        });
        self.push(StatusResponse {
            warnings: warnings.collect(),
            ..StatusResponse::default()
        });
    }

    fn wire_vertex(&self, vertex: Vertex) -> WireVertex {
        WireVertex {
            digest: self.vertex(&vertex.digest),
            inputs: vertex.inputs.iter().map(|input| self.vertex(input)).collect(),
            name: vertex.name,
            cached: vertex.cached,
            started: vertex.started.map(Time::from),
            completed: vertex.completed.map(Time::from),
            error: vertex.error,
        }
    }

    fn wire_status(&self, status: &Progress) -> VertexStatus {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let vertex = self.vertex(&status.vertex);
        let key = (vertex.clone(), status.id.clone());
        let mut told = self.told();
        // The builder does not know how much a context has moved.
        let current = match status.current {
            0 => told.moved.get(&key).copied().unwrap_or(0),
            current => number(current),
        };
        told.moved.insert(key, current);
        drop(told);
        VertexStatus {
            id: status.id.clone(),
            vertex,
            name: status.name.clone(),
            current,
            total: number(status.total),
            timestamp: Some(status.timestamp.into()),
            started: Some(status.started.into()),
            completed: status.completed.map(Time::from),
        }
    }

    fn wire_log(&self, log: Log) -> Option<VertexLog> {
        let vertex = self.vertex(&log.vertex);
        let mut bytes = log.bytes;
        let mut told = self.told();
        if told.bytes > MOST {
            return None;
        }
        told.bytes += bytes.len();
        let written = told.written.entry(vertex.clone()).or_default();
        let before = *written;
        *written += bytes.len();
        if before > CLIPPED {
            return None;
        }
        if before + bytes.len() > CLIPPED {
            bytes.truncate(CLIPPED - before);
            bytes.extend_from_slice(b"\n[output clipped, log limit 2MiB reached]\n");
        }
        Some(VertexLog {
            vertex,
            timestamp: Some(log.timestamp.into()),
            stream: if log.stream == Stream::Err { 2 } else { 1 },
            msg: bytes,
        })
    }

    /// Says that nothing more comes. What was not completed was given up.
    pub(crate) fn end(&self) {
        let open: Vec<WireVertex> = self
            .told()
            .vertices
            .values()
            .filter(|vertex| vertex.started.is_some() && vertex.completed.is_none())
            .cloned()
            .collect();
        if !open.is_empty() {
            let vertexes = open.into_iter().map(|vertex| WireVertex {
                completed: Some(Time::now()),
                error: "context canceled".to_owned(),
                ..vertex
            });
            self.push(StatusResponse {
                vertexes: vertexes.collect(),
                ..StatusResponse::default()
            });
        }
        let mut told = self.told();
        told.ended = true;
        self.length.send_replace(usize::MAX);
    }

    /// What was told from a place on, as one message, and the place after it; none at the end.
    pub(crate) async fn next(&self, from: usize) -> Option<(StatusResponse, usize)> {
        let mut length = self.length.subscribe();
        loop {
            length.mark_unchanged();
            {
                let told = self.told();
                let messages = told.messages.get(from..).unwrap_or_default();
                if !messages.is_empty() {
                    let (joined, count) = join(messages);
                    return Some((joined, from + count));
                }
                if told.ended {
                    return None;
                }
            }
            // The sender lives as long as `self`.
            let _ = length.changed().await;
        }
    }

    /// Whether much was told.
    pub(crate) fn is_long(&self) -> bool {
        let told = self.told();
        told.bytes > MESSAGE || told.messages.len() > MANY
    }

    /// All that was told.
    pub(crate) fn all(&self) -> Vec<Arc<StatusResponse>> {
        self.told().messages.clone()
    }

    /// How much there was.
    pub(crate) fn counts(&self) -> Counts {
        let told = self.told();
        let count = |select: fn(&&WireVertex) -> bool| {
            i32::try_from(told.vertices.values().filter(select).count()).unwrap_or(i32::MAX)
        };
        Counts {
            cached: count(|vertex| vertex.cached),
            total: count(|_| true),
            completed: count(|vertex| vertex.completed.is_some()),
            warnings: told.warnings,
        }
    }
}

/// Puts messages together that wait.
fn join(messages: &[Arc<StatusResponse>]) -> (StatusResponse, usize) {
    let mut joined = StatusResponse::default();
    let (mut count, mut bytes) = (0, 0);
    for message in messages {
        if bytes > MESSAGE {
            break;
        }
        count += 1;
        bytes += message.logs.iter().map(|log| log.msg.len()).sum::<usize>() + 100;
        joined.vertexes.extend_from_slice(&message.vertexes);
        joined.statuses.extend_from_slice(&message.statuses);
        joined.logs.extend_from_slice(&message.logs);
        joined.warnings.extend_from_slice(&message.warnings);
    }
    (joined, count)
}

/// Lines as a range.
pub(crate) fn range(lines: corten_build::Lines) -> Range {
    let position = |line: usize| Position {
        line: i32::try_from(line).unwrap_or(i32::MAX),
        character: 0,
    };
    Range {
        start: Some(position(lines.first)),
        end: Some(position(lines.last)),
    }
}
