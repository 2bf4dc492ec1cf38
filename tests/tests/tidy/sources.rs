//! What source files look like.

use std::path::{Path, PathBuf};

use corten_tests::programs;

use super::{files, text};

/// Files may have so many lines before their tests.
const LINES: usize = 600;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 9] = [
    "util", "utils", "helper", "helpers", "common", "manager", "misc", "core", "types",
];

fn rust() -> Vec<PathBuf> {
    files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// The lines before a file's tests.
fn code(path: &Path) -> Vec<String> {
    text(path)
        .lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .map(str::to_owned)
        .collect()
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    for path in rust() {
        let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        let is_ours = path.starts_with("crates") || path.starts_with("tests");
        if is_ours && is_root && !path.starts_with("crates/sys") {
            let forbids = text(&path).contains("#![forbid(unsafe_code)]");
            assert!(forbids, "{} does not forbid unsafe code", path.display());
        }
        if !path.starts_with("crates/sys") {
            let word = ["unsafe", " {"].concat();
            let found = code(&path)
                .iter()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(&word));
            assert!(!found, "{} has unsafe code", path.display());
        }
    }
}

#[test]
fn modules_have_names_that_say_something() {
    for path in files() {
        for part in path.with_extension("").iter() {
            let part = part.to_string_lossy();
            assert!(
                !EMPTY_NAMES.contains(&&*part),
                "{}: {part:?} says nothing",
                path.display()
            );
        }
    }
}

#[test]
fn files_are_short() {
    for path in rust() {
        let lines = code(&path).len();
        assert!(
            lines <= LINES,
            "{} has {lines} lines: look for the second noun inside",
            path.display()
        );
    }
}

#[test]
fn files_say_what_they_are_for() {
    for path in rust()
        .into_iter()
        .filter(|path| !path.starts_with("fuzz") && !path.ends_with("tests.rs"))
    {
        let first = text(&path)
            .lines()
            .find(|line| !line.starts_with("#!"))
            .unwrap_or_default()
            .to_owned();
        assert!(
            first.starts_with("//!"),
            "{} starts with {first:?}, not with what it is for",
            path.display()
        );
    }
}

#[test]
fn the_tree_names_no_place_of_one_machine() {
    let root = programs::root();
    let root = root.to_string_lossy();
    for path in files() {
        if path.extension().is_some_and(|end| end == "json" || end == "lock") {
            continue;
        }
        assert!(!text(&path).contains(&*root), "{} names {root}", path.display());
    }
}

#[test]
fn notes_to_do_have_a_number() {
    let word = ["TO", "DO"].concat();
    for path in rust() {
        for line in text(&path).lines().filter(|line| line.contains(&word)) {
            assert!(
                line.contains(&format!("{word}(#")),
                "{}: {}",
                path.display(),
                line.trim()
            );
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for path in files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
    {
        let folder = programs::root().join(&path).parent().expect("a folder").to_owned();
        let text = text(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.contains(' ');
            assert!(
                elsewhere || folder.join(target).exists(),
                "{}: {target}",
                path.display()
            );
        }
    }
}
