//! From a file's bytes to logical lines: directives, comments, continuations, heredocs.

use std::collections::BTreeMap;

use crate::error::{Error, Lines, Result};
use crate::heredoc::{self, Heredoc};

/// The most bytes of a Dockerfile.
const LIMIT: usize = 16 << 20;

/// What the comments at the top of the file say about how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`: the frontend that the author had in mind; this parser reads the whole language.
    pub syntax: Option<String>,
    /// `escape`: the character that continues lines.
    pub escape: char,
    /// `check`: what the checks should skip or insist on.
    pub check: Option<String>,
}

/// An instruction with its continuations put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogicalLine {
    pub(crate) text: String,
    pub(crate) lines: Lines,
    pub(crate) heredocs: Vec<Heredoc>,
    /// Empty lines stood in the middle.
    pub(crate) gaps: bool,
}

/// A file's directives and logical lines.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) directives: Directives,
    pub(crate) logical: Vec<LogicalLine>,
    /// Comments on lines of their own, by line.
    pub(crate) comments: BTreeMap<usize, String>,
}

impl Source {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LIMIT {
            return Err(Error::new(format!("the Dockerfile is longer than {LIMIT} bytes")));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let physical: Vec<String> = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned())
            .collect();
        let (directives, first) = directives(&physical)?;
        let logical = logical(&physical, first, directives.escape)?;
        let comments = physical.iter().enumerate().skip(first).filter_map(|(at, line)| {
            let comment = line.trim().strip_prefix('#')?;
            Some((at + 1, comment.trim().to_owned()))
        });
        Ok(Self {
            directives,
            logical,
            comments: comments.collect(),
        })
    }
}

/// Reads the directives; gives the number of lines they take.
fn directives(physical: &[String]) -> Result<(Directives, usize)> {
    let mut found = Directives {
        syntax: None,
        escape: '\\',
        check: None,
    };
    let mut seen: Vec<String> = Vec::new();
    let mut taken = 0;
    let shebang = usize::from(physical.first().is_some_and(|line| line.starts_with("#!")));
    for (at, line) in physical.iter().enumerate().skip(shebang) {
        let Some((key, value)) = directive(line) else { break };
        let lines = Lines {
            first: at + 1,
            last: at + 1,
        };
        if seen.contains(&key) {
            return Err(Error::new(format!("only one {key} parser directive can be used")).in_syntax(lines));
        }
        match key.as_str() {
            "syntax" => found.syntax = Some(value.to_owned()),
            "check" => found.check = Some(value.to_owned()),
            "escape" => {
                found.escape = match value {
                    "\\" => '\\',
                    "`" => '`',
                    other => {
                        let message = format!("invalid escape token '{other}' does not match ` or \\");
                        return Err(Error::new(message).in_syntax(lines));
                    }
                };
            }
            _ => {}
        }
        seen.push(key);
        taken = at + 1;
    }
    Ok((found, taken))
}

/// `# key=value`.
fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let good = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric());
    (good && !value.is_empty()).then(|| (key.to_ascii_lowercase(), value))
}

fn logical(physical: &[String], first: usize, escape: char) -> Result<Vec<LogicalLine>> {
    let mut found = Vec::new();
    let mut at = first;
    while at < physical.len() {
        let line = physical[at].trim_start();
        if line.starts_with('#') || line.trim().is_empty() {
            at += 1;
            continue;
        }
        let start = at;
        let (text, gaps) = join(physical, &mut at, escape);
        let mut lines = Lines {
            first: start + 1,
            last: at,
        };
        let heredocs = heredoc::announced(&text, escape);
        let heredocs = heredoc::read(heredocs, physical, &mut at).map_err(|error| error.in_syntax(lines))?;
        lines.last = at;
        found.push(LogicalLine {
            text,
            lines,
            heredocs,
            gaps,
        });
    }
    Ok(found)
}

/// Puts a line and its continuations together; `at` moves past them.
fn join(physical: &[String], at: &mut usize, escape: char) -> (String, bool) {
    let mut text = String::new();
    let (mut gaps, mut going_on) = (false, false);
    while let Some(line) = physical.get(*at) {
        if going_on && line.trim_start().starts_with('#') {
            *at += 1;
            continue;
        }
        if going_on && line.trim().is_empty() {
            // The end of the file is no gap.
            gaps |= *at + 1 < physical.len();
            *at += 1;
            continue;
        }
        *at += 1;
        let line = if going_on { line } else { line.trim_start() };
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(begun) => {
                text.push_str(begun);
                going_on = true;
            }
            None => {
                text.push_str(line);
                break;
            }
        }
    }
    (text.trim().to_owned(), gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Vec<String> {
        let source = Source::read(file.as_bytes()).unwrap();
        source.logical.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn continuations_are_joined_and_comments_dropped() {
        let file = "# c\n\nFROM a\r\nRUN one \\\n  # no\n\n  two \\  \nthree\n  CMD x";
        assert_eq!(texts(file), ["FROM a", "RUN one   two three", "CMD x"]);
    }

    #[test]
    fn directives_stand_at_the_top_only() {
        let source = Source::read(b"#syntax = a/b:1\n# Escape=`\nFROM a `\n b\\\n").unwrap();
        assert_eq!(source.directives.syntax.as_deref(), Some("a/b:1"));
        assert_eq!(source.logical[0].text, "FROM a  b\\");
        let late = Source::read(b"# a comment\n# escape=`\nFROM a\n").unwrap();
        assert_eq!(late.directives.escape, '\\');
        let twice = Source::read(b"# escape=`\n# escape=\\\nFROM a\n").unwrap_err();
        assert_eq!(
            twice.to_string(),
            "dockerfile parse error on line 2: only one escape parser directive can be used"
        );
        assert!(Source::read(b"# escape=x\n").is_err());
    }

    #[test]
    fn heredocs_belong_to_their_line() {
        let source = Source::read(b"RUN <<EOF\na\n\tEOF\nEOF\nCMD x\n").unwrap();
        assert_eq!(source.logical[0].heredocs[0].content, "a\n\tEOF\n");
        assert_eq!(source.logical[0].lines, Lines { first: 1, last: 4 });
        assert_eq!(source.logical[1].lines, Lines { first: 5, last: 5 });
        assert!(Source::read(b"RUN <<EOF\na\n").is_err());
    }
}
