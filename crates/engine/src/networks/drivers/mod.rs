//! Network drivers: from a request's driver and options to what carries the network.
//!
//! A driver is a function from options to a [`Shape`]; addresses, records and endpoints are the same
//! for all. A driver to come (`overlay`, say) is a further variant of [`corten_network::Medium`], a file
//! here and an arm of [`shape`].

mod bridge;
mod sublinks;

use std::{collections::BTreeMap, net::IpAddr};

use corten_network::{BridgePlan, Driver};

use crate::error::{Error, Kind, Result};

pub(super) use bridge::{BRIDGE_NAME, DEFAULT_BRIDGE, HOST_BINDING, ICC, MASQUERADE, MTU};

/// Options by their names, as in `network create --opt`.
pub(super) type Options = BTreeMap<String, String>;

/// What a driver makes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// The network's link; addresses are still to come.
    pub(super) plan: BridgePlan,
    /// The host's address for published ports without one.
    pub(super) host_ip: Option<IpAddr>,
    /// What containers' links are called, before their number.
    pub(super) link_prefix: Option<String>,
    /// Whether there is a gateway, by IPv4 and IPv6.
    pub(super) has_gateway: (bool, bool),
}

/// Reads the name of a driver; an empty one means `bridge`.
///
/// # Errors
/// `Forbidden` for those of which there is one network only and for those of a swarm, `NotFound` for
/// unknown ones, which Docker takes for plugins.
pub(super) fn driver(name: &str) -> Result<Driver> {
    match name {
        "" | "default" | "bridge" => Ok(Driver::Bridge),
        "macvlan" => Ok(Driver::Macvlan),
        "ipvlan" => Ok(Driver::Ipvlan),
        single @ ("host" | "null") => Err(Error::new(
            Kind::Forbidden,
            format!("only one instance of \"{single}\" network is allowed"),
        )),
        "overlay" => Err(Error::new(
            Kind::Forbidden,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
             to swarm and try again.",
        )),
        other => Err(Error::not_found(format!("plugin \"{other}\" not found"))),
    }
}

/// The name of a driver in the API.
pub(super) fn name(driver: Driver) -> &'static str {
    match driver {
        Driver::Bridge => "bridge",
        Driver::Host => "host",
        Driver::None => "null",
        Driver::Macvlan => "macvlan",
        Driver::Ipvlan => "ipvlan",
    }
}

/// Reads the options of a new network.
///
/// # Errors
/// As the driver finds them, in Docker's words.
pub(super) fn shape(driver: Driver, id: &str, internal: bool, options: &Options) -> Result<Shape> {
    match driver {
        Driver::Bridge => bridge::shape(id, internal, options),
        Driver::Macvlan | Driver::Ipvlan => sublinks::shape(driver, id, internal, options),
        Driver::Host | Driver::None => Err(Error::internal(format!("the network {} has no link", name(driver)))),
    }
}

/// Checks a new network against another one: two cannot share what one has for itself.
///
/// # Errors
/// `Forbidden` when both have a bridge of the same name; `Internal`, as Docker answers, when a parent
/// is taken.
pub(super) fn check_conflict(new: (&str, &BridgePlan), other: (&str, &BridgePlan)) -> Result<()> {
    let ((id, plan), (other_id, other_plan)) = (new, other);
    if plan.medium.parent().is_some() {
        return sublinks::check_parent(&plan.medium, other_id, &other_plan.medium);
    }
    if plan.name == other_plan.name {
        return Err(Error::new(
            Kind::Forbidden,
            format!(
                "cannot create network {id} ({name}): conflicts with network {other_id} ({name}): networks have same \
                 bridge name",
                name = plan.name
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, &str)]) -> Options {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        list.iter().map(owned).collect()
    }

    fn refusal(driver: Driver, list: &[(&str, &str)]) -> String {
        let error = shape(driver, "0123456789abcdef", false, &options(list)).unwrap_err();
        error.message().to_owned()
    }

    #[test]
    fn bad_values_are_refused_in_docker_s_words() {
        let bridge = |name: &str, value: &str| refusal(Driver::Bridge, &[(name, value)]);
        assert_eq!(
            bridge("com.docker.network.driver.mtu", "x"),
            "failed to parse com.docker.network.driver.mtu value: x (strconv.Atoi: parsing \"x\": invalid syntax)"
        );
        assert_eq!(
            bridge("com.docker.network.bridge.enable_icc", "maybe"),
            "failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing \"maybe\": \
             invalid syntax)"
        );
        assert_eq!(
            bridge("com.docker.network.bridge.gateway_mode_ipv4", "x"),
            "failed to parse com.docker.network.bridge.gateway_mode_ipv4 value: x (unknown gateway mode x)"
        );
        assert_eq!(
            bridge("com.docker.network.bridge.host_binding_ipv4", "x"),
            "failed to parse com.docker.network.bridge.host_binding_ipv4 value: x (nil ip)"
        );
        assert_eq!(bridge("com.docker.network.driver.mtu", "-1"), "invalid MTU number: -1");
        assert_eq!(
            bridge("com.docker.network.bridge.gateway_mode_ipv6", "isolated"),
            "gateway mode 'isolated' can only be used for an internal network"
        );
        assert_eq!(
            refusal(Driver::Macvlan, &[("parent", "lo")]),
            "loopback interface is not a valid macvlan parent link"
        );
        assert_eq!(
            refusal(Driver::Ipvlan, &[("ipvlan_mode", "l4")]),
            "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default"
        );
    }

    #[test]
    fn parents_are_for_one_network_in_mode_passthru() {
        let id = "0123456789abcdef";
        let shape = |mode: &str| {
            let list = options(&[("parent", "eth0"), ("macvlan_mode", mode)]);
            shape(Driver::Macvlan, id, false, &list).unwrap().plan
        };
        let (bridge, passthru) = (shape("bridge"), shape("passthru"));
        assert!(check_conflict((id, &bridge), ("other", &bridge)).is_ok());
        let message = |a: &BridgePlan, b: &BridgePlan| {
            let error = check_conflict((id, a), ("other", b)).unwrap_err();
            error.message().to_owned()
        };
        assert_eq!(
            message(&passthru, &bridge),
            "cannot use mode passthru, macvlan network other is already using parent interface eth0"
        );
        assert_eq!(
            message(&bridge, &passthru),
            "macvlan network other is already using parent interface eth0 in mode passthru"
        );
    }

    #[test]
    fn without_a_parent_there_is_no_way_out() {
        let made = shape(Driver::Macvlan, "0123456789abcdef", false, &Options::new()).unwrap();
        assert_eq!(made.plan.medium.parent(), Some("dm-0123456789ab"));
        assert_eq!(made.plan.reach, corten_network::Reach::Internal);
        assert_eq!(made.has_gateway, (true, true));
    }

    #[test]
    fn drivers_are_known_or_refused_by_name() {
        assert_eq!(driver("").unwrap(), Driver::Bridge);
        assert_eq!(driver("weave").unwrap_err().message(), "plugin \"weave\" not found");
        assert_eq!(driver("overlay").unwrap_err().kind(), Kind::Forbidden);
        assert_eq!(driver("host").unwrap_err().kind(), Kind::Forbidden);
    }
}
