//! Images and containers that are made to reach the host.

use corten_tests::engine::Engine;

/// Makes an image of busybox after a script ran in it.
fn image(engine: &Engine, script: &str) {
    engine
        .corten(["run", "--name", "maker", "busybox", "sh", "-c", script])
        .ok();
    let corten = corten_tests::programs::corten();
    engine
        .sh(&format!(
            "{c} export maker | {c} import - hostile:latest",
            c = corten.display()
        ))
        .ok();
    engine.corten(["rm", "maker"]).ok();
}

/// Makes an image of another one, with a link in place of one of its files or folders. What is mounted
/// while a container runs cannot be replaced in it, so the archive is made by hand.
fn linked(engine: &Engine, from: &str, path: &str, to: &std::path::Path) {
    let script = format!(
        "mkdir -p tree && cd tree && {c} create --name maker {from} true >/dev/null && {c} export maker | tar x && \
         {c} rm maker >/dev/null && rm -rf .{path} && ln -s {to} .{path} && tar c . > ../evil.tar && cd .. && rm -rf tree",
        c = corten_tests::programs::corten().display(),
        to = to.display()
    );
    engine.sh(&script).ok();
    engine.corten(["import", "evil.tar", "hostile:latest"]).ok();
}

/// A folder of the host with a secret in it.
fn secret(engine: &Engine) -> std::path::PathBuf {
    let folder = engine.work().join("secret");
    corten_sys::fs::create_dir_all(&folder).expect("a folder");
    corten_sys::fs::write(folder.join("key"), "secret").expect("a file");
    folder
}

#[track_caller]
fn is_untouched(secret: &std::path::Path) {
    let names: Vec<_> = corten_sys::fs::read_dir(secret)
        .expect("a folder")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(names, ["key"]);
    assert_eq!(
        corten_sys::fs::read_to_string(secret.join("key")).expect("a file"),
        "secret"
    );
}

#[test]
fn links_in_an_image_lead_nowhere_outside() {
    let engine = Engine::start();
    let secret = secret(&engine);
    let at = secret.display();
    image(
        &engine,
        &format!(
            "ln -s {at} /data; ln -s ../../../../../../../../..{at} /up; ln -s /data /twice; ln -s {at}/key /file"
        ),
    );
    let bind = engine.work().join("bind");
    corten_sys::fs::create_dir_all(&bind).expect("a folder");
    for target in ["/data", "/up", "/twice", "/data/below", "/up/../up"] {
        let volume = format!("vol:{target}");
        let bound = format!("{}:{target}", bind.display());
        let tmpfs = format!("type=tmpfs,dst={target}");
        for mount in [["-v", &volume], ["-v", &bound], ["--mount", &tmpfs]] {
            let script = format!("cd {target} && ls && touch mine && [ ! -e key ]");
            let run = [&["run", "--rm"], &mount[..], &["hostile", "sh", "-c", &script]].concat();
            let finished = engine.corten(run).run();
            assert!(!finished.stdout.contains("key"), "{mount:?}: {finished}");
            assert_eq!(finished.code, 0, "{mount:?}: {finished}");
            is_untouched(&secret);
        }
        engine.corten(["volume", "rm", "vol"]).ok();
    }
    let file = engine.work().join("file");
    corten_sys::fs::write(&file, "mine").expect("a file");
    let bound = format!("{}:/file", file.display());
    assert_eq!(
        engine
            .corten(["run", "--rm", "-v", &bound, "hostile", "cat", "/file"])
            .line(),
        "mine"
    );
    is_untouched(&secret);
    let listed = engine.corten(["run", "--rm", "-w", "/data", "hostile", "ls"]).run();
    assert!(!listed.stdout.contains("key"), "{listed}");
    is_untouched(&secret);
}

#[test]
fn links_in_place_of_what_the_engine_mounts_lead_nowhere_outside() {
    let engine = Engine::start();
    let secret = secret(&engine);
    for path in ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"] {
        image(&engine, &format!("umount {path} 2>/dev/null; mkdir -p /x; echo"));
        linked(&engine, "hostile", path, &secret.join("key"));
        let finished = engine
            .corten([
                "run",
                "--rm",
                "hostile",
                "sh",
                "-c",
                &format!("cat {path}; echo x >> {path}"),
            ])
            .run();
        assert!(!finished.stdout.contains("secret"), "{path}: {finished}");
        is_untouched(&secret);
    }
    for path in ["/proc", "/dev", "/sys"] {
        linked(&engine, "busybox", path, &secret);
        let finished = engine.corten(["run", "--rm", "hostile", "ls", path]).run();
        assert!(!finished.stdout.contains("key"), "{path}: {finished}");
        is_untouched(&secret);
    }
}

#[test]
fn files_of_users_may_be_anything() {
    let engine = Engine::start();
    let secret = secret(&engine);
    let setups = [
        "rm -f /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group".to_owned(),
        "rm -f /etc/passwd; mkdir /etc/passwd".to_owned(),
        "rm -f /etc/passwd; ln -s /etc/passwd /etc/passwd".to_owned(),
        format!("rm -f /etc/passwd; ln -s {}/key /etc/passwd", secret.display()),
        "rm -rf /etc; ln -s / /etc".to_owned(),
        "truncate -s 3G /etc/passwd; truncate -s 3G /etc/group".to_owned(),
        "head -c 200000 /dev/zero | tr '\\0' 'x' > /etc/passwd".to_owned(),
        "mknod /etc/zero c 1 5; rm -f /etc/passwd; ln -s zero /etc/passwd".to_owned(),
    ];
    for setup in &setups {
        engine
            .corten(["run", "--name", "box", "busybox", "sh", "-c", &format!("{setup}; true")])
            .ok();
        // The container's own layer has what it made of its files; starting it again reads them.
        let again = engine.corten(["start", "-a", "box"]).run();
        assert!(again.code != 124 && engine.is_running(), "{setup}: {again}");
        let by_number = engine
            .corten(["run", "--rm", "-u", "1234:5", "busybox", "id", "-u"])
            .line();
        assert_eq!(by_number, "1234");
        engine.corten(["rm", "box"]).ok();
        is_untouched(&secret);
    }
    engine.ready_box(&[], "rm /etc/passwd; mkfifo /etc/passwd");
    let refused = engine.corten(["exec", "-u", "somebody", "box", "true"]).run();
    assert_ne!(refused.code, 0, "{refused}");
    assert!(refused.stderr.contains("unable to find user somebody"), "{refused}");
}

#[test]
fn programs_of_ours_cannot_be_overwritten_from_inside() {
    let engine = Engine::start();
    let sums = || {
        engine
            .sh(&format!(
                "cd {} && find bin -type f | xargs sha256sum",
                engine.data_root().display()
            ))
            .ok()
    };
    let corten = corten_tests::programs::corten();
    let own = || engine.sh(&format!("sha256sum {}", corten.display())).ok();
    let (before, before_own) = (sums(), own());
    // A program that is the one that starts it (CVE-2019-5736).
    let finished = engine.corten(["run", "--rm", "busybox", "/proc/self/exe"]).run();
    assert_ne!(finished.code, 0, "{finished}");
    engine.ready_box(&["--init"], "ln -sf /proc/self/exe /bin/evil");
    assert_ne!(engine.corten(["exec", "box", "/bin/evil"]).run().code, 0);
    for path in ["/proc/1/exe", "/sbin/docker-init"] {
        let write = format!("echo overwritten > {path}");
        assert_ne!(
            engine.corten(["exec", "box", "sh", "-c", &write]).run().code,
            0,
            "{path}"
        );
        let unlink = engine.corten(["exec", "box", "rm", "-f", path]).run();
        assert_ne!(unlink.code, 0, "{path}: {unlink}");
    }
    // Even where all is allowed: the shim runs from sealed memory.
    let shim = engine.shim("box");
    let write = format!("echo overwritten > /proc/{shim}/exe");
    let finished = engine
        .corten([
            "run",
            "--rm",
            "--privileged",
            "--pid",
            "host",
            "busybox",
            "sh",
            "-c",
            &write,
        ])
        .run();
    assert_ne!(finished.code, 0, "{finished}");
    let write = format!("echo overwritten 1<> /proc/{shim}/exe");
    let finished = engine
        .corten(["run", "--rm", "--pid", "host", "busybox", "sh", "-c", &write])
        .run();
    assert_ne!(finished.code, 0, "{finished}");
    assert_eq!((sums(), own()), (before, before_own));
    assert_eq!(engine.corten(["exec", "box", "echo", "well"]).ok(), "well\n");
}

#[test]
fn an_exec_into_a_container_that_lies_ends() {
    let engine = Engine::start();
    // Its /proc is a file system of its own making.
    let script = "mount -t tmpfs none /proc; mkdir -p /proc/self/attr /proc/self/fd /proc/thread-self";
    engine.ready_box(&["--privileged"], script);
    let finished = engine.corten(["exec", "box", "echo", "in"]).run();
    assert!(finished.stdout == "in\n" || !finished.stderr.is_empty(), "{finished}");
    engine.corten(["exec", "box", "rm", "-f", "/bin/sh"]).run();
    let gone = engine.corten(["exec", "box", "/bin/gone"]).run();
    assert_eq!(gone.code, 127, "{gone}");
    engine.corten(["rm", "-f", "box"]).ok();
}
