//! The menu of keys below the output of `compose up` on a terminal.

use std::{collections::VecDeque, io::IsTerminal as _};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{open::Open, progress};
use crate::{session, terminal::Raw};

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `w`: begins or ends to watch sources.
    Watch,
    /// Enter: an empty line.
    Enter,
}

/// Keys as they are typed; the terminal is as before when it is dropped.
pub(crate) struct Menu {
    typed: mpsc::Receiver<Bytes>,
    keys: VecDeque<Key>,
    _terminal: Raw,
}

impl Menu {
    /// The menu, unless there is no terminal or the user wants none.
    pub(crate) fn open(open: &Open<'_>) -> Option<Self> {
        let m = open.m;
        let wanted = match (m.opt("menu"), open.cli.variable("COMPOSE_MENU")) {
            (Some(_), _) => m.on("menu"),
            (None, Some(value)) => crate::opts::number::parse_bool(&value).unwrap_or(false),
            (None, None) => true,
        };
        let terminal = std::io::stdout().is_terminal() && open.cli.in_is_terminal();
        let plain = m.parent().get("progress") == "plain" || !progress::is_coloured(m.parent(), terminal);
        if !wanted || !terminal || plain {
            return None;
        }
        Some(Self {
            _terminal: Raw::keys()?,
            typed: session::read_stdin(),
            keys: VecDeque::new(),
        })
    }

    /// The next key that means something; never comes after the end of input.
    pub(crate) async fn next(&mut self) -> Key {
        loop {
            if let Some(key) = self.keys.pop_front() {
                return key;
            }
            let Some(piece) = self.typed.recv().await else {
                std::future::pending().await
            };
            self.keys.extend(piece.iter().filter_map(|byte| match byte {
                b'w' => Some(Key::Watch),
                b'\r' | b'\n' => Some(Key::Enter),
                _ => None,
            }));
        }
    }
}

/// What the menu says.
pub(crate) fn text(watching: bool) -> String {
    let what = if watching { "Disable" } else { "Enable" };
    format!("\x1b[1;30;47mw\x1b[0m\x1b[2m {what} Watch\x1b[0m")
}
