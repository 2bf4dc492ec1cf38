//! `RUN --device`: devices that documents of their vendors describe.

use corten_sys::fs;
use corten_tests::engine::{Engine, Options};

use crate::context;

/// Toys: one that every build may have, and others.
const TOYS: &str = r#"
cdiVersion: 0.6.0
kind: acme.com/toy
devices:
- name: one
  annotations: {org.mobyproject.buildkit.device.class: small}
  containerEdits:
    env: [ONE=1]
    deviceNodes: [{path: /dev/toy, hostPath: /dev/full}]
- name: three
  containerEdits: {env: [THREE=3]}
- name: two
  annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
  containerEdits: {env: [TWO=2]}
"#;

/// An engine with documents about toys.
fn engine() -> Engine {
    let engine = Engine::prepared(Options::default());
    let folder = engine.work().join("cdi");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("toys.yaml"), TOYS).expect("a file");
    let config = format!(r#"{{"cdi-spec-dirs": ["{}"]}}"#, folder.display());
    fs::write(engine.config(), config).expect("a file");
    engine.launch();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

/// Builds a command with devices; gives what it saw of them.
#[track_caller]
fn seen(engine: &Engine, flags: &str, allow: &[&str]) -> String {
    let look = "echo $ONE$TWO$THREE > /seen; test -c /dev/toy && echo toy >> /seen || true";
    let dockerfile = format!("FROM busybox\nRUN {flags} {look}\nCMD cat /seen\n");
    let folder = context(engine, "devices", &[("Dockerfile", &dockerfile)]);
    let build = ["build", "-q", "-t", "seen", &folder];
    engine.corten([&build[..], allow].concat()).ok();
    engine.corten(["run", "--rm", "seen"]).ok()
}

#[test]
fn commands_get_devices_that_the_build_is_allowed() {
    let engine = engine();
    let all = ["--allow", "device"];
    assert_eq!(seen(&engine, "--device=acme.com/toy=one", &all), "1\ntoy\n");
    assert_eq!(seen(&engine, "--device=acme.com/toy=small,required", &all), "1\ntoy\n");
    assert_eq!(seen(&engine, "--device=acme.com/toy", &all), "1\ntoy\n");
    assert_eq!(seen(&engine, "--device=acme.com/toy=*", &all), "123\ntoy\n");
    let named = ["--allow", "device=acme.com/toy=three"];
    let both = "--device=acme.com/toy=three --device=name=acme.com/toy=two,required=true";
    assert_eq!(seen(&engine, both, &named), "23\n");
    assert_eq!(
        seen(&engine, "--device=acme.com/toy=two", &[]),
        "2\n",
        "it says so itself"
    );
    assert_eq!(
        seen(&engine, "--device=acme.com/toy=nosuch", &[]),
        "\n",
        "it is not required"
    );
    assert_eq!(seen(&engine, "", &all), "\n");
}

#[test]
fn devices_that_cannot_be_had_are_named() {
    let engine = engine();
    for (flag, words) in [
        (
            "acme.com/toy=one",
            "device acme.com/toy=one is requested by the build but not allowed",
        ),
        (
            "acme.com/toy=*",
            "device acme.com/toy=one is requested by the build but not allowed",
        ),
        (
            "acme.com/toy=nosuch,required",
            "required device \"acme.com/toy=nosuch\" is not registered",
        ),
        ("acme.com/toy=two,requird", "unexpected key \"requird\""),
        ("required", "it has no name"),
        ("acme.com/=x", "invalid device \"acme.com/=x\""),
    ] {
        let dockerfile = format!("FROM busybox\nRUN --device={flag} true\n");
        let folder = context(&engine, "refused", &[("Dockerfile", &dockerfile)]);
        let said = engine.corten(["build", &folder]).fails(1);
        assert!(said.contains(words), "{flag}: {said}");
    }
    let folder = context(&engine, "plain", &[("Dockerfile", "FROM busybox\n")]);
    let said = engine.corten(["build", "--allow", "devices", &folder]).fails(1);
    assert!(said.contains("invalid entitlement \"devices\""), "{said}");
}
