//! One line of a json-file log, and what a client gets of it.

use std::{borrow::Cow, collections::BTreeMap};

use corten_api::{
    stream::{Stream, header},
    time::Time,
};
use serde::Deserialize;

use super::LogsRequest;

/// One line of a log.
#[derive(Debug, Deserialize)]
pub(in crate::containers) struct Entry<'a> {
    #[serde(borrow)]
    pub(in crate::containers) log: Cow<'a, str>,
    #[serde(borrow)]
    pub(in crate::containers) stream: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
    #[serde(borrow)]
    pub(in crate::containers) time: Cow<'a, str>,
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client gets it.
    Take,
    /// The client does not get it.
    Skip,
    /// Nor anything after it.
    Stop,
}

/// What a client gets.
#[derive(Debug)]
pub(super) struct Selection {
    /// Whether output is framed.
    pub(super) framed: bool,
    /// What was asked for.
    pub(super) request: LogsRequest,
}

impl<'a> Entry<'a> {
    /// Reads a line; none when it is damaged.
    pub(in crate::containers) fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

impl Selection {
    /// Decides about an entry.
    pub(super) fn take(&self, entry: &Entry<'_>) -> Verdict {
        let request = &self.request;
        let wanted = if entry.stream == "stderr" {
            request.stderr
        } else {
            request.stdout
        };
        if !wanted {
            return Verdict::Skip;
        }
        if request.since.is_none() && request.until.is_none() {
            return Verdict::Take;
        }
        let Ok(time) = entry.time.parse::<Time>() else {
            return Verdict::Skip;
        };
        if request.until.is_some_and(|until| time > until) {
            return Verdict::Stop;
        }
        if request.since.is_some_and(|since| time < since) {
            return Verdict::Skip;
        }
        Verdict::Take
    }

    /// Appends what the client gets of an entry.
    pub(super) fn write(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let at = out.len();
        if self.framed {
            out.extend([0; corten_api::stream::HEADER]);
        }
        if self.request.timestamps {
            write_time(&entry.time, out);
            out.push(b' ');
        }
        if self.request.details {
            for (index, (name, value)) in entry.attrs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend(name.as_bytes());
                out.push(b'=');
                out.extend(value.as_bytes());
            }
            out.push(b' ');
        }
        out.extend(entry.log.as_bytes());
        if self.framed {
            let stream = if entry.stream == "stderr" {
                Stream::Stderr
            } else {
                Stream::Stdout
            };
            let length = u32::try_from(out.len() - at - corten_api::stream::HEADER).unwrap_or(u32::MAX);
            out[at..at + corten_api::stream::HEADER].copy_from_slice(&header(stream, length));
        }
    }
}

/// The time of a line, which is the last of its members, without a look at the others.
pub(super) fn time_of(line: &[u8]) -> Option<Time> {
    const NAME: &[u8] = b"\"time\":\"";
    let line = line.trim_ascii_end().strip_suffix(b"\"}")?;
    let begin = line.len().saturating_sub(64);
    let at = line[begin..].windows(NAME.len()).rposition(|window| window == NAME)?;
    std::str::from_utf8(&line[begin + at + NAME.len()..]).ok()?.parse().ok()
}

/// A time with all nine digits of its fraction, as Docker shows it.
fn write_time(time: &str, out: &mut Vec<u8>) {
    let Some(bare) = time.strip_suffix('Z') else {
        out.extend(time.as_bytes());
        return;
    };
    let (seconds, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    out.extend(seconds.as_bytes());
    out.push(b'.');
    out.extend(fraction.as_bytes());
    out.resize(out.len() + 9_usize.saturating_sub(fraction.len()), b'0');
    out.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        b"{\"log\":\"a\\u003cb\\n\",\"stream\":\"stderr\",\"attrs\":{\"E\":\"1\",\"L\":\"v\"},\"time\":\"2026-01-02T03:04:05.12Z\"}\n";

    fn written(request: LogsRequest, framed: bool) -> Vec<u8> {
        let mut out = Vec::new();
        Selection { framed, request }.write(&Entry::parse(LINE).unwrap(), &mut out);
        out
    }

    #[test]
    fn writes_what_is_asked_for() {
        assert_eq!(written(LogsRequest::default(), false), b"a<b\n");
        assert_eq!(written(LogsRequest::default(), true), b"\x02\0\0\0\0\0\0\x04a<b\n");
        let both = LogsRequest {
            timestamps: true,
            details: true,
            ..Default::default()
        };
        assert_eq!(written(both, false), b"2026-01-02T03:04:05.120000000Z E=1,L=v a<b\n");
    }

    #[test]
    fn decides_by_stream_and_time() {
        let entry = Entry::parse(LINE).unwrap();
        let check =
            |request: LogsRequest, expected| assert_eq!(Selection { framed: false, request }.take(&entry), expected);
        let all = LogsRequest {
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let at = |text: &str| Some(text.parse().unwrap());
        check(all.clone(), Verdict::Take);
        check(
            LogsRequest {
                stderr: false,
                ..all.clone()
            },
            Verdict::Skip,
        );
        check(
            LogsRequest {
                since: at("2026-01-02T03:04:06Z"),
                ..all.clone()
            },
            Verdict::Skip,
        );
        check(
            LogsRequest {
                until: at("2026-01-02T03:04:05Z"),
                ..all.clone()
            },
            Verdict::Stop,
        );
        check(
            LogsRequest {
                since: at("2026-01-02T03:04:05Z"),
                until: at("2026-01-02T03:04:06Z"),
                ..all
            },
            Verdict::Take,
        );
    }

    #[test]
    fn finds_the_time_of_a_line() {
        assert_eq!(time_of(LINE), "2026-01-02T03:04:05.12Z".parse().ok());
        assert_eq!(time_of(b"{\"log\":\"torn"), None);
        assert_eq!(time_of(b""), None);
    }

    #[test]
    fn leaves_damaged_lines_out() {
        for line in [&b"{\"log\":\"x"[..], b"\0\0\0\n", b"{}\n", b"\n"] {
            assert!(Entry::parse(line).is_none());
        }
    }
}
