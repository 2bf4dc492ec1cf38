//! The options about networks: the default bridge, and rules for all.

use std::{net::IpAddr, str::FromStr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Config, ConfigError};

/// Checks what the table of options cannot.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    cidr::<Ipv4Net>(config, "bip")?;
    cidr::<Ipv6Net>(config, "bip6")?;
    fixed_cidr(config)?;
    fixed_cidr6(config)?;
    mtu(config)?;
    default_ip(config)?;
    address::<std::net::Ipv4Addr>(config, "default-gateway")?;
    address::<std::net::Ipv6Addr>(config, "default-gateway-v6")?;
    for name in ["bip", "bip6"] {
        if config.text("bridge").is_some() && config.text(name).is_some() {
            return Err(ConfigError::new(format!(
                "You specified -b & --{name}, mutually exclusive options. Please specify only one"
            )));
        }
    }
    let lacks = |name| !config.switch(name, true);
    let without = |name: &str| {
        ConfigError::new(format!(
            "You specified --{name}=false with --icc=false. ICC=false uses {name} to function. Please set --icc or \
             --{name} to true"
        ))
    };
    if lacks("icc") && lacks("iptables") {
        return Err(without("iptables"));
    }
    if lacks("icc") && config.switch("ipv6", false) && lacks("ip6tables") {
        return Err(without("ip6tables"));
    }
    Ok(())
}

/// An address with its subnet.
pub(super) fn cidr<T: FromStr>(config: &Config, name: &str) -> Result<Option<T>, ConfigError> {
    let read = |text: &str| {
        text.parse()
            .map_err(|_| ConfigError::new(format!("invalid CIDR address: {text}")))
    };
    config.text(name).map(read).transpose()
}

/// An address.
pub(super) fn address<T: FromStr>(config: &Config, name: &str) -> Result<Option<T>, ConfigError> {
    let read = |text: &str| {
        text.parse()
            .map_err(|_| ConfigError::new(format!("{text} is not an ip address")))
    };
    config.text(name).map(read).transpose()
}

/// The part of the default bridge's subnet that containers get.
pub(super) fn fixed_cidr(config: &Config) -> Result<Option<Ipv4Net>, ConfigError> {
    let Some(net) = cidr::<Ipv4Net>(config, "fixed-cidr")? else {
        return Ok(None);
    };
    match cidr::<Ipv4Net>(config, "bip")? {
        Some(bridge) if !bridge.trunc().contains(&net.trunc()) => Err(outside("fixed-cidr", net, bridge.trunc())),
        _ => Ok(Some(net.trunc())),
    }
}

/// The same for IPv6.
pub(super) fn fixed_cidr6(config: &Config) -> Result<Option<Ipv6Net>, ConfigError> {
    let Some(net) = cidr::<Ipv6Net>(config, "fixed-cidr-v6")? else {
        return Ok(None);
    };
    let link_local = Ipv6Net::new_assert([0xfe80, 0, 0, 0, 0, 0, 0, 0].into(), 64);
    let clashes = net.trunc() != link_local && (link_local.contains(&net) || net.contains(&link_local));
    if net.addr().is_multicast() {
        return Err(ConfigError::new(format!(
            "invalid fixed-cidr-v6: multicast subnet '{net}' is not allowed"
        )));
    }
    if clashes {
        return Err(ConfigError::new(format!(
            "invalid fixed-cidr-v6: '{net}' clashes with the Link-Local prefix '{link_local}'"
        )));
    }
    match cidr::<Ipv6Net>(config, "bip6")? {
        Some(bridge) if !bridge.trunc().contains(&net.trunc()) => Err(outside("fixed-cidr-v6", net, bridge.trunc())),
        _ => Ok(Some(net.trunc())),
    }
}

fn outside(name: &str, net: impl std::fmt::Display, bridge: impl std::fmt::Display) -> ConfigError {
    ConfigError::new(format!("{name} {net} is not within the bridge's subnet {bridge}"))
}

/// The default bridge's MTU.
pub(super) fn mtu(config: &Config) -> Result<u32, ConfigError> {
    match config.number("mtu") {
        None | Some(0) => Ok(1500),
        Some(mtu) => u32::try_from(mtu)
            .ok()
            .filter(|mtu| (68..=65_535).contains(mtu))
            .ok_or_else(|| ConfigError::new(format!("invalid default MTU value: {mtu}"))),
    }
}

/// The address of published ports that name none.
pub(super) fn default_ip(config: &Config) -> Result<IpAddr, ConfigError> {
    Ok(address(config, "ip")?.unwrap_or(IpAddr::from([0; 4])))
}
