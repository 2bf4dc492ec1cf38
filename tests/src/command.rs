//! Running programs: with a deadline, and with what they said at hand when it was not as expected.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use corten_sys::netns;
use std::os::fd::AsFd as _;

/// How long a program may run before it is killed and the test fails.
const LIMIT: Duration = Duration::from_secs(180);

/// A program to be run.
#[derive(Debug)]
pub struct Call {
    command: Command,
    stdin: Vec<u8>,
    netns: Option<Arc<OwnedFd>>,
}

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The exit code, or 128 and the signal's number.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Call {
    /// A program with arguments, in a network namespace if one is given.
    pub fn new(command: Command, netns: Option<Arc<OwnedFd>>) -> Self {
        Self {
            command,
            stdin: Vec::new(),
            netns,
        }
    }

    /// What it gets on standard input; nothing unless told.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets its current folder.
    #[must_use]
    pub fn current_dir(mut self, folder: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to the end.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    #[track_caller]
    pub fn run(mut self) -> Finished {
        let bytes = std::mem::take(&mut self.stdin);
        let mut running = self.spawn();
        let stdin = running.stdin.take();
        // A thread: the program may say a lot before it reads.
        let writer = thread::spawn(move || {
            // A program that reads nothing closes its end.
            let _ = stdin.map(|mut stdin| stdin.write_all(&bytes));
        });
        let finished = running.wait();
        writer.join().expect("the writer does not panic");
        finished
    }

    /// Runs it and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(self) -> String {
        let what = self.to_string();
        let finished = self.run();
        assert_eq!(finished.code, 0, "{what}\n{finished}");
        finished.stdout
    }

    /// Runs it and returns its standard output without space around.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn line(self) -> String {
        self.ok().trim().to_owned()
    }

    /// Runs it and returns its standard error.
    ///
    /// # Panics
    /// When its exit code is another one.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        let what = self.to_string();
        let finished = self.run();
        assert_eq!(finished.code, code, "{what}\n{finished}");
        finished.stderr
    }

    /// Starts it. Standard input stays open until [`Running::close_stdin`] or [`Running::wait`].
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        let name = self.to_string();
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.start();
        Running {
            name,
            stdin: child.stdin.take(),
            stdout: follow(child.stdout.take().expect("piped")),
            stderr: follow(child.stderr.take().expect("piped")),
            child,
            seen: Vec::new(),
        }
    }

    /// Starts it with standard streams as set.
    #[track_caller]
    pub(crate) fn start(mut self) -> Child {
        // A shell that runs the tests in the background had it ignored, which programs inherit.
        static HEEDED: Once = Once::new();
        HEEDED.call_once(|| {
            let interrupt = rustix::process::Signal::INT.as_raw();
            corten_sys::process::default_action(interrupt).expect("SIGINT is a signal");
        });
        let command = &mut self.command;
        let started = match &self.netns {
            Some(netns) => netns::run_in(netns.as_fd(), || command.spawn()).expect("the namespace is there"),
            None => command.spawn(),
        };
        started.unwrap_or_else(|error| panic!("{:?}: {error}", self.command.get_program()))
    }

    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command.get_program().to_string_lossy())?;
        self.command
            .get_args()
            .try_for_each(|argument| write!(f, " {}", argument.to_string_lossy()))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

impl Running {
    /// Writes to its standard input.
    ///
    /// # Panics
    /// When it reads no more.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("the program reads");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("a child");
    }

    /// Waits until its standard output holds a text, and returns all of the output so far.
    ///
    /// # Panics
    /// When the text does not come.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + crate::until::PATIENCE;
        loop {
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            if seen.contains(text) {
                return seen;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            match self.stdout.recv_timeout(rest) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(_) => panic!(
                    "{}: no {text:?} in {seen:?}; stderr: {}",
                    self.name,
                    drain(&self.stderr)
                ),
            }
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits for its end. Standard input is closed first.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(mut self) -> Finished {
        self.stdin = None;
        let Some(status) = wait_for(&mut self.child, LIMIT) else {
            // It may just have ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
            let out = String::from_utf8_lossy(&self.seen).into_owned() + &drain(&self.stdout);
            let errors = drain(&self.stderr);
            panic!(
                "{} does not end; stdout: {}; stderr: {}",
                self.name,
                tail(&out),
                tail(&errors)
            );
        };
        let mut stdout = std::mem::take(&mut self.seen);
        stdout.extend(rest(&self.stdout));
        Finished {
            code: code(status),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&rest(&self.stderr)).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, and been waited for, long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a child's end, up to a limit.
pub(crate) fn wait_for(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// The exit code as a shell sees it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn follow(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What comes until the stream's end; a stray child that holds it open gets five seconds.
fn rest(stream: &Receiver<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(more) = stream.recv_timeout(Duration::from_secs(5)) {
        bytes.extend(more);
    }
    bytes
}

/// The last of a text that may be long.
fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(2000);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[from.unwrap_or(0)..]
}

fn drain(stream: &Receiver<Vec<u8>>) -> String {
    let bytes: Vec<u8> = stream.try_iter().flatten().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
