//! What a container's control groups say, in either version.

use std::path::{Path, PathBuf};

use corten_sys::fs;
use corten_tests::engine::Engine;

/// Where the hierarchies are.
const ROOT: &str = "/sys/fs/cgroup";

/// Whether this host has version 2 alone.
pub(crate) fn unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// What the first of some files says, all blanks alike. A file of version 1 is `controller/name`, of version 2 `name`.
#[track_caller]
pub(crate) fn read(engine: &Engine, container: &str, files: &[&str]) -> String {
    let id = engine.inspect(container, "{{.Id}}");
    read_below(&format!("{}/{id}", engine.cgroup_parent()), files)
}

/// The same of a group that is named.
#[track_caller]
pub(crate) fn read_below(group: &str, files: &[&str]) -> String {
    let group = group.trim_matches('/');
    let path = |file: &&str| -> PathBuf {
        match file.split_once('/') {
            Some((controller, name)) => Path::new(ROOT).join(controller).join(group).join(name),
            None => Path::new(ROOT).join(group).join(file),
        }
    };
    let text = files.iter().map(path).find_map(|path| fs::read_to_string(path).ok());
    let text = text.unwrap_or_else(|| panic!("none of {files:?} in {group}"));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
