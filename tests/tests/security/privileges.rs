//! What a container's processes may do, by default and when asked for.

use corten_tests::engine::Engine;

/// Docker's default capabilities (`capabilities(7)`): 0xa80425fb.
const DEFAULT: &str = "00000000a80425fb";

/// Fields of `/proc/self/status` in a container.
fn status(engine: &Engine, options: &[&str]) -> Vec<String> {
    let script = "for f in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do grep ^$f: /proc/self/status | cut -f2; done";
    let all = [&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat();
    engine.corten(all).ok().lines().map(str::to_owned).collect()
}

#[test]
fn capabilities_are_those_asked_for() {
    let engine = Engine::start();
    let none = "0000000000000000";
    let all = engine.sh("grep ^CapBnd: /proc/self/status | cut -f2").line();
    let check = |options: &[&str], expected: [&str; 7]| assert_eq!(status(&engine, options), expected, "{options:?}");
    check(&[], [none, DEFAULT, DEFAULT, DEFAULT, none, "0", "2"]);
    check(&["-u", "1000"], [none, none, none, DEFAULT, none, "0", "2"]);
    check(&["--cap-drop", "ALL"], [none, none, none, none, none, "0", "2"]);
    let admin = "0000000000001000";
    check(
        &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"],
        [none, admin, admin, admin, none, "0", "2"],
    );
    check(
        &["--security-opt", "no-new-privileges"],
        [none, DEFAULT, DEFAULT, DEFAULT, none, "1", "2"],
    );
    check(
        &["--security-opt", "seccomp=unconfined"],
        [none, DEFAULT, DEFAULT, DEFAULT, none, "0", "0"],
    );
    check(&["--privileged"], [none, &all, &all, &all, none, "0", "0"]);
}

#[test]
fn execs_have_no_more_than_their_container() {
    let engine = Engine::start();
    engine
        .corten(["run", "-d", "--name", "box", "busybox", "sleep", "1000"])
        .ok();
    let fields = |options: &[&str]| {
        let script = "grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status | cut -f2 | tr '\\n' ' '";
        engine
            .corten([&["exec"], options, &["box", "sh", "-c", script]].concat())
            .line()
    };
    assert_eq!(fields(&[]), format!("{DEFAULT} {DEFAULT} 0 2"));
    assert_eq!(fields(&["-u", "1000"]), format!("0000000000000000 {DEFAULT} 0 2"));
    // The container's own limits hold for privileged ones too: devices, namespaces.
    let all = engine.sh("grep ^CapBnd: /proc/self/status | cut -f2").line();
    assert!(fields(&["--privileged"]).starts_with(&all));
}

#[test]
fn a_privileged_container_may_do_all() {
    let engine = Engine::start();
    let script = "mkdir /m && mount -t tmpfs none /m && [ -e /dev/kmsg ] && [ -w /proc/sys/kernel/hostname ] && \
                  dd if=/dev/kmsg of=/dev/null count=0 && [ -w /sys/kernel ] && echo all";
    assert_eq!(
        engine
            .corten(["run", "--rm", "--privileged", "busybox", "sh", "-c", script])
            .line(),
        "all"
    );
}

#[test]
fn a_read_only_root_is() {
    let engine = Engine::start();
    let run = |options: &[&str], script: &str| {
        let all = [
            &["run", "--rm", "--read-only"],
            options,
            &["busybox", "sh", "-c", script],
        ]
        .concat();
        engine.corten(all).run()
    };
    for file in ["/file", "/etc/passwd", "/tmp/file", "/etc/hosts.new"] {
        let refused = run(&[], &format!("echo x >> {file}"));
        assert!(
            refused.code != 0 && refused.stderr.contains("Read-only file system"),
            "{file}: {refused}"
        );
    }
    assert_eq!(
        run(
            &["--tmpfs", "/tmp", "-v", "kept:/kept"],
            "touch /tmp/f /kept/f /dev/shm/f"
        )
        .code,
        0
    );
    engine.corten(["volume", "rm", "kept"]).ok();
}

#[test]
fn namespaces_are_the_container_s_own_unless_asked() {
    let engine = Engine::start();
    let namespaces = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    let list = namespaces.map(|name| format!("/proc/self/ns/{name}")).join(" ");
    let script = format!("for n in {list}; do readlink $n; done");
    let host: Vec<String> = engine.sh(&script).ok().lines().map(str::to_owned).collect();
    let inside = |options: &[&str]| -> Vec<bool> {
        let all = [&["run", "--rm"], options, &["busybox", "sh", "-c", &script]].concat();
        let own = engine.corten(all).ok();
        own.lines().zip(&host).map(|(own, host)| own == host).collect()
    };
    let default = inside(&[]);
    assert_eq!(default[1..], [false; 5], "ipc, mnt, net, pid, uts");
    let shared = inside(&[
        "--ipc",
        "host",
        "--network",
        "host",
        "--pid",
        "host",
        "--uts",
        "host",
        "--cgroupns",
        "host",
    ]);
    assert_eq!(shared, [true, true, false, true, true, true]);
    assert!(inside(&["--cgroupns", "private"])[..1] == [false]);
    let user = engine.sh("readlink /proc/self/ns/user").line();
    assert_eq!(
        engine
            .corten([
                "run",
                "--rm",
                "--privileged",
                "busybox",
                "readlink",
                "/proc/self/ns/user"
            ])
            .line(),
        user
    );
}

/// The runtime needs descriptors, and writes files, until just before the program is executed: none of that counts.
#[test]
fn resource_limits_are_the_programs_not_the_runtimes() {
    let engine = Engine::start();
    let limits = ["--ulimit", "nofile=8:9", "--ulimit", "fsize=0:0"];
    let script = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; echo $HOME";
    let expected = "8\n9\n100\n/root\n";
    let run = |more: &[&str], rest: &[&str]| {
        let all = [
            &["run", "--oom-score-adj", "100"],
            &limits[..],
            more,
            &["busybox"],
            rest,
        ]
        .concat();
        engine.corten(all).ok()
    };
    for more in [&["--rm"][..], &["--rm", "--tmpfs", "/var"], &["--rm", "--init"]] {
        assert_eq!(run(more, &["sh", "-c", script]), expected, "{more:?}");
    }
    run(&["-d", "--name", "box"], &["sleep", "1000"]);
    assert_eq!(engine.corten(["exec", "box", "sh", "-c", script]).ok(), expected);
    // Whoever the program becomes: raising limits takes the host's root.
    let user = ["exec", "-u", "1000", "box", "sh", "-c", "ulimit -n; id -u"];
    assert_eq!(engine.corten(user).ok(), "8\n1000\n");
}
