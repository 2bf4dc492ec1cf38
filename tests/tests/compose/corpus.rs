//! Files as people write them, and what Compose makes of them, byte for byte.
//!
//! Each folder of `tests/data/compose` is a project. Its file `runs` has lines `name: arguments`; without it,
//! `config` and `config --hash *` are run. What Compose 2.40 prints for each is in `expected/`, with `{DIR}` for the
//! folder. A line `differs <name>: <why>` in `runs` lists what is not the same, on purpose. Runs that are called
//! `live-…` depend on where the folder is, as hashes of bind mounts do: they are compared with Docker's Compose alone.
//!
//! With `CORTEN_RECORD_COMPOSE` in the environment the expectations are written anew, by Docker's Compose.

use std::path::{Path, PathBuf};
use std::process::Command;

use corten_sys::fs;
use corten_tests::programs;

/// One call of Compose in a project's folder.
struct Run {
    folder: PathBuf,
    name: String,
    arguments: Vec<String>,
    differs: bool,
}

impl Run {
    /// What a program prints, with `{DIR}` for the folder; and why, when it fails.
    fn output(&self, program: &Path, first: &[&str]) -> Result<String, String> {
        let output = Command::new(program)
            .args(first)
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/home/someone")
            .env("PWD", &self.folder)
            .env("FROM_OUTSIDE", "outer value")
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8(output.stdout).map_err(|error| error.to_string())?;
        Ok(text.replace(&self.folder.display().to_string(), "{DIR}"))
    }

    fn is_live(&self) -> bool {
        self.name.starts_with("live-")
    }

    fn expectation(&self) -> PathBuf {
        self.folder.join("expected").join(&self.name)
    }

    fn shown(&self) -> String {
        let folder = self.folder.file_name().unwrap_or_default().to_string_lossy();
        format!("{folder}: {}", self.arguments.join(" "))
    }
}

fn runs() -> Vec<Run> {
    let root = programs::root().join("tests/data/compose");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .expect("the corpus")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.iter().flat_map(|folder| runs_of(folder)).collect()
}

fn runs_of(folder: &Path) -> Vec<Run> {
    let listed = fs::read_to_string(folder.join("runs"))
        .unwrap_or_else(|_| "config: config\nhash: config --hash *\n".to_owned());
    let differs = |name: &str| {
        listed
            .lines()
            .any(|line| line.starts_with(&format!("differs {name}: ")))
    };
    let lines = listed
        .lines()
        .filter(|line| !line.starts_with("differs ") && !line.is_empty());
    let runs = lines.map(|line| {
        let (name, arguments) = line.split_once(": ").expect("name: arguments");
        Run {
            folder: folder.to_owned(),
            name: name.to_owned(),
            arguments: arguments.split(' ').map(str::to_owned).collect(),
            differs: differs(name),
        }
    });
    runs.collect()
}

/// The first line that is not the same.
fn first_difference(left: &str, right: &str) -> String {
    let mut lines = left.lines().zip(right.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((index, (a, b))) => format!("line {}: {a:?}, expected {b:?}", index + 1),
        None => format!("{} bytes, expected {}", left.len(), right.len()),
    }
}

fn compare(program: &Path, first: &[&str], all: bool) {
    let mut wrong = Vec::new();
    for run in runs().iter().filter(|run| !run.is_live() && (all || !run.differs)) {
        let expected = fs::read_to_string(run.expectation()).unwrap_or_default();
        match run.output(program, first) {
            Ok(text) if text == expected => {}
            Ok(text) => wrong.push(format!("{}: {}", run.shown(), first_difference(&text, &expected))),
            Err(reason) => wrong.push(format!("{}: {reason}", run.shown())),
        }
    }
    assert!(wrong.is_empty(), "{} runs:\n{}", wrong.len(), wrong.join("\n"));
}

/// `compose config`, `compose config --hash`.
#[test]
fn the_corpus_is_as_compose_has_it() {
    compare(&programs::corten(), &["compose"], false);
}

#[test]
fn the_expectations_are_what_docker_compose_prints() {
    let Some(program) = programs::compose() else { return };
    if std::env::var_os("CORTEN_RECORD_COMPOSE").is_some() {
        for run in runs().iter().filter(|run| !run.is_live()) {
            let text = run
                .output(&program, &[])
                .unwrap_or_else(|reason| panic!("{}: {reason}", run.shown()));
            fs::create_dir_all(run.folder.join("expected")).expect("a folder");
            fs::write(run.expectation(), text).expect("a file");
        }
    }
    compare(&program, &[], true);
}

#[test]
fn hashes_with_paths_are_the_same_as_of_docker_compose() {
    let Some(program) = programs::compose() else { return };
    let live: Vec<_> = runs().into_iter().filter(Run::is_live).collect();
    assert!(!live.is_empty(), "no run is live");
    for run in live {
        let (ours, theirs) = (run.output(&programs::corten(), &["compose"]), run.output(&program, &[]));
        assert_eq!(ours, theirs, "{}", run.shown());
    }
}

#[test]
fn the_corpus_is_large() {
    let mut folders: Vec<_> = runs().into_iter().map(|run| run.folder).collect();
    folders.dedup();
    assert!(folders.len() >= 60, "{} projects", folders.len());
}
