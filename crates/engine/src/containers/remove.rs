//! Removing containers.

use std::sync::Arc;

use corten_api::{container::Pruned, filters::Filters};

use super::{Change, Container, Containers, Inner, State, provide, record::Record};
use crate::{
    crash,
    error::{Error, Kind, Result, blocking},
    time_filter,
};

/// How a container is removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Whether it is killed when it runs.
    pub force: bool,
    /// Whether its anonymous volumes go too.
    pub volumes: bool,
    /// Whether a link is removed instead (obsolete).
    pub link: bool,
}

impl Containers {
    /// Removes a container.
    ///
    /// # Errors
    /// `Conflict` when it runs and `force` is not given, or is being removed.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        if options.link {
            return self.remove_link(name);
        }
        let container = self.find(name)?;
        self.remove_known(&container, options)
            .await
            .map_err(|e| match e.kind() {
                Kind::Conflict => e.context(format!("cannot remove container \"{}\"", name.trim_start_matches('/'))),
                _ => e,
            })
    }

    /// Removes a container that the caller holds.
    pub(super) async fn remove_known(&self, container: &Arc<Container>, options: RemoveOptions) -> Result<()> {
        {
            let inner = container.lock();
            match &inner.record.state {
                State::Running(_) if !options.force => {
                    return Err(Error::conflict(
                        "container is running: stop the container before removing or force remove",
                    ));
                }
                State::Paused(_) if !options.force => {
                    return Err(Error::conflict("container is paused and must be unpaused first"));
                }
                State::Restarting(_) if !options.force => {
                    return Err(Error::conflict(
                        "container is restarting: stop the container before removing or force remove",
                    ));
                }
                State::Removing(_) => return Err(Error::conflict("removal of container is already in progress")),
                _ => {}
            }
        }
        if options.force {
            leave_ended(container)?;
        }
        let _operation = container.operation.lock().await;
        if container.status.borrow().removed {
            return Ok(());
        }
        if options.force {
            // Not earlier: a restart that had begun has come to its end by now.
            self.kill_known(container).await?;
        }
        if let Err(error) = container.change_with(Change::Removing, |record| record.remove_volumes = options.volumes) {
            if !matches!(container.lock().record.state, State::Removing(_)) {
                return Err(error);
            }
            // On a full disk the removal is what makes room: it goes on without its note.
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot note a removal"
            );
        }
        crash::point("remove:noted");
        let (inner, held) = (Arc::clone(&self.0), Arc::clone(container));
        let removed = blocking(move || inner.remove_files(&held.record(), options.volumes)).await;
        if let Err(error) = removed {
            container.change(Change::RemovalFailed { error: error.report() })?;
            return Err(error);
        }
        self.forget(container);
        Ok(())
    }

    /// Takes a container whose files are gone out of the index, and tells everyone.
    fn forget(&self, container: &Container) {
        {
            let mut index = self.0.index_mut();
            index.by_id.remove(&container.id);
            index.forget_links(&container.id);
            let name = container.name();
            if index.by_name.get(&name).is_some_and(|id| *id == container.id) {
                index.by_name.remove(&name);
            }
        }
        self.0.emit(container, "destroy", &[]);
        container.lock().clients.clear();
        container.status.send_modify(|status| {
            status.active = false;
            status.removed = true;
        });
    }

    /// Removes all containers that do not run.
    ///
    /// # Errors
    /// `Invalid` for an unknown filter.
    pub async fn prune(&self, filters: &Filters) -> Result<Pruned> {
        filters.accept(&["label", "label!", "until"])?;
        let until = time_filter::until(filters)?;
        let mut pruned = Pruned::default();
        for container in self.0.all() {
            let record = container.record();
            let stopped = matches!(record.state, State::Created(_) | State::Exited(_) | State::Dead(_));
            let old = until.is_none_or(|until| record.created < until);
            if !stopped || !old || !filters.labels(&record.config.labels) {
                continue;
            }
            let store = Arc::clone(&self.0.store);
            let id = record.id.clone();
            let size = blocking(move || Ok(store.snapshots().usage(&id)?.bytes))
                .await
                .unwrap_or(0);
            match self.remove_known(&container, RemoveOptions::default()).await {
                Ok(()) => {
                    pruned.space_reclaimed += size;
                    pruned.containers_deleted.get_or_insert_default().push(record.id);
                }
                Err(error) => tracing::warn!(
                    container = record.id,
                    error = error.report(),
                    "cannot prune a container"
                ),
            }
        }
        self.0.events.emit(
            "container",
            "prune",
            "",
            [("reclaimed".to_owned(), pruned.space_reclaimed.to_string())].into(),
        );
        Ok(pruned)
    }
}

/// Sees to it that the restart policy leaves a container alone once it has ended.
fn leave_ended(container: &Container) -> Result<()> {
    let noted = container.edit(|record| {
        record.stopped_by_user = true;
        record.wanted = false;
        // We remove it ourselves.
        record.host_config.auto_remove = false;
    });
    if let Err(error) = noted {
        // As below: the removal makes room.
        tracing::warn!(
            container = container.id,
            error = error.report(),
            "cannot note a removal"
        );
    }
    if matches!(container.lock().record.state, State::Restarting(_)) {
        match container.change(Change::RestartCancelled) {
            // It was started in this moment, and will be killed.
            Err(error) if error.kind() == Kind::Conflict => {}
            other => other?,
        }
        container.interrupt.notify_waiters();
    }
    Ok(())
}

impl Inner {
    /// Removes a container's root, and those of its image mounts.
    pub(super) fn remove_roots(&self, record: &Record) -> Result<()> {
        for (index, mount) in record.mounts.iter().enumerate() {
            if mount.point.kind == "image" {
                self.store.snapshots().remove(&provide::image_root(&record.id, index))?;
            }
        }
        if record.host_config.storage_opt.iter().flatten().next().is_some() {
            self.store.snapshots().unlimit(&record.id);
        }
        Ok(self.store.snapshots().remove(&record.id)?)
    }

    /// Removes snapshot, volumes, logs and record; a second attempt finds what a first one left.
    fn remove_files(&self, record: &Record, volumes: bool) -> Result<()> {
        self.remove_roots(record)?;
        crash::point("remove:snapshot");
        for mount in record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
            let name = &mount.point.name;
            self.volumes.release(name, &record.id);
            if volumes && !mount.named && self.volumes.is_anonymous(name) {
                match self.volumes.remove(name, false) {
                    // Another container uses it, or it has been removed by hand.
                    Err(error) if !matches!(error.kind(), Kind::Conflict | Kind::NotFound) => return Err(error),
                    _ => {}
                }
            }
        }
        crash::point("remove:volumes");
        self.images.release(&record.image, &record.id);
        corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(self.bundle_of(&record.id)))?;
        self.deliveries.keep(record, &self.folder_of(&record.id))?;
        corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(self.folder_of(&record.id)))?;
        Ok(())
    }
}
