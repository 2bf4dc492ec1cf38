//! The options of Docker's bridge driver.

use std::{net::IpAddr, str::FromStr};

use corten_network::{BridgePlan, GatewayMode, Neighbours, Reach};

use super::{Options, Shape};
use crate::{
    error::{Error, Result},
    identifiers,
};

pub(in crate::networks) const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
pub(in crate::networks) const ICC: &str = "com.docker.network.bridge.enable_icc";
pub(in crate::networks) const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
pub(in crate::networks) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";
pub(in crate::networks) const DEFAULT_BRIDGE: &str = "com.docker.network.bridge.default_bridge";
pub(in crate::networks) const MTU: &str = "com.docker.network.driver.mtu";
const GATEWAY_MODE4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const GATEWAY_MODE6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
const INHIBIT4: &str = "com.docker.network.bridge.inhibit_ipv4";
const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
const LINK_PREFIX: &str = "com.docker.network.container_iface_prefix";
const HOST4: &str = "com.docker.network.host_ipv4";
const HOST6: &str = "com.docker.network.host_ipv6";

/// Reads the options. Unknown ones are kept and mean nothing, as in Docker.
pub(super) fn shape(id: &str, internal: bool, options: &Options) -> Result<Shape> {
    let name = match options.get(BRIDGE_NAME).filter(|name| !name.is_empty()) {
        Some(name) => name.clone(),
        None => format!("br-{}", identifiers::short(id)),
    };
    let mut plan = BridgePlan::new(name);
    plan.mtu = mtu(options)?;
    plan.reach = match (internal, switch(options, MASQUERADE, true)?) {
        (true, _) => Reach::Internal,
        (false, true) => Reach::Masqueraded,
        (false, false) => Reach::Routed,
    };
    if !switch(options, ICC, true)? {
        plan.neighbours = Neighbours::Isolated;
    }
    switch(options, DEFAULT_BRIDGE, false)?;
    let policy = &mut plan.policy;
    policy.gateway4 = parsed(options, GATEWAY_MODE4)?.unwrap_or_default();
    policy.gateway6 = parsed(options, GATEWAY_MODE6)?.unwrap_or_default();
    policy.no_address4 = switch(options, INHIBIT4, false)?;
    policy.trusted = options.get(TRUSTED).map_or_else(Vec::new, |text| {
        let names = text.split(':').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    });
    policy.source4 = address(options, HOST4)?.and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
    policy.source6 = address(options, HOST6)?.and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
    let isolated = (
        policy.gateway4 == GatewayMode::Isolated,
        policy.gateway6 == GatewayMode::Isolated,
    );
    if (isolated.0 || isolated.1) && !internal {
        return Err(Error::internal(
            "gateway mode 'isolated' can only be used for an internal network",
        ));
    }
    let has_gateway = (!(isolated.0 || internal && policy.no_address4), !isolated.1);
    Ok(Shape {
        plan,
        host_ip: address(options, HOST_BINDING)?,
        link_prefix: options.get(LINK_PREFIX).filter(|prefix| !prefix.is_empty()).cloned(),
        has_gateway,
    })
}

fn mtu(options: &Options) -> Result<u32> {
    let Some(text) = options.get(MTU) else {
        return Ok(DEFAULT_MTU);
    };
    let number: i64 = text.parse().map_err(|_| {
        let why = format!("strconv.Atoi: parsing \"{text}\": invalid syntax");
        bad(MTU, text, &why)
    })?;
    match u32::try_from(number) {
        Ok(0) => Ok(DEFAULT_MTU),
        Ok(number) => Ok(number),
        Err(_) => Err(Error::invalid(format!("invalid MTU number: {number}"))),
    }
}

/// What links have when nobody says otherwise.
const DEFAULT_MTU: u32 = 1500;

/// Go's `strconv.ParseBool`.
fn switch(options: &Options, name: &str, default: bool) -> Result<bool> {
    match options.get(name).map(String::as_str) {
        None => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => {
            let why = format!("strconv.ParseBool: parsing \"{other}\": invalid syntax");
            Err(bad(name, other, &why))
        }
    }
}

fn address(options: &Options, name: &str) -> Result<Option<IpAddr>> {
    let read = |text: &String| text.parse().map_err(|_| bad(name, text, "nil ip"));
    options.get(name).map(read).transpose()
}

fn parsed<T: FromStr<Err = corten_network::Error>>(options: &Options, name: &str) -> Result<Option<T>> {
    let read = |text: &String| text.parse().map_err(|error: T::Err| bad(name, text, error.message()));
    options.get(name).map(read).transpose()
}

fn bad(name: &str, value: &str, why: &str) -> Error {
    Error::invalid(format!("failed to parse {name} value: {value} ({why})"))
}
