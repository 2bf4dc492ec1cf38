//! Checks of variables: used and never defined, or without a value where one is needed.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Lines;
use crate::expand::expand;
use crate::instruction::{Command, Copy, Source};
use crate::lint::Findings;
use crate::stages::{Dockerfile, Stage};
use crate::suggest;

/// Known to FROM without being declared (Dockerfile reference, "Automatic platform ARGs in the global scope").
const PLATFORM: [&str; 11] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETSTAGE",
];
/// Known everywhere.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

pub(crate) fn check(file: &Dockerfile, found: &mut Findings) {
    let escape = file.directives.escape;
    let mut global: BTreeMap<&str, String> = PLATFORM.iter().map(|name| (*name, "x".to_owned())).collect();
    for one in &file.arguments {
        let Command::Arg(list) = &one.command else { continue };
        for argument in list {
            let default = argument.default.as_deref().unwrap_or_default();
            let value = expand(default, escape, &|name| global.get(name).cloned());
            global.insert(&argument.name, value.map_or_else(|_| String::new(), |value| value.text));
        }
    }
    let mut environments: Vec<Known> = Vec::new();
    for (index, stage) in file.stages.iter().enumerate() {
        from(stage, &global, escape, found);
        let base = file.stage_before(&stage.from.image, index);
        let base = base.filter(|_| stage.from.image.parse::<usize>().is_err());
        let known = match base.and_then(|base| environments.get(base)) {
            Some(known) => known.clone(),
            None => Known {
                names: BTreeSet::new(),
                is_all: stage.from.image == "scratch",
            },
        };
        environments.push(instructions(stage, known, escape, found));
    }
}

/// Variables of a stage's environment.
#[derive(Debug, Clone)]
struct Known {
    names: BTreeSet<String>,
    /// Whether there are no others: nothing is known of an image's own.
    is_all: bool,
}

fn from(stage: &Stage, global: &BTreeMap<&str, String>, escape: char, found: &mut Findings) {
    let lines = stage.begin.lines;
    let platform = stage.from.platform.as_deref();
    for word in std::iter::once(stage.from.image.as_str()).chain(platform) {
        let Ok(expanded) = expand(word, escape, &|name| global.get(name).cloned()) else {
            continue;
        };
        for name in &expanded.undefined {
            let message = format!("FROM argument '{name}' is not declared");
            let message = suggest::with_suggestion(message, name, global.keys().copied());
            found.add("UndefinedArgInFrom", message, lines);
        }
        let is_image = word == stage.from.image;
        let text = expanded.text.as_str();
        let is_bad = text.is_empty() || text.ends_with([':', '/', '@']) || text.starts_with([':', '/', '@']);
        if is_image && word.contains('$') && expanded.undefined.is_empty() && is_bad {
            let message = format!("Default value for ARG {word} results in empty or invalid base image name");
            found.add("InvalidDefaultArgInFrom", message, lines);
        }
    }
}

/// Looks at a stage's words; gives its environment at the end.
fn instructions(stage: &Stage, known: Known, escape: char, found: &mut Findings) -> Known {
    let mut environment = known;
    let mut arguments: BTreeSet<String> = PROXIES.iter().map(|name| (*name).to_owned()).collect();
    arguments.extend(PROXIES.iter().map(|name| name.to_lowercase()));
    arguments.insert("PATH".to_owned());
    for one in &stage.instructions {
        for word in words(&one.command) {
            undefined(word, &environment, &arguments, escape, one.lines, found);
        }
        match &one.command {
            Command::Env(pairs) => environment.names.extend(pairs.iter().map(|(name, _)| name.clone())),
            Command::Arg(list) => arguments.extend(list.iter().map(|argument| argument.name.clone())),
            _ => {}
        }
    }
    environment
}

fn undefined(
    word: &str,
    environment: &Known,
    arguments: &BTreeSet<String>,
    escape: char,
    lines: Lines,
    found: &mut Findings,
) {
    let is_known = |name: &str| environment.names.contains(name) || arguments.contains(name);
    let Ok(expanded) = expand(word, escape, &|name| is_known(name).then(|| "x".to_owned())) else {
        return;
    };
    for name in expanded.undefined {
        let plain = format!("Usage of undefined variable '${name}'");
        let names = environment
            .names
            .iter()
            .chain(arguments)
            .map(|known| format!("${known}"));
        let names: Vec<String> = names.collect();
        let known = names.iter().map(String::as_str);
        let message = suggest::with_suggestion(plain.clone(), &format!("${name}"), known);
        if environment.is_all || message != plain {
            found.add("UndefinedVar", message, lines);
        }
    }
}

/// The words of an instruction that variables are put into.
fn words(command: &Command) -> Vec<&str> {
    match command {
        Command::Env(pairs) | Command::Label(pairs) => pairs.iter().map(|(_, value)| value.as_str()).collect(),
        Command::Arg(list) => list.iter().filter_map(|argument| argument.default.as_deref()).collect(),
        Command::Copy(copy) => copied(copy),
        Command::Add(add) => copied(&add.copy),
        Command::Workdir(text) | Command::User(text) | Command::Expose(text) | Command::Stopsignal(text) => vec![text],
        Command::Volume(paths) => paths.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn copied(copy: &Copy) -> Vec<&str> {
    let sources = copy.sources.iter().filter_map(|source| match source {
        Source::Path(path) => Some(path.as_str()),
        Source::Text(_) => None,
    });
    sources.chain([copy.destination.as_str()]).collect()
}
