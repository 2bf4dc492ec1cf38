//! From what a user asks for to a network as it shall be: pure rules, in Docker's words.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use corten_api::network::{CreateRequest, Ipam, IpamConfig};
use corten_network::{AddressPool, BridgePlan, Driver, Neighbours, Reach, check_overlap, choose_subnet, default_pools};
use ipnet::IpNet;

use super::record::{Bridge, Range, Record};
use crate::{
    error::{Error, Kind, Result},
    identifiers,
    settings::Settings,
};

const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const ICC: &str = "com.docker.network.bridge.enable_icc";
const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
const GATEWAY_MODE: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
const MTU: &str = "com.docker.network.driver.mtu";

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
    match request.driver.as_str() {
        "" | "default" | "bridge" => {}
        single @ ("host" | "null") => {
            return Err(Error::new(
                Kind::Forbidden,
                format!("only one instance of \"{single}\" network is allowed"),
            ));
        }
        lacking @ ("macvlan" | "ipvlan" | "overlay") => {
            return Err(Error::unsupported(format!(
                "network driver \"{lacking}\" is not supported"
            )));
        }
        other => return Err(Error::not_found(format!("plugin \"{other}\" not found"))),
    }
    if request.scope == "swarm" || request.ingress {
        return Err(Error::unsupported("networks of a swarm are not supported"));
    }
    if request.config_only || request.config_from.is_some() {
        return Err(Error::unsupported(
            "networks that only keep a configuration are not supported",
        ));
    }
    check_ipam(request)
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

/// Plans a user's bridge network.
///
/// `in_use` are the other networks' subnets, `host` those of the host's own links and routes.
pub(super) fn record(request: &CreateRequest, settings: &Settings, in_use: &[IpNet], host: &[IpNet]) -> Result<Record> {
    let id = identifiers::random();
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
        pools(settings, |net| net.addr().is_ipv4(), &id),
    )?;
    let v6 = pick(
        families.v6,
        |net| net.addr().is_ipv6(),
        pools(settings, |net| net.addr().is_ipv6(), &id),
    )?;
    let plan = bridge_plan(request, &id, settings, v4.as_ref(), v6.as_ref())?;
    let host_ip = request
        .options
        .get(HOST_BINDING)
        .map(|text| text.parse().map_err(|_| bad_option(HOST_BINDING, text)))
        .transpose()?;
    let shown = if wanted.iter().any(|config| !config.subnet.is_empty()) {
        wanted
            .iter()
            .filter(|config| **config != IpamConfig::default())
            .cloned()
            .collect()
    } else {
        [&v4, &v6].into_iter().flatten().map(show).collect()
    };
    Ok(Record {
        id,
        name: request.name.clone(),
        created: super::now(),
        driver: Driver::Bridge,
        predefined: false,
        internal: request.internal,
        attachable: request.attachable,
        ipam: Ipam {
            driver: "default".to_owned(),
            options: Some(
                request
                    .ipam
                    .as_ref()
                    .and_then(|ipam| ipam.options.clone())
                    .unwrap_or_default(),
            ),
            config: Some(shown),
        },
        options: request.options.clone(),
        labels: request.labels.clone(),
        bridge: Some(Bridge { plan, v4, v6, host_ip }),
    })
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
    }
}

/// The default bridge: as the settings say, else as it was, else in a free subnet.
pub(super) fn default_bridge(
    settings: &Settings,
    earlier: Option<Record>,
    in_use: &[IpNet],
    host: &[IpNet],
) -> Result<Record> {
    let earlier_range = earlier
        .as_ref()
        .and_then(|record| record.bridge.as_ref())
        .and_then(|bridge| bridge.v4.clone());
    let mut range = match (settings.bridge_address, earlier_range) {
        (Some(address), _) => Range {
            subnet: IpNet::V4(address).trunc(),
            gateway: Some(IpAddr::V4(address.addr())),
            ..chosen(IpNet::V4(address))
        },
        (None, Some(range)) => Range {
            ip_range: None,
            ..range
        },
        (None, None) => chosen(choose_subnet(
            &pools(settings, |net| net.addr().is_ipv4(), ""),
            in_use,
            host,
        )?),
    };
    range.ip_range = settings.fixed_cidr.map(IpNet::V4);
    let gateway = range.open("bridge")?.gateway_net();
    let IpNet::V4(gateway) = gateway else {
        return Err(Error::invalid("the default bridge needs an IPv4 subnet"));
    };
    range.gateway = Some(IpAddr::V4(gateway.addr()));
    let plan = BridgePlan {
        name: settings.bridge.clone(),
        ipv4: vec![gateway],
        ipv6: Vec::new(),
        mtu: settings.mtu,
        reach: if settings.masquerade {
            Reach::Masqueraded
        } else {
            Reach::Routed
        },
        neighbours: neighbours(settings.inter_container),
    };
    let options = [
        (DEFAULT_BRIDGE, "true".to_owned()),
        (ICC, settings.inter_container.to_string()),
        (MASQUERADE, settings.masquerade.to_string()),
        (HOST_BINDING, settings.default_ip.to_string()),
        (BRIDGE_NAME, settings.bridge.clone()),
        (MTU, settings.mtu.to_string()),
    ];
    let base = earlier.unwrap_or_else(|| predefined("bridge", Driver::Bridge));
    Ok(Record {
        ipam: Ipam {
            driver: "default".to_owned(),
            options: None,
            config: Some(vec![show(&range)]),
        },
        options: options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        bridge: Some(Bridge {
            plan,
            v4: Some(range),
            v6: None,
            host_ip: None,
        }),
        ..base
    })
}

fn bridge_plan(
    request: &CreateRequest,
    id: &str,
    settings: &Settings,
    v4: Option<&Range>,
    v6: Option<&Range>,
) -> Result<BridgePlan> {
    let options = &request.options;
    let name = match options.get(BRIDGE_NAME).filter(|name| !name.is_empty()) {
        Some(name) if name.len() > 15 || name.contains('/') => return Err(bad_option(BRIDGE_NAME, name)),
        Some(name) => name.clone(),
        None => format!("br-{}", identifiers::short(id)),
    };
    let masquerade = switch(options, MASQUERADE, true)?;
    let reach = match (request.internal, options.get(GATEWAY_MODE).map(String::as_str)) {
        (true, _) => Reach::Internal,
        (false, None | Some("" | "nat")) if masquerade => Reach::Masqueraded,
        (false, None | Some("" | "nat" | "routed")) => Reach::Routed,
        (false, Some(other)) => return Err(bad_option(GATEWAY_MODE, other)),
    };
    let mtu = match options.get(MTU).filter(|mtu| !mtu.is_empty()) {
        Some(text) => text.parse().map_err(|_| bad_option(MTU, text))?,
        None => settings.mtu,
    };
    let mut plan = BridgePlan {
        name,
        ipv4: Vec::new(),
        ipv6: Vec::new(),
        mtu,
        reach,
        neighbours: neighbours(switch(options, ICC, true)?),
    };
    for range in [v4, v6].into_iter().flatten() {
        match range.open(&request.name)?.gateway_net() {
            IpNet::V4(net) => plan.ipv4.push(net),
            IpNet::V6(net) => plan.ipv6.push(net),
        }
    }
    Ok(plan)
}

fn neighbours(open: bool) -> Neighbours {
    if open { Neighbours::Open } else { Neighbours::Isolated }
}

fn switch(options: &BTreeMap<String, String>, name: &str, default: bool) -> Result<bool> {
    match options.get(name).map(String::as_str) {
        None | Some("") => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(bad_option(name, other)),
    }
}

fn bad_option(name: &str, value: &str) -> Error {
    Error::invalid(format!("invalid value \"{value}\" for network option {name}"))
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

fn chosen(subnet: IpNet) -> Range {
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
fn show(range: &Range) -> IpamConfig {
    let gateway = range
        .open("")
        .map(|subnet| subnet.gateway().to_string())
        .unwrap_or_default();
    IpamConfig {
        subnet: range.subnet.to_string(),
        ip_range: range.ip_range.map(|net| net.to_string()).unwrap_or_default(),
        gateway,
        ..IpamConfig::default()
    }
}

fn pools(settings: &Settings, is_family: fn(&IpNet) -> bool, seed: &str) -> Vec<AddressPool> {
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
    let seed = u64::from_str_radix(seed.get(..16).unwrap_or("1"), 16).unwrap_or(1);
    vec![corten_network::unique_local_pool(seed)]
}
