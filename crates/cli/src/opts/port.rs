//! `-p` and `--expose`.

use std::collections::BTreeMap;

use corten_api::{container::PortBinding, image::Empty};

use super::quote;

/// Host ports by container port.
pub(crate) type Bindings = BTreeMap<String, Option<Vec<PortBinding>>>;
/// Ports a container listens on.
pub(crate) type Exposed = BTreeMap<String, Empty>;

/// Reads every `-p` and `--expose`.
pub(crate) fn parse(publish: &[&str], expose: &[&str]) -> Result<(Exposed, Bindings), String> {
    let mut exposed = Exposed::new();
    let mut bindings = Bindings::new();
    for spec in publish {
        let spec = standard(spec)?;
        for (port, binding) in parse_spec(&spec)? {
            exposed.insert(port.clone(), Empty {});
            bindings.entry(port).or_default().get_or_insert_default().push(binding);
        }
    }
    for spec in expose {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        let (protocol, ports) = split_protocol(spec);
        let (first, last) =
            parse_range(ports).map_err(|e| format!("invalid range format for --expose: {spec}, error: {e}"))?;
        exposed.extend((first..=last).map(|port| (format!("{port}/{protocol}"), Empty {})));
    }
    Ok((exposed, bindings))
}

/// Turns `published=8080,target=80` into `8080:80/tcp`.
fn standard(spec: &str) -> Result<String, String> {
    if !spec.contains('=') {
        return Ok(spec.to_owned());
    }
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for parameter in spec.split(',') {
        let (key, value) = parameter
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("invalid publish opts format (should be name=value but got '{parameter}')"))?;
        match key {
            "published" => published = value,
            "target" => target = value,
            "protocol" => protocol = value,
            _ => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// Reads `[[address:]host:]container[/protocol]`.
fn parse_spec(spec: &str) -> Result<Vec<(String, PortBinding)>, String> {
    let parts: Vec<_> = spec.split(':').collect();
    let (address, host, container) = match parts.as_slice() {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [address @ .., host, container] => (address.join(":"), *host, *container),
        [] => (String::new(), "", ""),
    };
    let (protocol, container) = split_protocol(container);
    let address = bare_address(&address)?;
    if container.is_empty() {
        return Err(format!("No port specified: {spec}<empty>"));
    }
    let (first, last) = parse_range(container).map_err(|_| format!("Invalid containerPort: {container}"))?;
    let hosts = match host {
        "" => None,
        host => Some(parse_range(host).map_err(|_| format!("Invalid hostPort: {host}"))?),
    };
    if let Some((host_first, host_last)) = hosts
        && last - first != host_last - host_first
        && first != last
    {
        return Err(format!(
            "Invalid ranges specified for container and host Ports: {container} and {host}"
        ));
    }
    if !matches!(protocol.to_lowercase().as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("Invalid proto: {protocol}"));
    }
    let binding = |offset: u16| PortBinding {
        host_ip: address.clone(),
        host_port: match hosts {
            None => String::new(),
            // One container port and several host ports: the engine chooses one of them.
            Some((a, b)) if first == last && a != b => format!("{a}-{b}"),
            Some((a, _)) => (a + offset).to_string(),
        },
    };
    let protocol = protocol.to_lowercase();
    Ok((0..=last - first)
        .map(|offset| (format!("{}/{protocol}", first + offset), binding(offset)))
        .collect())
}

/// An address without brackets.
fn bare_address(address: &str) -> Result<String, String> {
    if address.is_empty() {
        return Ok(String::new());
    }
    let bare = match address.strip_prefix('[') {
        Some(rest) => match rest.strip_suffix(']') {
            Some(bare) => bare,
            None => {
                return Err(format!(
                    "Invalid ip address {address}: address {address}:: missing ']' in address"
                ));
            }
        },
        None if address.contains(':') => {
            return Err(format!(
                "Invalid ip address {address}: address {address}:: too many colons in address"
            ));
        }
        None => address,
    };
    match bare.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(bare.to_owned()),
        Err(_) => Err(format!("Invalid ip address: {bare}")),
    }
}

/// Takes `80/tcp` apart; the protocol is `tcp` when there is none.
pub(crate) fn split_protocol(port: &str) -> (&str, &str) {
    match port.split_once('/') {
        None if port.is_empty() => ("", ""),
        None => ("tcp", port),
        Some(("", _)) => ("", ""),
        Some((port, protocol)) => (protocol, port),
    }
}

/// Reads `80` or `80-90`.
fn parse_range(text: &str) -> Result<(u16, u16), String> {
    if text.is_empty() {
        return Err("empty string specified for ports.".to_owned());
    }
    let number = |t: &str| {
        t.parse::<u64>()
            .map_err(|_| format!("strconv.ParseUint: parsing {}: invalid syntax", quote(t)))
            .and_then(|n| {
                u16::try_from(n).map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", quote(t)))
            })
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(spec: &str) -> Vec<String> {
        let (_, bindings) = parse(&[spec], &[]).unwrap();
        bindings
            .iter()
            .flat_map(|(port, hosts)| {
                hosts
                    .iter()
                    .flatten()
                    .map(move |h| format!("{}|{}|{port}", h.host_ip, h.host_port))
            })
            .collect()
    }

    #[test]
    fn reads_ports() {
        assert_eq!(published("80"), ["||80/tcp"]);
        assert_eq!(published("8080:80/udp"), ["|8080|80/udp"]);
        assert_eq!(published("127.0.0.1::80"), ["127.0.0.1||80/tcp"]);
        assert_eq!(published("[::1]:1:80"), ["::1|1|80/tcp"]);
        assert_eq!(published("8000-8001:80-81"), ["|8000|80/tcp", "|8001|81/tcp"]);
        assert_eq!(published("8000-8010:80"), ["|8000-8010|80/tcp"]);
        assert_eq!(published("published=8080,target=80,protocol=udp"), ["|8080|80/udp"]);
        let (exposed, _) = parse(&[], &["80-81/udp"]).unwrap();
        assert_eq!(exposed.keys().collect::<Vec<_>>(), ["80/udp", "81/udp"]);
    }

    #[test]
    fn refuses_in_dockers_words() {
        let check = |spec, expected| assert_eq!(parse(&[spec], &[]).unwrap_err(), expected, "{spec}");
        check("8080:80/foo", "Invalid proto: foo");
        check("abc", "Invalid containerPort: abc");
        check("99999:80", "Invalid hostPort: 99999");
        check(
            "8000-8002:80-81",
            "Invalid ranges specified for container and host Ports: 80-81 and 8000-8002",
        );
        check(
            "1:2:3:4",
            "Invalid ip address 1:2: address 1:2:: too many colons in address",
        );
        check("8080:", "No port specified: 8080:<empty>");
        assert_eq!(
            parse(&[], &["abc"]).unwrap_err(),
            "invalid range format for --expose: abc, error: strconv.ParseUint: parsing \"abc\": invalid syntax"
        );
    }
}
