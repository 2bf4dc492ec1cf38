//! Shows a build as BuildKit's plain progress: numbered vertices, what they write with the seconds since they
//! began, an excerpt of the Dockerfile where it failed.

use std::{collections::BTreeMap, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::{
    build::{Failed, Log, Status, Vertex, Warning},
    image::Progress,
};
use jiff::Timestamp;

use super::show::Show;
use crate::opts::size::human;

/// Lines of a failed step that are shown again.
const AGAIN: usize = 10;

/// What is shown so far.
pub(super) struct Plain {
    known: BTreeMap<String, Shown>,
    /// The vertex that was shown last, while it goes on.
    current: Option<String>,
    began: bool,
    failed: Option<String>,
}

/// A vertex that was shown.
struct Shown {
    number: usize,
    name: String,
    started: Option<Timestamp>,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// The last lines.
    lines: Vec<String>,
    is_done: bool,
}

impl Plain {
    /// For a build that was told before.
    pub(super) fn again() -> Self {
        Self {
            known: BTreeMap::new(),
            current: None,
            began: false,
            failed: None,
        }
    }

    pub(super) fn new(program: &str) -> Self {
        let display = Self {
            began: true,
            ..Self::again()
        };
        display.say(&format!(
            "#0 building with \"default\" instance using {program} driver\n"
        ));
        display
    }

    fn say(&self, text: &str) {
        // There is nowhere left to say that it failed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Goes over to a vertex; gives its number.
    fn at(&mut self, digest: &str) -> Option<usize> {
        let (number, name) = {
            let shown = self.known.get(digest)?;
            (shown.number, shown.name.clone())
        };
        if self.current.as_deref() == Some(digest) {
            return Some(number);
        }
        if let Some(old) = self.current.take().and_then(|old| self.known.get(&old))
            && !old.is_done
        {
            self.say(&format!("#{} ...\n", old.number));
        }
        let gap = if self.began { "\n" } else { "" };
        self.began = true;
        self.say(&format!("{gap}#{number} {name}\n"));
        self.current = Some(digest.to_owned());
        Some(number)
    }

    fn line(&mut self, digest: &str, text: &str) {
        if let Some(number) = self.at(digest) {
            self.say(&format!("#{number} {text}\n"));
        }
    }

    /// Shows the complete lines of what a vertex wrote; at its end, what is left too.
    fn lines(&mut self, digest: &str, at: &str, is_end: bool) {
        loop {
            let Some(shown) = self.known.get_mut(digest) else {
                return;
            };
            let end = shown.partial.iter().position(|byte| *byte == b'\n');
            let line: Vec<u8> = match end {
                Some(end) => shown.partial.drain(..=end).collect(),
                None if is_end && !shown.partial.is_empty() => std::mem::take(&mut shown.partial),
                None => return,
            };
            let text = String::from_utf8_lossy(&line);
            let line = format!(
                "{:.3} {}",
                seconds(shown.started, at),
                text.trim_end_matches(['\n', '\r'])
            );
            shown.lines.push(line.clone());
            if shown.lines.len() > AGAIN {
                shown.lines.remove(0);
            }
            self.line(digest, &line);
        }
    }

    fn complete(&mut self, vertex: &Vertex, at: &str) {
        self.lines(&vertex.digest, at, true);
        let started = self.known.get(&vertex.digest).and_then(|shown| shown.started);
        let text = match vertex {
            _ if vertex.error == "the build was cancelled" => "CANCELED".to_owned(),
            _ if !vertex.error.is_empty() => format!("ERROR: {}", vertex.error),
            _ if vertex.cached => "CACHED".to_owned(),
            _ => format!("DONE {:.1}s", seconds(started, at)),
        };
        self.line(&vertex.digest, &text);
        if let Some(shown) = self.known.get_mut(&vertex.digest) {
            shown.is_done = true;
        }
        if !vertex.error.is_empty() && self.failed.is_none() {
            self.failed = Some(vertex.digest.clone());
        }
        self.current = None;
    }
}

impl Show for Plain {
    fn loaded(&mut self, name: &str, size: u64, warnings: &[Warning]) {
        let digest = "definition".to_owned();
        let now = Timestamp::now();
        let number = self.known.len() + 1;
        self.known.insert(
            digest.clone(),
            Shown {
                number,
                name: format!("[internal] load build definition from {name}"),
                started: Some(now),
                partial: Vec::new(),
                lines: Vec::new(),
                is_done: false,
            },
        );
        self.line(&digest, &format!("transferring dockerfile: {} done", bytes(size)));
        for warning in warnings {
            let text = format!("WARN: {}: {} (line {})", warning.rule, warning.message, warning.line);
            self.line(&digest, &text);
        }
        let vertex = Vertex {
            digest,
            ..Vertex::default()
        };
        self.complete(&vertex, &now.to_string());
    }

    fn vertex(&mut self, vertex: &Vertex) {
        let number = self.known.len() + 1;
        let shown = self.known.entry(vertex.digest.clone()).or_insert_with(|| Shown {
            number,
            name: vertex.name.clone(),
            started: None,
            partial: Vec::new(),
            lines: Vec::new(),
            is_done: false,
        });
        if shown.is_done {
            return;
        }
        shown.started = vertex.started.as_deref().and_then(|text| text.parse().ok());
        match &vertex.completed {
            Some(at) => self.complete(vertex, at),
            None => drop(self.at(&vertex.digest)),
        }
    }

    fn status(&mut self, status: &Status) {
        if status.completed.is_none() {
            return;
        }
        let began = status.started.as_deref().and_then(|text| text.parse().ok());
        let taken = seconds(began, status.completed.as_deref().unwrap_or_default());
        let mut text = [status.name.as_str(), status.id.as_str()].join(" ").trim().to_owned();
        if status.current > 0 {
            text.push_str(&format!(" {}", bytes(status.current)));
        }
        if taken >= 0.05 {
            text.push_str(&format!(" {taken:.1}s"));
        }
        self.line(&status.vertex, &format!("{text} done"));
    }

    fn log(&mut self, log: &Log) {
        let Some(shown) = self.known.get_mut(&log.vertex) else {
            return;
        };
        shown.partial.extend(STANDARD.decode(&log.data).unwrap_or_default());
        self.lines(&log.vertex, &log.timestamp, false);
    }

    fn message(&mut self, text: &str) {
        self.say(text);
    }

    fn pulling(&mut self, message: &Progress) {
        let is_count = message
            .detail
            .is_some_and(|detail| detail.current != 0 || detail.total != 0);
        if let Some(current) = self.current.clone()
            && !is_count
            && !message.status.is_empty()
        {
            let text = format!("{} {}", message.id, message.status);
            self.line(&current, text.trim_start());
        }
    }

    fn failed(&mut self, failed: &Failed) {
        if let Some(shown) = self
            .failed
            .as_ref()
            .and_then(|digest| self.known.get(digest))
            .filter(|_| failed.in_step)
        {
            let again: String = shown.lines.iter().map(|line| format!("{line}\n")).collect();
            self.say(&format!("------\n > {}:\n{again}------\n", shown.name));
        }
        self.say(&failed.excerpt);
    }
}

/// Seconds between two times.
fn seconds(from: Option<Timestamp>, to: &str) -> f64 {
    let (Some(from), Ok(to)) = (from, to.parse::<Timestamp>()) else {
        return 0.0;
    };
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(super) fn bytes(count: u64) -> String {
    human(count as f64)
}
