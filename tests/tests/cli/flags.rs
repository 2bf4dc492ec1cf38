//! Flags of `create` and `run`: what they leave in the container's description, and what the program sees.

use corten_tests::engine::Engine;

/// Creates a container with flags, and compares what `inspect` shows.
#[track_caller]
fn created(engine: &Engine, flags: &[&str], template: &str, expected: &str) {
    let words = ["create"].iter().chain(flags).chain(&["busybox", "true"]);
    let id = engine.corten(words).line();
    assert_eq!(engine.inspect(&id, template), expected, "{flags:?}");
    engine.corten(["rm", &id]).ok();
}

#[test]
fn create_keeps_what_its_flags_say() {
    let engine = Engine::start();
    let cases: &[(&[&str], &str, &str)] = &[
        (
            &["--add-host", "a:1.2.3.4"],
            "{{json .HostConfig.ExtraHosts}}",
            r#"["a:1.2.3.4"]"#,
        ),
        (
            &["--annotation", "a=b"],
            "{{json .HostConfig.Annotations}}",
            r#"{"a":"b"}"#,
        ),
        (
            &["-a", "stdout"],
            "{{.Config.AttachStdout}} {{.Config.AttachStderr}}",
            "true false",
        ),
        (
            &["--cap-add", "NET_ADMIN"],
            "{{json .HostConfig.CapAdd}}",
            r#"["CAP_NET_ADMIN"]"#,
        ),
        (
            &["--cap-drop", "chown"],
            "{{json .HostConfig.CapDrop}}",
            r#"["CAP_CHOWN"]"#,
        ),
        (&["--cgroupns", "host"], "{{.HostConfig.CgroupnsMode}}", "host"),
        (&["--cpu-period", "50000"], "{{.HostConfig.CpuPeriod}}", "50000"),
        (&["--cpu-quota", "25000"], "{{.HostConfig.CpuQuota}}", "25000"),
        (&["-c", "512"], "{{.HostConfig.CpuShares}}", "512"),
        (&["--cpus", "0.5"], "{{.HostConfig.NanoCpus}}", "500000000"),
        (&["--cpuset-cpus", "0"], "{{.HostConfig.CpusetCpus}}", "0"),
        (&["--cpuset-mems", "0"], "{{.HostConfig.CpusetMems}}", "0"),
        (
            &["--device", "/dev/zero:/dev/nil:r"],
            "{{json .HostConfig.Devices}}",
            r#"[{"PathOnHost":"/dev/zero","PathInContainer":"/dev/nil","CgroupPermissions":"r"}]"#,
        ),
        (&["--disable-content-trust"], "{{.State.Status}}", "created"),
        (&["--dns", "9.9.9.9"], "{{json .HostConfig.Dns}}", r#"["9.9.9.9"]"#),
        (
            &["--dns-opt", "ndots:2"],
            "{{json .HostConfig.DnsOptions}}",
            r#"["ndots:2"]"#,
        ),
        (
            &["--dns-option", "ndots:3"],
            "{{json .HostConfig.DnsOptions}}",
            r#"["ndots:3"]"#,
        ),
        (
            &["--dns-search", "example.org"],
            "{{json .HostConfig.DnsSearch}}",
            r#"["example.org"]"#,
        ),
        (
            &["--domainname", "example.org"],
            "{{.Config.Domainname}}",
            "example.org",
        ),
        (
            &["--entrypoint", "/bin/sh"],
            "{{json .Config.Entrypoint}}",
            r#"["/bin/sh"]"#,
        ),
        (&["-e", "A=b"], "{{index .Config.Env 0}}", "A=b"),
        (&["--expose", "7"], "{{json .Config.ExposedPorts}}", r#"{"7/tcp":{}}"#),
        (
            &["--group-add", "audio"],
            "{{json .HostConfig.GroupAdd}}",
            r#"["audio"]"#,
        ),
        (&["-h", "box"], "{{.Config.Hostname}}", "box"),
        (&["--init"], "{{.HostConfig.Init}}", "true"),
        (&["-i"], "{{.Config.OpenStdin}} {{.Config.StdinOnce}}", "true true"),
        (&["--ipc", "host"], "{{.HostConfig.IpcMode}}", "host"),
        (&["-l", "a=b"], "{{json .Config.Labels}}", r#"{"a":"b"}"#),
        (&["--log-driver", "none"], "{{.HostConfig.LogConfig.Type}}", "none"),
        (
            &["--log-opt", "max-size=5m"],
            "{{json .HostConfig.LogConfig.Config}}",
            r#"{"max-size":"5m"}"#,
        ),
        (&["-m", "64m"], "{{.HostConfig.Memory}}", "67108864"),
        (
            &["--memory-reservation", "32m"],
            "{{.HostConfig.MemoryReservation}}",
            "33554432",
        ),
        (
            &["-m", "64m", "--memory-swap", "128m"],
            "{{.HostConfig.MemorySwap}}",
            "134217728",
        ),
        (
            &["--mount", "type=tmpfs,dst=/t"],
            "{{json .HostConfig.Mounts}}",
            r#"[{"Type":"tmpfs","Target":"/t"}]"#,
        ),
        (&["--name", "named"], "{{.Name}}", "/named"),
        (&["--net", "host"], "{{.HostConfig.NetworkMode}}", "host"),
        (&["--network", "none"], "{{.HostConfig.NetworkMode}}", "none"),
        (
            &["--no-healthcheck"],
            "{{json .Config.Healthcheck.Test}}",
            r#"["NONE"]"#,
        ),
        (&["--oom-score-adj", "100"], "{{.HostConfig.OomScoreAdj}}", "100"),
        (&["--pid", "host"], "{{.HostConfig.PidMode}}", "host"),
        (&["--pids-limit", "7"], "{{.HostConfig.PidsLimit}}", "7"),
        (&["--platform", "linux/amd64"], "{{.Platform}}", "linux"),
        (&["--privileged"], "{{.HostConfig.Privileged}}", "true"),
        (
            &["-p", "127.0.0.1:81:80"],
            "{{json .HostConfig.PortBindings}}",
            r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"81"}]}"#,
        ),
        (&["-P"], "{{.HostConfig.PublishAllPorts}}", "true"),
        (&["--pull", "missing"], "{{.Config.Image}}", "busybox"),
        (&["-q"], "{{.State.Status}}", "created"),
        (&["--read-only"], "{{.HostConfig.ReadonlyRootfs}}", "true"),
        (
            &["--restart", "on-failure:3"],
            "{{.HostConfig.RestartPolicy.MaximumRetryCount}}",
            "3",
        ),
        (&["--rm"], "{{.HostConfig.AutoRemove}}", "true"),
        (
            &["--security-opt", "no-new-privileges"],
            "{{json .HostConfig.SecurityOpt}}",
            r#"["no-new-privileges"]"#,
        ),
        (&["--shm-size", "1m"], "{{.HostConfig.ShmSize}}", "1048576"),
        (&["--stop-signal", "USR1"], "{{.Config.StopSignal}}", "USR1"),
        (&["--stop-timeout", "3"], "{{.Config.StopTimeout}}", "3"),
        (
            &["--sysctl", "kernel.shmmax=7"],
            "{{json .HostConfig.Sysctls}}",
            r#"{"kernel.shmmax":"7"}"#,
        ),
        (
            &["--tmpfs", "/t:size=1m"],
            "{{json .HostConfig.Tmpfs}}",
            r#"{"/t":"size=1m"}"#,
        ),
        (&["-t"], "{{.Config.Tty}}", "true"),
        (
            &["--ulimit", "nofile=5:6"],
            "{{json .HostConfig.Ulimits}}",
            r#"[{"Name":"nofile","Hard":6,"Soft":5}]"#,
        ),
        (&["-u", "7:8"], "{{.Config.User}}", "7:8"),
        (&["--userns", "host"], "{{.HostConfig.UsernsMode}}", "host"),
        (&["--uts", "host"], "{{.HostConfig.UTSMode}}", "host"),
        (&["-v", "/tmp:/t:ro"], "{{json .HostConfig.Binds}}", r#"["/tmp:/t:ro"]"#),
        (&["-w", "/tmp"], "{{.Config.WorkingDir}}", "/tmp"),
    ];
    for (flags, template, expected) in cases {
        let words = ["create"].iter().chain(*flags).chain(&["busybox", "true"]);
        let id = engine.corten(words).line();
        assert_eq!(engine.inspect(&id, template), *expected, "{flags:?}");
        engine.corten(["rm", &id]).ok();
    }
}

#[test]
fn create_reads_and_writes_files() {
    let engine = Engine::start();
    let file = |name: &str, text: &str| {
        let path = engine.work().join(name);
        corten_sys::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let environment = file("environment", "# not this\nA=b\nC=d e\n");
    created(
        &engine,
        &["--env-file", &environment],
        "{{index .Config.Env 0}}|{{index .Config.Env 1}}",
        "A=b|C=d e",
    );
    let labels = file("labels", "a=b\n");
    created(
        &engine,
        &["--label-file", &labels],
        "{{json .Config.Labels}}",
        r#"{"a":"b"}"#,
    );
    let cidfile = engine.work().join("cid");
    let shown = cidfile.to_string_lossy().into_owned();
    let id = engine.corten(["create", "--cidfile", &shown, "busybox"]).line();
    assert_eq!(corten_sys::fs::read_to_string(&cidfile).expect("the file"), id);
    let parent = format!("{}/below", engine.cgroup_parent());
    created(
        &engine,
        &["--cgroup-parent", &parent],
        "{{.HostConfig.CgroupParent}}",
        &parent,
    );
}

#[test]
fn a_program_sees_what_run_s_flags_say() {
    let engine = Engine::start();
    let environment = engine.work().join("environment");
    corten_sys::fs::write(&environment, "FROM_FILE=yes\n").expect("a file");
    let environment = environment.to_string_lossy().into_owned();
    let cases: &[(&[&str], &str, &str)] = &[
        (&["--env-file", &environment], "echo $FROM_FILE", "yes\n"),
        (&["--group-add", "7"], "id -G", "0 7\n"),
        (
            &["--domainname", "example.org"],
            "cat /proc/sys/kernel/domainname",
            "example.org\n",
        ),
        (
            &["--dns", "9.9.9.9", "--dns-opt", "ndots:2"],
            "tail -n 1 /etc/resolv.conf",
            "options ndots:2\n",
        ),
        (
            &["--dns", "9.9.9.9", "--dns-option", "ndots:3"],
            "tail -n 1 /etc/resolv.conf",
            "options ndots:3\n",
        ),
        (
            &["--cpu-period", "50000", "--cpu-quota", "25000"],
            "cat /sys/fs/cgroup/cpu/cpu.cfs_period_us /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max",
            "50000\n25000\n",
        ),
        (
            &["--cpuset-mems", "0"],
            "grep Mems_allowed_list /proc/self/status",
            "Mems_allowed_list:\t0\n",
        ),
        (&["--annotation", "a=b", "--disable-content-trust"], "echo ran", "ran\n"),
        (
            &["--expose", "7", "--label", "a=b", "--uts", "host"],
            "echo ran",
            "ran\n",
        ),
    ];
    for (flags, script, expected) in cases {
        let before = ["run", "--rm"].iter().chain(*flags);
        let arguments: Vec<&str> = before.chain(&["busybox", "sh", "-c"]).copied().collect();
        assert_eq!(
            engine.corten(arguments.iter().chain([script])).ok(),
            *expected,
            "{flags:?}"
        );
    }
}
