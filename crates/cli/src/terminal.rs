//! The terminal: raw mode with its undoing, its size, and the keys that detach.

use std::{
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Error, Result};

/// How standard input's terminal was before it went raw; a panic or a deadly signal puts it back.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Keeps the terminal raw until it is dropped.
#[derive(Debug)]
pub(crate) struct Raw(());

impl Raw {
    /// Makes standard input's terminal raw; does nothing when it is none.
    pub(crate) fn enter() -> Option<Self> {
        Self::change(Termios::make_raw)
    }

    /// Gives single keys without showing them, and leaves signals and output as they are.
    pub(crate) fn keys() -> Option<Self> {
        Self::change(|modes| modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO))
    }

    fn change(change: impl FnOnce(&mut Termios)) -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        change(&mut raw);
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                next(panic);
            }));
        });
        Some(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // If the terminal is gone, there is nothing to put back.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// Rows and columns of the terminal at standard output; zeros when it is none.
pub(crate) fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col))
}

/// How wide help texts may be.
pub(crate) fn help_width() -> usize {
    tcgetwinsize(std::io::stdin()).map_or(80, |size| usize::from(size.ws_col))
}

/// Refuses a terminal for the container when standard input is none.
pub(crate) fn check_tty(stdin: bool, tty: bool) -> Result<()> {
    if stdin && tty && !std::io::stdin().is_terminal() {
        return Err(Error::new("the input device is not a TTY"));
    }
    Ok(())
}

/// Reads `ctrl-p,ctrl-q`.
pub(crate) fn parse_keys(text: &str) -> std::result::Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(vec![16, 17]);
    }
    text.split(',')
        .map(|key| {
            let unknown = || format!("Unknown character: '{key}'");
            let byte = |t: &str| match t.as_bytes() {
                [byte] => Ok(*byte),
                _ => Err(unknown()),
            };
            match key.strip_prefix("ctrl-") {
                Some(letter) => match byte(letter)? {
                    letter @ b'a'..=b'z' => Ok(letter - b'a' + 1),
                    b'@' => Ok(0),
                    letter @ b'['..=b'_' => Ok(letter - b'@'),
                    _ => Err(unknown()),
                },
                None => byte(key),
            }
        })
        .collect()
}

/// Finds the keys that detach in what is typed.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// What to pass on of `typed`, and whether the keys were typed. Keys that could still become the
    /// sequence are held back.
    pub(crate) fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(&byte) && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                passed.push(byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys() {
        assert_eq!(parse_keys("").unwrap(), [16, 17]);
        assert_eq!(parse_keys("ctrl-a,x,ctrl-@,ctrl-_").unwrap(), [1, b'x', 0, 31]);
        assert_eq!(parse_keys("ctrl-").unwrap_err(), "Unknown character: 'ctrl-'");
        assert_eq!(parse_keys("abc").unwrap_err(), "Unknown character: 'abc'");
    }

    #[test]
    fn finds_the_sequence() {
        let check = |pieces: &[&[u8]], passed: &[u8], found: bool| {
            let mut keys = DetachKeys::new(vec![16, 17]);
            let (mut all, mut done) = (Vec::new(), false);
            for piece in pieces {
                let (part, end) = keys.filter(piece);
                all.extend(part);
                done |= end;
            }
            assert_eq!((all.as_slice(), done), (passed, found), "{pieces:?}");
        };
        check(&[b"ab"], b"ab", false);
        check(&[b"a\x10", b"\x11b"], b"a", true);
        check(&[b"a\x10", b"b"], b"a\x10b", false);
        check(&[b"\x10\x10\x11"], b"\x10", true);
    }
}
