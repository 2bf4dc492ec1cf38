//! The engine's end of the [protocol] with one container's shim.
//!
//! [`spawn`] starts a shim and its container; [`connect`] finds a shim again after the engine was
//! restarted. Both give a [`Link`] for requests and a receiver of events, which ends when the shim
//! does.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    os::unix::{net::UnixStream as StdUnixStream, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use corten_shim::{
    connection::{Incoming, Outgoing, encode},
    protocol::{self, Call, Event, Failure, FailureKind, HeldPort, Message, Reply, Request, Response, Start, State},
};
use serde::Serialize;
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{mpsc, oneshot},
};

use crate::error::{Error, Kind, Result};

/// A connection to a shim.
#[derive(Debug, Clone)]
pub(crate) struct Link(Arc<Shared>);

/// Callers by the number of their call.
type Waiting = HashMap<u64, oneshot::Sender<Result<Reply, Failure>>>;

#[derive(Debug)]
struct Shared {
    stream: UnixStream,
    /// Keeps frames whole when several callers send at once.
    sending: tokio::sync::Mutex<()>,
    /// Callers that wait, by number; none once the connection has ended.
    waiting: Mutex<Option<Waiting>>,
    next: AtomicU64,
}

/// What the shim says of the process that it started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    /// As the host counts.
    pub(crate) pid: i32,
    /// Field 22 of its `/proc/<pid>/stat`.
    pub(crate) start_time: u64,
}

/// Why a shim did not do what it was asked.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// It said so.
    Refused(Failure),
    /// It could not be reached, or left before it answered.
    Gone(io::Error),
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Refused(failure) => Self::new(kind_of(failure.kind), failure.message),
            LinkError::Gone(error) => Self::internal("the container's shim cannot be reached").source(error),
        }
    }
}

/// The engine's class for a shim's.
pub(crate) fn kind_of(kind: FailureKind) -> Kind {
    match kind {
        FailureKind::CommandNotFound | FailureKind::CommandNotExecutable | FailureKind::Invalid => Kind::Invalid,
        FailureKind::NotFound => Kind::NotFound,
        FailureKind::Unsupported => Kind::Unsupported,
        FailureKind::Runtime | FailureKind::Internal => Kind::Internal,
    }
}

/// A shim that was started and waits for its first message.
#[derive(Debug)]
pub(crate) struct Spawned {
    stream: StdUnixStream,
    child: Child,
}

/// The shim program, in sealed memory: a process in a container that gets hold of it through
/// `/proc` cannot change what the next container is started with (CVE-2019-5736), and it runs from
/// data roots that forbid execution.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

impl Program {
    /// Copies the program into memory that nobody can change any more.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        use rustix::fs::{MemfdFlags, SealFlags};
        let failed = |what: &'static str| move |e: rustix::io::Errno| corten_sys::fs::with_path(what, path, e.into());
        let mut from = corten_sys::fs::open(path)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = rustix::fs::memfd_create("corten-shim", flags).map_err(failed("copy"))?;
        let mut to = std::fs::File::from(memory);
        io::copy(&mut from, &mut to)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&to, seals).map_err(failed("seal"))?;
        Ok(Self(to.into()))
    }
}

/// Starts the shim program for a bundle. Blocks for the time of a `posix_spawn`.
pub(crate) fn spawn(program: &Program, bundle: &Path) -> Result<Spawned> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(format!("/proc/self/fd/{}", program.0.as_raw_fd()))
        .arg0("corten-shim")
        .arg(bundle)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear()
        .current_dir("/")
        .spawn()
        .map_err(|e| Error::internal("cannot start the container's shim").source(e))?;
    Ok(Spawned { stream: ours, child })
}

impl Spawned {
    /// Has the shim run its container.
    pub(crate) async fn start(
        self,
        start: &Start,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(Link, Started, mpsc::UnboundedReceiver<Event>), LinkError> {
        // It ends with its container, or when the connection closes before it was told to start one.
        tokio::spawn(super::reaper::reap(self.child));
        let stream = UnixStream::from_std(self.stream)?;
        send(&stream, start, descriptors).await?;
        let mut incoming = Incoming::default();
        let response = next_response(&stream, &mut incoming).await?;
        match response.result {
            Ok(Reply::Started { pid, start_time }) => {
                let (link, events) = Link::new(stream, incoming);
                Ok((link, Started { pid, start_time }, events))
            }
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(LinkError::Refused(failure)),
        }
    }
}

/// Finds the shim of a bundle, if it lives, and asks what runs.
pub(crate) async fn connect(bundle: &Path) -> Result<(Link, State, mpsc::UnboundedReceiver<Event>), LinkError> {
    let stream = UnixStream::from_std(connect_socket(bundle)?)?;
    let (link, events) = Link::new(stream, Incoming::default());
    link.call(Request::Subscribe, Vec::new()).await?;
    match link.call(Request::State, Vec::new()).await? {
        Reply::State(state) if state.version == protocol::VERSION => Ok((link, state, events)),
        Reply::State(state) => Err(LinkError::Gone(io::Error::other(format!(
            "it speaks version {} of the protocol, this engine {}",
            state.version,
            protocol::VERSION
        )))),
        _ => Err(unexpected()),
    }
}

/// Asks the shim of a bundle something that shims of earlier versions may not understand: they close a
/// connection at which they don't, so it is one of its own.
pub(crate) async fn ask(bundle: &Path, request: Request) -> Result<(Reply, Vec<OwnedFd>), LinkError> {
    let stream = UnixStream::from_std(connect_socket(bundle)?)?;
    send(&stream, &Call { number: 1, request }, Vec::new()).await?;
    let mut incoming = Incoming::default();
    match next_response(&stream, &mut incoming).await?.result {
        Ok(reply) => {
            let descriptors = incoming.take_descriptors(reply.descriptors())?;
            Ok((reply, descriptors))
        }
        Err(failure) => Err(LinkError::Refused(failure)),
    }
}

/// Asks the shim of a bundle for copies of the sockets that hold ports.
pub(crate) async fn ports(bundle: &Path) -> Result<Vec<(HeldPort, OwnedFd)>, LinkError> {
    match ask(bundle, Request::Ports).await? {
        (Reply::Ports(ports), sockets) => Ok(ports.into_iter().zip(sockets).collect()),
        _ => Err(unexpected()),
    }
}

/// Connects through a held folder, so that the length of its path does not matter (`unix(7)`).
fn connect_socket(bundle: &Path) -> io::Result<StdUnixStream> {
    use rustix::fs::{Mode, OFlags};
    let folder = rustix::fs::open(
        bundle,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let path = format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), protocol::SOCKET);
    let stream = StdUnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Link {
    fn new(stream: UnixStream, incoming: Incoming) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let shared = Arc::new(Shared {
            stream,
            sending: tokio::sync::Mutex::new(()),
            waiting: Mutex::new(Some(HashMap::new())),
            next: AtomicU64::new(1),
        });
        let (events, receiver) = mpsc::unbounded_channel();
        tokio::spawn(read(Arc::clone(&shared), incoming, events));
        (Self(shared), receiver)
    }

    /// Asks the shim, with the descriptors that the request names.
    pub(crate) async fn call(&self, request: Request, descriptors: Vec<OwnedFd>) -> Result<Reply, LinkError> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match &mut *self.0.waiting() {
            Some(waiting) => waiting.insert(number, sender),
            None => return Err(LinkError::Gone(io::ErrorKind::BrokenPipe.into())),
        };
        {
            let _whole = self.0.sending.lock().await;
            if let Err(error) = send(&self.0.stream, &Call { number, request }, descriptors).await {
                if let Some(waiting) = &mut *self.0.waiting() {
                    waiting.remove(&number);
                }
                return Err(error.into());
            }
        }
        match receiver.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(failure)) => Err(LinkError::Refused(failure)),
            Err(_) => Err(LinkError::Gone(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out what the shim says until it leaves.
async fn read(shared: Arc<Shared>, mut incoming: Incoming, events: mpsc::UnboundedSender<Event>) {
    while let Ok(Some(message)) = next_message::<Message>(&shared.stream, &mut incoming).await {
        match message {
            Message::Response(Response { number, result }) => {
                let waiting = shared.waiting().as_mut().and_then(|waiting| waiting.remove(&number));
                if let Some(sender) = waiting {
                    // A caller that has left does not want to know.
                    let _ = sender.send(result);
                }
            }
            Message::Event(event) => {
                // The container's task has ended only when the container was removed.
                let _ = events.send(event);
            }
        }
    }
    // Dropping the senders tells every caller.
    drop(shared.waiting().take());
}

async fn next_response(stream: &UnixStream, incoming: &mut Incoming) -> Result<Response, LinkError> {
    loop {
        match next_message::<Message>(stream, incoming).await? {
            Some(Message::Response(response)) => return Ok(response),
            Some(Message::Event(_)) => {}
            None => return Err(LinkError::Gone(io::Error::other("it ended before it answered"))),
        }
    }
}

async fn next_message<T: serde::de::DeserializeOwned>(
    stream: &UnixStream,
    incoming: &mut Incoming,
) -> io::Result<Option<T>> {
    loop {
        if let Some(message) = incoming.next_message()? {
            return Ok(Some(message));
        }
        stream.readable().await?;
        match stream.try_io(Interest::READABLE, || incoming.receive(stream.as_fd())) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn send<T: Serialize>(stream: &UnixStream, message: &T, descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let mut outgoing = Outgoing::default();
    outgoing.push(encode(message)?, descriptors);
    while !outgoing.is_empty() {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, || outgoing.send(stream.as_fd())) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn unexpected() -> LinkError {
    LinkError::Gone(io::Error::other("it gave an answer to another question"))
}
