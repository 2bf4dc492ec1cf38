//! The default bridge: as the settings say, else as its link is, else as it was, else in a free subnet.

use std::net::IpAddr;

use corten_api::network::Ipam;
use corten_network::{BridgePlan, Driver, Neighbours, Reach, choose_subnet};
use ipnet::IpNet;

use super::{
    drivers::{BRIDGE_NAME, DEFAULT_BRIDGE, HOST_BINDING, ICC, MASQUERADE, MTU},
    plan::{add_addresses, check_route, chosen, pools, predefined, show},
    record::{Bridge, Range, Record},
};
use crate::{
    error::{Error, Result},
    settings::Settings,
};

/// What is there already when the default bridge is planned.
#[derive(Debug, Default)]
pub(super) struct Surroundings<'a> {
    /// The other networks' subnets.
    pub(super) in_use: &'a [IpNet],
    /// Subnets of the host's own links and routes.
    pub(super) host: &'a [IpNet],
    /// The addresses of the bridge's link, if that exists.
    pub(super) link: Option<&'a [IpNet]>,
}

/// What the settings say of one family.
struct Wishes {
    address: Option<IpNet>,
    fixed: Option<IpNet>,
    gateway: Option<IpAddr>,
    is_family: fn(&IpNet) -> bool,
}

/// Plans it.
pub(super) fn plan(settings: &Settings, earlier: Option<Record>, around: &Surroundings<'_>) -> Result<Record> {
    let was = earlier.as_ref().and_then(|record| record.bridge.clone());
    let wishes4 = Wishes {
        address: settings.bridge_address.map(IpNet::V4),
        fixed: settings.fixed_cidr.map(IpNet::V4),
        gateway: settings.default_gateway.map(IpAddr::V4),
        is_family: |net| net.addr().is_ipv4(),
    };
    let wishes6 = Wishes {
        address: settings.bridge_address6.map(IpNet::V6),
        fixed: settings.fixed_cidr6.map(IpNet::V6),
        gateway: settings.default_gateway6.map(IpAddr::V6),
        is_family: |net| net.addr().is_ipv6(),
    };
    let v4 = range(
        settings,
        &wishes4,
        was.as_ref().and_then(|bridge| bridge.v4.clone()),
        around,
    )?;
    let v6 = settings
        .ipv6
        .then(|| range(settings, &wishes6, was.and_then(|bridge| bridge.v6), around))
        .transpose()?;
    let bridge = bridge(settings, around, v4, v6, (wishes4.gateway, wishes6.gateway))?;
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
            config: Some(
                [&bridge.v4, &bridge.v6]
                    .into_iter()
                    .flatten()
                    .map(|range| show(range, true))
                    .collect(),
            ),
        },
        options: options
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        bridge: Some(bridge),
        ..base
    })
}

fn bridge(
    settings: &Settings,
    around: &Surroundings<'_>,
    v4: Range,
    v6: Option<Range>,
    gateways: (Option<IpAddr>, Option<IpAddr>),
) -> Result<Bridge> {
    let mut plan = BridgePlan::new(&settings.bridge);
    plan.mtu = settings.mtu;
    if !settings.masquerade {
        plan.reach = Reach::Routed;
    }
    if !settings.inter_container {
        plan.neighbours = Neighbours::Isolated;
    }
    plan.policy.adopted = settings.bridge_is_users && around.link.is_some() && settings.bridge_address.is_none();
    add_addresses(&mut plan, "bridge", std::iter::once(&v4).chain(&v6))?;
    Ok(Bridge {
        plan,
        route4: check_route(gateways.0, Some(&v4))?,
        route6: check_route(gateways.1, v6.as_ref())?,
        v4: Some(v4),
        v6,
        host_ip: None,
        link_prefix: None,
    })
}

/// The subnet of one family, its gateway, and the part that containers get.
fn range(settings: &Settings, wishes: &Wishes, was: Option<Range>, around: &Surroundings<'_>) -> Result<Range> {
    let fits = |net: &IpNet| wishes.fixed.is_none_or(|fixed| net.contains(&fixed));
    let present = around
        .link
        .and_then(|all| all.iter().find(|net| (wishes.is_family)(net) && fits(net)));
    let with_gateway = |address: IpNet| Range {
        gateway: Some(address.addr()),
        ..chosen(address)
    };
    let mut range = match (wishes.address, present, was.filter(|range| fits(&range.subnet))) {
        (Some(address), ..) => with_gateway(address),
        (None, Some(address), _) => with_gateway(*address),
        (None, None, Some(range)) => range,
        (None, None, None) => match wishes.fixed {
            Some(fixed) => chosen(fixed),
            None => chosen(choose_subnet(
                &pools(settings, wishes.is_family),
                around.in_use,
                around.host,
            )?),
        },
    };
    if !fits(&range.subnet) {
        return Err(Error::invalid(format!(
            "the part of the default bridge's subnet that containers get is outside {}",
            range.subnet
        )));
    }
    range.ip_range = wishes.fixed;
    range.auxiliary = wishes.gateway.into_iter().collect();
    range.gateway = Some(range.open("bridge")?.gateway());
    Ok(range)
}
