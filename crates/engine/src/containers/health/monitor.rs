//! Probing a container for as long as it runs.

use std::{sync::Arc, time::Duration};

use corten_api::{container::HealthProbe, time::Time};
use tokio::sync::oneshot;

use super::{Check, Health, Status};
use crate::{
    containers::{Container, Containers, Mutable, ended},
    error::Result,
};

/// What became of a probe.
enum Noted {
    /// The container is not probed any more.
    Stopped,
    /// It goes on.
    GoesOn {
        /// How long nothing happens now.
        pause: Duration,
        /// Whether the container is to be started anew.
        broken: bool,
    },
}

impl Containers {
    /// Begins to probe a container that was just started.
    pub(in crate::containers) fn start_health(&self, container: &Arc<Container>) {
        let Some(check) = Check::of(&container.lock().record.config) else {
            return;
        };
        {
            let mut inner = container.lock();
            let health = Health::starting(inner.record.health.as_deref());
            keep(container, &mut inner, health);
        }
        let pause = check.pause(&Health::starting(None), Duration::ZERO);
        self.spawn_monitor(container, check, pause);
    }

    /// Goes on probing a container that runs: one that was paused, or that an earlier engine probed.
    pub(in crate::containers) fn resume_health(&self, container: &Arc<Container>) {
        let Some(check) = Check::of(&container.lock().record.config) else {
            return;
        };
        let (pause, orphan) = {
            let mut inner = container.lock();
            let mut health = match inner.record.health.as_deref() {
                Some(health) => health.clone(),
                None => Health::starting(None),
            };
            let orphan = health.probe.take();
            let last = health.log.last().map_or(Time::default(), |probe| probe.end);
            let pause = check.pause(&health, ran(&inner, Time::now()));
            keep(container, &mut inner, health);
            (pause.saturating_sub(between(last, Time::now())), orphan)
        };
        if let Some(exec) = orphan {
            let (containers, container) = (self.clone(), Arc::clone(container));
            tokio::spawn(async move { containers.kill_probe(&container, &exec).await });
        }
        self.spawn_monitor(container, check, pause);
    }

    fn spawn_monitor(&self, container: &Arc<Container>, check: Check, pause: Duration) {
        let (stop, stopped) = oneshot::channel();
        // One that was there before ends with its sender.
        container.lock().monitor = Some(stop);
        let task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(self.clone().monitor(Arc::clone(container), check, pause, stopped));
        tokio::spawn(task);
    }

    async fn monitor(
        self,
        container: Arc<Container>,
        check: Check,
        mut pause: Duration,
        mut stopped: oneshot::Receiver<()>,
    ) {
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(pause) => {}
            }
            let start = Time::now();
            let Some(probe) = self.probe(&container, &check, start, &mut stopped).await else {
                return;
            };
            match self.note_probe(&container, &check, probe, &mut stopped) {
                Noted::Stopped => return,
                Noted::GoesOn { pause: next, broken } => {
                    pause = next;
                    if broken && let Err(error) = self.end_to_restart(&container).await {
                        tracing::warn!(
                            container = container.id,
                            error = error.report(),
                            "cannot restart an unhealthy container"
                        );
                    }
                }
            }
        }
    }

    /// Takes in how a probe ended, and tells of a change.
    fn note_probe(
        &self,
        container: &Arc<Container>,
        check: &Check,
        probe: HealthProbe,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Noted {
        let mut inner = container.lock();
        // The sender is dropped under this lock.
        if stopped.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            return Noted::Stopped;
        }
        let Some(health) = &inner.record.health else {
            return Noted::Stopped;
        };
        let mut health = Health::clone(health);
        let ran_before = ran(&inner, probe.start);
        if health.note(check, probe, ran_before) {
            let action = format!("health_status: {}", health.word());
            self.0.emit_first(&inner.record, action);
        }
        let noted = Noted::GoesOn {
            pause: check.pause(&health, ran(&inner, Time::now())),
            broken: health.is_failing() && ended::restarts_when_unhealthy(&inner.record),
        };
        keep(container, &mut inner, health);
        noted
    }
}

impl Mutable {
    /// Ends the probing of a container that is paused or has ended.
    pub(in crate::containers) fn stop_health(&mut self) {
        self.monitor = None;
        if let Some(health) = &mut self.record.health {
            // Docker shows what is not probed as unhealthy.
            Arc::make_mut(health).status = Status::Unhealthy;
        }
    }
}

impl Container {
    /// Notes the exec that probes it, so that an engine that comes upon it can end it.
    pub(super) fn note_exec(&self, exec: &str) {
        let mut inner = self.lock();
        if let Some(health) = &inner.record.health {
            let mut health = Health::clone(health);
            health.probe = Some(exec.to_owned());
            keep(self, &mut inner, health);
        }
    }
}

/// Keeps what is known, here and in the bundle.
fn keep(container: &Container, inner: &mut Mutable, health: Health) {
    let written: Result<()> = health.write(&container.bundle);
    if let Err(error) = written {
        tracing::warn!(
            container = container.id,
            error = error.report(),
            "cannot keep a container's health"
        );
    }
    inner.record.health = Some(Arc::new(health));
}

/// How long a container had run at a time.
fn ran(inner: &Mutable, at: Time) -> Duration {
    let started = inner.record.state.running().map(|running| running.started_at);
    started.map_or(Duration::ZERO, |started| between(started, at))
}

fn between(from: Time, to: Time) -> Duration {
    let nanoseconds = to.nanoseconds().saturating_sub(from.nanoseconds());
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}
