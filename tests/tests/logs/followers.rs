//! Lines on their way: receivers that are away, slow or dead, and an engine that dies.

use std::net::TcpListener;

use corten_tests::engine::{Engine, Options};
use corten_tests::receivers::{forward::Forward, gelf::Gelf};
use corten_tests::until;
use serde_json::Value;

use crate::run;

const TCP: &str = "gelf-address=tcp://127.0.0.1:12201";

fn texts(messages: &[Value]) -> Vec<String> {
    let text = |message: &Value| message["short_message"].as_str().unwrap_or_default().to_owned();
    messages.iter().map(text).collect()
}

fn numbers(last: usize) -> Vec<String> {
    (1..=last).map(|number| number.to_string()).collect()
}

/// Whether logs of removed containers still wait.
fn waiting(engine: &Engine) -> usize {
    corten_sys::fs::read_dir(engine.data_root().join("undelivered")).map_or(0, Iterator::count)
}

#[test]
fn a_receiver_that_comes_late_gets_everything() {
    let engine = Engine::start();
    run(&engine, &["--name", "early"], "gelf", &[TCP], "seq 3000").ok();
    assert_eq!(engine.corten(["logs", "--tail", "1", "early"]).ok(), "3000\n");
    until::is("the engine says that it waits", || {
        engine.log().contains("connection refused")
    });
    let gelf = Gelf::tcp(&engine, 12201);
    assert_eq!(texts(&gelf.wait_for(3000)), numbers(3000));
}

#[test]
fn lines_of_a_removed_container_are_delivered() {
    let engine = Engine::start();
    run(&engine, &["--rm"], "gelf", &[TCP], "seq 100").ok();
    until::is("it is removed", || engine.corten(["ps", "-aq"]).ok().is_empty());
    assert_eq!(waiting(&engine), 1);
    engine.crash();
    let gelf = Gelf::tcp(&engine, 12201);
    assert_eq!(texts(&gelf.wait_for(100)), numbers(100));
    until::is("nothing is kept", || waiting(&engine) == 0);
}

#[test]
fn an_engine_that_dies_loses_nothing_and_repeats_little() {
    let engine = Engine::start();
    let forward = Forward::tcp(&engine, 24224);
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done";
    let options = ["fluentd-request-ack=true"];
    run(&engine, &["-d", "--name", "box"], "fluentd", &options, script).ok();
    let mut crashes = 0;
    while engine.inspect("box", "{{.State.Status}}") == "running" || crashes < 3 {
        engine.crash();
        crashes += 1;
    }
    let is_last = |forward: &Forward| {
        forward
            .events()
            .last()
            .is_some_and(|event| event.record["log"] == "20000")
    };
    until::is("the last line is there", || is_last(&forward));
    let mut received: Vec<usize> = forward
        .events()
        .iter()
        .map(|event| event.record["log"].parse().unwrap())
        .collect();
    let all = received.len();
    received.sort_unstable();
    received.dedup();
    assert_eq!(received, (1..=20_000).collect::<Vec<_>>());
    // A batch for each crash at most: half a megabyte of the log, whose lines have 70 bytes or more.
    let batch = (512 << 10) / 70;
    assert!(all - received.len() <= crashes * batch, "{all} in {crashes} crashes");
    engine.corten(["rm", "-f", "box"]).ok();
}

#[test]
fn what_is_written_while_the_engine_is_down_is_delivered_when_it_is_back() {
    let engine = Engine::start();
    let gelf = Gelf::tcp(&engine, 12201);
    let script = "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo meanwhile";
    let folder = engine.work().join("shared");
    corten_sys::fs::create_dir_all(&folder).unwrap();
    let volume = format!("{}:/tmp", folder.display());
    run(&engine, &["-d", "--name", "box", "-v", &volume], "gelf", &[TCP], script).ok();
    gelf.wait_for(1);
    let id = engine.inspect("box", "{{.Id}}");
    engine.kill();
    corten_sys::fs::write(folder.join("go"), "").unwrap();
    let log = engine
        .data_root()
        .join("containers")
        .join(id)
        .join("local-logs/container-cached.log");
    until::is("the shim has written it", || {
        corten_sys::fs::read_to_string(&log).is_ok_and(|text| text.contains("meanwhile"))
    });
    engine.launch();
    assert_eq!(texts(&gelf.wait_for(2)), ["before", "meanwhile"]);
}

#[test]
fn a_receiver_that_takes_nothing_holds_nobody_up() {
    let engine = Engine::start();
    // It accepts connections, by the kernel, and never reads.
    let listener = engine.inside(|| TcpListener::bind("127.0.0.1:12201")).unwrap();
    let script = "yes 0123456789012345678901234567890123456789 | head -n 300000";
    run(&engine, &["-d", "--name", "busy"], "gelf", &[TCP], script).ok();
    assert_eq!(engine.corten(["wait", "busy"]).ok(), "0\n");
    assert_eq!(engine.corten(["logs", "--tail", "1", "busy"]).ok().len(), 41);
    engine.corten(["rm", "busy"]).ok();
    drop(listener);
}

/// How many of the lines 1 to 5000 are missing: where they are, a marker says so.
#[track_caller]
fn missing(texts: &[String]) -> usize {
    let (mut last, mut told, mut missing) = (0, false, 0);
    for text in texts {
        let Ok(number) = text.parse::<usize>() else {
            assert!(
                text.starts_with("corten: lines between") && text.contains("the log was rotated"),
                "{text}"
            );
            told = true;
            continue;
        };
        assert!(number == last + 1 || told, "{number} after {last}");
        missing += number - last - 1;
        (last, told) = (number, false);
    }
    assert_eq!(last, 5000);
    missing
}

#[test]
fn a_burst_at_the_very_start_is_told_too() {
    let engine = Engine::start();
    let options = [TCP, "cache-max-size=20k", "cache-max-file=2"];
    run(&engine, &["-d", "--name", "burst"], "gelf", &options, "seq 5000").ok();
    engine.corten(["wait", "burst"]).ok();
    let gelf = Gelf::tcp(&engine, 12201);
    until::is("the last line is there", || {
        texts(&gelf.messages()).last().is_some_and(|text| text == "5000")
    });
    let texts = texts(&gelf.messages());
    assert!(missing(&texts) > 0);
    // The file that it began with was held.
    assert_eq!(texts[0], "1");
    // One file, all of it: nothing is missing, and nothing is said.
    let options = [TCP, "cache-max-size=1m", "cache-max-file=1"];
    run(&engine, &["--name", "whole"], "gelf", &options, "seq 5000").ok();
    until::is("the last line is there", || gelf.messages().len() == texts.len() + 5000);
}

#[test]
fn lines_rotated_away_are_told() {
    let engine = Engine::start();
    let options = [TCP, "cache-max-size=20k", "cache-max-file=2"];
    // The follower has found its place before lines are rotated away.
    let script = "echo 1; while [ ! -e /go ]; do sleep 0.05; done; seq 2 5000";
    run(&engine, &["-d", "--name", "much"], "gelf", &options, script).ok();
    until::is("the engine says that it waits", || {
        engine.log().contains("connection refused")
    });
    engine.corten(["exec", "much", "touch", "/go"]).ok();
    engine.corten(["wait", "much"]).ok();
    let gelf = Gelf::tcp(&engine, 12201);
    until::is("the last line is there", || {
        texts(&gelf.messages()).last().is_some_and(|text| text == "5000")
    });
    assert!(missing(&texts(&gelf.messages())) > 0);
}

#[test]
fn a_bounded_buffer_keeps_the_newest() {
    let engine = Engine::start();
    let options = [TCP, "mode=non-blocking", "max-buffer-size=10k"];
    run(&engine, &["--name", "much"], "gelf", &options, "seq 5000").ok();
    until::is("the engine gives lines up", || {
        engine.log().contains("more waited than the buffer may hold")
    });
    let gelf = Gelf::tcp(&engine, 12201);
    until::is("the last line is there", || {
        texts(&gelf.messages()).last().is_some_and(|text| text == "5000")
    });
    let received = texts(&gelf.messages());
    assert!(
        received[0].contains("more waited than the buffer may hold"),
        "{}",
        received[0]
    );
    assert!(received.len() < 300, "{}", received.len());
    assert_eq!(engine.corten(["logs", "much"]).ok().lines().count(), 5000);
}

#[test]
fn lines_are_given_up_after_as_many_tries_as_asked_for() {
    let engine = Engine::start();
    let options = [TCP, "gelf-tcp-max-reconnect=1", "gelf-tcp-reconnect-delay=0"];
    run(&engine, &["--name", "few"], "gelf", &options, "seq 10").ok();
    until::is("the engine gives lines up", || {
        engine.log().contains("are not delivered")
    });
    let gelf = Gelf::tcp(&engine, 12201);
    let marker = texts(&gelf.wait_for(1)).remove(0);
    assert!(marker.starts_with("corten: 10 lines between"), "{marker}");
    assert!(marker.contains("connection refused"), "{marker}");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let engine = Engine::start_with(Options::default());
    let gelf = Gelf::tcp(&engine, 12201);
    run(&engine, &["--name", "again"], "gelf", &[TCP], "echo once").ok();
    gelf.wait_for(1);
    engine.corten(["start", "-a", "again"]).ok();
    gelf.wait_for(2);
    engine.corten(["rename", "again", "other"]).ok();
    engine.corten(["start", "-a", "other"]).ok();
    let messages = gelf.wait_for(3);
    assert_eq!(texts(&messages), ["once"; 3]);
    assert_eq!(messages[2]["_container_name"], "other");
}

#[test]
fn a_crash_in_a_removal_or_a_delivery_loses_no_line() {
    for point in ["remove:noted", "remove:log", "delivery:noted"] {
        let mut engine = Engine::start_with(Options {
            env: vec![("CORTEN_CRASH_AT".to_owned(), point.to_owned())],
            ..Options::default()
        });
        // The engine may die before the command has its answer.
        let gelf = (point == "delivery:noted").then(|| Gelf::tcp(&engine, 12201));
        let _ = run(&engine, &["-d"], "gelf", &[TCP], "seq 100").run();
        if gelf.is_none() {
            until::is("it has ended", || engine.corten(["ps", "-q"]).ok().is_empty());
            let id = engine.corten(["ps", "-alq"]).line();
            let _ = engine.corten(["rm", &id]).run();
        }
        let _ = engine.wait_end();
        engine.set_env(&[]);
        engine.launch();
        let gelf = gelf.unwrap_or_else(|| Gelf::tcp(&engine, 12201));
        until::is("the last line is there", || {
            texts(&gelf.messages()).last().is_some_and(|text| text == "100")
        });
        let mut received = texts(&gelf.messages());
        received.dedup();
        assert_eq!(received, numbers(100), "{point}");
        until::is("nothing is kept", || waiting(&engine) == 0);
    }
}
