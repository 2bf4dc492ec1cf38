//! `--metrics-addr`.

use corten_tests::engine::{Engine, Options};

#[test]
fn prometheus_finds_what_the_engine_does() {
    let engine = Engine::start_with(Options::with_flags(&["--metrics-addr=127.0.0.1:9323"]));
    engine
        .corten(["run", "-d", "--name", "one", "busybox", "sleep", "1000"])
        .ok();
    engine.corten(["create", "--name", "two", "busybox", "true"]).ok();
    let text = engine.curl("http://127.0.0.1:9323/metrics");
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.trim()
            .parse::<f64>()
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let is = |name: &str, expected: f64| assert!((value(name) - expected).abs() < f64::EPSILON, "{name} in\n{text}");
    is("engine_daemon_container_states_containers{state=\"running\"}", 1.0);
    is("engine_daemon_container_states_containers{state=\"paused\"}", 0.0);
    is("engine_daemon_container_states_containers{state=\"stopped\"}", 1.0);
    is("engine_daemon_container_actions_seconds_count{action=\"start\"}", 1.0);
    is("engine_daemon_container_actions_seconds_count{action=\"create\"}", 2.0);
    is(
        "engine_daemon_container_actions_seconds_bucket{action=\"start\",le=\"+Inf\"}",
        1.0,
    );
    assert!(value("engine_daemon_container_actions_seconds_sum{action=\"start\"}") > 0.0);
    assert!(value("engine_daemon_events_total") >= 4.0);
    assert!(value("engine_daemon_engine_memory_bytes") > 1e6 && value("engine_daemon_engine_cpus_cpus") >= 1.0);
    assert!(value("process_resident_memory_bytes") > 1e6 && value("process_open_fds") > 3.0);
    assert!(text.contains("engine_daemon_engine_info{architecture="), "{text}");
    // Every figure has its kind and what it means.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
    }
    // The API is not there.
    let status = |path: &str| {
        let url = format!("http://127.0.0.1:9323{path}");
        engine
            .program("curl".as_ref(), ["-s", "-o", "/dev/null", "-w", "%{http_code}", &url])
            .ok()
    };
    assert_eq!(
        (status("/containers/json"), status("/")),
        ("404".to_owned(), "404".to_owned())
    );
}

#[test]
fn an_address_that_is_taken_stops_the_start() {
    let engine = Engine::prepared(Options::with_flags(&["--metrics-addr=127.0.0.1:5000"]));
    engine.spawn();
    assert_eq!(engine.wait_end(), 1);
    assert!(
        engine.log().contains("cannot listen on 127.0.0.1:5000 for metrics"),
        "{}",
        engine.log()
    );
}
