//! Shows a build as lines of JSON, BuildKit's `client.SolveStatus`.

use std::io::Write as _;

use corten_api::{
    build::{Failed, Log, Status, Vertex, Warning},
    image::Progress,
};
use serde::Serialize;

use super::show::Show;

/// What shows it.
pub(super) struct Raw;

/// One line.
#[derive(Default, Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vertexes: Option<[&'a Vertex; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<[&'a Status; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<[&'a Log; 1]>,
}

fn say(line: &Line<'_>) {
    let text = serde_json::to_string(line).unwrap_or_default();
    // There is nowhere left to say that it failed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

impl Show for Raw {
    fn loaded(&mut self, _: &str, _: u64, _: &[Warning]) {}

    fn vertex(&mut self, vertex: &Vertex) {
        say(&Line {
            vertexes: Some([vertex]),
            ..Line::default()
        });
    }

    fn status(&mut self, status: &Status) {
        say(&Line {
            statuses: Some([status]),
            ..Line::default()
        });
    }

    fn log(&mut self, log: &Log) {
        say(&Line {
            logs: Some([log]),
            ..Line::default()
        });
    }

    fn message(&mut self, _: &str) {}

    fn pulling(&mut self, _: &Progress) {}

    fn failed(&mut self, _: &Failed) {}
}
