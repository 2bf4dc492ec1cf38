//! Changing limits of containers that run, and the order in which containers come back.

use corten_tests::engine::Engine;

/// A container that runs until it is removed.
fn run(engine: &Engine, name: &str, more: &[&str]) {
    let args = ["run", "-d", "--name", name, "--stop-timeout", "0"];
    engine
        .corten(args.iter().chain(more).chain(&["busybox", "sleep", "1000"]))
        .ok();
}

/// What a container's cgroup says, by the names of either version.
fn cgroup(engine: &Engine, name: &str, v1: &str, v2: &str) -> String {
    let path = format!(
        "{}/{}",
        engine.cgroup_parent().trim_matches('/'),
        engine.inspect(name, "{{.Id}}")
    );
    let (controller, file) = v1.split_once('/').expect("controller and file");
    let script = format!("cat {controller}/{path}/{file} {path}/{v2} 2>/dev/null; true");
    engine.sh(&format!("cd /sys/fs/cgroup; {script}")).line()
}

#[test]
fn limits_change_while_it_runs() {
    let engine = Engine::start();
    run(&engine, "web", &["-m", "32m"]);
    let memory = || cgroup(&engine, "web", "memory/memory.limit_in_bytes", "memory.max");
    assert_eq!(memory(), "33554432");
    engine
        .corten([
            "update",
            "-m",
            "64m",
            "--memory-swap",
            "256m",
            "--pids-limit",
            "77",
            "web",
        ])
        .ok();
    assert_eq!(memory(), "67108864");
    assert_eq!(cgroup(&engine, "web", "pids/pids.max", "pids.max"), "77");
    engine
        .corten(["update", "--cpus", "0.5", "--cpuset-cpus", "0", "web"])
        .ok();
    let quota = cgroup(&engine, "web", "cpu/cpu.cfs_quota_us", "cpu.max");
    assert!(quota.starts_with("50000"), "{quota}");
    assert_eq!(cgroup(&engine, "web", "cpuset/cpuset.cpus", "cpuset.cpus"), "0");
    engine.corten(["update", "--restart", "on-failure:3", "web"]).ok();
    let record = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(engine.inspect("web", record), "67108864 500000000 3");
    // And they are there after a restart.
    engine.corten(["restart", "web"]).ok();
    assert_eq!(memory(), "67108864");
}

#[test]
fn contradictions_are_refused_in_dockers_words() {
    let engine = Engine::start();
    run(
        &engine,
        "web",
        &["-m", "32m", "--memory-swap", "64m", "--cpus", "1", "--rm"],
    );
    let refused = |flags: &[&str], words: &str| {
        let before = engine.inspect("web", "{{json .HostConfig}}");
        let said = engine.corten(["update"].iter().chain(flags).chain(&["web"])).fails(1);
        assert!(said.contains(words), "{flags:?}: {said}");
        assert_eq!(engine.inspect("web", "{{json .HostConfig}}"), before);
    };
    refused(
        &["--cpu-quota", "5000"],
        "CPU Quota cannot be updated as NanoCPUs has already been set",
    );
    refused(
        &["-m", "128m"],
        "Memory limit should be smaller than already set memoryswap limit",
    );
    refused(&["-m", "1m"], "Minimum memory limit allowed is 6MB");
    refused(
        &["--restart", "always"],
        "Restart policy cannot be updated because AutoRemove is enabled",
    );
    refused(&["--restart", "bogus"], "unknown policy 'bogus'");
    refused(&["--cpuset-cpus", "900"], "Requested CPUs are not available");
    let isolation = engine.corten(["create", "--isolation", "hyperv", "busybox"]).fails(1);
    assert!(
        isolation.contains("invalid isolation (hyperv): linux only supports 'default'"),
        "{isolation}"
    );
}

#[test]
fn what_others_need_comes_back_first() {
    let engine = Engine::start();
    run(&engine, "base", &["--restart", "always"]);
    run(
        &engine,
        "guest",
        &[
            "--restart",
            "always",
            "--network",
            "container:base",
            "--pid",
            "container:base",
        ],
    );
    let pid = |name: &str| engine.inspect(name, "{{.State.Pid}}");
    let shims: Vec<String> = ["base", "guest"]
        .iter()
        .map(|name| format!("$(ps -o ppid= -p {})", pid(name)))
        .collect();
    let shims = engine.sh(&format!("echo {}", shims.join(" "))).line();
    // As after a reboot: nothing runs any more.
    engine.kill();
    engine.sh(&format!("kill -9 {shims}")).ok();
    engine.launch();
    engine.wait_for("guest", "{{.State.Status}}", "running");
    engine.wait_for("base", "{{.State.Status}}", "running");
    let namespace = |name: &str| engine.sh(&format!("readlink /proc/{}/ns/net", pid(name))).line();
    assert_eq!(namespace("guest"), namespace("base"));
}
