//! `create`, `start`, `run`, `kill`, `delete`.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corten_oci::runtime::{NamespaceKind, Process, Spec, Status};
use corten_sys::fs;
use corten_sys::process::PidFd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::arguments::{Flag, Order, Parsed, switch, value};
use super::console::{Signals, attend, send};
use super::record::{Record, Root};
use super::{Command, Context, sealed};
use crate::cgroup::Cgroup;
use crate::context::{Context as _, invalid};
use crate::create::{Begin, Container, Create, console_size, create, run_poststart_hooks, run_poststop_hooks};
use crate::error::{Error, Kind, Result};
use crate::init::Keyring;
use crate::namespaces::wants;
use crate::rootfs::RootEntry;
use crate::terminal::Stdio;

const MAKING: [Flag; 6] = [
    value("bundle", "b", "folder with config.json; the current one by default"),
    value("console-socket", "", "unix socket that gets the terminal's master"),
    value("pid-file", "", "file that gets the process's number"),
    value("preserve-fds", "", "how many descriptors from 3 on are passed on"),
    switch("no-pivot", "", "enter the root with chroot"),
    switch("no-new-keyring", "", "keep the caller's session keyring"),
];

pub(super) const CREATE: Command = Command {
    name: "create",
    usage: "<container-id>: make a container, to be started later",
    flags: &MAKING,
    order: Order::Mixed,
    run: |context, args| {
        sealed::ensure()?;
        let id = args.id("create")?;
        let made = Making::read(context, &args)?;
        made.check_terminal(Attendance::Leaves)?;
        let fifo = context.root.fifo(id);
        claimed(context, id, || {
            mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o622), 0)
                .context(|| "cannot make the exec fifo".into())?;
            let container = made.make(id, Begin::WhenOpened(&fifo), context)?;
            made.hand_over(&container)
        })?;
        Ok(0)
    },
};

pub(super) const RUN: Command = Command {
    name: "run",
    usage: "<container-id>: make a container, start it, and wait for its end",
    flags: &{
        let [a, b, c, d, e, f] = MAKING;
        [
            a,
            b,
            c,
            d,
            e,
            f,
            switch("detach", "d", "don't wait"),
            switch("keep", "", "don't delete it in the end"),
        ]
    },
    order: Order::Mixed,
    run,
};

pub(super) const START: Command = Command {
    name: "start",
    usage: "<container-id>: start a container that was made",
    flags: &[],
    order: Order::Mixed,
    run: start,
};

pub(super) const KILL: Command = Command {
    name: "kill",
    usage: "<container-id> [signal]: send a signal, SIGTERM by default",
    flags: &[switch("all", "a", "to all processes of the container")],
    order: Order::Mixed,
    run: kill,
};

pub(super) const DELETE: Command = Command {
    name: "delete",
    usage: "<container-id>: remove what a container that has ended has left",
    flags: &[switch("force", "f", "kill it first; a missing container is no error")],
    order: Order::Mixed,
    run: delete,
};

/// Whether the command stays with the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attendance {
    /// Until its end.
    Stays,
    /// It leaves at once.
    Leaves,
}

/// What `create` and `run` have been asked for.
struct Making {
    bundle: PathBuf,
    spec: Spec,
    console_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    preserved: u32,
    root_entry: RootEntry,
    keyring: Keyring,
}

impl Making {
    fn read(context: &Context, args: &Parsed) -> Result<Self> {
        let bundle = fs::canonicalize(args.value("bundle").unwrap_or("."))
            .map_err(|error| invalid("cannot find the bundle").with_source(error))?;
        let mut spec = read_spec(&bundle)?;
        if context.rootless {
            spare_cgroups(&mut spec);
        }
        Ok(Self {
            spec,
            console_socket: args.value("console-socket").map(PathBuf::from),
            pid_file: args.value("pid-file").map(PathBuf::from),
            preserved: preserved(args)?,
            root_entry: if args.has("no-pivot") {
                RootEntry::Chroot
            } else {
                RootEntry::Pivot
            },
            keyring: if args.has("no-new-keyring") {
                Keyring::Inherit
            } else {
                Keyring::New
            },
            bundle,
        })
    }

    fn process(&self) -> Option<&Process> {
        self.spec.process.as_ref()
    }

    fn check_terminal(&self, attendance: Attendance) -> Result<()> {
        let terminal = self.process().is_some_and(|process| process.terminal);
        check_terminal(terminal, attendance, self.console_socket.is_some())
    }

    /// Makes the container and its record.
    fn make(&self, id: &str, begin: Begin<'_>, context: &Context) -> Result<Container> {
        let mut request = Create::new(id, &self.bundle, &self.spec);
        request.stdio = match self.process() {
            Some(process) if process.terminal => Stdio::Terminal(console_size(process)),
            _ => Stdio::Inherit,
        };
        request.begin = begin;
        request.root_entry = self.root_entry;
        request.keyring = self.keyring;
        request.preserved_fds = self.preserved;
        let container = create(request)?;
        let record = Record::new(id, &self.bundle, self.spec.clone(), container.pid, container.start_time);
        let kept = context.root.write(&record);
        kept.or_else(|error| undo(&container, error))?;
        Ok(container)
    }

    /// Tells where the process and its terminal are.
    fn hand_over(&self, container: &Container) -> Result<()> {
        let told = match (&self.console_socket, &container.console) {
            (Some(socket), Some(master)) => send(socket, master),
            _ => Ok(()),
        };
        let told = told.and_then(|()| write_pid(self.pid_file.as_deref(), container.pid));
        told.or_else(|error| undo(container, error))
    }
}

/// Undoes a container that was made for nothing.
fn undo(container: &Container, error: Error) -> Result<()> {
    // The error that led here is the one to tell.
    let _ = container.process.send_signal(9);
    let _ = container.process.wait();
    if let Some(cgroup) = &container.cgroup {
        let _ = cgroup.delete();
    }
    Err(error)
}

/// Does something with an id taken for it, which is given back when that fails.
fn claimed<T>(context: &Context, id: &str, make: impl FnOnce() -> Result<T>) -> Result<T> {
    context.root.claim(id)?;
    make().inspect_err(|_| {
        // The error that led here is the one to tell.
        let _ = context.root.release(id);
    })
}

pub(super) fn read_spec(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let text = fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => invalid(format!("JSON specification file {} not found", path.display())),
        _ => invalid("cannot read the configuration").with_source(error),
    })?;
    serde_json::from_slice(&text).map_err(|error| invalid(format!("cannot read {}", path.display())).with_source(error))
}

/// Leaves cgroups out where the user may not make any, as runc does.
fn spare_cgroups(spec: &mut Spec) {
    if let Some(linux) = &mut spec.linux {
        let path = linux.cgroups_path.as_deref().map(Path::new);
        let works = path.is_some_and(|path| Cgroup::create(path, &Default::default()).is_ok());
        if !works {
            linux.cgroups_path = None;
            linux.resources = None;
        }
    }
}

pub(super) fn preserved(args: &Parsed) -> Result<u32> {
    Ok(args.number("preserve-fds")?.unwrap_or(0))
}

pub(super) fn check_terminal(terminal: bool, attendance: Attendance, socket: bool) -> Result<()> {
    match (terminal, attendance, socket) {
        (true, Attendance::Leaves, false) => Err(invalid(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, _, true) | (_, Attendance::Stays, true) => Err(invalid(
            "cannot use console socket if runc will not detach or allocate tty",
        )),
        _ => Ok(()),
    }
}

pub(super) fn write_pid(file: Option<&Path>, pid: i32) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    fs::write_atomic(file, pid.to_string())
        .map_err(|error| Error::new(Kind::Internal, "cannot write the pid file").with_source(error))
}

fn run(context: &Context, args: Parsed) -> Result<i32> {
    sealed::ensure()?;
    let id = args.id("run")?;
    let made = Making::read(context, &args)?;
    let leaves = args.has("detach");
    made.check_terminal(if leaves { Attendance::Leaves } else { Attendance::Stays })?;
    let signals = if leaves { None } else { Some(Signals::take()?) };
    let mut container = claimed(context, id, || {
        let container = made.make(id, Begin::Now, context)?;
        made.hand_over(&container).map(|()| container)
    })?;
    let Some(signals) = signals else { return Ok(0) };
    let console = container.console.take();
    let code = attend(&container.process, &signals, console)?;
    if !args.has("keep") {
        remove(context, &context.root.read(id)?)?;
    }
    Ok(code)
}

fn start(context: &Context, args: Parsed) -> Result<i32> {
    let record = context.root.read(args.id("start")?)?;
    match context.root.status(&record)? {
        Status::Created => {}
        Status::Stopped => return Err(conflict("cannot start a container that has stopped")),
        Status::Creating | Status::Running | Status::Paused => {
            return Err(conflict("cannot start an already running container"));
        }
    }
    let process = record
        .process()
        .ok_or_else(|| conflict("container process is already dead"))?;
    open_fifo(&context.root, &record.id, &process)?;
    run_poststart_hooks(&record.id, &record.bundle, &record.config, record.pid)?;
    Ok(0)
}

/// Opens the fifo, which lets the process go on, and waits until it says so.
fn open_fifo(root: &Root, id: &str, process: &PidFd) -> Result<()> {
    let path = root.fifo(id);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = rustix::fs::open(&path, flags, Mode::empty()).context(|| "cannot open the exec fifo".into())?;
    loop {
        let mut fds = [PollFd::new(&fifo, PollFlags::IN), PollFd::new(process, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).context(|| "cannot wait for the container".into())?;
        let dead = !fds[1].revents().is_empty();
        let mut word = [0_u8; 1];
        match rustix::io::read(fifo.as_fd(), &mut word) {
            Ok(1..) => break,
            _ if dead => return Err(conflict("container process is already dead")),
            _ => {}
        }
    }
    fs::remove_file(&path).map_err(|error| Error::new(Kind::Internal, "cannot remove the exec fifo").with_source(error))
}

fn conflict(message: &str) -> Error {
    Error::new(Kind::Conflict, message)
}

fn kill(context: &Context, args: Parsed) -> Result<i32> {
    let record = context.root.read(args.id("kill")?)?;
    let word = args.rest.get(1).map_or("SIGTERM", String::as_str);
    let signal = signal(word).ok_or_else(|| invalid(format!("unknown signal {word:?}")))?;
    let shares_pids = !wants(&record.config, NamespaceKind::Pid);
    if args.has("all") || (signal == 9 && shares_pids) {
        return kill_all(&record, signal);
    }
    let process = record.process().ok_or_else(|| conflict("container not running"))?;
    process
        .send_signal(signal)
        .context(|| format!("cannot send signal {word}"))?;
    Ok(0)
}

fn kill_all(record: &Record, signal: i32) -> Result<i32> {
    let Some(cgroup) = record.cgroup()? else {
        return Err(Error::new(
            Kind::Unsupported,
            "the container has no cgroup that its processes could be found in",
        ));
    };
    if signal == 9 {
        cgroup.kill_all()?;
        return Ok(0);
    }
    for process in cgroup.pids()?.into_iter().filter_map(|pid| PidFd::open(pid).ok()) {
        // It may have ended meanwhile.
        let _ = process.send_signal(signal);
    }
    Ok(0)
}

/// Reads a signal: a number, or a name with or without `SIG`.
fn signal(word: &str) -> Option<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    if let Ok(number) = word.parse() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |rest: &str| {
        if rest.is_empty() {
            Some(0)
        } else {
            rest.get(1..)?.parse::<i32>().ok()
        }
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest)
            .filter(|more| (0..=30).contains(more))
            .map(|more| 34 + more);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest)
            .filter(|less| (0..=30).contains(less))
            .map(|less| 64 - less);
    }
    let name = match name {
        "POLL" => "IO",
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        name => name,
    };
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index + 1).ok()
}

/// How long a killed process may take to end.
const DYING: Duration = Duration::from_secs(10);

fn delete(context: &Context, args: Parsed) -> Result<i32> {
    let id = args.id("delete")?;
    let forced = args.has("force");
    let record = match context.root.read(id) {
        Err(error) if forced && error.kind() == Kind::NotFound => {
            // What a broken create has left, if anything.
            context.root.release(id)?;
            return Ok(0);
        }
        result => result?,
    };
    match context.root.status(&record)? {
        Status::Stopped => {}
        // Nothing of the user's runs yet.
        Status::Created => end(&record)?,
        Status::Creating | Status::Running | Status::Paused if forced => end(&record)?,
        status @ (Status::Creating | Status::Running | Status::Paused) => {
            let message = format!("cannot delete container {id} that is not stopped: {status}");
            return Err(Error::new(Kind::Conflict, message));
        }
    }
    remove(context, &record)?;
    Ok(0)
}

/// Kills the first process, and waits until it has ended.
fn end(record: &Record) -> Result<()> {
    let Some(process) = record.process() else { return Ok(()) };
    if let Some(cgroup) = record.cgroup()? {
        cgroup.kill_all()?;
    }
    // It may have ended by itself.
    let _ = process.send_signal(9);
    let deadline = Instant::now() + DYING;
    while record.is_alive() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(Kind::Internal, "the container's init doesn't die"));
        }
        let left = Timespec::try_from(left).unwrap_or_default();
        // An interruption is one more round.
        let _ = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left));
    }
    Ok(())
}

/// Removes all that a container that has ended has left.
fn remove(context: &Context, record: &Record) -> Result<()> {
    if let Some(cgroup) = record.cgroup()? {
        // Without a PID namespace of their own, children outlive the first process.
        if !wants(&record.config, NamespaceKind::Pid) {
            cgroup.kill_all()?;
        }
        cgroup.delete()?;
    }
    context.root.release(&record.id)?;
    run_poststop_hooks(&record.id, &record.bundle, &record.config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (word, number) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("sigterm", Some(15)),
            ("SIGSYS", Some(31)),
            ("RTMIN+1", Some(35)),
            ("SIGRTMAX-1", Some(63)),
            ("0", Some(0)),
            ("65", None),
            ("NOPE", None),
            ("RTMIN+99", None),
        ] {
            assert_eq!(signal(word), number, "{word}");
        }
    }

    #[test]
    fn a_terminal_needs_somebody() {
        assert!(check_terminal(true, Attendance::Leaves, false).is_err());
        assert!(check_terminal(true, Attendance::Leaves, true).is_ok());
        assert!(check_terminal(true, Attendance::Stays, false).is_ok());
        assert!(check_terminal(false, Attendance::Leaves, true).is_err());
    }
}
