//! Every limit of `run`, `create` and `update`: in the record and in the control groups.

use std::path::Path;
use std::time::{Duration, Instant};

use corten_tests::disk::Disk;
use corten_tests::engine::{Engine, Options};

use crate::cgroups;

/// A limit: the flag with its value, where it is in the record and what stands there, and the files of
/// version 1 and 2, each with the beginning of what is in it; an empty file name: that version has none.
struct Case(
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
    (&'static str, &'static str),
);

/// Looks whether the limits hold for a container that runs.
#[track_caller]
fn holds(engine: &Engine, name: &str, cases: &[Case]) {
    for Case(flag, field, value, one, two) in cases {
        let (file, expected) = if cgroups::unified() { two } else { one };
        assert_eq!(
            engine.inspect(name, &format!("{{{{.HostConfig.{field}}}}}")),
            *value,
            "{name}: {flag}"
        );
        if !file.is_empty() {
            let files: Vec<&str> = file.split('|').collect();
            let found = cgroups::read(engine, name, &files);
            assert!(
                found.starts_with(expected),
                "{name}: {flag}: {found:?}, not {expected:?}"
            );
        }
    }
}

#[test]
fn run_and_create_take_every_limit() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let weight = "io.bfq.weight|io.weight";
    let mut cases = vec![
        Case(
            "--cpu-period=50000",
            "CpuPeriod",
            "50000",
            ("cpu/cpu.cfs_period_us", "50000"),
            ("cpu.max", "20000 50000"),
        ),
        Case(
            "--cpu-quota=20000",
            "CpuQuota",
            "20000",
            ("cpu/cpu.cfs_quota_us", "20000"),
            ("cpu.max", "20000 50000"),
        ),
        Case(
            "--cpu-shares=512",
            "CpuShares",
            "512",
            ("cpu/cpu.shares", "512"),
            ("cpu.weight", "59"),
        ),
        Case(
            "--cpuset-cpus=0",
            "CpusetCpus",
            "0",
            ("cpuset/cpuset.cpus", "0"),
            ("cpuset.cpus", "0"),
        ),
        Case(
            "--cpuset-mems=0",
            "CpusetMems",
            "0",
            ("cpuset/cpuset.mems", "0"),
            ("cpuset.mems", "0"),
        ),
        Case(
            "--memory=64m",
            "Memory",
            "67108864",
            ("memory/memory.limit_in_bytes", "67108864"),
            ("memory.max", "67108864"),
        ),
        Case(
            "--memory-reservation=32m",
            "MemoryReservation",
            "33554432",
            ("memory/memory.soft_limit_in_bytes", "33554432"),
            ("memory.low", "33554432"),
        ),
        Case(
            "--memory-swap=96m",
            "MemorySwap",
            "100663296",
            ("memory/memory.memsw.limit_in_bytes", "100663296"),
            ("memory.swap.max", "33554432"),
        ),
        Case(
            "--pids-limit=33",
            "PidsLimit",
            "33",
            ("pids/pids.max", "33"),
            ("pids.max", "33"),
        ),
        Case(
            "--blkio-weight=300",
            "BlkioWeight",
            "300",
            ("blkio/blkio.bfq.weight|blkio/blkio.weight", "300"),
            (weight, "default "),
        ),
    ];
    if !cgroups::unified() {
        cases.extend([
            Case(
                "--memory-swappiness=30",
                "MemorySwappiness",
                "30",
                ("memory/memory.swappiness", "30"),
                ("", ""),
            ),
            Case(
                "--oom-kill-disable",
                "OomKillDisable",
                "true",
                ("memory/memory.oom_control", "oom_kill_disable 1"),
                ("", ""),
            ),
        ]);
    }
    let flags = || cases.iter().map(|case| case.0);
    let command = ["busybox", "sleep", "1000"];
    let run = ["run", "-d", "--name=ran", "--stop-timeout=0"]
        .into_iter()
        .chain(flags())
        .chain(command);
    let ran = engine.corten(run).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
    holds(&engine, "ran", &cases);
    let create = ["create", "--name=made", "--stop-timeout=0"]
        .into_iter()
        .chain(flags())
        .chain(command);
    let made = engine.corten(create).run();
    assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{made}");
    engine.corten(["start", "made"]).ok();
    holds(&engine, "made", &cases);
    // What version 2 has not is said, and the container made without it.
    let without = engine
        .corten(["create", "--memory-swappiness=30", "--oom-kill-disable", "busybox"])
        .run();
    let expected: &[&str] = if cgroups::unified() {
        &["Memory swappiness discarded.", "OomKillDisable discarded."]
    } else {
        &["OOM killer is disabled for the container, but no memory limit is set"]
    };
    assert_eq!(without.code, 0, "{without}");
    for words in expected {
        assert!(without.stderr.contains(words), "{without}");
    }
}

#[test]
fn update_changes_every_limit() {
    let engine = Engine::start();
    let first = [
        "-m=32m",
        "--memory-swap=64m",
        "--cpu-quota=30000",
        "--pids-limit=5",
        "--cpuset-cpus=0",
    ];
    for name in ["running", "stopped"] {
        let words = ["run", "-d", "--name", name, "--stop-timeout=0"]
            .into_iter()
            .chain(first);
        engine.corten(words.chain(["busybox", "sleep", "1000"])).ok();
    }
    engine.corten(["stop", "stopped"]).ok();
    let weight = "io.bfq.weight|io.weight";
    let cases = [
        Case(
            "--cpu-period=40000",
            "CpuPeriod",
            "40000",
            ("cpu/cpu.cfs_period_us", "40000"),
            ("cpu.max", "10000 40000"),
        ),
        Case(
            "--cpu-quota=10000",
            "CpuQuota",
            "10000",
            ("cpu/cpu.cfs_quota_us", "10000"),
            ("cpu.max", "10000 40000"),
        ),
        Case(
            "--cpu-shares=256",
            "CpuShares",
            "256",
            ("cpu/cpu.shares", "256"),
            ("cpu.weight", "35"),
        ),
        Case(
            "--cpuset-cpus=0-0",
            "CpusetCpus",
            "0-0",
            ("cpuset/cpuset.cpus", "0"),
            ("cpuset.cpus", "0"),
        ),
        Case(
            "--cpuset-mems=0",
            "CpusetMems",
            "0",
            ("cpuset/cpuset.mems", "0"),
            ("cpuset.mems", "0"),
        ),
        Case(
            "--memory=48m",
            "Memory",
            "50331648",
            ("memory/memory.limit_in_bytes", "50331648"),
            ("memory.max", "50331648"),
        ),
        Case(
            "--memory-reservation=24m",
            "MemoryReservation",
            "25165824",
            ("memory/memory.soft_limit_in_bytes", "25165824"),
            ("memory.low", "25165824"),
        ),
        Case(
            "--memory-swap=80m",
            "MemorySwap",
            "83886080",
            ("memory/memory.memsw.limit_in_bytes", "83886080"),
            ("memory.swap.max", "33554432"),
        ),
        Case(
            "--pids-limit=-1",
            "PidsLimit",
            "-1",
            ("pids/pids.max", "max"),
            ("pids.max", "max"),
        ),
        Case(
            "--blkio-weight=200",
            "BlkioWeight",
            "200",
            ("blkio/blkio.bfq.weight|blkio/blkio.weight", "200"),
            (weight, "default "),
        ),
        Case(
            "--restart=on-failure:4",
            "RestartPolicy.MaximumRetryCount",
            "4",
            ("", ""),
            ("", ""),
        ),
    ];
    let flags = cases.iter().map(|case| case.0);
    let update = engine
        .corten(["update"].into_iter().chain(flags).chain(["running", "stopped"]))
        .run();
    assert_eq!(
        (update.code, update.stdout.as_str()),
        (0, "running\nstopped\n"),
        "{update}"
    );
    holds(&engine, "running", &cases);
    engine.corten(["start", "stopped"]).ok();
    holds(&engine, "stopped", &cases);
    let cpus = engine.corten(["update", "--cpus=0.5", "running"]).fails(1);
    assert!(
        cpus.contains("Nano CPUs cannot be updated as CPU Period has already been set"),
        "{cpus}"
    );
}

#[test]
fn disks_are_slowed_down() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let disk = Disk::new(&engine.work(), 16);
    let (path, number) = (disk.path(), disk.numbers());
    let has_bfq = Path::new("/sys/module/bfq").exists()
        || corten_sys::fs::read_to_string("/sys/fs/cgroup/blkio/blkio.bfq.io_serviced").is_ok();
    if has_bfq {
        disk.set_scheduler("bfq");
    }
    let flags = [
        format!("--device={path}"),
        format!("--device-read-bps={path}:1mb"),
        format!("--device-write-bps={path}:2mb"),
        format!("--device-read-iops={path}:1000"),
        format!("--device-write-iops={path}:2000"),
        format!("--blkio-weight-device={path}:200"),
    ];
    let flags = || flags.iter().map(String::as_str);
    let command = ["busybox", "sleep", "1000"];
    let ran = engine
        .corten(
            ["run", "-d", "--name=ran", "--stop-timeout=0"]
                .into_iter()
                .chain(flags())
                .chain(command),
        )
        .run();
    let made = engine
        .corten(
            ["create", "--name=made", "--stop-timeout=0"]
                .into_iter()
                .chain(flags())
                .chain(command),
        )
        .run();
    engine.corten(["start", "made"]).ok();
    for finished in [ran, made] {
        assert_eq!(finished.code, 0, "{finished}");
        // A scheduler without weights cannot be given one, and Docker says so.
        assert_eq!(
            finished.stderr.contains("Weight-device discarded."),
            !has_bfq,
            "{finished}"
        );
    }
    for name in ["ran", "made"] {
        let throttle = |kind: &str, rate: &str| {
            let one = format!("blkio/blkio.throttle.{kind}_device");
            let found = cgroups::read(&engine, name, &[&one, "io.max"]);
            let expected = match cgroups::unified() {
                true => format!("{number} rbps=1048576 wbps=2097152 riops=1000 wiops=2000"),
                false => format!("{number} {rate}"),
            };
            assert_eq!(found, expected, "{name}: {kind}");
        };
        throttle("read_bps", "1048576");
        throttle("write_bps", "2097152");
        throttle("read_iops", "1000");
        throttle("write_iops", "2000");
        if has_bfq {
            let weights = cgroups::read(&engine, name, &["blkio/blkio.bfq.weight_device", "io.bfq.weight"]);
            assert!(weights.contains(&format!("{number} 200")), "{weights}");
        }
        let rate = engine.inspect(name, "{{(index .HostConfig.BlkioDeviceReadBps 0).Rate}}");
        assert_eq!(rate, "1048576");
    }
    let start = Instant::now();
    let read = format!("if={path}");
    engine
        .corten(["exec", "ran", "dd", &read, "of=/dev/null", "bs=1M", "count=3"])
        .ok();
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "3 MiB in {:?}",
        start.elapsed()
    );
    engine.corten(["rm", "-f", "ran", "made"]).ok();
    let missing = engine
        .corten(["run", "--rm", "--device-read-bps=/dev/nosuch:1mb", "busybox", "true"])
        .run();
    assert!(missing.code != 0 && missing.stderr.contains("/dev/nosuch"), "{missing}");
}

#[test]
fn real_time_takes_a_share_of_the_parent() {
    let flags = ["--cpu-rt-period=1000000", "--cpu-rt-runtime=100000"];
    if !Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        let engine = Engine::prepared(Options::with_flags(&flags));
        let output = engine.daemon().output().expect("the engine ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("daemon-scoped cpu-rt-period and cpu-rt-runtime are not"),
            "{said}"
        );
        let engine = Engine::start();
        let refused = engine
            .corten(["run", "--rm", "--cpu-rt-runtime=1000", "busybox", "true"])
            .fails(125);
        assert!(
            refused.contains("kernel does not support CPU real-time scheduler"),
            "{refused}"
        );
        return;
    }
    let engine = Engine::start_with(Options::with_flags(&flags));
    let command = ["busybox", "sleep", "1000"];
    let limits = ["--cpu-rt-period=500000", "--cpu-rt-runtime=10000"];
    let run = ["run", "-d", "--name=ran", "--stop-timeout=0"].into_iter();
    engine.corten(run.chain(limits).chain(command)).ok();
    let create = ["create", "--name=made", "--stop-timeout=0"].into_iter();
    engine.corten(create.chain(limits).chain(command)).ok();
    engine.corten(["start", "made"]).ok();
    let share = |name: &str| {
        ["cpu/cpu.rt_runtime_us", "cpu/cpu.rt_period_us"].map(|file| cgroups::read(&engine, name, &[file]))
    };
    assert_eq!(
        [share("ran"), share("made")],
        [["10000", "500000"], ["10000", "500000"]]
    );
    let of_parent = cgroups::read_below(engine.cgroup_parent(), &["cpu/cpu.rt_runtime_us"]);
    assert_eq!(of_parent, "100000");
    engine
        .corten(["update", "--cpu-rt-runtime=20000", "--cpu-rt-period=400000", "ran"])
        .ok();
    assert_eq!(share("ran"), ["20000", "400000"]);
    let field = "{{.HostConfig.CpuRealtimeRuntime}} {{.HostConfig.CpuRealtimePeriod}}";
    assert_eq!(engine.inspect("ran", field), "20000 400000");
    let more = engine
        .corten(["create", "--cpu-rt-runtime=9", "--cpu-rt-period=8", "busybox"])
        .fails(1);
    assert!(
        more.contains("cpu real-time runtime cannot be higher than cpu real-time period"),
        "{more}"
    );
    // More than the parent has is the kernel's to refuse.
    engine
        .corten(["run", "--rm", "--cpu-rt-runtime=900000", "busybox", "true"])
        .run();
    assert_eq!(engine.corten(["ps", "-q"]).ok().lines().count(), 2);
}

#[test]
fn what_linux_lacks_is_answered_as_docker_does() {
    let engine = Engine::start();
    engine.corten(["pull", "-q", "busybox"]).ok();
    let both = |flag: &str, words: &str| {
        for command in [["run", "--rm"], ["create", "-q"]] {
            let finished = engine
                .corten(command.into_iter().chain([flag, "busybox", "true"]))
                .run();
            assert_ne!(finished.code, 0, "{flag}: {finished}");
            assert!(finished.stderr.contains(words), "{flag}: no {words:?} in {finished}");
        }
    };
    let windows = |flag: &str| {
        let name = flag.split('=').next().unwrap_or(flag);
        both(
            flag,
            &format!(
                "\"{name}\" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux"
            ),
        );
    };
    windows("--cpu-count=2");
    windows("--cpu-percent=50");
    windows("--io-maxbandwidth=1m");
    windows("--io-maxiops=10");
    both(
        "--isolation=hyperv",
        "invalid isolation (hyperv): linux only supports 'default'",
    );
    both("--runtime=kata", "unknown or invalid runtime name: kata");
    both("--storage-opt=color=red", "Unknown option color");
    let quota = engine.corten(["create", "--storage-opt=size=1g", "busybox"]).run();
    assert!(
        quota.stderr.contains("xfs with 'pquota' mount option") || quota.stderr.contains("project quotas"),
        "{quota}"
    );
    assert_eq!(engine.corten(["ps", "-aq"]).ok(), "");
    // Kernel memory has been part of memory for years: the flag is there, and changes nothing.
    let kernel = [
        "run",
        "-d",
        "--name=web",
        "--kernel-memory=64m",
        "--isolation=default",
        "--stop-timeout=0",
    ];
    let ran = engine
        .corten(kernel.into_iter().chain(["busybox", "sleep", "1000"]))
        .run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
    engine.corten(["create", "--kernel-memory=64m", "busybox"]).ok();
    assert_eq!(engine.corten(["update", "--kernel-memory=128m", "web"]).ok(), "web\n");
    let limit = cgroups::read(&engine, "web", &["memory/memory.limit_in_bytes", "memory.max"]);
    assert!(limit == "max" || limit.len() > 15, "{limit}");
    // Of the API's fields, one is discarded with a word and the others are refused.
    let make = |limits: &str| {
        let body = format!(r#"{{"Image":"busybox","HostConfig":{{{limits}}}}}"#);
        let answer = engine.http(
            "POST",
            "/containers/create",
            Some(&serde_json::from_str(&body).expect("JSON")),
        );
        (answer.status, answer.text())
    };
    let (status, text) = make(r#""CpuPercent":50,"CpuCount":3"#);
    assert_eq!(status, 201, "{text}");
    assert!(
        text.contains("linux does not support CPU percent. Percent discarded."),
        "{text}"
    );
    let (status, text) = make(r#""IOMaximumIOps":5"#);
    assert_eq!(status, 400, "{text}");
    assert!(
        text.contains("QoS maximum IOPs configuration is not supported on linux"),
        "{text}"
    );
}

#[test]
fn checkpoints_are_refused() {
    let engine = Engine::start();
    engine.corten(["create", "--name=web", "busybox", "true"]).ok();
    for flag in ["--checkpoint=one", "--checkpoint-dir=/tmp"] {
        let refused = engine.corten(["start", flag, "web"]).fails(1);
        let name = flag.split('=').next().unwrap_or(flag);
        let words = format!("\"{name}\" is only supported on a Docker daemon with experimental features enabled");
        assert!(refused.contains(&words), "{refused}");
    }
    let answer = engine.http("POST", "/containers/web/start?checkpoint=one", None);
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .contains("checkpoint is only supported in experimental mode"),
        "{}",
        answer.text()
    );
    assert_eq!(engine.inspect("web", "{{.State.Status}}"), "created");
    let engine = Engine::start_with(Options::with_flags(&["--experimental"]));
    engine.corten(["create", "--name=web", "busybox", "true"]).ok();
    let refused = engine.corten(["start", "--checkpoint=one", "web"]).fails(1);
    assert!(refused.contains("--checkpoint is not supported"), "{refused}");
    let answer = engine.http("POST", "/containers/web/start?checkpoint=one", None);
    assert_eq!(answer.status, 501, "{}", answer.text());
}
