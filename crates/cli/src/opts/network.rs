//! `--network`, in its short and long form, and the rules for what goes with it.

use std::collections::BTreeMap;

use corten_api::network::{EndpointIpam, EndpointSettings};

use super::address::check_mac;

/// One `--network`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) target: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) driver_options: BTreeMap<String, String>,
    pub(crate) links: Vec<String>,
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) link_local: Vec<String>,
    pub(crate) mac: String,
    pub(crate) priority: i64,
}

/// Checks `--network`.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Whether a text holds `word=word`.
fn is_long(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('=')
        .any(|(at, _)| text[..at].ends_with(word) && text[at + 1..].starts_with(word))
}

/// Reads a name, or `key=value` pairs.
pub(crate) fn parse(text: &str) -> Result<Attachment, String> {
    let mut attachment = Attachment::default();
    if !is_long(text) {
        text.clone_into(&mut attachment.target);
        return Ok(attachment);
    }
    for field in super::csv::fields(text)? {
        let lower = field.to_lowercase();
        let (key, value) = lower
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("invalid field {field}"))?;
        let value = value.trim();
        match key.trim() {
            "name" => value.clone_into(&mut attachment.target),
            "alias" => attachment.aliases.push(value.to_owned()),
            "driver-opt" => {
                let (name, value) = value
                    .split_once('=')
                    .filter(|(name, _)| !name.is_empty())
                    .ok_or("invalid key value pair format in driver options")?;
                attachment
                    .driver_options
                    .insert(name.trim().to_owned(), value.trim().to_owned());
            }
            "ip" => value.clone_into(&mut attachment.ipv4),
            "ip6" => value.clone_into(&mut attachment.ipv6),
            "mac-address" => {
                check_mac(value)?;
                value.clone_into(&mut attachment.mac);
            }
            "link-local-ip" => attachment.link_local.push(value.to_owned()),
            "gw-priority" => {
                attachment.priority = value.parse().map_err(|_| {
                    format!(
                        "invalid gw-priority: strconv.Atoi: parsing {}: invalid syntax",
                        super::quote(value)
                    )
                })?;
            }
            key => return Err(format!("invalid field key {key}")),
        }
    }
    if attachment.target.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(attachment)
}

/// Whether a mode names a network that a user made.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "default" | "bridge" | "host" | "none") && !mode.starts_with("container:")
}

/// What `--ip` and its like ask for on the first network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    pub(crate) aliases: Vec<String>,
    pub(crate) links: Vec<String>,
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) mac: String,
    pub(crate) link_local: Vec<String>,
}

/// Endpoints by network, for all of a container's networks.
pub(crate) fn endpoints(
    attachments: &[Attachment],
    common: &Common,
) -> Result<BTreeMap<String, EndpointSettings>, String> {
    let default = [Attachment {
        target: "default".to_owned(),
        ..Attachment::default()
    }];
    let attachments = if attachments.is_empty() { &default } else { attachments };
    let user_defined = attachments.iter().filter(|a| is_user_defined(&a.target)).count();
    let mut endpoints = BTreeMap::new();
    for (index, attachment) in attachments.iter().enumerate() {
        let mut attachment = attachment.clone();
        if index == 0 {
            apply(&mut attachment, common)?;
        }
        let target = attachment.target.clone();
        let endpoint = endpoint(attachment)?;
        if endpoints.contains_key(&target) {
            return Err(format!("network {} is specified multiple times", super::quote(&target)));
        }
        // An engine makes the only network's endpoint by itself when nothing is asked of it.
        if attachments.len() == 1 && endpoint == EndpointSettings::default() {
            continue;
        }
        endpoints.insert(target, endpoint);
    }
    if user_defined > 0 && user_defined < attachments.len() {
        return Err(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".to_owned(),
        );
    }
    Ok(endpoints)
}

/// Gives the first network what the flags beside `--network` ask for.
fn apply(attachment: &mut Attachment, common: &Common) -> Result<(), String> {
    let conflicts = [
        (
            !attachment.aliases.is_empty() && !common.aliases.is_empty(),
            "--network-alias and per-network alias",
        ),
        (
            !attachment.links.is_empty() && !common.links.is_empty(),
            "--link and per-network links",
        ),
        (
            !attachment.ipv4.is_empty() && !common.ipv4.is_empty(),
            "--ip and per-network IPv4 address",
        ),
        (
            !attachment.ipv6.is_empty() && !common.ipv6.is_empty(),
            "--ip6 and per-network IPv6 address",
        ),
        (
            !attachment.mac.is_empty() && !common.mac.is_empty(),
            "--mac-address and per-network MAC address",
        ),
        (
            !attachment.link_local.is_empty() && !common.link_local.is_empty(),
            "--link-local-ip and per-network link-local IP addresses",
        ),
    ];
    for (conflict, what) in conflicts {
        if conflict {
            return Err(format!("conflicting options: cannot specify both {what}"));
        }
    }
    attachment.aliases.extend_from_slice(&common.aliases);
    if is_user_defined(&attachment.target) {
        attachment.links.extend_from_slice(&common.links);
    }
    attachment.link_local.extend_from_slice(&common.link_local);
    for (own, given) in [
        (&mut attachment.ipv4, &common.ipv4),
        (&mut attachment.ipv6, &common.ipv6),
        (&mut attachment.mac, &common.mac),
    ] {
        if !given.is_empty() {
            own.clone_from(given);
        }
    }
    Ok(())
}

fn endpoint(attachment: Attachment) -> Result<EndpointSettings, String> {
    if attachment.target.trim().is_empty() {
        return Err("no name set for network".to_owned());
    }
    if !is_user_defined(&attachment.target) {
        if !attachment.aliases.is_empty() {
            return Err("network-scoped aliases are only supported for user-defined networks".to_owned());
        }
        if !attachment.links.is_empty() {
            return Err("links are only supported for user-defined networks".to_owned());
        }
    }
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let ipam = EndpointIpam {
        ipv4_address: attachment.ipv4,
        ipv6_address: attachment.ipv6,
        link_local_ips: attachment.link_local,
    };
    Ok(EndpointSettings {
        ipam_config: (ipam != EndpointIpam::default()).then_some(ipam),
        links: some(attachment.links),
        aliases: some(attachment.aliases),
        mac_address: attachment.mac,
        driver_opts: (!attachment.driver_options.is_empty()).then_some(attachment.driver_options),
        gw_priority: attachment.priority,
        ..EndpointSettings::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        assert_eq!(parse("container:a").unwrap().target, "container:a");
        let a = parse("name=n,alias=x,alias=y,ip=1.2.3.4,driver-opt=a=b,gw-priority=3").unwrap();
        assert_eq!(
            (&*a.target, a.aliases.len(), &*a.ipv4, a.priority),
            ("n", 2, "1.2.3.4", 3)
        );
        assert_eq!(parse("name=a,foo=b").unwrap_err(), "invalid field key foo");
        assert_eq!(parse("alias=b").unwrap_err(), "network name/id is not specified");
    }

    #[test]
    fn makes_endpoints() {
        let n = |t: &str| parse(t).unwrap();
        assert!(endpoints(&[], &Common::default()).unwrap().is_empty());
        assert!(endpoints(&[n("host")], &Common::default()).unwrap().is_empty());
        let aliases = Common {
            aliases: vec!["x".to_owned()],
            ..Common::default()
        };
        assert_eq!(
            endpoints(&[], &aliases).unwrap_err(),
            "network-scoped aliases are only supported for user-defined networks"
        );
        assert_eq!(
            endpoints(&[n("a"), n("b")], &aliases).unwrap()["a"]
                .aliases
                .as_ref()
                .unwrap(),
            &["x"]
        );
        assert!(endpoints(&[n("a"), n("host")], &Common::default()).is_err());
        assert_eq!(
            endpoints(&[n("a"), n("a")], &Common::default()).unwrap_err(),
            "network \"a\" is specified multiple times"
        );
    }
}
