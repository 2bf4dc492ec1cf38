//! The container's end of a link: name, link address, addresses, default routes.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use corten_sys::netns;
use ipnet::IpNet;

use crate::links::{self, LinkChange};
use crate::netlink::{Connection, Messages};
use crate::{EndpointPlan, Error, Medium, Result, sysctls};

/// What a new link has.
pub(crate) const DEFAULT_MTU: u32 = 1500;

/// Configures the inner end, which is up, named `name` and connected to its bridge so far, by a
/// connection inside the namespace.
pub(crate) fn configure(
    inside: &mut Connection,
    netns: BorrowedFd<'_>,
    index: u32,
    name: &str,
    (plan, medium): (&EndpointPlan, &Medium),
) -> Result<()> {
    inside.request(&batch4(index, name, plan, medium))?;
    if plan.ifname != name {
        links::settle(inside, &plan.ifname)?;
    }
    if plan.ipv6.is_some() || plan.link_local.iter().any(|net| net.addr().is_ipv6()) {
        // Settings belong to the thread's namespace; only links with IPv6 pay for the visit.
        netns::run_in(netns, || sysctls::apply(&sysctls::for_link6(&plan.ifname)))
            .map_err(|error| Error::from_io("cannot enter the container's network", error))??;
        inside.request(&batch6(index, plan, medium))?;
    }
    if !plan.settings.is_empty() {
        netns::run_in(netns, || sysctls::apply_to_link(&plan.ifname, &plan.settings))
            .map_err(|error| Error::from_io("cannot enter the container's network", error))??;
    }
    Ok(())
}

fn batch4(index: u32, name: &str, plan: &EndpointPlan, medium: &Medium) -> Messages {
    let mut batch = Messages::new();
    if plan.ifname != name {
        // Kernels before 6.3 rename links only while they are down.
        let down = LinkChange {
            up: Some(false),
            name: Some(&plan.ifname),
            ..Default::default()
        };
        links::change_link(&mut batch, index, &down, name);
        let up = LinkChange {
            up: Some(true),
            ..Default::default()
        };
        links::change_link(&mut batch, index, &up, &plan.ifname);
    }
    if let Some(address) = plan.ipv4 {
        links::add_address(&mut batch, index, IpNet::V4(address), &plan.ifname);
    }
    for address in plan.link_local.iter().filter(|net| net.addr().is_ipv4()) {
        links::add_address(&mut batch, index, *address, &plan.ifname);
    }
    // A change of link address makes the link tell its neighbours, if it has an address to tell.
    let change = LinkChange {
        mac: medium.has_own_mac().then_some(plan.mac),
        mtu: (plan.mtu != DEFAULT_MTU).then_some(plan.mtu),
        ..Default::default()
    };
    links::change_link(&mut batch, index, &change, &plan.ifname);
    add_route(&mut batch, index, plan.gateway4.map(IpAddr::V4), medium);
    batch
}

fn batch6(index: u32, plan: &EndpointPlan, medium: &Medium) -> Messages {
    let mut batch = Messages::new();
    if let Some(address) = plan.ipv6 {
        links::add_address(&mut batch, index, IpNet::V6(address), &plan.ifname);
    }
    for address in plan.link_local.iter().filter(|net| net.addr().is_ipv6()) {
        links::add_address(&mut batch, index, *address, &plan.ifname);
    }
    add_route(&mut batch, index, plan.gateway6.map(IpAddr::V6), medium);
    batch
}

/// Appends the default route, where there is to be one.
fn add_route(batch: &mut Messages, index: u32, gateway: Option<IpAddr>, medium: &Medium) {
    match gateway {
        None => {}
        Some(gateway) if medium.is_routed_by_link() => links::add_link_route(batch, index, gateway.is_ipv4()),
        Some(gateway) => links::add_default_route(batch, index, gateway),
    }
}

/// Leads what is for elsewhere through a link that is there, in place of another.
pub(crate) fn route(inside: &mut Connection, name: &str, gateway: IpAddr, medium: &Medium) -> Result<()> {
    let index = crate::pool::index_of(inside, name)?;
    let mut batch = Messages::new();
    add_route(&mut batch, index, Some(gateway), medium);
    inside.request(&batch).map(drop)
}
