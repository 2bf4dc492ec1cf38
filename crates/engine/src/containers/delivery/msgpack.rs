//! As much of MessagePack as the forward protocol needs.

use corten_api::time::Time;

/// Bytes being written.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// Begins an array.
    pub(super) fn array(&mut self, length: usize) {
        self.head(length, 0x90, 16, 0xdc);
    }

    /// Writes a map of texts.
    pub(super) fn map<'a>(&mut self, members: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
        self.head(members.len(), 0x80, 16, 0xde);
        for (name, value) in members {
            self.text(name);
            self.text(value);
        }
    }

    /// Writes a text.
    pub(super) fn text(&mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(length @ 32..) => self.0.extend_from_slice(&[0xd9, length]),
            _ => self.head(text.len(), 0xa0, 32, 0xda),
        }
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Writes a number.
    pub(super) fn integer(&mut self, number: u64) {
        if let Ok(small @ 0..=0x7f) = u8::try_from(number) {
            self.0.push(small);
        } else if let Ok(number) = u32::try_from(number) {
            self.0.push(0xce);
            self.0.extend_from_slice(&number.to_be_bytes());
        } else {
            self.0.push(0xcf);
            self.0.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// Writes the protocol's own time: seconds and nanoseconds, as extension type 0.
    pub(super) fn event_time(&mut self, time: Time) {
        let nanoseconds = time.nanoseconds();
        let seconds = u32::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or(0);
        let rest = u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or(0);
        self.0.extend_from_slice(&[0xd7, 0]);
        self.0.extend_from_slice(&seconds.to_be_bytes());
        self.0.extend_from_slice(&rest.to_be_bytes());
    }

    /// A type and a length: below `limit` in one byte, else after `wide` in two, or after the next in four.
    fn head(&mut self, length: usize, short: u8, limit: usize, wide: u8) {
        if let Ok(length) = u8::try_from(length)
            && usize::from(length) < limit
        {
            self.0.push(short | length);
        } else if let Ok(length) = u16::try_from(length) {
            self.0.push(wide);
            self.0.extend_from_slice(&length.to_be_bytes());
        } else {
            self.0.push(wide + 1);
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.0.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// The name of the chunk that an answer `{"ack": name}` speaks of: what was read so far, whether it
/// is whole, and what it says.
pub(super) fn acknowledged(answer: &[u8]) -> Answer {
    let mut rest = answer;
    let Some(members) = take(&mut rest).map(|byte| byte & 0x0f) else {
        return Answer::Unfinished;
    };
    if answer[0] & 0xf0 != 0x80 {
        return Answer::Other;
    }
    let mut found = None;
    for _ in 0..members {
        let (name, value) = match (text(&mut rest), text(&mut rest)) {
            (Ok(name), Ok(value)) => (name, value),
            (Err(error), _) | (_, Err(error)) => return error,
        };
        if name == b"ack" {
            found = Some(String::from_utf8_lossy(value).into_owned());
        }
    }
    found.map_or(Answer::Other, Answer::Chunk)
}

/// What a receiver has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has taken a chunk.
    Chunk(String),
    /// There is more to come.
    Unfinished,
    /// Something else.
    Other,
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Answer> {
    let length = match take(rest).ok_or(Answer::Unfinished)? {
        byte @ 0xa0..=0xbf => usize::from(byte & 0x1f),
        0xd9 | 0xc4 => usize::from(take(rest).ok_or(Answer::Unfinished)?),
        _ => return Err(Answer::Other),
    };
    let (text, after) = rest.split_at_checked(length).ok_or(Answer::Unfinished)?;
    *rest = after;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_as_few_bytes_as_there_are() {
        let check = |length: usize, expected: &[u8]| {
            let mut out = Writer::default();
            out.text(&"x".repeat(length));
            assert_eq!(out.0[..out.0.len() - length], *expected);
        };
        check(0, &[0xa0]);
        check(31, &[0xbf]);
        check(32, &[0xd9, 32]);
        check(255, &[0xd9, 255]);
        check(256, &[0xda, 1, 0]);
        check(65536, &[0xdb, 0, 1, 0, 0]);
        let mut out = Writer::default();
        out.array(15);
        out.array(16);
        out.integer(127);
        out.integer(128);
        assert_eq!(out.0, [0x9f, 0xdc, 0, 16, 127, 0xce, 0, 0, 0, 128]);
    }

    #[test]
    fn answers_are_read() {
        let check = |bytes: &[u8], expected: Answer| assert_eq!(acknowledged(bytes), expected);
        check(b"\x81\xa3ack\xa2ab", Answer::Chunk("ab".into()));
        check(b"\x81\xa3ack\xd9\x02ab", Answer::Chunk("ab".into()));
        check(b"\x81\xa3ack\xa2a", Answer::Unfinished);
        check(b"", Answer::Unfinished);
        check(b"\x81\xa3nak\xa2ab", Answer::Other);
        check(b"HTTP/1.1 400", Answer::Other);
    }
}
