//! The flags of `run` and `create` that no other place tests with both commands.

use corten_sys::fs;
use corten_tests::engine::Engine;

use crate::cgroups;

fn ready() -> Engine {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

/// Makes one container with `run` and one with `create` and `start`; both run until they are removed.
fn both(engine: &Engine, flags: &[&str]) -> [&'static str; 2] {
    let command = ["busybox", "sleep", "1000"];
    let run = ["run", "-d", "--name=ran", "--stop-timeout=0"];
    let create = ["create", "--name=made", "--stop-timeout=0"];
    engine.corten(run.iter().chain(flags).chain(&command)).ok();
    engine.corten(create.iter().chain(flags).chain(&command)).ok();
    engine.corten(["start", "made"]).ok();
    ["ran", "made"]
}

#[test]
fn health_checks() {
    let engine = ready();
    let flags = [
        "--health-cmd=test -e /tmp/well",
        "--health-interval=100ms",
        "--health-timeout=7s",
        "--health-retries=2",
        "--health-start-period=9m",
        "--health-start-interval=50ms",
    ];
    let run = ["run", "-d", "--name=ran", "--stop-timeout=0"].into_iter();
    let create = ["create", "--name=made", "--stop-timeout=0"].into_iter();
    let command = ["busybox", "sleep", "1000"];
    engine.corten(run.chain(flags).chain(command)).ok();
    engine.corten(create.chain(flags).chain(command)).ok();
    engine.corten(["start", "made"]).ok();
    for name in ["ran", "made"] {
        let check = engine.inspect(name, "{{json .Config.Healthcheck}}");
        let check: serde_json::Value = serde_json::from_str(&check).expect("JSON");
        let expected = serde_json::json!({
            "Test": ["CMD-SHELL", "test -e /tmp/well"], "Interval": 100_000_000, "Timeout": 7_000_000_000_i64,
            "Retries": 2, "StartPeriod": 540_000_000_000_i64, "StartInterval": 50_000_000,
        });
        assert_eq!(check, expected, "{name}");
        // Within the start period failures do not count, and its own interval counts.
        engine.wait_for(name, "{{gt (len .State.Health.Log) 3}}", "true");
        assert_eq!(engine.inspect(name, "{{.State.Health.Status}}"), "starting");
        engine.corten(["exec", name, "touch", "/tmp/well"]).ok();
        engine.wait_for(name, "{{.State.Health.Status}}", "healthy");
        engine.corten(["exec", name, "rm", "/tmp/well"]).ok();
        engine.wait_for(name, "{{.State.Health.Status}}", "unhealthy");
    }
    // A check that takes longer than its timeout has failed.
    let slow = [
        "run",
        "-d",
        "--name=slow",
        "--stop-timeout=0",
        "--health-cmd=sleep 100",
        "--health-timeout=100ms",
        "--health-interval=50ms",
        "--health-retries=1",
        "busybox",
        "sleep",
        "1000",
    ];
    engine.corten(slow).ok();
    engine.wait_for("slow", "{{.State.Health.Status}}", "unhealthy");
    let log = engine.inspect("slow", "{{(index .State.Health.Log 0).Output}}");
    assert!(log.contains("Health check exceeded timeout (100ms)"), "{log}");
}

#[test]
fn addresses_and_names_in_networks() {
    let engine = ready();
    let subnets = ["--subnet=10.77.0.0/24", "--ipv6", "--subnet=fd00:77::/64"];
    engine
        .corten(["network", "create"].iter().chain(&subnets).chain(&["site"]))
        .ok();
    engine
        .corten([
            "run",
            "-d",
            "--name=peer",
            "--network=site",
            "--stop-timeout=0",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    // `--net` and `--net-alias` are other names of `--network` and `--network-alias`.
    let run = [
        "run",
        "-d",
        "--name=ran",
        "--net=site",
        "--ip6=fd00:77::66",
        "--link-local-ip=169.254.7.7",
        "--mac-address=02:11:22:33:44:55",
        "--net-alias=shop",
        "--stop-timeout=0",
        "busybox",
        "sleep",
        "1000",
    ];
    engine.corten(run).ok();
    let create = [
        "create",
        "--name=made",
        "--network=site",
        "--ip6=fd00:77::67",
        "--link-local-ip=169.254.7.8",
        "--mac-address=02:11:22:33:44:56",
        "--network-alias=bank",
        "--net-alias=safe",
        "--link=peer:friend",
        "--stop-timeout=0",
        "busybox",
        "sleep",
        "1000",
    ];
    engine.corten(create).ok();
    engine.corten(["start", "made"]).ok();
    let addresses = |name: &str| engine.corten(["exec", name, "ip", "addr", "show", "eth0"]).ok();
    for (name, parts) in [
        ("ran", ["fd00:77::66/64", "169.254.7.7/", "02:11:22:33:44:55"]),
        ("made", ["fd00:77::67/64", "169.254.7.8/", "02:11:22:33:44:56"]),
    ] {
        let shown = addresses(name);
        for part in parts {
            assert!(shown.contains(part), "{name}: no {part} in {shown}");
        }
    }
    let knows = |who: &str, name: &str| engine.corten(["exec", who, "ping", "-c1", "-W5", name]).run().code == 0;
    assert!(knows("peer", "shop") && knows("peer", "bank") && knows("peer", "safe"));
    assert!(knows("made", "friend") && !knows("ran", "friend"));
    let local = engine.inspect(
        "made",
        "{{(index .NetworkSettings.Networks \"site\").IPAMConfig.LinkLocalIPs}}",
    );
    assert_eq!(local, "[169.254.7.8]");
}

#[test]
fn files_of_labels_and_kernel_parameters() {
    let engine = ready();
    let file = engine.work().join("labels");
    fs::write(&file, "# a remark\nteam=blue\nempty=\n").expect("a file");
    let labels = format!("--label-file={}", file.to_string_lossy());
    let run = [
        "run",
        "-d",
        "--name=ran",
        "--label=own=1",
        "--stop-timeout=0",
        "--sysctl=net.ipv4.ip_default_ttl=77",
    ];
    let command = ["busybox", "sleep", "1000"];
    engine.corten(run.iter().chain(&[labels.as_str()]).chain(&command)).ok();
    let create = [
        "create",
        "--name=made",
        "--stop-timeout=0",
        "--sysctl=net.ipv4.ip_default_ttl=78",
    ];
    engine
        .corten(create.iter().chain(&[labels.as_str()]).chain(&command))
        .ok();
    engine.corten(["start", "made"]).ok();
    for (name, ttl, labels) in [
        ("ran", "77", r#"{"empty":"","own":"1","team":"blue"}"#),
        ("made", "78", r#"{"empty":"","team":"blue"}"#),
    ] {
        assert_eq!(engine.inspect(name, "{{json .Config.Labels}}"), labels);
        let found = engine
            .corten(["exec", name, "cat", "/proc/sys/net/ipv4/ip_default_ttl"])
            .line();
        assert_eq!(found, ttl);
    }
    let refused = engine
        .corten(["run", "--rm", "--sysctl", "kernel.panic=5", "busybox", "true"])
        .fails(125);
    assert!(refused.contains("sysctl 'kernel.panic=5' is not allowed"), "{refused}");
}

#[test]
fn groups_scores_runtimes_and_drivers() {
    let engine = ready();
    let parent = format!("{}/team", engine.cgroup_parent());
    let command = ["busybox", "sleep", "1000"];
    let flags = [format!("--cgroup-parent={parent}")];
    let given = || flags.iter().map(String::as_str);
    let run = [
        "run",
        "-d",
        "--name=ran",
        "--oom-score-adj=77",
        "--runtime=corten",
        "--volume-driver=local",
        "-v=store:/store",
        "--stop-timeout=0",
    ];
    engine.corten(run.into_iter().chain(given()).chain(command)).ok();
    let create = [
        "create",
        "--name=made",
        "--oom-score-adj=78",
        "--runtime=runc",
        "--volume-driver=local",
        "-v=store:/store",
        "--stop-timeout=0",
    ];
    engine.corten(create.into_iter().chain(given()).chain(command)).ok();
    engine.corten(["start", "made"]).ok();
    for (name, score, runtime) in [("ran", "77", "corten"), ("made", "78", "runc")] {
        let fields = "{{.HostConfig.CgroupParent}} {{.HostConfig.Runtime}} {{.HostConfig.VolumeDriver}}";
        assert_eq!(engine.inspect(name, fields), format!("{parent} {runtime} local"));
        let path = format!("{parent}/{}", engine.inspect(name, "{{.Id}}"));
        let pid = engine.inspect(name, "{{.State.Pid}}");
        assert_eq!(
            cgroups::read_below(&path, &["memory/cgroup.procs", "cgroup.procs"]),
            pid
        );
        let file = format!("/proc/{pid}/oom_score_adj");
        assert_eq!(fs::read_to_string(file).expect("a process").trim(), score);
    }
    assert_eq!(
        engine
            .corten(["volume", "inspect", "-f", "{{.Driver}}", "store"])
            .line(),
        "local"
    );
    let driver = engine
        .corten(["create", "--volume-driver=nosuch", "-v=other:/x", "busybox"])
        .fails(1);
    assert!(driver.contains("nosuch"), "{driver}");
    // A parent that the user names is the user's to remove.
    engine.corten(["rm", "-f", "-v", "ran", "made"]).ok();
    engine
        .sh(&format!(
            "find /sys/fs/cgroup -depth -type d -path '*{parent}' -exec rmdir {{}} +"
        ))
        .ok();
}

#[test]
fn help_and_figures_of_all() {
    let engine = ready();
    for command in [["run", "--help"], ["create", "--help"]] {
        let help = engine.corten(command).ok();
        assert!(
            help.contains("IMAGE [COMMAND] [ARG...]") && help.contains("--memory bytes"),
            "{help}"
        );
    }
    let [ran, made] = both(&engine, &[]);
    engine.corten(["stop", made]).ok();
    let stats = |flags: &[&str]| {
        let words = ["stats", "--no-stream", "--format={{.Name}} {{.ID}}"];
        let shown = engine.corten(words.iter().chain(flags)).ok();
        let mut lines: Vec<_> = shown.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let id = |name: &str| engine.inspect(name, "{{.Id}}");
    let short = |name: &str| format!("{name} {}", &id(name)[..12]);
    assert_eq!(stats(&[]), [short(ran)]);
    assert_eq!(stats(&["--all"]), [short(made), short(ran)]);
    assert_eq!(stats(&["--no-trunc"]), [format!("{ran} {}", id(ran))]);
}
