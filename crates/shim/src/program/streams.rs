//! The streams of one process, init or an exec: its output goes to the log and to all clients, their
//! input to it.
//!
//! ```text
//!   stdout, stderr ──► read ──► log        (never waits)
//!                         └───► clients    (one that is behind pauses the stream it wants)
//!   stdin ◄── input ◄── clients            (a process that does not read pauses them)
//! ```

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::client::{Client, Received};
use crate::input::Input;
use crate::json_line::Stream;
use crate::log::JsonLog;
use crate::poll::{EventFlags, PAUSED, Poll, Source, Watch};
use crate::requests::failure;
use corten_shim::protocol::{Attach, Event, Failure, FailureKind, Stdin, WindowSize};

/// The most that is read from an output after its process has ended, when others hold it open: as
/// much as a pipe can hold by default (`pipe(7)`, `/proc/sys/fs/pipe-max-size`).
const LEFT_OVER: usize = 1 << 20;

/// A process's ends of its streams that are ours.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Whether the process has a terminal; its master is then both output and input.
    pub(crate) tty: bool,
    /// The writing end of standard input.
    pub(crate) stdin: Option<OwnedFd>,
    /// The reading ends of standard output and standard error.
    pub(crate) outputs: [Option<OwnedFd>; 2],
}

impl Ends {
    /// Adds the terminal's master, if the process has one.
    pub(crate) fn take_console(&mut self, master: Option<OwnedFd>) -> io::Result<()> {
        if let Some(master) = master {
            self.stdin = Some(rustix::io::fcntl_dupfd_cloexec(&master, 3)?);
            self.outputs[0] = Some(master);
        }
        Ok(())
    }
}

/// What the streams work with.
pub(crate) struct Context<'a> {
    pub(crate) poll: &'a Poll,
    /// Where bytes are on their way; its content means nothing.
    pub(crate) scratch: &'a mut [u8],
    /// Where events are left.
    pub(crate) events: &'a mut Vec<Event>,
}

/// The streams.
#[derive(Debug)]
pub(crate) struct Streams {
    /// The process's number in the loop.
    number: u32,
    exec: Option<String>,
    tty: bool,
    outputs: [Option<Output>; 2],
    input: Input,
    stdin: Stdin,
    clients: BTreeMap<u32, Client>,
    next_client: u32,
    log: Option<JsonLog>,
}

#[derive(Debug)]
struct Output {
    pipe: OwnedFd,
    watch: Watch,
    /// Whether a terminal has no process on its other side at the moment.
    hung_up: bool,
}

/// What one read gave.
enum Chunk {
    Bytes(usize),
    Nothing,
    End,
}

impl Streams {
    /// Takes over the ends of the process `number`, which is the exec of that id or the container's init.
    pub(crate) fn new(
        poll: &Poll,
        number: u32,
        exec: Option<String>,
        stdin: Stdin,
        ends: Ends,
        log: Option<JsonLog>,
    ) -> io::Result<Self> {
        let mut outputs = [None, None];
        for (index, pipe) in ends.outputs.into_iter().enumerate() {
            if let Some(pipe) = pipe {
                set_nonblocking(&pipe)?;
                let watch = poll.add(&pipe, Source::Output(number, index != 0), EventFlags::IN)?;
                outputs[index] = Some(Output {
                    pipe,
                    watch,
                    hung_up: false,
                });
            }
        }
        if let Some(pipe) = &ends.stdin {
            set_nonblocking(pipe)?;
        }
        Ok(Self {
            number,
            exec,
            tty: ends.tty,
            outputs,
            input: Input::new(poll, Source::Input(number), ends.stdin)?,
            stdin,
            clients: BTreeMap::new(),
            next_client: 0,
            log,
        })
    }

    /// Attaches a client.
    pub(crate) fn attach(&mut self, context: &mut Context<'_>, socket: OwnedFd, attach: &Attach) -> io::Result<()> {
        let number = self.next_client;
        self.next_client += 1;
        let source = Source::Client(self.number, number);
        let client = Client::new(context.poll, source, socket, self.tty, attach)?;
        self.clients.insert(number, client);
        if attach.stdin && !attach.preface.is_empty() {
            self.typed(context, number, Typed::Before(&attach.preface));
        }
        self.settle(context.poll);
        Ok(())
    }

    /// Goes on after something happened to an output.
    pub(crate) fn output_ready(&mut self, context: &mut Context<'_>, second: bool) {
        let stream = if second { Stream::Stderr } else { Stream::Stdout };
        if self.is_held_up(stream) {
            return;
        }
        match self.read(stream, context.scratch) {
            Chunk::Bytes(length) => self.deliver(context, stream, length),
            Chunk::Nothing => {}
            Chunk::End if self.tty => self.hang_up(),
            Chunk::End => self.end_output(context, stream),
        }
        self.settle(context.poll);
    }

    /// Goes on after something happened to the input.
    pub(crate) fn input_ready(&mut self, context: &mut Context<'_>, flags: EventFlags) {
        match flags.contains(EventFlags::ERR) {
            true => self.input.close(context.poll),
            false => self.input.flush(context.poll),
        }
        self.settle(context.poll);
    }

    /// Goes on after something happened to a client.
    pub(crate) fn client_ready(&mut self, context: &mut Context<'_>, number: u32, flags: EventFlags) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let ended = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if ended {
            client.end_output();
        }
        client.flush();
        if client.input && self.input.is_ready() && (ended || flags.contains(EventFlags::IN)) {
            self.typed(context, number, Typed::Now);
        }
        self.settle(context.poll);
    }

    /// Takes what is left of the output of a process that has ended.
    pub(crate) fn process_ended(&mut self, context: &mut Context<'_>) {
        self.input.close(context.poll);
        for stream in Stream::ALL {
            let mut left = LEFT_OVER;
            while left > 0 {
                match self.read(stream, context.scratch) {
                    Chunk::Bytes(length) => {
                        self.deliver(context, stream, length);
                        left = left.saturating_sub(length);
                    }
                    Chunk::Nothing | Chunk::End => break,
                }
            }
            self.end_output(context, stream);
        }
        self.settle(context.poll);
    }

    /// Whether each client has all output.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.clients.values().any(Client::is_behind)
    }

    /// Ends the connections of all clients.
    pub(crate) fn close_clients(&mut self, poll: &Poll) {
        for (_, client) in std::mem::take(&mut self.clients) {
            client.close(poll);
        }
    }

    /// The log, if there is one.
    pub(crate) fn log(&mut self) -> Option<&mut JsonLog> {
        self.log.as_mut()
    }

    /// Changes the terminal's size.
    pub(crate) fn resize(&self, size: WindowSize) -> Result<(), Failure> {
        let Some(master) = self.outputs[0].as_ref().filter(|_| self.tty) else {
            return Err(failure(FailureKind::Invalid, "the process has no terminal"));
        };
        let size = rustix::termios::Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&master.pipe, size)
            .map_err(|error| failure(FailureKind::Internal, format!("cannot resize the terminal: {error}")))
    }

    fn read(&self, stream: Stream, scratch: &mut [u8]) -> Chunk {
        let Some(output) = &self.outputs[stream.index()] else {
            return Chunk::End;
        };
        match rustix::io::read(&output.pipe, scratch) {
            Ok(0) => Chunk::End,
            Ok(length) => Chunk::Bytes(length),
            Err(Errno::AGAIN | Errno::INTR) => Chunk::Nothing,
            // A terminal without a process on its other side says EIO.
            Err(_) => Chunk::End,
        }
    }

    /// Gives the first `length` bytes of the scratch space to the log and the clients.
    fn deliver(&mut self, context: &mut Context<'_>, stream: Stream, length: usize) {
        let bytes = &context.scratch[..length];
        if let Some(message) = self.log.as_mut().and_then(|log| log.append(stream, bytes)) {
            context.events.push(Event::LogFailed { message });
        }
        for client in self.clients.values_mut() {
            client.write(stream, bytes);
        }
        if let Some(output) = &mut self.outputs[stream.index()] {
            output.hung_up = false;
        }
    }

    fn hang_up(&mut self) {
        if let Some(output) = &mut self.outputs[0] {
            output.hung_up = true;
        }
    }

    fn end_output(&mut self, context: &mut Context<'_>, stream: Stream) {
        let Some(output) = self.outputs[stream.index()].take() else {
            return;
        };
        context.poll.remove(&output.pipe);
        if let Some(message) = self.log.as_mut().and_then(|log| log.end(stream)) {
            context.events.push(Event::LogFailed { message });
        }
    }

    /// Passes a client's input on.
    fn typed(&mut self, context: &mut Context<'_>, number: u32, typed: Typed<'_>) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let mut bytes = Vec::new();
        let received = match typed {
            Typed::Before(preface) => client.typed(preface, &mut bytes),
            Typed::Now => client.receive(context.scratch, &mut bytes),
        };
        self.input.write(context.poll, &bytes);
        match received {
            Received::Input => {}
            Received::End => {
                client.input = false;
                if self.stdin == Stdin::Once && !self.tty {
                    self.input.end(context.poll);
                }
            }
            Received::Detached => {
                client.input = false;
                client.end_output();
                let exec = self.exec.clone();
                context.events.push(Event::Detached { exec });
            }
        }
    }

    fn is_held_up(&self, stream: Stream) -> bool {
        self.clients.values().any(|client| client.holds_up(stream))
    }

    /// Lets go of clients that are gone and waits for what can go on now.
    fn settle(&mut self, poll: &Poll) {
        let ready = self.input.is_ready();
        for client in self.clients.values_mut() {
            client.input &= self.input.is_open();
            client.watch(poll, ready);
        }
        for (_, client) in self.clients.extract_if(.., |_, client| client.is_gone()) {
            client.close(poll);
        }
        for stream in Stream::ALL {
            let held_up = self.is_held_up(stream);
            if let Some(output) = &mut self.outputs[stream.index()] {
                let interest = match (held_up, output.hung_up) {
                    (true, _) => PAUSED,
                    (false, false) => EventFlags::IN,
                    // Tells of new bytes only: the missing other side would be told for ever.
                    (false, true) => EventFlags::IN | EventFlags::ET,
                };
                poll.set(&output.pipe, &mut output.watch, interest);
            }
        }
    }
}

/// Where a client's input is.
enum Typed<'a> {
    /// It was read before the client came here.
    Before(&'a [u8]),
    /// It waits in the socket.
    Now,
}

fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}
