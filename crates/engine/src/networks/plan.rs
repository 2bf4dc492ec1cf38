//! From what a user asks for to a network as it shall be: pure rules, in Docker's words.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use corten_api::network::{CreateRequest, Ipam, IpamConfig};
use corten_network::{AddressPool, BridgePlan, Driver, check_overlap, choose_subnet, default_pools};
use ipnet::IpNet;

use super::{
    configuration, drivers,
    record::{Bridge, Range, Record},
};
use crate::{
    error::{Error, Kind, Result},
    identifiers,
    settings::Settings,
};

/// Checks what can be checked without knowing the other networks.
pub(super) fn check(request: &CreateRequest) -> Result<()> {
    let name = request.name.as_str();
    if name.trim().is_empty() {
        return Err(Error::invalid("invalid name: name is empty"));
    }
    if matches!(name, "bridge" | "host" | "none" | "default") {
        return Err(Error::new(
            Kind::Forbidden,
            format!("operation is not permitted on predefined {name} network "),
        ));
    }
    // Said before anything else that is wrong, as by Docker.
    if request.driver == "overlay" {
        drivers::driver(&request.driver)?;
    }
    check_ipam(request)?;
    configuration::check(request)?;
    // The driver of a configuration is that of the networks to come.
    if request.config_only {
        return Ok(());
    }
    drivers::driver(&request.driver)?;
    if request.ingress {
        return Err(Error::new(
            Kind::Forbidden,
            "Ingress network can only be global scope network",
        ));
    }
    if request.scope == "swarm" {
        return Err(Error::new(
            Kind::Forbidden,
            "cannot create a swarm scoped network when swarm is not active",
        ));
    }
    Ok(())
}

/// Docker's checks of address management, all complaints in one message.
fn check_ipam(request: &CreateRequest) -> Result<()> {
    let Some(ipam) = &request.ipam else {
        return Ok(());
    };
    if !matches!(ipam.driver.as_str(), "" | "default") {
        return Err(Error::not_found(format!(
            "error looking up ipam plugin {0}: plugin \"{0}\" not found",
            ipam.driver
        )));
    }
    let complaints: Vec<_> = ipam.config.iter().flatten().flat_map(complaints).collect();
    if complaints.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid network config:\n{}",
        complaints.join("\n")
    )))
}

fn complaints(config: &IpamConfig) -> Vec<String> {
    let subnet = match IpNet::from_str(&config.subnet) {
        Ok(subnet) => subnet,
        Err(_) if *config == IpamConfig::default() => return Vec::new(),
        Err(_) => return vec![format!("invalid subnet {}: invalid CIDR block notation", config.subnet)],
    };
    let mut complaints = Vec::new();
    if subnet != subnet.trunc() {
        complaints.push(format!("invalid subnet {subnet}: it should be {}", subnet.trunc()));
    }
    if !config.ip_range.is_empty() {
        match IpNet::from_str(&config.ip_range) {
            Err(_) => complaints.push(format!(
                "invalid ip-range {}: invalid CIDR block notation",
                config.ip_range
            )),
            Ok(range) if range != range.trunc() => {
                complaints.push(format!("invalid ip-range {range}: it should be {}", range.trunc()));
            }
            Ok(range) if !subnet.contains(&range) => {
                complaints.push(format!(
                    "invalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range"
                ));
            }
            Ok(_) => {}
        }
    }
    let mut address = |what: &str, name: &str, text: &str| match text.parse::<IpAddr>() {
        Err(_) => complaints.push(format!("invalid {what} {name}: invalid address")),
        Ok(address) if !subnet.contains(&address) => {
            complaints.push(format!(
                "invalid {what} {name}: parent subnet {subnet} doesn't contain this address"
            ));
        }
        Ok(_) => {}
    };
    if !config.gateway.is_empty() {
        address("gateway", &config.gateway, &config.gateway);
    }
    for (name, text) in &config.auxiliary_addresses {
        address("auxiliary address", name, text);
    }
    complaints
}

/// Plans a user's network.
///
/// `in_use` are the other networks' subnets, `host` those of the host's own links and routes.
pub(super) fn record(request: &CreateRequest, settings: &Settings, in_use: &[IpNet], host: &[IpNet]) -> Result<Record> {
    let id = identifiers::random();
    let driver = drivers::driver(&request.driver)?;
    let options = options(request, settings);
    let shape = drivers::shape(driver, &id, request.internal, &options)?;
    let wanted = request
        .ipam
        .as_ref()
        .and_then(|ipam| ipam.config.as_deref())
        .unwrap_or_default();
    let families = Families {
        v4: request.enable_ipv4.unwrap_or(true),
        v6: request.enable_ipv6.unwrap_or(false),
    };
    if !families.v4 && !families.v6 {
        return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
    }
    let pick = |enabled: bool, is_family: fn(&IpNet) -> bool, pools: Vec<AddressPool>| -> Result<Option<Range>> {
        if !enabled {
            return Ok(None);
        }
        match asked_for(wanted, is_family, &request.name)? {
            Some(range) => {
                check_overlap(&range.subnet, in_use)?;
                Ok(Some(range))
            }
            None => Ok(Some(chosen(choose_subnet(&pools, in_use, host)?))),
        }
    };
    let v4 = pick(
        families.v4,
        |net| net.addr().is_ipv4(),
        pools(settings, |net| net.addr().is_ipv4()),
    )?;
    let v6 = pick(
        families.v6,
        |net| net.addr().is_ipv6(),
        pools(settings, |net| net.addr().is_ipv6()),
    )?;
    let mut plan = shape.plan;
    add_addresses(&mut plan, &request.name, [&v4, &v6].into_iter().flatten())?;
    let (route4, route6) = (
        default_gateway(wanted, "DefaultGatewayIPv4", v4.as_ref())?,
        default_gateway(wanted, "DefaultGatewayIPv6", v6.as_ref())?,
    );
    let shown = shown(wanted, [(&v4, shape.has_gateway.0), (&v6, shape.has_gateway.1)]);
    Ok(Record {
        id,
        name: request.name.clone(),
        created: super::now(),
        driver,
        predefined: false,
        internal: request.internal,
        attachable: request.attachable,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: request.ipam.as_ref().and_then(|ipam| ipam.options.clone()),
            config: Some(shown),
        },
        options,
        labels: request.labels.clone(),
        bridge: Some(Bridge {
            plan,
            v4,
            v6,
            host_ip: shape.host_ip,
            route4,
            route6,
            link_prefix: shape.link_prefix,
        }),
        configuration: None,
        config_from: request
            .config_from
            .as_ref()
            .map_or_else(String::new, |from| from.network.clone()),
    })
}

/// What is told of a network's addresses, in Docker's order: what the user said, also of a family that the
/// network has not; then what the engine chose.
fn shown(wanted: &[IpamConfig], ranges: [(&Option<Range>, bool); 2]) -> Vec<IpamConfig> {
    let family = |config: &IpamConfig| IpNet::from_str(&config.subnet).map(|net| net.addr().is_ipv6()).ok();
    let mut said: Vec<_> = wanted
        .iter()
        .filter(|config| family(config).is_some())
        .cloned()
        .collect();
    said.sort_by_key(family);
    let chosen = ranges.into_iter().filter_map(|(range, has_gateway)| {
        let range = range.as_ref().filter(|range| !range.chosen_by_user)?;
        Some(show(range, has_gateway))
    });
    let chosen: Vec<_> = chosen.collect();
    said.into_iter().chain(chosen).collect()
}

/// Whether the engine is to find a subnet for the network.
pub(super) fn chooses_subnets(request: &CreateRequest) -> bool {
    let config = request.ipam.as_ref().and_then(|ipam| ipam.config.as_deref());
    let has = |is_family: fn(&IpNet) -> bool| {
        let subnets = config.unwrap_or_default().iter().map(|config| config.subnet.parse());
        subnets.flatten().any(|subnet| is_family(&subnet))
    };
    request.enable_ipv4.unwrap_or(true) && !has(|net| net.addr().is_ipv4())
        || request.enable_ipv6.unwrap_or(false) && !has(|net| net.addr().is_ipv6())
}

/// The request's options, and the driver's default ones that it does not name: where a configuration is
/// taken, that has them already.
pub(super) fn options(request: &CreateRequest, settings: &Settings) -> drivers::Options {
    let driver = match request.driver.as_str() {
        "" | "default" => "bridge",
        driver => driver,
    };
    let defaults = settings
        .network_options
        .get(driver)
        .filter(|_| request.config_from.is_none());
    let mut options = defaults.cloned().unwrap_or_default();
    options.extend(request.options.clone());
    options
}

/// Gives the link its addresses.
pub(super) fn add_addresses<'a>(
    plan: &mut BridgePlan,
    network: &str,
    ranges: impl Iterator<Item = &'a Range>,
) -> Result<()> {
    for range in ranges {
        match range.open(network)?.gateway_net() {
            IpNet::V4(net) => plan.ipv4.push(net),
            IpNet::V6(net) => plan.ipv6.push(net),
        }
    }
    Ok(())
}

/// The address that containers are to send to in place of the bridge's own: an auxiliary address of
/// that name.
fn default_gateway(wanted: &[IpamConfig], name: &str, range: Option<&Range>) -> Result<Option<IpAddr>> {
    let text = wanted.iter().find_map(|config| config.auxiliary_addresses.get(name));
    let address = text.and_then(|text| text.parse::<IpAddr>().ok());
    check_route(address, range)
}

/// Checks a default gateway against its subnet.
pub(super) fn check_route(gateway: Option<IpAddr>, range: Option<&Range>) -> Result<Option<IpAddr>> {
    match (gateway, range) {
        (Some(gateway), Some(range)) if !range.subnet.contains(&gateway) => {
            Err(Error::invalid("default gateway ip must be part of the network"))
        }
        (gateway, Some(_)) => Ok(gateway),
        (_, None) => Ok(None),
    }
}

struct Families {
    v4: bool,
    v6: bool,
}

/// The network `host` or `none`.
pub(super) fn predefined(name: &str, driver: Driver) -> Record {
    Record {
        id: identifiers::random(),
        name: name.to_owned(),
        created: super::now(),
        driver,
        predefined: true,
        internal: false,
        attachable: false,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: None,
            config: None,
        },
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
        bridge: None,
        configuration: None,
        config_from: String::new(),
    }
}

/// The user's one subnet of a family.
fn asked_for(wanted: &[IpamConfig], is_family: fn(&IpNet) -> bool, network: &str) -> Result<Option<Range>> {
    let mut found = None;
    for config in wanted {
        let Ok(subnet) = IpNet::from_str(&config.subnet) else {
            continue;
        };
        if !is_family(&subnet) {
            continue;
        }
        if found.is_some() {
            return Err(Error::new(
                Kind::Forbidden,
                "bridge driver doesn't support multiple subnets",
            ));
        }
        let range = Range {
            subnet,
            gateway: config.gateway.parse().ok(),
            ip_range: config.ip_range.parse().ok(),
            auxiliary: config
                .auxiliary_addresses
                .values()
                .filter_map(|text| text.parse().ok())
                .collect(),
            chosen_by_user: true,
        };
        range.open(network)?;
        found = Some(range);
    }
    Ok(found)
}

/// A range that the engine chose.
pub(super) fn chosen(subnet: IpNet) -> Range {
    let subnet = subnet.trunc();
    Range {
        subnet,
        gateway: None,
        ip_range: None,
        auxiliary: Vec::new(),
        chosen_by_user: false,
    }
}

/// A chosen range, as the API shows it.
pub(super) fn show(range: &Range, has_gateway: bool) -> IpamConfig {
    let gateway = range
        .open("")
        .map(|subnet| subnet.gateway().to_string())
        .unwrap_or_default();
    IpamConfig {
        subnet: range.subnet.to_string(),
        ip_range: range.ip_range.map(|net| net.to_string()).unwrap_or_default(),
        gateway: if has_gateway { gateway } else { String::new() },
        ..IpamConfig::default()
    }
}

/// Where subnets of a family come from: what the settings say, else Docker's own ranges; for IPv6 a
/// unique local /48 that belongs to this engine's data root.
pub(super) fn pools(settings: &Settings, is_family: fn(&IpNet) -> bool) -> Vec<AddressPool> {
    let own: Vec<_> = settings
        .address_pools
        .iter()
        .filter(|(base, _)| is_family(base))
        .map(|(base, size)| AddressPool {
            base: *base,
            size: *size,
        })
        .collect();
    if !own.is_empty() {
        return own;
    }
    if is_family(&IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))) {
        return default_pools();
    }
    let id = crate::system::engine_id(&settings.data_root);
    let seed = id.bytes().filter_map(|byte| char::from(byte).to_digit(16));
    let seed = seed.take(16).fold(0, |seed, digit| (seed << 4) | u64::from(digit));
    vec![corten_network::unique_local_pool(seed)]
}
