//! What a container's shim tells while it runs, and what its end sets in motion.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use corten_api::time::Time;
use corten_shim::protocol::{EXIT_FILE, Event, Exit};
use tokio::sync::mpsc;

use super::{Change, Container, Containers, Mutable, RemoveOptions, State, record::Record, start};
use crate::{crash, error::blocking};

/// Our restart policy that Docker does not have: as `on-failure`, and when the health check says so.
pub(super) const ON_UNHEALTHY: &str = "on-unhealthy";
/// The longest pause before a restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// A container that ran this long is taken to have worked.
const WORKED: Duration = Duration::from_secs(10);
/// The exit code of a container whose shim was killed: nobody knows a better one.
pub(super) const LOST: i32 = 137;

impl Containers {
    /// Follows a container in the background.
    pub(super) fn spawn_watch(&self, container: &Arc<Container>, events: mpsc::UnboundedReceiver<Event>) {
        // A start leads to a watch and a watch to a start: somewhere the future's type must have an end.
        let task: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(self.clone().watch(Arc::clone(container), events));
        tokio::spawn(task);
    }

    /// Follows what a shim tells until its container has ended.
    async fn watch(self, container: Arc<Container>, mut events: mpsc::UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            match event {
                Event::Exited(exit) => return self.ended(&container, exit).await,
                Event::ExecExited { id, exit } => self.exec_ended(&container, &id, &exit),
                Event::OutOfMemory => {
                    if let Err(error) = container.change(Change::OutOfMemory) {
                        tracing::warn!(
                            container = container.id,
                            error = error.report(),
                            "cannot record lack of memory"
                        );
                    }
                    self.0.emit(&container, "oom", &[]);
                }
                Event::Detached { exec } => match exec {
                    Some(exec) => self.0.emit(&container, "exec_detach", &[("execID", exec)]),
                    None => self.0.emit(&container, "detach", &[]),
                },
                Event::LogFailed { message } => {
                    tracing::error!(
                        container = container.id,
                        message,
                        "the log of a container cannot be written"
                    );
                }
            }
        }
        // The shim is gone without a word to us: it may have left a record.
        let exit = match read_exit(&container) {
            Some(exit) => exit,
            None => {
                tracing::error!(
                    container = container.id,
                    "the container's shim was killed; its processes are killed too"
                );
                self.kill_orphans(&container).await;
                Exit {
                    code: LOST,
                    at: Time::now().nanoseconds(),
                    oom_killed: false,
                }
            }
        };
        self.ended(&container, exit).await;
    }

    /// Does all that follows a container's end.
    pub(super) async fn ended(&self, container: &Arc<Container>, exit: Exit) {
        let duration = container.lock().record.state.running().map_or(0, |running| {
            exit.at.saturating_sub(running.started_at.nanoseconds()) / 1_000_000_000
        });
        crash::point("end:seen");
        self.release(container).await;
        crash::point("end:released");
        let code = exit.code;
        if exit.oom_killed
            && container
                .lock()
                .record
                .state
                .running()
                .is_some_and(|running| !running.oom_killed)
        {
            self.0.emit(container, "oom", &[]);
        }
        let restart = container.transition_untold(|inner| {
            inner.apply(Change::Exited(exit))?;
            inner.record.ports.clear();
            inner.record.networks.values_mut().for_each(forget_addresses);
            let pause = pause_before_restart(inner, Duration::from_secs(duration.unsigned_abs()));
            inner.stop_health();
            inner.record.wanted = pause.is_some();
            // The next engine starts what ends with this one.
            let pause = pause.filter(|_| !self.0.shutting_down.load(Ordering::Relaxed));
            if pause.is_some() {
                inner.apply(Change::WillRestart)?;
                inner.record.restarts += 1;
            }
            Ok(pause)
        });
        crash::point("end:recorded");
        self.promote_standby_of(container);
        // Whoever waited for the end finds its event told.
        let more = [("exitCode", code.to_string()), ("execDuration", duration.to_string())];
        self.0.emit(container, "die", &more);
        container.tell();
        container.status.send_modify(|status| {
            status.exits += 1;
            status.code = code;
        });
        match restart {
            Ok(Some(pause)) => drop(tokio::spawn(self.clone().restart_later(Arc::clone(container), pause))),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(
                    container = container.id,
                    error = error.report(),
                    "cannot record a container's end"
                );
            }
        }
        if container.lock().record.host_config.auto_remove {
            self.remove_ended(container).await;
        }
    }

    /// Gives back what a running container holds.
    async fn release(&self, container: &Arc<Container>) {
        self.0.execs.forget_running(&container.id);
        {
            let mut inner = container.lock();
            inner.link = None;
            inner.clients.clear();
        }
        self.0.images.set_running(&container.id, false);
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(container));
        if let Err(error) = blocking(move || start::release(&inner, &held)).await {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot clean up after a container"
            );
        }
    }

    /// Starts a container again after a pause, unless someone says otherwise meanwhile.
    pub(super) async fn restart_later(self, container: Arc<Container>, pause: Duration) {
        self.wait_recovered().await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = container.interrupt.notified() => {}
        }
        self.wait_for_needed(&container).await;
        let _operation = container.operation.lock().await;
        if !matches!(container.lock().record.state, State::Restarting(_)) {
            return;
        }
        // The reason is in the container's state.
        if let Err(error) = self.start_held(&container).await {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot restart a container"
            );
        }
    }

    /// Waits until all that ran is known again.
    pub(super) async fn wait_recovered(&self) {
        // The sender lives as long as this.
        let _ = self.0.recovered.subscribe().wait_for(|recovered| *recovered).await;
    }

    /// Removes a container that was to be removed at its end.
    pub(super) async fn remove_ended(&self, container: &Arc<Container>) {
        let options = RemoveOptions {
            force: false,
            volumes: true,
            link: false,
        };
        if let Err(error) = self.remove_known(container, options).await {
            tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot remove a container after its end"
            );
        }
    }
}

/// The pause before the restart that the policy asks for; none when it asks for no restart.
fn pause_before_restart(inner: &mut Mutable, ran: Duration) -> Option<Duration> {
    let policy = &inner.record.host_config.restart_policy;
    let State::Exited(ended) = &inner.record.state else {
        return None;
    };
    let wanted = match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let most = policy.maximum_retry_count;
            ended.code != 0 && (most == 0 || inner.record.restarts < most)
        }
        ON_UNHEALTHY => {
            let failing = inner.record.health.as_ref().is_some_and(|health| health.is_failing());
            (ended.code != 0 || failing) && restarts_when_unhealthy(&inner.record)
        }
        _ => false,
    };
    if !wanted || inner.record.stopped_by_user {
        return None;
    }
    inner.backoff = match inner.backoff {
        _ if ran >= WORKED => start::FIRST_BACKOFF,
        Duration::ZERO => start::FIRST_BACKOFF,
        last => (last * 2).min(LONGEST_BACKOFF),
    };
    Some(inner.backoff)
}

/// Whether the policy has an unhealthy container restarted once more.
pub(super) fn restarts_when_unhealthy(record: &Record) -> bool {
    let policy = &record.host_config.restart_policy;
    let most = policy.maximum_retry_count;
    policy.name == ON_UNHEALTHY && (most == 0 || record.restarts < most) && !record.stopped_by_user
}

/// What the network gave is gone; what the user asked for stays.
pub(super) fn forget_addresses(settings: &mut corten_api::network::EndpointSettings) {
    // One that the user asked for is none that was made of the address.
    let generated = settings.ip_address.parse().map(corten_network::MacAddress::for_ipv4);
    let is_asked = generated.is_ok_and(|mac| mac.to_string() != settings.mac_address);
    let mac_address = std::mem::take(&mut settings.mac_address);
    *settings = corten_api::network::EndpointSettings {
        mac_address: if is_asked { mac_address } else { String::new() },
        ipam_config: settings.ipam_config.take(),
        links: settings.links.take(),
        aliases: settings.aliases.take(),
        driver_opts: settings.driver_opts.take(),
        gw_priority: settings.gw_priority,
        network_id: std::mem::take(&mut settings.network_id),
        dns_names: settings.dns_names.take(),
        ..Default::default()
    };
}

/// The record that a shim leaves.
pub(super) fn read_exit(container: &Container) -> Option<Exit> {
    let bytes = corten_sys::fs::read(container.bundle.join(EXIT_FILE)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Field 22 of `/proc/<pid>/stat` (`proc_pid_stat(5)`).
pub(super) fn start_time_of(pid: i32) -> Option<u64> {
    let stat = corten_sys::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
