//! Networks and volumes, and a container's place in networks.

use std::collections::BTreeMap;

use corten_api::{
    network::{self, EndpointIpam, EndpointSettings, Ipam, IpamConfig},
    volume,
};

use super::{Aliases, Around, host, some};
use crate::{
    error::Result,
    hash, labels,
    model::{Network, Project, Service, ServiceNetwork, Volume},
};

/// The request that makes a network.
pub fn network_request(project: &Project, key: &str, network: &Network) -> network::CreateRequest {
    let pools = network.ipam.config.iter().map(|pool| IpamConfig {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: pool.aux_addresses.0.clone(),
    });
    let ipam = Ipam {
        driver: network.ipam.driver.clone(),
        options: None,
        config: Some(pools.collect()),
    };
    let named = !network.ipam.driver.is_empty() || !network.ipam.config.is_empty();
    network::CreateRequest {
        name: network.name.clone(),
        driver: network.driver.clone(),
        internal: network.internal,
        attachable: network.attachable,
        ipam: named.then_some(ipam),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        options: network.driver_opts.0.clone(),
        labels: labels::of_resource(project, &network.labels, labels::NETWORK, key, hash::network(network)),
        ..network::CreateRequest::default()
    }
}

/// The request that makes a volume.
pub fn volume_request(project: &Project, key: &str, definition: &Volume) -> volume::CreateRequest {
    volume::CreateRequest {
        name: definition.name.clone(),
        driver: definition.driver.clone(),
        driver_opts: definition.driver_opts.0.clone(),
        labels: labels::of_resource(
            project,
            &definition.labels,
            labels::VOLUME,
            key,
            hash::volume(definition),
        ),
        cluster_volume_spec: None,
    }
}

/// The network mode: the first network, or what the service says.
pub(super) fn mode(project: &Project, service: &Service, around: &Around) -> Result<String> {
    if !service.network_mode.is_empty() {
        return host::namespace(&service.network_mode, around);
    }
    let first = service.networks_by_priority().into_iter().next();
    Ok(match first.and_then(|key| project.networks.get(key)) {
        Some(network) => network.name.clone(),
        None => "none".to_owned(),
    })
}

/// The container's place in each of its networks.
///
/// # Errors
/// [`Kind::Invalid`](crate::Kind::Invalid) for links to services without containers.
pub(super) fn endpoints(
    project: &Project,
    name: &str,
    service: &Service,
    around: &Around,
) -> Result<BTreeMap<String, EndpointSettings>> {
    if !service.network_mode.is_empty() {
        return Ok(BTreeMap::new());
    }
    let links: Vec<_> = host::links(service, around)?.iter().map(|link| by_name(link)).collect();
    let links = some(&links);
    let networks = service.networks.iter().filter_map(|(key, place)| {
        let network = project.networks.get(key)?;
        let place = EndpointSettings {
            links: links.clone(),
            ..endpoint(name, service, place.as_ref(), around)
        };
        Some((network.name.clone(), place))
    });
    Ok(networks.collect())
}

/// A link as servers of names have it: they know the beginnings of ids that containers are called by.
fn by_name(link: &str) -> String {
    let (container, alias) = link.split_once(':').unwrap_or((link, link));
    let is_id = container.len() == 64 && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    let container = if is_id { &container[..12] } else { container };
    format!("{container}:{alias}")
}

fn endpoint(name: &str, service: &Service, place: Option<&ServiceNetwork>, around: &Around) -> EndpointSettings {
    let mut aliases = vec![around.name.clone()];
    if around.aliases == Aliases::All {
        aliases.push(name.to_owned());
        aliases.extend(place.into_iter().flat_map(|place| place.aliases.iter().cloned()));
    }
    let Some(place) = place else {
        return EndpointSettings {
            aliases: Some(aliases),
            mac_address: service.mac_address.clone(),
            ..EndpointSettings::default()
        };
    };
    let mac_address = match place.mac_address.as_str() {
        "" => &service.mac_address,
        _ => &place.mac_address,
    };
    let mut options = place.driver_opts.0.clone();
    if !place.interface_name.is_empty() {
        options.insert(
            "com.docker.network.endpoint.ifname".to_owned(),
            place.interface_name.clone(),
        );
    }
    EndpointSettings {
        ipam_config: Some(EndpointIpam {
            ipv4_address: place.ipv4_address.clone(),
            ipv6_address: place.ipv6_address.clone(),
            link_local_ips: some(&place.link_local_ips).unwrap_or_default(),
        }),
        aliases: Some(aliases),
        mac_address: mac_address.clone(),
        driver_opts: (!options.is_empty()).then_some(options),
        gw_priority: place.gw_priority,
        ..EndpointSettings::default()
    }
}
