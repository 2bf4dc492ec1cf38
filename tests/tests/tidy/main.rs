//! The workspace's own rules.

mod dependencies;
mod edges;
mod fuzz;
mod reference;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use corten_tests::programs;
use serde_json::Value;

/// What cargo knows about the workspace, for the platform that we build for.
fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu", "--manifest-path"])
        .arg(programs::root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The tree's files that git knows or would take, by their path from the root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(programs::root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = list
        .lines()
        .map(PathBuf::from)
        .filter(|path| programs::root().join(path).is_file());
    paths.collect()
}

fn text(path: &Path) -> String {
    let bytes = corten_sys::fs::read(programs::root().join(path)).expect("a file");
    String::from_utf8_lossy(&bytes).into_owned()
}
