//! `SIGHUP` applies what `daemon.json` says now.

use corten_tests::{
    engine::{Engine, Options},
    until,
};
use rustix::process::Signal;
use serde_json::json;

/// Writes the file, has the engine read it, and waits until it says that it did.
fn reload(engine: &Engine, file: &serde_json::Value) {
    corten_sys::fs::write(engine.config(), file.to_string()).expect("a file");
    let before = told(engine);
    engine.signal(Signal::HUP);
    until::is("the reload is told", || told(engine) > before);
}

fn told(engine: &Engine) -> usize {
    let log = engine.log();
    log.matches("Reloaded configuration: ").count() + log.matches("the configuration was not reloaded").count()
}

#[test]
fn what_a_reload_may_change() {
    let engine = Engine::start_with(Options {
        config: Some(json!({"labels": ["a=1"]}).to_string()),
        ..Options::default()
    });
    let pid = engine.pid();
    engine
        .corten(["run", "-d", "--name", "kept", "busybox", "sleep", "1000"])
        .ok();
    let since = engine.program("date".as_ref(), ["+%s.%N"]).line();
    reload(
        &engine,
        &json!({
            "labels": ["a=2", "b"], "debug": true, "insecure-registries": ["reg.example:5000"],
            "default-shm-size": "32m", "default-ipc-mode": "shareable", "live-restore": true,
            "max-concurrent-downloads": 7, "shutdown-timeout": 20, "mtu": 1400,
        }),
    );
    let info = engine.get("/info");
    assert_eq!((&info["Labels"], &info["Debug"]), (&json!(["a=2", "b"]), &json!(true)));
    assert_eq!(
        info["RegistryConfig"]["IndexConfigs"]["reg.example:5000"]["Secure"],
        json!(false)
    );
    let log = engine.log();
    let config = engine.config();
    assert!(
        log.contains(&format!(
            "Got signal to reload configuration, reloading from: {}",
            config.display()
        )),
        "{log}"
    );
    assert!(log.contains("only a restart applies the new mtu"), "{log}");
    assert!(log.contains("level=debug"), "{log}");
    // Containers that are made from now on have the new defaults; those that run are left alone.
    engine
        .corten(["run", "-d", "--name", "new", "busybox", "sleep", "1000"])
        .ok();
    assert_eq!(
        engine.inspect("new", "{{.HostConfig.ShmSize}} {{.HostConfig.IpcMode}}"),
        "33554432 shareable"
    );
    assert_eq!(
        engine.inspect("kept", "{{.State.Running}} {{.HostConfig.IpcMode}}"),
        "true private"
    );
    engine
        .corten(["run", "--rm", "--ipc", "container:new", "busybox", "true"])
        .ok();
    let shm = engine.corten(["exec", "new", "df", "-k", "/dev/shm"]).ok();
    assert!(shm.contains(" 32768 "), "{shm}");
    let until = engine.program("date".as_ref(), ["+%s.%N"]).line();
    let events = engine
        .corten([
            "events",
            "--since",
            &since,
            "--until",
            &until,
            "--filter",
            "type=daemon",
            "--format",
            "{{json .}}",
        ])
        .ok();
    let event: serde_json::Value = serde_json::from_str(events.trim()).unwrap_or_else(|e| panic!("{e}: {events}"));
    assert_eq!((&event["Type"], &event["Action"]), (&json!("daemon"), &json!("reload")));
    let attributes = &event["Actor"]["Attributes"];
    for (name, value) in [
        ("labels", r#"["a=2","b"]"#),
        ("debug", "true"),
        ("insecure-registries", r#"["reg.example:5000"]"#),
        ("max-concurrent-downloads", "7"),
        ("max-download-attempts", "5"),
        ("default-shm-size", "33554432"),
        ("default-ipc-mode", "shareable"),
        ("shutdown-timeout", "20"),
        ("live-restore", "true"),
        ("features", "map[]"),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    assert_eq!(engine.pid(), pid);
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let engine = Engine::start_with(Options {
        config: Some(json!({"labels": ["a=1"]}).to_string()),
        ..Options::default()
    });
    for (file, words) in [
        (json!({"labels": ["a=2"], "nosuch": 1}), "nosuch"),
        (
            json!({"labels": ["a=2"], "max-concurrent-downloads": -1}),
            "max concurrent downloads",
        ),
        (
            json!({"labels": ["a=2"], "authorization-plugins": ["nobody"]}),
            "nobody",
        ),
        (
            json!({"labels": ["a=2"], "registry-mirrors": ["x"]}),
            "registry-mirrors",
        ),
    ] {
        reload(&engine, &file);
        assert_eq!(engine.get("/info")["Labels"], json!(["a=1"]), "{file}");
        let log = engine.log();
        let last = log.lines().last().unwrap_or_default();
        assert!(
            last.contains("the configuration was not reloaded") && last.contains(words),
            "{last}"
        );
    }
    reload(&engine, &json!({"labels": ["a=3"]}));
    assert_eq!(engine.get("/info")["Labels"], json!(["a=3"]));
}
