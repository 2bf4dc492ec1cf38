//! `-H ssh://`, by way of a program called ssh that runs the far command here.

use corten_tests::{command::Call, engine::Engine, programs};

/// An engine, and a folder with a program that passes for ssh: it notes its arguments, and runs what comes after the
/// host with the engine's socket.
fn engine() -> (Engine, String) {
    let engine = Engine::start();
    let folder = engine.work().join("bin");
    corten_sys::fs::create_dir(&folder).expect("a folder");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> {log}\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexport DOCKER_HOST=unix://{socket}\nexec sh -c \"$*\"\n",
        log = engine.work().join("ssh.log").display(),
        socket = engine.socket().display(),
    );
    corten_sys::fs::write(folder.join("ssh"), script).expect("a file");
    corten_sys::fs::set_mode(folder.join("ssh"), 0o755).expect("a file");
    corten_sys::fs::symlink(programs::corten(), folder.join("corten")).expect("a link");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display());
    (engine, path)
}

#[test]
fn engines_are_reached_by_ssh() {
    let (engine, path) = engine();
    let far = |arguments: &[&str]| -> Call {
        let fixed = ["-H", "ssh://me@far.example:2222"];
        engine.corten(fixed.iter().chain(arguments)).env("PATH", &path)
    };
    let id = engine.corten(["info", "-f", "{{.ID}}"]).line();
    assert_eq!(far(&["info", "-f", "{{.ID}}"]).line(), id);
    // Streams, with the end of input.
    assert_eq!(
        far(&["run", "--rm", "-i", "busybox", "wc", "-c"])
            .stdin("x".repeat(100_000))
            .ok(),
        "100000\n"
    );
    let failed = far(&["run", "--rm", "busybox", "sh", "-c", "echo bad >&2; exit 3"]).run();
    assert_eq!((failed.code, failed.stderr.as_str()), (3, "bad\n"));
    let socket = engine.socket();
    let by_path = format!("ssh://far.example{}", socket.display());
    assert_eq!(
        engine
            .corten(["-H", &by_path, "info", "-f", "{{.ID}}"])
            .env("PATH", &path)
            .line(),
        id
    );
    let log = corten_sys::fs::read_to_string(engine.work().join("ssh.log")).expect("a file");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(
        lines[0],
        "-o ConnectTimeout=30 -T -l me -p 2222 -- far.example corten system dial-stdio"
    );
    let last = format!(
        "-o ConnectTimeout=30 -T -- far.example corten --host unix://{} system dial-stdio",
        socket.display()
    );
    assert_eq!(*lines.last().expect("a line"), last);
}

#[test]
fn what_goes_wrong_on_the_way_is_told() {
    let (engine, path) = engine();
    for (host, words) in [
        ("ssh://", "invalid SSH URL: no host specified"),
        ("ssh://me:secret@far", "plain-text password is not supported"),
        ("ssh://-oProxyCommand=x", "no host specified"),
    ] {
        let finished = engine.corten(["-H", host, "ps"]).env("PATH", &path).run();
        assert_eq!(finished.code, 1, "{host}");
        assert!(finished.stderr.contains(words), "{host}: {finished}");
    }
    corten_sys::fs::write(
        engine.work().join("bin/ssh"),
        "#!/bin/sh\necho no route >&2\nexit 255\n",
    )
    .expect("a file");
    let finished = engine.corten(["-H", "ssh://far", "ps"]).env("PATH", &path).run();
    assert_eq!(finished.code, 1, "{finished}");
    assert!(finished.stderr.starts_with("no route\n"), "{finished}");
    assert!(
        finished
            .stderr
            .contains("make sure that 'corten system dial-stdio' works there"),
        "{finished}"
    );
    let missing = engine
        .corten(["-H", "ssh://far", "ps"])
        .env("PATH", "/nonexistent")
        .run();
    assert!(missing.stderr.contains("ssh"), "{missing}");
}

#[test]
fn dial_stdio_carries_a_connection() {
    let engine = Engine::start();
    let request = "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // Input stays open until the answer is there, as ssh has it: who hangs up is not answered.
    let mut dial = engine.corten(["system", "dial-stdio"]).spawn();
    dial.write(request);
    let answer = dial.wait_for("\r\n\r\nOK");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(dial.wait().code, 0);
}
