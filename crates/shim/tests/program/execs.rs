//! Other processes in a running container.

use corten_shim::protocol::{Event, FailureKind, Reply, Request, State, WindowSize};

use crate::harness::{Setup, Shim, process, wait_for};

fn sleeping() -> Shim {
    Setup::command(&["sleep", "1000"]).start()
}

fn state(shim: &mut Shim) -> State {
    match shim.ask(Request::State).unwrap() {
        Reply::State(state) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exec_has_streams_and_a_code_of_its_own() {
    let mut shim = sleeping();
    let script = process(&["sh", "-c", "read x; echo $x $$; echo bad >&2; exit 9"]);
    let (pid, mut client) = shim.exec("e1", script, true).unwrap();
    assert_eq!(state(&mut shim).execs, [("e1".to_owned(), pid)]);
    client.type_in(b"hello\n");
    let (out, err) = client.outputs();
    assert!(out.starts_with("hello "), "{out}");
    assert_eq!(err, "bad\n");
    assert_eq!(shim.engine().exec_exited("e1").code, 9);
    assert!(state(&mut shim).execs.is_empty());
    shim.kill();
    assert_eq!(shim.exited().code, 137);
}

#[test]
fn an_exec_may_have_a_terminal() {
    let mut shim = sleeping();
    let mut shell = process(&["sh", "-c", "stty size; tty; read x; stty size"]);
    shell.terminal = true;
    let (_, mut client) = shim.exec("t", shell, true).unwrap();
    assert_eq!(client.until("\n"), "5 50\r\n");
    assert!(client.until("\n").starts_with("/dev/pts/"));
    let size = WindowSize { rows: 6, columns: 60 };
    shim.ask(Request::Resize {
        exec: Some("t".into()),
        size,
    })
    .unwrap();
    client.type_in(b"\n");
    client.until("6 60\r\n");
    assert_eq!(client.rest(), b"");
    assert_eq!(shim.engine().exec_exited("t").code, 0);
    shim.kill();
    shim.exited();
}

#[test]
fn many_execs_run_at_once() {
    let mut shim = sleeping();
    let mut clients: Vec<_> = (0..10)
        .map(|number| {
            let script = format!("read x; echo {number}; exit {number}");
            shim.exec(&format!("e{number}"), process(&["sh", "-c", &script]), true)
                .unwrap()
                .1
        })
        .collect();
    assert_eq!(state(&mut shim).execs.len(), 10);
    for (number, client) in clients.iter_mut().enumerate().rev() {
        client.type_in(b"\n");
        assert_eq!(client.outputs().0, format!("{number}\n"));
        assert_eq!(
            shim.engine().exec_exited(&format!("e{number}")).code,
            i32::try_from(number).unwrap()
        );
    }
    shim.kill();
    shim.exited();
}

#[test]
fn failures_have_their_kinds() {
    let mut shim = sleeping();
    corten_sys::fs::write(shim.path().join("rootfs/etc/plain"), b"").unwrap();
    for (command, kind) in [
        ("missing", FailureKind::CommandNotFound),
        ("/bin/missing", FailureKind::CommandNotFound),
        ("/etc/plain", FailureKind::CommandNotExecutable),
        ("/etc", FailureKind::CommandNotExecutable),
    ] {
        let failure = shim.exec("e", process(&[command]), false).err().unwrap();
        assert_eq!(failure.kind, kind, "{}", failure.message);
    }
    let size = WindowSize { rows: 1, columns: 1 };
    let failure = shim
        .ask(Request::Resize {
            exec: Some("e".into()),
            size,
        })
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotFound);
    let failure = shim.ask(Request::Signal { signal: 99 }).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Invalid);
    shim.kill();
    shim.exited();
}

#[test]
fn execs_end_with_the_container() {
    let mut shim = sleeping();
    let (_, mut client) = shim.exec("e", process(&["sleep", "1000"]), false).unwrap();
    shim.kill();
    assert_eq!(client.rest(), b"");
    assert_eq!(shim.engine().exec_exited("e").code, 137);
    shim.exited();
}

#[test]
fn what_an_exec_leaves_behind_does_not_hold_its_end() {
    let mut shim = sleeping();
    let (_, mut client) = shim
        .exec("e", process(&["sh", "-c", "sleep 500 & echo started"]), false)
        .unwrap();
    assert_eq!(client.outputs().0, "started\n");
    assert_eq!(shim.engine().exec_exited("e").code, 0);
    shim.kill();
    shim.exited();
}

#[test]
fn a_detached_exec_needs_no_client() {
    let mut shim = sleeping();
    let process = Box::new(process(&["sh", "-c", "echo lost; exit 6"]));
    let request = Request::Exec {
        id: "d".into(),
        process,
        attach: None,
        size: None,
        stdin: false,
    };
    assert!(matches!(shim.ask(request), Ok(Reply::Started { .. })));
    assert_eq!(shim.engine().exec_exited("d").code, 6);
    shim.kill();
    shim.exited();
}

#[test]
fn a_paused_container_stands_still() {
    let mut shim = sleeping();
    assert!(matches!(shim.ask(Request::Pause), Ok(Reply::Done)));
    assert!(state(&mut shim).paused);
    let failure = shim.exec("e", process(&["true"]), false).err().unwrap();
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(matches!(shim.ask(Request::Resume), Ok(Reply::Done)));
    assert!(!state(&mut shim).paused);
    let Ok(Reply::Pids(pids)) = shim.ask(Request::Pids) else {
        panic!("no pids");
    };
    assert_eq!(pids, [shim.pid]);
    let Ok(Reply::Stats(stats)) = shim.ask(Request::Stats) else {
        panic!("no stats");
    };
    assert!(
        stats.cpu_total > 0 && stats.memory_usage > 0 && stats.pids == 1,
        "{stats:?}"
    );
    assert!(matches!(shim.ask(Request::KillAll), Ok(Reply::Done)));
    assert_eq!(shim.exited().code, 137);
}

#[test]
fn a_container_that_needs_too_much_memory_is_told_of() {
    let mut setup =
        Setup::script("while read x; do tail /dev/zero; done; exit 7").stdin(corten_shim::protocol::Stdin::Open);
    let linux = setup.spec.linux.as_mut().unwrap();
    let memory = corten_oci::runtime::Memory {
        limit: Some(16 << 20),
        swap: Some(16 << 20),
        ..Default::default()
    };
    linux.resources = Some(corten_oci::runtime::Resources {
        memory: Some(memory),
        ..Default::default()
    });
    let mut client = setup.client(crate::harness::whole());
    let mut shim = setup.start();
    client.type_in(b"go\n");
    shim.engine()
        .wait_for(|event| (*event == Event::OutOfMemory).then_some(()));
    assert!(state(&mut shim).oom_killed);
    shim.kill();
    let pid = shim.pid;
    let exit = shim.exited();
    assert!(exit.oom_killed);
    wait_for("init's end", || corten_sys::process::start_time(pid).err());
}
