//! Shows a build as BuildKit's plain progress: numbered steps, their output with the seconds since they
//! began, an excerpt of the Dockerfile where it failed.

use std::{io::Write as _, time::Instant};

use corten_api::{
    build::{Event, Failed, Step, Warning},
    image::Progress,
};

use super::context::Source;
use crate::{
    cli::Cli,
    error::{Error, Result},
    opts::size::human,
};

/// Lines of a failed step that are shown again.
const AGAIN: usize = 10;

/// What is shown so far.
pub(super) struct Plain {
    program: &'static str,
    /// The Dockerfile's name and length.
    dockerfile: (String, usize),
    number: usize,
    began: bool,
    /// The step under way: its title and when it began.
    step: Option<(String, Instant)>,
    is_cached: bool,
    was_pulled: bool,
    output: Vec<String>,
    /// The beginning of a line.
    partial: String,
    loaded_context: bool,
    warnings: Vec<Warning>,
    image: String,
    exporting: Option<Instant>,
}

impl Plain {
    pub(super) fn new(cli: &Cli, source: &Source) -> Self {
        let text = source.dockerfile().unwrap_or_default();
        let mut display = Self {
            program: cli.program,
            dockerfile: (source.name().to_owned(), text.len()),
            number: 0,
            began: false,
            step: None,
            is_cached: false,
            was_pulled: false,
            output: Vec::new(),
            partial: String::new(),
            loaded_context: false,
            warnings: Vec::new(),
            image: String::new(),
            exporting: None,
        };
        display.say(&format!(
            "#0 building with \"default\" instance using {} driver\n",
            cli.program
        ));
        display.began = true;
        display
    }

    fn say(&self, text: &str) {
        // There is nowhere left to say that it failed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Begins a numbered step.
    fn head(&mut self, title: &str) {
        self.number += 1;
        let gap = if self.began { "\n" } else { "" };
        self.began = true;
        self.say(&format!("{gap}#{} {title}\n", self.number));
    }

    fn line(&self, text: &str) {
        self.say(&format!("#{} {text}\n", self.number));
    }

    fn done(&self, since: Instant) {
        self.line(&format!("DONE {:.1}s", since.elapsed().as_secs_f64()));
    }

    pub(super) fn event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Loaded { warnings, .. } => self.loaded(warnings),
            Event::Step(step) => self.begin(&step),
            Event::Cached => self.is_cached = true,
            Event::Output(text) => self.written(&text),
            Event::Done => self.end(),
            Event::Unconsumed(names) => self.say(&format!(
                "\n[Warning] One or more build-args [{}] were not consumed\n",
                names.join(" ")
            )),
            Event::Built(image) => {
                self.head("exporting to image");
                self.line("exporting layers done");
                self.line(&format!("writing image {image} done"));
                self.exporting = Some(Instant::now());
                self.image = image;
            }
            Event::Tagged(name) => {
                let whole = name.parse::<corten_oci::reference::Reference>();
                let whole = whole.map_or(name, |name| name.to_string());
                self.line(&format!("naming to {whole} done"));
            }
            Event::Failed(failed) => return Err(self.failed(&failed)),
        }
        Ok(())
    }

    fn definition(&mut self) {
        let title = format!("[internal] load build definition from {}", self.dockerfile.0);
        self.head(&title);
        self.line(&format!("transferring dockerfile: {} done", bytes(self.dockerfile.1)));
    }

    fn loaded(&mut self, warnings: Vec<Warning>) {
        let since = Instant::now();
        self.definition();
        for warning in &warnings {
            self.line(&format!(
                "WARN: {}: {} (line {})",
                warning.rule, warning.message, warning.line
            ));
        }
        self.done(since);
        self.warnings = warnings;
    }

    fn begin(&mut self, step: &Step) {
        self.end();
        if step.position == 0 {
            self.step = None;
            return;
        }
        let since = Instant::now();
        if let Some(image) = step.text.strip_prefix("FROM ").filter(|_| step.position == 1) {
            if image.contains('/') {
                self.head(&format!("[internal] load metadata for {image}"));
                self.done(since);
            }
            if !self.loaded_context && self.number <= 2 {
                self.head("[internal] load .dockerignore");
                self.line("transferring context: 2B done");
                self.done(since);
            }
        }
        let copies = step.text.starts_with("COPY ") || step.text.starts_with("ADD ");
        if copies && !step.text.contains("--from=") && !self.loaded_context {
            self.loaded_context = true;
            self.head("[internal] load build context");
            self.line("transferring context: done");
            self.done(since);
        }
        let stage = if step.stage.is_empty() {
            String::new()
        } else {
            format!("{} ", step.stage)
        };
        let title = format!("[{stage}{}/{}] {}", step.position, step.positions, step.text);
        self.head(&title);
        self.step = Some((title, since));
        self.is_cached = step.position == 1 && step.text.starts_with("FROM ");
        self.was_pulled = false;
        self.output.clear();
    }

    fn end(&mut self) {
        if let Some((_, since)) = self.step.take() {
            self.rest(since);
            if self.is_cached && !self.was_pulled {
                self.line("CACHED");
            } else {
                self.done(since);
            }
        }
    }

    fn written(&mut self, text: &str) {
        let Some((_, since)) = &self.step else { return };
        let since = *since;
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.show_output(line.trim_end_matches(['\n', '\r']), since);
        }
    }

    fn rest(&mut self, since: Instant) {
        if !self.partial.is_empty() {
            let line = std::mem::take(&mut self.partial);
            self.show_output(&line, since);
        }
    }

    fn show_output(&mut self, line: &str, since: Instant) {
        let line = format!("{:.3} {line}", since.elapsed().as_secs_f64());
        self.line(&line);
        self.output.push(line);
    }

    /// A message of a pull.
    pub(super) fn pulling(&mut self, message: &Progress) {
        self.was_pulled = true;
        let is_count = message
            .detail
            .is_some_and(|detail| detail.current != 0 || detail.total != 0);
        if is_count || message.status.is_empty() {
            return;
        }
        let id = if message.id.is_empty() {
            String::new()
        } else {
            format!("{} ", message.id)
        };
        self.line(&format!("{id}{}", message.status));
    }

    fn failed(&mut self, failed: &Failed) -> Error {
        let message = &failed.message;
        match self.step.take().filter(|_| failed.in_step) {
            Some((title, since)) => {
                self.rest(since);
                self.line(&format!("ERROR: {message}"));
                let from = self.output.len().saturating_sub(AGAIN);
                let again: String = self.output[from..].iter().map(|line| format!("{line}\n")).collect();
                self.say(&format!("------\n > {title}:\n{again}------\n"));
            }
            None if self.number == 0 => {
                let since = Instant::now();
                self.definition();
                self.done(since);
            }
            None => {}
        }
        self.say(&failed.excerpt);
        Error::new(format!("ERROR: failed to build: failed to solve: {message}"))
    }

    /// The end: the image's id.
    pub(super) fn finish(&mut self) -> Result<String> {
        let Some(since) = self.exporting else {
            return Err(Error::new(
                "ERROR: failed to build: the engine ended the build without a word",
            ));
        };
        self.done(since);
        let count = self.warnings.len();
        if count > 0 {
            let noun = if count == 1 { "warning" } else { "warnings" };
            let lines: String = self
                .warnings
                .iter()
                .map(|warning| format!(" - {}: {} (line {})\n", warning.rule, warning.message, warning.line))
                .collect();
            self.say(&format!(
                "\n \u{1b}[33m{count} {noun} found (use {} --debug to expand):\n\u{1b}[0m{lines}",
                self.program
            ));
        }
        Ok(std::mem::take(&mut self.image))
    }
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn bytes(count: usize) -> String {
    human(count as f64)
}
