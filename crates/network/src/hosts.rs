//! A container's `/etc/hosts` and `/etc/hostname`, as texts; the engine writes them.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::{Error, Kind, Result};

/// The word in `--add-host name:host-gateway` that stands for the host's address.
pub const HOST_GATEWAY: &str = "host-gateway";

const LOOPBACK: &str = "127.0.0.1\tlocalhost\n";
const LOOPBACK6: &str = "::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// One line of a hosts file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The address.
    pub address: IpAddr,
    /// Its names, the canonical one first.
    pub names: Vec<String>,
}

/// Makes `/etc/hosts` in Docker's format: loopback names, the extra hosts, then the container's
/// own addresses with host name and aliases (the short id, on networks that have them).
pub fn hosts_file(extra: &[HostEntry], own: &[HostEntry]) -> String {
    let mut text = String::from(LOOPBACK);
    text.push_str(LOOPBACK6);
    for entry in extra.iter().chain(own) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\t{}", entry.address, entry.names.join(" "));
    }
    text
}

/// Returns the names of a container's own line: `host.domain host` when the host name is
/// qualified, else the host name.
pub fn own_names(hostname: &str, domainname: &str) -> Vec<String> {
    let full = match domainname {
        "" => hostname.to_owned(),
        domain => format!("{hostname}.{domain}"),
    };
    match full.split_once('.') {
        Some((short, _)) if !short.is_empty() => vec![full.clone(), short.to_owned()],
        _ => vec![full],
    }
}

/// Reads one `--add-host` value, `name:address` or `name=address`; `host-gateway` becomes each of
/// the given gateway addresses.
///
/// # Errors
/// `Invalid` with Docker's words.
pub fn parse_extra_host(value: &str, gateways: &[IpAddr]) -> Result<Vec<HostEntry>> {
    let bad = || Error::new(Kind::Invalid, format!("bad format for add-host: \"{value}\""));
    let (name, address) = value
        .split_once('=')
        .or_else(|| value.split_once(':'))
        .ok_or_else(bad)?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(bad());
    }
    let entry = |address| HostEntry {
        address,
        names: vec![name.to_owned()],
    };
    if address == HOST_GATEWAY {
        if gateways.is_empty() {
            return Err(Error::new(
                Kind::Invalid,
                "unable to derive the IP value for host-gateway",
            ));
        }
        return Ok(gateways.iter().copied().map(entry).collect());
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let parsed = bare
        .unwrap_or(address)
        .parse()
        .map_err(|_| Error::new(Kind::Invalid, format!("invalid IP address in add-host: \"{address}\"")))?;
    Ok(vec![entry(parsed)])
}

/// Makes `/etc/hostname`.
pub fn hostname_file(hostname: &str) -> String {
    format!("{hostname}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_look_as_docker_s() {
        let gateway: IpAddr = "172.17.0.1".parse().unwrap();
        let mut extra = parse_extra_host("db:10.0.0.9", &[]).unwrap();
        extra.extend(parse_extra_host("host.docker.internal:host-gateway", &[gateway]).unwrap());
        let own = [HostEntry {
            address: "172.17.0.2".parse().unwrap(),
            names: own_names("0123456789ab", ""),
        }];
        assert_eq!(
            hosts_file(&extra, &own),
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n\
             10.0.0.9\tdb\n\
             172.17.0.1\thost.docker.internal\n\
             172.17.0.2\t0123456789ab\n"
        );
        assert_eq!(hostname_file("web"), "web\n");
    }

    #[test]
    fn qualified_names_come_with_the_short_one() {
        assert_eq!(own_names("web", "example.org"), ["web.example.org", "web"]);
        assert_eq!(own_names("web.example.org", ""), ["web.example.org", "web"]);
        assert_eq!(own_names("web", ""), ["web"]);
    }

    #[test]
    fn extra_hosts_are_checked() {
        let check = |value: &str, expected: std::result::Result<&str, &str>| {
            let got = parse_extra_host(value, &[])
                .map(|entries| format!("{} {}", entries[0].address, entries[0].names[0]))
                .map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "{value}");
        };
        check("a:::1", Ok("::1 a"));
        check("a=[::1]", Ok("::1 a"));
        check("a=10.0.0.1", Ok("10.0.0.1 a"));
        check("a", Err("bad format for add-host: \"a\""));
        check(":10.0.0.1", Err("bad format for add-host: \":10.0.0.1\""));
        check("a:300.0.0.1", Err("invalid IP address in add-host: \"300.0.0.1\""));
        check("a:host-gateway", Err("unable to derive the IP value for host-gateway"));
    }
}
