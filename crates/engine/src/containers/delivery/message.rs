//! One line of a log, as drivers get it.

use corten_api::time::Time;

use crate::containers::logs::Position;

/// A line, or a piece of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The text without its newline.
    pub(super) line: String,
    /// Whether it comes from standard error.
    pub(super) stderr: bool,
    /// When it was written.
    pub(super) time: Time,
    /// There for pieces.
    pub(super) partial: Option<Partial>,
    /// Where the next line begins.
    pub(super) end: Position,
}

/// Which piece of a line it is (Docker's `PartialLogMetaData`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partial {
    /// The same for all pieces of a line.
    pub(super) id: String,
    /// From 1.
    pub(super) ordinal: u32,
    /// Whether the line ends here.
    pub(super) last: bool,
}

impl Message {
    /// The name of the stream.
    pub(super) fn source(&self) -> &'static str {
        if self.stderr { "stderr" } else { "stdout" }
    }

    /// syslog's severity (RFC 5424, section 6.2.1): error or informational.
    pub(super) fn severity(&self) -> u8 {
        if self.stderr { 3 } else { 6 }
    }
}

/// Puts pieces of long lines into relation.
#[derive(Debug, Default)]
pub(super) struct Pieces([Option<(String, u32)>; 2]);

impl Pieces {
    /// What to say of the next piece of a stream.
    pub(super) fn next(&mut self, stderr: bool, time: Time, whole: bool) -> Option<Partial> {
        let open = &mut self.0[usize::from(stderr)];
        let (id, ordinal) = match open.take() {
            None if whole => return None,
            // Pieces of a line share its time.
            None => (format!("{:016x}{}", time.nanoseconds(), u8::from(stderr)), 1),
            Some((id, ordinal)) => (id, ordinal + 1),
        };
        if !whole {
            *open = Some((id.clone(), ordinal));
        }
        Some(Partial {
            id,
            ordinal,
            last: whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_counted() {
        let mut pieces = Pieces::default();
        let mut next = |stderr, whole| pieces.next(stderr, Time::default(), whole).map(|p| (p.ordinal, p.last));
        assert_eq!(next(false, true), None);
        assert_eq!(next(false, false), Some((1, false)));
        assert_eq!(next(true, true), None);
        assert_eq!(next(false, false), Some((2, false)));
        assert_eq!(next(false, true), Some((3, true)));
        assert_eq!(next(false, true), None);
    }
}
