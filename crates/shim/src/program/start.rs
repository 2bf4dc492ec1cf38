//! From the first instruction to the running container.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use corten_oci::runtime::Spec;
use corten_shim::connection::Connection;
use corten_shim::protocol::{
    Attach, Failure, FailureKind, Message, Reply, Response, SOCKETS_FOR_NAMES, Start, VERSION,
};
use corten_sys::heap;
use corten_sys::signal::{self, SignalFd, SignalSet};
use rustix::fs::{Mode, OFlags};

use crate::bundle::Bundle;
use crate::container::Container;
use crate::log::JsonLog;
use crate::poll::Poll;
use crate::requests::failure;
use crate::streams::Streams;
use crate::supervisor::{Beginning, INIT, Supervisor};

const SIGCHLD: i32 = 17;
/// Blocks from this size on are given back as soon as they are freed.
const LARGE: i32 = 32 << 10;

/// The kernel kills nearly anything else first.
const OOM_SCORE: &str = "-999";

/// Runs the container in the bundle until its end.
pub(crate) fn run(path: &Path) -> Result<(), String> {
    heap::keep_small(LARGE);
    let score = set_up_process().map_err(|error| format!("cannot set up the process: {error}"))?;
    let mut engine = engine().map_err(|error| format!("cannot use standard input: {error}"))?;
    let first: Start = match engine.receive() {
        Ok(Some(start)) => start,
        Ok(None) => return Ok(()),
        Err(error) => return Err(format!("cannot receive the first message: {error}")),
    };
    match begin(path, &mut engine, &first, score) {
        Ok((supervisor, reply)) => supervise(supervisor, engine, reply),
        Err(failure) => {
            let message = failure.message.clone();
            // The engine may have gone meanwhile.
            let _ = engine.send(&response(Err(failure)), Vec::new());
            Err(message)
        }
    }
}

fn supervise(mut supervisor: Supervisor, engine: Connection, reply: Reply) -> Result<(), String> {
    let (socket, incoming) = engine.into_parts();
    if let Ok(number) = supervisor.add_control(socket, incoming) {
        supervisor.subscribe(number);
        supervisor.send(number, &response(Ok(reply)));
        supervisor.watch_ports();
        supervisor.serve_early(number);
    }
    // Nobody reads complaints from here on, and whoever waits for their end shall have it.
    let _ = nothing().and_then(|nothing| Ok(rustix::stdio::dup2_stderr(nothing)?));
    supervisor.run().map_err(|error| format!("cannot wait: {error}"))
}

fn response(result: Result<Reply, Failure>) -> Message {
    Message::Response(Response { number: 0, result })
}

/// Makes a process of its own of this one, and returns the OOM score adjustment that its children
/// need so as not to have this one's.
fn set_up_process() -> io::Result<Option<i32>> {
    rustix::thread::set_name(c"corten-shim")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // It fails for a group's leader, which is then as far from the engine's group as can be.
    let _ = rustix::process::setsid();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir("/")?;
    Ok(is_spared().then_some(0))
}

/// Asks the kernel to spare this process when memory runs out; it may refuse the unprivileged.
fn is_spared() -> bool {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open("/proc/self/oom_score_adj", flags, Mode::empty());
    file.is_ok_and(|file| rustix::io::write(file, OOM_SCORE.as_bytes()).is_ok())
}

/// Lets no signal end this process from now on, and returns where its children's ends are told.
///
/// It is not done before the container runs, for hooks would be born with all signals blocked.
fn block_signals() -> io::Result<SignalFd> {
    signal::block(SignalSet::ALL)?;
    SignalFd::new(SignalSet::NONE.with(SIGCHLD))
}

/// Takes the engine's socket from standard input, so that no child has it.
fn engine() -> io::Result<Connection> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    let nothing = nothing()?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(Connection::new(UnixStream::from(socket)))
}

fn nothing() -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// The descriptors that came with the first message.
struct Passed {
    netns: Option<OwnedFd>,
    clients: Vec<(Attach, OwnedFd)>,
    held: Vec<OwnedFd>,
    names: Vec<OwnedFd>,
}

fn passed(engine: &mut Connection, start: &Start) -> io::Result<Passed> {
    let netns = engine.take_descriptors(usize::from(start.netns))?.pop();
    let sockets = engine.take_descriptors(start.attach.len())?;
    let held = engine.take_descriptors(usize::try_from(start.hold).unwrap_or(usize::MAX))?;
    let names = engine.take_descriptors(if start.names { SOCKETS_FOR_NAMES } else { 0 })?;
    let clients = start.attach.iter().cloned().zip(sockets).collect();
    Ok(Passed {
        netns,
        clients,
        held,
        names,
    })
}

/// Starts the container; whatever fails leaves nothing behind.
fn begin(
    path: &Path,
    engine: &mut Connection,
    start: &Start,
    score: Option<i32>,
) -> Result<(Supervisor, Reply), Failure> {
    let passed = passed(engine, start).map_err(invalid)?;
    if start.version != VERSION {
        let text = format!(
            "the engine speaks version {} of the shim's protocol, the shim {VERSION}",
            start.version
        );
        return Err(failure(FailureKind::Unsupported, text));
    }
    let bundle = Bundle::open(path).map_err(invalid)?;
    let spec = bundle.spec().map_err(invalid)?;
    bundle.forget_exit().map_err(internal)?;
    let listener = bundle.listen().map_err(internal)?;
    let result = Setting {
        start,
        spec,
        score,
        listener,
    }
    .start(bundle, passed);
    if result.is_err() {
        // Nobody can be served there.
        let _ = rustix::fs::unlink(path.join(corten_shim::protocol::SOCKET));
    }
    result
}

/// What a start needs beside the bundle and what was passed.
struct Setting<'a> {
    start: &'a Start,
    spec: Spec,
    score: Option<i32>,
    listener: std::os::unix::net::UnixListener,
}

impl Setting<'_> {
    fn start(mut self, bundle: Bundle, passed: Passed) -> Result<(Supervisor, Reply), Failure> {
        let start = self.start;
        let poll = Poll::new().map_err(internal)?;
        let log = JsonLog::open(&start.log);
        let (container, started, ends) = Container::start(&bundle, &mut self.spec, start, passed.netns, self.score)?;
        let reply = Reply::Started {
            pid: started.pid,
            start_time: started.start_time,
        };
        let streams = Streams::new(&poll, INIT, None, start.stdin, ends, log).map_err(internal)?;
        let mut supervisor = Supervisor::new(Beginning {
            poll,
            bundle,
            container,
            id: start.id.clone(),
            started,
            streams,
            children: block_signals().map_err(internal)?,
            listener: self.listener,
        })
        .map_err(internal)?;
        if start.names {
            supervisor.take_names(passed.names)?;
        }
        supervisor.hold(passed.held, &start.relays).map_err(internal)?;
        for (attach, socket) in passed.clients {
            supervisor
                .with_streams(INIT, |streams, context| streams.attach(context, socket, &attach))
                .transpose()
                .map_err(internal)?;
        }
        Ok((supervisor, reply))
    }
}

fn invalid(error: impl ToString) -> Failure {
    failure(FailureKind::Invalid, error.to_string())
}

fn internal(error: io::Error) -> Failure {
    failure(FailureKind::Internal, error.to_string())
}
