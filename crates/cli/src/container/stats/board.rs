//! The newest sample of each container, in the order in which they came.

use std::cell::RefCell;

use corten_template::Value;

use crate::formatter::stats::{Sample, row};

/// What is shown. Feeds write to it while it is being painted by the same thread.
#[derive(Debug, Default)]
pub(super) struct Board(RefCell<Vec<Line>>);

#[derive(Debug)]
struct Line {
    container: String,
    /// Nothing until the engine has answered.
    sample: Option<Sample>,
}

impl Board {
    /// Adds a container; not a second time.
    pub(super) fn add(&self, container: &str) -> bool {
        let mut lines = self.0.borrow_mut();
        let is_new = lines.iter().all(|line| line.container != container);
        if is_new {
            lines.push(Line {
                container: container.to_owned(),
                sample: None,
            });
        }
        is_new
    }

    pub(super) fn remove(&self, container: &str) {
        self.0.borrow_mut().retain(|line| line.container != container);
    }

    pub(super) fn set(&self, sample: Sample) {
        let mut lines = self.0.borrow_mut();
        if let Some(line) = lines.iter_mut().find(|line| line.container == sample.container) {
            line.sample = Some(sample);
        }
    }

    /// The container's samples have ended: its figures are unknown from now on.
    pub(super) fn end(&self, container: &str) {
        let mut lines = self.0.borrow_mut();
        if let Some(line) = lines.iter_mut().find(|line| line.container == container) {
            line.sample.get_or_insert_with(|| unknown(container)).invalid = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether each container has been heard of.
    pub(super) fn is_complete(&self) -> bool {
        self.0.borrow().iter().all(|line| line.sample.is_some())
    }

    pub(super) fn rows(&self, truncate: bool) -> Vec<Value> {
        let lines = self.0.borrow();
        let shown = |line: &Line| match &line.sample {
            Some(sample) => row(sample, truncate),
            None => row(&unknown(&line.container), truncate),
        };
        lines.iter().map(shown).collect()
    }
}

fn unknown(container: &str) -> Sample {
    Sample {
        container: container.to_owned(),
        id: container.to_owned(),
        invalid: true,
        ..Sample::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(container: &str) -> Sample {
        Sample {
            container: container.to_owned(),
            name: format!("/{container}"),
            pids: 7,
            ..Sample::default()
        }
    }

    #[test]
    fn lines_come_and_go() {
        let board = Board::default();
        assert!(board.is_empty() && board.is_complete());
        assert!(board.add("web") && board.add("db") && !board.add("web"));
        assert!(!board.is_complete());
        board.set(sample("db"));
        board.end("web");
        assert!(board.is_complete());
        board.set(sample("gone"));
        assert_eq!(board.rows(true).len(), 2);
        board.remove("web");
        board.remove("db");
        assert!(board.is_empty());
    }
}
