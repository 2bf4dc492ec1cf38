//! What the engine asks, and the answers.

use std::os::fd::OwnedFd;

use corten_oci::runtime::Process;
use corten_shim::protocol::{
    Attach, Call, Failure, FailureKind, Reply, Request, Response, SOCKETS_FOR_NAMES, State, Stdin, WindowSize,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::container::Wanted;
use crate::streams::Streams;
use crate::supervisor::{Exec, INIT, Supervisor};

type Answer = Result<Reply, Failure>;

impl Supervisor {
    /// Answers a call of the connection `number`, with the descriptors that the answer names.
    pub(crate) fn answer(&mut self, number: u32, call: Call, descriptors: Vec<OwnedFd>) -> (Response, Vec<OwnedFd>) {
        let (result, sockets) = match (self.is_running(), call.request) {
            (true, Request::Ports) => {
                let (ports, sockets) = self.copies_of_ports().into_iter().unzip();
                (Ok(Reply::Ports(ports)), sockets)
            }
            (true, request) => (self.act(number, request, descriptors), Vec::new()),
            (false, _) => (Err(not_found("the container has ended")), Vec::new()),
        };
        let number = call.number;
        (Response { number, result }, sockets)
    }

    fn act(&mut self, number: u32, request: Request, mut descriptors: Vec<OwnedFd>) -> Answer {
        match request {
            Request::State => Ok(Reply::State(self.current_state())),
            Request::Subscribe => {
                self.subscribe(number);
                Ok(Reply::Done)
            }
            Request::Signal { signal } => done(self.container.signal(signal)),
            Request::KillExec { id } => self.kill_exec(&id),
            Request::KillAll => {
                self.container.kill_all()?;
                // The frozen are thawed to die.
                self.state.paused = false;
                Ok(Reply::Done)
            }
            Request::Pause => self.set_paused(true),
            Request::Resume => self.set_paused(false),
            Request::Update { resources } => done(self.container.update(&resources)),
            Request::Stats => Ok(Reply::Stats(Box::new(self.container.stats()?))),
            Request::Pids => Ok(Reply::Pids(self.container.pids()?)),
            Request::Resize { exec, size } => self.resize(exec.as_deref(), size),
            Request::Attach { exec, attach } => self.attach(exec.as_deref(), &attach, descriptors.pop()),
            Request::Network { names, relays, .. } => {
                if names {
                    let sockets = descriptors.split_off(descriptors.len().saturating_sub(SOCKETS_FOR_NAMES));
                    self.take_names(sockets)?;
                }
                let failed = |error| failure(FailureKind::Internal, format!("cannot serve ports: {error}"));
                self.hold(descriptors, &relays).map_err(failed)?;
                self.watch_ports();
                Ok(Reply::Done)
            }
            // Answered before, with descriptors.
            Request::Ports => Ok(Reply::Done),
            Request::Release { ports } => {
                self.release_ports(&ports);
                Ok(Reply::Done)
            }
            Request::Relays { targets } => {
                let failed = |error| failure(FailureKind::Internal, format!("cannot serve ports: {error}"));
                done(self.move_relays(&targets).map_err(failed))
            }
            Request::Exec {
                id,
                process,
                attach,
                size,
                stdin,
            } => {
                let client = attach.zip(descriptors.pop());
                self.exec(NewExec {
                    id,
                    process,
                    client,
                    size,
                    stdin,
                })
            }
        }
    }

    /// Answers names at sockets that were passed.
    pub(crate) fn take_names(&mut self, sockets: Vec<OwnedFd>) -> Result<(), Failure> {
        let sockets = <[OwnedFd; SOCKETS_FOR_NAMES]>::try_from(sockets)
            .map_err(|_| failure(FailureKind::Invalid, "the sockets for names are missing"))?;
        self.serve_names(sockets)
            .map_err(|error| failure(FailureKind::Internal, format!("cannot serve names: {error}")))
    }

    fn current_state(&self) -> State {
        let running = self.execs.values().filter(|exec| exec.is_running());
        State {
            execs: running.map(|exec| (exec.id.clone(), exec.pid)).collect(),
            ..self.state.clone()
        }
    }

    fn kill_exec(&self, id: &str) -> Answer {
        let exec = self.execs.values().find(|exec| exec.id == id && exec.is_running());
        let exec = exec.ok_or_else(|| not_found(format!("no running exec {id}")))?;
        // It is not reaped yet, so the number is still its own, and it leads its group since its birth.
        let killed = Pid::from_raw(exec.pid).map(|pid| kill_process_group(pid, Signal::KILL));
        match killed {
            Some(Ok(())) => Ok(Reply::Done),
            Some(Err(error)) => Err(failure(
                FailureKind::Internal,
                format!("cannot kill exec {id}: {error}"),
            )),
            None => Err(not_found(format!("no running exec {id}"))),
        }
    }

    fn set_paused(&mut self, paused: bool) -> Answer {
        match paused {
            true => self.container.pause()?,
            false => self.container.resume()?,
        }
        self.state.paused = paused;
        Ok(Reply::Done)
    }

    fn resize(&mut self, exec: Option<&str>, size: WindowSize) -> Answer {
        let number = self.number_of(exec)?;
        let resized = self.with_streams(number, |streams, _| streams.resize(size));
        match resized {
            Some(Ok(())) => Ok(Reply::Done),
            Some(Err(failure)) => Err(failure),
            None => Err(not_found("no such exec")),
        }
    }

    fn attach(&mut self, exec: Option<&str>, attach: &Attach, client: Option<OwnedFd>) -> Answer {
        let number = self.number_of(exec)?;
        let Some(client) = client else {
            return Err(failure(FailureKind::Invalid, "the client's socket is missing"));
        };
        match self.with_streams(number, |streams, context| streams.attach(context, client, attach)) {
            Some(Ok(())) => Ok(Reply::Done),
            Some(Err(error)) => Err(failure(
                FailureKind::Internal,
                format!("cannot attach a client: {error}"),
            )),
            None => Err(not_found("no such exec")),
        }
    }

    /// The number of an exec that runs, or of init.
    fn number_of(&self, exec: Option<&str>) -> Result<u32, Failure> {
        let Some(id) = exec else {
            return Ok(INIT);
        };
        let found = self.execs.iter().find(|(_, exec)| exec.id == id && exec.is_running());
        found
            .map(|(number, _)| *number)
            .ok_or_else(|| not_found(format!("no running exec {id}")))
    }

    fn exec(&mut self, mut new: NewExec) -> Answer {
        if self.state.paused {
            return Err(failure(FailureKind::Invalid, "the container is paused"));
        }
        if self.execs.values().any(|exec| exec.id == new.id) {
            return Err(failure(
                FailureKind::Invalid,
                format!("exec {} is there already", new.id),
            ));
        }
        let wanted = Wanted {
            terminal: new.process.terminal,
            stdin: new.stdin && new.client.is_some(),
            outputs: new.client.is_some(),
            size: new.size,
            console: corten_runtime::console_size(&new.process),
        };
        let (started, ends) = self.container.exec(&self.bundle, &mut new.process, &wanted)?;
        let number = self.next_exec;
        self.next_exec += 1;
        let stdin = if new.stdin { Stdin::Once } else { Stdin::Null };
        let internal = |error| failure(FailureKind::Internal, format!("cannot watch exec {}: {error}", new.id));
        let streams = Streams::new(&self.poll, number, Some(new.id.clone()), stdin, ends, None).map_err(internal)?;
        self.execs
            .insert(number, Exec::new(new.id.clone(), started.pid, streams));
        if let Some((attach, client)) = new.client {
            self.with_streams(number, |streams, context| streams.attach(context, client, &attach))
                .transpose()
                .map_err(internal)?;
        }
        Ok(Reply::Started {
            pid: started.pid,
            start_time: started.start_time,
        })
    }
}

/// An exec that is to be.
struct NewExec {
    id: String,
    process: Box<Process>,
    client: Option<(Attach, OwnedFd)>,
    size: Option<WindowSize>,
    stdin: bool,
}

fn done(result: Result<(), Failure>) -> Answer {
    result.map(|()| Reply::Done)
}

fn not_found(message: impl Into<String>) -> Failure {
    failure(FailureKind::NotFound, message)
}

/// Makes a failure.
pub(crate) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure {
        kind,
        message: message.into(),
    }
}
