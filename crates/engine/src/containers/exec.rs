//! Further processes in running containers (Docker API, `/containers/{id}/exec`, `/exec/{id}`).

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use corten_api::exec::{ExecConfig, ExecInspect, ExecStart, ProcessConfig};
use corten_oci::runtime::Process;
use corten_shim::protocol::{Attach, Exit, FailureKind, Reply, Request, WindowSize};
use tokio::sync::Notify;

use super::{
    AttachRequest, Container, Containers, Inner, State, Target, files, link::LinkError, record::Record, security, spec,
    start, users,
};
use crate::error::{Error, Kind, Result, blocking};

/// How many ended execs are remembered.
const REMEMBERED: usize = 1024;
/// How long word of an exec's end may take from its shim.
const SETTLING: Duration = Duration::from_secs(1);

/// All execs, by id.
#[derive(Debug, Default)]
pub(super) struct Execs {
    table: Mutex<Table>,
    /// Told when one has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<String, Exec>,
    /// Ids of ended ones, the oldest first.
    ended: std::collections::VecDeque<String>,
}

#[derive(Debug, Clone)]
struct Exec {
    container: String,
    config: ExecConfig,
    state: ExecState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExecState {
    Created,
    Running(i32),
    Ended(i32),
}

/// An exec that is about to run.
#[derive(Debug)]
pub(super) struct Waiting {
    id: String,
    size: Option<WindowSize>,
}

/// What came of starting an exec.
#[derive(Debug)]
pub enum ExecSession {
    /// It runs in the background.
    Detached,
    /// It runs as soon as its client is connected.
    Attached(Box<Target>),
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Result<(String, Exec)> {
        let table = self.lock();
        let found = table.by_id.get_key_value(id).or_else(|| {
            let mut matching = table
                .by_id
                .iter()
                .filter(|(known, _)| known.starts_with(id) && id.len() >= 4);
            matching.next().filter(|_| matching.next().is_none())
        });
        found
            .map(|(id, exec)| (id.clone(), exec.clone()))
            .ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    fn set(&self, id: &str, state: ExecState) {
        let mut table = self.lock();
        let Some(exec) = table.by_id.get_mut(id) else { return };
        exec.state = state;
        if matches!(state, ExecState::Ended(_)) {
            table.ended.push_back(id.to_owned());
            if table.ended.len() > REMEMBERED
                && let Some(oldest) = table.ended.pop_front()
            {
                table.by_id.remove(&oldest);
            }
            drop(table);
            self.ended.notify_waiters();
        }
    }

    /// The container has ended: so has all that ran in it.
    pub(super) fn forget_running(&self, container: &str) {
        let mut table = self.lock();
        let gone: Vec<String> = table
            .by_id
            .iter_mut()
            .filter(|(_, exec)| exec.container == container && !matches!(exec.state, ExecState::Ended(_)))
            .map(|(id, exec)| {
                exec.state = ExecState::Ended(137);
                id.clone()
            })
            .collect();
        table.ended.extend(gone);
        drop(table);
        self.ended.notify_waiters();
    }

    /// Ids of a container's execs that have not ended.
    pub(super) fn of(&self, container: &str) -> Option<Vec<String>> {
        let table = self.lock();
        let ids: Vec<_> = table
            .by_id
            .iter()
            .filter(|(_, exec)| exec.container == container && !matches!(exec.state, ExecState::Ended(_)))
            .map(|(id, _)| id.clone())
            .collect();
        (!ids.is_empty()).then_some(ids)
    }
}

impl Containers {
    /// Prepares a process; [`exec_start`](Self::exec_start) then runs it. Returns its id.
    ///
    /// # Errors
    /// `Conflict` when the container does not run or is paused; `Invalid` for a user that it does
    /// not know or an empty command.
    pub async fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String> {
        let container = self.find(name)?;
        match container.lock().record.state {
            State::Running(_) => {}
            State::Paused(_) => {
                return Err(Error::conflict(format!(
                    "Container {name} is paused, unpause the container before exec"
                )));
            }
            State::Restarting(_) => {
                return Err(Error::conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            State::Created(_) | State::Exited(_) | State::Removing(_) | State::Dead(_) => {
                return Err(container.not_running());
            }
        }
        if config.cmd.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        super::attach::detach_keys(Some(&config.detach_keys))
            .map_err(|_| Error::internal(format!("Invalid escape keys ({}) provided", config.detach_keys)))?;
        // A user that is not there is told before the client's connection is taken over.
        let (inner, held, asked) = (Arc::clone(&self.0), Arc::clone(&container), config.clone());
        blocking(move || process(&inner, &held, &asked).map(|_| ())).await?;
        Ok(self.exec_register(&container, config))
    }

    /// Makes an exec known and tells of it; returns its id.
    pub(super) fn exec_register(&self, container: &Container, config: ExecConfig) -> String {
        let id = crate::identifiers::random();
        let action = format!("exec_create: {}", config.cmd.join(" "));
        let exec = Exec {
            container: container.id.clone(),
            config,
            state: ExecState::Created,
        };
        self.0.execs.lock().by_id.insert(id.clone(), exec);
        self.0.emit(container, action, &[("execID", id.clone())]);
        id
    }

    /// Forgets an exec that nobody outside can ask for.
    pub(super) fn exec_forget(&self, id: &str) {
        let mut table = self.0.execs.lock();
        table.by_id.remove(id);
        table.ended.retain(|ended| ended != id);
    }

    /// Waits for an exec's end; returns its exit code.
    pub(super) async fn exec_code(&self, id: &str) -> Result<i32> {
        loop {
            let ended = self.0.execs.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            if let (
                _,
                Exec {
                    state: ExecState::Ended(code),
                    ..
                },
            ) = self.0.execs.get(id)?
            {
                return Ok(code);
            }
            ended.await;
        }
    }

    /// Runs a prepared process.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it runs or has run, and when a detached one cannot be executed.
    pub async fn exec_start(&self, id: &str, start: ExecStart) -> Result<ExecSession> {
        let (id, exec) = self.0.execs.get(id)?;
        match exec.state {
            ExecState::Created => {}
            ExecState::Running(_) => {
                return Err(Error::conflict(format!("Error: Exec command {id} is already running")));
            }
            ExecState::Ended(_) => return Err(Error::conflict(format!("Error: Exec command {id} has already run"))),
        }
        let container = self.find(&exec.container)?;
        if matches!(container.lock().record.state, State::Paused(_)) {
            return Err(Error::conflict(format!(
                "Container {} is paused, unpause the container before exec",
                container.id
            )));
        }
        let size = start.console_size.or(exec.config.console_size);
        let size = size.map(|[rows, columns]| WindowSize { rows, columns });
        let waiting = Waiting { id, size };
        if start.detach {
            self.exec_run(&container, waiting, None).await?;
            return Ok(ExecSession::Detached);
        }
        let config = &exec.config;
        let request = AttachRequest {
            logs: false,
            stream: true,
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
            detach_keys: Some(config.detach_keys.clone()),
        };
        Ok(ExecSession::Attached(Box::new(
            self.exec_target(container, waiting, request, config.tty)?,
        )))
    }

    /// Has the shim run the process. A client that is attached is told in its stream when it cannot.
    pub(super) async fn exec_run(
        &self,
        container: &Arc<Container>,
        waiting: Waiting,
        client: Option<(Attach, OwnedFd)>,
    ) -> Result<()> {
        let copy = match &client {
            Some((_, socket)) => Some(socket.try_clone()?),
            None => None,
        };
        let id = waiting.id.clone();
        match self.exec_launch(container, waiting, client).await? {
            Ok(()) => Ok(()),
            Err(error) => self.exec_refused(&id, error, copy).await,
        }
    }

    /// Has the shim run the process, of whose refusal the caller is told, not the client.
    pub(super) async fn exec_run_alone(
        &self,
        container: &Arc<Container>,
        id: &str,
        client: (Attach, OwnedFd),
    ) -> Result<()> {
        let waiting = Waiting {
            id: id.to_owned(),
            size: None,
        };
        match self.exec_launch(container, waiting, Some(client)).await? {
            Ok(()) => Ok(()),
            Err(error) => self.exec_refused(id, error, None).await,
        }
    }

    async fn exec_launch(
        &self,
        container: &Arc<Container>,
        waiting: Waiting,
        client: Option<(Attach, OwnedFd)>,
    ) -> Result<Result<(), LinkError>> {
        let (id, exec) = self.0.execs.get(&waiting.id)?;
        let link = container.link()?;
        let (inner, held, config) = (Arc::clone(&self.0), Arc::clone(container), exec.config.clone());
        let process = blocking(move || process(&inner, &held, &config)).await?;
        let (attach, socket) = client.unzip();
        let action = format!("exec_start: {}", exec.config.cmd.join(" "));
        self.0.emit(container, action, &[("execID", id.clone())]);
        let request = Request::Exec {
            id: id.clone(),
            process: Box::new(process),
            stdin: exec.config.attach_stdin && attach.is_some(),
            attach,
            size: waiting.size,
        };
        // The event of its end may overtake the answer, and must not be undone by it.
        self.0.execs.set(&id, ExecState::Running(0));
        match link.call(request, socket.into_iter().collect()).await {
            Ok(Reply::Started { pid, .. }) => {
                let mut table = self.0.execs.lock();
                if let Some(exec) = table.by_id.get_mut(&id)
                    && exec.state == ExecState::Running(0)
                {
                    exec.state = ExecState::Running(pid);
                }
                Ok(Ok(()))
            }
            Ok(_) => Err(Error::internal(
                "the container's shim gave an answer to another question",
            )),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Keeps the exit code that stands for the reason, and tells the client.
    async fn exec_refused(&self, id: &str, error: LinkError, client: Option<OwnedFd>) -> Result<()> {
        let (kind, reason) = match &error {
            LinkError::Refused(failure) => (Some(failure.kind), failure.message.clone()),
            LinkError::Gone(error) => (None, error.to_string()),
        };
        let message = match kind {
            Some(FailureKind::Runtime) => format!("OCI runtime exec failed: {reason}"),
            _ => format!("OCI runtime exec failed: exec failed: unable to start container process: {reason}"),
        };
        let code = match kind {
            Some(FailureKind::CommandNotFound) => 127,
            Some(FailureKind::CommandNotExecutable) => 126,
            _ => start::exit_code(&message),
        };
        self.0.execs.set(id, ExecState::Ended(code));
        match client {
            Some(socket) => {
                let text = format!("{message}\r\n");
                let tty = self.0.execs.get(id)?.1.config.tty;
                write_to_client(socket, &text, tty).await
            }
            None => Err(Error::new(kind.map_or(Kind::Internal, super::link::kind_of), message)),
        }
    }

    /// An exec has ended, as its shim says.
    pub(super) fn exec_ended(&self, container: &Container, id: &str, exit: &Exit) {
        self.0.execs.set(id, ExecState::Ended(exit.code));
        self.0.emit(
            container,
            "exec_die",
            &[("execID", id.to_owned()), ("exitCode", exit.code.to_string())],
        );
    }

    /// Describes an exec.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        let (id, exec) = self.0.execs.get(id)?;
        let exec = self.settled(&id, exec).await;
        let config = &exec.config;
        let (running, exit_code, pid) = match exec.state {
            ExecState::Created => (false, None, 0),
            ExecState::Running(pid) => (true, None, pid),
            ExecState::Ended(code) => (false, Some(code), 0),
        };
        Ok(ExecInspect {
            id,
            running,
            exit_code,
            process_config: ProcessConfig {
                tty: config.tty,
                entrypoint: config.cmd.first().cloned().unwrap_or_default(),
                arguments: config.cmd.iter().skip(1).cloned().collect(),
                privileged: config.privileged,
                user: config.user.clone(),
            },
            open_stdin: config.attach_stdin,
            open_stderr: config.attach_stderr,
            open_stdout: config.attach_stdout,
            can_remove: false,
            container_id: exec.container,
            detach_keys: config.detach_keys.clone(),
            pid,
        })
    }

    /// An exec as its shim knows it. A client whose stream has ended asks at once for the exit code, maybe
    /// before the shim's word of it was heard here; then it is waited for.
    async fn settled(&self, id: &str, exec: Exec) -> Exec {
        if !matches!(exec.state, ExecState::Running(_)) || self.runs_still(id, &exec.container).await {
            return exec;
        }
        match tokio::time::timeout(SETTLING, self.exec_code(id)).await {
            Ok(Ok(code)) => Exec {
                state: ExecState::Ended(code),
                ..exec
            },
            _ => exec,
        }
    }

    async fn runs_still(&self, id: &str, container: &str) -> bool {
        let Ok(link) = self.find(container).and_then(|container| container.link()) else {
            return false;
        };
        match link.call(Request::State, Vec::new()).await {
            Ok(Reply::State(state)) => state.execs.iter().any(|(exec, _)| exec == id),
            _ => false,
        }
    }

    /// Changes the size of an exec's terminal.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it does not run.
    pub async fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let (id, exec) = self.0.execs.get(id)?;
        let container = self.find(&exec.container)?;
        let size = WindowSize { rows, columns };
        container
            .link()?
            .call(Request::Resize { exec: Some(id), size }, Vec::new())
            .await?;
        Ok(())
    }
}

async fn write_to_client(socket: OwnedFd, text: &str, tty: bool) -> Result<()> {
    use corten_api::stream::{Stream, header};
    let mut bytes = Vec::new();
    if !tty {
        bytes.extend(header(Stream::Stdout, u32::try_from(text.len()).unwrap_or(u32::MAX)));
    }
    bytes.extend(text.as_bytes());
    blocking(move || {
        // A short text always fits an idle socket's buffer; a client that has left misses nothing.
        let _ = rustix::io::write(&socket, &bytes);
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        Ok(())
    })
    .await
}

/// The process of an exec: the container's own surroundings with what the exec asks for.
fn process(inner: &Inner, container: &Container, config: &ExecConfig) -> Result<Process> {
    let (machine, defaults) = (&inner.machine, &inner.settings.security);
    let record = container.record();
    let security = security::parse(&record.host_config)?;
    let pid = record.state.running().ok_or_else(|| container.not_running())?.pid;
    let root = files::root_of(pid)?;
    let read = |name: &str| files::read_in_root(&root, &format!("etc/{name}")).unwrap_or_default();
    let user = if config.user.is_empty() {
        &record.config.user
    } else {
        &config.user
    };
    let groups = match config.user.is_empty() {
        true => record.host_config.group_add.as_deref().unwrap_or_default(),
        false => &[],
    };
    let identity = users::resolve(user, groups, &read("passwd"), &read("group"))?;
    let names = capabilities(&record, config)?;
    let cwd = match (config.working_dir.as_str(), record.config.working_dir.as_str()) {
        ("", "") => "/",
        ("", own) => own,
        (asked, _) => asked,
    };
    Ok(Process {
        terminal: config.tty,
        args: config.cmd.clone(),
        env: environment(&record, config, &identity, &inner.link_variables(&record)),
        cwd: cwd.to_owned(),
        capabilities: Some(spec::capability_sets(&names, identity.user.uid)),
        user: identity.user,
        no_new_privileges: security.no_new_privileges.unwrap_or(defaults.no_new_privileges),
        // A privileged exec stays in the container's profile, as in Docker.
        apparmor_profile: machine
            .apparmor
            .profile(security.apparmor, record.host_config.privileged)
            .map(str::to_owned),
        oom_score_adj: Some(record.host_config.oom_score_adj),
        ..Process::default()
    })
}

fn capabilities(record: &Record, config: &ExecConfig) -> Result<Vec<String>> {
    let mut host = record.host_config.clone();
    host.privileged |= config.privileged;
    spec::capability_list(&host)
}

fn environment(record: &Record, config: &ExecConfig, identity: &users::Identity, linked: &[String]) -> Vec<String> {
    let mut all = vec![
        spec::DEFAULT_PATH.to_owned(),
        format!("HOSTNAME={}", record.config.hostname),
    ];
    if config.tty {
        all.push("TERM=xterm".to_owned());
    }
    spec::override_variables(&mut all, linked.iter().chain(record.config.env.iter().flatten()));
    spec::override_variables(&mut all, config.env.iter());
    if !all.iter().any(|variable| variable.starts_with("HOME=")) {
        all.push(format!("HOME={}", identity.home));
    }
    all
}
