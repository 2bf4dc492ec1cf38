//! Clients: framing, input, terminals, detach keys, back-pressure.

use std::io::Read as _;

use corten_shim::protocol::{Attach, Event, Request, Stdin, WindowSize};

use crate::harness::{Setup, outputs, wait_for, whole};

#[test]
fn outputs_are_framed_and_the_code_is_told() {
    let mut setup = Setup::script("echo out; echo err >&2; exit 3");
    let mut client = setup.client(outputs());
    let shim = setup.start();
    assert_eq!(client.outputs(), ("out\n".into(), "err\n".into()));
    assert_eq!(shim.exited().code, 3);
}

#[test]
fn a_client_gets_only_what_it_asked_for() {
    let mut setup = Setup::script("echo out; echo err >&2");
    let mut client = setup.client(Attach {
        stdout: false,
        ..outputs()
    });
    let shim = setup.start();
    assert_eq!(client.outputs(), (String::new(), "err\n".into()));
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn input_ends_with_the_client_s_half_close() {
    let mut setup = Setup::command(&["cat"]).stdin(Stdin::Once);
    let mut client = setup.client(Attach {
        preface: b"early ".into(),
        ..whole()
    });
    let shim = setup.start();
    client.type_in(b"late\n");
    client.end_input();
    assert_eq!(client.outputs().0, "early late\n");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn much_input_passes_through() {
    let mut setup = Setup::command(&["wc", "-c"]).stdin(Stdin::Once);
    let mut client = setup.client(whole());
    let shim = setup.start();
    client.type_in(&vec![b'x'; 5 << 20]);
    client.end_input();
    assert_eq!(client.outputs().0, "5242880\n");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn open_input_survives_its_clients() {
    let mut setup = Setup::script("read a; read b; echo $a-$b").stdin(Stdin::Open);
    let mut first = setup.client(whole());
    let mut shim = setup.start();
    first.type_in(b"1\n");
    first.end_input();
    let mut second = shim.attach(None, whole());
    drop(first);
    second.type_in(b"2\n");
    assert_eq!(second.outputs().0, "1-2\n");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn a_client_that_leaves_at_once_has_still_given_its_input() {
    let mut setup = Setup::script("head -c 300000 | wc -c; cat").stdin(Stdin::Once).log();
    let mut client = setup.client(whole());
    let shim = setup.start();
    client.type_in(&vec![b'y'; 300_000]);
    drop(client);
    let log = shim.path().join("c-json.log");
    wait_for("the log", || {
        corten_sys::fs::read_to_string(&log)
            .unwrap()
            .contains("300000")
            .then_some(())
    });
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn input_that_nobody_read_breaks_no_output() {
    let mut setup = Setup::script("echo done").stdin(Stdin::Once);
    let mut client = setup.client(whole());
    client.type_in(b"never read");
    let shim = setup.start();
    assert_eq!(client.outputs().0, "done\n");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn a_terminal_has_a_size_that_can_change() {
    let mut setup = Setup::script("stty size; trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done")
        .tty(24, 80)
        .stdin(Stdin::Open);
    let mut client = setup.client(whole());
    let mut shim = setup.start();
    assert_eq!(client.until("ready\r\n"), "24 80\r\nready\r\n");
    let size = WindowSize { rows: 50, columns: 132 };
    shim.ask(Request::Resize { exec: None, size }).unwrap();
    assert_eq!(client.until("\n"), "50 132\r\n");
    assert_eq!(client.rest(), b"");
    assert_eq!(shim.exited().code, 4);
}

#[test]
fn a_terminal_that_is_closed_for_a_while_comes_back() {
    let script = "exec 3<&0 0<&- 1>&- 2>&- 3<&-; sleep 0.3; exec </dev/console >/dev/console 2>&1; echo back; exit 5";
    let mut setup = Setup::script(script).tty(24, 80).stdin(Stdin::Open);
    let mut client = setup.client(whole());
    let shim = setup.start();
    assert_eq!(client.rest(), b"back\r\n");
    assert_eq!(shim.exited().code, 5);
}

#[test]
fn detach_keys_end_the_session_alone() {
    let mut setup = Setup::script("stty -echo; echo ready; read line; echo got $line; sleep 100")
        .tty(24, 80)
        .stdin(Stdin::Open);
    let mut client = setup.client(Attach {
        detach_keys: vec![16, 17],
        ..whole()
    });
    let mut shim = setup.start();
    client.until("ready\r\n");
    // A false start is passed on.
    client.type_in(b"a\x10");
    client.type_in(b"b\n");
    client.until("got a\x10b\r\n");
    client.type_in(b"\x10");
    client.type_in(b"\x11");
    assert_eq!(client.rest(), b"");
    shim.engine()
        .wait_for(|event| (*event == Event::Detached { exec: None }).then_some(()));
    shim.kill();
    assert_eq!(shim.exited().code, 137);
}

#[test]
fn detach_keys_are_bytes_like_others_without_a_terminal() {
    let mut setup = Setup::command(&["cat"]).stdin(Stdin::Once);
    let mut client = setup.client(Attach {
        detach_keys: vec![16, 17],
        ..whole()
    });
    let shim = setup.start();
    client.type_in(b"\x10\x11");
    client.end_input();
    assert_eq!(client.outputs().0, "\x10\x11");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn a_slow_client_loses_nothing_and_slows_the_process() {
    let mut setup = Setup::script("head -c 3000000 /dev/zero; echo end >&2").log();
    let mut slow = setup.client(Attach {
        stderr: false,
        ..outputs()
    });
    let mut quick = setup.client(Attach {
        stdout: false,
        ..outputs()
    });
    let shim = setup.start();
    // All buffers on the way are full long before the end.
    let mut early = vec![0; 1000];
    slow.socket.read_exact(&mut early).unwrap();
    quick
        .socket
        .set_read_timeout(Some(std::time::Duration::from_millis(300)))
        .unwrap();
    let error = quick.socket.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    quick.socket.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    let rest = slow.rest();
    assert!(early.len() + rest.len() > 3_000_000);
    assert_eq!(quick.outputs().1, "end\n");
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn a_client_that_hangs_up_holds_nothing_up() {
    let mut setup = Setup::script("head -c 3000000 /dev/zero; echo end");
    let mut stuck = setup.client(outputs());
    let mut shim = setup.start();
    stuck.socket.read_exact(&mut [0; 1000]).unwrap();
    let _idle = shim.attach(
        None,
        Attach {
            stdout: false,
            ..outputs()
        },
    );
    drop(stuck);
    assert_eq!(shim.exited().code, 0);
}

#[test]
fn a_client_that_never_reads_delays_the_end_by_little() {
    let mut setup = Setup::script("head -c 150000 /dev/zero & sleep 0.2; kill -9 $$");
    let client = setup.client(outputs());
    let mut shim = setup.start();
    let exit = shim.engine().wait_for(|event| match event {
        Event::Exited(exit) => Some(exit.clone()),
        _ => None,
    });
    drop(client);
    assert_eq!(exit.code, 0);
    shim.ended();
}
