//! What instructions do.

use crate::{built_and_run, context, engine};

#[test]
fn a_build_shows_its_steps_and_the_next_one_is_cached() {
    let engine = engine();
    let dockerfile = "FROM busybox\nARG V=1\nLABEL l=v\nRUN echo told-$V | tee /f\nCMD [\"cat\",\"/f\"]\n";
    let folder = context(&engine, "steps", &[("Dockerfile", dockerfile)]);
    let finished = engine.corten(["build", "-t", "app:1", &folder]).run();
    assert_eq!(finished.code, 0, "{finished}");
    for line in [
        "#1 [internal] load build definition from Dockerfile",
        "[internal] load metadata for docker.io/library/busybox:latest",
        "[1/2] FROM docker.io/library/busybox:latest",
        "[2/2] RUN echo told-1 | tee /f",
        " told-1\n",
        "naming to docker.io/library/app:1 done",
    ] {
        assert!(finished.stderr.contains(line), "{line:?} in\n{finished}");
    }
    let id = engine.corten(["images", "-q", "--no-trunc", "app:1"]).line();
    let again = engine.corten(["build", "-t", "app:2", &folder]).run();
    assert!(
        again.stderr.contains("CACHED") && !again.stderr.contains(" told-1\n"),
        "{again}"
    );
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", "app:2"]).line(), id);
    let other = engine.corten(["build", "-q", "--build-arg", "V=2", &folder]).line();
    assert_ne!(other, id);
    assert_eq!(engine.corten(["run", "--rm", &other]).ok(), "told-2\n");
    let fresh = engine.corten(["build", "-q", "--no-cache", &folder]).line();
    assert_ne!(fresh, id, "times differ");
}

#[test]
fn a_change_of_a_label_leaves_later_commands_cached() {
    let engine = engine();
    let with = |label: &str| {
        format!("FROM busybox\nLABEL l={label}\nRUN head -c 16 /dev/urandom | sha256sum > /f\nCMD cat /f\n")
    };
    assert_eq!(built_and_run(&engine, &with("a")), built_and_run(&engine, &with("b")));
}

#[test]
fn stages_arguments_and_targets() {
    let engine = engine();
    let dockerfile = "ARG BASE=busybox\nFROM $BASE AS one\nRUN echo staged > /s\nFROM one AS wrong\nRUN false\n\
                      FROM $BASE AS two\nARG TARGETOS\nCOPY --from=one /s /from-name\nCOPY --from=0 /s /from-number\n\
                      RUN echo $TARGETOS > /os\nCMD cat /from-name /from-number /os\n";
    assert_eq!(built_and_run(&engine, dockerfile), "staged\nstaged\nlinux\n");
    let folder = engine.work().join("plain").to_string_lossy().into_owned();
    let refused = engine.corten(["build", "--target", "wrong", &folder]).fails(1);
    assert!(
        refused.contains("did not complete successfully: exit code: 1"),
        "{refused}"
    );
    let missing = engine.corten(["build", "--target", "onee", &folder]).fails(1);
    assert!(
        missing.contains(
            "ERROR: failed to build: failed to solve: target stage \"onee\" could not be found (did you mean one?)"
        ),
        "{missing}"
    );
}

#[test]
fn the_configuration_is_the_dockerfile_s() {
    let engine = engine();
    let dockerfile = "FROM busybox\nENV A=1 B=\"x y\"\nENV C=${A:-no}-$B\nWORKDIR /w\nWORKDIR x\nUSER 12:34\nEXPOSE 80 53/udp\n\
                      VOLUME /data\nSTOPSIGNAL SIGINT\nLABEL k=\"v w\"\nHEALTHCHECK --interval=5s --retries=2 CMD true\n\
                      SHELL [\"/bin/sh\", \"-ec\"]\nONBUILD RUN echo triggered > /w/x/t\nENTRYPOINT [\"echo\"]\nCMD [\"hi\"]\n";
    let folder = context(&engine, "config", &[("Dockerfile", dockerfile)]);
    engine
        .corten(["build", "-q", "-t", "config", "--label", "own=it's", &folder])
        .ok();
    let inspect = |template: &str| engine.corten(["inspect", "-f", template, "config"]).line();
    assert_eq!(
        inspect("{{json .Config.Env}}"),
        r#"["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1","B=x y","C=1-x y"]"#
    );
    assert_eq!(
        inspect("{{.Config.WorkingDir}} {{.Config.User}} {{.Config.StopSignal}}"),
        "/w/x 12:34 SIGINT"
    );
    assert_eq!(inspect("{{json .Config.ExposedPorts}}"), r#"{"53/udp":{},"80/tcp":{}}"#);
    assert_eq!(
        inspect("{{json .Config.Volumes}} {{json .Config.Shell}}"),
        r#"{"/data":{}} ["/bin/sh","-ec"]"#
    );
    assert_eq!(inspect("{{json .Config.Labels}}"), r#"{"k":"v w","own":"it's"}"#);
    assert_eq!(
        inspect("{{json .Config.Entrypoint}}{{json .Config.Cmd}}"),
        r#"["echo"]["hi"]"#
    );
    assert_eq!(
        inspect("{{.Config.Healthcheck.Retries}} {{.Config.Healthcheck.Test}}"),
        "2 [CMD-SHELL true]"
    );
    assert_eq!(engine.corten(["run", "--rm", "config", "other"]).ok(), "other\n");
    // Its trigger runs in builds on top of it, as its user.
    let child = context(
        &engine,
        "child",
        &[(
            "Dockerfile",
            "FROM config\nUSER root\nENTRYPOINT [\"cat\", \"/w/x/t\"]\n",
        )],
    );
    let failed = engine.corten(["build", &child]).fails(1);
    assert!(
        failed.contains("Permission denied") || failed.contains("can't create"),
        "{failed}"
    );
}

#[test]
fn triggers_run_once() {
    let engine = engine();
    let parent = context(
        &engine,
        "parent",
        &[("Dockerfile", "FROM busybox\nONBUILD RUN echo t >> /t\nCMD cat /t\n")],
    );
    engine.corten(["build", "-q", "-t", "parent", &parent]).ok();
    for (name, base) in [("child", "parent"), ("grandchild", "child")] {
        let folder = context(&engine, name, &[("Dockerfile", &format!("FROM {base}\n"))]);
        engine.corten(["build", "-q", "-t", name, &folder]).ok();
        assert_eq!(engine.corten(["run", "--rm", name]).ok(), "t\n", "{name}");
    }
}

#[test]
fn heredocs_scripts_and_the_shell() {
    let engine = engine();
    let dockerfile = "FROM busybox\nENV V=value\nRUN <<EOF\necho a > /h\necho b >> /h\nEOF\n\
                      COPY <<\"E2\" <<E3 /k/\n$V\nE2\n$V \"quoted\"\nE3\n\
                      RUN <<EOF\n#!/bin/cat\nEOF\nRUN cat <<X > /l\nline\nX\n\
                      CMD cat /h /k/E2 /k/E3 /l\n";
    assert_eq!(built_and_run(&engine, dockerfile), "a\nb\n$V\nvalue \"quoted\"\nline\n");
}

#[test]
fn errors_point_at_the_line() {
    let engine = engine();
    let build = |dockerfile: &str| {
        let folder = context(&engine, "broken", &[("Dockerfile", dockerfile)]);
        engine.corten(["build", &folder]).fails(1)
    };
    let rule = "-".repeat(20);
    let said = build("FROM busybox\nRUNN echo\n");
    assert!(
        said.ends_with(&format!(
            "Dockerfile:2\n{rule}\n   1 |     FROM busybox\n   2 | >>> RUNN echo\n   3 |     \n{rule}\n\
             ERROR: failed to build: failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)\n"
        )),
        "{said}"
    );
    let said = build("FROM busybox\nRUN echo before; exit 42\n");
    for part in [
        " before\n",
        "ERROR: process \"/bin/sh -c echo before; exit 42\" did not complete successfully: exit code: 42\n------\n > [2/2] RUN echo before; exit 42:\n",
        "   2 | >>> RUN echo before; exit 42\n",
    ] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
    assert!(build("RUN true\n").contains("no build stage in current context"));
    assert!(
        build("FROM busybox\nCOPY nosuch /\n").contains("failed to calculate checksum of ref: \"/nosuch\": not found")
    );
    assert!(build("FROM busybox\nCOPY --frm=x a /\n").contains("unknown flag: --frm (did you mean from?)"));
    assert!(build("FROM busybox\nENV A=\"${B:?is needed}\"\n").contains("B: is needed"));
    assert!(build("FROM busybox\nRUN --network=host true\n").contains("network.host is not allowed"));
    assert!(build("FROM busybox\nRUN --security=insecure true\n").contains("security.insecure"));
}

#[test]
fn mounts_of_a_step_leave_nothing() {
    let engine = engine();
    let dockerfile = "FROM busybox AS tool\nRUN echo tool > /t\nFROM busybox\n\
                      RUN --mount=type=bind,source=d,target=/in --mount=from=tool,source=/t,target=/tool cat /in/f /tool > /out\n\
                      RUN --mount=type=cache,target=/cache echo kept >> /cache/f\n\
                      RUN --mount=type=tmpfs,target=/memory touch /memory/x\n\
                      RUN --mount=type=secret,id=none ls /run/secrets 2>/dev/null; true\n\
                      CMD cat /out; ls -d /in /tool /cache /memory /run 2>/dev/null\n";
    let folder = context(&engine, "mounts", &[("Dockerfile", dockerfile), ("d/f", "context\n")]);
    engine.corten(["build", "-q", "-t", "mounts", &folder]).ok();
    assert_eq!(engine.corten(["run", "--rm", "mounts"]).run().stdout, "context\ntool\n");
    // The cache is found again by another build.
    let again = context(
        &engine,
        "again",
        &[(
            "Dockerfile",
            "FROM busybox\nRUN --mount=type=cache,target=/cache cp /cache/f /f\nCMD cat /f\n",
        )],
    );
    engine.corten(["build", "-q", "-t", "again", &again]).ok();
    assert_eq!(engine.corten(["run", "--rm", "again"]).ok(), "kept\n");
    let needed = context(
        &engine,
        "needed",
        &[(
            "Dockerfile",
            "FROM busybox\nRUN --mount=type=secret,id=s,required true\n",
        )],
    );
    let refused = engine.corten(["build", &needed]).fails(1);
    assert!(refused.contains("secret s: not found"), "{refused}");
}

#[test]
fn a_check_finds_what_could_be_better() {
    let engine = engine();
    let dockerfile = "FROM busybox as b\nMAINTAINER me\nENV A 1\nCMD echo hi\n";
    let folder = context(&engine, "check", &[("Dockerfile", dockerfile)]);
    let finished = engine.corten(["build", "--check", &folder]).run();
    assert_eq!(finished.code, 1, "{finished}");
    assert!(
        finished
            .stdout
            .starts_with("Check complete, 4 warnings have been found!\n"),
        "{finished}"
    );
    assert!(
        finished.stdout.contains(
            "\nWARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n\
             'as' and 'FROM' keywords' casing do not match\nDockerfile:1\n"
        ),
        "{finished}"
    );
    let good = context(&engine, "good", &[("Dockerfile", "FROM busybox\nCMD [\"true\"]\n")]);
    assert_eq!(
        engine.corten(["build", "--check", &good]).ok(),
        "Check complete, no warnings found.\n"
    );
}
