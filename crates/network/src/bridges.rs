//! Bridges: from the plan to the kernel's link with its addresses.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};

use crate::keeper::Keeper;
use crate::links::{self, LinkChange, LinkState};
use crate::netlink::{Connection, Messages};
use crate::sysctls::{self, Setting};
use crate::{BridgePlan, Error, Kind, MacAddress, Result};

/// `fe80::1/64`.
const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 64);

/// Makes the bridge as planned and returns its index. `set` writes settings in the bridge's
/// namespace. The keeper's port comes before the bridge goes up, which then has its carrier.
pub(crate) fn ensure(
    routes: &mut Connection,
    plan: &BridgePlan,
    keeper: &mut Keeper,
    set: impl Fn(&[Setting]) -> Result<()>,
    forwarding: bool,
) -> Result<u32> {
    links::check_name(&plan.name)?;
    let (link, is_new) = match links::find(routes, &plan.name)? {
        Some(link) => (adopt(link)?, false),
        None => (create(routes, plan)?, true),
    };
    // Before addresses: IPv6 ones are refused while the setting says that there is none.
    if !plan.ipv6.is_empty() {
        set(&sysctls::for_bridge6(&plan.name))?;
    }
    if !plan.ipv4.is_empty() {
        set(&sysctls::for_bridge4(&plan.name))?;
    }
    if forwarding {
        set(&sysctls::forwarding(!plan.ipv4.is_empty(), !plan.ipv6.is_empty()))?;
    }
    let present = match is_new {
        true => Vec::new(),
        false => addresses_of(routes, link.index)?,
    };
    if !link.up {
        links::no_link_local(routes, link.index, &plan.name)?;
    }
    keeper.keep(routes, &plan.name, link.index)?;
    let mut batch = Messages::new();
    let change = LinkChange {
        up: Some(true),
        mtu: (link.mtu != plan.mtu).then_some(plan.mtu),
        ..Default::default()
    };
    links::change_link(&mut batch, link.index, &change, &plan.name);
    address_changes(&mut batch, &link, plan, &present);
    routes.request(&batch)?;
    links::settle(routes, &plan.name)?;
    Ok(link.index)
}

fn addresses_of(routes: &mut Connection, link: u32) -> Result<Vec<IpNet>> {
    let all = links::addresses(routes)?.into_iter();
    Ok(all
        .filter(|(index, _)| *index == link)
        .map(|(_, address)| address)
        .collect())
}

fn adopt(link: LinkState) -> Result<LinkState> {
    if link.kind == "bridge" {
        return Ok(link);
    }
    Err(Error::new(
        Kind::Conflict,
        format!("cannot use interface {} as a bridge: it is something else", link.name),
    )
    .hint("remove the interface or choose another bridge name"))
}

fn create(routes: &mut Connection, plan: &BridgePlan) -> Result<LinkState> {
    let mut batch = Messages::new();
    let mac = match (plan.ipv4.first(), plan.ipv6.first()) {
        (Some(net), _) => MacAddress::for_ipv4(net.addr()),
        (None, Some(net)) => MacAddress::for_ipv6(net.addr()),
        (None, None) => {
            return Err(Error::new(
                Kind::Invalid,
                format!("bridge {} has no address", plan.name),
            ));
        }
    };
    links::add_bridge(&mut batch, &plan.name, plan.mtu, mac);
    routes.request(&batch).map_err(|error| match error.kind() {
        Kind::Unsupported => error.hint("run \"modprobe bridge\""),
        _ => error,
    })?;
    links::find(routes, &plan.name)?.ok_or_else(|| {
        Error::new(
            Kind::Internal,
            format!("bridge {} vanished when it was made", plan.name),
        )
    })
}

/// Appends what leads from the addresses present to the planned ones. Link-local addresses are the
/// kernel's own matter.
fn address_changes(batch: &mut Messages, link: &LinkState, plan: &BridgePlan, present: &[IpNet]) {
    // The kernel's own link-local address would be looked for elsewhere for a second, in which no
    // container is found; Docker's bridges have this one too.
    let has_ipv6 = plan.own_addresses().any(|net| net.addr().is_ipv6());
    let link_local = has_ipv6.then_some(IpNet::V6(LINK_LOCAL));
    let planned: Vec<IpNet> = plan.own_addresses().chain(link_local).collect();
    let gone = present
        .iter()
        .filter(|address| !plan.policy.adopted && !planned.contains(address));
    for address in gone {
        if !is_link_local(address) {
            links::delete_address(batch, link.index, *address, &plan.name);
        }
    }
    for address in planned.iter().filter(|address| !present.contains(address)) {
        links::add_address(batch, link.index, *address, &plan.name);
    }
}

/// Whether the kernel made the address.
pub(crate) fn is_link_local(address: &IpNet) -> bool {
    match address {
        IpNet::V4(_) => false,
        IpNet::V6(net) => net.addr().is_unicast_link_local(),
    }
}
