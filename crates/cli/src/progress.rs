//! Progress of pulls, pushes, loads and imports: a line a layer that is rewritten on a terminal, plain
//! lines anywhere else.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Instant,
};

use corten_api::image::{Progress, ProgressDetail};
use corten_client::Messages;

use crate::{
    cli::write_or_exit,
    error::{Error, Result},
    opts::size::{float, human},
};

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Nowhere,
}

impl To {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
            Self::Nowhere => false,
        }
    }

    fn width(self) -> usize {
        let size = match self {
            Self::Stderr => rustix::termios::tcgetwinsize(std::io::stderr()),
            _ => rustix::termios::tcgetwinsize(std::io::stdout()),
        };
        size.map_or(200, |s| usize::from(s.ws_col))
    }

    fn write(self, text: &str) {
        match self {
            Self::Stdout => write_or_exit(&mut std::io::stdout().lock(), text.as_bytes()),
            Self::Stderr => {
                // There is nowhere left to say that it failed.
                let _ = std::io::stderr().lock().write_all(text.as_bytes());
            }
            Self::Nowhere => {}
        }
    }
}

/// Shows messages until they end; `aux` gets what is meant for programs.
pub(crate) async fn show(
    mut messages: Messages<Progress>,
    to: To,
    mut aux: impl FnMut(serde_json::Value),
) -> Result<()> {
    let terminal = to.is_terminal();
    let mut display = Display::new(to.width());
    while let Some(message) = messages.next().await? {
        if let Some(value) = message.aux {
            aux(value);
            continue;
        }
        if let Some(error) = failure(&message) {
            return Err(error);
        }
        let text = if terminal {
            display.draw(&message)
        } else {
            plain(&message)
        };
        to.write(&text);
    }
    Ok(())
}

fn failure(message: &Progress) -> Option<Error> {
    let text = match &message.error_detail {
        Some(detail) => &detail.message,
        None if message.error.is_empty() => return None,
        None => &message.error,
    };
    Some(Error::new(text.clone()))
}

/// The line of a message where nothing can be rewritten; none for a step on the way.
fn plain(message: &Progress) -> String {
    if !message.stream.is_empty() {
        return message.stream.clone();
    }
    let moving = message.detail.as_ref().is_some_and(|d| d.current != 0 || d.total != 0);
    if moving || !message.progress.is_empty() && message.detail.is_some() {
        return String::new();
    }
    if message.id.is_empty() {
        format!("{}\n", message.status)
    } else {
        format!("{}: {}\n", message.id, message.status)
    }
}

/// The lines on a terminal.
struct Display {
    width: usize,
    /// The objects that have a line, from the top.
    ids: Vec<String>,
    started: Instant,
}

impl Display {
    fn new(width: usize) -> Self {
        Self {
            width,
            ids: Vec::new(),
            started: Instant::now(),
        }
    }

    /// What to write for a message: up to its line, over it, and back down.
    fn draw(&mut self, message: &Progress) -> String {
        if message.id.is_empty() || message.detail.is_none() {
            // Lines above stay as they are from now on.
            self.ids.clear();
            let mut text = line(message, self.width, self.started);
            if message.stream.is_empty() {
                text.push('\n');
            }
            return text;
        }
        let text = line(message, self.width, self.started);
        match self.ids.iter().position(|id| *id == message.id) {
            Some(index) => {
                let up = self.ids.len() - index;
                format!("\x1b[{up}A\r\x1b[2K{text}\x1b[{up}B\r")
            }
            None => {
                self.ids.push(message.id.clone());
                format!("\r\x1b[2K{text}\n")
            }
        }
    }
}

/// The text of a message.
fn line(message: &Progress, width: usize, started: Instant) -> String {
    if !message.stream.is_empty() {
        return message.stream.clone();
    }
    let id = if message.id.is_empty() {
        String::new()
    } else {
        format!("{}: ", message.id)
    };
    let bar = match &message.detail {
        Some(detail) => bar(detail, width, started.elapsed().as_secs()),
        None => message.progress.clone(),
    };
    let gap = if bar.is_empty() { "" } else { " " };
    format!("{id}{}{gap}{bar}", message.status)
}

/// `[====>    ]  1.5MB/3MB`.
fn bar(detail: &ProgressDetail, width: usize, _elapsed: u64) -> String {
    if detail.current <= 0 && detail.total <= 0 {
        return String::new();
    }
    let current = format!("{:>8}", human(float(detail.current)));
    if detail.total <= 0 {
        return current;
    }
    let total = human(float(detail.total));
    let numbers = if detail.current > detail.total {
        current
    } else {
        format!("{current}/{total}")
    };
    if width < 110 {
        return numbers;
    }
    let percent = (detail.current.saturating_mul(100) / detail.total).clamp(0, 100);
    let done = usize::try_from(percent / 2).unwrap_or(0);
    let rest = 50 - done;
    format!("[{}>{}] {numbers}", "=".repeat(done), " ".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> Progress {
        corten_api::decode(json.as_bytes()).unwrap()
    }

    #[test]
    fn writes_plain_lines() {
        let check = |json: &str, expected: &str| assert_eq!(plain(&message(json)), expected, "{json}");
        check(
            r#"{"status":"Pulling from gp/fresh","id":"1"}"#,
            "1: Pulling from gp/fresh\n",
        );
        check(
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"ab"}"#,
            "ab: Pulling fs layer\n",
        );
        check(
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":9},"progress":"[=>","id":"ab"}"#,
            "",
        );
        check(r#"{"status":"Digest: sha256:00"}"#, "Digest: sha256:00\n");
        check(r#"{"stream":"Loaded image: a\n"}"#, "Loaded image: a\n");
    }

    #[test]
    fn draws_lines() {
        let mut display = Display::new(80);
        let a = message(r#"{"status":"Waiting","progressDetail":{},"id":"a"}"#);
        let b = message(r#"{"status":"Waiting","progressDetail":{},"id":"b"}"#);
        assert_eq!(display.draw(&a), "\r\x1b[2Ka: Waiting\n");
        assert_eq!(display.draw(&b), "\r\x1b[2Kb: Waiting\n");
        assert_eq!(display.draw(&a), "\x1b[2A\r\x1b[2Ka: Waiting\x1b[2B\r");
        let detail = ProgressDetail {
            current: 1_500_000,
            total: 3_000_000,
        };
        assert_eq!(bar(&detail, 80, 0), "   1.5MB/3MB");
        assert!(bar(&detail, 120, 0).starts_with("[=========================>"));
    }
}
