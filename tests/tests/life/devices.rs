//! Devices: of the host, by rules, by the names that vendors give them, and GPUs.

use corten_sys::fs;
use corten_tests::engine::{Engine, Options};

/// A vendor's document about a toy, which is the device that is always full.
const TOY: &str = r#"{
  "cdiVersion": "0.7.0",
  "kind": "acme.com/toy",
  "containerEdits": {"env": ["TOYS=many"]},
  "devices": [
    {"name": "one", "containerEdits": {
      "env": ["ONE=1"],
      "deviceNodes": [{"path": "/dev/toy", "hostPath": "/dev/full", "permissions": "rw"}],
      "mounts": [{"hostPath": "FOLDER", "containerPath": "/toys/inside", "options": ["ro", "rbind"]}],
      "hooks": [{"hookName": "createContainer", "path": "/bin/touch", "args": ["touch", "FOLDER/hooked"]}],
      "additionalGids": [4321]}},
    {"name": "gone", "containerEdits": {"deviceNodes": [{"path": "/dev/no-such-toy"}]}},
    {"name": "cache", "containerEdits": {"intelRdt": {"closID": "x"}}}
  ]
}"#;

/// An engine that looks for documents in a folder of its own; the folder's path.
fn with_documents() -> (Engine, String) {
    let engine = Engine::prepared(Options::default());
    let folder = engine.work().join("cdi");
    fs::create_dir_all(&folder).expect("a folder");
    let folder = folder.to_string_lossy().into_owned();
    let config = format!(r#"{{"cdi-spec-dirs": ["{folder}"]}}"#);
    fs::write(engine.config(), config).expect("a file");
    engine.launch();
    engine.corten(["pull", "-q", "busybox"]).ok();
    (engine, folder)
}

#[test]
fn documents_are_yaml_as_well() {
    let (engine, folder) = with_documents();
    let toy = "cdiVersion: 0.6.0\nkind: acme.com/toy\nannotations: {made: \"2024\"}\ncontainerEdits:\n  env:\n  - TOYS=many\n\
               devices:\n- name: one\n  containerEdits: &edits\n    env: [ONE=1]\n    deviceNodes:\n    - path: /dev/toy\n      \
               hostPath: /dev/full\n      fileMode: 0644\n- name: same\n  containerEdits: *edits\n";
    fs::write(format!("{folder}/toy.yaml"), toy).expect("a file");
    let run = ["run", "--rm", "--device", "acme.com/toy=same", "busybox", "sh", "-c"];
    let look = ["echo $TOYS $ONE; stat -c %a /dev/toy"];
    assert_eq!(engine.corten([&run[..], &look].concat()).ok(), "many 1\n644\n");
}

#[test]
fn devices_by_name() {
    let (engine, folder) = with_documents();
    fs::write(format!("{folder}/toy.json"), TOY.replace("FOLDER", &folder)).expect("a file");
    fs::write(format!("{folder}/broken.json"), "{").expect("a file");
    fs::write(format!("{folder}/other.yaml"), "cdiVersion: 0.5.0\n").expect("a file");
    let look =
        "echo $TOYS $ONE; ls -l /dev/toy; ls /toys/inside/toy.json; id -G; echo x > /dev/toy; touch /toys/inside/x";
    let run = [
        "run",
        "--rm",
        "--device",
        "acme.com/toy=one",
        "busybox",
        "sh",
        "-c",
        look,
    ];
    let ran = engine.corten(run).run();
    for part in ["many 1\n", "1,   7", "/toys/inside/toy.json\n", "4321"] {
        assert!(ran.stdout.contains(part), "{part:?}: {ran}");
    }
    for part in ["No space left on device", "Read-only file system"] {
        assert!(ran.stderr.contains(part), "{part:?}: {ran}");
    }
    assert!(
        fs::exists(format!("{folder}/hooked")).expect("a folder"),
        "the hook ran"
    );
    // The image's own way, with `create`: the record has the request, and documents are read at the start.
    let create = [
        "create",
        "--name=later",
        "--device=acme.com/toy=two",
        "busybox",
        "sh",
        "-c",
        "echo $TWO",
    ];
    engine.corten(create).ok();
    let request = engine.inspect("later", "{{json .HostConfig.DeviceRequests}}");
    assert!(
        request.contains(r#""Driver":"cdi""#) && request.contains(r#""DeviceIDs":["acme.com/toy=two"]"#),
        "{request}"
    );
    let unknown = engine.corten(["start", "later"]).fails(1);
    assert!(
        unknown.contains("CDI device injection failed: unresolvable CDI devices acme.com/toy=two"),
        "{unknown}"
    );
    let two =
        r#"{"cdiVersion":"0.3.0","kind":"acme.com/toy","devices":[{"name":"two","containerEdits":{"env":["TWO=2"]}}]}"#;
    fs::write(format!("{folder}/two.json"), two).expect("a file");
    assert_eq!(engine.corten(["start", "-a", "later"]).line(), "2");
    let refused = |device: &str, words: &str| {
        let said = engine
            .corten(["run", "--rm", "--device", device, "busybox", "true"])
            .run();
        assert!(said.code != 0 && said.stderr.contains(words), "{device}: {said}");
    };
    refused(
        "acme.com/toy=gone",
        "failed to stat CDI host device \"/dev/no-such-toy\"",
    );
    refused("acme.com/toy=cache", "intelRdt is not supported");
    let info = engine.get("/info");
    assert_eq!(info["CDISpecDirs"][0], folder.as_str());
    let devices: Vec<_> = info["DiscoveredDevices"].as_array().expect("a list").iter().collect();
    assert_eq!(devices.len(), 4, "{devices:?}");
    assert_eq!(
        (&devices[3]["Source"], &devices[3]["ID"]),
        (&"cdi".into(), &"acme.com/toy=two".into())
    );
    let warnings = info["Warnings"].to_string();
    for part in [
        "broken.json: failed to load CDI Spec",
        "unmarshal CDI Spec: missing field `kind`",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    assert!(engine.corten(["info"]).ok().contains("  cdi: acme.com/toy=one\n"));
    assert_eq!(engine.get("/v1.49/info").get("DiscoveredDevices"), None);
}

#[test]
fn gpus_come_from_their_vendors_documents() {
    let (engine, folder) = with_documents();
    let none = "could not select device driver \"\" with capabilities: [[gpu]]";
    let run = engine
        .corten(["run", "--rm", "--gpus", "all", "busybox", "true"])
        .fails(125);
    assert!(run.contains(none), "{run}");
    engine
        .corten(["create", "--name=gpu", "--gpus=2", "busybox", "sh", "-c", "echo $GPUS"])
        .ok();
    assert!(engine.corten(["start", "gpu"]).fails(1).contains(none));
    let device =
        |name: &str| format!(r#"{{"name":"{name}","containerEdits":{{"env":["GPUS={name}","GPU_{name}=1"]}}}}"#);
    let devices = ["all", "0", "1"].map(device).join(",");
    let document = format!(r#"{{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{devices}]}}"#);
    fs::write(format!("{folder}/nvidia.json"), document).expect("a file");
    assert_eq!(engine.corten(["start", "-a", "gpu"]).line(), "1");
    let with = |request: &str| {
        engine
            .corten([
                "run",
                "--rm",
                "--gpus",
                request,
                "busybox",
                "sh",
                "-c",
                "echo $GPUS $GPU_0",
            ])
            .run()
    };
    assert_eq!(with("all").stdout, "all\n");
    assert_eq!(with("\"device=0,1\"").stdout, "1 1\n");
    assert_eq!(with("device=0,driver=nvidia").stdout, "0 1\n");
    let tpu = with("all,capabilities=tpu");
    assert!(tpu.stderr.contains("with capabilities: [[tpu gpu]]"), "{tpu}");
    let five = with("device=5");
    assert!(
        five.stderr.contains("unresolvable CDI devices nvidia.com/gpu=5"),
        "{five}"
    );
}

#[test]
fn documents_can_be_switched_off() {
    let engine = Engine::start_with(Options {
        config: Some(r#"{"features": {"cdi": false}}"#.to_owned()),
        ..Options::default()
    });
    let off = engine
        .corten(["run", "--rm", "--device=acme.com/toy=one", "busybox", "true"])
        .fails(125);
    assert!(
        off.contains("could not select device driver \"cdi\" with capabilities: []"),
        "{off}"
    );
    assert_eq!(engine.get("/info")["CDISpecDirs"], serde_json::json!([]));
    let engine = Engine::start_with(Options::with_flags(&["--cdi-spec-dir="]));
    let empty = engine
        .corten(["run", "--rm", "--device=acme.com/toy=one", "busybox", "true"])
        .fails(125);
    assert!(
        empty.contains("CDI device injection failed: no CDI specification directories specified"),
        "{empty}"
    );
}

#[test]
fn rules_open_devices_without_a_node() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let script = "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg >/dev/null && echo open";
    let command = ["busybox", "sh", "-c", script];
    let closed = engine.corten(["run", "--rm"].into_iter().chain(command)).run();
    assert!(closed.code != 0 && !closed.stdout.contains("open"), "{closed}");
    let rule = ["--device-cgroup-rule", "c 1:11 r", "--cap-add=SYSLOG"];
    let open = engine
        .corten(["run", "--rm"].into_iter().chain(rule).chain(command))
        .run();
    assert_eq!(open.stdout, "open\n", "{open}");
    engine
        .corten(
            ["create", "--name=made", "--device-cgroup-rule=c 1:* rwm"]
                .into_iter()
                .chain(command),
        )
        .ok();
    assert_eq!(
        engine.inspect("made", "{{.HostConfig.DeviceCgroupRules}}"),
        "[c 1:* rwm]"
    );
    let bad = engine
        .corten(["create", "--device-cgroup-rule=z 1:1 r", "busybox"])
        .fails(125);
    assert!(bad.contains("invalid device cgroup format 'z 1:1 r'"), "{bad}");
}
