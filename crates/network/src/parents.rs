//! Links of the host that `macvlan` and `ipvlan` networks lie on, and containers' links on them.
//!
//! A parent that does not exist is made when its name says how: `eth0.10` is VLAN 10 on `eth0`, and
//! a name made by [`Medium::dummy_name`] is a link to nowhere. Those made here carry an alias, by
//! which they are known again and removed with their last network.

use std::os::fd::BorrowedFd;

use crate::links::{self, LinkChange, LinkState};
use crate::netlink::{Connection, Messages};
use crate::{Error, Kind, Medium, Result, pool};

/// Makes sure that the parent exists.
pub(crate) fn ensure(routes: &mut Connection, medium: &Medium, alias: &str) -> Result<()> {
    let Some(parent) = medium.parent() else {
        return Ok(());
    };
    links::check_name(parent)?;
    if links::find(routes, parent)?.is_some() {
        return Ok(());
    }
    let mut batch = Messages::new();
    if is_dummy(parent) {
        links::add_dummy(&mut batch, parent);
    } else {
        let (lower, id) = vlan(parent)?;
        let Some(lower) = links::find(routes, lower)? else {
            return Err(failed(format!(
                "-o parent interface was not found on the host: {lower}"
            )));
        };
        links::add_vlan(&mut batch, parent, lower.index, id);
    }
    routes
        .request(&batch)
        .map_err(|error| lacking(error, "8021q or dummy"))?;
    let made = found(routes, parent)?;
    let mut batch = Messages::new();
    let up = LinkChange {
        up: Some(true),
        // Not taken when a link is made.
        alias: Some(alias),
        ..Default::default()
    };
    links::change_link(&mut batch, made.index, &up, parent);
    routes.request(&batch).map(drop)
}

/// Returns the parent if it was made here, to be removed.
pub(crate) fn made(routes: &mut Connection, parent: &str, alias: &str) -> Result<Option<LinkState>> {
    Ok(links::find(routes, parent)?.filter(|link| link.alias == alias))
}

/// Makes a container's link, named as there, in its namespace; it is up then. Returns its index.
pub(crate) fn add_link(
    host: &mut Connection,
    medium: &Medium,
    inside: &mut Connection,
    name: &str,
    netns: BorrowedFd<'_>,
) -> Result<u32> {
    let parent = medium.parent().unwrap_or_default();
    let Some(lower) = links::find(host, parent)? else {
        return Err(failed(format!(
            "the requested parent interface {parent} was not found on the host"
        )));
    };
    // Kernels before 6.7 take a name for taken that is a link's of the host, though it is made elsewhere.
    let unique = pool::new_ifname("sub-new-");
    let mut batch = Messages::new();
    links::add_sublink(&mut batch, medium, lower.index, &unique, netns);
    host.request(&batch).map_err(|error| {
        let driver = medium.driver();
        let error = lacking(error, driver);
        match std::error::Error::source(&error) {
            Some(source) if error.kind() != Kind::Unsupported => {
                let why = source.to_string();
                let why = why.split(" (os error").next().unwrap_or_default().to_lowercase();
                Error::new(error.kind(), format!("failed to create the {driver} port: {why}"))
            }
            _ => error,
        }
    })?;
    let link = found(inside, &unique)?;
    let mut batch = Messages::new();
    let up = LinkChange {
        up: Some(true),
        name: Some(name),
        ..Default::default()
    };
    links::change_link(&mut batch, link.index, &up, name);
    inside.request(&batch).inspect_err(|_| {
        let mut batch = Messages::new();
        links::delete_link(&mut batch, link.index, &unique);
        // The first error tells more than one of cleaning up.
        let _ = inside.request(&batch);
    })?;
    links::settle(inside, name)?;
    Ok(link.index)
}

fn found(connection: &mut Connection, name: &str) -> Result<LinkState> {
    links::find(connection, name)?.ok_or_else(|| failed(format!("link {name} vanished when it was made")))
}

fn is_dummy(name: &str) -> bool {
    let digits = name.strip_prefix("dm-").or_else(|| name.strip_prefix("di-"));
    digits.is_some_and(|digits| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Reads `eth0.10`, with Docker's complaints.
fn vlan(name: &str) -> Result<(&str, u16)> {
    if !name.contains('.') {
        return Err(failed(format!(
            "invalid subinterface vlan name {name}, example formatting is eth0.10"
        )));
    }
    let (lower, id) = match name.split('.').collect::<Vec<_>>()[..] {
        [lower, id] => (lower, id),
        _ => {
            return Err(failed(format!(
                "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}"
            )));
        }
    };
    let id: i64 = id.parse().map_err(|_| {
        failed(format!(
            "unable to parse a valid vlan id from: {id} (ex. eth0.10 for vlan 10)"
        ))
    })?;
    match u16::try_from(id) {
        Ok(number @ 1..=4094) => Ok((lower, number)),
        _ => Err(failed(format!("vlan id must be between 1-4094, received: {id}"))),
    }
}

fn failed(message: String) -> Error {
    Error::new(Kind::Internal, message)
}

/// Says what the kernel has not.
fn lacking(error: Error, what: &str) -> Error {
    match error.kind() {
        Kind::Unsupported => Error::new(Kind::Unsupported, format!("the kernel has no links of the kind {what}"))
            .because(error)
            .hint("load the module of that name with modprobe, or use another network driver"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parents_say_how_they_are_made() {
        assert_eq!(vlan("eth0.10").unwrap(), ("eth0", 10));
        let message = |name| vlan(name).unwrap_err().to_string();
        assert_eq!(
            message("eth9"),
            "invalid subinterface vlan name eth9, example formatting is eth0.10"
        );
        assert_eq!(message("eth0.4095"), "vlan id must be between 1-4094, received: 4095");
        assert_eq!(
            message("eth0.x"),
            "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)"
        );
        assert!(is_dummy("dm-0123456789ab") && !is_dummy("dm-0"));
    }
}
