//! Endpoints that the command line reaches, asked directly: what they do, and their status.

use corten_tests::engine::Engine;
use serde_json::json;

/// An engine with a running container `box` that has a terminal.
fn with_box() -> Engine {
    let engine = Engine::start();
    engine
        .corten(["run", "-dt", "--name", "box", "busybox", "sleep", "300"])
        .ok();
    engine
}

#[test]
fn a_running_container_is_looked_at_and_changed() {
    let engine = with_box();
    let top = engine.http("GET", "/containers/box/top", None).json();
    assert!(
        top["Processes"].as_array().is_some_and(|list| !list.is_empty()),
        "{top}"
    );
    engine.corten(["exec", "box", "touch", "/made"]).ok();
    let changes = engine.http("GET", "/containers/box/changes", None).json();
    assert_eq!(changes, json!([{"Path": "/made", "Kind": 1}]));
    let export = engine.http("GET", "/containers/box/export", None);
    assert_eq!(export.status, 200);
    assert!(export.body.windows(5).any(|bytes| bytes == b"made\0"));
    let stats = engine.http("GET", "/containers/box/stats?stream=false", None).json();
    assert!(stats["memory_stats"]["usage"].is_u64(), "{stats}");
    let status = |method, path: &str, body| engine.http(method, path, body).status;
    assert_eq!(status("POST", "/containers/box/resize?h=10&w=20", None), 200);
    let limits = json!({"Memory": 67_108_864, "MemorySwap": 67_108_864});
    assert_eq!(status("POST", "/containers/box/update", Some(&limits)), 200);
    assert_eq!(engine.inspect("box", "{{.HostConfig.Memory}}"), "67108864");
    assert_eq!(status("POST", "/containers/box/restart?t=0", None), 204);
    assert_eq!(engine.inspect("box", "{{.State.Status}}"), "running");
}

#[test]
fn host_names_are_what_the_kernel_takes() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let body = json!({"Image": "busybox", "Hostname": "a b", "Cmd": ["hostname"]});
    let made = engine.http("POST", "/containers/create?name=named", Some(&body));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(engine.corten(["start", "-a", "named"]).ok(), "a b\n");
    let lines = json!({"Image": "busybox", "Hostname": "x\n1.2.3.4 y"});
    let refused = engine.http("POST", "/containers/create", Some(&lines));
    assert_eq!(refused.status, 400, "{}", refused.text());
    // What the kernel does not take is found out by the start.
    let long = json!({"Image": "busybox", "Hostname": "x".repeat(65)});
    let made = engine.http("POST", "/containers/create?name=long", Some(&long));
    assert_eq!(made.status, 201, "{}", made.text());
    let refused = engine.http("POST", "/containers/long/start", None);
    assert!(refused.status >= 400, "{}", refused.text());
    assert!(
        refused.message().contains("sethostname: invalid argument"),
        "{}",
        refused.text()
    );
}

#[test]
fn an_exec_has_a_life_of_its_own() {
    let engine = with_box();
    let body = json!({"Cmd": ["sh", "-c", "exit 7"], "AttachStdout": true, "Tty": true});
    let made = engine.http("POST", "/containers/box/exec", Some(&body));
    assert_eq!(made.status, 201);
    let id = made.json()["Id"].as_str().expect("an id").to_owned();
    let state = engine.http("GET", &format!("/exec/{id}/json"), None).json();
    assert_eq!((&state["Running"], &state["ExitCode"]), (&json!(false), &json!(null)));
    let started = engine.http("POST", &format!("/exec/{id}/start"), Some(&json!({"Tty": true})));
    assert_eq!(started.status, 200);
    let state = engine.http("GET", &format!("/exec/{id}/json"), None).json();
    assert_eq!(state["ExitCode"], json!(7), "{state}");
    let body = json!({"Cmd": ["sleep", "300"], "AttachStdout": true, "Tty": true});
    let made = engine.http("POST", "/containers/box/exec", Some(&body)).json();
    let id = made["Id"].as_str().expect("an id").to_owned();
    let detached = json!({"Detach": true, "Tty": true});
    let started = engine.http("POST", &format!("/exec/{id}/start"), Some(&detached));
    assert_eq!(started.status, 200);
    let resized = engine.http("POST", &format!("/exec/{id}/resize?h=10&w=20"), None);
    assert_eq!(resized.status, 200, "{}", resized.text());
}

#[test]
fn output_so_far_is_attached_to_and_what_has_ended_is_pruned() {
    let engine = Engine::start();
    engine.corten(["run", "--name", "done", "busybox", "echo", "said"]).ok();
    let attached = engine.http("POST", "/containers/done/attach?logs=1&stdout=1", None);
    assert_eq!(attached.status, 200);
    assert!(attached.text().ends_with("said\n"), "{}", attached.text());
    let pruned = engine.http("POST", "/containers/prune", None).json();
    assert_eq!(
        pruned["ContainersDeleted"].as_array().map(Vec::len),
        Some(1),
        "{pruned}"
    );
    let cache = engine.http("POST", "/build/prune", None);
    assert_eq!((cache.status, &cache.json()["SpaceReclaimed"]), (200, &json!(0)));
}

#[test]
fn images_are_named_told_and_removed() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let history = engine.http("GET", "/images/busybox/history", None).json();
    assert_eq!(history[0]["Tags"], json!(["busybox:latest"]));
    let tagged = engine.http("POST", "/images/busybox/tag?repo=team/app&tag=1", None);
    assert_eq!(tagged.status, 201);
    for saved in [
        engine.http("GET", "/images/team/app:1/get", None),
        engine.http("GET", "/images/get?names=team/app:1", None),
    ] {
        assert_eq!(
            (saved.status, saved.header("Content-Type")),
            (200, Some("application/x-tar"))
        );
    }
    let removed = engine.http("DELETE", "/images/team/app:1", None).json();
    assert_eq!(removed, json!([{"Untagged": "team/app:1"}]));
    let pruned = engine.http("POST", "/images/prune?filters=%7B%22dangling%22:[%22false%22]%7D", None);
    assert!(pruned.text().contains("busybox:latest"), "{}", pruned.text());
    let remote = engine.http("GET", "/distribution/127.0.0.1:5000/library/busybox/json", None);
    assert_eq!(remote.status, 200, "{}", remote.text());
    assert_eq!(remote.json()["Platforms"][0]["os"], json!("linux"));
}

#[test]
fn networks_and_volumes_come_and_go() {
    let engine = with_box();
    let made = engine.http("POST", "/networks/create", Some(&json!({"Name": "own"})));
    assert_eq!(made.status, 201);
    // What was not said is null, what was said to be empty is empty.
    assert_eq!(engine.get("/networks/own")["IPAM"]["Options"], json!(null));
    let told = json!({"Name": "told", "IPAM": {"Options": {}}});
    assert_eq!(engine.http("POST", "/networks/create", Some(&told)).status, 201);
    assert_eq!(engine.get("/networks/told")["IPAM"]["Options"], json!({}));
    let container = json!({"Container": "box"});
    let status = |method, path: &str, body| engine.http(method, path, body).status;
    assert_eq!(status("POST", "/networks/own/connect", Some(&container)), 200);
    assert_eq!(status("POST", "/networks/own/connect", Some(&container)), 403);
    assert_eq!(status("DELETE", "/networks/own", None), 403);
    assert_eq!(status("POST", "/networks/own/disconnect", Some(&container)), 200);
    assert_eq!(status("DELETE", "/networks/own", None), 204);
    engine.corten(["network", "create", "idle"]).ok();
    let pruned = engine.http("POST", "/networks/prune", None).json();
    assert_eq!(pruned["NetworksDeleted"], json!(["idle", "told"]));
    let made = engine.http(
        "POST",
        "/volumes/create",
        Some(&json!({"Name": "kept", "Labels": {"a": "b"}})),
    );
    assert_eq!((made.status, &made.json()["Labels"]), (201, &json!({"a": "b"})));
    // Only volumes of a swarm can be changed.
    let changed = engine.http("PUT", "/volumes/kept?version=1", Some(&json!({})));
    assert_eq!(changed.status, 503);
    engine.corten(["volume", "create"]).ok();
    let pruned = engine.http("POST", "/volumes/prune", None).json();
    assert_eq!(pruned["VolumesDeleted"].as_array().map(Vec::len), Some(1), "{pruned}");
    assert_eq!(status("DELETE", "/volumes/kept", None), 204);
}
