//! The engine is killed from outside, under containers, clients and pulls.

use corten_tests::engine::{Engine, Options};
use corten_tests::registry::Fault;
use corten_tests::until;

#[test]
fn containers_go_on_without_the_engine() {
    let engine = Engine::start();
    let serve = "echo hello > /tmp/index.html; echo up; exec httpd -f -p 80 -h /tmp";
    engine.corten(["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", serve]).ok();
    until::is("it answers", || engine.try_curl("http://127.0.0.1:8080/").is_some());
    let before = engine.inspect("web", "{{.State.Pid}} {{.State.StartedAt}} {{.NetworkSettings.IPAddress}}");
    engine.kill();
    assert_eq!(engine.curl("http://127.0.0.1:8080/"), "hello\n");
    engine.launch();
    let after = engine.inspect("web", "{{.State.Pid}} {{.State.StartedAt}} {{.NetworkSettings.IPAddress}}");
    assert_eq!(before, after);
    assert_eq!(engine.curl("http://127.0.0.1:8080/"), "hello\n");
    assert_eq!(engine.corten(["exec", "web", "echo", "in"]).ok(), "in\n");
    // The port is still known to be taken.
    let refusal = engine.corten(["run", "--rm", "-p", "8080:80", "busybox", "true"]).fails(125);
    assert!(refusal.contains("port is already allocated"), "{refusal}");
    engine.corten(["stop", "-t", "0", "web"]).ok();
    assert!(engine.try_curl("http://127.0.0.1:8080/").is_none());
}

#[test]
fn the_end_is_known_with_its_code_and_time() {
    let engine = Engine::start();
    let script = "until [ -e /go/on ]; do sleep 0.05; done; echo last; exit 42";
    let folder = engine.work().join("go");
    corten_sys::fs::create_dir(&folder).unwrap();
    let mount = format!("{}:/go", folder.display());
    engine.corten(["run", "-d", "--name", "one", "-v", &mount, "busybox", "sh", "-c", script]).ok();
    let pid = engine.inspect("one", "{{.State.Pid}}");
    engine.kill();
    corten_sys::fs::write(folder.join("on"), "").unwrap();
    until::is("it ends", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    let ended = std::time::SystemTime::now();
    std::thread::park_timeout(std::time::Duration::from_millis(1100));
    engine.launch();
    assert_eq!(engine.inspect("one", "{{.State.Status}} {{.State.ExitCode}}"), "exited 42");
    assert_eq!(engine.corten(["logs", "one"]).ok(), "last\n");
    let finished = engine.inspect("one", "{{.State.FinishedAt.Unix}}");
    let finished: u64 = match finished.parse() {
        Ok(seconds) => seconds,
        // Times are text for templates; seconds can be compared by `date`.
        Err(_) => {
            let time = engine.inspect("one", "{{.State.FinishedAt}}");
            engine.sh(&format!("date -d '{time}' +%s")).line().parse().unwrap()
        }
    };
    let ended = ended.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(finished <= ended, "it ended at {ended}, and {finished} is said");
    assert_eq!(engine.corten(["wait", "one"]).ok(), "42\n");
}

#[test]
fn no_line_of_the_log_is_lost() {
    let engine = Engine::start();
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done";
    engine.corten(["run", "-d", "--name", "one", "busybox", "sh", "-c", script]).ok();
    for _ in 0..3 {
        engine.crash();
    }
    engine.corten(["wait", "one"]).ok();
    let log = engine.corten(["logs", "one"]).ok();
    let expected: String = (1..=20_000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(log.len(), expected.len());
    assert_eq!(log, expected);
}

#[test]
fn an_attached_client_stays_attached() {
    let engine = Engine::start();
    let mut session = engine.corten(["run", "-i", "--name", "one", "busybox", "cat"]).spawn();
    session.write("one\n");
    session.wait_for("one\n");
    engine.crash();
    session.write("two\n");
    let seen = session.wait_for("two\n");
    assert_eq!(seen, "one\ntwo\n");
}

#[test]
fn restart_policies_are_kept_up() {
    let engine = Engine::start();
    let run = |name: &str, policy: &str, script: &str| {
        engine.corten(["run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", script]).ok();
    };
    run("always", "always", "sleep 300");
    run("stopped", "unless-stopped", "sleep 300");
    engine.corten(["stop", "-t", "0", "stopped"]).ok();
    let pid = engine.inspect("always", "{{.State.Pid}}");
    engine.kill();
    engine.sh(&format!("kill -9 {pid}")).ok();
    engine.launch();
    until::is("it is started again", || {
        engine.inspect("always", "{{.State.Running}}") == "true" && engine.inspect("always", "{{.State.Pid}}") != pid
    });
    assert_eq!(engine.inspect("stopped", "{{.State.Status}}"), "exited");
}

#[test]
fn rm_after_the_end_is_made_up_for() {
    let engine = Engine::start();
    engine.corten(["run", "-d", "--rm", "--name", "one", "-v", "/vol", "busybox", "sleep", "300"]).ok();
    let pid = engine.inspect("one", "{{.State.Pid}}");
    engine.kill();
    engine.sh(&format!("kill -9 {pid}")).ok();
    engine.launch();
    until::is("it is removed", || engine.corten(["ps", "-aq"]).ok().is_empty());
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "");
}

#[test]
fn a_pull_goes_on_where_it_was_cut() {
    let engine = Engine::start_with(Options::with_images(&["nginx:latest"]));
    // The engine is killed in the middle of a layer that comes slowly.
    engine.registry().inject("/blobs/", 1, Fault::StallAfter(200_000));
    let pull = engine.corten(["pull", "nginx"]).spawn();
    engine.registry().wait_for("GET", "/blobs/", 1);
    let downloads = engine.data_root().join("image/downloads");
    until::is("a part has arrived", || {
        let files = corten_sys::fs::read_dir(&downloads).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).any(|file| file.len() > 0)
    });
    engine.crash();
    engine.registry().heal();
    pull.wait();
    engine.corten(["pull", "-q", "nginx"]).ok();
    assert!(engine.corten(["run", "--rm", "nginx", "nginx", "-v"]).run().stderr.contains("nginx version"));
}

#[test]
fn commands_that_are_cut_leave_nothing_half_made() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    for round in 0..8_u32 {
        let runs: Vec<_> = (0..4)
            .map(|n| {
                let name = format!("c{round}-{n}");
                engine.corten(["run", "-d", "--name", &name, "-v", "/vol", "busybox", "sleep", "300"]).spawn()
            })
            .collect();
        // Somewhere in the middle, elsewhere each time.
        std::thread::park_timeout(std::time::Duration::from_millis(u64::from(round) * 9));
        engine.crash();
        drop(runs);
        // Every container that is known works: it can be started or runs, and is removed without a trace.
        let ids = engine.corten(["ps", "-aq"]).ok();
        for id in ids.lines() {
            if engine.inspect(id, "{{.State.Status}}") == "created" {
                engine.corten(["start", id]).ok();
            }
            assert_eq!(engine.corten(["exec", id, "echo", "well"]).ok(), "well\n");
            engine.corten(["rm", "-fv", id]).ok();
        }
    }
}

#[test]
fn damaged_records_are_set_aside() {
    let engine = Engine::start();
    let id = engine.corten(["create", "--name", "one", "busybox", "true"]).line();
    engine.corten(["create", "--name", "two", "busybox", "true"]).ok();
    engine.corten(["volume", "create", "vol"]).ok();
    engine.kill();
    let record = engine.data_root().join("containers").join(&id).join("container.json");
    corten_sys::fs::write(&record, "{\"format\": 1, \"id\": tru").unwrap();
    engine.launch();
    assert_eq!(engine.corten(["ps", "-a", "--format", "{{.Names}}"]).ok(), "two\n");
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "vol\n");
    assert!(engine.log().contains("set aside"), "{}", engine.log());
    let aside = engine.data_root().join("containers").join(format!("{id}.damaged"));
    assert!(aside.exists());
    corten_sys::fs::remove_dir_all(aside).unwrap();
}

#[test]
fn a_shim_that_is_killed_takes_its_container_with_it() {
    let engine = Engine::start();
    let id = engine.corten(["run", "-d", "--name", "one", "-p", "8080:80", "busybox", "sleep", "300"]).line();
    let pid = engine.inspect("one", "{{.State.Pid}}");
    let parent = engine.sh(&format!("ps -o ppid= -p {pid}")).line();
    engine.sh(&format!("kill -9 {parent}")).ok();
    engine.wait_for("one", "{{.State.Status}} {{.State.ExitCode}}", "exited 137");
    until::is("its process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    engine.corten(["start", "one"]).ok();
    assert_eq!(engine.inspect("one", "{{.Id}} {{.State.Status}}"), format!("{id} running"));
}
