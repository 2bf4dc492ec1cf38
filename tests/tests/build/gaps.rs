//! Corners of the language and of requests.

use crate::{built_and_run, context, engine};

#[test]
fn triggers_copy_from_stages_that_nothing_else_asks_for() {
    let engine = engine();
    let base = "FROM busybox\nONBUILD COPY --from=tools /tool /tool\nONBUILD RUN --mount=from=more,target=/m cat /m/more >> /tool\n";
    let folder = context(&engine, "base", &[("Dockerfile", base)]);
    engine.corten(["build", "-q", "-t", "base", &folder]).ok();
    let child = "FROM busybox AS below\nRUN echo tool > /tool\nFROM below AS tools\nFROM busybox AS more\nRUN echo more > /more\n\
                 FROM busybox AS unneeded\nRUN false\nFROM base\nCMD cat /tool\n";
    assert_eq!(built_and_run(&engine, child), "tool\nmore\n");
    let circle = context(
        &engine,
        "circle",
        &[(
            "Dockerfile",
            "FROM base AS more\nFROM more AS tools\nRUN true\nFROM tools\n",
        )],
    );
    let refused = engine.corten(["build", &circle]).fails(1);
    assert!(refused.contains("circular dependency detected on stage: "), "{refused}");
    // Without such a stage it is an image.
    let absent = context(&engine, "absent", &[("Dockerfile", "FROM base\n")]);
    let refused = engine.corten(["build", &absent]).fails(1);
    assert!(refused.contains("tools"), "{refused}");
}

#[test]
fn nothing_of_a_secret_is_in_layers() {
    let engine = engine();
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=s --mount=type=secret,id=t,target=/etc/deep/t \
                      cat /run/secrets/s /etc/deep/t > /dev/null && mkdir -p /run && touch /run/own /etc/own\n";
    let folder = context(
        &engine,
        "secrets",
        &[("Dockerfile", dockerfile), ("s", "xyzzy-of-s"), ("t", "xyzzy-of-t")],
    );
    let secret = |name: &str| format!("id={name},src={folder}/{name}");
    let (one, other) = (secret("s"), secret("t"));
    engine
        .corten([
            "build", "-q", "-t", "secrets", "--secret", &one, "--secret", &other, &folder,
        ])
        .ok();
    engine.corten(["save", "-o", "saved.tar", "secrets"]).ok();
    let listed = engine
        .sh("mkdir saved && tar -C saved -xf saved.tar && cd saved && \
             for layer in $(find . -type f -size -20k); do tar -tf $layer 2>/dev/null; done")
        .run();
    let has = |name: &str| listed.stdout.lines().any(|line| line.trim_start_matches("./") == name);
    assert!(has("run/own") && has("etc/own"), "{listed}");
    for gone in ["secrets", "deep", "ssh_agent"] {
        assert!(!listed.stdout.contains(gone), "{gone}: {listed}");
    }
    let found = engine.sh("grep -rc xyzzy-of saved | grep -v ':0$'").run();
    assert_eq!(found.stdout, "", "no copy of the secret");
}
