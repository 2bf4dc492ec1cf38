//! `--link` between containers of the default bridge, which has no names: the one that links has lines in
//! its hosts file and variables about the other. On users' networks links are a matter of names.

use std::{net::IpAddr, sync::Arc};

use corten_api::container::HostConfig;
use corten_network::hosts::HostEntry;
use serde::{Deserialize, Serialize};

use super::{Containers, Inner, etc, modes, record::Record};
use crate::error::{Error, Result};

/// The network on which links work.
const BRIDGE: &str = "bridge";

/// Another container, by a name of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The other's id.
    pub(crate) container: String,
    /// What it is called here.
    pub(crate) alias: String,
}

impl Inner {
    /// Takes links out of what was asked for, and finds whom they mean.
    ///
    /// # Errors
    /// `Invalid` when there is no such container: its image would be looked for otherwise.
    pub(super) fn take_links(&self, host: &mut HostConfig) -> Result<Vec<Link>> {
        if modes::is_user_defined(&host.network_mode) {
            return Ok(Vec::new());
        }
        let asked = host.links.take().unwrap_or_default();
        let mut links: Vec<Link> = Vec::new();
        for text in &asked {
            let (name, alias) = parse(text)?;
            let other = self
                .find(name)
                .map_err(|e| Error::invalid(format!("could not get container for {name}: {}", e.message())))?;
            if other.lock().record.host_config.network_mode == "host" {
                return Err(Error::invalid(
                    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
                ));
            }
            let link = Link {
                container: other.id.clone(),
                alias: alias.to_owned(),
            };
            if !links.contains(&link) {
                links.push(link);
            }
        }
        Ok(links)
    }

    /// Lines of a hosts file and variables for a container's links.
    ///
    /// # Errors
    /// `Conflict` when one of the others does not run.
    pub(super) fn links_of(&self, record: &Record) -> Result<(Vec<HostEntry>, Vec<String>)> {
        let (mut lines, mut variables) = (Vec::new(), Vec::new());
        for link in &record.links {
            let Ok(other) = self.find(&link.container) else {
                continue;
            };
            let other = other.record();
            let address = address_of(record, link, &other)?;
            lines.push(line(link, &other, address));
            variables.extend(environment(record, link, &other, address));
        }
        Ok((lines, variables))
    }

    /// Variables for a further process of a container that runs; without those of others that no longer do.
    pub(super) fn link_variables(&self, record: &Record) -> Vec<String> {
        let variables = record.links.iter().filter_map(|link| {
            let other = self.find(&link.container).ok()?.record();
            let address = address_of(record, link, &other).ok()?;
            Some(environment(record, link, &other, address))
        });
        variables.flatten().collect()
    }

    /// Lets a container through to the ports that its links expose, where neighbours are kept apart.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub(super) fn open_links(&self, record: &Record) -> Result<()> {
        let others: Vec<Record> = record
            .links
            .iter()
            .filter_map(|link| Some(self.find(&link.container).ok()?.record()))
            .filter(|other| other.state.running().is_some())
            .collect();
        let mut targets = Vec::new();
        for other in &others {
            let address = other.networks.get(BRIDGE).and_then(|on| on.ip_address.parse().ok());
            targets.extend(address.into_iter().flat_map(|address: IpAddr| {
                let ports = exposed(other).into_iter();
                ports.map(move |(protocol, port)| (address, protocol, port))
            }));
        }
        self.networks.open_neighbours(&record.id, &targets)
    }

    /// The same for one that runs already; what fails is logged.
    pub(super) fn reopen_links(&self, record: &Record) {
        if let Err(error) = self.open_links(record) {
            let error = error.report();
            tracing::warn!(
                container = record.id,
                error,
                "a container does not reach what it links to"
            );
        }
    }

    /// Tells containers that run and link to one that has been started where it is now.
    pub(super) fn update_links_to(&self, record: &Record) {
        let Some(address) = record.networks.get(BRIDGE).and_then(|on| on.ip_address.parse().ok()) else {
            return;
        };
        let linked: Vec<_> = self.index().linked.get(&record.id).cloned().unwrap_or_default();
        for container in linked.iter().filter_map(|id| self.find(id).ok()) {
            let own = container.record();
            if own.state.running().is_none() {
                continue;
            }
            self.reopen_links(&own);
            for link in own.links.iter().filter(|link| link.container == record.id) {
                if let Err(error) = etc::change_link(&container, &line(link, record, address)) {
                    let error = error.report();
                    tracing::warn!(
                        container = container.id,
                        error,
                        "cannot tell a linked container's address"
                    );
                }
            }
        }
    }
}

impl Containers {
    /// Removes a link, named `/container/alias`.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub(super) fn remove_link(&self, name: &str) -> Result<()> {
        let path = name.trim_start_matches('/');
        let missing = || Error::not_found(format!("Cannot get parent / for link name /{path}"));
        let (parent, alias) = path.rsplit_once('/').ok_or_else(missing)?;
        let container = self.find(parent)?;
        let before = container.lock().record.links.len();
        container.edit(|record| record.links.retain(|link| link.alias != alias))?;
        let record = container.record();
        if record.links.len() == before {
            return Err(Error::not_found(format!("no link /{path}")));
        }
        self.0.reopen_links(&record);
        self.0.index_mut().forget_links(&container.id);
        self.0.index_mut().add_links(&Arc::clone(&container).id, &record.links);
        Ok(())
    }
}

/// Where the other container of a link is.
fn address_of(record: &Record, link: &Link, other: &Record) -> Result<IpAddr> {
    if other.state.running().is_none() {
        return Err(Error::conflict(format!(
            "Cannot link to a non running container: /{} AS /{}/{}",
            other.name, record.name, link.alias
        )));
    }
    let settings = other.networks.get(BRIDGE);
    settings
        .and_then(|settings| settings.ip_address.parse().ok())
        .ok_or_else(|| Error::conflict(format!("container {} not attached to default bridge network", other.id)))
}

/// Links as inspections show them.
pub(super) fn shown(inner: &Inner, record: &Record) -> Vec<String> {
    let mut all: Vec<String> = record
        .links
        .iter()
        .filter_map(|link| {
            let other = inner.find(&link.container).ok()?.name();
            Some(format!("/{other}:/{}/{}", record.name, link.alias))
        })
        .collect();
    all.sort();
    all
}

/// `name` or `name:alias`.
fn parse(text: &str) -> Result<(&str, &str)> {
    if text.is_empty() {
        return Err(Error::invalid("empty string specified for links"));
    }
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    if name.is_empty() || alias.is_empty() || alias.contains(':') {
        return Err(Error::invalid(format!("bad format for links: {text}")));
    }
    // Inspections show the whole path.
    Ok((name, alias.rsplit('/').next().unwrap_or(alias)))
}

fn line(link: &Link, other: &Record, address: IpAddr) -> HostEntry {
    let mut names = vec![link.alias.clone(), other.config.hostname.clone()];
    if other.name != link.alias {
        names.push(other.name.clone());
    }
    HostEntry { address, names }
}

/// Docker's variables: of the other's exposed ports, TCP first, its name here, and its own variables.
fn environment(record: &Record, link: &Link, other: &Record, address: IpAddr) -> Vec<String> {
    let prefix = link.alias.to_uppercase().replace('-', "_");
    let mut variables = Vec::new();
    for (at, (protocol, port)) in exposed(other).into_iter().enumerate() {
        let url = format!("{protocol}://{address}:{port}");
        if at == 0 {
            variables.push(format!("{prefix}_PORT={url}"));
        }
        let one = format!("{prefix}_PORT_{port}_{}", protocol.to_uppercase());
        variables.push(format!("{one}={url}"));
        variables.push(format!("{one}_ADDR={address}"));
        variables.push(format!("{one}_PORT={port}"));
        variables.push(format!("{one}_PROTO={protocol}"));
    }
    variables.push(format!("{prefix}_NAME=/{}/{}", record.name, link.alias));
    for variable in other.config.env.iter().flatten() {
        // Those of nearly every image mean nothing to others.
        if variable.contains('=') && !variable.starts_with("HOME=") && !variable.starts_with("PATH=") {
            variables.push(format!("{prefix}_ENV_{variable}"));
        }
    }
    variables
}

fn exposed(other: &Record) -> Vec<(&str, u16)> {
    let exposed = other.config.exposed_ports.iter().flatten().map(|(port, _)| port);
    let all = exposed.chain(other.host_config.port_bindings.keys());
    let mut ports: Vec<(&str, u16)> = all
        .filter_map(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            Some((protocol, number.parse().ok()?))
        })
        .collect();
    ports.sort_by_key(|(protocol, port)| (*protocol != "tcp", *protocol, *port));
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_as_docker_s() {
        assert_eq!(parse("db").unwrap(), ("db", "db"));
        assert_eq!(parse("db:store").unwrap(), ("db", "store"));
        assert_eq!(parse("/db:/web/store").unwrap(), ("/db", "store"));
        assert_eq!(parse("a:b:c").unwrap_err().message(), "bad format for links: a:b:c");
    }
}
