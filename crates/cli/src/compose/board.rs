//! Progress on a terminal: a line for each object, all drawn anew as they go on.
//!
//! ```text
//!   [+] Running 2/3
//!    ✔ Network shop_default      Created                                          0.1s
//!    ✔ Container shop-base-1     Started                                          0.3s
//!    ⠹ Container shop-web-1      Starting                                         0.1s
//! ```

use std::time::Instant;

use corten_compose::execute::Phase;

/// What stands before an object that is worked on, in turn.
const TURNS: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// How long each stands there, in milliseconds.
const TURN: u128 = 100;

/// The lines.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
    /// How many lines are on the screen that are drawn over.
    height: usize,
}

#[derive(Debug)]
struct Row {
    object: String,
    status: String,
    phase: Phase,
    began: Instant,
    ended: Option<Instant>,
}

/// How lines are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// What is done to all.
    pub(super) title: &'static str,
    /// Rows and columns of the terminal.
    pub(super) size: (usize, usize),
    /// Whether with colours.
    pub(super) coloured: bool,
    /// Whether nothing is done but shown.
    pub(super) dry: bool,
}

impl Board {
    /// Notes what became of an object.
    pub(super) fn note(&mut self, object: &str, status: &str, phase: Phase) {
        let now = Instant::now();
        let index = self
            .rows
            .iter()
            .position(|row| row.object == object)
            .unwrap_or_else(|| {
                self.rows.push(Row {
                    object: object.to_owned(),
                    status: String::new(),
                    phase,
                    began: now,
                    ended: None,
                });
                self.rows.len() - 1
            });
        let row = &mut self.rows[index];
        status.clone_into(&mut row.status);
        row.ended = match phase {
            Phase::Working => None,
            _ => row.ended.filter(|_| row.phase == phase).or(Some(now)),
        };
        row.phase = phase;
    }

    /// Whether something goes on.
    pub(super) fn is_working(&self) -> bool {
        self.rows.iter().any(|row| row.phase == Phase::Working)
    }

    /// What to write so that the lines are on the screen, in the place of the last ones.
    pub(super) fn draw(&mut self, look: Look) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut text = self.erase();
        let done = self.rows.iter().filter(|row| row.phase != Phase::Working).count();
        let title = format!("[+] {} {done}/{}", look.title, self.rows.len());
        text.push_str("\x1b[?25l");
        text.push_str(&match done == self.rows.len() {
            true => look.colour("34", &title),
            false => title,
        });
        text.push('\n');
        let names = self.rows.iter().map(|row| row.object.chars().count());
        let width = names.max().unwrap_or(0);
        // What does not fit the screen could not be drawn over.
        let room = look.size.0.saturating_sub(2).max(1);
        let from = self.rows.len().saturating_sub(room);
        for row in &self.rows[from..] {
            text.push_str(&row.line(width, look));
            text.push('\n');
        }
        text.push_str("\x1b[?25h");
        self.height = 1 + self.rows.len() - from;
        text
    }

    /// What to write so that the lines go from the screen, to come again below what is written meanwhile.
    pub(super) fn erase(&mut self) -> String {
        match std::mem::take(&mut self.height) {
            0 => String::new(),
            height => format!("\x1b[{height}A\r\x1b[J"),
        }
    }

    /// Leaves the lines on the screen as they are.
    pub(super) fn finish(&mut self) {
        *self = Self::default();
    }
}

impl Look {
    fn colour(self, code: &str, text: &str) -> String {
        match self.coloured && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

impl Row {
    fn line(&self, width: usize, look: Look) -> String {
        let taken = self.ended.unwrap_or_else(Instant::now).duration_since(self.began);
        let turn = usize::try_from(taken.as_millis() / TURN).unwrap_or(0) % TURNS.len();
        let working = TURNS[turn].to_string();
        let (mark, colour) = match self.phase {
            Phase::Working => (working.as_str(), "33"),
            Phase::Done => ("✔", "32"),
            Phase::Warning => ("!", "33;1"),
            Phase::Failed => ("✘", "31;1"),
        };
        let time = format!("{:.1}s ", taken.as_secs_f64());
        let dry = if look.dry { " DRY-RUN MODE - " } else { "" };
        let columns = look.size.1;
        let room = columns.saturating_sub(6 + dry.chars().count() + time.len());
        let object: String = format!("{:width$}", self.object).chars().take(room).collect();
        let room = room.saturating_sub(object.chars().count());
        let status: String = self.status.chars().take(room).collect();
        let gap = " ".repeat(room.saturating_sub(status.chars().count()));
        let status = match self.phase {
            Phase::Working => status,
            _ => look.colour(colour, &status),
        };
        format!(
            " {}{} {object}  {status}{gap} {}",
            look.colour(colour, mark),
            look.colour("36", dry),
            look.colour("34", &time)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        title: "Running",
        size: (24, 50),
        coloured: false,
        dry: false,
    };

    /// The text without what moves the cursor, and times.
    fn plain(text: &str) -> Vec<String> {
        let text = text
            .replace("\x1b[?25l", "")
            .replace("\x1b[?25h", "")
            .replace("\x1b[J", "");
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[test]
    fn lines_are_drawn_over() {
        let mut board = Board::default();
        assert_eq!(board.draw(LOOK), "");
        board.note("Network a", "Creating", Phase::Working);
        assert_eq!(plain(&board.draw(LOOK))[0], "[+] Running 0/1");
        board.note("Container abc", "Created", Phase::Done);
        let text = board.draw(LOOK);
        assert!(text.starts_with("\x1b[2A\r\x1b[J"), "{text:?}");
        let lines = plain(&text);
        assert!(lines[0].ends_with("[+] Running 1/2"), "{lines:?}");
        assert_eq!(lines[1], " ⠋ Network a      Creating                   0.0s");
        assert_eq!(lines[2], " ✔ Container abc  Created                    0.0s");
        assert!(board.is_working());
        board.note("Network a", "Created", Phase::Done);
        assert!(!board.is_working());
        assert_eq!(board.erase(), "\x1b[3A\r\x1b[J");
        assert_eq!(board.erase(), "");
        board.finish();
        assert_eq!(board.draw(LOOK), "");
    }

    #[test]
    fn no_line_is_longer_than_the_screen_and_no_more_than_fit_are_drawn() {
        let mut board = Board::default();
        for number in 0..30 {
            let name = format!("Container {}-{number}", "long".repeat(12));
            board.note(&name, "Waiting for quite some time", Phase::Working);
        }
        let lines = plain(&board.draw(LOOK));
        assert_eq!(lines.len(), 23);
        assert!(lines.iter().all(|line| line.chars().count() <= 50), "{lines:?}");
    }
}
