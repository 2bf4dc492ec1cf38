//! Kernel settings of the calling thread's network namespace (`/proc/sys/net`,
//! `Documentation/networking/ip-sysctl.rst`).

use std::path::Path;

use corten_sys::fs;

use crate::{Error, Kind, LinkSetting, Result};

/// One setting: the path below `/proc/sys/net`, and the value.
pub(crate) type Setting = (String, &'static str);

/// Returns what a bridge with IPv4 needs: packets from the host's loopback.
pub(crate) fn for_bridge4(bridge: &str) -> Vec<Setting> {
    vec![(format!("ipv4/conf/{bridge}/route_localnet"), "1")]
}

/// Returns what a bridge with IPv6 needs.
pub(crate) fn for_bridge6(bridge: &str) -> Vec<Setting> {
    vec![
        (format!("ipv6/conf/{bridge}/disable_ipv6"), "0"),
        (format!("ipv6/conf/{bridge}/accept_ra"), "0"),
    ]
}

/// Returns what makes a router of the host. With IPv6 it then ignores router advertisements on
/// interfaces whose `accept_ra` is 1, as under Docker.
pub(crate) fn forwarding(ipv4: bool, ipv6: bool) -> Vec<Setting> {
    let mut settings = Vec::new();
    if ipv4 {
        settings.push(("ipv4/ip_forward".into(), "1"));
    }
    if ipv6 {
        settings.push(("ipv6/conf/default/forwarding".into(), "1"));
        settings.push(("ipv6/conf/all/forwarding".into(), "1"));
    }
    settings
}

/// Returns what a fresh namespace gets before its link: no IPv6 until an address is given, and a
/// word to the neighbours when the link goes up, so that nobody keeps an earlier container's place.
pub(crate) fn for_namespace() -> Vec<Setting> {
    vec![
        ("ipv6/conf/default/disable_ipv6".into(), "1"),
        ("ipv4/conf/default/arp_notify".into(), "1"),
    ]
}

/// Returns what a container's link with IPv6 needs.
pub(crate) fn for_link6(ifname: &str) -> Vec<Setting> {
    vec![
        (format!("ipv6/conf/{ifname}/accept_ra"), "0"),
        // The address is the engine's to hand out: nobody else has it.
        (format!("ipv6/conf/{ifname}/dad_transmits"), "0"),
        (format!("ipv6/conf/{ifname}/disable_ipv6"), "0"),
    ]
}

/// Writes the settings that differ; those of IPv6 are passed over when the kernel has none.
pub(crate) fn apply(settings: &[Setting]) -> Result<()> {
    for (name, value) in settings {
        let path = Path::new("/proc/sys/net").join(name);
        let refused = |error| Error::from_io(format!("cannot set net/{name} to {value}"), error);
        match fs::read_to_string(&path) {
            Ok(present) if present.trim_end() == *value => {}
            Ok(_) => fs::write(&path, value).map_err(refused)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && name.starts_with("ipv6/conf/default") => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(())
}

/// Writes a user's settings of a link, in Docker's words.
pub(crate) fn apply_to_link(ifname: &str, settings: &[LinkSetting]) -> Result<()> {
    for setting in settings {
        let below = [&setting.family, &setting.kind, ifname, &setting.name];
        let path = below
            .iter()
            .fold(Path::new("/proc/sys/net").to_owned(), |path, part| path.join(part));
        let refused = |message: String| Error::new(Kind::Internal, message);
        let shown = path.display();
        if !fs::metadata(&path).is_ok_and(|about| about.is_file()) {
            return Err(refused(format!("{shown} is not a sysctl file")));
        }
        let written = match fs::read_to_string(&path) {
            Ok(present) if present.trim() == setting.value => Ok(()),
            _ => fs::write(&path, &setting.value),
        };
        written.map_err(|error| refused(format!("unable to write to '{shown}': {}", fs::reason(&error))))?;
    }
    Ok(())
}

/// Returns whether bridged packets pass the IP hooks (`br_netfilter`).
pub(crate) fn bridge_netfilter() -> bool {
    fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value.trim_end() == "1")
}

/// Returns the range from which the kernel takes ports for programs that ask for any.
pub(crate) fn ephemeral_ports() -> (u16, u16) {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(EPHEMERAL)
}

/// Returns whether IPv6 sockets are for IPv6 alone unless they say otherwise.
pub(crate) fn are_ipv6_sockets_apart() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|text| text.trim() != "0")
}

/// IANA's suggestion as Linux rounds it.
const EPHEMERAL: (u16, u16) = (32768, 60999);

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut words = text.split_whitespace().map(str::parse);
    let (first, last) = (words.next()?.ok()?, words.next()?.ok()?);
    (0 < first && first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(parse_range("32768\t60999\n"), Some((32768, 60999)));
        assert_eq!(parse_range("5 4"), None);
        assert_eq!(parse_range("x"), None);
    }
}
