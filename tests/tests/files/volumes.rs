//! Volumes: drivers, options, filters, and who takes them away.

use corten_sys::fs;
use corten_tests::{
    engine::{Engine, Options},
    until,
};
use serde_json::json;

use crate::plugin::Plugin;

fn is_mounted(engine: &Engine, volume: &str) -> bool {
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", engine.pid())).expect("the engine runs");
    let place = engine.data_root().join("volumes").join(volume).join("_data");
    table.lines().any(|line| line.split(' ').nth(4) == place.to_str())
}

#[test]
fn options_are_mounted_while_a_container_runs() {
    let engine = Engine::start();
    fs::create_dir_all(engine.work().join("bound")).unwrap();
    let device = format!("device={}", engine.work().join("bound").display());
    engine
        .corten([
            "volume",
            "create",
            "-o",
            "type=none",
            "-o",
            "o=bind",
            "-o",
            &device,
            "bound",
        ])
        .ok();
    engine
        .corten([
            "volume",
            "create",
            "-o",
            "type=tmpfs",
            "-o",
            "device=tmpfs",
            "-o",
            "o=size=2m,uid=5",
            "mem",
        ])
        .ok();
    let mounts = ["-v", "bound:/b", "-v", "mem:/m", "busybox"];
    engine.corten(["create", "--name", "idle"].iter().chain(&mounts)).ok();
    assert!(!is_mounted(&engine, "bound") && !is_mounted(&engine, "mem"));
    let start = |name: &str| {
        engine
            .corten(
                ["run", "-d", "--name", name]
                    .iter()
                    .chain(&mounts)
                    .chain(&["sleep", "1000"]),
            )
            .ok()
    };
    start("one");
    start("two");
    assert!(is_mounted(&engine, "bound") && is_mounted(&engine, "mem"));
    let seen = engine
        .corten([
            "exec",
            "one",
            "sh",
            "-c",
            "touch /b/x /m/y; df -k /m | awk 'NR > 1 {print $2}'; stat -c %u /m",
        ])
        .ok();
    assert_eq!(seen, "2048\n5\n");
    assert!(engine.work().join("bound/x").is_file());
    engine.corten(["stop", "-t", "0", "one"]).ok();
    assert_eq!(engine.corten(["exec", "two", "ls", "/m"]).ok(), "y\n");
    // An engine that is killed finds them in use again, and the next one lets them go.
    engine.crash();
    assert_eq!(engine.corten(["exec", "two", "ls", "/m"]).ok(), "y\n");
    engine.corten(["kill", "two"]).ok();
    engine.corten(["wait", "two"]).ok();
    until::is("the volumes are unmounted", || {
        !is_mounted(&engine, "bound") && !is_mounted(&engine, "mem")
    });
    let refusal = engine.corten(["volume", "rm", "mem"]).fails(1);
    assert!(
        refusal.starts_with("Error response from daemon: remove mem: volume is in use - ["),
        "{refusal}"
    );
    // A copy mounts it for as long as it lasts.
    engine.sh("echo in > in").ok();
    engine.corten(["cp", "in", "idle:/b/copied"]).ok();
    assert!(engine.work().join("bound/copied").is_file() && !is_mounted(&engine, "bound"));
    engine.corten(["rm", "one", "two", "idle"]).ok();
    engine.corten(["volume", "rm", "mem", "bound"]).ok();
    assert!(engine.work().join("bound/x").is_file());
}

#[test]
fn a_device_that_is_not_there_fails_the_start() {
    let engine = Engine::start();
    engine
        .corten([
            "volume",
            "create",
            "-o",
            "type=none",
            "-o",
            "o=bind",
            "-o",
            "device=/no/such/place",
            "bad",
        ])
        .ok();
    let refusal = engine
        .corten(["run", "--rm", "-v", "bad:/b", "busybox", "true"])
        .fails(127);
    assert!(
        refusal.contains("failed to mount local storage: mount /no/such/place:")
            && refusal.contains("no such file or directory"),
        "{refusal}"
    );
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
}

#[test]
fn an_engine_that_dies_while_it_makes_a_container_leaves_no_volume() {
    for point in ["create:intended", "create:volumes"] {
        let env = vec![("CORTEN_CRASH_AT".to_owned(), point.to_owned())];
        let mut engine = Engine::start_with(Options {
            env,
            ..Options::default()
        });
        engine.corten(["pull", "-q", "busybox"]).ok();
        engine.corten(["volume", "create", "named"]).ok();
        engine
            .corten(["create", "-v", "/one", "-v", "named:/two", "-v", "/three", "busybox"])
            .run();
        assert_eq!(engine.wait_end(), 128 + 9);
        engine.set_env(&[]);
        engine.launch();
        assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "named\n", "{point}");
    }
}

#[test]
fn a_volume_that_was_named_outlives_its_containers() {
    let engine = Engine::start();
    engine
        .corten(["create", "--name", "first", "-v", "/data", "busybox"])
        .ok();
    let name = engine.inspect("first", "{{(index .Mounts 0).Name}}");
    engine.corten(["rm", "first"]).ok();
    engine
        .corten([
            "run",
            "--rm",
            "-v",
            &format!("{name}:/data"),
            "busybox",
            "touch",
            "/data/x",
        ])
        .ok();
    engine
        .corten([
            "run",
            "--rm",
            "--mount",
            &format!("src={name},dst=/data"),
            "busybox",
            "test",
            "-e",
            "/data/x",
        ])
        .ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).line(), name);
    engine.corten(["run", "--rm", "-v", "/data", "busybox", "true"]).ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).line(), name);
}

#[test]
fn volumes_are_listed_and_pruned_by_filters() {
    let engine = Engine::start();
    for arguments in [
        ["--label", "a=1", "one"],
        ["--label", "a=2", "two"],
        ["--label", "b", "three"],
    ] {
        engine.corten(["volume", "create"].iter().chain(&arguments)).ok();
    }
    engine
        .corten([
            "create",
            "--name",
            "user",
            "-v",
            "one:/x",
            "-v",
            "/anonymous",
            "busybox",
        ])
        .ok();
    let list = |filter: &str| {
        engine
            .corten(["volume", "ls", "-q", "--filter", filter])
            .ok()
            .replace('\n', " ")
    };
    assert_eq!(list("name=t"), "three two ");
    assert_eq!(list("label=a"), "one two ");
    assert_eq!(list("label=a=2"), "two ");
    assert_eq!(
        list("label!=a"),
        engine
            .corten(["volume", "ls", "-q"])
            .ok()
            .lines()
            .filter(|l| !["one", "two"].contains(l))
            .map(|l| format!("{l} "))
            .collect::<String>()
    );
    assert_eq!(list("dangling=true"), "three two ");
    assert_eq!(list("driver=other"), "");
    let refusal = engine.corten(["volume", "ls", "--filter", "nosuch=1"]).fails(1);
    assert_eq!(refusal, "Error response from daemon: invalid filter 'nosuch'\n");
    let prune = |arguments: &[&str]| engine.corten(["volume", "prune", "-f"].iter().chain(arguments)).ok();
    engine.corten(["rm", "user"]).ok();
    // Without -a only those that nobody named.
    let told = prune(&[]);
    assert!(
        told.starts_with("Deleted Volumes:\n") && told.lines().count() == 4,
        "{told}"
    );
    assert!(prune(&["-a", "--filter", "label!=a"]).contains("\nthree\n"));
    assert!(prune(&["-a", "--filter", "label=a=2"]).contains("\ntwo\n"));
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "one\n");
}

#[test]
fn usage_counts_files_and_users() {
    let engine = Engine::start();
    engine
        .corten([
            "run",
            "--name",
            "user",
            "-v",
            "data:/d",
            "busybox",
            "sh",
            "-c",
            "head -c 2000 /dev/zero > /d/f",
        ])
        .ok();
    let volumes = engine.get("/system/df?type=volume")["Volumes"].clone();
    assert_eq!(volumes[0]["UsageData"], json!({"RefCount": 1, "Size": 2000}));
    let table = engine.corten(["system", "df", "-v"]).ok();
    assert!(
        table
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>() == ["data", "1", "2kB"]),
        "{table}"
    );
}

#[test]
fn plugins_are_drivers() {
    let engine = Engine::start();
    let plugin = Plugin::start(&engine, "tester");
    let refusal = engine.corten(["volume", "create", "-d", "nosuch", "xx"]).fails(1);
    assert_eq!(
        refusal,
        "Error response from daemon: create xx: error looking up volume plugin nosuch: plugin \"nosuch\" not found\n"
    );
    engine
        .corten([
            "volume",
            "create",
            "-d",
            "tester",
            "-o",
            "color=blue",
            "--label",
            "l=1",
            "vol",
        ])
        .ok();
    assert_eq!(plugin.options("vol"), json!({"color": "blue"}));
    let volume = engine.get("/volumes/vol");
    assert_eq!(
        (
            &volume["Driver"],
            &volume["Scope"],
            &volume["Status"],
            &volume["Options"]
        ),
        (
            &json!("tester"),
            &json!("global"),
            &json!({"mounts": 0}),
            &json!({"color": "blue"})
        )
    );
    let script = "echo kept > /v/f";
    engine
        .corten([
            "run",
            "-d",
            "--name",
            "runs",
            "-v",
            "vol:/v",
            "busybox",
            "sh",
            "-c",
            &format!("{script}; exec sleep 1000"),
        ])
        .ok();
    until::is("the file is there", || plugin.root().join("vol/f").is_file());
    assert_eq!(plugin.mounts("vol"), 1);
    engine
        .corten([
            "run",
            "--rm",
            "--volume-driver",
            "tester",
            "-v",
            "own:/v",
            "-v",
            "vol:/w",
            "busybox",
            "cat",
            "/w/f",
        ])
        .ok();
    assert_eq!((plugin.mounts("own"), plugin.mounts("vol")), (0, 1));
    engine.crash();
    engine.corten(["rm", "-f", "runs"]).ok();
    assert_eq!(plugin.mounts("vol"), 0);
    // A volume of the plugin's that the engine has not made.
    plugin.add("foreign");
    assert_eq!(
        engine.corten(["volume", "ls", "-q", "--filter", "driver=tester"]).ok(),
        "foreign\nown\nvol\n"
    );
    assert_eq!(engine.get("/volumes/foreign")["Driver"], "tester");
    engine
        .corten(["run", "--rm", "-v", "foreign:/v", "busybox", "touch", "/v/x"])
        .ok();
    assert!(plugin.root().join("foreign/x").is_file());
    // Refusals come in the plugin's words.
    let refusal = engine
        .corten(["volume", "create", "-d", "tester", "-o", "fail=yes", "bad"])
        .fails(1);
    assert_eq!(refusal, "Error response from daemon: create bad: as you wish\n");
    engine.corten(["volume", "rm", "vol", "own", "foreign"]).ok();
    assert_eq!(engine.corten(["volume", "ls", "-q"]).ok(), "");
    assert!(
        engine
            .corten(["volume", "inspect", "vol"])
            .fails(1)
            .contains("no such volume")
    );
}

#[test]
fn only_cluster_volumes_are_updated() {
    let engine = Engine::start();
    engine.corten(["volume", "create", "plain"]).ok();
    let refusal = engine
        .corten(["volume", "update", "--availability", "drain", "plain"])
        .fails(1);
    assert_eq!(refusal, "Can only update cluster volumes\n");
}
