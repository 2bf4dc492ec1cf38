//! What a container may use of its host.

use std::collections::BTreeMap;

use corten_api::container::{HostConfig, LogConfig, PortBinding, RestartPolicy};

use super::{Around, resources, some};
use crate::{
    error::{Error, Result},
    model::{Project, Service},
};

pub(super) fn config(project: &Project, service: &Service, around: &Around) -> Result<HostConfig> {
    let shared = |mode: &str| namespace(mode, around);
    let links = links(service, around)?;
    let logging = service.logging.as_ref();
    Ok(HostConfig {
        log_config: LogConfig {
            driver: logging.map(|logging| logging.driver.clone()).unwrap_or_default(),
            options: logging.map(|logging| logging.options.0.clone()).unwrap_or_default(),
        },
        port_bindings: ports(service),
        restart_policy: restart_policy(service)?,
        volume_driver: service.volume_driver.clone(),
        volumes_from: some(&volumes_from(service, around)?),
        annotations: (!service.annotations.is_empty()).then(|| service.annotations.0.clone()),
        cap_add: some(&service.cap_add),
        cap_drop: some(&service.cap_drop),
        cgroupns_mode: service.cgroup.clone(),
        dns: some(&service.dns),
        dns_options: some(&service.dns_opt),
        dns_search: some(&service.dns_search),
        extra_hosts: Some(service.extra_hosts.lines(":")),
        group_add: some(&service.group_add),
        ipc_mode: shared(&service.ipc)?,
        links: some(&links),
        oom_score_adj: i32::try_from(service.oom_score_adj).unwrap_or(i32::MAX),
        pid_mode: shared(&service.pid)?,
        privileged: service.privileged,
        readonly_rootfs: service.read_only,
        masked_paths: unconfined(service),
        readonly_paths: unconfined(service),
        security_opt: some(&security(project, service)?),
        storage_opt: (!service.storage_opt.is_empty()).then(|| service.storage_opt.0.clone()),
        tmpfs: tmpfs(service),
        uts_mode: service.uts.clone(),
        userns_mode: service.userns_mode.clone(),
        shm_size: service.shm_size.0,
        sysctls: (!service.sysctls.is_empty()).then(|| service.sysctls.0.clone()),
        runtime: service.runtime.clone(),
        isolation: service.isolation.clone(),
        resources: resources::of(service),
        init: service.init,
        ..HostConfig::default()
    })
}

/// The containers that a service has under names of its own: `container:name`.
pub(super) fn links(service: &Service, around: &Around) -> Result<Vec<String>> {
    let links = service.links.iter().map(|link| linked(link, around));
    let mut links = links.collect::<Result<Vec<_>>>()?.concat();
    links.extend(service.external_links.iter().map(|link| match link.contains(':') {
        true => link.clone(),
        false => format!("{link}:{link}"),
    }));
    Ok(links)
}

/// `service:db` becomes the container that `db` has.
pub(super) fn namespace(mode: &str, around: &Around) -> Result<String> {
    match mode.strip_prefix("service:") {
        Some(service) => Ok(format!("container:{}", first(service, around)?)),
        None => Ok(mode.to_owned()),
    }
}

fn all<'a>(service: &str, around: &'a Around) -> Result<&'a [String]> {
    let found = around.containers.get(service).map(Vec::as_slice).unwrap_or_default();
    if found.is_empty() {
        return Err(Error::invalid(format!("service {service:?} has no container")));
    }
    Ok(found)
}

fn first<'a>(service: &str, around: &'a Around) -> Result<&'a str> {
    Ok(&all(service, around)?[0])
}

fn linked(link: &str, around: &Around) -> Result<Vec<String>> {
    let (service, alias) = link.split_once(':').unwrap_or((link, link));
    let containers = all(service, around)?.iter();
    Ok(containers.map(|container| format!("{container}:{alias}")).collect())
}

fn volumes_from(service: &Service, around: &Around) -> Result<Vec<String>> {
    let mut list = Vec::new();
    for from in &service.volumes_from {
        if let Some(container) = from.strip_prefix("container:") {
            list.push(container.to_owned());
            continue;
        }
        let (name, mode) = from.split_once(':').unwrap_or((from, ""));
        for container in all(name, around)? {
            list.push(match mode {
                "" => container.clone(),
                mode => format!("{container}:{mode}"),
            });
        }
    }
    Ok(list)
}

fn ports(service: &Service) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
    for port in &service.ports {
        let key = format!("{}/{}", port.target, port.protocol);
        bindings
            .entry(key)
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: port.host_ip.clone(),
                host_port: port.published.clone(),
            });
    }
    bindings
}

fn restart_policy(service: &Service) -> Result<RestartPolicy> {
    if !service.restart.is_empty() {
        let (name, count) = service.restart.split_once(':').unwrap_or((&service.restart, "0"));
        let maximum_retry_count = count
            .parse()
            .map_err(|_| Error::invalid(format!("invalid restart policy: {}", service.restart)))?;
        return Ok(RestartPolicy {
            name: name.to_owned(),
            maximum_retry_count,
        });
    }
    let deployed = service
        .deploy
        .as_ref()
        .and_then(|deploy| deploy.restart_policy.as_ref());
    let Some(policy) = deployed else {
        return Ok(RestartPolicy::default());
    };
    let name = match policy.condition.as_str() {
        "none" | "no" => "no",
        "on-failure" => "on-failure",
        "unless-stopped" => "unless-stopped",
        _ => "always",
    };
    let attempts = policy.max_attempts.unwrap_or(0);
    Ok(RestartPolicy {
        name: name.to_owned(),
        maximum_retry_count: i64::try_from(attempts).unwrap_or(i64::MAX),
    })
}

fn tmpfs(service: &Service) -> Option<BTreeMap<String, String>> {
    let list = service.tmpfs.iter();
    let map: BTreeMap<_, _> = list
        .map(|line| {
            let (path, options) = line.split_once(':').unwrap_or((line, ""));
            (path.to_owned(), options.to_owned())
        })
        .collect();
    (!map.is_empty()).then_some(map)
}

/// Security options; a profile of seccomp is sent as it is, since the file is on this side.
fn security(project: &Project, service: &Service) -> Result<Vec<String>> {
    let read = |option: &String| {
        let split = option.split_once('=').or_else(|| option.split_once(':'));
        let Some(("seccomp", file)) = split.filter(|(_, file)| !matches!(*file, "unconfined" | "builtin" | "")) else {
            return Ok(match option.as_str() {
                "no-new-privileges:true" => "no-new-privileges=true".to_owned(),
                "no-new-privileges:false" => "no-new-privileges=false".to_owned(),
                option => option.to_owned(),
            });
        };
        let path = project.working_dir.join(file);
        let profile = crate::load::read_text(&path).map_err(|error| error.within("opening seccomp profile failed"))?;
        Ok(format!("seccomp={profile}"))
    };
    let options = service.security_opt.iter().filter(|option| *option != UNCONFINED);
    options.map(read).collect()
}

/// The option that leaves every path of the kernel as it is; the engine has it as two empty lists.
const UNCONFINED: &str = "systempaths=unconfined";

fn unconfined(service: &Service) -> Option<Vec<String>> {
    let given = service.security_opt.iter().any(|option| option == UNCONFINED);
    given.then(Vec::new)
}
