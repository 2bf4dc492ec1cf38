//! `hostname`, `hosts` and `resolv.conf`: files that are made for a container and mounted into it; and
//! what its server of names is told.

use std::net::IpAddr;

use corten_network::{
    NAME_SERVER,
    hosts::{HostEntry, hosts_file, own_names, parse_extra_host},
    resolver::{ResolverConfig, ResolverOptions},
};
use corten_shim::names;

use super::{
    Container, Inner,
    modes::{self, Network},
    network::Joined,
    record::Record,
};
use crate::{
    error::{Error, Result},
    settings::Reloadable,
};

const HOSTS: &str = "hosts";
const RESOLV_CONF: &str = "resolv.conf";

/// Writes all of them for a container that is about to start.
pub(super) fn write(
    inner: &Inner,
    container: &Container,
    record: &Record,
    joined: &Joined,
    (defaults, linked): (&Reloadable, Vec<HostEntry>),
) -> Result<()> {
    if let Network::Container(name) = modes::network(&record.host_config.network_mode) {
        // The same network has the same names.
        let other = inner.find(name)?;
        for file in ["hostname", HOSTS, RESOLV_CONF] {
            let text = corten_sys::fs::read(other.folder.join(file))?;
            write_public(container, file, &text)?;
        }
        return Ok(());
    }
    write_public(
        container,
        "hostname",
        format!("{}\n", record.config.hostname).as_bytes(),
    )?;
    write_public(container, HOSTS, hosts(inner, record, joined, linked)?.as_bytes())?;
    write_resolver(inner, container, record, joined, defaults)
}

/// Writes `resolv.conf`, and for the container's own server what it needs.
pub(super) fn write_resolver(
    inner: &Inner,
    container: &Container,
    record: &Record,
    joined: &Joined,
    defaults: &Reloadable,
) -> Result<()> {
    let asked = resolver_wishes(record, defaults)?;
    let host_resolver = host_resolver();
    if joined.names {
        write_names(inner, container, joined, &asked, &host_resolver)?;
        let text = host_resolver.render_internal(NAME_SERVER.into(), &asked);
        return write_public(container, RESOLV_CONF, text.as_bytes());
    }
    let resolver = match modes::network(&record.host_config.network_mode) {
        Network::Host if asked.servers.is_empty() => host_resolver,
        _ => host_resolver.for_container(&asked),
    };
    if let Some(warning) = resolver.warning().filter(|_| !joined.networks.is_empty()) {
        tracing::debug!(container = container.id, warning);
    }
    write_public(container, RESOLV_CONF, resolver.render().as_bytes())
}

/// Tells the container's server of names which networks it is on.
fn write_names(
    inner: &Inner,
    container: &Container,
    joined: &Joined,
    asked: &ResolverOptions,
    host: &ResolverConfig,
) -> Result<()> {
    let links = |links: &[String]| {
        let pairs = links.iter().map(|link| link.split_once(':').unwrap_or((link, link)));
        pairs
            .map(|(target, alias)| (alias.to_owned(), target.to_owned()))
            .collect()
    };
    let places = inner.networks.places(&container.id).into_iter().filter_map(|name| {
        let on = joined.get(&name).filter(|on| on.has_names)?;
        Some(names::Place {
            links: links(on.settings.links.as_deref().unwrap_or_default()),
            zone: inner.networks.zone_path(&on.settings.network_id),
            name,
        })
    });
    let options = if asked.options.is_empty() {
        &host.options
    } else {
        &asked.options
    };
    let settings = names::Settings {
        networks: places.collect(),
        servers: asked.servers.clone(),
        forwards: inner.networks.gateways(&container.id).routes().next().is_some(),
        ndots: options.iter().any(|option| option.starts_with("ndots")),
    };
    let path = container.bundle.join(names::FILE);
    Ok(corten_sys::fs::write_atomic(path, settings.render())?)
}

/// Writes into the file that is mounted, in place: the mount is of the file, not of its name.
fn write_public(container: &Container, name: &str, text: &[u8]) -> Result<()> {
    let path = container.folder.join(name);
    corten_sys::fs::write(&path, text)?;
    Ok(corten_sys::fs::set_mode(&path, 0o644)?)
}

fn hosts(inner: &Inner, record: &Record, joined: &Joined, linked: Vec<HostEntry>) -> Result<String> {
    let host = &record.host_config;
    if matches!(modes::network(&host.network_mode), Network::Host)
        && let Ok(text) = corten_sys::fs::read_to_string("/etc/hosts")
    {
        return Ok(text);
    }
    let mut extra = Vec::new();
    if host.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()) {
        let gateways = host_gateways(inner, joined);
        for value in host.extra_hosts.iter().flatten() {
            extra.extend(parse_extra_host(value, &gateways).map_err(|e| Error::invalid(e.to_string()))?);
        }
    }
    extra.extend(linked);
    let own: Vec<HostEntry> = joined
        .networks
        .iter()
        .flat_map(|on| own_entries(record, &on.settings))
        .collect();
    Ok(hosts_file(&extra, &own))
}

/// What `host-gateway` stands for: what the administrator says, else the default bridge's addresses, else the
/// container's own gateway.
fn host_gateways(inner: &Inner, joined: &Joined) -> Vec<IpAddr> {
    let chosen = &inner.settings.host_gateways;
    if !chosen.is_empty() {
        return chosen.clone();
    }
    let bridge = inner.networks.host_gateways();
    if !bridge.is_empty() {
        return bridge;
    }
    let gateways = joined.networks.iter().map(|on| on.settings.gateway.parse());
    gateways.filter_map(Result::ok).take(1).collect()
}

/// A container's own lines for one network.
fn own_entries(record: &Record, settings: &corten_api::network::EndpointSettings) -> Vec<HostEntry> {
    let names = own_names(&record.config.hostname, &record.config.domainname);
    let addresses = [&settings.ip_address, &settings.global_ipv6_address].into_iter();
    let addresses = addresses.filter_map(|text| text.parse::<IpAddr>().ok());
    let entry = |address| HostEntry {
        address,
        names: names.clone(),
    };
    addresses.map(entry).collect()
}

/// Adds a running container's own lines for a further network, or takes them away.
pub(super) fn change_hosts(
    container: &Container,
    record: &Record,
    gone: Option<&corten_api::network::EndpointSettings>,
    new: Option<&corten_api::network::EndpointSettings>,
) -> Result<()> {
    let path = container.folder.join(HOSTS);
    let old = corten_sys::fs::read_to_string(&path)?;
    let line = |entry: HostEntry| format!("{}\t{}", entry.address, entry.names.join(" "));
    let gone: Vec<String> = gone
        .into_iter()
        .flat_map(|s| own_entries(record, s))
        .map(line)
        .collect();
    let new = new.into_iter().flat_map(|s| own_entries(record, s)).map(line);
    let kept = old
        .lines()
        .filter(|line| !gone.iter().any(|gone| gone == line))
        .map(str::to_owned);
    let text: String = kept.chain(new).map(|line| line + "\n").collect();
    write_public(container, HOSTS, text.as_bytes())
}

/// Changes the address in a container's line for another, by its names.
pub(super) fn change_link(container: &Container, entry: &HostEntry) -> Result<()> {
    let old = corten_sys::fs::read_to_string(container.folder.join(HOSTS))?;
    let names = entry.names.join(" ");
    let is_it = |line: &str| line.split_once('\t').is_some_and(|(_, own)| own == names);
    let new = format!("{}\t{names}", entry.address);
    let lines = old.lines().map(|line| if is_it(line) { new.as_str() } else { line });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    write_public(container, HOSTS, text.as_bytes())
}

fn resolver_wishes(record: &Record, defaults: &Reloadable) -> Result<ResolverOptions> {
    let host = &record.host_config;
    let or = |own: &Option<Vec<String>>, default: &[String]| match own.as_deref() {
        Some(own) if !own.is_empty() => own.to_vec(),
        _ => default.to_vec(),
    };
    let servers = match host.dns.as_deref() {
        Some(own) if !own.is_empty() => own
            .iter()
            .map(|text| {
                text.parse()
                    .map_err(|_| Error::invalid(format!("bad nameserver address {text}")))
            })
            .collect::<Result<_>>()?,
        _ => defaults.dns.clone(),
    };
    Ok(ResolverOptions {
        servers,
        search: or(&host.dns_search, &defaults.dns_search),
        options: or(&host.dns_options, &defaults.dns_options),
    })
}

/// The host's resolvers, as they are now.
fn host_resolver() -> ResolverConfig {
    let etc = corten_sys::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let systemd = corten_sys::fs::read_to_string("/run/systemd/resolve/resolv.conf").ok();
    ResolverConfig::of_host(&etc, systemd.as_deref())
}
