//! A container becomes an image (Docker API `POST /commit`).

use std::sync::Arc;

use corten_api::{container::Config, image::Empty as ApiEmpty};
use corten_oci::{
    digest::Digest,
    image::{ContainerConfig, Empty, Healthcheck},
};

use super::{Container, Containers, State, record::Record, spec};
use crate::{
    crash,
    error::{Error, Result, blocking},
    images,
    system::VERSION,
};

/// What to make of a container.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// The repository; empty for an image without a name.
    pub repository: String,
    /// The tag; empty for `latest`.
    pub tag: String,
    /// Who made it.
    pub author: String,
    /// The remark in the history.
    pub comment: String,
    /// Whether the container is frozen meanwhile.
    pub pause: bool,
    /// Dockerfile instructions that are applied.
    pub changes: Vec<String>,
    /// The configuration in the place of the container's own.
    pub config: Option<Config>,
}

impl Containers {
    /// Makes an image of a container; returns its id.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for names and changes that are none, `Conflict` while it is removed.
    pub async fn commit(&self, name: &str, request: CommitRequest) -> Result<String> {
        let container = self.find(name)?;
        let refused = |what: &str| {
            Err(Error::conflict(format!(
                "You cannot commit container {} which is {what}",
                container.id
            )))
        };
        match container.lock().record.state {
            State::Dead(_) => return refused("Dead"),
            State::Removing(_) => return refused("being removed"),
            _ => {}
        }
        let reference = images::named(&request.repository, &request.tag)?;
        let config = configuration(&container.record(), &request)?;
        let comment = request.comment.clone();
        // A client that leaves must not leave a frozen container behind.
        let (containers, held) = (self.clone(), Arc::clone(&container));
        let id = tokio::spawn(async move { containers.commit_frozen(&held, config, request).await })
            .await
            .map_err(|e| Error::internal("the commit ended early").source(e))??;
        if let Some(reference) = &reference {
            self.0.images.tag(id.as_str(), &reference.familiar(), "").await?;
        }
        let more = [
            ("comment", comment),
            ("imageID", id.as_str().to_owned()),
            (
                "imageRef",
                reference.map(|reference| reference.familiar()).unwrap_or_default(),
            ),
        ];
        self.0.emit(&container, "commit", &more);
        Ok(id.as_str().to_owned())
    }

    async fn commit_frozen(
        &self,
        container: &Arc<Container>,
        config: ContainerConfig,
        request: CommitRequest,
    ) -> Result<Digest> {
        let freeze = request.pause && matches!(container.lock().record.state, State::Running(_));
        // As Docker does: one that ends in this moment is committed all the same.
        let frozen = freeze && self.freeze(container).await.is_ok();
        let record = container.record();
        let store = Arc::clone(&self.0.store);
        let order = corten_store::CommitRequest {
            snapshot: record.id.clone(),
            made: spec::mount_points(),
            parent: Some(record.image.clone()),
            config,
            created_by: record.config.cmd.as_deref().unwrap_or_default().join(" "),
            author: request.author,
            comment: request.comment,
            version: VERSION.to_owned(),
        };
        let committed = blocking(move || Ok(store.commit(order)?)).await;
        if frozen {
            self.thaw_committed(container).await;
        }
        committed
    }

    /// Freezes a container, and notes that its engine wants to thaw it again.
    async fn freeze(&self, container: &Container) -> Result<()> {
        container.edit(|record| record.committing = true)?;
        crash::point("commit:noted");
        self.pause(&container.id).await?;
        crash::point("commit:frozen");
        Ok(())
    }

    /// Thaws a container that was frozen only to be committed; also for one that an engine, which is
    /// gone, left so.
    pub(super) async fn thaw_committed(&self, container: &Container) {
        let frozen = matches!(container.lock().record.state, State::Paused(_));
        let thawed = match frozen {
            true => self.unpause(&container.id).await,
            false => Ok(()),
        };
        let noted = container.edit(|record| record.committing = false);
        if let Err(error) = thawed.and(noted) {
            tracing::warn!(
                container = container.id,
                error = error.report(),
                "cannot thaw a committed container"
            );
        }
    }
}

/// The image's configuration: the one asked for, or the container's, with the changes, and what is
/// left open from the container.
fn configuration(record: &Record, request: &CommitRequest) -> Result<ContainerConfig> {
    let own = of_container(&record.config);
    let base = request.config.as_ref().map_or_else(|| own.clone(), of_container);
    let mut config = images::apply_changes(base, &request.changes)?;
    merge(&mut config, &own);
    Ok(config)
}

fn merge(config: &mut ContainerConfig, own: &ContainerConfig) {
    let text = |to: &mut String, from: &String| {
        if to.is_empty() {
            to.clone_from(from);
        }
    };
    text(&mut config.user, &own.user);
    text(&mut config.working_dir, &own.working_dir);
    text(&mut config.stop_signal, &own.stop_signal);
    for (port, empty) in &own.exposed_ports {
        config.exposed_ports.insert(port.clone(), *empty);
    }
    for (path, empty) in &own.volumes {
        config.volumes.insert(path.clone(), *empty);
    }
    for variable in &own.env {
        let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
        if !config.env.iter().any(|have| name(have) == name(variable)) {
            config.env.push(variable.clone());
        }
    }
    for (key, value) in &own.labels {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if config.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&own.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&own.entrypoint);
        }
    }
    merge_healthcheck(&mut config.healthcheck, own.healthcheck.as_ref());
}

fn merge_healthcheck(check: &mut Option<Healthcheck>, own: Option<&Healthcheck>) {
    let Some(own) = own else { return };
    let Some(check) = check else {
        *check = Some(own.clone());
        return;
    };
    if check.test.is_empty() {
        check.test.clone_from(&own.test);
    }
    for (to, from) in [
        (&mut check.interval, own.interval),
        (&mut check.timeout, own.timeout),
        (&mut check.start_period, own.start_period),
        (&mut check.start_interval, own.start_interval),
        (&mut check.retries, own.retries),
    ] {
        if *to == 0 {
            *to = from;
        }
    }
}

/// What of a container's configuration an image keeps.
fn of_container(config: &Config) -> ContainerConfig {
    let keys = |set: &Option<std::collections::BTreeMap<String, ApiEmpty>>| {
        set.iter().flatten().map(|(key, _)| (key.clone(), Empty {})).collect()
    };
    ContainerConfig {
        user: config.user.clone(),
        exposed_ports: keys(&config.exposed_ports),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: keys(&config.volumes),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        args_escaped: config.args_escaped,
        healthcheck: config.healthcheck.as_ref().map(|check| Healthcheck {
            test: check.test.clone(),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        on_build: config.on_build.clone().unwrap_or_default(),
        shell: config.shell.clone().unwrap_or_default(),
        stop_timeout: config.stop_timeout,
    }
}
