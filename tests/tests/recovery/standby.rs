//! Engines that die while a container takes ports over from another.

use corten_tests::engine::Engine;
use corten_tests::until;

use crate::scene::{dying_at, has_died};

fn serve(engine: &Engine, name: &str, more: &[&str]) {
    let script = format!("mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 80 -h /www");
    let first = ["run", "-d", "--name", name, "-p", "8080:80"];
    let last = ["busybox", "sh", "-c", &script];
    engine.corten(first.iter().chain(more).chain(&last)).ok();
}

const URLS: [&str; 2] = ["http://127.0.0.1:8080/", "http://[::1]:8080/"];

#[track_caller]
fn answers(engine: &Engine, name: &str) {
    for url in URLS {
        until::is(&format!("{name} answers at {url}"), || {
            engine.try_curl(url).is_some_and(|page| page.trim() == name)
        });
    }
}

/// Dies at a point of a take-over: then `leader` has the port, and the other gets it when that one ends.
#[track_caller]
fn check(point: &str, leader: &str) {
    let mut engine = dying_at(point);
    serve(&engine, "old", &[]);
    answers(&engine, "old");
    serve(&engine, "new", &["--annotation", "corten.stands-by-for=old"]);
    let socket = engine.socket().display().to_string();
    let url = "http://localhost/containers/new/takeover?listening=30";
    let asked = engine
        .sh(&format!("curl -s -X POST --unix-socket {socket} '{url}'"))
        .run();
    assert_ne!(asked.code, 0, "{asked}");
    has_died(&mut engine);
    for url in URLS {
        assert!(engine.try_curl(url).is_some(), "{url} while the engine is down");
    }
    engine.launch();
    answers(&engine, leader);
    let published = engine
        .corten(["ps", "--filter", "publish=8080", "--format", "{{.Names}}"])
        .line();
    assert_eq!(published, leader);
    let other = if leader == "new" { "old" } else { "new" };
    let asked = engine.http("POST", &format!("/containers/{other}/takeover?listening=30"), None);
    assert_eq!(asked.status, 204, "{}", asked.text());
    answers(&engine, other);
    engine.corten(["kill", other]).ok();
    answers(&engine, leader);
    // Nobody holds the port any more when both are gone.
    engine.corten(["rm", "-f", "old", "new"]).ok();
    engine
        .inside(|| std::net::TcpListener::bind("[::]:8080"))
        .expect("the port is free");
}

#[test]
fn a_take_over_that_was_not_noted_has_not_been() {
    check("takeover:published", "old");
}

#[test]
fn a_take_over_that_was_noted_is_made_whole() {
    check("takeover:noted", "new");
}

#[test]
fn a_take_over_without_its_sockets_is_made_whole() {
    check("takeover:left", "new");
}

#[test]
fn a_take_over_that_was_not_recorded_is_known() {
    check("takeover:held", "new");
}

#[test]
fn a_leader_that_ended_while_no_engine_was_there_is_succeeded() {
    let engine = dying_at("none");
    serve(&engine, "old", &[]);
    answers(&engine, "old");
    serve(&engine, "new", &["--annotation", "corten.stands-by-for=old"]);
    let pid = engine.first_pid("old");
    engine.kill();
    assert_eq!(engine.curl(URLS[0]).trim(), "old");
    engine.sh(&format!("kill -9 {pid}")).ok();
    engine.launch();
    answers(&engine, "new");
}
