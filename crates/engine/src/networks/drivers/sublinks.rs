//! The options of Docker's `macvlan` and `ipvlan` drivers: links on a link of the host.

use corten_network::{BridgePlan, Driver, IpvlanMode, MacvlanMode, Medium, Reach};

use super::{Options, Shape, name};
use crate::{
    error::{Error, Result},
    identifiers,
};

const PARENT: &str = "parent";
const MACVLAN_MODE: &str = "macvlan_mode";
const IPVLAN_MODE: &str = "ipvlan_mode";
const IPVLAN_FLAG: &str = "ipvlan_flag";

/// Reads the options. Other options mean nothing, as in Docker.
pub(super) fn shape(driver: Driver, id: &str, internal: bool, options: &Options) -> Result<Shape> {
    let word = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    let driver_name = name(driver);
    let given = word(PARENT);
    let parent = match given {
        "" => Medium::dummy_name(driver_name, id),
        given => given.to_owned(),
    };
    // Docker answers 500 for what these find, and clients go by the words.
    let failed = |error: corten_network::Error| Error::internal(error.message());
    let medium = match driver {
        Driver::Ipvlan => Medium::Ipvlan {
            parent,
            mode: word(IPVLAN_MODE).parse::<IpvlanMode>().map_err(failed)?,
            flag: word(IPVLAN_FLAG).parse().map_err(failed)?,
        },
        _ => Medium::Macvlan {
            parent,
            mode: word(MACVLAN_MODE).parse::<MacvlanMode>().map_err(failed)?,
        },
    };
    if given == "lo" {
        return Err(Error::internal(format!(
            "loopback interface is not a valid {driver_name} parent link"
        )));
    }
    let mut plan = BridgePlan::new(format!("{driver_name}:{}", identifiers::short(id)));
    plan.reach = if internal || given.is_empty() {
        Reach::Internal
    } else {
        Reach::Routed
    };
    plan.medium = medium;
    Ok(Shape {
        plan,
        host_ip: None,
        link_prefix: None,
        has_gateway: (!internal, !internal),
    })
}

/// Checks that two networks may share a parent.
pub(super) fn check_parent(new: &Medium, other_id: &str, other: &Medium) -> Result<()> {
    let (Some(parent), Some(taken)) = (new.parent(), other.parent()) else {
        return Ok(());
    };
    let is_passthru = |medium: &Medium| {
        matches!(
            medium,
            Medium::Macvlan {
                mode: MacvlanMode::Passthru,
                ..
            }
        )
    };
    if parent != taken {
        return Ok(());
    }
    if is_passthru(new) {
        return Err(Error::internal(format!(
            "cannot use mode passthru, macvlan network {other_id} is already using parent interface {parent}"
        )));
    }
    if is_passthru(other) {
        return Err(Error::internal(format!(
            "macvlan network {other_id} is already using parent interface {parent} in mode passthru"
        )));
    }
    Ok(())
}
