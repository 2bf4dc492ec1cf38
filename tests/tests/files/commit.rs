//! `commit`, `diff` and `export`.

use corten_tests::{engine::Engine, programs, until};
use serde_json::json;

#[test]
fn a_committed_container_is_an_image_like_others() {
    let engine = Engine::start();
    let script = "echo new > /made; rm /bin/wget; rm -r /var/spool; mkdir -p /var/spool/own; ln /made /again; mkdir -m 700 /private; chown 12:34 /private";
    engine
        .corten(["run", "--name", "from", "-e", "KEPT=1", "busybox", "sh", "-c", script])
        .ok();
    let id = engine
        .corten([
            "commit",
            "-a",
            "me",
            "-m",
            "my words",
            "-c",
            "CMD [\"cat\", \"/made\"]",
            "-c",
            "ENV MORE=$KEPT$KEPT",
            "from",
            "own:1",
        ])
        .line();
    assert_eq!(engine.corten(["run", "--rm", "own:1"]).ok(), "new\n");
    let script = "stat -c '%h %u:%g %a' /again /private; ls /bin/wget /var/spool 2>&1; echo $KEPT $MORE";
    let seen = engine.corten(["run", "--rm", "own:1", "sh", "-c", script]).ok();
    assert_eq!(
        seen,
        "2 0:0 644\n1 12:34 700\nls: /bin/wget: No such file or directory\n/var/spool:\nown\n1 11\n"
            .replace("1 12:34", "2 12:34"),
    );
    let history = engine
        .corten(["history", "--format", "{{.CreatedBy}}|{{.Comment}}", "own:1"])
        .ok();
    assert!(history.lines().next().unwrap().ends_with("|my words"), "{history}");
    let parent = engine.corten(["image", "inspect", "-f", "{{.Parent}}", "own:1"]).line();
    assert_eq!(
        parent,
        engine.corten(["image", "inspect", "-f", "{{.Id}}", "busybox"]).line()
    );
    // Saved, removed and loaded it is the same.
    let tar = engine.work().join("own.tar");
    engine.corten(["save", "-o", &tar.to_string_lossy(), "own:1"]).ok();
    engine.corten(["rmi", "own:1"]).ok();
    engine.corten(["load", "-q", "-i", &tar.to_string_lossy()]).ok();
    assert_eq!(engine.corten(["image", "inspect", "-f", "{{.Id}}", "own:1"]).line(), id);
    assert_eq!(engine.corten(["run", "--rm", "own:1"]).ok(), "new\n");
}

#[test]
fn nothing_of_the_runtime_is_committed_or_told() {
    let engine = Engine::start();
    let folder = engine.work().join("bare");
    corten_sys::fs::create_dir_all(folder.join("bin")).unwrap();
    let busybox = engine.corten(["create", "busybox"]).line();
    let corten = programs::corten().display().to_string();
    engine
        .sh(&format!(
            "{corten} export {busybox} | tar -C {0} -xf - bin/busybox && tar -C {0} -c . | {corten} import - bare",
            folder.display()
        ))
        .ok();
    engine
        .corten(["run", "--name", "plain", "bare", "/bin/busybox", "true"])
        .ok();
    assert_eq!(engine.corten(["diff", "plain"]).ok(), "");
    engine
        .corten(["run", "--name", "some", "bare", "/bin/busybox", "mkdir", "/etc/own"])
        .ok();
    assert_eq!(engine.corten(["diff", "some"]).ok(), "A /etc\nA /etc/own\n");
    engine.corten(["commit", "some", "committed"]).ok();
    let id = engine.corten(["create", "committed", "/bin/busybox"]).line();
    let names = engine
        .sh(&format!("{corten} export {id} | tar -t | sed 's,/$,,' | sort"))
        .ok();
    assert_eq!(names, "bin\nbin/busybox\netc\netc/own\n");
}

#[test]
fn a_container_is_frozen_while_it_is_committed() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "runs", "busybox", "sleep", "1000"])
        .ok();
    let mut events = engine
        .corten([
            "events",
            "--since",
            "1",
            "--filter",
            "container=runs",
            "--format",
            "{{.Action}}",
        ])
        .spawn();
    engine.corten(["commit", "runs", "one"]).ok();
    engine.corten(["commit", "--pause=false", "runs", "two"]).ok();
    let told = events.wait_for("commit\ncommit\n");
    assert!(told.contains("start\npause\nunpause\ncommit\ncommit\n"), "{told}");
    events.signal(rustix::process::Signal::INT);
    assert_eq!(engine.inspect("runs", "{{.State.Status}}"), "running");
}

#[test]
fn an_engine_that_dies_in_a_commit_leaves_nothing_frozen() {
    let mut engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "runs", "busybox", "sleep", "1000"])
        .ok();
    for point in ["commit:noted", "commit:frozen"] {
        engine.stop();
        engine.set_env(&[("CORTEN_CRASH_AT", point)]);
        engine.launch();
        engine.corten(["commit", "runs", "never"]).run();
        until::is("the engine died", || !engine.is_running());
        engine.set_env(&[]);
        engine.launch();
        engine.wait_for("runs", "{{.State.Status}}", "running");
    }
    assert_eq!(engine.corten(["images", "-q", "never"]).ok(), "");
}

#[test]
fn the_api_takes_a_configuration_and_refuses_what_is_none() {
    let engine = Engine::start();
    engine
        .corten(["create", "--name", "some", "-l", "own=1", "busybox", "sh"])
        .ok();
    let body = json!({"Cmd": ["from", "body"], "Env": ["A=1"], "Labels": {"body": "1"}});
    let answer = engine.http(
        "POST",
        "/v1.47/commit?container=some&repo=api&tag=x&changes=USER%20me",
        Some(&body),
    );
    assert_eq!(answer.status, 201, "{}", answer.text());
    let image = engine.get(&format!("/images/{}/json", answer.json()["Id"].as_str().unwrap()));
    assert_eq!(image["RepoTags"], json!(["api:x"]));
    let config = &image["Config"];
    assert_eq!(
        (&config["Cmd"], &config["User"]),
        (&json!(["from", "body"]), &json!("me"))
    );
    assert_eq!(config["Labels"], json!({"body": "1", "own": "1"}));
    for (query, status, message) in [
        ("container=nosuch", 404, "No such container: nosuch"),
        (
            "container=some&repo=UPPER",
            400,
            "invalid reference format: repository name (library/UPPER) must be lowercase",
        ),
        (
            "container=some&changes=RUN%20x",
            400,
            "RUN is not a valid change command",
        ),
        (
            "container=some&changes=NOSUCH%20x",
            400,
            "dockerfile parse error on line 1: unknown instruction: NOSUCH",
        ),
    ] {
        let answer = engine.http("POST", &format!("/commit?{query}"), None);
        assert_eq!((answer.status, answer.message().as_str()), (status, message), "{query}");
    }
}
