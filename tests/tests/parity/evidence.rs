//! What the black-box tests call: command lines and requests, each with the test's name.

use std::path::Path;

use corten_sys::fs;
use corten_tests::programs;
use serde_json::Value;

use crate::literals;

/// One place that calls the product: a test, its helper, or a transcript.
#[derive(Debug)]
pub(crate) struct Place {
    /// `suite::file::function`, or `golden name`.
    pub(crate) name: String,
    /// The file: places of one file share their flags.
    pub(crate) file: String,
    /// The words of its command lines.
    pub(crate) words: Vec<Word>,
    /// Methods and paths of its requests.
    pub(crate) requests: Vec<(String, String)>,
}

/// A word of a command line.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    /// The word.
    pub(crate) text: String,
    /// Whether a command may begin here: at the front of a list, or after the program's name.
    pub(crate) starts: bool,
}

/// Everything that the suites and the transcripts call.
pub(crate) fn gather() -> Vec<Place> {
    let root = programs::root().join("tests");
    let mut places = Vec::new();
    let mut files = Vec::new();
    sources(&root.join("tests"), &mut files);
    files.sort();
    for file in files {
        let relative = file.strip_prefix(root.join("tests")).expect("below it");
        let module = relative.with_extension("").to_string_lossy().replace('/', "::");
        if !module.starts_with("parity") && !module.starts_with("tidy") {
            let text = fs::read_to_string(&file).expect("a source");
            from_source(&module.replace("::main", ""), &text, &mut places);
        }
    }
    transcripts(&root.join("goldens"), &mut places);
    places
}

fn sources(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// Adds the places of one source file.
fn from_source(module: &str, text: &str, places: &mut Vec<Place>) {
    let mut previous = String::new();
    for literal in literals::of(text) {
        let name = format!("{module}::{}", literal.function);
        let is_new = places.last().is_none_or(|place| place.name != name);
        if is_new {
            places.push(Place {
                name,
                file: module.to_owned(),
                words: Vec::new(),
                requests: Vec::new(),
            });
        }
        let place = places.last_mut().expect("just pushed");
        place.requests.extend(request(&literal, &previous));
        words(&literal.text, opens(&literal), &mut place.words);
        previous = literal.text;
    }
}

/// Whether a command line of ours begins with this literal: it is the first of a list, or the whole line for a helper
/// that splits it, as the suite of Compose does. What `peer` is given goes to Docker's Compose.
fn opens(literal: &literals::Literal) -> bool {
    let is_line = literal.text.starts_with("compose ") && !literal.before.ends_with("peer(");
    literal.before.ends_with('[') || is_line
}

/// Adds the words of a literal; `opens`: it is the first of a list.
fn words(text: &str, opens: bool, into: &mut Vec<Word>) {
    let mut after_program = false;
    for (index, word) in text.split_whitespace().enumerate() {
        let clean = word.trim_matches(['(', ')', '`', ';', '$', '\'']);
        into.push(Word {
            text: clean.to_owned(),
            starts: after_program || (opens && index == 0),
        });
        after_program =
            matches!(clean, "corten" | "docker") || clean.ends_with("/docker") || clean.ends_with("/corten");
    }
}

/// The request that a literal names: `"GET", "/path"`, `get("/path")`, `"GET /path HTTP/1.1…"`.
fn request(literal: &literals::Literal, previous: &str) -> Option<(String, String)> {
    const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    let text = &literal.text;
    if let Some((method, rest)) = text.split_once(' ')
        && METHODS.contains(&method)
    {
        return Some((method.to_owned(), rest.split(' ').next()?.to_owned()));
    }
    let path = text.starts_with('/').then(|| text.clone())?;
    if METHODS.contains(&previous) {
        return Some((previous.to_owned(), path));
    }
    let call = literal.before.trim_end_matches("format!(").trim_end_matches(['&', '(']);
    let method = METHODS
        .iter()
        .find(|method| call.to_lowercase().ends_with(&method.to_lowercase()))?;
    Some(((*method).to_owned(), path))
}

/// Adds the transcripts of the real command line, which a suite replays.
fn transcripts(folder: &Path, places: &mut Vec<Place>) {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if file.extension().is_none_or(|end| end != "json") || stem == "differences" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a transcript");
        let golden: Value = serde_json::from_str(&text).expect("JSON");
        let mut place = Place {
            name: format!("golden {stem}"),
            file: format!("golden {stem}"),
            words: Vec::new(),
            requests: Vec::new(),
        };
        words(golden["cmd"].as_str().unwrap_or_default(), false, &mut place.words);
        places.push(place);
    }
}

#[test]
fn requests_are_recognised_in_the_ways_that_suites_write_them() {
    let source = r#"fn t() {
        engine.http("POST", "/containers/create?name=x", None);
        engine.get(&format!("/v1.51/containers/{id}/json"));
        raw(b"GET /info HTTP/1.1\r\n");
        status("DELETE", "/volumes/x");
        answers("/not/a/request");
    }"#;
    let mut places = Vec::new();
    from_source("api", source, &mut places);
    let expected = [
        ("POST", "/containers/create?name=x"),
        ("GET", "/v1.51/containers/{id}/json"),
        ("GET", "/info"),
        ("DELETE", "/volumes/x"),
    ];
    assert_eq!(places[0].requests, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}
