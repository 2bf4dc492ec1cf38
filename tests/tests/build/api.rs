//! `POST /build` as SDKs use it, and the real Docker command line with DOCKER_BUILDKIT=0.

use corten_tests::command::Finished;
use corten_tests::engine::Engine;

use crate::{context, engine};

/// Digits of ids become `#`.
fn masked(text: &str) -> String {
    let is_id = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lines = text.lines().map(|line| {
        let words = line.split(' ').map(|word| if is_id(word) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn docker(engine: &Engine, arguments: &[&str]) -> Option<Finished> {
    Some(engine.docker(arguments)?.env("DOCKER_BUILDKIT", "0").run())
}

#[test]
fn docker_s_classic_builder_finds_its_text() {
    let engine = engine();
    let folder = context(
        &engine,
        "classic",
        &[("Dockerfile", "FROM busybox\nLABEL x=y\nRUN echo classic\n")],
    );
    let Some(finished) = docker(&engine, &["build", "-t", "classic:1", &folder]) else {
        return;
    };
    assert_eq!(finished.code, 0, "{finished}");
    let text = masked(&finished.stdout);
    let after = text.split_once("Step 1/3").map_or("", |(_, after)| after);
    assert_eq!(
        after,
        " : FROM busybox\n ---> #\nStep 2/3 : LABEL x=y\n ---> Running in #\n ---> Removed intermediate container #\n ---> #\n\
         Step 3/3 : RUN echo classic\n ---> Running in #\nclassic\n ---> Removed intermediate container #\n ---> #\n\
         Successfully built #\nSuccessfully tagged classic:1"
    );
    let again = docker(&engine, &["build", "-t", "classic:1", &folder]).expect("docker");
    assert_eq!(again.stdout.matches(" ---> Using cache\n").count(), 2, "{again}");
    let quiet = docker(&engine, &["build", "-q", &folder]).expect("docker");
    assert_eq!(
        quiet.stdout.trim(),
        engine.corten(["images", "-q", "--no-trunc", "classic"]).line()
    );
}

#[test]
fn docker_s_classic_builder_finds_its_errors() {
    let engine = engine();
    let folder = context(&engine, "errors", &[("Dockerfile", "FROM busybox\nRUN exit 4\n")]);
    let Some(finished) = docker(&engine, &["build", "--force-rm", &folder]) else {
        return;
    };
    assert_eq!(finished.code, 4, "{finished}");
    assert!(
        finished
            .stderr
            .ends_with("The command '/bin/sh -c exit 4' returned a non-zero code: 4\n"),
        "{finished}"
    );
    let bad = context(&engine, "bad", &[("Dockerfile", "FROM busybox\nNOPE x\n")]);
    let finished = docker(&engine, &["build", &bad]).expect("docker");
    assert_eq!(finished.code, 1, "{finished}");
    assert!(
        finished.stderr.ends_with(
            "Error response from daemon: dockerfile parse error on line 2: unknown instruction: NOPE (did you mean COPY?)\n"
        ),
        "{finished}"
    );
}

#[test]
fn flags_reach_the_steps() {
    let engine = engine();
    engine.corten(["network", "create", "own"]).ok();
    let dockerfile = "FROM busybox\nRUN cat /etc/hosts > /h; df -k /dev/shm | tail -1 > /s; ulimit -n > /u; ls /sys/class/net > /n\n\
                      CMD grep -c 1.2.3.4 /h; cat /u; grep -c eth0 /n; grep -c 2048 /s\n";
    let folder = context(&engine, "flags", &[("Dockerfile", dockerfile)]);
    let flags = [
        "--add-host",
        "given:1.2.3.4",
        "--shm-size",
        "2m",
        "--ulimit",
        "nofile=100:100",
        "--network",
        "own",
    ];
    let arguments = [&["build", "-q", "-t", "flags"][..], &flags, &[folder.as_str()]].concat();
    engine.corten(arguments.clone()).ok();
    assert_eq!(engine.corten(["run", "--rm", "flags"]).ok(), "1\n100\n1\n1\n");
    let none = engine
        .corten(["build", "-q", "--network", "none", "-t", "none", &folder])
        .run();
    assert_eq!(none.code, 0, "{none}");
    assert_eq!(
        engine
            .corten(["run", "--rm", "none", "grep", "-c", "eth0", "/n"])
            .run()
            .stdout,
        "0\n"
    );
}

#[test]
fn resource_limits_are_the_steps_not_the_runtimes() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN test \"$(ulimit -n) $(ulimit -Hn)\" = \"8 9\"\n";
    let folder = context(&engine, "few", &[("Dockerfile", dockerfile)]);
    engine.corten(["build", "-q", "--ulimit", "nofile=8:9", &folder]).ok();
}

#[test]
fn the_route_refuses_what_cannot_be() {
    let engine = engine();
    let status = |path: &str| engine.http("POST", path, None).status;
    assert_eq!(status("/build?version=2"), 501);
    assert_eq!(status("/build?squash=1"), 400);
    assert_eq!(status("/build?memory=x"), 500);
    assert_eq!(status("/build?remote=ftp%3A%2F%2Fx%2Fy"), 400);
    assert_eq!(status("/build/cancel"), 400);
    assert_eq!(status("/build/cancel?id=x"), 200);
    assert_eq!(status("/session"), 400);
    assert_eq!(status("/grpc"), 400);
}

#[test]
fn a_build_that_is_cancelled_by_name_ends() {
    let engine = engine();
    let folder = context(
        &engine,
        "named",
        &[("Dockerfile", "FROM busybox\nRUN echo begun; sleep 1000\n")],
    );
    engine.sh(&format!("tar -C {folder} -cf {folder}.tar .")).ok();
    let socket = engine.socket();
    let curl = format!(
        "curl -sN --unix-socket {} -X POST -H 'Content-Type: application/x-tar' --data-binary @{folder}.tar 'http://x/build?buildid=mine'",
        socket.display()
    );
    let mut build = engine.sh(&curl).spawn();
    build.wait_for("begun");
    assert_eq!(engine.http("POST", "/build/cancel?id=mine", None).status, 200);
    let said = build.wait().stdout;
    assert!(said.contains("the build was cancelled"), "{said}");
}

#[test]
fn base_images_are_fetched_by_the_classic_builder() {
    let engine = Engine::start();
    let folder = context(&engine, "far", &[("Dockerfile", "FROM busybox\nRUN echo far >&2\n")]);
    let built = sent(&engine, &folder, "t=far");
    assert!(built.contains("Pulling from library/busybox"), "{built}");
    // Docker shows standard error in red.
    assert!(built.contains(r#"{"stream":"\u001b[91mfar\n\u001b[0m"}"#), "{built}");
    assert!(built.contains("Successfully tagged far:latest"), "{built}");
}

#[test]
fn steps_are_taken_only_from_images_that_are_named() {
    let engine = engine();
    let folder = context(
        &engine,
        "from",
        &[("Dockerfile", "FROM busybox\nENV A=b\nRUN touch /a\nRUN touch /b\n")],
    );
    let cached = |parameters: &str| sent(&engine, &folder, parameters).matches("Using cache").count();
    assert_eq!(cached("t=one"), 0);
    assert_eq!(cached("t=two&cachefrom=%5B%22one%22%5D"), 3);
    assert_eq!(cached("t=three&cachefrom=%5B%22nosuch%22%5D"), 0);
    assert_eq!(cached("t=four"), 3);
}

/// Sends a folder to the classic builder and gives what that answers.
fn sent(engine: &Engine, folder: &str, parameters: &str) -> String {
    engine
        .sh(&format!(
            "tar -C {folder} -c . | curl -sN --max-time 60 --unix-socket {} -X POST -H 'Content-Type: application/x-tar' \
             --data-binary @- 'http://x/build?{parameters}'",
            engine.socket().display()
        ))
        .ok()
}
