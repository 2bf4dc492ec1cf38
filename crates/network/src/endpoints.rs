//! The container's end of a link: name, link address, addresses, default routes.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use corten_sys::netns;
use ipnet::IpNet;

use crate::links::{self, LinkChange};
use crate::netlink::{Connection, Messages};
use crate::{EndpointPlan, Error, Result, sysctls};

/// What a new link has.
pub(crate) const DEFAULT_MTU: u32 = 1500;

/// Configures the inner end, named `name` so far, by a connection inside the namespace.
pub(crate) fn configure(
    inside: &mut Connection,
    netns: BorrowedFd<'_>,
    index: u32,
    name: &str,
    plan: &EndpointPlan,
) -> Result<()> {
    if plan.ipv6.is_some() {
        // Settings belong to the thread's namespace; only links with IPv6 pay for the visit.
        netns::run_in(netns, || sysctls::apply(&sysctls::for_link6(name)))
            .map_err(|error| Error::from_io("cannot enter the container's network", error))??;
    }
    inside.request(&batch(index, name, plan)).map(drop)
}

/// Plans the messages: one batch, in which the link goes up before routes lead through it.
fn batch(index: u32, name: &str, plan: &EndpointPlan) -> Messages {
    let mut batch = Messages::new();
    let addresses = [plan.ipv4.map(IpNet::V4), plan.ipv6.map(IpNet::V6)];
    let change = LinkChange {
        name: (plan.ifname != name).then_some(plan.ifname.as_str()),
        mtu: (plan.mtu != DEFAULT_MTU).then_some(plan.mtu),
        mac: Some(plan.mac),
        ..Default::default()
    };
    links::change_link(&mut batch, index, &change, name);
    // Addresses come before the link goes up, which then announces them.
    for address in addresses.into_iter().flatten() {
        links::add_address(&mut batch, index, address, &plan.ifname);
    }
    let up = LinkChange {
        up: true,
        ..Default::default()
    };
    links::change_link(&mut batch, index, &up, &plan.ifname);
    let gateways = [plan.gateway4.map(IpAddr::V4), plan.gateway6.map(IpAddr::V6)];
    for gateway in gateways.into_iter().flatten() {
        links::add_default_route(&mut batch, index, gateway);
    }
    batch
}
