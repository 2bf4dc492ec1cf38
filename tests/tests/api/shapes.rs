//! The shapes of answers, as clients in Go, Python and Rust expect them.

use corten_tests::engine::Engine;
use serde_json::{Value, json};

/// Every key that the real engine's answer has is there, with a value of the same kind.
#[track_caller]
fn has(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "no {key} in {value}");
    }
}

#[test]
fn inspect_has_docker_s_keys() {
    let engine = Engine::start();
    engine
        .corten([
            "run", "-d", "--name", "shape", "-p", "8080:80", "-v", "/vol", "busybox", "sleep", "300",
        ])
        .ok();
    let inspect = engine.get("/containers/shape/json");
    has(
        &inspect,
        &[
            "Id",
            "Created",
            "Path",
            "Args",
            "State",
            "Image",
            "ResolvConfPath",
            "HostnamePath",
            "HostsPath",
            "LogPath",
            "Name",
            "RestartCount",
            "Driver",
            "Platform",
            "MountLabel",
            "ProcessLabel",
            "AppArmorProfile",
            "ExecIDs",
            "HostConfig",
            "GraphDriver",
            "Mounts",
            "Config",
            "NetworkSettings",
        ],
    );
    has(
        &inspect["State"],
        &[
            "Status",
            "Running",
            "Paused",
            "Restarting",
            "OOMKilled",
            "Dead",
            "Pid",
            "ExitCode",
            "Error",
            "StartedAt",
            "FinishedAt",
        ],
    );
    assert_eq!(inspect["State"]["FinishedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(inspect["ExecIDs"], Value::Null);
    assert_eq!(inspect["Args"], json!(["300"]));
    assert_eq!(
        inspect["HostConfig"]["PortBindings"]["80/tcp"],
        json!([{"HostIp": "", "HostPort": "8080"}])
    );
    assert_eq!(inspect["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], "8080");
    has(
        &inspect["NetworkSettings"]["Networks"]["bridge"],
        &[
            "NetworkID",
            "EndpointID",
            "Gateway",
            "IPAddress",
            "IPPrefixLen",
            "MacAddress",
            "Aliases",
            "DNSNames",
        ],
    );
    assert_eq!(inspect["Mounts"][0]["Type"], "volume");
    has(
        &inspect["HostConfig"],
        &[
            "Memory",
            "NanoCpus",
            "RestartPolicy",
            "LogConfig",
            "MaskedPaths",
            "ReadonlyPaths",
        ],
    );
    let log_path = inspect["LogPath"].as_str().unwrap();
    assert!(log_path.ends_with("-json.log"), "{log_path}");
}

#[test]
fn lists_are_lists_even_when_empty() {
    let engine = Engine::start();
    assert_eq!(engine.get("/containers/json"), json!([]));
    assert_eq!(engine.get("/images/json"), json!([]));
    let volumes = engine.get("/volumes");
    assert!(
        volumes["Volumes"].is_null() || volumes["Volumes"] == json!([]),
        "{volumes}"
    );
    let usage = engine.get("/system/df");
    has(&usage, &["LayersSize", "Images", "Containers", "Volumes", "BuildCache"]);
}

#[test]
fn info_and_version() {
    let engine = Engine::start();
    let info = engine.get("/info");
    has(
        &info,
        &[
            "ID",
            "Containers",
            "Images",
            "Driver",
            "DriverStatus",
            "Plugins",
            "MemoryLimit",
            "CgroupDriver",
            "CgroupVersion",
            "NCPU",
            "MemTotal",
            "DockerRootDir",
            "Name",
            "ServerVersion",
            "Runtimes",
            "DefaultRuntime",
            "Swarm",
            "SecurityOptions",
            "OperatingSystem",
            "OSType",
            "Architecture",
            "KernelVersion",
            "IndexServerAddress",
            "RegistryConfig",
            "Warnings",
        ],
    );
    assert_eq!(info["RegistryConfig"]["Mirrors"], json!(["http://127.0.0.1:5000/"]));
    let version = engine.get("/version");
    has(
        &version,
        &[
            "Platform",
            "Components",
            "Version",
            "ApiVersion",
            "MinAPIVersion",
            "Os",
            "Arch",
            "KernelVersion",
        ],
    );
}

#[test]
fn logs_and_attach_frame_their_streams() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "--name",
            "both",
            "busybox",
            "sh",
            "-c",
            "echo out; echo error >&2",
        ])
        .ok();
    let logs = engine.http("GET", "/containers/both/logs?stdout=1&stderr=1", None);
    let mut frames: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut rest = &logs.body[..];
    while rest.len() >= 8 {
        let length = usize::try_from(u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]])).unwrap();
        frames.push((rest[0], rest[8..8 + length].to_vec()));
        rest = &rest[8 + length..];
    }
    frames.sort();
    assert_eq!(frames, [(1, b"out\n".to_vec()), (2, b"error\n".to_vec())]);
    assert_eq!(
        logs.header("Content-Type"),
        Some("application/vnd.docker.multiplexed-stream")
    );
}

#[test]
fn events_are_json_lines() {
    let engine = Engine::start();
    engine.corten(["run", "--rm", "--name", "seen", "busybox", "true"]).ok();
    let now = engine.sh("date +%s.%N").line();
    let events = engine.http("GET", &format!("/events?since=0&until={now}"), None);
    let text = events.text();
    let actions: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .inspect(|event| has(event, &["Type", "Action", "Actor", "scope", "time", "timeNano"]))
        .filter(|event| event["Type"] == "container")
        .filter_map(|event| Some(event["Action"].as_str()?.to_owned()))
        .collect();
    assert_eq!(actions, ["create", "attach", "start", "die", "destroy"]);
}

#[test]
fn old_versions_get_old_shapes() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let old = engine.get("/v1.43/images/json");
    assert!(old[0].get("VirtualSize").is_some(), "{old}");
    let new = engine.get("/v1.51/images/json");
    assert!(new[0].get("VirtualSize").is_none(), "{new}");
}
