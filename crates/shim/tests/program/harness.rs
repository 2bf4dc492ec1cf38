//! A container with its shim, seen from the engine's side.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use corten_oci::runtime::{Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec};
use corten_shim::connection::Connection;
use corten_shim::protocol::{
    Attach, Call, EXIT_FILE, Event, Exit, Failure, Log, Message, Reply, Request, SOCKET, Start, Stdin, VERSION,
    WindowSize,
};
use corten_sys::fs;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `check` gives something.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come about");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// What a container is to be.
pub(crate) struct Setup {
    pub(crate) spec: Spec,
    pub(crate) start: Start,
    sockets: Vec<OwnedFd>,
    bundle: tempfile::TempDir,
    cgroup: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Setup {
    /// A container that runs a shell script.
    pub(crate) fn script(script: &str) -> Self {
        Self::command(&["sh", "-c", script])
    }

    /// A container that runs a command of busybox.
    pub(crate) fn command(args: &[&str]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("/corten-test-{}-{number}", std::process::id());
        let bundle = tempfile::Builder::new().prefix("corten-shim-test").tempdir().unwrap();
        make_root(&bundle.path().join("rootfs"));
        let id = format!("{number:064x}");
        Self {
            spec: spec(args, &format!("{cgroup}/{id}")),
            start: Start {
                version: VERSION,
                id,
                rootfs: Vec::new(),
                netns: false,
                attach: Vec::new(),
                hold: 0,
                runtime: None,
                names: false,
                relays: Vec::new(),
                size: None,
                stdin: Stdin::Null,
                log: Log::None,
            },
            sockets: Vec::new(),
            bundle,
            cgroup,
        }
    }

    /// Gives the process a terminal.
    pub(crate) fn tty(mut self, rows: u16, columns: u16) -> Self {
        self.spec.process.as_mut().unwrap().terminal = true;
        self.start.size = Some(WindowSize { rows, columns });
        self
    }

    pub(crate) fn stdin(mut self, stdin: Stdin) -> Self {
        self.start.stdin = stdin;
        self
    }

    /// Logs to a file in the bundle.
    pub(crate) fn log(self) -> Self {
        let path = self.bundle.path().join("c-json.log");
        self.log_to(path, None, 1, false)
    }

    pub(crate) fn log_to(mut self, path: PathBuf, max_size: Option<u64>, max_files: u32, compress: bool) -> Self {
        let attrs = BTreeMap::new();
        self.start.log = Log::JsonFile {
            path,
            max_size,
            max_files,
            compress,
            attrs,
        };
        self
    }

    /// Attaches a client from the beginning.
    pub(crate) fn client(&mut self, attach: Attach) -> Client {
        let (near, far) = UnixStream::pair().unwrap();
        self.start.attach.push(attach);
        self.sockets.push(far.into());
        Client::new(near)
    }

    /// Has a descriptor kept open.
    pub(crate) fn hold(&mut self, descriptor: OwnedFd) {
        self.start.hold += 1;
        self.sockets.push(descriptor);
    }

    pub(crate) fn path(&self) -> &Path {
        self.bundle.path()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Shim {
        self.try_start().unwrap()
    }

    /// Starts it, or says why not.
    pub(crate) fn try_start(self) -> Result<Shim, Failure> {
        fs::write(
            self.bundle.path().join("config.json"),
            serde_json::to_vec(&self.spec).unwrap(),
        )
        .unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_corten-shim"))
            .arg(self.bundle.path())
            .stdin(OwnedFd::from(far))
            .spawn()
            .unwrap();
        let mut engine = Engine::new(near);
        engine.connection.send(&self.start, self.sockets).unwrap();
        let mut shim = Shim {
            engine: Some(engine),
            process,
            bundle: self.bundle,
            cgroup: self.cgroup,
            pid: 0,
        };
        match shim.engine().response(0) {
            Ok(Reply::Started { pid, start_time }) => {
                assert_eq!(corten_sys::process::start_time(pid).unwrap_or(start_time), start_time);
                shim.pid = pid;
                Ok(shim)
            }
            Ok(other) => panic!("{other:?}"),
            Err(failure) => {
                wait_for("the shim's end", || shim.process.try_wait().unwrap());
                shim.assert_nothing_left();
                Err(failure)
            }
        }
    }
}

fn make_root(root: &Path) {
    for folder in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::hard_link("/bin/busybox", root.join("bin/busybox"))
        .or_else(|_| fs::copy("/bin/busybox", root.join("bin/busybox")).map(drop))
        .unwrap();
    for name in [
        "sh", "cat", "echo", "sleep", "true", "head", "yes", "stty", "dd", "kill", "tty", "printf", "seq", "tail",
        "wc", "ps", "mkdir",
    ] {
        fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
}

fn spec(args: &[&str], cgroup: &str) -> Spec {
    let kinds = [
        NamespaceKind::Pid,
        NamespaceKind::Mount,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Network,
    ];
    let mount = |kind: &str, destination: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(kind.into()),
        options: options.iter().map(|&option| option.into()).collect(),
        ..Mount::default()
    };
    Spec {
        oci_version: "1.2.0".into(),
        process: Some(process(args)),
        root: Some(Root {
            path: "rootfs".into(),
            readonly: false,
        }),
        hostname: Some("test".into()),
        mounts: vec![
            mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
            mount("tmpfs", "/dev", &["nosuid", "mode=755", "size=65536k"]),
            mount(
                "devpts",
                "/dev/pts",
                &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            ),
        ],
        linux: Some(Linux {
            cgroups_path: Some(cgroup.into()),
            namespaces: kinds.into_iter().map(|kind| Namespace { kind, path: None }).collect(),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

/// A process of a container.
pub(crate) fn process(args: &[&str]) -> Process {
    let few: Vec<String> = ["CAP_KILL", "CAP_CHOWN", "CAP_DAC_OVERRIDE"].map(String::from).into();
    Process {
        args: args.iter().map(|&arg| arg.into()).collect(),
        env: vec!["PATH=/bin".into(), "TERM=xterm".into()],
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: few.clone(),
            effective: few.clone(),
            permitted: few,
            ..Capabilities::default()
        }),
        ..Process::default()
    }
}

/// A client of everything.
pub(crate) fn whole() -> Attach {
    Attach {
        stdin: true,
        stdout: true,
        stderr: true,
        preface: Vec::new(),
        detach_keys: Vec::new(),
    }
}

/// A client of output alone.
pub(crate) fn outputs() -> Attach {
    Attach {
        stdin: false,
        ..whole()
    }
}

/// A running shim.
pub(crate) struct Shim {
    engine: Option<Engine>,
    pub(crate) process: Child,
    bundle: tempfile::TempDir,
    cgroup: String,
    pub(crate) pid: i32,
}

impl Shim {
    pub(crate) fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().unwrap()
    }

    /// The engine dies.
    pub(crate) fn kill_engine(&mut self) {
        self.engine = None;
    }

    /// Another engine comes.
    pub(crate) fn reconnect(&mut self) {
        let socket = UnixStream::connect(self.bundle.path().join(SOCKET)).unwrap();
        self.engine = Some(Engine::new(socket));
    }

    pub(crate) fn path(&self) -> &Path {
        self.bundle.path()
    }

    pub(crate) fn ask(&mut self, request: Request) -> Result<Reply, Failure> {
        self.engine().ask(request, None)
    }

    /// Attaches a client to the container or an exec.
    pub(crate) fn attach(&mut self, exec: Option<&str>, attach: Attach) -> Client {
        let (near, far) = UnixStream::pair().unwrap();
        let exec = exec.map(str::to_owned);
        let reply = self.engine().ask(Request::Attach { exec, attach }, Some(far.into()));
        assert!(matches!(reply, Ok(Reply::Done)), "{reply:?}");
        Client::new(near)
    }

    /// Runs an exec with a client.
    pub(crate) fn exec(&mut self, id: &str, process: Process, stdin: bool) -> Result<(i32, Client), Failure> {
        let (near, far) = UnixStream::pair().unwrap();
        let size = process.terminal.then_some(WindowSize { rows: 5, columns: 50 });
        let attach = Some(Attach { stdin, ..whole() });
        let request = Request::Exec {
            id: id.into(),
            process: Box::new(process),
            attach,
            size,
            stdin,
        };
        match self.engine().ask(request, Some(far.into()))? {
            Reply::Started { pid, .. } => Ok((pid, Client::new(near))),
            other => panic!("{other:?}"),
        }
    }

    /// Kills init.
    pub(crate) fn kill(&mut self) {
        self.ask(Request::Signal { signal: 9 }).unwrap();
    }

    /// Waits for the end as the engine sees it, and looks that nothing is left.
    pub(crate) fn exited(mut self) -> Exit {
        let exit = self.engine().wait_for(|event| match event {
            Event::Exited(exit) => Some(exit.clone()),
            _ => None,
        });
        assert_eq!(self.exit_file(), exit);
        self.ended();
        exit
    }

    /// Waits for the shim's end.
    pub(crate) fn ended(&mut self) {
        let status = wait_for("the shim's end", || self.process.try_wait().unwrap());
        assert!(status.success(), "{status}");
        self.assert_nothing_left();
    }

    /// What the shim left as the container's end.
    pub(crate) fn exit_file(&self) -> Exit {
        let text = fs::read(self.bundle.path().join(EXIT_FILE)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn assert_nothing_left(&self) {
        assert!(!fs::exists(self.bundle.path().join(SOCKET)).unwrap());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(self.bundle.path().to_str().unwrap()), "{mounts}");
        for folder in cgroups(&self.cgroup) {
            let inside = fs::read_dir(&folder).unwrap().filter_map(Result::ok);
            let inside: Vec<_> = inside.filter(|entry| entry.path().is_dir()).collect();
            assert!(inside.is_empty(), "{inside:?}");
        }
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            for folder in cgroups(&self.cgroup) {
                for container in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
                    let _ = fs::write(container.path().join("freezer.state"), b"THAWED");
                }
            }
            if self.pid > 0
                && let Ok(init) = corten_sys::process::PidFd::open(self.pid)
            {
                let _ = init.send_signal(9);
            }
            self.engine = None;
            let end = Instant::now() + Duration::from_secs(5);
            while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        for folder in cgroups(&self.cgroup) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The folders of a cgroup in all hierarchies.
fn cgroups(path: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let folders = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        let kind = fields.next()?;
        kind.starts_with("cgroup")
            .then(|| PathBuf::from(format!("{place}{path}")))
    });
    folders.filter(|folder| fs::exists(folder).unwrap_or(false)).collect()
}

/// The engine's end of a control connection.
pub(crate) struct Engine {
    pub(crate) connection: Connection,
    number: u64,
    pub(crate) events: Vec<Event>,
}

impl Engine {
    fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self {
            connection: Connection::new(socket),
            number: 0,
            events: Vec::new(),
        }
    }

    pub(crate) fn ask(&mut self, request: Request, client: Option<OwnedFd>) -> Result<Reply, Failure> {
        self.number += 1;
        let call = Call {
            number: self.number,
            request,
        };
        self.connection.send(&call, client.into_iter().collect()).unwrap();
        self.response(self.number)
    }

    fn response(&mut self, number: u64) -> Result<Reply, Failure> {
        loop {
            match self.connection.receive().unwrap().expect("the shim answers") {
                Message::Event(event) => self.events.push(event),
                Message::Response(response) => {
                    assert_eq!(response.number, number);
                    return response.result;
                }
            }
        }
    }

    /// Waits for an event, which may have come already.
    pub(crate) fn wait_for<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = self.events.iter().find_map(&mut wanted) {
                return found;
            }
            match self.connection.receive().unwrap().expect("the shim speaks") {
                Message::Event(event) => self.events.push(event),
                Message::Response(response) => panic!("{response:?}"),
            }
        }
    }

    /// Waits for an exec's end.
    pub(crate) fn exec_exited(&mut self, wanted: &str) -> Exit {
        self.wait_for(|event| match event {
            Event::ExecExited { id, exit } if id == wanted => Some(exit.clone()),
            _ => None,
        })
    }
}

/// A client's end of its socket.
pub(crate) struct Client {
    pub(crate) socket: UnixStream,
}

impl Client {
    pub(crate) fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket }
    }

    pub(crate) fn type_in(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn end_input(&self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// All bytes until the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.socket.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// All that is framed as standard output and standard error until the end.
    pub(crate) fn outputs(&mut self) -> (String, String) {
        let bytes = self.rest();
        let mut rest = bytes.as_slice();
        let mut found = [Vec::new(), Vec::new()];
        while let Some((header, after)) = rest.split_first_chunk::<8>() {
            let length = u32::from_be_bytes(header[4..].try_into().unwrap());
            let (text, after) = after.split_at(usize::try_from(length).unwrap());
            assert_eq!(header[1..4], [0, 0, 0]);
            found[usize::from(header[0]) - 1].extend_from_slice(text);
            rest = after;
        }
        assert!(rest.is_empty());
        let [out, err] = found.map(|bytes| String::from_utf8(bytes).unwrap());
        (out, err)
    }

    /// Reads until `wanted` has come and returns all until then.
    pub(crate) fn until(&mut self, wanted: &str) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(wanted.as_bytes()) {
            match self.socket.read(&mut byte) {
                Ok(1) => text.push(byte[0]),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&text)),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
