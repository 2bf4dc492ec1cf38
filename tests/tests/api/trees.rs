//! The key trees of answers: every key, and of which kinds its values are, as dockerd has them.
//!
//! `tests/data/api/trees.txt` was taken from dockerd 28.5.2 on cgroup v1, with the scene that the test
//! makes: the newest version whole, of older ones what differs (`-` for what is not there).

use std::collections::{BTreeMap, BTreeSet};

use corten_tests::programs;
use serde_json::Value;

use crate::scene;

type Tree = BTreeMap<String, String>;

/// Where this engine has something else, and why.
const DIFFERENCES: [(&str, &str); 6] = [
    (".Containerd", "there is no containerd"),
    (".InitCommit.Expected", "that dockerd did not know its init's commit"),
    (".KernelMemoryTCP", "kernel memory has no limit of its own any more"),
    (".Runtimes.<key>.status", "the features of runtimes are not asked for"),
    (".CDISpecDirs[]", "the folders are looked at only when they are there"),
    (".memory_stats.stats.", "kernels count different things"),
];

#[test]
fn answers_have_docker_s_keys_in_every_version() {
    let engine = scene();
    let text = corten_sys::fs::read_to_string(programs::root().join("tests/data/api/trees.txt")).expect("a file");
    let cgroup2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let mut wrong = Vec::new();
    for (path, expected) in trees(&text) {
        if cgroup2 && path.ends_with("/stats?stream=0") {
            continue;
        }
        let mut found = Tree::new();
        for (key, kinds) in tree(&engine.get(&path)) {
            found.insert(key, kinds.into_iter().collect::<Vec<_>>().join("|"));
        }
        let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
        for key in keys {
            let is_known = DIFFERENCES.iter().any(|(start, _)| key.starts_with(start));
            let (expected, found) = (expected.get(key), found.get(key));
            if expected != found && !is_known {
                wrong.push(format!("{path} {key}: docker {expected:?}, here {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Paths and the trees of their answers.
fn trees(text: &str) -> Vec<(String, Tree)> {
    let mut trees: Vec<(String, Tree)> = Vec::new();
    let mut newest: BTreeMap<String, Tree> = BTreeMap::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("GET ") {
            let (_, rest) = path[1..].split_once('/').expect("a version");
            let base = newest.get(rest).cloned().unwrap_or_default();
            trees.push((path.to_owned(), base));
            continue;
        }
        let (key, kinds) = line.trim_start().rsplit_once(' ').expect("a key and its kinds");
        let (path, tree) = trees.last_mut().expect("a path first");
        match kinds {
            "-" => _ = tree.remove(key),
            kinds => _ = tree.insert(key.to_owned(), kinds.to_owned()),
        }
        if let Some(rest) = path.strip_prefix("/v1.51/") {
            newest
                .entry(rest.to_owned())
                .or_default()
                .insert(key.to_owned(), kinds.to_owned());
        }
    }
    assert!(trees.len() > 17, "{}", trees.len());
    trees
}

/// Keys that are the user's.
const NAMED: [&str; 11] = [
    "Labels",
    "Ports",
    "Networks",
    "Sysctls",
    "Volumes",
    "ExposedPorts",
    "Options",
    "Containers",
    "PortBindings",
    "Runtimes",
    "IndexConfigs",
];

fn tree(value: &Value) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut found = BTreeMap::new();
    grow(value, String::new(), &mut found);
    found
}

fn grow(value: &Value, path: String, found: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let key = if path.is_empty() { "." } else { &path };
    found.entry(key.to_owned()).or_default().insert(kind);
    match value {
        Value::Array(items) => items.iter().for_each(|item| grow(item, format!("{path}[]"), found)),
        Value::Object(members) => {
            let is_named = NAMED.iter().any(|name| path.ends_with(name));
            for (key, member) in members {
                let key = if is_named { "<key>" } else { key };
                grow(member, format!("{path}.{key}"), found);
            }
        }
        _ => {}
    }
}
