//! Failures to start, ends, and engines that die.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use corten_oci::runtime::NamespaceKind;
use corten_shim::protocol::{Event, FailureKind, Reply, Request, SOCKET};

use crate::harness::{Setup, outputs, wait_for};

#[test]
fn what_cannot_be_executed_has_its_kind_and_leaves_nothing() {
    for (command, kind) in [
        ("missing", FailureKind::CommandNotFound),
        ("/etc", FailureKind::CommandNotExecutable),
    ] {
        let failure = Setup::command(&[command]).try_start().err().unwrap();
        assert_eq!(failure.kind, kind, "{}", failure.message);
    }
}

#[test]
fn another_version_is_refused() {
    let mut setup = Setup::command(&["true"]);
    setup.start.version = 999;
    let failure = setup.try_start().err().unwrap();
    assert_eq!(failure.kind, FailureKind::Unsupported);
}

#[test]
fn the_engine_may_die_and_another_finds_the_container() {
    let mut setup = Setup::script("trap 'exit 11' TERM; echo ready; while :; do sleep 0.05; done");
    let mut client = setup.client(outputs());
    let mut shim = setup.start();
    client.socket.read_exact(&mut [0; 8]).unwrap();
    client.until("ready\n");
    shim.kill_engine();
    shim.reconnect();
    let Ok(Reply::State(state)) = shim.ask(Request::State) else {
        panic!("no state");
    };
    assert_eq!(state.pid, shim.pid);
    assert!(state.started_at > 0 && !state.paused);
    shim.ask(Request::Subscribe).unwrap();
    shim.ask(Request::Signal { signal: 15 }).unwrap();
    assert_eq!(shim.exited().code, 11);
}

#[test]
fn the_end_is_left_behind_when_nobody_listens() {
    let mut setup = Setup::script("read x; exit 12").stdin(corten_shim::protocol::Stdin::Open);
    let mut client = setup.client(crate::harness::whole());
    let mut shim = setup.start();
    shim.kill_engine();
    client.type_in(b"\n");
    shim.ended();
    assert_eq!(shim.exit_file().code, 12);
}

#[test]
fn bad_frames_end_their_connection_alone() {
    let mut shim = Setup::command(&["sleep", "1000"]).start();
    for bytes in [
        b"\xff\xff\xff\xff".as_slice(),
        b"\x02\0\0\0{]",
        b"\x04\0\0\0null",
        b"\x2f\0\0\0{\"number\":1,\"request\":{\"attach\":{\"exec\":null}}}",
        b"\x81\0\0\0{\"number\":1,\"request\":{\"attach\":{\"exec\":null,\"attach\":{\"stdin\":true,\"stdout\":true,\"stderr\":true,\"preface\":[],\"detach_keys\":[]}}}}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\0\0\0half",
    ] {
        let mut socket = UnixStream::connect(shim.path().join(SOCKET)).unwrap();
        socket.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
        socket.write_all(bytes).unwrap();
        if !bytes.ends_with(b"half") {
            let mut rest = Vec::new();
            socket.read_to_end(&mut rest).unwrap();
        }
    }
    assert!(matches!(shim.ask(Request::State), Ok(Reply::State(_))));
    shim.kill();
    assert_eq!(shim.exited().code, 137);
}

#[test]
fn an_engine_that_does_not_read_is_let_go() {
    let mut shim = Setup::command(&["sleep", "1000"]).start();
    let socket = UnixStream::connect(shim.path().join(SOCKET)).unwrap();
    let frame = corten_shim::connection::encode(&corten_shim::protocol::Call {
        number: 1,
        request: Request::State,
    })
    .unwrap();
    let mut socket = socket;
    let error = wait_for("the hang-up", || socket.write_all(&frame).err());
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!(matches!(shim.ask(Request::State), Ok(Reply::State(_))));
    shim.kill();
    shim.exited();
}

#[test]
fn signals_to_the_shim_change_nothing() {
    let mut shim = Setup::command(&["sleep", "1000"]).start();
    for signal in [1, 2, 3, 13, 15] {
        let pid = i32::try_from(shim.process.id()).unwrap();
        corten_sys::signal::kill(pid, signal).unwrap();
    }
    assert!(matches!(shim.ask(Request::State), Ok(Reply::State(_))));
    shim.kill();
    assert_eq!(shim.exited().code, 137);
}

#[test]
fn without_a_pid_namespace_what_init_leaves_is_killed() {
    let mut setup = Setup::script("sleep 1000 & sleep 1000 & echo started");
    setup
        .spec
        .linux
        .as_mut()
        .unwrap()
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Pid);
    let mut client = setup.client(outputs());
    let shim = setup.start();
    assert_eq!(client.outputs().0, "started\n");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn orphans_do_not_stay_zombies() {
    let mut setup = Setup::script("(sleep 0.1 & echo $! ) ; sleep 1000");
    setup
        .spec
        .linux
        .as_mut()
        .unwrap()
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Pid);
    let mut client = setup.client(outputs());
    let mut shim = setup.start();
    let mut header = [0; 8];
    client.socket.read_exact(&mut header).unwrap();
    let pid: i32 = client.until("\n").trim().parse().unwrap();
    wait_for("the orphan's end", || corten_sys::process::start_time(pid).err());
    shim.kill();
    assert_eq!(shim.exited().code, 137);
}

#[test]
fn held_descriptors_are_closed_only_with_the_container() {
    let (held, mut far) = UnixStream::pair().unwrap();
    let mut setup = Setup::script("read x").stdin(corten_shim::protocol::Stdin::Open);
    let mut client = setup.client(crate::harness::whole());
    setup.hold(held.into());
    let shim = setup.start();
    far.write_all(b"x").unwrap();
    client.type_in(b"\n");
    assert_eq!(shim.exited().code, 0);
    assert!(far.write_all(b"x").is_err());
}

#[test]
fn an_early_end_is_not_missed() {
    for _ in 0..20 {
        let mut shim = Setup::command(&["true"]).start();
        let exit = shim.engine().wait_for(|event| match event {
            Event::Exited(exit) => Some(exit.clone()),
            _ => None,
        });
        assert_eq!(exit.code, 0);
        shim.ended();
    }
}
