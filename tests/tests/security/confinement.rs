//! Capabilities, seccomp, namespaces, masked paths: the defaults are Docker's.

use corten_tests::engine::Engine;

/// Runs a script in a container; what it says.
#[track_caller]
fn sh(engine: &Engine, options: &[&str], script: &str) -> String {
    let after = ["busybox", "sh", "-c", script];
    engine
        .corten(["run", "--rm"].iter().chain(options).chain(&after))
        .run()
        .stdout
}

#[test]
fn capabilities_are_docker_s() {
    let engine = Engine::start();
    let caps = |options: &[&str]| {
        sh(&engine, options, "grep CapEff /proc/self/status | cut -f2")
            .trim()
            .to_owned()
    };
    assert_eq!(caps(&[]), "00000000a80425fb");
    assert_eq!(caps(&["--cap-drop", "ALL"]), "0000000000000000");
    assert_eq!(
        caps(&["--cap-drop", "all", "--cap-add", "NET_ADMIN"]),
        "0000000000001000"
    );
    assert_eq!(caps(&["-u", "1000"]), "0000000000000000");
    let bounding = sh(&engine, &[], "grep CapBnd /proc/self/status | cut -f2");
    assert_eq!(bounding.trim(), "00000000a80425fb");
    assert_eq!(
        sh(&engine, &[], "grep CapInh /proc/self/status | cut -f2").trim(),
        "0000000000000000"
    );
}

#[test]
fn seccomp_is_on_and_can_be_put_off() {
    let engine = Engine::start();
    let mode = |options: &[&str]| {
        sh(&engine, options, "grep '^Seccomp:' /proc/self/status | cut -f2")
            .trim()
            .to_owned()
    };
    assert_eq!(mode(&[]), "2");
    assert_eq!(mode(&["--security-opt", "seccomp=unconfined"]), "0");
    assert_eq!(mode(&["--privileged"]), "0");
    // unshare(2) takes a capability that is not there, and the filter says so first.
    let refused = sh(&engine, &[], "unshare -m true 2>&1 || echo refused");
    assert!(refused.ends_with("refused\n"), "{refused}");
}

#[test]
fn an_own_seccomp_profile_is_followed() {
    let engine = Engine::start();
    let profile =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    corten_sys::fs::write(engine.work().join("profile.json"), profile).unwrap();
    let said = sh(
        &engine,
        &["--security-opt", "seccomp=profile.json"],
        "mkdir /made 2>&1; touch /file && echo file",
    );
    assert!(
        said.contains("Operation not permitted") && said.ends_with("file\n"),
        "{said}"
    );
}

#[test]
fn no_new_privileges_is_kept() {
    let engine = Engine::start();
    let script = "grep NoNewPrivs /proc/self/status | cut -f2";
    assert_eq!(sh(&engine, &[], script), "0\n");
    assert_eq!(sh(&engine, &["--security-opt", "no-new-privileges"], script), "1\n");
}

#[test]
fn what_the_kernel_tells_of_the_host_is_hidden() {
    let engine = Engine::start();
    let script = "cat /proc/kcore 2>/dev/null | head -c1 | wc -c; cat /proc/keys 2>/dev/null | wc -c; \
                  cat /proc/timer_list 2>/dev/null | wc -c; ls /proc/scsi /sys/firmware /proc/acpi 2>/dev/null | grep -v ':$' | grep -v '^$' | wc -l";
    assert_eq!(sh(&engine, &[], script), "0\n0\n0\n0\n");
}

#[test]
fn the_kernel_s_switches_cannot_be_turned() {
    let engine = Engine::start();
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/proc/irq/0/smp_affinity",
        "/sys/kernel/mm/ksm/run",
        "/proc/sys/vm/drop_caches",
    ] {
        let said = sh(&engine, &[], &format!("echo 1 2>/dev/null > {path} && echo written"));
        assert_eq!(said, "", "{path}");
    }
    let said = sh(
        &engine,
        &[],
        "for f in /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do (echo $$ > $f) 2>/dev/null && echo written $f; done",
    );
    assert_eq!(said, "");
}

#[test]
fn nothing_can_be_mounted_or_made_a_device() {
    let engine = Engine::start();
    let said = sh(
        &engine,
        &[],
        "mount -t tmpfs none /mnt 2>/dev/null && echo mounted; mount -o remount,rw /sys 2>/dev/null && echo remounted",
    );
    assert_eq!(said, "");
    // A node can be made (CAP_MKNOD is Docker's default), and opening it is refused.
    let said = sh(
        &engine,
        &[],
        "mknod /disk b 8 0 && head -c1 /disk >/dev/null 2>&1 && echo read; mknod /mem c 1 1 && head -c1 /mem > /dev/null 2>&1 && echo read",
    );
    assert_eq!(said, "");
    let devices = sh(&engine, &[], "ls /dev | tr '\\n' ' '");
    for name in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm"] {
        assert!(devices.split(' ').any(|device| device == name), "{name} in {devices}");
    }
    for name in ["sda", "vda", "mem", "kmsg", "kvm", "loop0"] {
        assert!(devices.split(' ').all(|device| device != name), "{name} in {devices}");
    }
}

#[test]
fn namespaces_are_its_own() {
    let engine = Engine::start();
    let inside = sh(
        &engine,
        &[],
        "for n in mnt pid net ipc uts; do readlink /proc/self/ns/$n; done",
    );
    let outside = engine
        .sh("for n in mnt pid net ipc uts; do readlink /proc/self/ns/$n; done")
        .ok();
    for (inside, outside) in inside.lines().zip(outside.lines()) {
        assert_ne!(inside, outside);
    }
    assert_eq!(inside.lines().count(), 5);
    // Processes of the host cannot be seen.
    let count: u32 = sh(&engine, &[], "ls -d /proc/[0-9]* | wc -l").trim().parse().unwrap();
    assert!(count < 5, "{count}");
}

#[test]
fn host_namespaces_are_given_when_asked_for() {
    let engine = Engine::start();
    let shares = |option: &str, name: &str| {
        let script = format!("readlink /proc/self/ns/{name}");
        sh(&engine, &[option], &script) == engine.sh(&script).ok()
    };
    assert!(shares("--network=host", "net"));
    assert!(shares("--uts=host", "uts"));
    assert!(shares("--ipc=host", "ipc"));
    assert!(shares("--pid=host", "pid"));
}

#[test]
fn descriptors_of_the_engine_do_not_leak() {
    let engine = Engine::start();
    // Three and the folder that `ls` reads.
    let said = sh(&engine, &[], "ls /proc/self/fd | wc -l");
    assert_eq!(said.trim(), "4");
    engine
        .corten(["run", "-d", "--name", "host", "busybox", "sleep", "300"])
        .ok();
    // A shell would open and close its own while it is looked at; this one has what it was started with.
    let others = "ls /proc/self/fd | wc -l; ls -l /proc/1/fd | grep -v 'pipe:\\|/dev/null\\|total' | wc -l";
    let said = engine.corten(["exec", "host", "sh", "-c", others]).ok();
    let numbers: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(numbers, ["4", "0"]);
}

#[test]
fn fork_bombs_end_at_the_limit() {
    let engine = Engine::start();
    let said = sh(
        &engine,
        &["--pids-limit", "20"],
        "for i in $(seq 50); do sleep 5 & done 2>&1; echo; ls -d /proc/[0-9]* | wc -l",
    );
    let count: u32 = said
        .lines()
        .last()
        .and_then(|line| line.trim().parse().ok())
        .unwrap_or(0);
    assert!(count <= 20, "{said}");
}
