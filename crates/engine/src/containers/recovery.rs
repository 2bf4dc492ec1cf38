//! Taking up the containers of an earlier engine.
//!
//! A record says what was intended; shims and exit files say what is:
//!
//! | record | shim | exit file | becomes |
//! |---|---|---|---|
//! | running, paused | answers | – | running or paused, watched again |
//! | running, paused | gone | there | exited as it says |
//! | running, paused | gone | none | exited with 137: the machine or the shim was killed |
//! | created, exited, restarting | answers | – | running: the engine died between the start and its record |
//! | created, exited, restarting | gone | newer than the record | exited as it says: likewise, and it ended meanwhile |
//! | removing | – | – | removed |

use std::{sync::Arc, time::Duration};

use corten_api::time::Time;
use corten_shim::protocol::{CONFIG_FILE, Exit};
use tokio::task::JoinSet;

use super::{
    Change, Container, Containers, Inner, RemoveOptions, State,
    ended::{LOST, read_exit},
    health::Health,
    intent, link,
    network::Joined,
    record::Record,
    start,
};
use crate::{
    error::{Error, Result, blocking},
    networks::Restored,
    volumes::Volumes,
};

impl Containers {
    /// Reads all records and makes their states true.
    pub(super) async fn recover(&self) -> Result<()> {
        let folder = self.0.settings.data_root.join("containers");
        corten_sys::fs::create_dir_all_mode(&folder, 0o710)?;
        let volumes = self.0.volumes.clone();
        let records = blocking(move || read_all(&folder, &volumes)).await?;
        let mut tasks = JoinSet::new();
        for record in records {
            let container = self.0.insert(record);
            let containers = self.clone();
            tasks.spawn(async move { containers.recover_one(&container).await });
        }
        while let Some(task) = tasks.join_next().await {
            task.map_err(|e| Error::internal(format!("an internal task ended early: {e}")))?;
        }
        self.0.deliveries.resume().await;
        let containers = self.clone();
        blocking(move || {
            containers.settle_ports();
            containers.0.networks.restored()
        })
        .await?;
        self.finish_changes().await;
        self.settle_sockets().await;
        self.reopen_links().await?;
        self.0.recovered.send_replace(true);
        self.end_stray_steps().await;
        let inner = Arc::clone(&self.0);
        blocking(move || {
            inner.remove_stray_bundles();
            inner.remove_stray_snapshots();
            inner.volumes.settle();
            Ok(())
        })
        .await
    }

    /// Lets containers that run through again to those that they link to.
    async fn reopen_links(&self) -> Result<()> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let records = inner.all().into_iter().map(|container| container.record());
            records
                .filter(|record| record.state.running().is_some() && !record.links.is_empty())
                .for_each(|record| inner.reopen_links(&record));
            Ok(())
        })
        .await
    }

    async fn recover_one(&self, container: &Arc<Container>) {
        let record = container.record();
        if let Err(error) = self.0.images.acquire(&record.image, &record.id) {
            tracing::warn!(
                container = record.id,
                error = error.report(),
                "a container's image is missing"
            );
        }
        for mount in record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
            if let Err(error) = self.0.volumes.acquire(&mount.point.name, &record.id) {
                tracing::warn!(
                    container = record.id,
                    error = error.report(),
                    "a container's volume is missing"
                );
            }
            if record.state.running().is_some() {
                self.0.volumes.restored(&mount.point.name, &record.id);
            }
        }
        self.0.deliveries.follow(container);
        if matches!(record.state, State::Removing(_)) {
            return self.finish_removal(container).await;
        }
        container.lock().record.health = Health::read(&container.bundle).map(Arc::new);
        match link::connect(&container.bundle).await {
            Ok((link, shim, events)) => {
                self.reconnect(container, link, &shim, events);
                let ports = container.lock().record.ports.clone();
                let targets = self.0.networks.relay_targets(&container.id, &ports);
                container.move_relays(&ports, Some(targets)).await;
                if record.committing {
                    self.thaw_committed(container).await;
                }
            }
            Err(_) if record.state.running().is_some() => {
                let exit = match read_exit(container) {
                    Some(exit) => exit,
                    None => {
                        self.kill_orphans(container).await;
                        Exit {
                            code: LOST,
                            at: Time::now().nanoseconds(),
                            oom_killed: false,
                        }
                    }
                };
                self.recover_ended(container, exit).await;
            }
            Err(_) => match read_exit(container) {
                Some(exit)
                    if record
                        .state
                        .ended()
                        .is_some_and(|ended| ended.finished_at.nanoseconds() < exit.at) =>
                {
                    self.recover_unseen(container, exit).await;
                }
                _ => self.undo_start(container).await,
            },
        }
        self.start_wanted(container, &record);
    }

    /// The container was started and ended, and neither was recorded.
    async fn recover_unseen(&self, container: &Arc<Container>, exit: Exit) {
        let change = Change::Started {
            pid: 0,
            start_time: 0,
            at: started_before(container, &exit),
        };
        if let Err(error) = container.change_with(change, |record| record.wanted = true) {
            tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot record that a container ran"
            );
        }
        self.ended(container, exit).await;
    }

    /// Takes back what a start has made that never came to its end.
    async fn undo_start(&self, container: &Arc<Container>) {
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(container));
        if let Err(error) = blocking(move || start::undo(&inner, &held)).await {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot clean up after a container"
            );
        }
    }

    /// The container runs: takes it up as it is.
    fn reconnect(
        &self,
        container: &Arc<Container>,
        link: link::Link,
        shim: &corten_shim::protocol::State,
        events: tokio::sync::mpsc::UnboundedReceiver<corten_shim::protocol::Event>,
    ) {
        let at = Time::from_nanoseconds(shim.started_at);
        let result = container.transition(|inner| {
            if inner.record.state.running().is_none() {
                inner.apply(Change::Started {
                    pid: shim.pid,
                    start_time: shim.start_time,
                    at,
                })?;
                inner.record.wanted = true;
            }
            let joined = Joined::read(container);
            if let Some(joined) = joined.clone() {
                joined.correct(&mut inner.record);
            }
            match (&inner.record.state, shim.paused) {
                (State::Running(_), true) => inner.apply(Change::Paused)?,
                (State::Paused(_), false) => inner.apply(Change::Resumed)?,
                _ => {}
            }
            if shim.oom_killed {
                inner.apply(Change::OutOfMemory)?;
            }
            inner.link = Some(link);
            Ok((
                inner.record.name.clone(),
                inner.record.networks.clone(),
                inner.record.ports.clone(),
                joined.unwrap_or_default(),
            ))
        });
        match result {
            Ok((name, networks, ports, joined)) => {
                let places = networks.iter().map(|(network, settings)| Restored {
                    network,
                    settings,
                    link: joined.get(network).and_then(|on| on.link.as_ref()),
                });
                if let Some(standby) = &joined.standby {
                    self.0.networks.stand_by(&container.id, &standby.leader);
                }
                if let Err(error) = self.0.networks.restore(&container.id, &name, places, &ports) {
                    tracing::error!(
                        container = container.id,
                        error = error.report(),
                        "cannot take up a container's network"
                    );
                }
            }
            Err(error) => tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot take up a container"
            ),
        }
        self.0.images.set_running(&container.id, true);
        if matches!(container.lock().record.state, State::Running(_)) {
            self.resume_health(container);
        }
        self.spawn_watch(container, events);
        self.0.deliveries.follow(container);
    }

    /// The container ended while no engine was there.
    async fn recover_ended(&self, container: &Arc<Container>, exit: Exit) {
        // After a reboot everything has ended; what should run is started below, not by its policy's pause.
        self.ended(container, exit).await;
    }

    /// Starts what should run after a reboot or a crash in the middle of a restart.
    fn start_wanted(&self, container: &Arc<Container>, before: &Record) {
        let state = container.lock().record.state.clone();
        let by_policy = before.restarts_by_policy() && !before.stopped_by_user;
        match state {
            State::Restarting(_) => {
                // `ended` has already planned the restart of what it saw end.
                if matches!(before.state, State::Restarting(_)) {
                    tokio::spawn(self.clone().restart_later(Arc::clone(container), Duration::ZERO));
                }
            }
            State::Created(_) | State::Exited(_) if before.wanted && by_policy && before.state.running().is_none() => {
                let (containers, container) = (self.clone(), Arc::clone(container));
                tokio::spawn(async move {
                    containers.wait_recovered().await;
                    let _operation = container.operation.lock().await;
                    if container.lock().record.state.running().is_some() {
                        return;
                    }
                    if let Err(error) = containers.start_held(&container).await {
                        tracing::warn!(
                            container = container.id,
                            error = error.report(),
                            "cannot start a container"
                        );
                    }
                });
            }
            _ => {}
        }
    }

    async fn finish_removal(&self, container: &Arc<Container>) {
        let volumes = container.lock().record.remove_volumes;
        // As if it had failed, so that it can be tried again.
        let failed = container.change(Change::RemovalFailed {
            error: "the engine ended during the removal".into(),
        });
        let removed = match failed {
            Ok(()) => {
                self.remove_known(
                    container,
                    RemoveOptions {
                        force: false,
                        volumes,
                        link: false,
                    },
                )
                .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::error!(
                container = container.id,
                error = error.report(),
                "cannot finish a container's removal"
            );
        }
    }
}

impl Inner {
    /// Bundles of containers that no longer exist; they hold no data.
    fn remove_stray_bundles(&self) {
        let folder = self.settings.exec_root.join("containers");
        let Ok(entries) = corten_sys::fs::read_dir(&folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if self.index().by_id.contains_key(&name) {
                continue;
            }
            if let Err(error) = corten_sys::fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, "cannot remove a stray bundle");
            }
        }
    }

    /// Snapshots of containers whose making was cut off. Those of damaged records are kept.
    fn remove_stray_snapshots(&self) {
        for id in self.store.snapshots().list() {
            let aside = self
                .folder_of(id.split('-').next().unwrap_or(&id))
                .with_extension("damaged");
            // The roots of image mounts are named after their container.
            let owner = id.split('-').next().unwrap_or(&id);
            if self.index().by_id.contains_key(owner) || corten_sys::fs::exists(&aside).unwrap_or(true) {
                continue;
            }
            if let Err(error) = self.store.snapshots().remove(&id) {
                tracing::warn!(container = id, %error, "cannot remove the snapshot of a container that was not made");
            }
        }
    }
}

/// When a container that nobody saw start did so: when its configuration was written, at the latest at its end.
fn started_before(container: &Container, exit: &Exit) -> Time {
    let written = corten_sys::fs::metadata(container.bundle.join(CONFIG_FILE)).and_then(|about| about.modified());
    let at = written
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let at = at.and_then(|at| i64::try_from(at.as_nanos()).ok());
    Time::from_nanoseconds(at.map_or(exit.at, |at| at.min(exit.at)))
}

/// Reads every record; damaged ones are set aside, folders without one are remains of a creation or removal.
fn read_all(folder: &std::path::Path, volumes: &Volumes) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in corten_sys::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.ends_with(".damaged") || !path.is_dir() {
            continue;
        }
        if !corten_sys::fs::exists(path.join(super::record::FILE))? {
            intent::undo(&path, volumes);
            if let Err(error) = corten_sys::fs::remove_dir_all(&path) {
                tracing::warn!(%error, "cannot remove the remains of a container");
            }
            continue;
        }
        match Record::read(&path) {
            Ok(record) if record.id == name => records.push(record),
            Ok(record) => set_aside(&path, &format!("it is the record of container {}", record.id)),
            Err(error) => set_aside(&path, &error.report()),
        }
    }
    Ok(records)
}

fn set_aside(path: &std::path::Path, reason: &str) {
    let aside = path.with_extension("damaged");
    tracing::error!(
        folder = %path.display(), reason, aside = %aside.display(),
        "a container cannot be read; its folder is set aside and the engine goes on without it"
    );
    if let Err(error) = corten_sys::fs::rename(path, &aside) {
        tracing::error!(%error, "cannot set a damaged container aside");
    }
}
