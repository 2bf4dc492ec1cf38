//! An engine on private places.
//!
//! ```no_run
//! use corten_tests::engine::Engine;
//!
//! let engine = Engine::start();
//! engine.corten(["run", "-d", "--name", "web", "-p", "8080:80", "nginx"]).ok();
//! assert!(engine.curl("http://127.0.0.1:8080/").contains("nginx"));
//! ```

mod leftovers;
mod place;

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corten_sys::{fs, netns};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::command::{Call, code, wait_for};
use crate::http::{self, Response};
use crate::registry::Registry;
use crate::terminal::Terminal;
use crate::{images, process, programs, until};
use place::Place;

/// Where the registry listens in every engine's network namespace.
pub const REGISTRY: &str = "127.0.0.1:5000";

/// What is different from a plain engine.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More flags for `corten daemon`.
    pub flags: Vec<String>,
    /// The configuration file; `{}` unless told.
    pub config: Option<String>,
    /// More of the environment.
    pub env: Vec<(String, String)>,
    /// Images that the registry has besides busybox.
    pub images: Vec<&'static str>,
    /// Puts the data root on a file system of its own, with so many bytes.
    pub data_root_size: Option<u64>,
    /// A program and its arguments that starts the engine: its own command is added.
    pub wrapper: Vec<String>,
    /// Whether a test may leave the engine dead with containers behind: then they are removed unasked.
    pub may_leave: bool,
}

impl Options {
    /// A plain engine whose registry also has these images.
    pub fn with_images(images: &[&'static str]) -> Self {
        Self {
            images: images.to_vec(),
            ..Self::default()
        }
    }

    /// A plain engine with more flags.
    pub fn with_flags(flags: &[&str]) -> Self {
        Self {
            flags: flags.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}

/// A running engine. Dropping it removes its containers, stops it, and fails the test if anything of it
/// is left on the machine.
pub struct Engine {
    options: Options,
    registry: Option<Registry>,
    child: Mutex<Option<Child>>,
    place: Place,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.place.folder.display())
    }
}

impl Engine {
    /// Starts a plain engine.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts an engine.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn start_with(options: Options) -> Self {
        let engine = Self::prepared(options);
        engine.launch();
        engine
    }

    /// Prepares an engine's places, and does not start it.
    ///
    /// # Panics
    /// When the places cannot be had: it takes root.
    #[track_caller]
    pub fn prepared(options: Options) -> Self {
        let mut wanted = vec!["busybox:latest"];
        wanted.extend(&options.images);
        let layout = images::real(&wanted);
        let place = Place::new(options.data_root_size);
        fs::write(place.config(), options.config.as_deref().unwrap_or("{}")).expect("a file");
        let registry = netns::run_in(place.netns.as_fd(), || {
            let registry = Registry::start_on(REGISTRY);
            registry.serve_layout(&layout);
            registry
        });
        Self {
            options,
            registry: Some(registry.expect("the namespace is there")),
            child: Mutex::new(None),
            place,
        }
    }

    /// Starts the engine's process and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn launch(&self) {
        self.spawn();
        let ping = || std::os::unix::net::UnixStream::connect(self.socket()).is_ok();
        until::is("the engine listens", || {
            assert!(self.is_running(), "the engine ended:\n{}", self.log());
            ping()
        });
    }

    /// Starts the engine's process.
    pub fn spawn(&self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).clone();
        let log = fs::open_with(&log, self.place.log()).expect("a file");
        let mut command = self.daemon();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = netns::run_in(self.place.netns.as_fd(), || command.spawn()).expect("the namespace is there");
        *self.child() = Some(child.expect("the engine starts"));
    }

    /// The command that starts this engine.
    pub fn daemon(&self) -> Command {
        let mut words = self
            .options
            .wrapper
            .iter()
            .map(Into::into)
            .collect::<Vec<std::ffi::OsString>>();
        words.push(programs::corten().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let place = &self.place;
        command.arg("daemon");
        command
            .arg("--data-root")
            .arg(place.data_root())
            .arg("--exec-root")
            .arg(place.exec_root());
        command
            .arg("--host")
            .arg(format!("unix://{}", place.socket().display()));
        command
            .arg("--pidfile")
            .arg(place.pidfile())
            .arg("--config-file")
            .arg(place.config());
        command.args(["--cgroup-parent", &place.cgroup_parent]);
        command.args(["--registry-mirror", &format!("http://{REGISTRY}")]);
        if !self.options.flags.iter().any(|flag| flag.starts_with("--b")) {
            command.args(["--bip", "172.28.0.1/16"]);
        }
        command.args(&self.options.flags);
        self.prepare(&mut command);
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the engine with another program, from its next launch on.
    pub fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.options.wrapper = wrapper;
    }

    /// Gives the engine another environment, from its next launch on.
    pub fn set_env(&mut self, env: &[(&str, &str)]) {
        self.options.env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    }

    /// Runs `corten` against the engine.
    pub fn corten<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Call {
        self.program(&programs::corten(), arguments)
    }

    /// Runs the real `docker` against the engine. `None` when there is none.
    pub fn docker<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Option<Call> {
        Some(self.program(&programs::docker()?, arguments))
    }

    /// Runs a program in the engine's network namespace, with `DOCKER_HOST` set to the engine's socket.
    pub fn program<S: AsRef<OsStr>>(&self, program: &Path, arguments: impl IntoIterator<Item = S>) -> Call {
        let mut command = Command::new(program);
        command.args(arguments);
        command.current_dir(self.place.work());
        self.prepare(&mut command);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        Call::new(command, Some(self.place.netns.clone()))
    }

    /// Does something in the engine's network namespace, such as opening a socket there.
    ///
    /// # Panics
    /// When the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::run_in(self.place.netns.as_fd(), work).expect("the namespace is there")
    }

    /// Runs a shell script in the engine's network namespace.
    pub fn sh(&self, script: &str) -> Call {
        self.program(Path::new("sh"), ["-c", script])
    }

    /// Runs `corten` on a terminal of 24 rows and 80 columns.
    #[track_caller]
    pub fn terminal<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Terminal {
        Terminal::start(self.corten(arguments), 24, 80)
    }

    /// Fetches a page from inside the engine's network namespace.
    ///
    /// # Panics
    /// When it cannot be had.
    #[track_caller]
    pub fn curl(&self, url: &str) -> String {
        self.try_curl(url).unwrap_or_else(|| panic!("nothing at {url}"))
    }

    /// Fetches a page from inside the engine's network namespace.
    #[track_caller]
    pub fn try_curl(&self, url: &str) -> Option<String> {
        let finished = self
            .program(Path::new("curl"), ["-sS", "-m", "5", "--noproxy", "*", url])
            .run();
        (finished.code == 0).then_some(finished.stdout)
    }

    /// Sends a request to the API.
    #[track_caller]
    pub fn http(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        http::request(&self.socket(), method, path, body)
    }

    /// Gets a JSON document from the API.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let response = self.http("GET", path, None);
        assert_eq!(response.status, 200, "GET {path}: {}", response.text());
        response.json()
    }

    /// A field of a container, by a template.
    #[track_caller]
    pub fn inspect(&self, container: &str, template: &str) -> String {
        self.corten(["inspect", "-f", template, container]).line()
    }

    /// The process id of a container's first process.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn first_pid(&self, container: &str) -> i32 {
        self.inspect(container, "{{.State.Pid}}").parse().expect("a number")
    }

    /// The process id of a container's shim.
    ///
    /// # Panics
    /// When the container does not run.
    #[track_caller]
    pub fn shim(&self, container: &str) -> i32 {
        process::parent(self.first_pid(container))
    }

    /// Runs a script in a container named `box` until it has made the file `/ready` and goes on.
    ///
    /// # Panics
    /// When it does not come so far.
    #[track_caller]
    pub fn ready_box(&self, options: &[&str], script: &str) {
        let script = format!("{script}; touch /ready; sleep 1000");
        let head = ["run", "-d", "--name", "box"].iter().chain(options);
        self.corten(head.chain(&["busybox", "sh", "-c", &script])).ok();
        until::is("it is ready", || {
            let finished = self.corten(["exec", "-u", "0", "box", "test", "-e", "/ready"]).run();
            finished.code != 1
        });
    }

    /// Waits until a container's field, by a template, has a value.
    #[track_caller]
    pub fn wait_for(&self, container: &str, template: &str, value: &str) {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + until::PATIENCE;
        while last != value {
            assert!(
                std::time::Instant::now() < deadline,
                "{container}: {template} is {last:?}, not {value:?}"
            );
            last = self.inspect(container, template);
        }
    }

    /// The registry on the namespace's loopback.
    ///
    /// # Panics
    /// Never, while the engine is there.
    pub fn registry(&self) -> &Registry {
        self.registry.as_ref().expect("it is dropped last")
    }

    /// Starts another registry in the namespace, on an address that a test names.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn start_registry(&self, address: &str) -> Registry {
        netns::run_in(self.place.netns.as_fd(), || Registry::start_on(address)).expect("the namespace is there")
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// The data root.
    pub fn data_root(&self) -> PathBuf {
        self.place.data_root()
    }

    /// The exec root.
    pub fn exec_root(&self) -> PathBuf {
        self.place.exec_root()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.place.config()
    }

    /// The parent of the containers' cgroups.
    pub fn cgroup_parent(&self) -> &str {
        &self.place.cgroup_parent
    }

    /// A folder for the test's own files, which is the current one of every program.
    pub fn work(&self) -> PathBuf {
        self.place.work()
    }

    /// What the engine has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.log()).unwrap_or_default()
    }

    /// The engine's process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.child().as_ref().expect("the engine runs").id()
    }

    /// Whether the engine's process runs.
    pub fn is_running(&self) -> bool {
        let mut child = self.child();
        child
            .as_mut()
            .is_some_and(|child| child.try_wait().expect("a child").is_none())
    }

    /// Kills the engine's process with SIGKILL.
    ///
    /// # Panics
    /// When it did not run.
    pub fn kill(&self) {
        let mut child = self.child().take().expect("the engine runs");
        child.kill().expect("a child");
        child.wait().expect("a child");
    }

    /// Waits for the engine's own end and returns its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_end(&self) -> i32 {
        let mut child = self.child().take().expect("the engine was started");
        let status = wait_for(&mut child, until::PATIENCE).expect("the engine ends");
        code(status)
    }

    /// Sends the engine a signal.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("the engine is there");
    }

    /// Stops the engine as the system would, with SIGTERM.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let mut child = self.child().take().expect("the engine runs");
        let ended = wait_for(&mut child, Duration::from_secs(90));
        if ended.is_none() {
            // It is stuck; the panic says so.
            let _ = child.kill();
            let _ = child.wait();
        }
        assert!(ended.is_some(), "the engine does not stop:\n{}", self.log());
    }

    /// Kills the engine and starts it again.
    #[track_caller]
    pub fn crash(&self) {
        self.kill();
        self.launch();
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a program an environment without anything of the user's.
    fn prepare(&self, command: &mut Command) {
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.place.home());
        command.env("TZ", "UTC");
        command.env("RUST_BACKTRACE", "1");
    }

    /// Removes every container by the API.
    fn remove_containers(&self) -> Result<(), String> {
        let list = self.http("GET", "/containers/json?all=1", None);
        for container in list.json().as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            let answer = self.http("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
            // One with `--rm` may go by itself at the same time.
            if !matches!(answer.status, 204 | 404 | 409) {
                return Err(format!("rm -f {id}: {} {}", answer.status, answer.text()));
            }
        }
        Ok(())
    }

    fn shut_down(&self) -> Result<(), String> {
        if !self.is_running() {
            return Ok(());
        }
        self.remove_containers()?;
        self.stop();
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        let ended = self
            .child()
            .as_mut()
            .and_then(|child| child.try_wait().expect("a child"));
        let down = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.shut_down()));
        if let Some(mut child) = self.child().take() {
            // Whatever it was that went wrong.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.registry = None;
        let left = leftovers::find(&self.place);
        let log = self.log();
        leftovers::remove(&self.place);
        if failing {
            let tail = log.lines().rev().take(60).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            #[expect(clippy::print_stderr, reason = "a failed test says what the engine said")]
            {
                eprintln!("--- the engine's log\n{tail}\n---");
                if let Some(ended) = ended {
                    eprintln!("the engine had ended by itself: {ended}");
                }
            }
            return;
        }
        match down {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("{why}\n{log}"),
            Err(_) => panic!("the engine could not be stopped\n{log}"),
        }
        assert!(
            left.is_empty() || self.options.may_leave,
            "left behind: {left:#?}\n{log}"
        );
    }
}
