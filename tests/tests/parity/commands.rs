//! Commands and flags: what the executable knows, and which test calls them.

use std::collections::BTreeMap;
use std::process::Command;

use corten_tests::programs;

use crate::evidence::{Place, Word};
use crate::report::{Row, Status};

/// A command of Docker's.
#[derive(Debug)]
pub(crate) struct Known {
    /// The group of the report.
    pub(crate) area: String,
    /// Its first name: `container run`.
    pub(crate) name: String,
    /// Every way to call it.
    paths: Vec<Vec<String>>,
    flags: Vec<Flag>,
}

#[derive(Debug)]
struct Flag {
    long: String,
    short: Option<char>,
    switch: bool,
}

/// Reads `tests/data/parity/commands.txt`.
pub(crate) fn read(text: &str) -> Vec<Known> {
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

fn line(line: &str) -> Known {
    let mut parts = line.split('|').map(str::trim);
    let mut next = || parts.next().unwrap_or_default();
    let (area, name, paths, flags) = (next(), next(), next(), next());
    Known {
        area: area.to_owned(),
        name: name.to_owned(),
        paths: paths
            .split(", ")
            .map(|path| path.split(' ').map(str::to_owned).collect())
            .collect(),
        flags: flags.split_whitespace().map(flag).collect(),
    }
}

fn flag(word: &str) -> Flag {
    let (word, switch) = word.strip_suffix('!').map_or((word, false), |word| (word, true));
    let (long, short) = word.split_once('/').unwrap_or((word, ""));
    Flag {
        long: long.to_owned(),
        short: short.chars().next(),
        switch,
    }
}

/// The rows of all commands and flags. `refused` says which are refused by name, and which test sees that.
pub(crate) fn rows(known: &[Known], places: &[Place], refused: &BTreeMap<String, String>) -> Vec<Row> {
    let used = Used::gather(known, places);
    known
        .iter()
        .enumerate()
        .flat_map(|(index, command)| {
            let mut rows = vec![Row {
                area: command.area.clone(),
                item: command.name.clone(),
                status: status(&command.name, used.commands.get(&index), refused, || command.exists()),
            }];
            for flag in &command.flags {
                let item = format!("{} --{}", command.name, flag.long);
                let by_command = refused.get(&command.name).cloned();
                let status = match by_command {
                    Some(test) => Status::Refused(test),
                    None => status(&item, used.flags.get(&(index, flag.long.clone())), refused, || {
                        command.takes(flag)
                    }),
                };
                rows.push(Row {
                    area: command.area.clone(),
                    item,
                    status,
                });
            }
            rows
        })
        .collect()
}

fn status(
    item: &str,
    test: Option<&String>,
    refused: &BTreeMap<String, String>,
    is_there: impl Fn() -> bool,
) -> Status {
    if let Some(test) = refused.get(item) {
        return Status::Refused(test.clone());
    }
    match (is_there(), test) {
        (true, Some(test)) => Status::Works(test.clone()),
        (true, None) => Status::Missing("no test names it"),
        (false, _) => Status::Missing(""),
    }
}

impl Known {
    /// Whether the executable has it: its help is of this command, not of a group above it.
    fn exists(&self) -> bool {
        let said = asked(self.paths[0].iter().map(String::as_str).chain(["--help"]));
        let usage = format!("corten {}", self.paths[0].join(" "));
        said.lines()
            .any(|line| line.starts_with("Usage:") && line.contains(&usage))
    }

    /// Whether it takes the flag.
    fn takes(&self, flag: &Flag) -> bool {
        let given = if flag.switch {
            format!("--{}", flag.long)
        } else {
            format!("--{}=1", flag.long)
        };
        let said = asked(
            self.paths[0]
                .iter()
                .map(String::as_str)
                .chain([given.as_str(), "--help"]),
        );
        !said.contains("unknown flag") && !said.contains("unknown command")
    }
}

/// What the executable says, in both streams.
fn asked<'a>(arguments: impl Iterator<Item = &'a str>) -> String {
    let output = Command::new(programs::corten())
        .args(arguments)
        .env("HOME", "/nonexistent")
        .env("CORTEN_HOST", "unix:///nonexistent/socket")
        .output()
        .expect("the executable runs");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Which test calls what: by the command's index.
#[derive(Default)]
struct Used {
    commands: BTreeMap<usize, String>,
    flags: BTreeMap<(usize, String), String>,
}

impl Used {
    fn gather(known: &[Known], places: &[Place]) -> Self {
        let mut used = Self::default();
        let mut by_file: BTreeMap<&str, (Vec<usize>, Vec<&Place>)> = BTreeMap::new();
        for place in places {
            let called = called(known, place);
            for index in &called {
                used.commands.entry(*index).or_insert_with(|| place.name.clone());
            }
            used.take_flags(known, &called, place);
            let file = by_file.entry(&place.file).or_default();
            file.0.extend(called);
            file.1.push(place);
        }
        // A helper runs the command, and its callers give the flags: where just one command of the
        // file knows a flag, it is meant.
        for (called, places) in by_file.values() {
            for place in places {
                for word in &place.words {
                    let takers: Vec<_> = called
                        .iter()
                        .filter(|i| known[**i].given(&word.text).next().is_some())
                        .collect();
                    if let [first, others @ ..] = takers.as_slice()
                        && others.iter().all(|other| other == first)
                    {
                        used.note(known, **first, &word.text, place);
                    }
                }
            }
        }
        used
    }

    fn take_flags(&mut self, known: &[Known], called: &[usize], place: &Place) {
        for index in called {
            for word in &place.words {
                self.note(known, *index, &word.text, place);
            }
        }
    }

    fn note(&mut self, known: &[Known], index: usize, word: &str, place: &Place) {
        for flag in known[index].given(word) {
            self.flags
                .entry((index, flag.long.clone()))
                .or_insert_with(|| place.name.clone());
        }
    }
}

impl Known {
    /// The flags that a word gives: `--long`, `--long=value`, `-it`.
    fn given(&self, word: &str) -> impl Iterator<Item = &Flag> {
        let long = word
            .strip_prefix("--")
            .map(|word| word.split('=').next().unwrap_or(word));
        let shorts = word
            .strip_prefix('-')
            .filter(|shorts| !shorts.is_empty() && shorts.chars().all(|c| self.has_short(c)));
        self.flags.iter().filter(move |flag| {
            long == Some(flag.long.as_str())
                || flag
                    .short
                    .is_some_and(|short| shorts.is_some_and(|shorts| shorts.contains(short)))
        })
    }

    fn has_short(&self, short: char) -> bool {
        self.flags.iter().any(|flag| flag.short == Some(short))
    }
}

/// The commands that a place calls.
fn called(known: &[Known], place: &Place) -> Vec<usize> {
    let mut called = Vec::new();
    for (at, _) in place.words.iter().enumerate().filter(|(_, word)| word.starts) {
        let line = without_options_of_compose(&place.words[at..]);
        for (index, command) in known.iter().enumerate() {
            let is_called = command.paths.iter().any(|path| {
                line.get(..path.len())
                    .is_some_and(|words| words.iter().zip(path).all(|(word, step)| *word == step))
            });
            if is_called && !called.contains(&index) {
                called.push(index);
            }
        }
    }
    called
}

/// The first words of a command line, without the options that may stand between `compose` and its command.
fn without_options_of_compose(words: &[Word]) -> Vec<&str> {
    const VALUED: [&str; 10] = [
        "--ansi",
        "--env-file",
        "--file",
        "--parallel",
        "--profile",
        "--progress",
        "--project-directory",
        "--project-name",
        "-f",
        "-p",
    ];
    const LONGEST: usize = 5;
    let mut line: Vec<&str> = Vec::new();
    let mut words = words.iter().map(|word| word.text.as_str());
    while let Some(word) = words.next().filter(|_| line.len() < LONGEST) {
        match line.as_slice() {
            ["compose"] if VALUED.contains(&word) => drop(words.next()),
            ["compose"] if word.starts_with('-') => {}
            _ => line.push(word),
        }
    }
    line
}
