//! `corten-init`, as Docker's `--init` runs it.

use std::process::{Command, Output};

use corten_shim::protocol::Request;

use crate::harness::{Setup, outputs, wait_for};

const INIT: &str = env!("CARGO_BIN_EXE_corten-init");

fn run(args: &[&str]) -> Output {
    Command::new(INIT).args(args).output().unwrap()
}

#[test]
fn the_command_s_code_is_its_own() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        assert_eq!(
            run(&["--", "/bin/sh", "-c", script]).status.code(),
            Some(code),
            "{script}"
        );
    }
    let output = run(&["--", "/bin/echo", "--", "a"]);
    assert_eq!(output.stdout, b"-- a\n");
}

#[test]
fn failures_are_told_as_tini_tells_them() {
    for (args, code, text) in [
        (
            &["--", "/missing"] as &[&str],
            127,
            "exec /missing failed: No such file or directory",
        ),
        (
            &["--", "missing-command"],
            127,
            "exec missing-command failed: No such file or directory",
        ),
        (
            &["--", "/etc/passwd"],
            126,
            "exec /etc/passwd failed: Permission denied",
        ),
        (&["--"], 1, "no command is given"),
    ] {
        let output = run(args);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.starts_with("[FATAL tini (") && words.contains(text), "{words}");
    }
}

#[test]
fn as_the_first_process_it_forwards_signals_and_reaps() {
    let script = "(sleep 0.1 & exec true) & trap 'exit 21' TERM; echo ready; while :; do sleep 0.05; done";
    let mut setup = Setup::command(&["/init", "--", "sh", "-c", script]);
    // As Docker's default profile.
    let seccomp = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
    setup.spec.linux.as_mut().unwrap().seccomp = Some(serde_json::from_str(seccomp).unwrap());
    corten_sys::fs::copy(INIT, setup.path().join("rootfs/init")).unwrap();
    let mut client = setup.client(outputs());
    let mut shim = setup.start();
    let mut header = [0; 8];
    std::io::Read::read_exact(&mut client.socket, &mut header).unwrap();
    client.until("ready\n");
    wait_for("the orphans' ends", || {
        let pids = match shim.ask(Request::Pids) {
            Ok(corten_shim::protocol::Reply::Pids(pids)) => pids,
            other => panic!("{other:?}"),
        };
        let zombie = |pid: &i32| corten_sys::process::is_zombie(*pid).unwrap_or(false);
        (!pids.iter().any(zombie)).then_some(())
    });
    shim.ask(Request::Signal { signal: 15 }).unwrap();
    assert_eq!(shim.exited().code, 21);
}
