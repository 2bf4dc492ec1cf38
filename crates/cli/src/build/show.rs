//! Ways to show a build.

use corten_api::{
    build::{Event, Failed, Log, Status, Vertex, Warning},
    image::Progress,
};

/// Shows what happens, on standard error.
pub(super) trait Show {
    /// The Dockerfile was read.
    fn loaded(&mut self, name: &str, size: u64, warnings: &[Warning]);
    /// Something is begun or completed.
    fn vertex(&mut self, vertex: &Vertex);
    /// Something of a vertex goes on.
    fn status(&mut self, status: &Status);
    /// A vertex wrote something.
    fn log(&mut self, log: &Log);
    /// A sentence of its own.
    fn message(&mut self, text: &str);
    /// A message of a pull.
    fn pulling(&mut self, message: &Progress);
    /// The build failed; the sentence itself comes after this.
    fn failed(&mut self, failed: &Failed);
    /// It is over: what was shown stays.
    fn finish(&mut self) {}
}

/// Shows nothing.
pub(super) struct Quiet;

impl Show for Quiet {
    fn loaded(&mut self, _: &str, _: u64, _: &[Warning]) {}
    fn vertex(&mut self, _: &Vertex) {}
    fn status(&mut self, _: &Status) {}
    fn log(&mut self, _: &Log) {}
    fn message(&mut self, _: &str) {}
    fn pulling(&mut self, _: &Progress) {}
    fn failed(&mut self, _: &Failed) {}
}

/// Passes an event on to what shows it; the others are the caller's.
pub(super) fn pass(show: &mut dyn Show, event: &Event) {
    match event {
        Event::Loaded {
            name, size, warnings, ..
        } => show.loaded(name, *size, warnings),
        Event::Vertex(vertex) => show.vertex(vertex),
        Event::Status(status) => show.status(status),
        Event::Log(log) => show.log(log),
        Event::Unconsumed(names) => show.message(&format!(
            "\n[Warning] One or more build-args [{}] were not consumed\n",
            names.join(" ")
        )),
        Event::Failed(failed) => show.failed(failed),
        Event::Warned(warning) => show.message(&format!("WARN: {}: {}\n", warning.rule, warning.message)),
        Event::Built(_) | Event::Tagged(_) | Event::Exported(..) | Event::Finished(_) => {}
    }
}
