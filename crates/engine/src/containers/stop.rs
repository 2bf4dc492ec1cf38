//! Ending, freezing and renaming containers.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use corten_shim::protocol::{Reply, Request, WindowSize};

use super::{Change, Container, Containers, State, names, record::Record, signals, validate::invalid_signal};
use crate::{
    crash,
    error::{Error, Kind, Result},
};

/// How long a container has to stop when nobody says otherwise, in seconds.
const STOP_TIMEOUT: i64 = 10;
/// How long the kernel has to kill a container's processes.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// What the engine waits longer than the slowest container may take; dockerd's figure.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

impl Containers {
    /// Asks a container to stop and kills it when it does not in time.
    ///
    /// `timeout` is in seconds, negative to wait for ever; the container's own, else 10, when absent.
    ///
    /// # Errors
    /// `NotModified` when it does not run.
    pub async fn stop(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let container = self.find(name)?;
        let stopped = self.stop_known(&container, signal, timeout).await;
        if !stopped.map_err(|error| error.context(format!("cannot stop container: {name}")))? {
            return Err(Error::new(Kind::NotModified, ""));
        }
        self.0.emit(&container, "stop", &[]);
        Ok(())
    }

    /// Returns whether there was anything to stop.
    async fn stop_known(&self, container: &Arc<Container>, signal: Option<&str>, timeout: Option<i64>) -> Result<bool> {
        let (stop_signal, stop_timeout) = {
            let inner = container.lock();
            (
                inner.record.config.stop_signal.clone(),
                inner.record.config.stop_timeout,
            )
        };
        let name = signal.unwrap_or(&stop_signal);
        let signal = match name {
            "" => signals::TERM,
            name => signals::parse(name).ok_or_else(|| Error::internal(invalid_signal(name).message()))?,
        };
        let cancelled = self.cancel_restart(container)?;
        if cancelled {
            // A restart that had begun comes to its end first.
            drop(container.operation.lock().await);
        }
        if container.lock().record.state.running().is_none() {
            return Ok(cancelled);
        }
        note_stopped(container);
        let seconds = timeout.or(stop_timeout).unwrap_or(STOP_TIMEOUT);
        crash::point("stop:noted");
        self.signal_unless_ending(container, signal).await?;
        crash::point("stop:signalled");
        let patience = u64::try_from(seconds).ok().map(Duration::from_secs);
        if !ended_within(container, patience).await {
            self.kill_known(container).await?;
        }
        Ok(true)
    }

    /// Takes a container out of its pause before a restart; returns whether it was in one.
    fn cancel_restart(&self, container: &Container) -> Result<bool> {
        if !matches!(container.lock().record.state, State::Restarting(_)) {
            return Ok(false);
        }
        container.change_with(Change::RestartCancelled, mark_stopped)?;
        container.interrupt.notify_waiters();
        Ok(true)
    }

    /// Stops a container, if it runs, and starts it.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self, name: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let container = self.find(name)?;
        // With `--rm`, the container must outlive its own stop.
        let auto_remove = std::mem::take(&mut container.lock().record.host_config.auto_remove);
        let stopped = self.stop_known(&container, signal, timeout).await;
        container.lock().record.host_config.auto_remove = auto_remove;
        stopped?;
        let _operation = container.operation.lock().await;
        if container.lock().record.state.running().is_none() {
            container.edit(|record| record.stopped_by_user = false)?;
            self.start_held(&container).await?;
        }
        self.0.emit(&container, "restart", &[]);
        Ok(())
    }

    /// Sends a signal, `KILL` when none is named, to a container's first process.
    ///
    /// # Errors
    /// `Invalid` for an unknown signal, `Conflict` when the container does not run.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let context = |e: Error| e.context(format!("cannot kill container: {name}"));
        let text = signal.filter(|text| !text.is_empty()).unwrap_or("KILL");
        let number = signals::parse(text).ok_or_else(|| {
            context(match text.parse::<u32>() {
                Ok(number @ 1..) => Error::invalid(format!("the linux daemon does not support signal {number}")),
                _ => invalid_signal(text),
            })
        })?;
        let container = self.find(name).map_err(|e| match e.kind() {
            Kind::NotFound => context(e),
            _ => e,
        })?;
        if container.lock().record.state.running().is_none() {
            if self.cancel_restart(&container)? {
                return Ok(());
            }
            return Err(context(container.not_running()));
        }
        let stops = {
            let record = &container.lock().record;
            let own = signals::parse(&record.config.stop_signal).unwrap_or(signals::TERM);
            number == signals::KILL || number == own
        };
        if stops {
            note_stopped(&container);
        }
        if number == signals::KILL {
            self.kill_known(&container).await
        } else {
            self.signal(&container, number).await
        }
        .map_err(context)
    }

    /// Sends a signal, if the container is not about to be seen to have ended.
    async fn signal_unless_ending(&self, container: &Arc<Container>, signal: i32) -> Result<()> {
        match self.signal(container, signal).await {
            Err(error) if error.kind() == Kind::Conflict => Ok(()),
            other => other,
        }
    }

    /// Sends a signal; a frozen container is thawed for one that ends it.
    async fn signal(&self, container: &Arc<Container>, signal: i32) -> Result<()> {
        let link = container.link()?;
        match link.call(Request::Signal { signal }, Vec::new()).await {
            Ok(_) => {}
            // It ended in this moment, or is about to be seen to have.
            Err(super::link::LinkError::Gone(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.0.emit(container, "kill", &[("signal", signal.to_string())]);
        if matches!(container.lock().record.state, State::Paused(_)) {
            self.thaw(container).await?;
        }
        Ok(())
    }

    /// Kills a container and waits until it has ended.
    pub(super) async fn kill_known(&self, container: &Arc<Container>) -> Result<()> {
        if container.lock().record.state.running().is_none() {
            return Ok(());
        }
        self.signal_unless_ending(container, signals::KILL).await?;
        if ended_within(container, Some(KILL_TIMEOUT)).await {
            return Ok(());
        }
        if let Ok(link) = container.link() {
            // When this fails too, the wait below says so.
            let _ = link.call(Request::KillAll, Vec::new()).await;
        }
        if ended_within(container, Some(KILL_TIMEOUT)).await {
            return Ok(());
        }
        Err(Error::internal(format!(
            "tried to kill container {}, but did not receive an exit event",
            container.id
        ))
        .hint("a process hangs in the kernel; see its state in /proc/<pid>/stack"))
    }

    /// Ends a container in such a way that its restart policy starts it again.
    pub(super) async fn end_to_restart(&self, container: &Arc<Container>) -> Result<()> {
        let (signal, seconds) = {
            let config = &container.lock().record.config;
            let own = signals::parse(&config.stop_signal).unwrap_or(signals::TERM);
            (own, config.stop_timeout.unwrap_or(STOP_TIMEOUT))
        };
        self.signal_unless_ending(container, signal).await?;
        let patience = u64::try_from(seconds).ok().map(Duration::from_secs);
        if ended_within(container, patience).await {
            return Ok(());
        }
        self.kill_known(container).await
    }

    /// Freezes a container's processes.
    ///
    /// # Errors
    /// `Conflict` when it does not run or is frozen.
    pub async fn pause(&self, name: &str) -> Result<()> {
        let container = self.find(name)?;
        match container.lock().record.state {
            State::Running(_) => {}
            State::Paused(_) => return Err(Error::conflict(format!("Container {} is already paused", container.id))),
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
        container.link()?.call(Request::Pause, Vec::new()).await?;
        container.transition(|inner| {
            inner.stop_health();
            inner.apply(Change::Paused)
        })?;
        self.0.emit(&container, "pause", &[]);
        Ok(())
    }

    /// Thaws a container's processes.
    ///
    /// # Errors
    /// `Conflict` when it is not frozen.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        let container = self.find(name)?;
        if !matches!(container.lock().record.state, State::Paused(_)) {
            return Err(Error::internal(format!("Container {} is not paused", container.id)));
        }
        self.thaw(&container).await
    }

    async fn thaw(&self, container: &Arc<Container>) -> Result<()> {
        match container.link()?.call(Request::Resume, Vec::new()).await {
            Ok(_) => {}
            // A killed container may end while it is thawed.
            Err(super::link::LinkError::Gone(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        // It may have ended by now.
        if container.change(Change::Resumed).is_ok() {
            self.resume_health(container);
            self.0.emit(container, "unpause", &[]);
        }
        Ok(())
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// `Invalid` for a bad name, `Conflict` for one that is taken.
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        let container = self.find(name)?;
        if new_name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let new = format!("/{}", new_name.trim_start_matches('/'));
        let new = names::check(&new).map_err(|e| e.context("Error when allocating new name"))?;
        let old = container.name();
        if new == old {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        {
            let mut index = self.0.index_mut();
            if let Some(id) = index.by_name.get(new) {
                return Err(name_taken(new, id).context("Error when allocating new name"));
            }
            index.by_name.insert(new.to_owned(), container.id.clone());
        }
        if let Err(error) = container.edit(|record| rename(record, new)) {
            self.0.index_mut().by_name.remove(new);
            container.lock().record.name = old;
            return Err(error);
        }
        self.0.index_mut().by_name.remove(&old);
        self.0.networks.renamed(&container.id, new);
        self.0.emit(&container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Changes the size of a container's terminal.
    ///
    /// # Errors
    /// `Conflict` when it does not run.
    pub async fn resize(&self, name: &str, rows: u16, columns: u16) -> Result<()> {
        let container = self.find(name)?;
        let size = WindowSize { rows, columns };
        let link = container.link()?;
        if !container.lock().record.config.tty {
            // Docker has nothing to say against it.
            return Ok(());
        }
        match link.call(Request::Resize { exec: None, size }, Vec::new()).await? {
            Reply::Done => Ok(()),
            _ => Err(Error::internal(
                "the container's shim gave an answer to another question",
            )),
        }
    }

    /// Stops every container before the engine's own end. Their policies start them again with the next engine.
    ///
    /// Each has its own time to stop; a container that takes longer than `patience`, or than its own time
    /// if that is longer, runs on.
    pub async fn shut_down(&self, patience: Option<Duration>) {
        self.0.shutting_down.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        let mut tasks = tokio::task::JoinSet::new();
        for container in self.0.all() {
            if container.lock().record.state.running().is_none() {
                continue;
            }
            let own = own_patience(&container);
            longest = longest.max(own.unwrap_or_default());
            let containers = self.clone();
            tasks.spawn(async move { containers.end_with_engine(&container, own).await });
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        match patience {
            None => all.await,
            Some(patience) => {
                if tokio::time::timeout(patience.max(longest) + SHUTDOWN_GRACE, all)
                    .await
                    .is_err()
                {
                    tracing::error!("not all containers have stopped in time");
                }
            }
        }
    }

    async fn end_with_engine(&self, container: &Arc<Container>, patience: Option<Duration>) {
        let signal = signals::parse(&container.lock().record.config.stop_signal).unwrap_or(signals::TERM);
        let stopped = async {
            self.signal_unless_ending(container, signal).await?;
            if !ended_within(container, patience).await {
                self.kill_known(container).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = stopped.await {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot stop a container"
            );
        }
    }
}

/// How long a container may take to stop; none for ever.
fn own_patience(container: &Container) -> Option<Duration> {
    let seconds = container.lock().record.config.stop_timeout.unwrap_or(STOP_TIMEOUT);
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// Notes that the user wants it stopped. On a full disk it is stopped without the note.
fn note_stopped(container: &Container) {
    if let Err(error) = container.edit(mark_stopped) {
        tracing::warn!(container = container.id, error = error.report(), "cannot note a stop");
    }
}

fn mark_stopped(record: &mut Record) {
    record.stopped_by_user = true;
    record.wanted = false;
}

/// The error for a name that another container has.
pub(super) fn name_taken(name: &str, id: &str) -> Error {
    Error::conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". \
         You have to remove (or rename) that container to be able to reuse that name."
    ))
}

/// Waits until a container has ended; returns whether it did in time.
async fn ended_within(container: &Container, patience: Option<Duration>) -> bool {
    let mut status = container.status.subscribe();
    let exits = status.borrow().exits;
    if container.lock().record.state.running().is_none() {
        return true;
    }
    let ended = status.wait_for(|status| !status.active || status.exits > exits || status.removed);
    match patience {
        Some(patience) => tokio::time::timeout(patience, ended).await.is_ok(),
        None => ended.await.is_ok(),
    }
}

/// Gives a record another name, also where others on its networks know it by that.
fn rename(record: &mut Record, name: &str) {
    name.clone_into(&mut record.name);
    for settings in record.networks.values_mut() {
        if let Some(own) = settings.dns_names.as_mut().and_then(|names| names.first_mut()) {
            name.clone_into(own);
        }
    }
}
