//! Transcripts of the real Docker: a command, what it says and how it ends.
//!
//! They lie in `tests/goldens`. What differs from run to run stands there as a placeholder: `<ID>`,
//! `<SHORT_ID>`, `<TIME>`, `<AGO>`, `<DUR>`, `<SECS>`, `<SIZE>`, `<IP>`, `<MAC>`, `<CWD>`, `<N>`, `<NCPU>`,
//! `<ROW>`. An output fits when it is the text with each placeholder replaced by something of its kind.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// How outputs are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Byte for byte.
    Exact,
    /// Runs of spaces count as one, and spaces at a line's end as none.
    Spaces,
}

/// One transcript.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// Its name, which is the file's.
    pub name: String,
    /// The command, for a shell.
    pub cmd: String,
    /// What comes before, for a shell each.
    pub setup: Vec<String>,
    /// What comes after.
    pub teardown: Vec<String>,
    /// What the command gets on standard input.
    pub stdin: String,
    /// Files in the current folder.
    pub files: BTreeMap<String, String>,
    /// More of the environment.
    pub env: BTreeMap<String, String>,
    /// How outputs are compared.
    pub compare: Compare,
    /// Whether the command line answers it alone, so that playing it with Docker's tests nothing of ours.
    pub is_local: bool,
    /// What is expected.
    pub expected: Outcome,
}

/// What a command says and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code.
    pub exit: i32,
}

impl Transcript {
    /// Reads one.
    ///
    /// # Panics
    /// When the file is no transcript.
    pub fn read(path: &Path) -> Self {
        let value = read_json(path);
        let texts = |key: &str| -> Vec<String> {
            let list = value[key].as_array().cloned().unwrap_or_default();
            list.iter().map(text).collect()
        };
        let map = |key: &str| -> BTreeMap<String, String> {
            let map = value[key].as_object().cloned().unwrap_or_default();
            map.iter().map(|(name, value)| (name.clone(), text(value))).collect()
        };
        Self {
            name: text(&value["name"]),
            cmd: text(&value["cmd"]),
            setup: texts("setup"),
            teardown: texts("teardown"),
            stdin: text(&value["stdin"]),
            files: map("files"),
            env: map("env"),
            compare: match value["compare"].as_str() {
                Some("exact") => Compare::Exact,
                Some("collapse-spaces") => Compare::Spaces,
                other => panic!("{}: compare {other:?}", path.display()),
            },
            is_local: value["local"] == true,
            expected: Outcome::from_json(&value).without_runc(),
        }
    }
}

impl Outcome {
    /// The outcome in an object with `stdout`, `stderr` and `exit`.
    ///
    /// # Panics
    /// When the exit code is missing.
    pub fn from_json(value: &Value) -> Self {
        let exit = value["exit"].as_i64().and_then(|exit| i32::try_from(exit).ok());
        Self {
            stdout: text(&value["stdout"]),
            stderr: text(&value["stderr"]),
            exit: exit.expect("an exit code"),
        }
    }

    /// Without the name of Docker's runtime, which its errors carry.
    fn without_runc(mut self) -> Self {
        self.stderr = self.stderr.replace("runc create failed: ", "");
        self
    }

    /// Whether what was seen is this; `folder` is what `<CWD>` stands for.
    pub fn fits(&self, seen: &Self, compare: Compare, folder: &str) -> bool {
        self.exit == seen.exit
            && fits(&self.stdout, &seen.stdout, compare, folder)
            && fits(&self.stderr, &seen.stderr, compare, folder)
    }

    /// Both, one above the other, for people.
    pub fn difference(&self, seen: &Self) -> String {
        let mut said = String::new();
        for (what, expected, seen) in [
            ("stdout", &self.stdout, &seen.stdout),
            ("stderr", &self.stderr, &seen.stderr),
        ] {
            if expected != seen {
                said += &format!("  {what} should be: {expected:?}\n  {what}        is: {seen:?}\n");
            }
        }
        if self.exit != seen.exit {
            said += &format!("  exit should be {}, is {}\n", self.exit, seen.exit);
        }
        said
    }
}

/// Reads a JSON file.
///
/// # Panics
/// When it is none.
pub fn read_json(path: &Path) -> Value {
    let bytes = corten_sys::fs::read(path).expect("a file");
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a text fits a pattern with placeholders.
pub fn fits(pattern: &str, seen: &str, compare: Compare, folder: &str) -> bool {
    let pattern = pattern.replace("<CWD>", folder);
    match compare {
        Compare::Exact => matches(&pattern, seen),
        Compare::Spaces => matches(&squeeze(&pattern), &squeeze(seen)),
    }
}

fn squeeze(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let words: Vec<&str> = line.trim_end().split(' ').filter(|word| !word.is_empty()).collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A placeholder's name, which characters it stands for, and how many of them at least and at most.
type Kind = (&'static str, fn(char) -> bool, usize, usize);

const KINDS: [Kind; 12] = [
    ("<ID>", |c| c.is_ascii_hexdigit(), 64, 64),
    ("<SHORT_ID>", |c| c.is_ascii_hexdigit(), 12, 12),
    ("<TIME>", |c| c.is_ascii_alphanumeric() || "-+:. ".contains(c), 8, 64),
    ("<AGO>", |c| c.is_ascii_alphanumeric() || c == ' ', 3, 40),
    ("<DUR>", |c| c.is_ascii_alphanumeric() || c == ' ', 1, 40),
    ("<SECS>", |c| c.is_ascii_digit() || ".smh".contains(c), 1, 20),
    ("<SIZE>", |c| c.is_ascii_alphanumeric() || c == '.', 1, 20),
    ("<IP>", |c| c.is_ascii_hexdigit() || ".:".contains(c), 2, 45),
    ("<MAC>", |c| c.is_ascii_hexdigit() || c == ':', 17, 17),
    ("<NCPU>", |c| c.is_ascii_digit() || c == '.', 1, 8),
    ("<N>", |c| c.is_ascii_digit() || c == '.', 1, 12),
    ("<ROW>", |c| c != '\n', 1, 400),
];

/// Walks both texts; at a placeholder, the fewest characters that let the rest fit.
fn matches(pattern: &str, seen: &str) -> bool {
    let kind = KINDS
        .iter()
        .filter_map(|kind| pattern.find(kind.0).map(|at| (at, kind)))
        .min_by_key(|found| found.0);
    let Some((at, (name, is_part, least, most))) = kind else {
        return pattern == seen;
    };
    let Some(seen) = seen.strip_prefix(&pattern[..at]) else {
        return false;
    };
    let pattern = &pattern[at + name.len()..];
    // A command may have masked it itself.
    if seen.strip_prefix(name).is_some_and(|seen| matches(pattern, seen)) {
        return true;
    }
    let possible = seen
        .char_indices()
        .take_while(|(_, c)| is_part(*c))
        .map(|(at, c)| at + c.len_utf8());
    possible
        .take(*most)
        .skip(least - 1)
        .any(|end| matches(pattern, &seen[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, seen: &str, expected: bool) {
        assert_eq!(matches(pattern, seen), expected, "{pattern:?} and {seen:?}");
    }

    #[test]
    fn placeholders_stand_for_their_kind() {
        check("a<SHORT_ID>b", "a0123456789abb", true);
        check("a<SHORT_ID>b", "a0123456789ab", false);
        check("Up <DUR> ago", "Up 3 seconds ago", true);
        check("<SECS>|", "0.1s|", true);
        check("<SIZE> <SIZE>\n", "4.3MB 0B\n", true);
        check("<ID>\n", "abc\n", false);
        check("plain", "plain", true);
        check("plain", "plainer", false);
    }

    #[test]
    fn spaces_may_be_squeezed() {
        assert!(fits("A     B\n", "A B  \n", Compare::Spaces, ""));
        assert!(!fits("A     B\n", "A B\n", Compare::Exact, ""));
        assert!(fits("in <CWD>/x", "in /tmp/w/x", Compare::Exact, "/tmp/w"));
    }
}
