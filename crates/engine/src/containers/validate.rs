//! Refuses what a container cannot have, before anything is made. Words are Docker's.

use std::collections::BTreeMap;

use corten_api::container::{Config, HostConfig, RestartPolicy};
use corten_oci::capability;

use super::{
    ended::ON_UNHEALTHY,
    health, log_config, modes, security,
    supported::{Limit, Supported},
};
use crate::error::{Error, Result};

/// Docker's least memory limit, in bytes.
const LEAST_MEMORY: i64 = 6 << 20;

/// What the host has, as far as limits depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    /// Processors.
    pub(crate) cpus: u32,
    /// Memory nodes.
    pub(crate) nodes: u32,
    /// What its cgroups limit.
    pub(crate) supported: &'a Supported,
}

/// Checks a container's configuration.
///
/// # Errors
/// `Invalid` for what makes no sense, `Unsupported` for what this engine lacks.
pub(crate) fn check(config: &Config, host: &HostConfig, machine: Host<'_>) -> Result<()> {
    name_of_host(config)?;
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    if let Some(variable) = config.env.iter().flatten().find(|v| v.is_empty() || v.starts_with('=')) {
        return Err(Error::invalid(format!("invalid environment variable: {variable}")));
    }
    if !config.stop_signal.is_empty() {
        super::signals::parse(&config.stop_signal).ok_or_else(|| invalid_signal(&config.stop_signal))?;
    }
    health::validate(config)?;
    capabilities(host)?;
    restart_policy(&host.restart_policy, host.auto_remove)?;
    memory(host)?;
    cpu(host, machine)?;
    block_io(host)?;
    of_windows(host)?;
    modes::check(host)?;
    security::parse(host)?;
    ports(host)?;
    log_config::check(&host.log_config)?;
    sysctls(host)?;
    unsupported(config, host)
}

/// Checks the limits and the restart policy that an update names.
///
/// # Errors
/// `Invalid` for what makes no sense.
pub(crate) fn updated(host: &HostConfig, machine: Host<'_>) -> Result<()> {
    restart_policy(&host.restart_policy, false)?;
    // Its memory limit may have been set before.
    let mut host = host.clone();
    if host.resources.memory == 0 && host.resources.memory_swap > 0 {
        host.resources.memory_swap = 0;
    }
    memory(&host)?;
    cpu(&host, machine)?;
    block_io(&host)?;
    of_windows(&host)
}

/// Refuses what only Windows has.
fn of_windows(host: &HostConfig) -> Result<()> {
    let refused = |what: &str| {
        Err(Error::invalid(format!(
            "invalid option: QoS maximum {what} configuration is not supported on linux"
        )))
    };
    if host.resources.io_maximum_bandwidth != 0 {
        return refused("bandwidth");
    }
    if host.resources.io_maximum_iops != 0 {
        return refused("IOPs");
    }
    match host.isolation.as_str() {
        "" | "default" => Ok(()),
        other => Err(Error::invalid(format!(
            "invalid isolation ({other}): linux only supports 'default'"
        ))),
    }
}

/// Ports: `80/tcp` inside, numbers or ranges outside.
fn ports(host: &HostConfig) -> Result<()> {
    let invalid = |text: &str| Error::invalid(format!("invalid port specification: \"{text}\""));
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    for (port, bindings) in &host.port_bindings {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        if !is_port(number) || !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(invalid(port));
        }
        for binding in bindings
            .iter()
            .flatten()
            .filter(|binding| !binding.host_port.is_empty())
        {
            let (first, last) = binding.host_port.split_once('-').unwrap_or((&binding.host_port, "0"));
            if !is_port(first) || !is_port(last) {
                return Err(invalid(&binding.host_port));
            }
        }
    }
    Ok(())
}

/// The error for a signal that is none.
pub(crate) fn invalid_signal(name: &str) -> Error {
    Error::invalid(format!("invalid signal: {name}"))
}

/// Docker takes every name, and the kernel refuses long ones at the start (`sethostname(2)`). What would make
/// lines of its own in the container's files is refused here.
fn name_of_host(config: &Config) -> Result<()> {
    let name = &config.hostname;
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "invalid hostname: {name:?}: use no control characters"
        )));
    }
    Ok(())
}

fn capabilities(host: &HostConfig) -> Result<()> {
    for (names, flag) in [(&host.cap_add, "CapAdd"), (&host.cap_drop, "CapDrop")] {
        capability::normalize_all(names.as_deref().unwrap_or_default())
            .map_err(|unknown| Error::invalid(format!("invalid {flag}: unknown capability: \"{}\"", unknown.0)))?;
    }
    Ok(())
}

/// Checks a restart policy; also used by `update`.
pub(crate) fn restart_policy(policy: &RestartPolicy, auto_remove: bool) -> Result<()> {
    let bad = |why: String| Err(Error::invalid(format!("invalid restart policy: {why}")));
    let retries = policy.maximum_retry_count;
    match policy.name.as_str() {
        "" | "no" if retries != 0 && !policy.name.is_empty() => {
            return bad("maximum retry count can only be used with 'on-failure'".into());
        }
        "" | "no" => return Ok(()),
        "always" | "unless-stopped" if retries != 0 => {
            return bad("maximum retry count can only be used with 'on-failure'".into());
        }
        "on-failure" | ON_UNHEALTHY if retries < 0 => {
            return bad("maximum retry count cannot be negative".into());
        }
        "always" | "unless-stopped" | "on-failure" | ON_UNHEALTHY => {}
        other => {
            return bad(format!(
                "unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            ));
        }
    }
    if auto_remove {
        return Err(Error::invalid(
            "can't create 'AutoRemove' container with restart policy",
        ));
    }
    Ok(())
}

fn memory(host: &HostConfig) -> Result<()> {
    let limits = &host.resources;
    if limits.memory != 0 && limits.memory < LEAST_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if limits.memory > 0 && limits.memory_swap > 0 && limits.memory_swap < limits.memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if limits.memory == 0 && limits.memory_swap > 0 {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if let Some(swappiness) = limits.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return Err(Error::invalid(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )));
    }
    if limits.memory_reservation != 0 && limits.memory_reservation < LEAST_MEMORY {
        return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if limits.memory > 0 && limits.memory_reservation > limits.memory {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    if host.shm_size < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(Error::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    Ok(())
}

/// Weights of disks.
fn block_io(host: &HostConfig) -> Result<()> {
    match host.resources.blkio_weight {
        0 | 10..=1000 => Ok(()),
        _ => Err(Error::invalid("Range of blkio weight is from 10 to 1000")),
    }
}

fn cpu(host: &HostConfig, machine: Host<'_>) -> Result<()> {
    let limits = &host.resources;
    if limits.nano_cpus > 0 && (limits.cpu_period > 0 || limits.cpu_quota > 0) {
        let other = if limits.cpu_period > 0 {
            "CPU Period"
        } else {
            "CPU Quota"
        };
        return Err(Error::invalid(format!(
            "Conflicting options: Nano CPUs and {other} cannot both be set."
        )));
    }
    if limits.nano_cpus > 0 && !machine.supported.has(Limit::Quota) {
        return Err(Error::invalid(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted",
        ));
    }
    let most = machine.cpus;
    if limits.nano_cpus < 0 || limits.nano_cpus > i64::from(most) * 1_000_000_000 {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {most}.00, as there are only {most} CPUs available"
        )));
    }
    if limits.cpu_period != 0 && !(1_000..=1_000_000).contains(&limits.cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if limits.cpu_quota > 0 && limits.cpu_quota < 1_000 {
        return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if limits.cpu_realtime_period != 0 || limits.cpu_realtime_runtime != 0 {
        if !machine.supported.has(Limit::Realtime) {
            return Err(Error::invalid("kernel does not support CPU real-time scheduler"));
        }
        let (period, runtime) = (limits.cpu_realtime_period, limits.cpu_realtime_runtime);
        if period != 0 && runtime > period {
            return Err(Error::invalid(
                "cpu real-time runtime cannot be higher than cpu real-time period",
            ));
        }
    }
    if limits.cpu_shares < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            limits.cpu_shares
        )));
    }
    number_list("CPUs", "cpuset cpus", &limits.cpuset_cpus, most)?;
    number_list("memory nodes", "cpuset mems", &limits.cpuset_mems, machine.nodes)
}

/// Checks a list such as `0-3,7` against how many there are.
fn number_list(what: &str, field: &str, list: &str, most: u32) -> Result<()> {
    for part in list.split(',').filter(|_| !list.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (Ok(low), Ok(high)) = (low.trim().parse::<u32>(), high.trim().parse::<u32>()) else {
            return Err(Error::invalid(format!("Invalid value {list} for {field}")));
        };
        if low > high {
            return Err(Error::invalid(format!("Invalid value {list} for {field}")));
        }
        if high >= most {
            let available = match most {
                0 | 1 => "0".to_owned(),
                most => format!("0-{}", most - 1),
            };
            return Err(Error::invalid(format!(
                "Requested {what} are not available - requested {list}, available: {available}"
            )));
        }
    }
    Ok(())
}

fn sysctls(host: &HostConfig) -> Result<()> {
    let own = |mode: &str| mode != "host" && !mode.starts_with("container:");
    for name in host.sysctls.iter().flat_map(BTreeMap::keys) {
        let ipc = name.starts_with("fs.mqueue.")
            || [
                "kernel.msgmax",
                "kernel.msgmnb",
                "kernel.msgmni",
                "kernel.sem",
                "kernel.shmall",
                "kernel.shmmax",
                "kernel.shmmni",
                "kernel.shm_rmid_forced",
            ]
            .contains(&name.as_str());
        let network = name.starts_with("net.");
        if ipc && !own(&host.ipc_mode) {
            return Err(Error::invalid(format!(
                "sysctl '{name}' not allowed in host ipc namespace"
            )));
        }
        if network && !own(&host.network_mode) {
            return Err(Error::invalid(format!(
                "sysctl '{name}' not allowed in host network namespace"
            )));
        }
        if !ipc && !network && name != "kernel.domainname" && name != "kernel.hostname" {
            return Err(Error::invalid(format!(
                "sysctl '{name}' is not allowed as its scope is not a namespace"
            )));
        }
    }
    Ok(())
}

/// What the API has and this engine does not have yet: refused by name, never ignored.
fn unsupported(config: &Config, host: &HostConfig) -> Result<()> {
    let refused = [
        (
            !host.userns_mode.is_empty() && host.userns_mode != "host",
            "user namespaces for single containers",
        ),
        (
            !config.mac_address.is_empty() && host.network_mode == "host",
            "--mac-address with the host's network",
        ),
    ];
    match refused.iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Error::unsupported(format!("not supported yet: {what}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(edit: impl FnOnce(&mut Config, &mut HostConfig)) -> String {
        refusal_where(&Supported::everything(), edit)
    }

    fn refusal_where(supported: &Supported, edit: impl FnOnce(&mut Config, &mut HostConfig)) -> String {
        let (mut config, mut host) = (Config::default(), HostConfig::default());
        edit(&mut config, &mut host);
        check(
            &config,
            &host,
            Host {
                cpus: 2,
                nodes: 1,
                supported,
            },
        )
        .map_or_else(|e| e.report(), |()| "accepted".into())
    }

    #[test]
    fn accepts_the_default() {
        assert_eq!(refusal(|_, _| ()), "accepted");
    }

    #[test]
    fn refuses_in_dockers_words() {
        let check = |edit: fn(&mut Config, &mut HostConfig), expected: &str| assert_eq!(refusal(edit), expected);
        check(
            |_, h| h.cap_add = Some(vec!["NOPE".into()]),
            "invalid CapAdd: unknown capability: \"CAP_NOPE\"",
        );
        check(
            |_, h| h.resources.nano_cpus = 3_000_000_000,
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        );
        check(
            |_, h| h.resources.memory = 1 << 20,
            "Minimum memory limit allowed is 6MB",
        );
        check(
            |c, _| c.working_dir = "rel".into(),
            "the working directory 'rel' is invalid, it needs to be an absolute path",
        );
        check(
            |_, h| h.restart_policy.name = "bogus".into(),
            "invalid restart policy: unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        );
        check(
            |_, h| h.log_config.driver = "nope".into(),
            "error looking up logging plugin nope: plugin \"nope\" not found",
        );
        check(
            |_, h| {
                h.log_config.options.insert("nope".into(), "1".into());
            },
            "unknown log opt 'nope' for json-file log driver",
        );
        check(|c, _| c.stop_signal = "NOPE".into(), "invalid signal: NOPE");
        check(
            |_, h| h.resources.cpuset_cpus = "0-7".into(),
            "Requested CPUs are not available - requested 0-7, available: 0-1",
        );
        check(
            |_, h| h.resources.cpuset_mems = "1".into(),
            "Requested memory nodes are not available - requested 1, available: 0",
        );
        check(
            |_, h| h.resources.blkio_weight = 5,
            "Range of blkio weight is from 10 to 1000",
        );
    }

    #[test]
    fn refuses_what_the_host_cannot_limit() {
        let refusal = |edit: fn(&mut Config, &mut HostConfig)| refusal_where(&Supported::default(), edit);
        assert_eq!(
            refusal(|_, h| h.resources.cpu_realtime_period = 5),
            "kernel does not support CPU real-time scheduler"
        );
        let said = refusal(|_, h| h.resources.nano_cpus = 1_000_000_000);
        assert!(said.starts_with("NanoCPUs can not be set"), "{said}");
    }

    #[test]
    fn refuses_by_name_what_comes_later() {
        assert_eq!(
            refusal(|_, h| h.userns_mode = "private".into()),
            "not supported yet: user namespaces for single containers"
        );
    }
}
