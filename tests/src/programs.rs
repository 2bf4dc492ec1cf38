//! Where the programs under test are.

use std::path::PathBuf;

/// The built executable: `$CORTEN`, or the one beside this test's own binary.
///
/// # Panics
/// When it is not there: `cargo build -p corten` makes it.
pub fn corten() -> PathBuf {
    let path = std::env::var_os("CORTEN").map_or_else(beside_the_test, PathBuf::from);
    assert!(
        path.exists(),
        "{} is not there: run `cargo build -p corten`",
        path.display()
    );
    path
}

fn beside_the_test() -> PathBuf {
    // target/<triple>/debug/deps/<test>
    let test = std::env::current_exe().expect("this test's path");
    test.ancestors().nth(2).expect("the build's folder").join("corten")
}

/// The real Docker command line: `$DOCKER`, or the one that `./x test` unpacked under `target`, or the
/// first on the path. `None` when there is none, which is said aloud; in CI that is a failure.
///
/// # Panics
/// When there is none and `CI` is set.
pub fn docker() -> Option<PathBuf> {
    let named = std::env::var_os("DOCKER").map(PathBuf::from);
    let unpacked = target().join("docker-cli/usr/bin/docker");
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path)
        .map(|folder| folder.join("docker"))
        .collect::<Vec<_>>();
    let found = named
        .into_iter()
        .chain([unpacked])
        .chain(on_path)
        .find(|path| path.is_file());
    if found.is_none() {
        missing("docker command line");
    }
    found
}

/// A python that has docker-py and testcontainers: `$CLIENTS_PYTHON`, or the one of `./x test`.
///
/// # Panics
/// When there is none and `CI` is set.
pub fn python() -> Option<PathBuf> {
    let made = target().join("clients/python/bin/python");
    client("python with docker-py", "CLIENTS_PYTHON", made)
}

/// The program over bollard: `$CLIENTS_BOLLARD`, or the one of `./x test`.
///
/// # Panics
/// When there is none and `CI` is set.
pub fn bollard() -> Option<PathBuf> {
    let made = target().join("clients/bollard-client");
    client("program over bollard", "CLIENTS_BOLLARD", made)
}

/// Docker's Compose, version 2: `$DOCKER_COMPOSE`, or the one of `./x test`.
///
/// # Panics
/// When there is none and `CI` is set.
pub fn compose() -> Option<PathBuf> {
    let made = target().join("clients/docker-compose");
    client("docker-compose", "DOCKER_COMPOSE", made)
}

/// Docker's buildx: `$DOCKER_BUILDX`, or the one of `./x test`.
///
/// # Panics
/// When there is none and `CI` is set.
pub fn buildx() -> Option<PathBuf> {
    let made = target().join("clients/docker-buildx");
    client("docker-buildx", "DOCKER_BUILDX", made)
}

/// A file of `tests/clients`.
pub fn clients(name: &str) -> PathBuf {
    root().join("tests/clients").join(name)
}

fn client(what: &str, variable: &str, made: PathBuf) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let found = named.into_iter().chain([made]).find(|path| path.is_file());
    if found.is_none() {
        missing(what);
    }
    found
}

fn missing(what: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "no {what}: run the tests with `./x test`"
    );
    #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
    {
        eprintln!("SKIPPED: there is no {what} (./x test fetches one)");
    }
}

/// The workspace's folder for build products.
pub fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let is_target = |folder: &&std::path::Path| folder.join("CACHEDIR.TAG").exists() && folder.ends_with("target");
    let found = test.ancestors().find(is_target).map(PathBuf::from);
    found.unwrap_or_else(|| root().join("target"))
}

/// The workspace.
pub fn root() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests is a folder of the workspace").to_owned()
}
