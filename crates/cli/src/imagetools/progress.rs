//! What goes on, line by line on standard error, as the builder's commands say it.

use std::{cell::Cell, time::Instant};

use crate::{
    cli::Cli,
    error::{Error, Result},
};

/// Says what goes on.
pub(super) struct Progress<'a> {
    cli: &'a Cli,
    is_quiet: bool,
    begun: Cell<u32>,
}

impl<'a> Progress<'a> {
    /// As `--progress` asks for.
    pub(super) fn new(cli: &'a Cli, kind: &str) -> Result<Self> {
        let is_quiet = match kind {
            "auto" | "plain" | "tty" => false,
            "none" | "quiet" => true,
            "rawjson" => return Err(Error::new("--progress rawjson is not supported yet")),
            other => return Err(Error::new(format!("invalid progress mode {other}"))),
        };
        Ok(Self {
            cli,
            is_quiet,
            begun: Cell::new(0),
        })
    }

    /// Begins a step.
    pub(super) fn begin(&self, name: &str) -> Vertex<'_> {
        let number = self.begun.get() + 1;
        self.begun.set(number);
        let vertex = Vertex {
            progress: self,
            number,
            since: Instant::now(),
        };
        if number > 1 {
            self.say("");
        }
        self.say(&format!("#{number} {name}"));
        vertex
    }

    fn say(&self, line: &str) {
        if !self.is_quiet {
            self.cli.err(line);
        }
    }
}

/// A step.
pub(super) struct Vertex<'a> {
    progress: &'a Progress<'a>,
    number: u32,
    since: Instant,
}

impl Vertex<'_> {
    /// Says what the step does now.
    pub(super) fn say(&mut self, what: &str) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.progress.say(&format!("#{} {seconds:.3} {what}", self.number));
    }

    /// Says that it is done.
    pub(super) fn done(self) {
        let seconds = self.since.elapsed().as_secs_f64();
        self.progress.say(&format!("#{} DONE {seconds:.1}s", self.number));
    }
}
