//! What the flags of `build` do.

use corten_sys::fs;

use crate::{context, engine};

#[test]
fn secrets_reach_commands_and_nothing_else() {
    let engine = engine();
    let dockerfile = "FROM busybox\n\
                      RUN --mount=type=secret,id=file cat /run/secrets/file | sha256sum > /f; stat -c %a /run/secrets/file > /m\n\
                      RUN --mount=type=secret,id=other,target=/s/x,mode=0444,uid=5 stat -c '%a %u' /s/x > /o; cat /s/x | wc -c >> /o\n\
                      RUN --mount=type=secret,id=variable,env=TOKEN echo ${#TOKEN} > /v\n\
                      RUN --mount=type=secret,id=nosuch test ! -e /run/secrets/nosuch\n\
                      CMD cat /m /o /v; ls /run /s 2>/dev/null; true\n";
    let folder = context(
        &engine,
        "secrets",
        &[("Dockerfile", dockerfile), ("../secret-file", "tr0ub4dor&3-in-a-file")],
    );
    let file = engine.work().join("secret-file");
    let built = engine
        .corten(["build", "--progress", "plain", "-t", "secrets", "--secret"])
        .arg(format!("id=file,src={}", file.display()))
        .arg("--secret")
        .arg(format!("id=other,source={}", file.display()))
        .args(["--secret", "id=variable,env=TOLD", &folder])
        .env("TOLD", "horse-battery")
        .run();
    assert_eq!(built.code, 0, "{built}");
    let said = engine.corten(["run", "--rm", "secrets"]).ok();
    assert!(said.starts_with("400\n444 5\n21\n13\n"), "{said}");
    assert!(!said.contains("secrets"), "no place is left: {said}");
    let everywhere = engine.sh(&format!(
        "grep -rlE 'tr0ub4dor|horse-battery' {} {} 2>/dev/null | grep -v secret-file",
        engine.data_root().display(),
        engine.exec_root().display()
    ));
    assert_eq!(everywhere.run().stdout, "", "no disk has them");
    let missing = context(
        &engine,
        "missing",
        &[(
            "Dockerfile",
            "FROM busybox\nRUN --mount=type=secret,id=gone,required true\n",
        )],
    );
    let said = engine.corten(["build", &missing]).fails(1);
    assert!(said.ends_with("failed to solve: secret gone: not found\n"), "{said}");
}

#[test]
fn agents_answer_at_a_socket() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /s && stat -c %a $SSH_AUTH_SOCK >> /s\nCMD cat /s\n";
    let folder = context(&engine, "ssh", &[("Dockerfile", dockerfile)]);
    let key = engine.work().join("key");
    engine
        .sh(&format!("ssh-keygen -q -t ed25519 -N '' -f {}", key.display()))
        .ok();
    engine
        .corten([
            "build",
            "-q",
            "-t",
            "ssh",
            "--ssh",
            &format!("default={}", key.display()),
            &folder,
        ])
        .ok();
    assert_eq!(
        engine.corten(["run", "--rm", "ssh"]).ok(),
        "/run/buildkit/ssh_agent.0\n600\n"
    );
    let required = context(
        &engine,
        "required",
        &[(
            "Dockerfile",
            "FROM busybox\nRUN --mount=type=ssh,id=other,required true\n",
        )],
    );
    let said = engine.corten(["build", &required]).fails(1);
    assert!(said.contains("unset ssh forward key other"), "{said}");
}

#[test]
fn results_go_where_output_says() {
    let engine = engine();
    let dockerfile = "FROM busybox AS make\nRUN mkdir /out && echo made > /out/f && ln -s f /out/l\nFROM scratch\nCOPY --from=make /out /\n";
    let folder = context(&engine, "output", &[("Dockerfile", dockerfile)]);
    let to = engine.work().join("got");
    engine
        .corten(["build", "-q", "-o", &to.to_string_lossy(), &folder])
        .ok();
    assert_eq!(fs::read_to_string(to.join("l")).expect("a file"), "made\n");
    let tar = engine.work().join("got.tar");
    engine
        .corten([
            "build",
            "-q",
            "--output",
            &format!("type=tar,dest={}", tar.display()),
            &folder,
        ])
        .ok();
    assert_eq!(engine.sh(&format!("tar tf {} | sort", tar.display())).ok(), "f\nl\n");
    let piped = engine.corten(["build", "-q", "-o", "-", &folder]).ok();
    assert!(piped.contains("made\n") && piped.contains("ustar"), "an archive");
    for kind in ["docker", "oci"] {
        let archive = engine.work().join(kind);
        engine
            .corten(["build", "-q", "-t", "packed:1", "-o"])
            .arg(format!("type={kind},dest={}", archive.display()))
            .arg(&folder)
            .ok();
        let names = engine.sh(&format!("tar tf {}", archive.display())).ok();
        assert!(
            names.contains("index.json") && names.contains("manifest.json"),
            "{kind}: {names}"
        );
        assert_eq!(engine.corten(["images", "-q", "packed"]).ok(), "", "nothing stays");
        let loaded = engine.corten(["load", "-i", &archive.to_string_lossy()]).ok();
        assert!(loaded.contains("packed:1"), "{loaded}");
        engine.corten(["rmi", "packed:1"]).ok();
    }
    engine
        .corten(["build", "-q", "-o", "type=cacheonly", "-t", "none", &folder])
        .ok();
    assert_eq!(engine.corten(["images", "-q", "none"]).ok(), "");
    engine.corten(["build", "-q", "--load", "-t", "kept", &folder]).ok();
    assert_ne!(engine.corten(["images", "-q", "kept"]).ok(), "");
}

#[test]
fn named_contexts_take_the_place_of_images_and_stages() {
    let engine = engine();
    let dockerfile = "FROM nosuch.invalid/base AS one\nCOPY --from=files f /f\nRUN --mount=type=bind,from=files,target=/m cat /m/f > /g\n\
                      CMD cat /f /g\n";
    let folder = context(&engine, "named", &[("Dockerfile", dockerfile), ("other/f", "named\n")]);
    let files = format!("files={folder}/other");
    engine
        .corten([
            "build",
            "-q",
            "-t",
            "named",
            "--build-context",
            &files,
            "--build-context",
        ])
        .arg("nosuch.invalid/base=docker-image://busybox")
        .arg(&folder)
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "named"]).ok(), "named\nnamed\n");
    let whole = context(
        &engine,
        "whole",
        &[("Dockerfile", "FROM files\nCOPY f /again\n"), ("f", "whole\n")],
    );
    let to = engine.work().join("whole-out");
    engine
        .corten([
            "build",
            "-q",
            "--build-context",
            &files,
            "-o",
            &to.to_string_lossy(),
            &whole,
        ])
        .ok();
    assert_eq!(fs::read_to_string(to.join("f")).expect("a file"), "named\n");
    assert_eq!(fs::read_to_string(to.join("again")).expect("a file"), "whole\n");
}

#[test]
fn stages_can_be_built_anew() {
    let engine = engine();
    let dockerfile = "FROM busybox AS one\nRUN head -c 9 /dev/urandom | sha256sum > /one\nFROM busybox AS two\n\
                      RUN head -c 9 /dev/urandom | sha256sum > /two\nFROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /\n\
                      CMD cat /one /two\n";
    let folder = context(&engine, "filter", &[("Dockerfile", dockerfile)]);
    let build = |flags: &[&str]| {
        let arguments = [&["build", "-q", "-t", "filter"][..], flags, &[folder.as_str()]].concat();
        engine.corten(arguments).ok();
        let said = engine.corten(["run", "--rm", "filter"]).ok();
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (first, again, filtered) = (build(&[]), build(&[]), build(&["--no-cache-filter", "one"]));
    assert_eq!(first, again);
    assert_ne!(filtered[0], first[0]);
    assert_eq!(filtered[1], first[1]);
}

#[test]
fn what_differs_is_explained() {
    let engine = engine();
    let dockerfile = "FROM busybox\nARG V=1\nCOPY . /c\nRUN echo $V > /v\n";
    let folder = context(
        &engine,
        "explain",
        &[("Dockerfile", dockerfile), ("a", "1"), ("d/b", "1")],
    );
    let explained = |flags: &[&str]| {
        let arguments = [
            &["build", "--progress=plain", "--explain"][..],
            flags,
            &[folder.as_str()],
        ]
        .concat();
        engine.corten(arguments).run().stderr
    };
    assert!(explained(&[]).contains("not cached: nothing is remembered of this instruction"));
    let argument = explained(&["--build-arg", "V=2"]);
    assert!(argument.contains("not cached: the variable V changed"), "{argument}");
    fs::write(engine.work().join("explain/d/b"), "2").expect("a file");
    let file = explained(&[]);
    assert!(file.contains("not cached: the file d/b changed"), "{file}");
    assert!(!explained(&[]).contains("not cached"));
}

#[test]
fn builds_are_reproducible_at_a_given_time() {
    let engine = engine();
    let dockerfile = "FROM busybox\nCOPY f /d/f\nRUN echo x > /x && mkdir /y\nWORKDIR /w\nLABEL a=b\n";
    let folder = context(&engine, "epoch", &[("Dockerfile", dockerfile), ("f", "f")]);
    let build = || {
        engine
            .corten(["build", "-q", "--no-cache", "-t", "epoch", &folder])
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .line()
    };
    let first = build();
    assert_eq!(build(), first);
    let created = engine.corten(["inspect", "-f", "{{.Created}}", "epoch"]).line();
    assert_eq!(created, "2001-09-09T01:46:40Z");
    let times = engine
        .corten(["run", "--rm", "epoch", "stat", "-c", "%Y", "/d/f", "/x", "/y"])
        .ok();
    assert_eq!(times, "1000000000\n".repeat(3));
    let same = engine
        .corten(["build", "--rebuild-and-compare", "--progress=plain", &folder])
        .run();
    assert!(
        same.code == 0 && same.stderr.contains("The build is reproducible"),
        "{same}"
    );
    let random = context(
        &engine,
        "random",
        &[("Dockerfile", "FROM busybox\nRUN head -c 9 /dev/urandom > /r\n")],
    );
    let differs = engine
        .corten(["build", "--rebuild-and-compare", "--progress=plain", &random])
        .fails(1);
    assert!(differs.contains("the build is not reproducible"), "{differs}");
    let bad = engine
        .corten(["build", "--build-arg", "SOURCE_DATE_EPOCH=soon", &folder])
        .fails(1);
    assert!(bad.contains("invalid SOURCE_DATE_EPOCH: soon"), "{bad}");
}

#[test]
fn layers_can_be_made_one() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN mkdir /d && echo 1 > /d/a && echo 2 > /d/b\nRUN rm /d/a && rm -r /root && echo 3 > /d/c\n\
                      RUN rm -r /d && mkdir /d && echo 4 > /d/e\nCMD ls /d; ls -d /root\n";
    let folder = context(&engine, "squash", &[("Dockerfile", dockerfile)]);
    let layers = |name: &str| engine.corten(["inspect", "-f", "{{len .RootFS.Layers}}", name]).line();
    engine.corten(["build", "-q", "-t", "long", &folder]).ok();
    engine.corten(["build", "-q", "--squash", "-t", "short", &folder]).ok();
    let base: usize = layers("busybox").parse().expect("a number");
    assert_eq!(
        (layers("long"), layers("short")),
        ((base + 3).to_string(), (base + 1).to_string())
    );
    let said = |name: &str| engine.corten(["run", "--rm", name]).run();
    assert_eq!(said("short").stdout, "e\n");
    assert_eq!(
        (said("short").stdout, said("short").stderr),
        (said("long").stdout, said("long").stderr)
    );
}

#[test]
fn progress_has_several_forms() {
    let engine = engine();
    let folder = context(&engine, "progress", &[("Dockerfile", "FROM busybox\nRUN echo shown\n")]);
    let with = |mode: &str| {
        let finished = engine
            .corten(["build", "--no-cache", "--progress", mode, &folder])
            .run();
        assert_eq!(finished.code, 0, "{mode}: {finished}");
        finished
    };
    let raw = with("rawjson").stderr;
    let lines: Vec<serde_json::Value> = raw
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let has = |pointer: &str, text: &str| {
        lines
            .iter()
            .any(|line| line.pointer(pointer).is_some_and(|found| *found == text))
    };
    assert!(has("/vertexes/0/name", "[2/2] RUN echo shown"), "{raw}");
    assert!(has("/logs/0/data", "c2hvd24K"), "{raw}");
    assert!(
        lines.iter().any(|line| line.pointer("/vertexes/0/completed").is_some()),
        "{raw}"
    );
    let tty = with("tty").stderr;
    assert!(
        tty.contains("[+] Building") && tty.contains(" => [2/2] RUN echo shown"),
        "{tty}"
    );
    assert!(tty.contains("FINISHED"), "{tty}");
    let quiet = with("quiet");
    assert!(
        quiet.stdout.starts_with("sha256:") && quiet.stderr.is_empty(),
        "{quiet}"
    );
    assert!(
        with("auto").stderr.contains("#1 [internal] load build definition"),
        "no terminal: plain"
    );
}

#[test]
fn what_is_known_of_a_result_goes_into_files() {
    let engine = engine();
    let folder = context(&engine, "metadata", &[("Dockerfile", "FROM busybox\nLABEL a=b\n")]);
    let (id, about) = (engine.work().join("iid"), engine.work().join("about.json"));
    engine
        .corten([
            "build",
            "-q",
            "-t",
            "about:1",
            "--iidfile",
            &id.to_string_lossy(),
            "--metadata-file",
        ])
        .arg(&about)
        .arg(&folder)
        .ok();
    let id = fs::read_to_string(id).expect("a file");
    let about: serde_json::Value = serde_json::from_str(&fs::read_to_string(about).expect("a file")).expect("JSON");
    assert_eq!(about["containerimage.config.digest"], id.as_str());
    assert_eq!(about["image.name"], "docker.io/library/about:1");
}

#[test]
fn more_is_only_allowed_when_asked_for() {
    let engine = engine();
    let with = |line: &str, flags: &[&str]| {
        let folder = context(&engine, "allow", &[("Dockerfile", &format!("FROM busybox\n{line}\n"))]);
        let arguments = [&["build", "-q"][..], flags, &[folder.as_str()]].concat();
        engine.corten(arguments).run()
    };
    let host = "RUN --network=host ls /sys/class/net";
    let refused = with(host, &[]);
    assert!(
        refused.code == 1 && refused.stderr.ends_with("network.host is not allowed\n"),
        "{refused}"
    );
    assert_eq!(with(host, &["--allow", "network.host"]).code, 0);
    assert_eq!(with(host, &["--network", "host"]).code, 0);
    let insecure = "RUN --security=insecure mount -t tmpfs none /mnt";
    let refused = with(insecure, &[]);
    assert!(
        refused.stderr.ends_with("security.insecure is not allowed\n"),
        "{refused}"
    );
    let allowed = with(
        "RUN --security=insecure mkdir -p /mnt && mount -t tmpfs none /mnt",
        &["--allow", "security.insecure"],
    );
    assert_eq!(allowed.code, 0, "{allowed}");
}

#[test]
fn dockerfiles_can_be_asked() {
    let engine = engine();
    let dockerfile =
        "# V is the version\nARG V=1\n# base has the tools\nFROM busybox AS base\nFROM base\nARG W=2\nCOPY hidden /\n";
    let folder = context(
        &engine,
        "asked",
        &[
            ("Dockerfile", dockerfile),
            (".dockerignore", "hidden\n"),
            ("hidden", ""),
        ],
    );
    let targets = engine.corten(["build", "--call", "targets", &folder]).ok();
    assert!(
        targets.contains("base                has the tools\n(1) (default)\n"),
        "{targets}"
    );
    let outline = engine.corten(["build", "--call=outline", &folder]).ok();
    assert!(
        outline.contains("V                   1                   is the version\nW "),
        "{outline}"
    );
    let check = engine.corten(["build", "--call=check", &folder]).run();
    assert!(
        check.code == 1 && check.stdout.contains("WARNING: CopyIgnoredFile"),
        "{check}"
    );
}

#[test]
fn the_older_limits_reach_commands() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.shares \
                      /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us /sys/fs/cgroup/cpuset/cpuset.cpus > /l\nCMD cat /l\n";
    let folder = context(&engine, "limits", &[("Dockerfile", dockerfile)]);
    let flags = [
        "--memory",
        "64m",
        "--memory-swap",
        "64m",
        "--cpu-shares",
        "512",
        "--cpu-quota",
        "20000",
        "--cpu-period",
        "40000",
        "--cpuset-cpus",
        "0",
        "--cpuset-mems",
        "0",
        "--cgroup-parent",
        "/corten-build-limits",
    ];
    let arguments = [&["build", "-q", "-t", "limits"][..], &flags, &[folder.as_str()]].concat();
    let built = engine.corten(arguments).run();
    assert_eq!(built.code, 0, "{built}");
    assert_eq!(
        engine.corten(["run", "--rm", "limits"]).ok(),
        "67108864\n512\n20000\n40000\n0\n"
    );
    let parent = "find /sys/fs/cgroup -depth -type d -path '*/corten-build-limits*' -exec rmdir {} + 2>/dev/null; true";
    engine.sh(parent).ok();
}

#[test]
fn the_builder_can_be_looked_at() {
    let engine = engine();
    let folder = context(
        &engine,
        "looked",
        &[("Dockerfile", "FROM busybox\nRUN echo looked > /f\n")],
    );
    engine.corten(["buildx", "build", "-q", &folder]).ok();
    let listed = engine.corten(["buildx", "ls"]).ok();
    assert!(
        listed.starts_with("NAME/NODE") && listed.contains("default*") && listed.contains("running"),
        "{listed}"
    );
    let about = engine.corten(["buildx", "inspect", "--bootstrap", "default"]).ok();
    assert!(about.contains("Status:           running\n"), "{about}");
    let missing = engine.corten(["buildx", "inspect", "nosuch"]).fails(1);
    assert_eq!(missing, "ERROR: no builder \"nosuch\" found\n");
    assert!(engine.corten(["buildx", "version"]).ok().contains("/buildx v"));
    let used = engine.corten(["buildx", "du"]).ok();
    assert!(used.starts_with("ID ") && used.contains("\nTotal:\t\t"), "{used}");
    let verbose = engine.corten(["buildx", "du", "--verbose"]).ok();
    assert!(verbose.contains("Description:\tRUN echo looked > /f\n"), "{verbose}");
    engine.corten(["buildx", "prune", "--all", "--force"]).ok();
    assert!(engine.corten(["buildx", "du"]).ok().contains("Total:\t\t0B\n"));
}

#[test]
fn base_images_are_fetched_when_asked() {
    let engine = engine();
    let ours = context(&engine, "ours", &[("Dockerfile", "FROM busybox\nLABEL here=changed\n")]);
    engine.corten(["build", "-q", "-t", "busybox", &ours]).ok();
    let folder = context(&engine, "above", &[("Dockerfile", "FROM busybox\nLABEL above=yes\n")]);
    let label = |image: &str| {
        engine
            .corten(["image", "inspect", "-f", "{{json .Config.Labels}}", image])
            .line()
    };
    engine.corten(["build", "-q", "-t", "one", &folder]).ok();
    assert_eq!(label("one"), r#"{"above":"yes","here":"changed"}"#);
    engine.corten(["build", "-q", "--pull", "-t", "two", &folder]).ok();
    assert_eq!(label("two"), r#"{"above":"yes"}"#);
}

#[test]
fn images_are_for_the_platform_that_is_asked() {
    let engine = engine();
    let scratch = "FROM scratch\nARG TARGETPLATFORM TARGETARCH\nLABEL for=$TARGETPLATFORM arch=$TARGETARCH\n";
    let scratch = context(&engine, "scratch", &[("Dockerfile", scratch)]);
    engine
        .corten(["build", "-q", "--platform", "linux/arm64", "-t", "other", &scratch])
        .ok();
    let format = "{{.Os}}/{{.Architecture}} {{index .Config.Labels \"for\"}} {{index .Config.Labels \"arch\"}}";
    let said = engine.corten(["image", "inspect", "-f", format, "other"]).line();
    assert_eq!(said, "linux/arm64 linux/arm64 arm64");
    let busybox = context(&engine, "busybox", &[("Dockerfile", "FROM busybox\nRUN true\n")]);
    engine.corten(["build", "--platform", "linux/s390x", &busybox]).fails(1);
    let error = engine.corten(["build", "--platform", "lin/ux/x/y", &busybox]).fails(1);
    assert!(error.contains("lin/ux/x/y"), "{error}");
    let outline = engine.corten(["build", "--print", "outline", &scratch]).ok();
    assert_eq!(engine.corten(["build", "--call", "outline", &scratch]).ok(), outline);
}
