//! A container's life as its user sees it: commands, exit codes, errors, hooks, what is left.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests look at files directly, and panic"
)]

mod harness;

use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use harness::{Bundle, outcome, until};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

#[test]
fn from_create_to_delete() {
    let bundle = Bundle::new("exec sleep 1000");
    let made = bundle
        .command(&["create", "--pid-file", "pid", &bundle.id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    assert_eq!(bundle.status(), "created");
    let pid = std::fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert_eq!(bundle.pid().to_string(), pid);
    assert_eq!(
        bundle.call("create {}").err,
        "corten-runtime create failed: container with given ID already exists\n"
    );
    assert_eq!(bundle.call("start {}").code, 0);
    assert_eq!(bundle.status(), "running");
    assert_eq!(
        bundle.call("start {}").err,
        "cannot start an already running container\n"
    );
    let refused = bundle.call("delete {}");
    assert_eq!(
        refused.err,
        format!("cannot delete container {} that is not stopped: running\n", bundle.id)
    );
    assert_eq!(bundle.call("list -q").out, format!("{}\n", bundle.id));
    assert_eq!(bundle.call("kill {} KILL").code, 0);
    until("stopped", || bundle.status() == "stopped");
    assert_eq!(bundle.call("kill {} TERM").err, "container not running\n");
    assert_eq!(
        bundle.call("start {}").err,
        "cannot start a container that has stopped\n"
    );
    assert_eq!(
        bundle.call("exec {} true").err,
        "exec failed: cannot exec in a stopped container\n"
    );
    assert_eq!(bundle.call("delete {}").code, 0);
    assert_eq!(bundle.call("state {}").err, "container does not exist\n");
    assert!(bundle.cgroups().is_empty());
}

#[test]
fn the_state_is_the_specifications() {
    let mut bundle = Bundle::new("exec sleep 1000");
    bundle.spec["annotations"] = json!({"a.b": "c"});
    bundle.detached();
    let state = bundle.state();
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["id"], bundle.id);
    assert_eq!(state["annotations"]["a.b"], "c");
    let path = bundle.path().canonicalize().unwrap();
    assert_eq!(state["bundle"], path.to_str().unwrap());
    assert_eq!(state["rootfs"], path.join("rootfs").to_str().unwrap());
    assert_eq!(state["owner"], "root");
    let list: serde_json::Value = serde_json::from_str(&bundle.call("list -f json").out).unwrap();
    assert_eq!(list[0], state);
}

#[test]
fn exit_codes_are_the_programs() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("false", 1)] {
        let outcome = Bundle::new(script).run();
        assert_eq!(outcome.code, code, "{script}: {outcome:?}");
    }
    let bundle = Bundle::new("exec sleep 1000");
    let mut child = bundle.command(&["run", &bundle.id]).spawn().unwrap();
    until("running", || {
        bundle.call("state {}").code == 0 && bundle.status() == "running"
    });
    assert_eq!(bundle.call("kill {} 9").code, 0);
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

#[test]
fn signals_are_passed_on() {
    let bundle = Bundle::new("trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done");
    let mut child = bundle
        .command(&["run", &bundle.id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

fn refused(change: impl FnOnce(&mut Bundle), words: &str) {
    let mut bundle = Bundle::new("true");
    change(&mut bundle);
    let outcome = bundle.run();
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains(words), "{words:?} not in {:?}", outcome.err);
    assert_eq!(bundle.call("list -q").out, "", "{words}");
    assert!(bundle.cgroups().is_empty(), "{words}");
}

#[test]
fn failures_say_why_and_leave_nothing() {
    let args = |args: &[&str]| {
        let args = json!(args);
        move |bundle: &mut Bundle| bundle.process()["args"] = args
    };
    refused(
        args(&["nosuchcmd"]),
        "corten-runtime run failed: unable to start container process: error during container init: exec: \"nosuchcmd\": executable file not found in $PATH\n",
    );
    refused(args(&["/x"]), "exec: \"/x\": stat /x: no such file or directory\n");
    refused(args(&["/etc"]), "exec: \"/etc\": is a directory: permission denied\n");
    refused(args(&["/etc/passwd"]), "exec: \"/etc/passwd\": permission denied\n");
    refused(args(&[]), "args must not be empty");
    refused(
        |b| b.process()["cwd"] = json!("/etc/passwd"),
        "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory\n",
    );
    refused(|b| b.process()["cwd"] = json!("no"), "cwd must be an absolute path");
    refused(|b| b.spec["root"]["path"] = json!("gone"), "no such file or directory");
    refused(
        |b| b.mount("nosuchfs", "x", "/mnt", ""),
        "error mounting \"nosuchfs\" to rootfs at \"/mnt\": the kernel has no file system \"nosuchfs\"",
    );
    refused(
        |b| b.mount("bind", "/no/such", "/mnt", "rbind"),
        "cannot bind \"/no/such\": no such file or directory",
    );
    refused(|b| b.mount("tmpfs", "x", "/mnt", "nope=1"), "Unknown parameter 'nope'");
    refused(
        |b| b.linux()["sysctl"] = json!({"kernel.core_pattern": "x"}),
        "is not in a separate kernel namespace",
    );
    refused(
        |b| b.linux()["sysctl"] = json!({"net.ipv4.nope": "1"}),
        "cannot set sysctl \"net.ipv4.nope\"",
    );
    refused(
        |b| b.share("uts"),
        "unable to set hostname without a private UTS namespace",
    );
    refused(
        |b| b.namespace("network", Some("/proc/self/nope")),
        "cannot open the namespace \"/proc/self/nope\"",
    );
    refused(
        |b| b.linux()["rootfsPropagation"] = json!("x"),
        "rootfsPropagation=x is not supported",
    );
    refused(
        |b| b.process()["rlimits"] = json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
        "invalid rlimit type: RLIMIT_X",
    );
    refused(
        |b| b.spec["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]}),
        "error running createRuntime hook #0: exit status 1",
    );
    refused(
        |b| b.spec["hooks"] = json!({"poststart": [{"path": "/bin/false"}]}),
        "error running poststart hook #0",
    );
}

#[test]
fn a_script_without_its_interpreter_is_not_found() {
    let bundle = Bundle::new("true");
    let script = bundle.root().join("bin/script");
    std::fs::write(&script, "#!/no/interpreter\n").unwrap();
    harness_executable(&script);
    let mut bundle = bundle;
    bundle.process()["args"] = json!(["script"]);
    let outcome = bundle.run();
    assert!(
        outcome.err.ends_with("exec /bin/script: no such file or directory\n"),
        "{outcome:?}"
    );
    std::fs::write(&script, "\x7fELF nonsense").unwrap();
    let outcome = bundle.run();
    assert!(
        outcome.err.ends_with("exec /bin/script: exec format error\n"),
        "{outcome:?}"
    );
}

fn harness_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn errors_go_to_the_log() {
    let mut bundle = Bundle::new("true");
    bundle.process()["args"] = json!(["nosuchcmd"]);
    for (format, start) in [
        ("json", "{\"level\":\"error\",\"msg\":\"corten-runtime run failed"),
        ("text", "time=\"2"),
    ] {
        let id = bundle.id.clone();
        bundle.words(&["--log", "log", "--log-format", format, "run", &id]);
        let log = std::fs::read_to_string(bundle.path().join("log")).unwrap();
        let last = log.lines().last().unwrap();
        assert!(last.starts_with(start), "{last}");
        assert!(last.contains("executable file not found"), "{last}");
    }
}

#[test]
fn hooks_run_in_order_with_the_state() {
    let mut bundle = Bundle::new("echo program >> /trace; ! grep -q poststop /trace");
    let trace = bundle.root().join("trace");
    let hook = |name: &str, file: &str| {
        let script = format!("s=$(cat | tr -d ' \\n'); s=${{s#*status\\\":\\\"}}; echo {name} ${{s%%\\\"*}} >> {file}");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    let host = trace.to_str().unwrap();
    // The container's root has no `tr`.
    let own = json!([{"path": "/bin/sh", "args": ["sh", "-c", "grep -q '\"status\":\"created\"' && echo startContainer created >> /trace"]}]);
    bundle.spec["hooks"] = json!({
        "prestart": hook("prestart", host),
        "createRuntime": hook("createRuntime", host),
        "createContainer": hook("createContainer", host),
        "startContainer": own,
        "poststart": hook("poststart", host),
        "poststop": hook("poststop", host),
    });
    bundle.output();
    let text = std::fs::read_to_string(&trace).unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("program") && !line.starts_with("poststart"))
        .collect();
    let expected = [
        "prestart creating",
        "createRuntime creating",
        "createContainer creating",
        "startContainer created",
        "poststop stopped",
    ];
    assert_eq!(lines, expected, "{text}");
    assert!(text.contains("poststart running"), "{text}");
}

#[test]
fn exec_joins_all_of_the_container() {
    let bundle = Bundle::new("exec sleep 1000");
    bundle.detached();
    let links = "for n in mnt net uts pid ipc cgroup user; do readlink /proc/self/ns/$n; done";
    let of_init = bundle.inside(&links.replace("self", "1"));
    assert_eq!(bundle.inside(links), of_init);
    assert_eq!(
        bundle.inside("hostname; pwd; readlink /proc/self/root; echo $HOME"),
        "box\n/\n/\n/root\n"
    );
    assert!(
        bundle
            .inside("cat /proc/self/cgroup")
            .contains(&format!(":pids:/corten-test-{}/c", bundle.id))
    );
    assert_eq!(bundle.inside("grep -c . /proc/1/cmdline"), "1\n");
    assert_eq!(bundle.words(&["exec", &bundle.id, "sh", "-c", "exit 9"]).code, 9);
    let missing = bundle.call("exec {} nope");
    assert_eq!(missing.code, 255);
    assert_eq!(
        missing.err,
        "exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH\n"
    );
    let line = "exec -u 1000:7 -g 8 -e A=b --cwd /tmp --cap net_admin {} env";
    assert!(
        bundle.call(line).out.contains("A=b\nHOME=/home/user\n"),
        "{:?}",
        bundle.call(line)
    );
    let id = bundle.words(&["exec", "-u", "1000:7", "-g", "8", &bundle.id, "id"]).out;
    assert_eq!(id, "uid=1000(user) gid=7 groups=8\n");
    let status = |words: &[&str]| {
        bundle
            .words(&[&["exec"], words, &[&bundle.id, "grep", "CapEff", "/proc/self/status"]].concat())
            .out
    };
    assert_eq!(status(&[]), "CapEff:\t00000000a80425fb\n");
    assert_eq!(status(&["-c", "NET_ADMIN"]), "CapEff:\t00000000a80435fb\n");
    assert_eq!(status(&["-u", "1000"]), "CapEff:\t0000000000000000\n");
}

#[test]
fn exec_takes_a_process_from_a_file() {
    let bundle = Bundle::new("exec sleep 1000");
    bundle.detached();
    let process = json!({"user": {"uid": 5, "gid": 6, "umask": 7}, "args": ["sh", "-c", "id -u; umask; pwd"], "cwd": "/tmp", "env": ["PATH=/bin"]});
    std::fs::write(bundle.path().join("process.json"), process.to_string()).unwrap();
    assert_eq!(bundle.call("exec --process process.json {}").out, "5\n0007\n/tmp\n");
    let left = bundle
        .command(&["exec", "-d", "--pid-file", "pid", &bundle.id, "sleep", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(left.unwrap().success());
    let pid: i64 = std::fs::read_to_string(bundle.path().join("pid"))
        .unwrap()
        .parse()
        .unwrap();
    let listed: Vec<i64> = serde_json::from_str(&bundle.call("ps -f json {}").out).unwrap();
    assert!(listed.contains(&pid) && listed.contains(&bundle.pid()), "{listed:?}");
    assert!(bundle.call("ps {}").out.contains("sleep 1000"));
}

#[test]
fn paused_containers_stand_still() {
    let bundle = Bundle::new("exec sleep 1000");
    bundle.detached();
    assert_eq!(bundle.call("resume {}").err, "container not paused\n");
    assert_eq!(bundle.call("pause {}").code, 0);
    assert_eq!(bundle.status(), "paused");
    assert_eq!(bundle.call("pause {}").err, "container not running\n");
    let refused = bundle.call("exec {} true");
    assert_eq!(
        refused.err,
        "exec failed: cannot exec in a paused container (use --ignore-paused to override)\n"
    );
    assert_eq!(bundle.call("resume {}").code, 0);
    assert_eq!(bundle.status(), "running");
    assert_eq!(bundle.call("pause {}").code, 0);
    assert_eq!(bundle.call("delete -f {}").code, 0);
}

#[test]
fn limits_are_changed_and_counted() {
    let bundle = Bundle::new("exec sleep 1000");
    bundle.detached();
    assert_eq!(bundle.call("update --memory 64m --pids-limit 50 {}").code, 0);
    let stats: serde_json::Value = serde_json::from_str(&bundle.call("events --stats {}").out).unwrap();
    assert_eq!(stats["type"], "stats");
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(stats["data"]["pids"]["limit"], 50);
    assert_eq!(stats["data"]["pids"]["current"], 1);
    std::fs::write(bundle.path().join("limits.json"), r#"{"pids":{"limit":40}}"#).unwrap();
    assert_eq!(bundle.call("update -r limits.json {}").code, 0);
    let stats: serde_json::Value = serde_json::from_str(&bundle.call("events --stats {}").out).unwrap();
    assert_eq!(stats["data"]["pids"]["limit"], 40);
}

fn receive_terminal(listener: &UnixListener) -> std::fs::File {
    let (socket, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    let fd: OwnedFd = control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap();
    fd.into()
}

/// Reads a terminal until it has said these words.
fn expect(terminal: &mut std::fs::File, words: &str) {
    let mut said = String::new();
    while !said.contains(words) {
        let mut buffer = [0; 256];
        let length = terminal.read(&mut buffer).unwrap_or(0);
        assert!(length > 0, "{words:?} not in {said:?}");
        said.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[test]
fn a_terminal_is_handed_over() {
    let mut bundle = Bundle::new("tty; stty size; ls -l /dev/console; read line; echo \"<$line>\"; exec sleep 1000");
    bundle.process()["terminal"] = json!(true);
    bundle.process()["consoleSize"] = json!({"height": 33, "width": 77});
    let refused = bundle.call("create {}");
    assert!(
        refused
            .err
            .contains("cannot allocate tty if runc will detach without setting console socket"),
        "{refused:?}"
    );
    let listener = UnixListener::bind(bundle.path().join("console")).unwrap();
    let made = bundle
        .command(&["create", "--console-socket", "console", &bundle.id])
        .status()
        .unwrap();
    assert!(made.success());
    let mut terminal = receive_terminal(&listener);
    assert_eq!(bundle.call("start {}").code, 0);
    expect(
        &mut terminal,
        "/dev/pts/0\r\n33 77\r\ncrw--w----    1 root     5         136,   0",
    );
    terminal.write_all(b"typed\n").unwrap();
    expect(&mut terminal, "<typed>\r\n");
    // An exec has one of its own.
    let made = bundle
        .command(&["exec", "-d", "-t", "--console-socket", "console", &bundle.id, "tty"])
        .status()
        .unwrap();
    assert!(made.success());
    expect(&mut receive_terminal(&listener), "/dev/pts/1\r\n");
}

#[test]
fn a_terminal_is_served_in_the_foreground() {
    let mut bundle = Bundle::new("test -t 0 && test -t 2 && echo a terminal; exit 5");
    bundle.process()["terminal"] = json!(true);
    let outcome = bundle.run();
    assert_eq!(
        (outcome.code, outcome.out.as_str()),
        (5, "a terminal\r\n"),
        "{outcome:?}"
    );
}

#[test]
fn standard_input_arrives() {
    let bundle = Bundle::new("cat");
    let mut child = bundle
        .command(&["run", &bundle.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"words").unwrap();
    assert_eq!(outcome(child.wait_with_output().unwrap()).out, "words");
}

#[test]
fn nothing_is_left() {
    let mounts = || {
        std::fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .matches("rootfs")
            .count()
    };
    let before = mounts();
    let bundle = Bundle::new("exit 3");
    assert_eq!(bundle.run().code, 3);
    assert_eq!(mounts(), before);
    assert!(bundle.cgroups().is_empty());
    assert_eq!(std::fs::read_dir(bundle.path().join("state")).unwrap().count(), 0);
    // The same id serves again.
    assert_eq!(bundle.run().code, 3);
    assert_eq!(bundle.call("run --keep {}").code, 3);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.call("delete {}").code, 0);
}

#[test]
fn kill_reaches_all_of_a_shared_namespace() {
    let mut bundle = Bundle::new("sleep 1000 & exec sleep 1000");
    bundle.share("pid");
    bundle.detached();
    let pids = || -> Vec<i64> { serde_json::from_str(&bundle.call("ps -f json {}").out).unwrap() };
    until("two processes", || pids().len() == 2);
    assert_eq!(bundle.call("kill {} KILL").code, 0);
    until("no process", || pids().is_empty());
}

#[test]
fn a_first_configuration_runs() {
    let mut bundle = Bundle::new("true");
    std::fs::remove_file(bundle.path().join("config.json")).ok();
    let folder = tempfile::tempdir().unwrap();
    let made = bundle.words(&["spec", "--bundle", folder.path().to_str().unwrap()]);
    assert_eq!(made.code, 0, "{made:?}");
    let text = std::fs::read(folder.path().join("config.json")).unwrap();
    bundle.spec = serde_json::from_slice(&text).unwrap();
    bundle.process()["terminal"] = json!(false);
    bundle.process()["args"] = json!(["true"]);
    bundle.spec["root"]["readonly"] = json!(false);
    bundle.linux()["cgroupsPath"] = json!(format!("/corten-test-{}/c", bundle.id));
    assert_eq!(bundle.output(), "");
    let again = bundle.words(&["spec", "--bundle", folder.path().to_str().unwrap()]);
    assert!(again.err.contains("exists. Remove it first"), "{again:?}");
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let bundle = Bundle::new("true");
    for (line, words) in [
        ("nope", "no such command \"nope\""),
        ("run --nope {}", "flag provided but not defined: -nope"),
        ("run", "requires the container's id"),
        ("run a/b", "invalid container ID format"),
        ("--systemd-cgroup run {}", "--systemd-cgroup is not supported"),
        ("kill {}", "container does not exist"),
        ("exec {}", "container does not exist"),
    ] {
        let outcome = bundle.call(line);
        assert_ne!(outcome.code, 0, "{line}");
        assert!(outcome.err.contains(words), "{line}: {outcome:?}");
    }
    assert_eq!(bundle.call("delete --force {}").code, 0);
    let features: serde_json::Value = serde_json::from_str(&bundle.call("features").out).unwrap();
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    assert!(bundle.call("--version").out.starts_with("corten-runtime version"));
    assert!(bundle.call("help").out.contains("create"));
}
