//! Shows a build on a terminal: a table of vertices that is drawn anew as they go on.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use corten_api::{
    build::{Failed, Log, Status, Vertex, Warning},
    image::Progress,
};
use jiff::Timestamp;

use super::{plain::bytes, show::Show};

/// Not drawn more often than this.
const PAUSE: Duration = Duration::from_millis(80);
/// Lines of output that are shown of a running vertex.
const OUTPUT: usize = 6;
/// Lines of a failed vertex that are shown again.
const AGAIN: usize = 10;

/// What is shown.
pub(super) struct Tty {
    began: Instant,
    drawn: Instant,
    rows: Vec<Row>,
    /// Lines on the screen that are drawn over.
    height: usize,
    width: usize,
}

/// A vertex.
struct Row {
    vertex: Vertex,
    statuses: Vec<Status>,
    lines: Vec<String>,
    partial: Vec<u8>,
}

impl Tty {
    pub(super) fn new(width: usize) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            drawn: now.checked_sub(PAUSE).unwrap_or(now),
            rows: Vec::new(),
            height: 0,
            width: width.max(40),
        }
    }

    fn row(&mut self, digest: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.vertex.digest == digest)
    }

    fn draw(&mut self, is_last: bool) {
        if !is_last && self.drawn.elapsed() < PAUSE {
            return;
        }
        self.drawn = Instant::now();
        let done = self.rows.iter().filter(|row| row.vertex.completed.is_some()).count();
        let state = if is_last && done == self.rows.len() {
            " FINISHED"
        } else {
            ""
        };
        let mut lines = vec![format!(
            "[+] Building {:.1}s ({done}/{}){state}",
            self.began.elapsed().as_secs_f64(),
            self.rows.len()
        )];
        for row in &self.rows {
            lines.extend(row.lines(self.width, is_last));
        }
        let mut text = String::new();
        if self.height > 0 {
            text.push_str(&format!("\u{1b}[{}A\u{1b}[J", self.height));
        }
        for line in &lines {
            let line: String = line.chars().take(self.width).collect();
            text.push_str(&line);
            text.push('\n');
        }
        self.height = lines.len();
        // There is nowhere left to say that it failed.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

impl Row {
    fn lines(&self, width: usize, is_last: bool) -> Vec<String> {
        let vertex = &self.vertex;
        let taken = format!(
            "{:.1}s",
            seconds(vertex.started.as_deref(), vertex.completed.as_deref())
        );
        let word = match vertex {
            _ if vertex.cached => "CACHED ",
            _ if !vertex.error.is_empty() => "ERROR ",
            _ => "",
        };
        let mut lines = vec![aligned(&format!(" => {word}{}", vertex.name), &taken, width)];
        let is_running = vertex.completed.is_none();
        for status in self.statuses.iter().filter(|_| is_running || is_last) {
            let count = match (status.current, status.total) {
                (0, _) => String::new(),
                (current, 0) => format!(" {}", bytes(current)),
                (current, total) => format!(" {} / {}", bytes(current), bytes(total)),
            };
            let name = if status.name.is_empty() { "" } else { " " };
            let taken = format!(
                "{:.1}s",
                seconds(status.started.as_deref(), status.completed.as_deref())
            );
            let text = format!(" => => {}{name}{}{count}", status.name, status.id);
            lines.push(aligned(&text, &taken, width));
        }
        if is_running && !is_last {
            let from = self.lines.len().saturating_sub(OUTPUT);
            lines.extend(self.lines[from..].iter().map(|line| format!(" => => # {line}")));
        }
        lines
    }
}

/// A text with another at the right edge.
fn aligned(text: &str, right: &str, width: usize) -> String {
    let room = width.saturating_sub(right.chars().count() + 1);
    let text: String = text.chars().take(room).collect();
    format!("{text:room$} {right}")
}

fn seconds(from: Option<&str>, to: Option<&str>) -> f64 {
    let parse = |text: &str| text.parse::<Timestamp>().ok();
    let from = from.and_then(parse);
    let to = to.map_or_else(|| Some(Timestamp::now()), parse);
    match (from, to) {
        (Some(from), Some(to)) => to.duration_since(from).as_secs_f64().max(0.0),
        _ => 0.0,
    }
}

impl Show for Tty {
    fn loaded(&mut self, name: &str, size: u64, _: &[Warning]) {
        let now = Some(Timestamp::now().to_string());
        self.vertex(&Vertex {
            digest: "definition".to_owned(),
            name: format!("[internal] load build definition from {name}"),
            started: now.clone(),
            completed: now.clone(),
            ..Vertex::default()
        });
        self.status(&Status {
            id: "transferring dockerfile:".to_owned(),
            vertex: "definition".to_owned(),
            current: size,
            started: now.clone(),
            completed: now,
            ..Status::default()
        });
    }

    fn vertex(&mut self, vertex: &Vertex) {
        match self.row(&vertex.digest) {
            Some(row) => row.vertex = vertex.clone(),
            None => self.rows.push(Row {
                vertex: vertex.clone(),
                statuses: Vec::new(),
                lines: Vec::new(),
                partial: Vec::new(),
            }),
        }
        self.draw(false);
    }

    fn status(&mut self, status: &Status) {
        if let Some(row) = self.row(&status.vertex) {
            match row.statuses.iter_mut().find(|known| known.id == status.id) {
                Some(known) => *known = status.clone(),
                None => row.statuses.push(status.clone()),
            }
        }
        self.draw(false);
    }

    fn log(&mut self, log: &Log) {
        if let Some(row) = self.row(&log.vertex) {
            row.partial.extend(STANDARD.decode(&log.data).unwrap_or_default());
            while let Some(end) = row.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = row.partial.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                // Control characters would draw elsewhere.
                row.lines.push(text.chars().filter(|c| !c.is_control()).collect());
                if row.lines.len() > AGAIN {
                    row.lines.remove(0);
                }
            }
        }
        self.draw(false);
    }

    fn message(&mut self, text: &str) {
        self.draw(true);
        self.height = 0;
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn pulling(&mut self, _: &Progress) {
        self.draw(false);
    }

    fn failed(&mut self, failed: &Failed) {
        self.finish();
        let found = self.rows.iter().find(|row| !row.vertex.error.is_empty());
        let mut text = String::new();
        if let Some(row) = found.filter(|_| failed.in_step) {
            let again: String = row.lines.iter().map(|line| format!("{line}\n")).collect();
            text = format!("------\n > {}:\n{again}------\n", row.vertex.name);
        }
        text.push_str(&failed.excerpt);
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn finish(&mut self) {
        self.draw(true);
        self.height = 0;
    }
}
