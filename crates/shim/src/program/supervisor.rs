//! The loop: everything that happens to the container passes here, one thing at a time.
//!
//! Nothing in it waits but [`Poll::wait`].

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use corten_shim::connection::Incoming;
use corten_shim::protocol::{Event, Exit, Message, SOCKETS_FOR_NAMES, State, VERSION};
use corten_sys::signal::SignalFd;
use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};

use crate::bundle::Bundle;
use crate::clock;
use crate::container::{Container, Started};
use crate::control::Control;
use crate::names::Names;
use crate::poll::{EventFlags, Poll, Source};
use crate::relay::Relays;
use crate::streams::{Context, Streams};

/// The number of init's streams in the loop; execs count on from it.
pub(crate) const INIT: u32 = 0;
/// How much is read from an output at once.
const SCRATCH: usize = 64 << 10;
/// How long nothing happens before memory is given back.
const IDLE: Duration = Duration::from_millis(500);
/// How long output goes before the compression of rotated logs; a slice takes about a millisecond.
const SLICES: Duration = Duration::from_millis(20);
/// How soon the kills for lack of memory are counted again, and the longest pause between counts.
const FIRST_CHECK: Duration = Duration::from_millis(1);
const LAST_CHECK: Duration = Duration::from_secs(2);
/// The exit code of a process that the kernel may have killed for lack of memory.
const KILLED: i32 = 137;
/// How long an end is kept from the engine for clients that read slowly (Docker waits as long).
const SLOW: Duration = Duration::from_secs(2);
/// How long clients may take to read what is left once the container is gone.
const LINGER: Duration = Duration::from_secs(30);

/// What a container's parent knows.
pub(crate) struct Supervisor {
    pub(crate) poll: Poll,
    pub(crate) bundle: Bundle,
    pub(crate) container: Container,
    pub(crate) state: State,
    pub(crate) streams: Streams,
    pub(crate) execs: BTreeMap<u32, Exec>,
    pub(crate) next_exec: u32,
    children: SignalFd,
    listener: UnixListener,
    controls: BTreeMap<u32, Control>,
    next_control: u32,
    scratch: Vec<u8>,
    /// Events that are not yet sent.
    pub(crate) events: Vec<Event>,
    phase: Phase,
    /// When a slice of a rotated log was last compressed.
    compressed: Instant,
    /// How long until the count of kills for lack of memory is read again.
    oom_check: Option<Duration>,
    oom_kills: u64,
    /// Descriptors that are kept open while the container runs.
    pub(crate) held: Vec<OwnedFd>,
    /// Answers the container's questions for names.
    pub(crate) names: Option<Names>,
    /// What passes on connections that the kernel cannot translate.
    pub(crate) relays: Option<Relays>,
}

/// An exec, from its start until its clients have its output.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: String,
    pub(crate) pid: i32,
    pub(crate) streams: Streams,
    end: Option<End>,
}

/// The end of a process whose clients may still lack output.
#[derive(Debug)]
struct End {
    exit: Exit,
    deadline: Instant,
    told: bool,
}

/// How far the container has come.
#[derive(Debug)]
enum Phase {
    /// Init runs.
    Running,
    /// Init has ended; execs end and slow clients read.
    Ending { exit: Exit, deadline: Instant },
    /// The end is known to all; the last bytes go out.
    Leaving { deadline: Instant },
}

/// What a supervisor begins with.
pub(crate) struct Beginning {
    pub(crate) poll: Poll,
    pub(crate) bundle: Bundle,
    pub(crate) container: Container,
    pub(crate) id: String,
    pub(crate) started: Started,
    pub(crate) streams: Streams,
    pub(crate) children: SignalFd,
    pub(crate) listener: UnixListener,
}

impl Supervisor {
    /// Looks after a container that has been started.
    pub(crate) fn new(beginning: Beginning) -> io::Result<Self> {
        let Beginning {
            poll,
            bundle,
            container,
            id,
            started,
            streams,
            children,
            listener,
        } = beginning;
        poll.add(&children, Source::Children, EventFlags::IN)?;
        poll.add(&listener, Source::Listener, EventFlags::IN)?;
        Ok(Self {
            poll,
            bundle,
            container,
            state: State {
                version: VERSION,
                id,
                pid: started.pid,
                start_time: started.start_time,
                started_at: started.at,
                paused: false,
                oom_killed: false,
                execs: Vec::new(),
            },
            streams,
            execs: BTreeMap::new(),
            next_exec: INIT + 1,
            children,
            listener,
            controls: BTreeMap::new(),
            next_control: 0,
            scratch: Vec::new(),
            events: Vec::new(),
            phase: Phase::Running,
            compressed: Instant::now(),
            oom_check: None,
            oom_kills: 0,
            held: Vec::new(),
            names: None,
            relays: None,
        })
    }

    /// Answers the container's questions for names at two sockets from now on: UDP, then TCP.
    pub(crate) fn serve_names(&mut self, sockets: [OwnedFd; SOCKETS_FOR_NAMES]) -> io::Result<()> {
        let [udp, tcp] = sockets;
        if let Some(names) = self.names.take() {
            names.close(&self.poll);
        }
        let names = Names::new(&self.poll, udp, tcp, self.bundle.path().to_owned(), self.state.pid)?;
        self.names = Some(names);
        Ok(())
    }

    /// Adds a connection of which `incoming` has been received; it gets events if `subscribed`.
    pub(crate) fn add_control(
        &mut self,
        socket: std::os::unix::net::UnixStream,
        incoming: Incoming,
    ) -> io::Result<u32> {
        let number = self.next_control;
        self.next_control += 1;
        let control = Control::new(&self.poll, number, socket, incoming)?;
        self.controls.insert(number, control);
        Ok(number)
    }

    /// Makes events go to a connection.
    pub(crate) fn subscribe(&mut self, number: u32) {
        if let Some(control) = self.controls.get_mut(&number) {
            control.subscribed = true;
        }
    }

    /// Runs until the container has ended and all who listen know.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        if let Some(notice) = self.container.listen_for_oom() {
            self.poll.add(notice, Source::OutOfMemory, EventFlags::IN)?;
            self.find_oom_kill();
        }
        // What ended before signals were blocked is told by nobody.
        self.reap();
        self.advance();
        self.tell();
        while !self.is_over() {
            let patience = self.patience();
            let events = self.poll.wait(patience)?;
            if events.is_empty() && patience != Some(0) {
                self.rest();
            }
            self.check_memory_again();
            let idle = events.is_empty();
            if let Some(names) = &mut self.names {
                names.give_up(&self.poll);
            }
            for (source, flags) in events {
                self.dispatch(source, flags);
            }
            self.compress(idle);
            self.advance();
            self.tell();
        }
        Ok(())
    }

    /// Does a slice of the work on rotated logs when nothing else is to be done, and now and then otherwise.
    fn compress(&mut self, idle: bool) {
        let Some(log) = self.streams.log().filter(|log| log.has_work()) else {
            return;
        };
        if idle || self.compressed.elapsed() >= SLICES {
            log.work();
            self.compressed = Instant::now();
        }
    }

    fn dispatch(&mut self, source: Source, flags: EventFlags) {
        match source {
            Source::Children => {
                // Signals of one kind melt into one; the children say who it was.
                let _ = self.children.read();
                self.reap();
            }
            Source::Listener => self.accept(),
            Source::OutOfMemory => self.memory_ran_out(),
            Source::Control(number) => self.control_ready(number, flags),
            Source::Output(number, second) => {
                self.with_streams(number, |streams, context| streams.output_ready(context, second));
            }
            Source::Input(number) => {
                self.with_streams(number, |streams, context| streams.input_ready(context, flags));
            }
            Source::Client(number, client) => {
                self.with_streams(number, |streams, context| streams.client_ready(context, client, flags));
            }
            Source::Names(what) => {
                if let Some(names) = &mut self.names {
                    names.ready(&self.poll, what, flags);
                }
            }
            Source::Relays => {
                if let Some(relays) = &mut self.relays {
                    relays.turn();
                }
            }
        }
    }

    /// Does something with the streams of a process, if it is still known.
    pub(crate) fn with_streams<T>(
        &mut self,
        number: u32,
        act: impl FnOnce(&mut Streams, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let streams = match number {
            INIT => &mut self.streams,
            _ => &mut self.execs.get_mut(&number)?.streams,
        };
        if self.scratch.is_empty() {
            self.scratch = vec![0; SCRATCH];
        }
        let mut context = Context {
            poll: &self.poll,
            scratch: &mut self.scratch,
            events: &mut self.events,
        };
        Some(act(streams, &mut context))
    }

    /// How many milliseconds the loop may wait.
    fn patience(&mut self) -> Option<u32> {
        if self.streams.log().is_some_and(|log| log.has_work()) {
            return Some(0);
        }
        let of_phase = match &self.phase {
            Phase::Running => None,
            Phase::Ending { deadline, .. } | Phase::Leaving { deadline } => Some(*deadline),
        };
        let of_execs = self.execs.values().filter_map(|exec| exec.end.as_ref());
        let of_execs = of_execs.filter(|end| !end.told).map(|end| end.deadline).min();
        let of_memory = self.oom_check.map(|pause| Instant::now() + pause);
        let of_names = self.names.as_ref().and_then(Names::deadline);
        let of_phase = of_phase.into_iter().chain(of_memory).chain(of_names).min();
        let wait = match of_phase.into_iter().chain(of_execs).min() {
            // One more, so that it has passed then.
            Some(deadline) => deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1),
            None if self.scratch.is_empty() => return None,
            None => IDLE,
        };
        Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX))
    }

    /// Gives memory back: nothing happens at the moment.
    fn rest(&mut self) {
        if let Some(log) = self.streams.log() {
            log.rest();
        }
        self.scratch = Vec::new();
        corten_sys::heap::trim();
    }

    /// Reaps all children that have ended: ours, and those whose parents have left them to us.
    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.child_ended(pid.as_raw_nonzero().get(), status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn child_ended(&mut self, pid: i32, status: WaitStatus) {
        let killed = || status.terminating_signal().map(|signal| 128 + signal);
        let Some(code) = status.exit_status().or_else(killed) else {
            return;
        };
        if code == KILLED {
            self.find_oom_kill();
        }
        let exit = Exit {
            code,
            at: clock::now(),
            oom_killed: self.state.oom_killed,
        };
        if pid == self.state.pid {
            return self.init_ended(exit);
        }
        let number = self
            .execs
            .iter()
            .find(|(_, exec)| exec.pid == pid && exec.end.is_none());
        if let Some(number) = number.map(|(number, _)| *number) {
            self.with_streams(number, Streams::process_ended);
            if let Some(exec) = self.execs.get_mut(&number) {
                let deadline = Instant::now() + SLOW;
                exec.end = Some(End {
                    exit,
                    deadline,
                    told: false,
                });
            }
        }
    }

    fn init_ended(&mut self, exit: Exit) {
        self.container.kill_rest();
        self.with_streams(INIT, Streams::process_ended);
        let deadline = Instant::now() + SLOW;
        self.phase = Phase::Ending { exit, deadline };
    }

    /// Goes on after the kernel has said that memory ran out. It says so (cgroup v1) before it kills,
    /// and does not say when it has: so the count is read again for a while.
    fn memory_ran_out(&mut self) {
        self.container.take_oom_notice();
        if !self.find_oom_kill() {
            self.oom_check = Some(FIRST_CHECK);
        }
    }

    fn check_memory_again(&mut self) {
        if let Some(pause) = self.oom_check.take()
            && !self.find_oom_kill()
            && pause < LAST_CHECK
        {
            self.oom_check = Some(pause * 2);
        }
    }

    /// Finds out whether the kernel has killed a process since the last time.
    fn find_oom_kill(&mut self) -> bool {
        let kills = self.container.oom_kills();
        let killed = kills > self.oom_kills;
        if killed {
            self.oom_kills = kills;
            self.oom_check = None;
            self.state.oom_killed = true;
            self.events.push(Event::OutOfMemory);
        }
        killed
    }

    /// Moves on what has ended.
    fn advance(&mut self) {
        let now = Instant::now();
        for exec in self.execs.values_mut() {
            if exec.streams.is_flushed() && exec.end.is_some() {
                exec.streams.close_clients(&self.poll);
            }
            if let Some(end) = &mut exec.end
                && !end.told
                && (exec.streams.is_flushed() || end.deadline <= now)
            {
                end.told = true;
                self.events.push(Event::ExecExited {
                    id: exec.id.clone(),
                    exit: end.exit.clone(),
                });
            }
        }
        self.execs
            .retain(|_, exec| !exec.end.as_ref().is_some_and(|end| end.told) || !exec.streams.is_flushed());
        if let Phase::Ending { exit, deadline } = &self.phase {
            let flushed = self.streams.is_flushed();
            if *deadline <= now || (flushed && self.execs.is_empty()) {
                let exit = exit.clone();
                self.finish(exit);
            }
        }
        if !matches!(self.phase, Phase::Running) && self.streams.is_flushed() {
            self.streams.close_clients(&self.poll);
        }
    }

    /// Leaves nothing of the container but its end.
    fn finish(&mut self, mut exit: Exit) {
        self.find_oom_kill();
        exit.oom_killed = self.state.oom_killed;
        self.container.remove(&self.bundle);
        if let Some(relays) = self.relays.take() {
            self.poll.remove(&relays);
        }
        self.held.clear();
        if let Some(names) = self.names.take() {
            names.close(&self.poll);
        }
        if let Err(message) = self.bundle.write_exit(&exit) {
            self.events.push(Event::LogFailed { message });
        }
        self.poll.remove(&self.listener);
        self.bundle.remove_socket();
        self.events.push(Event::Exited(exit));
        self.phase = Phase::Leaving {
            deadline: Instant::now() + LINGER,
        };
    }

    /// Whether nothing is left to do.
    fn is_over(&self) -> bool {
        let Phase::Leaving { deadline } = &self.phase else {
            return false;
        };
        let flushed = self.streams.is_flushed()
            && self.execs.values().all(|exec| exec.streams.is_flushed())
            && self.controls.values().all(Control::is_flushed);
        flushed || *deadline <= Instant::now()
    }

    /// Whether requests about the container still make sense.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    fn accept(&mut self) {
        // A connection that went away meanwhile is none.
        if let Ok((socket, _)) = self.listener.accept() {
            let _ = self.add_control(socket, Incoming::default());
        }
    }

    fn control_ready(&mut self, number: u32, flags: EventFlags) {
        if self.serve(number, flags).is_err() {
            self.drop_control(number);
        }
    }

    /// Takes and answers what a connection asks.
    fn serve(&mut self, number: u32, flags: EventFlags) -> io::Result<()> {
        let Some(control) = self.controls.get_mut(&number) else {
            return Ok(());
        };
        if flags.contains(EventFlags::OUT) {
            control.flush(&self.poll)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            control.receive()?;
        }
        self.answer_calls(number)
    }

    /// Answers what a connection asked before it was watched.
    pub(crate) fn serve_early(&mut self, number: u32) {
        self.control_ready(number, EventFlags::empty());
    }

    /// Answers the calls that have been received.
    fn answer_calls(&mut self, number: u32) -> io::Result<()> {
        loop {
            let Some(control) = self.controls.get_mut(&number) else {
                return Ok(());
            };
            let Some((call, descriptors)) = control.next_call()? else {
                return Ok(());
            };
            let (response, sockets) = self.answer(number, call, descriptors);
            // What happened before the answer is told before it.
            self.tell();
            self.send_with(number, &Message::Response(response), sockets);
        }
    }

    /// Sends a message; a connection that cannot take it is closed.
    pub(crate) fn send(&mut self, number: u32, message: &Message) {
        self.send_with(number, message, Vec::new());
    }

    fn send_with(&mut self, number: u32, message: &Message, descriptors: Vec<OwnedFd>) {
        if let Some(control) = self.controls.get_mut(&number)
            && control.send(&self.poll, message, descriptors).is_err()
        {
            self.drop_control(number);
        }
    }

    fn drop_control(&mut self, number: u32) {
        if let Some(control) = self.controls.remove(&number) {
            control.close(&self.poll);
        }
    }

    /// Sends the events that have come up.
    fn tell(&mut self) {
        for event in std::mem::take(&mut self.events) {
            let message = Message::Event(event);
            let listeners = self.controls.iter().filter(|(_, control)| control.subscribed);
            let listeners: Vec<u32> = listeners.map(|(number, _)| *number).collect();
            for number in listeners {
                self.send(number, &message);
            }
        }
    }
}

impl Exec {
    /// An exec that runs.
    pub(crate) fn new(id: String, pid: i32, streams: Streams) -> Self {
        Self {
            id,
            pid,
            streams,
            end: None,
        }
    }

    /// Whether its process has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.end.is_none()
    }
}
