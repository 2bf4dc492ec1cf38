//! What answers show of containers: lists and inspections.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use corten_api::{
    container::{Inspect, MountPoint, NetworkSettings, Port, Summary, SummaryHostConfig, SummaryNetworkSettings},
    filters::Filters,
    image::GraphDriver,
    network::EndpointSettings,
    time::Time,
};
use corten_oci::digest::Digest;

use super::{Container, Containers, State, record::Record, security};
use crate::{
    error::{Error, Result, blocking},
    images::Images,
    name_pattern::NamePattern,
    networks::PortMap,
};

/// What a list shows.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Whether containers that do not run are shown too.
    pub all: bool,
    /// How many of the newest are shown, whatever they do; none for no limit.
    pub limit: Option<usize>,
    /// Whether sizes are computed.
    pub size: bool,
    /// Which are shown.
    pub filters: Filters,
}

/// Filters that lists of containers know.
const FILTERS: [&str; 17] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "auto-remove",
];
/// Words for states.
const STATES: [&str; 7] = [
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];

impl Containers {
    /// Lists containers, the newest first.
    ///
    /// # Errors
    /// `Invalid` for filters that make no sense, `NotFound` for containers that they name.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Summary>> {
        let filters = &request.filters;
        filters.accept(&FILTERS)?;
        check_values(filters)?;
        let bounds = (self.bound(filters, "before")?, self.bound(filters, "since")?);
        let ancestors = self.ancestors(filters);
        let everything = request.all || request.limit.is_some() || filters.has("status") || filters.has("exited");
        let is_shown = |record: &Record| {
            (everything || record.state.running().is_some() || matches!(record.state, State::Restarting(_)))
                && bounds.0.is_none_or(|before| record.created < before)
                && bounds.1.is_none_or(|since| record.created > since)
                && (!filters.has("ancestor") || ancestors.contains(&record.image))
                && matches(record, filters)
        };
        let mut summaries = Vec::new();
        let mut names = ImageNames::new(&self.0.images);
        let now = Time::now();
        for container in self.newest_first() {
            if request.limit.is_some_and(|limit| summaries.len() >= limit) {
                break;
            }
            // Nothing is copied of what is not shown.
            let inner = container.lock();
            if is_shown(&inner.record) {
                summaries.push(summary(&inner.record, now, &mut names));
            }
        }
        if request.size {
            self.add_sizes(&mut summaries).await?;
        }
        Ok(summaries)
    }

    fn newest_first(&self) -> impl Iterator<Item = Arc<Container>> + use<> {
        let all = self.0.all().into_iter();
        let mut all: Vec<(Time, Arc<Container>)> = all
            .map(|container| {
                let created = container.lock().record.created;
                (created, container)
            })
            .collect();
        all.sort_unstable_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.id.cmp(&other.id)));
        all.into_iter().map(|(_, container)| container)
    }

    /// Describes a container.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn inspect(&self, name: &str, size: bool) -> Result<Inspect> {
        let container = self.find(name)?;
        let mut inspect = self.describe(&container);
        if size {
            let (rw, root) = self.sizes(container.record()).await?;
            inspect.size_rw = Some(rw);
            inspect.size_root_fs = Some(root);
        }
        Ok(inspect)
    }

    /// Numbers of containers: running, paused, stopped.
    pub fn counts(&self) -> (i64, i64, i64) {
        let mut counts = (0, 0, 0);
        for container in self.0.all() {
            match container.lock().record.state {
                State::Running(_) | State::Restarting(_) => counts.0 += 1,
                State::Paused(_) => counts.1 += 1,
                State::Created(_) | State::Exited(_) | State::Removing(_) | State::Dead(_) => counts.2 += 1,
            }
        }
        counts
    }

    fn bound(&self, filters: &Filters, name: &str) -> Result<Option<Time>> {
        filters
            .values(name)
            .next()
            .map(|value| Ok(self.find(value)?.lock().record.created))
            .transpose()
    }

    /// Ids of the images that the `ancestor` filter names; unknown ones match nothing.
    fn ancestors(&self, filters: &Filters) -> Vec<Digest> {
        filters
            .values("ancestor")
            .filter_map(|name| self.0.images.id_of(name))
            .collect()
    }

    async fn add_sizes(&self, summaries: &mut [Summary]) -> Result<()> {
        for summary in summaries {
            // One that is gone by now has nothing to measure.
            let Ok(container) = self.find(&summary.id) else {
                continue;
            };
            let (rw, root) = self.sizes(container.record()).await?;
            summary.size_rw = Some(rw);
            summary.size_root_fs = Some(root);
        }
        Ok(())
    }

    /// Bytes that a container wrote, and of its whole root.
    async fn sizes(&self, record: Record) -> Result<(i64, i64)> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let own = inner.store.snapshots().usage(&record.id)?.bytes;
            let image = inner.images.size(&record.image).unwrap_or(0);
            let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            Ok((signed(own), signed(own.saturating_add(image))))
        })
        .await
    }

    fn describe(&self, container: &Container) -> Inspect {
        let record = container.record();
        let pid = record.state.running().map(|running| running.pid);
        let path = |name: &str| container.folder.join(name).to_string_lossy().into_owned();
        let made = |name: &str| match corten_sys::fs::exists(container.folder.join(name)) {
            Ok(true) => path(name),
            _ => String::new(),
        };
        let log_path = match record.host_config.log_config.driver.as_str() {
            "json-file" => container.log_path().to_string_lossy().into_owned(),
            _ => String::new(),
        };
        let network_settings = self.network_settings(&record, pid);
        let asked = security::parse(&record.host_config)
            .ok()
            .and_then(|security| security.apparmor);
        let app_armor_profile = self.0.machine.apparmor.profile(asked, record.host_config.privileged);
        let app_armor_profile = app_armor_profile.unwrap_or_default().to_owned();
        let mut host_config = record.host_config.clone();
        fill_paths(&mut host_config);
        if !record.links.is_empty() {
            host_config.links = Some(super::links::shown(&self.0, &record));
        }
        Inspect {
            created: record.created,
            path: record.command.first().cloned().unwrap_or_default(),
            args: record.command.iter().skip(1).cloned().collect(),
            state: corten_api::container::State {
                health: record.health.as_ref().map(|health| health.to_api()),
                ..record.state.to_api()
            },
            image: record.image.to_string(),
            resolv_conf_path: made("resolv.conf"),
            hostname_path: made("hostname"),
            hosts_path: made("hosts"),
            log_path,
            name: format!("/{}", record.name),
            restart_count: record.restarts,
            driver: "overlay2".into(),
            platform: "linux".into(),
            app_armor_profile,
            exec_ids: self.0.execs.of(&record.id),
            host_config,
            graph_driver: self.graph_driver(&record.id),
            mounts: mount_points(&record),
            config: record.config,
            network_settings,
            id: record.id,
            ..Inspect::default()
        }
    }

    fn graph_driver(&self, id: &str) -> GraphDriver {
        let mut data = BTreeMap::from([("ID".to_owned(), id.to_owned())]);
        if let Ok(folders) = self.0.store.snapshots().folders(id) {
            let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
            let lower: Vec<String> = folders.lower.iter().map(|path| text(path)).collect();
            data.insert("LowerDir".into(), lower.join(":"));
            data.insert("UpperDir".into(), text(&folders.upper));
            data.insert("WorkDir".into(), text(&folders.work));
            data.insert("MergedDir".into(), text(&folders.merged));
        }
        GraphDriver {
            data: Some(data),
            name: "overlay2".into(),
        }
    }

    fn network_settings(&self, record: &Record, pid: Option<i32>) -> NetworkSettings {
        let mut settings = NetworkSettings {
            sandbox_id: if pid.is_some() {
                record.id.clone()
            } else {
                String::new()
            },
            sandbox_key: pid.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
            ports: shown_ports(record),
            networks: record.networks.clone(),
            ..NetworkSettings::default()
        };
        for (name, endpoint) in &mut settings.networks {
            if endpoint.network_id.is_empty()
                && let Ok(network) = self.0.networks.find(name)
            {
                endpoint.network_id = network.id;
            }
        }
        if let Some(endpoint) = record.networks.get("bridge") {
            settings.endpoint_id.clone_from(&endpoint.endpoint_id);
            settings.gateway.clone_from(&endpoint.gateway);
            settings.global_ipv6_address.clone_from(&endpoint.global_ipv6_address);
            settings.global_ipv6_prefix_len = endpoint.global_ipv6_prefix_len;
            settings.ip_address.clone_from(&endpoint.ip_address);
            settings.ip_prefix_len = endpoint.ip_prefix_len;
            settings.ipv6_gateway.clone_from(&endpoint.ipv6_gateway);
            settings.mac_address.clone_from(&endpoint.mac_address);
        }
        settings
    }
}

/// The names by which images were asked for, each looked up once in a list.
struct ImageNames<'a> {
    images: &'a Images,
    known: HashMap<String, Option<Digest>>,
}

impl<'a> ImageNames<'a> {
    fn new(images: &'a Images) -> Self {
        Self {
            images,
            known: HashMap::new(),
        }
    }

    /// The image as the user named it, or its id when the name now means another.
    fn of(&mut self, record: &Record) -> String {
        let name = &record.config.image;
        if !self.known.contains_key(name) {
            self.known.insert(name.clone(), self.images.id_of(name));
        }
        match self.known.get(name) {
            Some(Some(id)) if *id == record.image => name.clone(),
            _ => record.image.to_string(),
        }
    }
}

fn summary(record: &Record, now: Time, images: &mut ImageNames<'_>) -> Summary {
    let networks = record.networks.iter();
    Summary {
        id: record.id.clone(),
        names: vec![format!("/{}", record.name)],
        image: images.of(record),
        image_id: record.image.to_string(),
        command: shown_command(&record.command),
        created: record.created.seconds(),
        ports: ports(record),
        size_rw: None,
        size_root_fs: None,
        labels: record.config.labels.clone(),
        state: record.state.name().to_owned(),
        status: status(record, now),
        host_config: SummaryHostConfig {
            network_mode: record.host_config.network_mode.clone(),
            annotations: record.host_config.annotations.clone(),
        },
        network_settings: SummaryNetworkSettings {
            networks: networks
                .map(|(name, settings)| (name.clone(), in_list(settings)))
                .collect(),
        },
        mounts: mount_points(record),
    }
}

/// Docker shows the paths that are hidden even when the user named none.
fn fill_paths(host: &mut corten_api::container::HostConfig) {
    if host.privileged || host.security_opt.iter().flatten().any(|o| o.starts_with("systempaths")) {
        return;
    }
    host.masked_paths.get_or_insert_with(super::spec::masked_paths);
    host.readonly_paths.get_or_insert_with(super::spec::readonly_paths);
}

/// Endpoints in lists have only what the network gave.
fn in_list(settings: &EndpointSettings) -> EndpointSettings {
    EndpointSettings {
        aliases: None,
        links: None,
        driver_opts: None,
        dns_names: None,
        ..settings.clone()
    }
}

fn mount_points(record: &Record) -> Vec<MountPoint> {
    // A tmpfs of `--tmpfs` is in `HostConfig.Tmpfs` alone.
    let by_flag = |target: &str| {
        record
            .host_config
            .tmpfs
            .as_ref()
            .is_some_and(|t| t.contains_key(target))
    };
    record
        .mounts
        .iter()
        .map(|mount| mount.point.clone())
        .filter(|point| point.kind != "tmpfs" || !by_flag(&point.destination))
        .collect()
}

/// Ports as inspections show them: published while it runs, nothing otherwise.
fn shown_ports(record: &Record) -> PortMap {
    if record.state.running().is_none() {
        PortMap::new()
    } else {
        record.ports.clone()
    }
}

/// Ports as lists show them.
fn ports(record: &Record) -> Vec<Port> {
    let mut ports = Vec::new();
    if record.state.running().is_none() {
        return ports;
    }
    let exposed = record.config.exposed_ports.iter().flatten().map(|(port, _)| port);
    let unpublished = exposed
        .filter(|port| !record.ports.contains_key(*port))
        .map(|port| (port, None));
    for (port, bindings) in record
        .ports
        .iter()
        .map(|(port, bindings)| (port, bindings.as_ref()))
        .chain(unpublished)
    {
        let Some((private_port, protocol)) = split_port(port) else {
            continue;
        };
        let bindings = bindings.map(Vec::as_slice).unwrap_or_default();
        if bindings.is_empty() {
            ports.push(Port {
                private_port,
                protocol: protocol.to_owned(),
                ..Port::default()
            });
        }
        for binding in bindings {
            ports.push(Port {
                ip: binding.host_ip.clone(),
                private_port,
                public_port: binding.host_port.parse().unwrap_or(0),
                protocol: protocol.to_owned(),
            });
        }
    }
    ports
}

fn split_port(port: &str) -> Option<(u16, &str)> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    Some((number.parse().ok()?, protocol))
}

/// The sentence that `ps` shows.
fn status(record: &Record, now: Time) -> String {
    let sentence = record.state.status(now);
    match (&record.state, &record.health) {
        (State::Running(_), Some(health)) => format!("{sentence} ({})", health.in_list()),
        _ => sentence,
    }
}

fn check_values(filters: &Filters) -> Result<()> {
    if let Some(state) = filters.values("status").find(|state| !STATES.contains(state)) {
        return Err(Error::invalid(format!(
            "invalid filter 'status={state}': invalid value for state ({state}): must be one of {}",
            STATES.join(", ")
        )));
    }
    if let Some(code) = filters.values("exited").find(|code| code.parse::<i32>().is_err()) {
        return Err(Error::invalid(format!(
            "invalid filter 'exited={code}': strconv.Atoi: parsing \"{code}\": invalid syntax"
        )));
    }
    for name in ["publish", "expose"] {
        if let Some(port) = filters.values(name).find(|port| port_range(port).is_none()) {
            return Err(Error::internal(format!(
                "error while looking up for {name} {port}: strconv.ParseUint: parsing \"{port}\": invalid syntax"
            )));
        }
    }
    const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];
    if let Some(health) = filters.values("health").find(|health| !HEALTH.contains(health)) {
        return Err(Error::invalid(format!(
            "invalid filter 'health={health}': invalid value for health ({health}): must be one of {}",
            HEALTH.join(", ")
        )));
    }
    filters.switch("is-task", false)?;
    Ok(())
}

fn matches(record: &Record, filters: &Filters) -> bool {
    let network = |wanted: &str| {
        record.networks.iter().any(|(name, settings)| {
            name == wanted || (!settings.network_id.is_empty() && settings.network_id.starts_with(wanted))
        })
    };
    let volume = |wanted: &str| {
        record
            .mounts
            .iter()
            .any(|m| m.point.name == wanted || m.point.destination == wanted || m.point.source == wanted)
    };
    let code = |wanted: &str| matches!(&record.state, State::Exited(ended) if !ended.finished_at.is_zero() && wanted.parse() == Ok(ended.code));
    filters.any("id", |wanted| record.id.starts_with(wanted))
        && filters.any("name", |pattern| {
            NamePattern::new(pattern).matches(&format!("/{}", record.name))
                || NamePattern::new(pattern).matches(&record.name)
        })
        && filters.any("status", |wanted| record.state.name() == wanted)
        && filters.any("exited", code)
        && filters.labels(&record.config.labels)
        && filters.any("network", network)
        && filters.any("volume", volume)
        && filters.any("health", |wanted| {
            wanted == record.health.as_ref().map_or("none", |health| health.word())
        })
        // `isolation` means something on Windows only.
        && filters.any("is-task", |wanted| matches!(wanted, "false" | "0"))
        && filters.any("publish", |wanted| {
            port_range(wanted).is_some_and(|range| published(record, &range))
        })
        && filters.any("expose", |wanted| {
            port_range(wanted).is_some_and(|range| exposed(record, &range))
        })
}

/// First and last port, and protocol.
fn port_range(text: &str) -> Option<(u16, u16, &str)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && matches!(protocol, "tcp" | "udp" | "sctp")).then_some((first, last, protocol))
}

fn published(record: &Record, (first, last, protocol): &(u16, u16, &str)) -> bool {
    ports(record)
        .iter()
        .any(|port| port.public_port != 0 && port.protocol == *protocol && (first..=last).contains(&&port.public_port))
}

fn exposed(record: &Record, (first, last, protocol): &(u16, u16, &str)) -> bool {
    let keys = record
        .config
        .exposed_ports
        .iter()
        .flatten()
        .map(|(port, _)| port)
        .chain(record.host_config.port_bindings.keys());
    keys.filter_map(|port| split_port(port))
        .any(|(port, own)| own == *protocol && (first..=last).contains(&&port))
}
/// A command on one line, words with spaces in quotes as Docker shows them.
fn shown_command(words: &[String]) -> String {
    let quoted = words.iter().map(|word| match word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    });
    quoted.collect::<Vec<_>>().join(" ")
}
