//! `--ssh`: repositories and commands that need the keys of the client's agent.

use corten_tests::{
    engine::{Engine, Options},
    git_server::{GitServer, IMAGE},
    until,
};

use crate::context;

fn engine() -> Engine {
    let engine = Engine::start_with(Options::with_images(&[IMAGE]));
    engine.corten(["pull", "-q", "busybox"]).ok();
    engine
}

const FILES: &[(&str, &str)] = &[
    ("f", "once\n"),
    ("Dockerfile", "FROM busybox\nCOPY f /f\nCMD cat /f\n"),
    ("sub/Dockerfile", "FROM busybox\nCMD echo sub\n"),
];

#[test]
fn repositories_over_ssh_open_with_the_client_s_keys() {
    let engine = engine();
    let server = GitServer::start(&engine, FILES);
    let ssh = format!("default={}", server.key.display());
    let run = |address: &str| {
        engine.corten(["build", "-q", "-t", "git", "--ssh", &ssh, address]).ok();
        engine.corten(["run", "--rm", "git"]).ok()
    };
    assert_eq!(run(&server.address()), "again\n");
    assert_eq!(run(&format!("{}#v1", server.short_address())), "once\n");
    assert_eq!(run(&format!("{}#main:sub", server.address())), "sub\n");

    // As a source, and as a named context.
    let (address, short) = (server.address(), server.short_address());
    let dockerfile =
        format!("FROM busybox\nADD {address}#v1 /a/\nADD {short} /b/\nCOPY --from=more f /c\nCMD cat /a/f /b/f /c\n");
    let folder = context(&engine, "sources", &[("Dockerfile", &dockerfile)]);
    let more = format!("more={address}#v1");
    let build = ["build", "-q", "-t", "sources", "--build-context", &more, &folder];
    engine.corten([&build[..], &["--ssh", &ssh]].concat()).ok();
    assert_eq!(engine.corten(["run", "--rm", "sources"]).ok(), "once\nagain\nonce\n");

    // No keys but the client's: neither others nor the machine's.
    let other = format!("default={}", server.other_key().display());
    let refused = engine.corten(["build", "--ssh", &other, &address]).fails(1);
    assert!(refused.contains("Permission denied (publickey"), "{refused}");
    let unnamed = format!("mine={}", server.key.display());
    for arguments in [&["build", "--ssh", &unnamed, &short][..], &build] {
        let refused = engine.corten(arguments).fails(1);
        assert!(
            refused.contains("no SSH key \"default\" forwarded from the client"),
            "{refused}"
        );
    }
    let nowhere = format!("{address}#nosuch");
    let missing = engine.corten(["build", "--ssh", &ssh, &nowhere]).fails(1);
    assert!(missing.contains("nosuch"), "{missing}");
}

#[test]
fn repositories_over_ssh_open_with_the_agent_of_the_environment() {
    let engine = engine();
    let server = GitServer::start(&engine, FILES);
    let unset = engine.corten(["build", &server.address()]).env("SSH_AUTH_SOCK", "");
    let refused = unset.fails(1);
    assert!(refused.contains("make sure SSH_AUTH_SOCK is set"), "{refused}");
    let socket = engine.work().join("agent.sock").to_string_lossy().into_owned();
    let agent = engine.sh(&format!("exec ssh-agent -D -a {socket}")).spawn();
    until::is("the agent answers", || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    let add = engine.sh(&format!("ssh-add -q {}", server.key.display()));
    add.env("SSH_AUTH_SOCK", &socket).ok();
    let build = engine.corten(["build", "-q", "-t", "git", &server.address()]);
    build.env("SSH_AUTH_SOCK", &socket).ok();
    assert_eq!(engine.corten(["run", "--rm", "git"]).ok(), "again\n");
    agent.signal(rustix::process::Signal::TERM);
    agent.wait();
}

#[test]
fn commits_that_are_asked_for_are_verified() {
    let engine = engine();
    let server = GitServer::start(&engine, FILES);
    let ssh = format!("default={}", server.key.display());
    let bare = engine.work().join("git-server/repo.git");
    let commit = engine.sh(&format!("git -C {} rev-parse v1", bare.display())).ok();
    let commit = commit.trim();
    let right = format!("{}?tag=v1&commit={commit}", server.address());
    engine.corten(["build", "-q", "--ssh", &ssh, &right]).ok();
    let only = format!("{}?commit={commit}", server.address());
    engine.corten(["build", "-q", "-t", "only", "--ssh", &ssh, &only]).ok();
    assert_eq!(engine.corten(["run", "--rm", "only"]).ok(), "once\n");
    let wrong = format!("{}?branch=main&commit={commit}", server.address());
    let refused = engine.corten(["build", "--ssh", &ssh, &wrong]).fails(1);
    assert!(
        refused.contains(&format!("expected checksum to match {commit}, got ")),
        "{refused}"
    );
}

#[test]
fn commands_reach_servers_with_the_client_s_keys() {
    let engine = engine();
    let server = GitServer::start(&engine, FILES);
    let clone = "git clone -q -b v1";
    let dockerfile = format!(
        "FROM {IMAGE}\nRUN mkdir -m 700 /root/.ssh && echo 'StrictHostKeyChecking no' > /root/.ssh/config\n\
         RUN --mount=type=ssh {clone} {} /a\nRUN --mount=type=ssh,id=mine,required {clone} {} /b\n\
         CMD cat /a/f /b/f; ls -A /run/buildkit 2>/dev/null; ls -A /root/.ssh\n",
        server.address(),
        server.short_address()
    );
    let folder = context(&engine, "clone", &[("Dockerfile", &dockerfile)]);
    let (ssh, mine) = (
        format!("default={}", server.key.display()),
        format!("mine={}", server.key.display()),
    );
    let build = ["build", "-t", "clone", &folder, "--ssh", &mine, "--ssh"];
    engine.corten([&build[..], &[&ssh]].concat()).ok();
    let ran = engine.corten(["run", "--rm", "clone"]).ok();
    assert_eq!(ran, "once\nonce\nconfig\nknown_hosts\n", "and nothing of a key");
    let other = format!("default={}", server.other_key().display());
    let refused = engine.corten([&build[..], &[&other, "--no-cache"]].concat()).fails(1);
    assert!(refused.contains("Permission denied (publickey"), "{refused}");
}
