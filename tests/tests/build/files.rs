//! COPY, ADD and the contexts they copy from.

use corten_sys::fs;

use crate::{built_and_run, context, engine};

#[test]
fn what_dockerignore_names_is_left_out() {
    let engine = engine();
    let folder = context(
        &engine,
        "ignore",
        &[
            (
                "Dockerfile",
                "FROM busybox\nCOPY . /c\nCMD [\"find\", \"/c\", \"-type\", \"f\"]\n",
            ),
            (".dockerignore", "*.log\n!keep.log\nsecret\n**/*.o\nDockerfile\n"),
            ("a.log", "x"),
            ("keep.log", "x"),
            ("secret/x", "x"),
            ("d/e/f.o", "x"),
            ("d/e/g", "x"),
        ],
    );
    engine.corten(["build", "-q", "-t", "ignore", &folder]).ok();
    let found = engine
        .corten(["run", "--rm", "ignore", "sh", "-c", "cd /c; find . -type f | sort"])
        .ok();
    assert_eq!(found, "./.dockerignore\n./d/e/g\n./keep.log\n");
}

#[test]
fn copies_land_where_they_should() {
    let engine = engine();
    let dockerfile = "FROM busybox\nWORKDIR /w\nCOPY a.txt .\nCOPY a.txt new/name\nCOPY d /d\nCOPY *.txt /many/\n\
                      COPY --chown=1:2 --chmod=640 a.txt /owned\nCOPY --exclude=*.skip d /filtered\n\
                      COPY --parents d/./e/f d/e/../g.skip /parents/\nCOPY --link b.txt /linked/\n\
                      RUN ln -s /target /alias && mkdir /target\nCOPY a.txt /alias/\n\
                      CMD cat /w/a.txt /w/new/name /d/e/f /many/b.txt /linked/b.txt /target/a.txt; \
                      stat -c '%u:%g %a' /owned /w/a.txt; find /filtered /parents -type f | sort\n";
    let folder = context(
        &engine,
        "copies",
        &[
            ("Dockerfile", dockerfile),
            ("a.txt", "a\n"),
            ("b.txt", "b\n"),
            ("d/e/f", "f\n"),
            ("d/g.skip", "g\n"),
        ],
    );
    engine.corten(["build", "-q", "-t", "copies", &folder]).ok();
    assert_eq!(
        engine.corten(["run", "--rm", "copies"]).ok(),
        "a\na\nf\nb\nb\na\n1:2 640\n0:0 644\n/filtered/e/f\n/parents/d/g.skip\n/parents/e/f\n"
    );
    let many = context(
        &engine,
        "many",
        &[("Dockerfile", "FROM busybox\nCOPY a b /c\n"), ("a", ""), ("b", "")],
    );
    let refused = engine.corten(["build", &many]).fails(1);
    assert!(
        refused.contains("the destination must be a directory and end with a /"),
        "{refused}"
    );
}

#[test]
fn the_cache_looks_at_content_and_not_at_times() {
    let engine = engine();
    let dockerfile = "FROM busybox\nCOPY a /a\nRUN head -c 16 /dev/urandom | sha256sum > /r\nCMD cat /r\n";
    let build = || {
        let folder = engine.work().join("content").to_string_lossy().into_owned();
        engine.corten(["build", "-q", "-t", "content", &folder]).ok();
        engine.corten(["run", "--rm", "content"]).ok()
    };
    let folder = context(
        &engine,
        "content",
        &[("Dockerfile", dockerfile), ("a", "1"), ("other", "1")],
    );
    let first = build();
    engine
        .sh(&format!(
            "touch -d 2001-01-01 {folder}/a; echo changed > {folder}/other"
        ))
        .ok();
    assert_eq!(build(), first);
    fs::write(engine.work().join("content/a"), "2").expect("a file");
    assert_ne!(build(), first);
}

#[test]
fn add_unpacks_archives_and_fetches_addresses() {
    let engine = engine();
    let folder = context(
        &engine,
        "add",
        &[
            (
                "Dockerfile",
                "FROM busybox\nADD in.tar.gz /unpacked/\nADD --unpack=false in.tar.gz /kept/\nADD plain.txt /plain/\n\
                 CMD cat /unpacked/t/f /plain/plain.txt; ls /kept\n",
            ),
            ("t/f", "packed\n"),
            ("plain.txt", "plain\n"),
        ],
    );
    engine
        .sh(&format!("cd {folder} && tar czf in.tar.gz t && rm -r t"))
        .ok();
    engine.corten(["build", "-q", "-t", "add", &folder]).ok();
    assert_eq!(engine.corten(["run", "--rm", "add"]).ok(), "packed\nplain\nin.tar.gz\n");
    // A web server in a container whose port is published.
    engine
        .corten([
            "run", "-d", "--name", "web", "-p", "8091:80", "busybox", "httpd", "-f", "-h", "/etc",
        ])
        .ok();
    corten_tests::until::is("the server answers", || {
        engine.try_curl("http://127.0.0.1:8091/passwd").is_some()
    });
    let said = built_and_run(
        &engine,
        "FROM busybox\nADD http://127.0.0.1:8091/passwd /fetched/\nCMD stat -c '%a %n' /fetched/passwd\n",
    );
    assert_eq!(said, "600 /fetched/passwd\n");
    let wrong = context(
        &engine,
        "wrong",
        &[(
            "Dockerfile",
            "FROM busybox\nADD --checksum=sha256:00 http://127.0.0.1:8091/passwd /x\n",
        )],
    );
    assert!(engine.corten(["build", &wrong]).fails(1).contains("digest mismatch"));
}

#[test]
fn contexts_come_in_several_ways() {
    let engine = engine();
    let dockerfile = "FROM busybox\nCMD [\"echo\",\"stdin\"]\n";
    engine.corten(["build", "-q", "-t", "one", "-"]).stdin(dockerfile).ok();
    assert_eq!(engine.corten(["run", "--rm", "one"]).ok(), "stdin\n");
    let folder = context(
        &engine,
        "ways",
        &[("sub/My.file", "FROM busybox\nCOPY f /\nCMD cat /f\n"), ("f", "file\n")],
    );
    engine
        .corten([
            "build",
            "-q",
            "-t",
            "two",
            "-f",
            &format!("{folder}/sub/My.file"),
            &folder,
        ])
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "two"]).ok(), "file\n");
    engine
        .corten(["build", "-q", "-t", "three", "-f", "-", &folder])
        .stdin("FROM busybox\nCOPY f /g\nCMD cat /g\n")
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "three"]).ok(), "file\n");
    let tar = engine.work().join("ways.tar.gz");
    engine.sh(&format!("tar -C {folder} -czf {} .", tar.display())).ok();
    let bytes = fs::read(&tar).expect("an archive");
    engine
        .corten(["build", "-q", "-t", "four", "-f", "sub/My.file", "-"])
        .stdin(bytes)
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "four"]).ok(), "file\n");
    let id = engine.work().join("id");
    engine
        .corten(["build", "-q", "--iidfile", &id.to_string_lossy(), "-"])
        .stdin(dockerfile)
        .ok();
    assert!(fs::read_to_string(&id).expect("a file").starts_with("sha256:"));
    let said = engine.corten(["build", "/gp/nosuch"]).fails(1);
    assert_eq!(
        said,
        "ERROR: failed to build: unable to prepare context: path \"/gp/nosuch\" not found\n"
    );
    let said = engine.corten(["build", "-t", "BAD:TAG:", &folder]).fails(1);
    assert_eq!(
        said,
        "ERROR: failed to build: invalid tag \"BAD:TAG:\": invalid reference format\n"
    );
}

#[test]
fn sources_do_not_lead_out_of_the_context() {
    let engine = engine();
    let folder = context(&engine, "out", &[("Dockerfile", "FROM busybox\nCOPY link /stolen\n")]);
    fs::symlink("/etc/hostname", engine.work().join("out/link")).expect("a link");
    let said = engine.corten(["build", &folder]).fails(1);
    assert!(said.contains("not found") || said.contains("does not exist"), "{said}");
    let up = context(
        &engine,
        "up",
        &[("Dockerfile", "FROM busybox\nCOPY ../../etc/hostname /stolen\n")],
    );
    assert!(engine.corten(["build", &up]).fails(1).contains("not found"));
}

#[test]
fn a_dockerfile_can_bring_its_own_dockerignore() {
    let engine = engine();
    let dockerfile = "FROM busybox\nCOPY . /c\nCMD ls /c\n";
    let folder = context(
        &engine,
        "ignores",
        &[
            ("Dockerfile", dockerfile),
            (".dockerignore", "a\nDockerfile*\n.dockerignore\n"),
            ("Dockerfile.dockerignore", "b\nDockerfile*\n.dockerignore\n"),
            ("a", ""),
            ("b", ""),
            ("../elsewhere/Own", dockerfile),
            ("../elsewhere/Own.dockerignore", "*\n!b\n"),
        ],
    );
    engine.corten(["build", "-q", "-t", "ignores", &folder]).ok();
    assert_eq!(engine.corten(["run", "--rm", "ignores"]).ok(), "a\n");
    let own = engine.work().join("elsewhere/Own");
    engine
        .corten(["build", "-q", "-t", "own", "-f", &own.to_string_lossy(), &folder])
        .ok();
    assert_eq!(engine.corten(["run", "--rm", "own"]).ok(), "b\n");
}
