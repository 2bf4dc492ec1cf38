//! What administrators write: flags, `daemon.json`, places.

use corten_tests::command::Call;
use corten_tests::engine::{Engine, Options};
use corten_tests::programs;

/// Validates a configuration of an engine that is not running.
fn validate(engine: &Engine, config: &str, flags: &[&str]) -> corten_tests::command::Finished {
    corten_sys::fs::write(engine.config(), config).expect("a file");
    let config = engine.config();
    let fixed = [
        "daemon",
        "--validate",
        "--config-file",
        config.to_str().expect("a plain path"),
    ];
    engine.corten(fixed.iter().chain(flags)).run()
}

#[test]
fn configuration_files_are_checked() {
    let engine = Engine::prepared(Options::default());
    let good = validate(&engine, r#"{"debug": true, "log-opts": {"max-size": "1m"}}"#, &[]);
    assert_eq!((good.code, good.stderr.trim()), (0, "configuration OK"), "{good}");
    for (config, flags, words) in [
        ("{", &[][..], "unable to configure the Docker daemon with file"),
        (
            r#"{"bogus": 1}"#,
            &[],
            "the following directives don't match any configuration option: bogus",
        ),
        (
            r#"{"debug": true}"#,
            &["--debug"],
            "the following directives are specified both as a flag and in the configuration file: debug",
        ),
        (r#"{"debug": "yes"}"#, &[], "debug"),
        (r#"{"bip": "nowhere"}"#, &[], "nowhere"),
        (
            "{}",
            &["-b", "br0", "--bip", "10.0.0.1/24"],
            "You specified -b & --bip, mutually exclusive options. Please specify only one",
        ),
        (
            r#"{"bridge": "br0"}"#,
            &["--bip6", "fd00::1/64"],
            "You specified -b & --bip6, mutually exclusive options.",
        ),
        (r#"{"registry-mirrors": ["ftp://x"]}"#, &[], "ftp"),
        (r#"{"hosts": ["bogus://x"]}"#, &[], "bogus"),
        (r#"{"max-concurrent-downloads": -1}"#, &[], "max concurrent downloads"),
    ] {
        let finished = validate(&engine, config, flags);
        assert_ne!(finished.code, 0, "{config}: {finished}");
        assert!(finished.stderr.contains(words), "{config}: no {words:?} in {finished}");
    }
    let finished = engine.corten(["daemon", "--bogus"]).run();
    assert_eq!(finished.code, 125, "{finished}");
    assert!(finished.stderr.contains("unknown flag: --bogus"), "{finished}");
}

#[test]
fn a_second_engine_on_the_same_root_is_refused() {
    let engine = Engine::start();
    let mut command = engine.daemon();
    command
        .arg("--host")
        .arg(format!("unix://{}/other", engine.work().display()));
    let finished = Call::new(command, None).run();
    assert_ne!(finished.code, 0, "{finished}");
    assert_eq!(engine.http("GET", "/_ping", None).status, 200);
}

#[test]
fn a_socket_that_nobody_listens_on() {
    let engine = Engine::start();
    let finished = engine.corten(["-H", "unix:///nonexistent/sock", "ps"]).run();
    assert_eq!(finished.code, 1);
    assert!(
        finished
            .stderr
            .contains("Cannot connect to the Docker daemon at unix:///nonexistent/sock. Is the docker daemon running?"),
        "{finished}"
    );
    // What an engine that was killed leaves behind is no obstacle to the next.
    engine.kill();
    assert!(engine.socket().exists());
    engine.corten(["ps"]).fails(1);
    engine.launch();
    engine.corten(["ps"]).ok();
}

#[test]
fn without_root() {
    let engine = Engine::start();
    let corten = programs::corten();
    // Readable for everybody, as an installed one is.
    let copy = engine.work().join("corten");
    corten_sys::fs::copy(&corten, &copy).unwrap();
    corten_sys::fs::set_mode(&copy, 0o755).unwrap();
    let as_nobody = |arguments: &str| {
        engine
            .sh(&format!(
                "setpriv --reuid 65534 --regid 65534 --clear-groups {} {arguments}",
                copy.display()
            ))
            .run()
    };
    let finished = as_nobody("ps");
    assert_eq!(finished.code, 1);
    assert!(
        finished
            .stderr
            .contains("permission denied while trying to connect to the docker API"),
        "{finished}"
    );
    let finished = as_nobody("daemon --data-root /nonexistent/d --exec-root /nonexistent/e -H unix:///nonexistent/s");
    assert_ne!(finished.code, 0);
    assert!(finished.stderr.contains("root"), "{finished}");
    assert_eq!(as_nobody("--version").code, 0);
}
