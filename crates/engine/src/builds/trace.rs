//! A build's events as data, for a client that shows them in its own way.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::{
    build::{self, Failed, Log, Status, TRACE, Vertex, Warning},
    image::Progress,
};
use corten_build::{Event, Given, Stream, excerpt};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::classic::{send, told};
use crate::error::Error;

/// Tells a client.
pub(super) struct Teller {
    lines: mpsc::Sender<Progress>,
    name: String,
    text: String,
}

impl Teller {
    pub(super) fn new(lines: mpsc::Sender<Progress>, given: &Given) -> Self {
        Self {
            lines,
            name: given.name.clone(),
            text: String::from_utf8_lossy(&given.dockerfile).into_owned(),
        }
    }

    pub(super) fn event(&self, event: Event) {
        if let Some(event) = self.converted(event) {
            tell(&self.lines, &event);
        }
    }

    fn converted(&self, event: Event) -> Option<build::Event> {
        Some(match event {
            Event::Warnings(warnings) => build::Event::Loaded {
                name: self.name.clone(),
                size: self.text.len() as u64,
                text: self.text.clone(),
                warnings: warnings.iter().map(warning).collect(),
            },
            Event::Warned(found) => build::Event::Warned(warning(&found)),
            Event::Vertex(vertex) => build::Event::Vertex(Vertex {
                digest: vertex.digest.to_string(),
                inputs: vertex.inputs.iter().map(ToString::to_string).collect(),
                name: vertex.name,
                started: vertex.started.map(time),
                completed: vertex.completed.map(time),
                cached: vertex.cached,
                error: vertex.error,
            }),
            Event::Status(status) => build::Event::Status(Status {
                id: status.id,
                vertex: status.vertex.to_string(),
                name: status.name,
                total: status.total,
                current: status.current,
                timestamp: time(status.timestamp),
                started: Some(time(status.started)),
                completed: status.completed.map(time),
            }),
            Event::Log(log) => build::Event::Log(Log {
                vertex: log.vertex.to_string(),
                stream: if log.stream == Stream::Err { 2 } else { 1 },
                data: STANDARD.encode(log.bytes),
                timestamp: time(log.timestamp),
            }),
            Event::Unconsumed(names) => build::Event::Unconsumed(names),
            Event::Built(id) => build::Event::Built(id.to_string()),
            Event::Tagged(name) => build::Event::Tagged(name),
            Event::Exported(number, piece) => build::Event::Exported(number, piece.map(|bytes| STANDARD.encode(bytes))),
            Event::Step(..) => return None,
        })
    }
}

fn time(at: Timestamp) -> String {
    at.to_string()
}

fn warning(warning: &corten_build::Warning) -> Warning {
    Warning {
        rule: warning.rule.name().to_owned(),
        message: warning.message.clone(),
        line: warning.lines.first,
    }
}

/// Tells how a build failed.
pub(super) fn failure(
    lines: &mpsc::Sender<Progress>,
    error: &corten_build::Error,
    name: &str,
    dockerfile: &str,
) -> Option<Error> {
    let failed = Failed {
        message: error.told(),
        excerpt: error
            .lines()
            .map_or_else(String::new, |at| excerpt(name, dockerfile, at)),
        in_step: error.is_of_step(),
        code: error.failure().map_or(0, |failure| failure.code),
    };
    tell(lines, &build::Event::Failed(failed));
    Some(told())
}

/// Tells that the build is over.
pub(super) fn finished(lines: &mpsc::Sender<Progress>, built: &corten_build::Built) {
    tell(lines, &build::Event::Finished(built.answers.clone()));
}

fn tell(lines: &mpsc::Sender<Progress>, event: &build::Event) {
    send(
        lines,
        Progress {
            id: TRACE.to_owned(),
            aux: serde_json::to_value(event).ok(),
            ..Progress::default()
        },
    );
}
