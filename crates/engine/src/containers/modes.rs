//! Whose namespaces a container uses: `--network`, `--pid`, `--ipc`, `--uts`, `--cgroupns`.

use corten_api::container::HostConfig;

use crate::error::{Error, Result};

/// Whose namespace is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Share<'a> {
    /// The container's own.
    Own,
    /// The host's.
    Host,
    /// Another container's.
    Container(&'a str),
}

/// What `--network` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Network<'a> {
    /// A namespace with only a loopback link.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(&'a str),
    /// A network by name or id; the default bridge is `bridge`.
    Named(&'a str),
}

/// What `--ipc` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ipc<'a> {
    /// Its own, which others may join.
    Shareable,
    /// Its own.
    Private,
    /// Its own, without `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(&'a str),
}

/// Reads a network mode; empty and `default` mean the default bridge.
pub(crate) fn network(mode: &str) -> Network<'_> {
    match mode {
        "none" => Network::None,
        "host" => Network::Host,
        "" | "default" | "bridge" => Network::Named("bridge"),
        _ => match mode.strip_prefix("container:") {
            Some(container) => Network::Container(container),
            None => Network::Named(mode),
        },
    }
}

/// Whether a mode names a network that a user made; links are a matter of its endpoints there.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    matches!(network(mode), Network::Named(name) if name != "bridge")
}

/// Reads `--pid` or `--uts`.
pub(crate) fn share<'a>(mode: &'a str, flag: &str) -> Result<Share<'a>> {
    match mode {
        "" | "private" => Ok(Share::Own),
        "host" => Ok(Share::Host),
        _ => match mode.strip_prefix("container:") {
            Some(container) if !container.is_empty() => Ok(Share::Container(container)),
            _ => Err(Error::invalid(format!("invalid {flag} mode: {mode}"))),
        },
    }
}

/// Reads `--ipc`.
pub(crate) fn ipc(mode: &str) -> Result<Ipc<'_>> {
    match mode {
        "" | "private" => Ok(Ipc::Private),
        "shareable" => Ok(Ipc::Shareable),
        "none" => Ok(Ipc::None),
        "host" => Ok(Ipc::Host),
        _ => match mode.strip_prefix("container:") {
            Some(container) if !container.is_empty() => Ok(Ipc::Container(container)),
            _ => Err(Error::invalid(format!("invalid IPC mode: {mode}"))),
        },
    }
}

/// Checks the modes and what contradicts them.
pub(crate) fn check(host: &HostConfig) -> Result<()> {
    share(&host.pid_mode, "PID")?;
    ipc(&host.ipc_mode)?;
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return Err(Error::invalid(format!("invalid UTS mode: {}", host.uts_mode)));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "host" | "private") {
        return Err(Error::invalid(format!(
            "invalid cgroup namespace mode: {}",
            host.cgroupns_mode
        )));
    }
    match network(&host.network_mode) {
        Network::Container("") => Err(Error::invalid(
            "Invalid network mode: invalid container format container:<name|id>",
        )),
        Network::Container(_) => joined_network(host),
        Network::Host if host.uts_mode == "host" => Ok(()),
        _ => Ok(()),
    }
}

/// Refuses what belongs to the container whose network is joined.
fn joined_network(host: &HostConfig) -> Result<()> {
    let given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let conflicts = [
        (
            given(&host.links),
            "conflicting options: container type network can't be used with links. This would result in undefined behavior",
        ),
        (given(&host.dns), "conflicting options: dns and the network mode"),
        (
            given(&host.extra_hosts),
            "conflicting options: custom host-to-IP mapping and the network mode",
        ),
        (
            !host.port_bindings.is_empty(),
            "conflicting options: port publishing and the container type network mode",
        ),
    ];
    match conflicts.iter().find(|(conflict, _)| *conflict) {
        Some((_, words)) => Err(Error::invalid(*words)),
        None => Ok(()),
    }
}
