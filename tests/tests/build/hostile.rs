//! Contexts that lie, are giant, or are not there; and what is said of each.

use corten_sys::fs;
use corten_tests::engine::{Engine, Options};
use corten_tests::images::noise;
use corten_tests::until;

use crate::{context, engine};

#[test]
fn folders_of_repositories_do_not_lead_out() {
    let engine = engine();
    let host = context(
        &engine,
        "host",
        &[("key", "xyzzy-of-the-host"), ("Dockerfile", "FROM busybox\n")],
    );
    let repository = context(
        &engine,
        "repo",
        &[
            ("sub/Dockerfile", "FROM busybox\nCOPY f key* /\nCMD cat /f\n"),
            ("sub/f", "sub"),
            ("steals/Dockerfile", "FROM busybox\nCOPY key /\n"),
        ],
    );
    let made = format!(
        "cd {repository} && ln -s {host} out && ln -s ../.. up && ln -s sub in && ln -s {host}/key steals/key && \
         mkdir lies && ln -s {host}/Dockerfile lies/Dockerfile && git init -q -b main . && git config user.email a@b && \
         git config user.name n && git add . && git commit -q -m 1 && git update-server-info && git checkout -q -b modules && \
         printf '[submodule \"m\"]\\n\\tpath = m\\n\\turl = file://{host}\\n' > .gitmodules && \
         git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),m && git add .gitmodules && git commit -q -m 2 && \
         git update-server-info"
    );
    engine.sh(&made).ok();
    let server = engine
        .sh(&format!(
            "exec busybox httpd -f -p 127.0.0.1:8098 -h {}",
            engine.work().display()
        ))
        .spawn();
    until::is("the server answers", || {
        engine.try_curl("http://127.0.0.1:8098/repo/.git/HEAD").is_some()
    });
    let address = "http://127.0.0.1:8098/repo/.git";
    for (reference, words) in [
        ("main:out", "the repository has no folder \"out\""),
        ("main:up", "the repository has no folder \"up\""),
        ("main:up/../..", "the repository has no folder"),
        ("main:sub/../..", "the repository has no folder"),
        ("main:sub/f", "the repository has no folder \"sub/f\""),
        ("main:nosuch", "the repository has no folder \"nosuch\""),
        ("main:lies", "Dockerfile"),
        ("main:steals", "\"/key\": not found"),
        ("modules", "transport 'file' not allowed"),
        ("--upload-pack=x", "invalid git address"),
    ] {
        let said = engine.corten(["build", &format!("{address}#{reference}")]).fails(1);
        assert!(said.contains(words), "{reference}: {said}");
        let folder = context(&engine, "adds", &[]);
        let dockerfile = format!("FROM busybox\nADD {address}#{reference} /r/\nRUN ! grep -r xyzzy /r\n");
        fs::write(format!("{folder}/Dockerfile"), dockerfile).expect("a file");
        let ended = engine.corten(["build", &folder]).run();
        let is_folder = matches!(reference, "main:lies" | "main:steals");
        assert_eq!(ended.code, i32::from(!is_folder), "{reference}: {ended}");
        assert!(is_folder || ended.stderr.contains(words), "{reference}: {ended}");
    }
    engine
        .corten(["build", "-q", "-t", "in", &format!("{address}#main:in")])
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "in"]).ok(), "sub");
    server.signal(rustix::process::Signal::TERM);
    server.wait();
}

/// How many trees of builds are on the disk.
fn left(engine: &Engine) -> usize {
    let entries = fs::read_dir(engine.data_root().join("overlay2")).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with(".scratch"))
        .count()
}

#[test]
fn giant_contexts_harm_nobody() {
    let engine = Engine::start_with(Options {
        data_root_size: Some(24 << 20),
        ..Options::default()
    });
    engine.corten(["pull", "-q", "busybox"]).ok();
    let folder = context(&engine, "giant", &[("small", "small")]);
    fs::write(format!("{folder}/big"), noise(1 << 20, 3).repeat(60)).expect("a file");
    let build = |dockerfile: &str| {
        fs::write(format!("{folder}/Dockerfile"), dockerfile).expect("a file");
        engine.corten(["build", "-t", "giant", &folder]).run()
    };
    // What no step asks for is not even looked at.
    let ended = build("FROM busybox\nCOPY small /\nRUN --mount=type=bind,target=/c ls /c/big\nCMD cat /small\n");
    assert_eq!(ended.code, 0, "{ended}");
    assert_eq!(engine.corten(["run", "--rm", "giant"]).ok(), "small");
    for step in ["COPY big /", "COPY . /c/", "RUN --mount=type=bind,target=/c,rw true"] {
        let ended = build(&format!("FROM busybox\n{step}\n"));
        assert_eq!(ended.code, 1, "{ended}");
        let said = ended.stderr.to_lowercase();
        assert!(said.contains(&format!(">>> {}", step.to_lowercase())), "{said}");
        assert!(said.contains("no space left on device"), "{step}: {said}");
    }
    // One that is sent must find its place first.
    engine.sh(&format!("tar -C {folder} -cf sent.tar .")).ok();
    let sent = fs::read(engine.work().join("sent.tar")).expect("an archive");
    let ended = engine.corten(["build", "-t", "giant", "-"]).stdin(sent).run();
    assert!(ended.code != 0, "{ended}");
    assert!(
        ended.stderr.to_lowercase().contains("no space left on device"),
        "{ended}"
    );
    until::is("nothing is left", || left(&engine) == 0);
    // What was thrown away gives its room back in its own time.
    until::is("there is room again", || {
        engine.corten(["run", "--rm", "giant"]).run().stdout == "small"
    });
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let engine = engine();
    let folder = context(&engine, "missing", &[("f", "file"), ("d/g", "")]);
    let at = |name: &str| format!("{folder}/{name}");
    let build = |dockerfile: &str, flags: &[&str]| {
        fs::write(at("Dockerfile"), dockerfile).expect("a file");
        engine.corten([&["build"], flags, &[folder.as_str()]].concat()).run()
    };
    let data = engine.data_root().display().to_string();
    let mut wrong = Vec::new();
    let plain = "FROM busybox\n";
    for (flags, words) in [
        (
            ["--secret", "id=k,src=/gp/nosuch"],
            "/gp/nosuch: no such file or directory",
        ),
        (["--secret", "src="], "secret missing ID"),
        (["--secret", "id=k,file=x"], "unexpected key 'file' in 'id=k,file=x'"),
        (["--ssh", "default=/gp/nosuch"], "/gp/nosuch"),
        (
            ["--build-context", "x=/gp/nosuch"],
            "failed to get build context x: stat /gp/nosuch",
        ),
        (["--build-context", "x"], "x"),
        (["-f", "/gp/nosuch"], "/gp/nosuch"),
        (["--target", "nosuch"], "target stage \"nosuch\" could not be found"),
        (["--platform", "a/b/c/d"], "a/b/c/d"),
        (["--output", "type=local"], "dest is required for local output"),
        (["--output", "type=nosuch"], "unknown output type \"nosuch\""),
        (["--cache-from", "type=nosuch"], "nosuch"),
        (["--allow", "nosuch"], "nosuch"),
        (["--add-host", "x"], "x"),
        (["--iidfile", "/gp/nosuch"], "/gp/nosuch"),
    ] {
        let ended = build(plain, &flags);
        let said = &ended.stderr;
        if ended.code != 1 || !said.contains("ERROR: ") || !said.contains(words) {
            wrong.push(format!("{flags:?}: {ended}"));
        }
    }
    for (dockerfile, words) in [
        ("FROM busybox AS a\nCOPY --from=a /x /\n", "circular dependency"),
        (
            "FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\nCOPY --from=a /x /\n",
            "circular dependency detected on stage: ",
        ),
        (
            "FROM busybox AS a\nRUN --mount=from=b,target=/b true\nFROM busybox AS b\nRUN --mount=from=c,target=/c true\nFROM a AS c\n",
            "circular dependency detected on stage: ",
        ),
        (
            "FROM busybox\nADD --checksum=sha256:00 f /\n",
            "checksum can't be specified for non-HTTP(S)",
        ),
        ("FROM busybox\nCOPY f nosuch /d/\n", "\"/nosuch\": not found"),
        (
            "FROM busybox\nCOPY --from=busybox /nosuch /d/\n",
            "\"/nosuch\": not found",
        ),
        ("FROM busybox\nCOPY f/x /d/\n", "\"/f/x\": not found"),
        (
            "FROM busybox\nCOPY --chown=nobodyatall f /\n",
            "can't find uid for user nobodyatall",
        ),
        ("FROM busybox\nCOPY --chmod=999 f /\n", "999"),
        ("FROM busybox\nUSER nobodyatall\nRUN true\n", "nobodyatall"),
        (
            "FROM busybox\nRUN --mount=type=secret,id=k,required true\n",
            "secret k: not found",
        ),
        (
            "FROM busybox\nRUN --mount=type=ssh,required true\n",
            "unset ssh forward key default",
        ),
        (
            "FROM busybox\nRUN --mount=type=bind,source=nosuch,target=/x true\n",
            "\"/nosuch\": not found",
        ),
        (
            "FROM busybox\nRUN --mount=type=bind,from=127.0.0.1:1/x,target=/x true\n",
            "127.0.0.1:1/x",
        ),
        ("FROM busybox\nRUN --mount=type=nosuch,target=/x true\n", "nosuch"),
        ("FROM busybox\nRUN [\"/nosuch\"]\n", "/nosuch"),
        ("FROM busybox\nWORKDIR /etc/passwd/x\n", "/etc/passwd is no folder"),
        ("FROM busybox\nCOPY f /etc/passwd/x\n", "/etc/passwd is no folder"),
        ("FROM busybox\nCOPY d /etc/passwd\n", "/etc/passwd"),
        ("FROM busybox\nCOPY f /\nADD ftp://nosuch.invalid/x /\n", "not found"),
        (
            "FROM 127.0.0.1:1/x\n",
            "127.0.0.1:1/x: failed to resolve source metadata",
        ),
        ("FROM busybox@sha256:00\n", "sha256:00"),
        ("FROM BUSYBOX\n", "must be lowercase"),
        ("FROM scratch\nRUN true\n", "/bin/sh"),
    ] {
        let ended = build(dockerfile, &[]);
        let said = &ended.stderr;
        // The line is shown, and the last line says all again.
        let is_shown = said.contains("\nDockerfile:") && said.contains(" | >>> ");
        let last = said.lines().last().unwrap_or_default();
        let is_said = last.starts_with("ERROR: failed to build: failed to solve: ") && last.contains(words);
        if ended.code != 1 || !is_shown || !is_said || said.contains(&data) {
            wrong.push(format!("{words:?} of {dockerfile:?}: {ended}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Found by hand: what is no pattern was passed over, and what it should leave out was sent.
#[test]
fn patterns_that_are_none_end_the_build() {
    let engine = engine();
    let folder = context(
        &engine,
        "patterns",
        &[("Dockerfile", "FROM busybox\nCOPY . /c/\n"), ("f", "")],
    );
    let at = |name: &str| format!("{folder}/{name}");
    for (text, words) in [
        ("d\n[secret\n", ".dockerignore:2: syntax error in pattern: \"[secret\""),
        ("secret\\\n", ".dockerignore:1: syntax error in pattern"),
        ("# all\n*\n!\n", ".dockerignore:3: illegal exclusion pattern: \"!\""),
    ] {
        fs::write(at(".dockerignore"), text).expect("a file");
        let said = engine.corten(["build", &folder]).fails(1);
        assert!(said.contains(words), "{text:?}: {said}");
        let named = format!("more={folder}");
        let empty = context(
            &engine,
            "empty",
            &[("Dockerfile", "FROM busybox\nCOPY --from=more f /\n")],
        );
        let said = engine.corten(["build", "--build-context", &named, &empty]).fails(1);
        assert!(said.contains(words), "{text:?}: {said}");
        engine.sh(&format!("tar -C {folder} -cf sent.tar .")).ok();
        let sent = fs::read(engine.work().join("sent.tar")).expect("an archive");
        let said = engine.corten(["build", "-"]).stdin(sent).fails(1);
        assert!(said.contains(words), "{text:?}: {said}");
    }
    fs::write(at("Dockerfile.dockerignore"), "[\n").expect("a file");
    let said = engine.corten(["build", &folder]).fails(1);
    assert!(
        said.contains("Dockerfile.dockerignore:1: syntax error in pattern"),
        "{said}"
    );
}
