//! What the engine and a container's shim say to each other.
//!
//! The shim is spawned with one end of a stream socket pair as its standard input and the path of
//! its bundle as its only argument. The engine sends one [`Start`] there and gets [`Reply::Started`]
//! or a [`Failure`]. From then on the same connection, and any connection made to the socket
//! [`SOCKET`] in the bundle, takes [`Request`]s and answers each with a [`Response`] of the same
//! number, in any order. [`Event`]s go to the connection that sent [`Start`] and to those that sent
//! [`Request::Subscribe`].
//!
//! ```text
//!   engine                                   shim
//!     │  spawn(bundle), stdin = socket  ───►   │
//!     │  Start + [netns] [attach…] [hold…]     │
//!     │        + [names…]              ───►    │ clone, mounts, exec
//!     │  ◄──────────────  Started{pid} │ Failed│
//!     │  Request{id} + fds  ───────────────►   │
//!     │  ◄───────────────────── Response{id}   │
//!     │  ◄───────────────────── Event::Exited  │ after exit.json is written; then it ends
//! ```
//!
//! A frame is a 32-bit little-endian length and that many bytes of JSON, at most
//! [`MAX_FRAME`]. Descriptors travel as `SCM_RIGHTS` with the first byte of the frame that names
//! them, in the order its fields say.
//!
//! The engine may die at any time: the shim goes on, keeps its socket open for the next engine, and
//! leaves [`Exit`] as [`EXIT_FILE`] in the bundle before it ends, whether anyone listens or not.

use std::path::PathBuf;

pub use corten_oci::runtime::Mount;
use corten_oci::runtime::{Process, Resources};
use serde::{Deserialize, Serialize};

/// The protocol's number; engine and shim refuse to talk when theirs differ.
pub const VERSION: u32 = 1;
/// The name of the shim's listening socket in the bundle.
pub const SOCKET: &str = "shim.sock";
/// The name of the file in the bundle that holds the container's [`Exit`] once it has ended.
pub const EXIT_FILE: &str = "exit.json";
/// The name of the runtime configuration in the bundle (OCI runtime-spec, config.md).
pub const CONFIG_FILE: &str = "config.json";
/// How many sockets the server of names has.
pub const SOCKETS_FOR_NAMES: usize = 2;
/// The folder in the bundle where another runtime than ours keeps its state.
pub const RUNTIME_FOLDER: &str = "runtime";
/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 4 << 20;

/// The first message: run the container whose `config.json` lies in the bundle.
///
/// Descriptors, in order: the network namespace if `netns`, one socket for each of `attach`, `hold`
/// descriptors that the shim keeps open as long as the container runs (reserved host ports), and if
/// `names` the two sockets at which the shim answers [names](crate::names): UDP, then TCP.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// The container's full id.
    pub id: String,
    /// What to mount as the root inside the container's mount namespace, in order, as a snapshot
    /// describes it (`type: overlay` with `lowerdir+=…`, `upperdir=…`, `workdir=…`, `volatile`);
    /// empty to use `root.path` of the configuration.
    pub rootfs: Vec<Mount>,
    /// Whether the first descriptor is the network namespace to join.
    pub netns: bool,
    /// Clients that are attached before the first byte is written.
    pub attach: Vec<Attach>,
    /// How many descriptors to hold.
    pub hold: u32,
    /// Whether the last two descriptors are sockets for names.
    #[serde(default)]
    pub names: bool,
    /// At which of them to serve.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// The terminal's first size, when `process.terminal` is set.
    pub size: Option<WindowSize>,
    /// What becomes of standard input.
    pub stdin: Stdin,
    /// Where output is kept.
    pub log: Log,
    /// The OCI runtime that runs the container; none for our own.
    #[serde(default)]
    pub runtime: Option<OciRuntime>,
}

/// An OCI runtime that is a program of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciRuntime {
    /// The program.
    pub path: PathBuf,
    /// Arguments before those of each command.
    pub args: Vec<String>,
}

/// A published port whose traffic the shim passes on, because the kernel cannot translate it: from IPv6
/// to a container without it, or from `::1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Which of the held descriptors holds the port: a bound socket.
    pub socket: u32,
    /// Whether it is UDP's, not TCP's.
    pub datagrams: bool,
    /// The container's address and port.
    pub to: std::net::SocketAddr,
}

/// Where what comes to a held port is passed on to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The host's address and port, to which a held descriptor is bound.
    pub host: std::net::SocketAddr,
    /// Whether it is UDP's, not TCP's.
    pub datagrams: bool,
    /// The container's address and port.
    pub to: std::net::SocketAddr,
}

/// A socket that holds a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPort {
    /// The host's address and port, to which it is bound.
    pub host: std::net::SocketAddr,
    /// Whether it is UDP's, not TCP's.
    pub datagrams: bool,
}

/// What becomes of a process's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    /// It reads from `/dev/null`.
    Null,
    /// It stays open, whoever attaches and leaves.
    Open,
    /// It is closed when the first client that attached to it closes its side.
    Once,
}

/// The local log of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum Log {
    /// Nothing is kept.
    None,
    /// Docker's json-file format.
    JsonFile {
        /// The current file; older ones get `.1`, `.2`, … appended.
        path: PathBuf,
        /// The size in bytes after which the file is rotated; none to let it grow.
        max_size: Option<u64>,
        /// How many files are kept, the current one included; at least 1.
        max_files: u32,
        /// Whether rotated files are compressed (gzip).
        compress: bool,
        /// Labels and variables repeated in every line as `attrs`.
        attrs: std::collections::BTreeMap<String, String>,
    },
}

/// A client of a process's streams; its socket travels beside the message.
///
/// The shim writes output to the socket — raw when the process has a terminal, else in Docker's
/// 8-byte-header frames (Docker API, `POST /containers/{id}/attach`, "Stream format") — and reads
/// standard input from it. It half-closes neither before the process's streams have ended. The
/// socket's far end may be the user's own connection: it is left non-blocking or not as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// Whether what the client sends becomes the process's input.
    pub stdin: bool,
    /// Whether the client gets standard output.
    pub stdout: bool,
    /// Whether the client gets standard error.
    pub stderr: bool,
    /// Input that was already read from the client, to be taken first.
    pub preface: Vec<u8>,
    /// The bytes that end the session without ending the process, empty for none; looked for only
    /// in input of a process with a terminal.
    pub detach_keys: Vec<u8>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// A numbered request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the sender; the response repeats it.
    pub number: u64,
    /// What is asked.
    pub request: Request,
}

/// What the engine can ask of a running container's shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Says what runs. Answered by [`Reply::State`].
    State,
    /// Sends [`Event`]s to this connection from now on.
    Subscribe,
    /// Sends a signal to the container's init process.
    Signal {
        /// The signal's number, 1 to 64.
        signal: i32,
    },
    /// Kills an exec and what it has started, as far as that is in its process group.
    KillExec {
        /// The exec's id.
        id: String,
    },
    /// Kills every process of the container (used when init cannot be signalled).
    KillAll,
    /// Freezes the container's cgroup.
    Pause,
    /// Thaws the container's cgroup.
    Resume,
    /// Changes the container's limits.
    Update {
        /// The new limits; what is absent stays.
        resources: Box<Resources>,
    },
    /// Reads the cgroup's counters. Answered by [`Reply::Stats`].
    Stats,
    /// Lists the processes in the container's cgroup, as the host counts them. Answered by [`Reply::Pids`].
    Pids,
    /// Changes a terminal's size.
    Resize {
        /// The exec's id; none for the container itself.
        exec: Option<String>,
        /// The new size.
        size: WindowSize,
    },
    /// Attaches a client, whose socket is the message's only descriptor, to the container or to an exec.
    Attach {
        /// The exec's id; none for the container itself.
        exec: Option<String>,
        /// What the client takes part in.
        attach: Attach,
    },
    /// Takes what a further network brings: `hold` descriptors and sockets for names, as
    /// [`Start`] does.
    Network {
        /// How many descriptors to hold.
        hold: u32,
        /// At which of them to serve.
        #[serde(default)]
        relays: Vec<Relay>,
        /// Whether two sockets for names follow, in place of those before.
        names: bool,
    },
    /// Has traffic to held ports passed on to other addresses: the container has moved to other networks.
    /// Ports that are not named here are served no more.
    Relays {
        /// Where each leads.
        targets: Vec<Target>,
    },
    /// Lists the sockets that hold ports. Answered by [`Reply::Ports`], with a copy of each.
    Ports,
    /// Lets go of sockets that hold ports, for another container has them now. Connections that came by
    /// them go on.
    Release {
        /// Which.
        ports: Vec<HeldPort>,
    },
    /// Runs another process in the container. Answered by [`Reply::Started`] when it has been
    /// executed. Its end is an [`Event::ExecExited`].
    ///
    /// With `attach`, the client's socket is the message's only descriptor; without, the streams are `/dev/null`.
    Exec {
        /// The exec's full id.
        id: String,
        /// The process (OCI runtime-spec, config.md "Process").
        process: Box<Process>,
        /// The client.
        attach: Option<Attach>,
        /// The terminal's first size.
        size: Option<WindowSize>,
        /// Whether the client may send input.
        stdin: bool,
    },
}

impl Request {
    /// How many descriptors come with the message: a client's socket, or those of a network.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        match self {
            Self::Attach { .. } => 1,
            Self::Exec { attach, .. } => usize::from(attach.is_some()),
            Self::Network { hold, names, .. } => {
                let hold = usize::try_from(*hold).unwrap_or(usize::MAX);
                hold.saturating_add(if *names { SOCKETS_FOR_NAMES } else { 0 })
            }
            Self::State
            | Self::Subscribe
            | Self::Signal { .. }
            | Self::KillExec { .. }
            | Self::KillAll
            | Self::Pause
            | Self::Resume
            | Self::Update { .. }
            | Self::Stats
            | Self::Pids
            | Self::Resize { .. }
            | Self::Ports
            | Self::Release { .. }
            | Self::Relays { .. } => 0,
        }
    }
}

/// The answer to a [`Call`], or to [`Start`] with number 0.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    /// The call's number.
    pub number: u64,
    /// What came of it.
    pub result: Result<Reply, Failure>,
}

/// A message from the shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The answer to a call.
    Response(Response),
    /// Something happened.
    Event(Event),
}

/// What a request gave.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done,
    /// The container or the exec runs.
    Started {
        /// The process, as the host counts.
        pid: i32,
        /// Field 22 of `/proc/<pid>/stat`, which tells the process from a later one of the same number.
        start_time: u64,
    },
    /// What runs.
    State(State),
    /// Processes, as the host counts.
    Pids(Vec<i32>),
    /// Counters of the cgroup.
    Stats(Box<Stats>),
    /// Sockets that hold ports; a copy of each is one of the message's descriptors.
    Ports(Vec<HeldPort>),
}

impl Reply {
    /// How many descriptors come with the message.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        match self {
            Self::Ports(ports) => ports.len(),
            Self::Done | Self::Started { .. } | Self::State(_) | Self::Pids(_) | Self::Stats(_) => 0,
        }
    }
}

/// What a shim knows of its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`VERSION`] of the shim.
    pub version: u32,
    /// The container's full id.
    pub id: String,
    /// Init, as the host counts.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat`.
    pub start_time: u64,
    /// When init was executed, in nanoseconds since the epoch.
    pub started_at: i64,
    /// Whether the cgroup is frozen.
    pub paused: bool,
    /// Whether the kernel has killed a process of the container for lack of memory.
    pub oom_killed: bool,
    /// The execs that run: id and pid.
    pub execs: Vec<(String, i32)>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code as a shell gives it: 0 to 255, 128 + n for signal n.
    pub code: i32,
    /// When, in nanoseconds since the epoch.
    pub at: i64,
    /// Whether the kernel killed a process of the container for lack of memory.
    pub oom_killed: bool,
}

/// Something that happened to the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Init has ended, its output is in the log and with the clients, its cgroup is gone.
    Exited(Exit),
    /// An exec has ended and its output is with its client.
    ExecExited {
        /// The exec's id.
        id: String,
        /// How it ended.
        exit: Exit,
    },
    /// The kernel killed a process of the container for lack of memory.
    OutOfMemory,
    /// A client left with its detach keys.
    Detached {
        /// The exec's id; none for the container itself.
        exec: Option<String>,
    },
    /// The log could not be written; output goes on to clients.
    LogFailed {
        /// Why, with the path.
        message: String,
    },
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class, on which the engine acts.
    pub kind: FailureKind,
    /// A sentence for the user, without its end.
    pub message: String,
}

/// Classes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The program was not found in the container (exit code 127).
    CommandNotFound,
    /// The program was found and cannot be executed (exit code 126).
    CommandNotExecutable,
    /// The configuration or the request asks for something that cannot be.
    Invalid,
    /// No such exec, or the process has ended.
    NotFound,
    /// The kernel or this build lacks what is asked.
    Unsupported,
    /// An OCI runtime that is not ours has refused; the message has its own words.
    Runtime,
    /// Anything else.
    Internal,
}

/// Counters of a container's cgroup, in the units of `GET /containers/{id}/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time used, in nanoseconds.
    pub cpu_total: u64,
    /// Of it in user mode.
    pub cpu_user: u64,
    /// Of it in the kernel.
    pub cpu_kernel: u64,
    /// CPU time on each processor (cgroup v1 only).
    pub cpu_per_cpu: Vec<u64>,
    /// Enforcement intervals that have passed.
    pub throttling_periods: u64,
    /// Of them with throttling.
    pub throttled_periods: u64,
    /// Time throttled, in nanoseconds.
    pub throttled_time: u64,
    /// Memory in use, in bytes.
    pub memory_usage: u64,
    /// The most it has been (cgroup v1, or v2 with `memory.peak`).
    pub memory_max_usage: u64,
    /// The limit in bytes; `u64::MAX` when there is none.
    pub memory_limit: u64,
    /// How often the limit was hit.
    pub memory_failures: u64,
    /// `memory.stat`, as the kernel names its lines.
    pub memory: std::collections::BTreeMap<String, u64>,
    /// Processes.
    pub pids: u64,
    /// Their limit; none when there is none.
    pub pids_limit: Option<u64>,
    /// Bytes read and written, for each device: major, minor, operation, bytes.
    pub io_bytes: Vec<(u64, u64, String, u64)>,
    /// Operations, likewise.
    pub io_operations: Vec<(u64, u64, String, u64)>,
}
