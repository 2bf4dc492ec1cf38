//! Options that make no sense, in Docker's words, and where options come from.

use corten_tests::engine::{Engine, Options};

use crate::run;

#[test]
fn bad_options_are_refused_at_create() {
    let engine = Engine::start();
    let check = |driver: &str, options: &[&str], expected: &str| {
        let finished = run(&engine, &["--rm"], driver, options, "true").run();
        // As Docker's command line, which takes a missing file for a missing program.
        let code = if expected.contains("no such file") { 127 } else { 125 };
        assert_eq!(finished.code, code, "{driver} {options:?}: {finished}");
        let refusal = finished.stderr;
        let expected = format!("Error response from daemon: {expected}");
        assert!(refusal.contains(&expected), "{driver} {options:?}: {refusal}");
    };
    check("json-file", &["max-size=x"], "invalid size: 'x'");
    check("json-file", &["tag={{.Nope"], "template: log-tag:1: unclosed action");
    check(
        "json-file",
        &["syslog-address=udp://h"],
        "unknown log opt 'syslog-address' for json-file log driver",
    );
    check("local", &["nope=1"], "unknown log opt 'nope' for log driver local");
    check(
        "local",
        &["max-file=1"],
        "compression cannot be enabled when max file count is 1",
    );
    check("syslog", &["syslog-address=http://h"], "unsupported scheme: 'http'");
    check(
        "syslog",
        &["syslog-address=127.0.0.1:514"],
        "parse \"127.0.0.1:514\": first path segment in URL cannot contain colon",
    );
    check(
        "syslog",
        &["syslog-address=unixgram:///nowhere"],
        "stat /nowhere: no such file or directory",
    );
    check("syslog", &["syslog-facility=loud"], "invalid syslog facility");
    check("syslog", &["syslog-format=x"], "Invalid syslog format");
    check(
        "syslog",
        &["syslog-address=tcp+tls://h", "syslog-tls-ca-cert=/nowhere"],
        "could not read CA certificate \"/nowhere\": open /nowhere: no such file or directory",
    );
    check("gelf", &[], "gelf-address is a required parameter");
    check(
        "gelf",
        &["gelf-address=tcp://h:1", "gelf-compression-level=1"],
        "compression is only supported on UDP",
    );
    check(
        "fluentd",
        &["fluentd-address=udp://h"],
        "invalid fluentd-address (udp://h): unsupported scheme: 'udp'",
    );
    check("journald", &["x=y"], "unknown log opt 'x' for journald log driver");
    check(
        "json-file",
        &["mode=sometimes"],
        "logger: logging mode not supported: sometimes",
    );
    check(
        "json-file",
        &["max-buffer-size=1m"],
        "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
    );
    check("awslogs", &[], "the log driver \"awslogs\" is not supported");
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn the_engine_has_defaults_and_lists_its_drivers() {
    let config = r#"{"log-driver":"local","log-opts":{"max-size":"1m","cache-max-file":"3"}}"#;
    let engine = Engine::start_with(Options {
        config: Some(config.to_owned()),
        ..Options::default()
    });
    let drivers = engine
        .corten(["info", "-f", "{{.LoggingDriver}} {{.Plugins.Log}}"])
        .line();
    assert_eq!(drivers, "local [fluentd gelf journald json-file local syslog]");
    engine.corten(["create", "--name", "plain", "busybox"]).ok();
    let shown = "{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}} {{.LogPath}}";
    assert_eq!(
        engine.inspect("plain", shown),
        "local map[cache-max-file:3 max-size:1m]"
    );
    engine
        .corten([
            "create",
            "--name",
            "own",
            "--log-driver",
            "gelf",
            "--log-opt",
            "gelf-address=udp://h:1",
            "busybox",
        ])
        .ok();
    assert_eq!(
        engine.inspect("own", shown),
        "gelf map[cache-max-file:3 gelf-address:udp://h:1]"
    );
}

#[test]
fn an_engine_with_bad_log_options_does_not_start() {
    let engine = Engine::prepared(Options {
        config: Some(r#"{"log-driver":"syslog","log-opts":{"syslog-format":"x"}}"#.to_owned()),
        ..Options::default()
    });
    engine.spawn();
    assert_ne!(engine.wait_end(), 0);
    assert!(
        engine.log().contains("failed to set log opts: Invalid syslog format"),
        "{}",
        engine.log()
    );
}

#[test]
fn a_log_without_a_copy_to_read_is_not_read() {
    let engine = Engine::start();
    let options = ["gelf-address=udp://127.0.0.1:1", "cache-disabled=true"];
    run(&engine, &["--name", "hidden"], "gelf", &options, "echo x").ok();
    let refusal = engine.corten(["logs", "hidden"]).fails(1);
    assert!(
        refusal.contains("configured logging driver does not support reading"),
        "{refusal}"
    );
}
