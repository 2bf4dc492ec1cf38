//! From one machine to another: login, push, pull, and a tag that moves.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use corten_sys::fs;
use corten_tests::command::Running;
use corten_tests::engine::Engine;
use corten_tests::{programs, until};
use rustix::process::Signal;

use crate::{Client, Desk, engine, write};

const REGISTRY: &str = "127.0.0.1:5001";

/// Our registry beside an engine, with the user `ann`, whose password is `secret`.
struct Registry {
    process: Option<Running>,
}

impl Registry {
    #[track_caller]
    fn start(engine: &Engine) -> Self {
        let folder = engine.work().join("registry");
        let users = engine.corten(["registry", "htpasswd", "ann"]).stdin("secret").ok();
        write(&folder.join("users"), users.as_bytes());
        let config = format!(r#"{{"auth": {{"htpasswd": "{}/users"}}}}"#, folder.display());
        write(&folder.join("config.json"), config.as_bytes());
        let (data, config) = (folder.join("data"), folder.join("config.json"));
        let arguments = ["registry", "serve", "--listen", REGISTRY, "--data-root"];
        let arguments = arguments.iter().map(Path::new);
        let arguments = arguments.chain([data.as_path(), Path::new("--config-file"), config.as_path()]);
        let process = engine.program(&programs::corten(), arguments).spawn();
        until::is("the registry listens", || {
            engine.inside(|| TcpStream::connect(REGISTRY).is_ok())
        });
        Self { process: Some(process) }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait();
        }
    }
}

/// Does something while the registry of one engine's namespace is reachable at the same address in another's.
#[track_caller]
fn wired(first: &Engine, second: &Engine, work: impl FnOnce()) {
    let listener = second
        .inside(|| TcpListener::bind(REGISTRY))
        .expect("the address is free");
    let wire = Wire::default();
    thread::scope(|scope| {
        let forward = || {
            for client in listener.incoming().flatten() {
                let Ok(server) = first.inside(|| TcpStream::connect(REGISTRY)) else {
                    continue;
                };
                if !wire.keeps(&client, &server) {
                    break;
                }
                let copies = |socket: &TcpStream| socket.try_clone().expect("a descriptor");
                for (from, to) in [(copies(&client), copies(&server)), (server, client)] {
                    scope.spawn(move || carry(from, to));
                }
            }
        };
        scope.spawn(forward);
        let _cut = Cut {
            wire: &wire,
            machine: second,
        };
        work();
    });
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // A connection that breaks is the client's affair.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// The connections of a wire; none when it was cut.
struct Wire {
    open: Mutex<Option<Vec<TcpStream>>>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            open: Mutex::new(Some(Vec::new())),
        }
    }
}

impl Wire {
    fn keeps(&self, client: &TcpStream, server: &TcpStream) -> bool {
        let mut open = self.open.lock().expect("no thread panics with it");
        let Some(open) = open.as_mut() else { return false };
        open.extend([client, server].map(|socket| socket.try_clone().expect("a descriptor")));
        true
    }
}

/// Cuts a wire, however the work ended.
struct Cut<'w> {
    wire: &'w Wire,
    machine: &'w Engine,
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        let open = self
            .wire
            .open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        for socket in open.into_iter().flatten() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
        // One more visitor, so that the listener looks.
        let _ = self.machine.inside(|| TcpStream::connect(REGISTRY));
    }
}

/// Logs in as guides show it, after a wrong password.
#[track_caller]
fn login(desk: &Desk<'_>) {
    let call = || desk.call(&["login", "-u", "ann", "--password-stdin", REGISTRY]);
    let refused = call().stdin("wrong").fails(1);
    assert!(refused.contains("401 Unauthorized"), "{refused}");
    let said = call().stdin("secret").ok();
    assert!(said.contains("Login Succeeded\n"), "{said}");
}

/// The digest in the last line of a push, `1.0: digest: sha256:… size: …`.
#[track_caller]
fn digest(said: &str, tag: &str) -> String {
    let line = said.lines().last().unwrap_or_default();
    let words: Vec<_> = line.split(' ').collect();
    let [start, "digest:", digest, "size:", size] = words[..] else {
        panic!("{said}");
    };
    assert!(
        start == format!("{tag}:") && digest.starts_with("sha256:") && digest.len() == 71,
        "{said}"
    );
    assert!(size.parse::<u32>().is_ok_and(|size| size > 300), "{said}");
    digest.to_owned()
}

/// How many lines of layers, `21cb32756ffa: <what>`, say so.
fn layers(said: &str, what: &str) -> usize {
    let is_layer = |line: &&str| {
        line.split_once(": ")
            .is_some_and(|(id, text)| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && text == what)
    };
    said.lines().filter(is_layer).count()
}

const DOCKERFILE: &str =
    "FROM alpine:3.18\nRUN echo installed > /installed\nCOPY code /code\nCMD [\"cat\", \"/installed\", \"/code\"]\n";

#[test]
fn push_here_and_pull_there_with_corten() {
    push_here_and_pull_there(Client::Corten);
}

#[test]
fn push_here_and_pull_there_with_docker() {
    push_here_and_pull_there(Client::Classic);
}

#[test]
fn push_here_and_pull_there_with_buildx() {
    push_here_and_pull_there(Client::Buildx);
}

#[track_caller]
fn push_here_and_pull_there(client: Client) {
    let (first, second) = (engine(&["alpine:3.18"]), engine(&["alpine:3.18"]));
    let (here, there) = (
        Desk { engine: &first, client },
        Desk {
            engine: &second,
            client,
        },
    );
    if !here.is_there() {
        return;
    }
    let _registry = Registry::start(&first);
    let name = format!("{REGISTRY}/team/app:1.0");
    let folder = here.folder("app", &[("Dockerfile", DOCKERFILE), ("code", "one\n")]);
    here.build("app:1.0", &folder);
    here.ok(&["tag", "app:1.0", &name]);
    let refused = here.call(&["push", &name]).fails(1);
    assert!(refused.contains("auth"), "{refused}");
    login(&here);
    let said = here.ok(&["push", &name]);
    assert!(
        said.starts_with(&format!("The push refers to repository [{REGISTRY}/team/app]\n")),
        "{said}"
    );
    assert_eq!(layers(&said, "Pushed"), 3, "{said}");
    let old = digest(&said, "1.0");
    // Another name of it: no layer travels again.
    here.ok(&["tag", "app:1.0", &name.replace("1.0", "latest")]);
    let said = here.ok(&["push", &name.replace("1.0", "latest")]);
    assert_eq!(layers(&said, "Layer already exists"), 3, "{said}");
    assert_eq!(digest(&said, "latest"), old);
    wired(&first, &second, || {
        // Docker's own command line would ask for a name and a password.
        let is_refused = || client != Client::Corten || there.call(&["pull", &name]).run().code == 1;
        assert!(is_refused());
        login(&there);
        let said = there.ok(&["pull", &name]);
        assert_eq!(layers(&said, "Already exists"), 1, "alpine is there: {said}");
        assert_eq!(layers(&said, "Pull complete"), 2, "{said}");
        assert!(
            said.contains(&format!(
                "Digest: {old}\nStatus: Downloaded newer image for {name}\n{name}\n"
            )),
            "{said}"
        );
        assert_eq!(there.ok(&["run", "--rm", &name]), "installed\none\n");
        let said = there.ok(&["pull", &name]);
        assert!(
            said.contains(&format!("Status: Image is up to date for {name}\n")),
            "{said}"
        );
        // The tag moves: only the changed layer travels, both ways.
        fs::write(format!("{folder}/code"), "two\n").expect("a file");
        here.build(&name, &folder);
        let said = here.ok(&["push", &name]);
        assert_eq!(
            (layers(&said, "Pushed"), layers(&said, "Layer already exists")),
            (1, 2),
            "{said}"
        );
        let new = digest(&said, "1.0");
        assert_ne!(new, old);
        let said = there.ok(&["pull", &name]);
        assert_eq!(
            (layers(&said, "Pull complete"), layers(&said, "Already exists")),
            (1, 2),
            "{said}"
        );
        assert_eq!(there.ok(&["run", "--rm", &name]), "installed\ntwo\n");
        // What the tag was is still there for who names it.
        let exact = format!("{REGISTRY}/team/app@{old}");
        there.ok(&["rmi", "-f", &name]);
        let said = there.ok(&["pull", &exact]);
        assert!(said.contains(&format!("Digest: {old}\n")), "{said}");
        assert_eq!(there.ok(&["run", "--rm", &exact]), "installed\none\n");
        there.ok(&["logout", REGISTRY]);
        assert!(is_refused());
    });
}
