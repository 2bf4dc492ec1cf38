//! Builds the programs that travel inside the executable: `corten-shim` and `corten-init`.
//!
//! They are separate programs because they stay: one shim for each container, for as long as it
//! runs. So they are built for size, without the engine's dependencies, and at fixed addresses, so
//! that the shims of a machine share their pages; see the profile `shim` in the workspace's manifest.
//! A debug build takes a quicker profile.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that the programs are made of.
const CRATES: [&str; 4] = ["shim", "runtime", "oci", "sys"];

fn main() {
    let crates = variable("CARGO_MANIFEST_DIR").join("..");
    let target_dir = variable("OUT_DIR").join("shim");
    let target = variable("TARGET");
    watch(&crates);
    build(&crates, &target_dir, &target);
    let programs = target_dir.join(&target).join("shim");
    tell(&format!(
        "rustc-env=CORTEN_SHIM_PATH={}",
        programs.join("corten-shim").display()
    ));
    tell(&format!(
        "rustc-env=CORTEN_INIT_PATH={}",
        programs.join("corten-init").display()
    ));
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).expect("cargo sets it for build scripts").into()
}

fn tell(line: &str) {
    writeln!(std::io::stdout(), "cargo:{line}").expect("cargo reads what a build script says");
}

fn watch(crates: &Path) {
    for name in CRATES {
        for part in ["src", "Cargo.toml"] {
            tell(&format!("rerun-if-changed={}", crates.join(name).join(part).display()));
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        tell(&format!("rerun-if-changed={}", crates.join("..").join(file).display()));
    }
    tell("rerun-if-changed=build.rs");
}

fn build(crates: &Path, target_dir: &Path, target: &Path) {
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--profile",
            "shim",
            "--features",
            "program",
            "--bins",
        ])
        .args([OsString::from("--manifest-path"), crates.join("shim/Cargo.toml").into()])
        .args([OsString::from("--target-dir"), target_dir.into()])
        .args([OsString::from("--target"), target.into()])
        // What the outer build says of its own compiler's calls is not for these.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    if variable("PROFILE") == Path::new("debug") {
        let quick = ["lto=\"off\"", "codegen-units=16", "incremental=true"];
        cargo.args(
            quick
                .into_iter()
                .flat_map(|setting| ["--config".to_owned(), format!("profile.shim.{setting}")]),
        );
    }
    let status = cargo.status().expect("cargo runs, having run this");
    assert!(status.success(), "building the shim failed: {status}");
}
