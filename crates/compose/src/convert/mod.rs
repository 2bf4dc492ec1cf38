//! From a project's definitions to the engine's requests.

mod files;
mod host;
mod mounts;
mod networks;
mod resources;

use std::collections::BTreeMap;

use corten_api::{
    container::{Config, CreateRequest, Healthcheck, NetworkingConfig},
    image::Empty,
};

pub use files::{archive, has_content};
pub use networks::{network_request, volume_request};

use crate::{
    error::Result,
    labels,
    model::{self, Project, Service},
};

/// What a container's request needs beyond its definition.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The container's name.
    pub name: String,
    /// Its number in its service; none for those of `run`.
    pub number: Option<u32>,
    /// The id of its image.
    pub image_id: String,
    /// Volumes to take over from the container that it replaces, by path.
    pub inherited: BTreeMap<String, String>,
    /// Containers of other services, by service: for namespaces and mounts that are shared.
    pub containers: BTreeMap<String, Vec<String>>,
    /// Whether it is known by its service's name and aliases.
    pub aliases: Aliases,
    /// The container that it replaces.
    pub replaces: Option<String>,
    /// Annotations besides the service's.
    pub annotations: BTreeMap<String, String>,
}

/// The annotation by which Corten's engine knows for which container another stands by.
pub const STANDS_BY_FOR: &str = "corten.stands-by-for";

/// The names that a container has in its networks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aliases {
    /// Its own, its service's and the aliases.
    #[default]
    All,
    /// Its own.
    Own,
}

/// The request that makes a container of a service.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid) for what refers to something that is not there.
pub fn container(project: &Project, name: &str, service: &Service, around: &Around) -> Result<CreateRequest> {
    let first = |name: &str| around.containers.get(name)?.first().map(String::as_str);
    let shared = crate::shared::resolved(service, first);
    let mut labels = labels::of_container(project, name, &shared, &around.image_id);
    if let Some(number) = around.number {
        labels.insert(labels::NUMBER.to_owned(), number.to_string());
    }
    if let Some(replaced) = &around.replaces {
        labels.insert(labels::REPLACE.to_owned(), replaced.clone());
    }
    let mut host_config = host::config(project, service, around)?;
    let endpoints = networks::endpoints(project, name, service, around)?;
    mounts::fill(project, service, around, &mut host_config)?;
    if !around.annotations.is_empty() {
        let annotations = host_config.annotations.get_or_insert_default();
        annotations.extend(around.annotations.clone());
    }
    host_config.network_mode = networks::mode(project, service, around)?;
    Ok(CreateRequest {
        config: config(project, name, service, labels),
        host_config,
        networking_config: NetworkingConfig {
            endpoints_config: endpoints,
        },
    })
}

fn config(project: &Project, name: &str, service: &Service, labels: BTreeMap<String, String>) -> Config {
    let ports = service.expose.iter().map(|port| match port.contains('/') {
        true => port.clone(),
        false => format!("{port}/tcp"),
    });
    let published = service
        .ports
        .iter()
        .map(|port| format!("{}/{}", port.target, port.protocol));
    let exposed: BTreeMap<_, _> = ports.chain(published).map(|port| (port, Empty {})).collect();
    let env: Vec<_> = service
        .environment
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        })
        .collect();
    Config {
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        attach_stdout: true,
        attach_stderr: true,
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        tty: service.tty,
        open_stdin: service.stdin_open,
        stdin_once: false,
        env: (!env.is_empty()).then_some(env),
        cmd: service.command.0.clone(),
        healthcheck: service.healthcheck.as_ref().map(healthcheck),
        image: project.image_of(name),
        working_dir: service.working_dir.clone(),
        entrypoint: service.entrypoint.0.clone().map(|words| {
            // An empty list would keep the image's.
            if words.is_empty() { vec![String::new()] } else { words }
        }),
        labels,
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(seconds),
        ..Config::default()
    }
}

/// A span in whole seconds, rounded up.
pub(crate) fn seconds(duration: model::Duration) -> i64 {
    let nanoseconds = duration.as_std().as_nanos();
    i64::try_from(nanoseconds.div_ceil(1_000_000_000)).unwrap_or(i64::MAX)
}

fn healthcheck(check: &model::Healthcheck) -> Healthcheck {
    let span = |duration: Option<model::Duration>| duration.map_or(0, |duration| duration.nanoseconds);
    Healthcheck {
        test: if check.disable {
            vec!["NONE".to_owned()]
        } else {
            check.test.0.clone()
        },
        interval: span(check.interval),
        timeout: span(check.timeout),
        start_period: span(check.start_period),
        start_interval: span(check.start_interval),
        retries: check
            .retries
            .map_or(0, |retries| i64::try_from(retries).unwrap_or(i64::MAX)),
    }
}

/// `None` for an empty list, as Docker's own client leaves it out.
pub(crate) fn some<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> CreateRequest {
        let sources = crate::Sources {
            files: vec!["-".into()],
            input: Some(text.to_owned()),
            default_name: "shop".to_owned(),
            working_dir: "/srv/shop".into(),
            ..crate::Sources::default()
        };
        let project = crate::load(&sources).expect("loads").value;
        let around = Around {
            name: "shop-web-1".to_owned(),
            number: Some(1),
            image_id: "sha256:1".to_owned(),
            ..Around::default()
        };
        container(&project, "web", &project.services["web"], &around).expect("converts")
    }

    #[test]
    fn makes_what_compose_makes() {
        let request = request(
            "services: {web: {image: a, command: sleep 1, ports: ['127.0.0.1::90', '8080:80/udp'], expose: ['70'], \
             environment: {A: b}, networks: {default: {aliases: [www]}, back: {}}, \
             volumes: ['./data:/data:ro', data:/v, /anon], stop_grace_period: 1500ms}}\nnetworks: {back: {}}\nvolumes: {data: {}}",
        );
        let host = &request.host_config;
        assert_eq!(
            host.binds.as_deref().expect("binds"),
            ["/srv/shop/data:/data:ro", "shop_data:/v:rw"]
        );
        assert_eq!(host.network_mode, "shop_back");
        assert_eq!(host.mounts.as_deref().expect("mounts").len(), 1);
        let exposed = request.config.exposed_ports.as_ref().expect("ports");
        let exposed: Vec<_> = exposed.keys().map(String::as_str).collect();
        assert_eq!(exposed, ["70/tcp", "80/udp", "90/tcp"]);
        assert_eq!(request.config.stop_timeout, Some(2));
        let aliases = &request.networking_config.endpoints_config["shop_default"].aliases;
        assert_eq!(aliases.as_deref().expect("aliases"), ["shop-web-1", "web", "www"]);
        assert_eq!(request.config.labels[labels::NUMBER], "1");
        assert_eq!(request.config.labels[labels::ONE_OFF], "False");
    }

    #[test]
    fn reads_limits_and_policies() {
        let request = request(
            "services: {web: {image: a, restart: 'on-failure:3', ulimits: {nofile: 10}, \
             deploy: {resources: {limits: {cpus: '0.5', memory: 64M, pids: 5}, reservations: {memory: 1M}}}}}",
        );
        let resources = &request.host_config.resources;
        assert_eq!(resources.nano_cpus, 500_000_000);
        assert_eq!((resources.memory, resources.memory_reservation), (64 << 20, 1 << 20));
        assert_eq!(resources.pids_limit, Some(5));
        assert_eq!(resources.ulimits.as_ref().expect("limits")[0].hard, 10);
        assert_eq!(request.host_config.restart_policy.maximum_retry_count, 3);
    }
}
