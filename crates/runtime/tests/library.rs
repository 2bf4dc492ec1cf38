//! The library as a shim uses it: roots mounted inside, namespaces handed in, streams, execs.
//!
//! Containers are made by a process with one thread, so this has a `main` of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at files directly, and panic"
)]
#![expect(clippy::print_stdout, reason = "tests tell")]

mod harness;

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use corten_oci::runtime::{ConsoleSize, Mount, Process, Spec};
use corten_runtime::{Container, Create, Exec, Keyring, Kind, Stdio, create, exec};
use harness::Bundle;

fn main() {
    let tests: [(&str, fn()); 8] = [
        ("an_overlay_is_mounted_inside_only", an_overlay_is_mounted_inside_only),
        ("layers_may_be_many_and_long", layers_may_be_many_and_long),
        ("a_network_namespace_is_handed_in", a_network_namespace_is_handed_in),
        ("a_terminal_comes_back", a_terminal_comes_back),
        ("execs_are_children_of_the_caller", execs_are_children_of_the_caller),
        ("failures_leave_nothing", failures_leave_nothing),
        ("an_overlay_in_a_user_namespace", an_overlay_in_a_user_namespace),
        (
            "a_container_that_has_ended_takes_no_exec",
            a_container_that_has_ended_takes_no_exec,
        ),
    ];
    // Asked for by test runners.
    if std::env::args().any(|arg| arg == "--list") {
        return println!("library: test");
    }
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
}

fn spec(bundle: &Bundle) -> Spec {
    serde_json::from_value(bundle.spec.clone()).unwrap()
}

/// Standard streams: nothing to read, output into a pipe whose other end comes back.
fn streams() -> (Stdio, File) {
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let other = write.try_clone().unwrap();
    (Stdio::Streams([null, write, other]), read.into())
}

fn overlay(bundle: &Bundle) -> Mount {
    let folder = |name: &str| {
        let path = bundle.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path.display().to_string()
    };
    Mount {
        destination: "/".into(),
        kind: Some("overlay".into()),
        source: Some("overlay".into()),
        options: vec![
            format!("lowerdir+={}", bundle.root().display()),
            format!("upperdir={}", folder("upper")),
            format!("workdir={}", folder("work")),
            "volatile".into(),
        ],
        ..Mount::default()
    }
}

/// Waits for the container's end and returns its exit code and what it has said.
fn finish(container: Container, mut said: File) -> (i32, String) {
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    let code = container.process.wait().unwrap().code();
    if let Some(cgroup) = container.cgroup {
        cgroup.delete().unwrap();
    }
    (code, text)
}

fn run(bundle: &Bundle, rootfs: &[Mount]) -> (i32, String) {
    let spec = spec(bundle);
    let mut request = Create::new(&bundle.id, bundle.path(), &spec);
    let (stdio, said) = streams();
    request.stdio = stdio;
    request.rootfs = rootfs;
    let container = create(request).unwrap();
    finish(container, said)
}

fn an_overlay_is_mounted_inside_only() {
    let bundle = Bundle::new("grep -c ' / overlay ' /proc/mounts; echo x > /made; ls -d /bin");
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let root = overlay(&bundle);
    assert_eq!(run(&bundle, &[root]), (0, "1\n/bin\n".into()));
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    assert_eq!(std::fs::read(bundle.path().join("upper/made")).unwrap(), b"x\n");
    assert!(!bundle.root().join("made").exists());
}

fn layers_may_be_many_and_long() {
    let bundle = Bundle::new("cat /top; ls / | grep -c file");
    let mut root = overlay(&bundle);
    for number in 0..120 {
        let layer = bundle.path().join(format!("{}/{number}", "long".repeat(60)));
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::write(layer.join(format!("file{number}")), "").unwrap();
        std::fs::write(layer.join("top"), format!("{number}\n")).unwrap();
        root.options.insert(number, format!("lowerdir+={}", layer.display()));
    }
    assert_eq!(run(&bundle, &[root]), (0, "0\n120\n".into()));
}

fn a_network_namespace_is_handed_in() {
    let keeper = Bundle::new("exec sleep 1000");
    let (stdio, _) = streams();
    let of_keeper = spec(&keeper);
    let mut request = Create::new(&keeper.id, keeper.path(), &of_keeper);
    request.stdio = stdio;
    let first = create(request).unwrap();
    let link = format!("/proc/{}/ns/net", first.pid);
    let expected = std::fs::read_link(&link).unwrap();
    for user in [false, true] {
        let mut bundle = Bundle::new("readlink /proc/self/ns/net");
        if user {
            bundle.map_users();
        }
        let spec = spec(&bundle);
        let mut request = Create::new(&bundle.id, bundle.path(), &spec);
        let (stdio, said) = streams();
        request.stdio = stdio;
        request.network = Some(File::open(&link).unwrap().into());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let container = create(request).unwrap();
        assert_eq!(std::fs::read_link("/proc/self/ns/net").unwrap(), own);
        assert_eq!(
            finish(container, said),
            (0, format!("{}\n", expected.display())),
            "{user}"
        );
    }
    first.process.send_signal(9).unwrap();
    assert_eq!(first.process.wait().unwrap().code(), 137);
    first.cgroup.unwrap().delete().unwrap();
}

fn a_terminal_comes_back() {
    let bundle = Bundle::new("stty size; tty");
    let spec = spec(&bundle);
    let mut request = Create::new(&bundle.id, bundle.path(), &spec);
    request.stdio = Stdio::Terminal(Some(ConsoleSize { height: 11, width: 22 }));
    let container = create(request).unwrap();
    let mut master = File::from(container.console.as_ref().unwrap().try_clone().unwrap());
    let mut text = String::new();
    // The other end's closing is an error to a terminal.
    let _ = master.read_to_string(&mut text);
    assert_eq!(text, "11 22\r\n/dev/pts/0\r\n");
    container.process.wait().unwrap();
    container.cgroup.unwrap().delete().unwrap();
}

fn execs_are_children_of_the_caller() {
    let bundle = Bundle::new("exec sleep 1000");
    let spec = spec(&bundle);
    let mut request = Create::new(&bundle.id, bundle.path(), &spec);
    let (stdio, _) = streams();
    request.stdio = stdio;
    let container = create(request).unwrap();
    let process = |script: &str| Process {
        args: ["sh", "-c", script].map(Into::into).into(),
        ..spec.process.clone().unwrap()
    };
    for (script, code, words) in [("exit 3", 3, ""), ("hostname; kill -9 $$", 137, "box\n")] {
        let process = process(script);
        let (stdio, mut said) = streams();
        let executed = exec(Exec {
            init: &container.process,
            spec: &spec,
            process: &process,
            cgroup: container.cgroup.as_ref(),
            stdio,
            preserved_fds: 0,
            keyring: Keyring::New,
            id: &bundle.id,
        })
        .unwrap();
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        assert_eq!((executed.process.wait().unwrap().code(), text.as_str()), (code, words));
    }
    let mut missing = process("");
    missing.args = vec!["nope".into()];
    let error = exec(Exec {
        init: &container.process,
        spec: &spec,
        process: &missing,
        cgroup: container.cgroup.as_ref(),
        stdio: Stdio::Inherit,
        preserved_fds: 0,
        keyring: Keyring::Inherit,
        id: &bundle.id,
    })
    .unwrap_err();
    assert_eq!(error.kind(), Kind::CommandNotFound);
    container.process.send_signal(9).unwrap();
    container.process.wait().unwrap();
    container.cgroup.unwrap().delete().unwrap();
}

fn failures_leave_nothing() {
    let mut bundle = Bundle::new("true");
    bundle.process()["args"] = serde_json::json!(["nope"]);
    let spec = spec(&bundle);
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut root = overlay(&bundle);
    // The kernel refuses a volatile overlay's second mount.
    root.options.retain(|option| option != "volatile");
    for _ in 0..3 {
        let mut request = Create::new(&bundle.id, bundle.path(), &spec);
        request.rootfs = std::slice::from_ref(&root);
        assert_eq!(create(request).unwrap_err().kind(), Kind::CommandNotFound);
        assert!(bundle.cgroups().is_empty());
        assert_eq!(open(), before);
    }
    let children = format!("/proc/self/task/{}/children", std::process::id());
    assert_eq!(std::fs::read_to_string(children).unwrap(), "");
}

fn an_overlay_in_a_user_namespace() {
    let mut bundle = Bundle::new("id -u; grep -c ' / overlay ' /proc/mounts");
    bundle.map_users();
    let mut root = overlay(&bundle);
    root.options.retain(|option| option != "volatile");
    assert_eq!(run(&bundle, &[root]), (0, "0\n1\n".into()));
}

fn a_container_that_has_ended_takes_no_exec() {
    let bundle = Bundle::new("true");
    let spec = spec(&bundle);
    let mut request = Create::new(&bundle.id, bundle.path(), &spec);
    let (stdio, _said) = streams();
    request.stdio = stdio;
    let container = create(request).unwrap();
    container.process.wait().unwrap();
    let error = exec(Exec {
        init: &container.process,
        spec: &spec,
        process: spec.process.as_ref().unwrap(),
        cgroup: container.cgroup.as_ref(),
        stdio: Stdio::Inherit,
        preserved_fds: 0,
        keyring: Keyring::Inherit,
        id: &bundle.id,
    })
    .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
    container.cgroup.unwrap().delete().unwrap();
}
