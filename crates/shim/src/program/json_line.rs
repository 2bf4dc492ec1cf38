//! One line of Docker's json-file log:
//! `{"log":"text\n","stream":"stdout","attrs":{…},"time":"2026-11-22T10:00:00.123Z"}`.
//!
//! The text is escaped as Docker's json-file driver does: `"` and `\` by a backslash, `\n` and `\r`
//! by their letters, other control characters and `<`, `>`, `&` as `\u00xx`, U+2028 and U+2029 as
//! `\u2028` and `\u2029`, and each byte that is not UTF-8 as `\ufffd`.

use std::collections::BTreeMap;

use crate::clock::Stamp;

/// Which of a process's outputs a byte came from; the number is that of Docker's stream framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, and all output of a terminal.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

impl Stream {
    /// Both, in the order of their indices.
    pub(crate) const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// A place in an array of two.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

/// Writes lines that share their attributes.
#[derive(Debug)]
pub(crate) struct LineFormat {
    /// What stands between the text and the time, for each stream.
    middle: [Vec<u8>; 2],
    stamp: Stamp,
}

impl LineFormat {
    /// Prepares lines that carry `attrs`.
    pub(crate) fn new(attrs: &BTreeMap<String, String>) -> Self {
        Self {
            middle: [middle("stdout", attrs), middle("stderr", attrs)],
            stamp: Stamp::default(),
        }
    }

    /// Appends the line whose text is `text`, its newline included if it has one.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, stream: Stream, text: &[u8], at: i64) {
        out.extend_from_slice(b"{\"log\":\"");
        escape(out, text);
        out.extend_from_slice(&self.middle[stream.index()]);
        self.stamp.write(out, at);
        out.extend_from_slice(b"\"}\n");
    }
}

fn middle(stream: &str, attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = format!("\",\"stream\":\"{stream}\",").into_bytes();
    if !attrs.is_empty() {
        out.extend_from_slice(b"\"attrs\":{");
        for (index, (name, value)) in attrs.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            escape(&mut out, name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape(&mut out, value.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"},");
    }
    out.extend_from_slice(b"\"time\":\"");
    out
}

/// Which bytes of UTF-8 cannot be copied as they are; 0xe2 may start U+2028.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        escape_valid(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn escape_valid(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(length) = text.iter().position(|&byte| SPECIAL[usize::from(byte)]) {
        let (plain, rest) = text.split_at(length);
        out.extend_from_slice(plain);
        text = &rest[escape_one(out, rest)..];
    }
    out.extend_from_slice(text);
}

/// Escapes the special character at the start of `text` and returns its length.
fn escape_one(out: &mut Vec<u8>, text: &[u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match text {
        [b'\n', ..] => out.extend_from_slice(b"\\n"),
        [b'\r', ..] => out.extend_from_slice(b"\\r"),
        [byte @ (b'"' | b'\\'), ..] => out.extend_from_slice(&[b'\\', *byte]),
        [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => {
            out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            return 3;
        }
        [byte @ 0x80..=0xff, ..] => out.push(*byte),
        [byte, ..] => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        }
        [] => {}
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped_as_docker_does() {
        for (text, wanted) in [
            (b"plain ~ \x7f".as_slice(), "plain ~ \x7f"),
            (b"", ""),
            (b"\n\r\t\x00\x1b[0m", r"\n\r\u0009\u0000\u001b[0m"),
            (br#"a"b\c/d"#, r#"a\"b\\c/d"#),
            (b"<a&b>", r"\u003ca\u0026b\u003e"),
            ("\u{2028}x\u{2029}".as_bytes(), r"\u2028x\u2029"),
            (
                "\u{2027}\u{20ac}\u{e9}\u{1f600}".as_bytes(),
                "\u{2027}\u{20ac}\u{e9}\u{1f600}",
            ),
            (b"a\xffb", r"a\ufffdb"),
            (b"\xf0\x9f\x98", r"\ufffd\ufffd\ufffd"),
            (b"\xe2\x80", r"\ufffd\ufffd"),
            (b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
        ] {
            assert_eq!(escaped(text), wanted);
        }
    }

    #[test]
    fn line_is_docker_s() {
        let attrs = BTreeMap::from([("b".to_owned(), "2<3".to_owned()), ("a".to_owned(), "\"".to_owned())]);
        let mut out = Vec::new();
        LineFormat::new(&attrs).write(&mut out, Stream::Stderr, b"x\n", 1_500_000_000);
        LineFormat::new(&BTreeMap::new()).write(&mut out, Stream::Stdout, b"y", 0);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"log":"x\n","stream":"stderr","attrs":{"a":"\"","b":"2\u003c3"},"time":"1970-01-01T00:00:01.5Z"}"#,
                "\n",
                r#"{"log":"y","stream":"stdout","time":"1970-01-01T00:00:00Z"}"#,
                "\n",
            )
        );
    }

    proptest::proptest! {
        #[test]
        fn a_json_parser_reads_back_the_text(text in ".*") {
            let json = format!("\"{}\"", escaped(text.as_bytes()));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
