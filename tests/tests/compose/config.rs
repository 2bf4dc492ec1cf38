//! `compose config` and its flags.

use std::path::Path;
use std::process::Command;

use corten_sys::fs;
use corten_tests::programs;

const FILE: &str = "name: shop
services:
  web:
    image: nginx:${TAG:-1}
    depends_on: [api]
    profiles: [front]
    environment: {A: $UNSET}
  api:
    build: .
    volumes: ['data:/data']
    env_file: [{path: none.env, required: false}]
volumes: {data: , spare: }
networks: {default: {driver: bridge}}
x-note: kept
";

fn compose(folder: &Path, arguments: &str) -> (String, String, bool) {
    let output = Command::new(programs::corten())
        .args(arguments.split(' '))
        .current_dir(folder)
        .env_clear()
        .env("HOME", "/home/someone")
        .env("PATH", "/bin")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("a text");
    (text(output.stdout), text(output.stderr), output.status.success())
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("compose.yaml"), FILE).expect("a file");
    folder
}

#[test]
fn parts_of_a_project() {
    let folder = project();
    let check = |arguments: &str, expected: &str| {
        let (out, err, done) = compose(folder.path(), arguments);
        assert!(done && out == expected, "{arguments}: {out}{err}");
    };
    check("compose --profile front config --services", "api\nweb\n");
    check("compose config --services", "api\n");
    check("compose config --no-interpolate --services", "api\nweb\n");
    check("compose config --volumes", "data\n");
    check("compose --all-resources config --volumes", "data\nspare\n");
    check("compose config --networks", "default\n");
    check("compose config --profiles", "front\n");
    check("compose --profile front config --images", "shop-api\nnginx:1\n");
    check("compose --compatibility config --images", "shop_api\n");
    check("compose -p other config --images", "other-api\n");
    check("compose config -q", "");
    check("compose config --models", "");
}

#[test]
fn variables_and_environment() {
    let folder = project();
    fs::write(folder.path().join("more.env"), "TAG=7\nOTHER=${TAG}x\n").expect("a file");
    let (out, _, done) = compose(folder.path(), "compose --env-file more.env config --environment");
    assert!(
        done && out.contains("OTHER=7x\n") && out.contains("COMPOSE_PROJECT_NAME=shop\n"),
        "{out}"
    );
    let (out, _, _) = compose(
        folder.path(),
        "compose --env-file more.env --profile front config --images",
    );
    assert!(out.contains("nginx:7"), "{out}");
    let (out, _, _) = compose(folder.path(), "compose config --variables");
    assert!(
        out.starts_with("NAME                REQUIRED            DEFAULT VALUE       ALTERNATE VALUE\n"),
        "{out}"
    );
    assert!(out.contains("TAG                 false               1"), "{out}");
    let (out, _, _) = compose(folder.path(), "compose config --variables --format json");
    assert!(
        out.contains(r#""TAG":{"DefaultValue":"1","Name":"TAG","PresenceValue":"","Required":false}"#),
        "{out}"
    );
    let (_, err, _) = compose(folder.path(), "compose --profile front config -q");
    assert!(
        err.contains(r#"level=warning msg="The \"UNSET\" variable is not set. Defaulting to a blank string.""#),
        "{err}"
    );
}

#[test]
fn writes_to_a_file() {
    let folder = project();
    let (out, err, done) = compose(folder.path(), "compose config -o out.yaml --format json");
    assert!(done && out.is_empty(), "{out}{err}");
    let text = fs::read_to_string(folder.path().join("out.yaml")).expect("a file");
    assert!(text.starts_with("{\n  \"name\": \"shop\","), "{text}");
}

#[test]
fn refuses_what_it_does_not_do() {
    let folder = project();
    let refused = |arguments: &str, expected: &str| {
        let (_, err, done) = compose(folder.path(), arguments);
        assert!(!done && err.contains(expected), "{arguments}: {err}");
    };
    refused("compose config --format toml", "unsupported format \"toml\"");
    refused(
        "compose --progress fast config",
        "unsupported --progress value \"fast\"",
    );
    refused("compose -p Shop config", "invalid project name \"Shop\"");
    refused("compose -f nothing.yaml config", "no such file or directory");
    refused("compose config nothing", "no such service: nothing");
}
