//! Making a container: everything is checked first, then made; what was made is taken back when a later step fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use corten_api::{
    container::{Config, CreateRequest, Created, HostConfig},
    network::EndpointSettings,
    time::Time,
    volume,
};
use corten_oci::{
    image::ContainerConfig,
    platform::{ParsePlatformError, Platform},
};

use super::{
    Containers, Inner, Machine, fill, health, intent,
    modes::{self, Network},
    mounts::{self, Needs, Wanted},
    names, provide, quota,
    record::{FORMAT, MountRecord, Record},
    runtimes,
    state::State,
    stop::name_taken,
    validate,
};
use crate::{
    crash,
    error::{Error, Result, blocking},
    identifiers,
};

impl Containers {
    /// Makes a container from an image; it does not run yet.
    ///
    /// # Errors
    /// `NotFound` for the image, `Invalid` for what makes no sense, `Conflict` for a taken name,
    /// `Unsupported` for what this engine lacks.
    pub async fn create(&self, name: Option<&str>, platform: Option<&str>, request: CreateRequest) -> Result<Created> {
        let name = name
            .filter(|name| !name.is_empty())
            .map(names::check)
            .transpose()?
            .map(str::to_owned);
        let platform = platform.filter(|p| !p.is_empty()).map(str::to_owned);
        let inner = Arc::clone(&self.0);
        let (created, id) = blocking(move || {
            let (record, warnings) = inner.make(name, platform.as_deref(), request)?;
            let id = record.id.clone();
            inner.insert(record);
            Ok((
                Created {
                    id: id.clone(),
                    warnings,
                },
                id,
            ))
        })
        .await?;
        let container = self.find(&id)?;
        self.0.emit(&container, "create", &[]);
        Ok(created)
    }
}

impl Inner {
    /// Checks a request and makes everything but the entry in the index.
    fn make(
        &self,
        name: Option<String>,
        platform: Option<&str>,
        request: CreateRequest,
    ) -> Result<(Record, Vec<String>)> {
        let CreateRequest {
            mut config,
            mut host_config,
            networking_config,
        } = request;
        if config.image.is_empty() {
            return Err(Error::invalid("config cannot be empty in order to create a container"));
        }
        let wanted = platform.map(str::parse::<Platform>).transpose();
        let wanted = wanted.map_err(|e: ParsePlatformError| Error::invalid(e.to_string()))?;
        let image = self.images.find_for(&config.image, wanted.as_ref())?;
        merge_image(&mut config, &image.config.config);
        fill_defaults(&mut host_config, &self.settings, &self.machine);
        let discarded = self.machine.supported.discard(&mut host_config.resources);
        host_config.resources.pids_limit = host_config.resources.pids_limit.filter(|limit| *limit > 0);
        validate::check(&config, &host_config, self.machine.limits())?;
        runtimes::check(&host_config.runtime, &self.settings.now())?;
        let command = command(&config)?;
        let volumes: BTreeSet<String> = config.volumes.iter().flat_map(BTreeMap::keys).cloned().collect();
        quota::size(&host_config, &self.settings.data_root)?;
        let from = self.volumes_from(&host_config)?;
        let wanted = mounts::wanted(&host_config, &volumes, from)?;
        check_sources(&wanted)?;
        let id = identifiers::random();
        fill_host_name(&mut config, &host_config, &id);
        let links = self.take_links(&mut host_config)?;
        let mut networks = networking_config.endpoints_config;
        self.prepare_networks(&host_config, &mut networks)?;
        let name = self.reserve_name(name, &id)?;
        let mut record = Record {
            format: FORMAT,
            id,
            name,
            created: Time::now(),
            image: image.id.clone(),
            command,
            config,
            host_config,
            mounts: Vec::new(),
            networks,
            ports: BTreeMap::new(),
            state: State::default(),
            restarts: 0,
            stopped_by_user: false,
            wanted: false,
            remove_volumes: false,
            links,
            stands_by_for: None,
            committing: false,
            health: None,
        };
        match self.make_files(&mut record, wanted) {
            Ok(warnings) => Ok((record, [discarded, warnings].concat())),
            Err(error) => {
                self.unmake(&record);
                Err(error)
            }
        }
    }

    /// Makes folder, snapshot, volumes and record.
    fn make_files(&self, record: &mut Record, wanted: Vec<Wanted>) -> Result<Vec<String>> {
        let folder = self.folder_of(&record.id);
        corten_sys::fs::create_dir_all_mode(&folder, 0o710)?;
        self.images.acquire(&record.image, &record.id)?;
        crash::point("create:folder");
        self.store.snapshots().prepare(&record.id, &record.image)?;
        if let Some(size) = quota::size(&record.host_config, &self.settings.data_root)? {
            self.store.snapshots().limit(&record.id, size)?;
        }
        crash::point("create:snapshot");
        let wanted = intent::name_volumes(&folder, wanted)?;
        crash::point("create:intended");
        for wanted in wanted {
            let mount = self.provide(record, wanted)?;
            record.mounts.push(mount);
        }
        crash::point("create:volumes");
        fill::volumes(&self.store, &self.volumes, record)?;
        self.durable.register(record.write(&folder)?);
        intent::done(&folder)?;
        crash::point("create:recorded");
        Ok(warnings(record))
    }

    /// Makes what a mount needs.
    fn provide(&self, record: &Record, wanted: Wanted) -> Result<MountRecord> {
        let Wanted {
            record: mut mount,
            needs,
        } = wanted;
        match needs {
            Needs::Nothing => {}
            Needs::HostPath { create } => {
                if create && !corten_sys::fs::exists(&mount.point.source)? {
                    corten_sys::fs::create_dir_all_mode(&mount.point.source, 0o755)?;
                }
            }
            Needs::Image { reference } => {
                let image = self.images.find(&reference)?;
                let root = provide::image_root(&record.id, record.mounts.len());
                self.store.snapshots().prepare(&root, &image.id)?;
            }
            Needs::Volume {
                driver,
                options,
                labels,
            } => {
                let request = volume::CreateRequest {
                    name: mount.point.name.clone(),
                    driver,
                    driver_opts: options,
                    labels,
                    cluster_volume_spec: None,
                };
                let volume = self.volumes.create(request)?;
                let source = self.volumes.acquire(&volume.name, &record.id)?;
                mount.point.name = volume.name;
                mount.point.driver = volume.driver;
                mount.point.source = source.to_string_lossy().into_owned();
            }
        }
        Ok(mount)
    }

    /// Takes back what [`make_files`](Self::make_files) made; what cannot be taken back is logged.
    fn unmake(&self, record: &Record) {
        let log = |what: &str, error: &dyn std::fmt::Display| {
            tracing::warn!(container = record.id, %error, "cannot take back {what} of a container that was not made");
        };
        for mount in record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
            self.volumes.release(&mount.point.name, &record.id);
            if !mount.named
                && let Err(error) = self.volumes.discard(&mount.point.name)
            {
                log("a volume", &error);
            }
        }
        if let Err(error) = self.remove_roots(record) {
            log("the snapshot", &error);
        }
        self.images.release(&record.image, &record.id);
        if let Err(error) = corten_sys::fs::if_there(corten_sys::fs::remove_dir_all(self.folder_of(&record.id))) {
            log("the folder", &error);
        }
        self.index_mut().by_name.remove(&record.name);
    }

    /// Checks the endpoints asked for, and has that of `--network` among them; each under its network's
    /// name, if there is such a network by now.
    pub(super) fn prepare_networks(
        &self,
        host: &HostConfig,
        networks: &mut BTreeMap<String, EndpointSettings>,
    ) -> Result<()> {
        for (name, settings) in std::mem::take(networks) {
            self.networks
                .check_endpoint(&name, &settings)
                .map_err(|e| e.context(format!("invalid config for network {name}")))?;
            let found = self.networks.find(&name).ok().map(|info| info.name);
            networks.insert(found.unwrap_or(name), settings);
        }
        let name = match modes::network(&host.network_mode) {
            Network::Named(name) => name,
            Network::None => "none",
            Network::Host => "host",
            Network::Container(_) => return Ok(()),
        };
        if networks.is_empty() {
            let found = self.networks.find(name).ok().map(|info| info.name);
            networks.insert(found.unwrap_or_else(|| name.to_owned()), EndpointSettings::default());
        }
        Ok(())
    }

    /// Takes a name, the user's or a random one, for an id.
    fn reserve_name(&self, name: Option<String>, id: &str) -> Result<String> {
        let mut index = self.index_mut();
        let name = match name {
            Some(name) => match index.by_name.get(&name) {
                Some(owner) => return Err(name_taken(&name, owner)),
                None => name,
            },
            None => names::random(|name| index.by_name.contains_key(name)),
        };
        index.by_name.insert(name.clone(), id.to_owned());
        Ok(name)
    }
}

/// Takes from the image what the user left open (OCI image-spec, config.md; Docker's own rules).
fn merge_image(config: &mut Config, image: &ContainerConfig) {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    merge_map(&mut config.exposed_ports, image.exposed_ports.keys());
    merge_map(&mut config.volumes, image.volumes.keys());
    let mut env = config.env.take().unwrap_or_default();
    let is_given = |variable: &&String| !env.iter().any(|given| name_of(given) == name_of(variable));
    let inherited: Vec<String> = image.env.iter().filter(is_given).cloned().collect();
    env.extend(inherited);
    config.env = (!env.is_empty()).then_some(env);
    if config.entrypoint.is_none() {
        // A command without entrypoint comes with the image's own arguments only when none were given.
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
        }
        config.entrypoint.clone_from(&image.entrypoint);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    for (name, value) in &image.labels {
        config.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    if config.stop_signal.is_empty() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    health::merge(&mut config.healthcheck, image.healthcheck.as_ref());
    config.on_build = None;
}

/// The name of a variable: what is before `=`.
fn name_of(variable: &str) -> &str {
    variable.split('=').next().unwrap_or(variable)
}

fn merge_map<'a>(
    own: &mut Option<BTreeMap<String, corten_api::image::Empty>>,
    image: impl Iterator<Item = &'a String>,
) {
    let mut merged = own.take().unwrap_or_default();
    for name in image {
        merged.entry(name.clone()).or_default();
    }
    *own = (!merged.is_empty()).then_some(merged);
}

/// Entrypoint and arguments in one; an entrypoint of one empty word stands for none.
fn command(config: &Config) -> Result<Vec<String>> {
    let entrypoint = config
        .entrypoint
        .iter()
        .flatten()
        .filter(|word| !(word.is_empty() && config.entrypoint.iter().flatten().count() == 1));
    let command: Vec<String> = entrypoint.chain(config.cmd.iter().flatten()).cloned().collect();
    if command.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("no command specified"));
    }
    Ok(command)
}

/// What answers show for what was left open, as Docker's do.
pub(super) fn fill_defaults(host: &mut HostConfig, settings: &crate::settings::Settings, machine: &Machine) {
    let reloadable = settings.now();
    if host.network_mode.is_empty() || host.network_mode == "default" {
        "bridge".clone_into(&mut host.network_mode);
    }
    if host.shm_size == 0 {
        host.shm_size = reloadable.shm_size;
    }
    if host.ipc_mode.is_empty() {
        host.ipc_mode.clone_from(&reloadable.ipc);
    }
    if host.cgroupns_mode.is_empty() {
        let default = match (machine.cgroup2, reloadable.cgroupns.as_str()) {
            (false, _) if host.privileged => "host",
            (false, "") => "host",
            (true, "") => "private",
            (_, asked) => asked,
        };
        default.clone_into(&mut host.cgroupns_mode);
    }
    if host.restart_policy.name.is_empty() {
        "no".clone_into(&mut host.restart_policy.name);
    }
    if host.runtime.is_empty() {
        reloadable.default_runtime().clone_into(&mut host.runtime);
    }
    super::log_config::merge(&mut host.log_config, &reloadable.log);
    let limits = &mut host.resources;
    if limits.memory > 0 && limits.memory_swap == 0 {
        limits.memory_swap = limits.memory.saturating_mul(2);
    }
    if limits.oom_kill_disable.is_none() {
        limits.oom_kill_disable = Some(false);
    }
}

pub(super) fn fill_host_name(config: &mut Config, host: &HostConfig, id: &str) {
    if config.hostname.is_empty() {
        let of_host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        config.hostname = match (host.uts_mode.as_str(), modes::network(&host.network_mode)) {
            ("host", _) | (_, Network::Host) => of_host(),
            _ => id.get(..12).unwrap_or(id).to_owned(),
        };
    }
}

fn check_sources(wanted: &[Wanted]) -> Result<()> {
    for Wanted { record, needs } in wanted {
        if matches!(needs, Needs::HostPath { create: false }) && !corten_sys::fs::exists(&record.point.source)? {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                record.point.source
            )));
        }
    }
    Ok(())
}

fn warnings(record: &Record) -> Vec<String> {
    let mut warnings = Vec::new();
    let host = &record.host_config;
    if matches!(modes::network(&host.network_mode), Network::Host) && !host.port_bindings.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    if host.resources.oom_kill_disable == Some(true) && host.resources.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."
                .to_owned(),
        );
    }
    warnings.extend(health::warning(record));
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    fn merged(entrypoint: Option<Vec<String>>, cmd: Option<Vec<String>>) -> String {
        let image = ContainerConfig {
            entrypoint: words("entry -a"),
            cmd: words("default args"),
            ..Default::default()
        };
        let mut config = Config {
            entrypoint,
            cmd,
            ..Default::default()
        };
        merge_image(&mut config, &image);
        command(&config).map_or_else(|e| e.report(), |words| words.join(" "))
    }

    #[test]
    fn command_and_entrypoint_combine_as_docker() {
        assert_eq!(merged(None, None), "entry -a default args");
        assert_eq!(merged(None, words("x")), "entry -a x");
        assert_eq!(merged(words("own"), None), "own");
        assert_eq!(merged(words("own"), words("x")), "own x");
        assert_eq!(merged(Some(vec![String::new()]), words("x y")), "x y");
        assert_eq!(merged(Some(vec![String::new()]), None), "no command specified");
    }

    #[test]
    fn image_gives_what_is_left_open() {
        let image = ContainerConfig {
            env: vec!["A=1".into(), "B=2".into()],
            working_dir: "/w".into(),
            user: "u".into(),
            labels: [
                ("l".to_owned(), "image".to_owned()),
                ("m".to_owned(), "image".to_owned()),
            ]
            .into(),
            ..Default::default()
        };
        let mut config = Config {
            env: Some(vec!["B=3".into()]),
            labels: [("l".to_owned(), "own".to_owned())].into(),
            ..Default::default()
        };
        merge_image(&mut config, &image);
        assert_eq!(config.env, Some(vec!["B=3".to_owned(), "A=1".to_owned()]));
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/w", "u"));
        assert_eq!(config.labels.values().collect::<Vec<_>>(), ["own", "image"]);
    }
}
