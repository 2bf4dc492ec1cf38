//! The short syntaxes of ports and volumes.

use crate::{
    node::{Node, Value},
    source::Position,
};

/// A port as the short syntax gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShortPort {
    host_ip: String,
    published: String,
    target: u16,
    protocol: String,
}

impl ShortPort {
    /// The same in the long syntax.
    pub(crate) fn into_node(self, at: Position) -> Node {
        let text = |text: String| (!text.is_empty()).then_some(Value::Text(text));
        let fields = [
            ("mode", Some(Value::Text("ingress".to_owned()))),
            ("host_ip", text(self.host_ip)),
            (
                "target",
                (self.target > 0).then_some(Value::Int(i64::from(self.target))),
            ),
            ("published", text(self.published)),
            ("protocol", text(self.protocol)),
        ];
        Node::map(fields.into_iter().filter_map(|(key, value)| Some((key, value?))), at)
    }
}

/// Reads `80`, `8080:80`, `127.0.0.1:8000-8010:80/udp`, `[::1]:80:80`.
///
/// # Errors
/// What is wrong, in the words of Docker's parser.
pub(crate) fn ports(text: &str) -> Result<Vec<ShortPort>, String> {
    let mut parts: Vec<_> = text.split(':').collect();
    let container = parts.pop().unwrap_or_default();
    let host = parts.pop().unwrap_or_default();
    let host_ip = address(&parts.join(":"))?;
    let (container, protocol) = match container.split_once('/') {
        Some(("", _)) => ("", ""),
        Some((port, "")) => (port, "tcp"),
        Some((port, protocol)) => (port, protocol),
        None => (container, "tcp"),
    };
    if container.is_empty() {
        return Err(format!("No port specified: {text}<empty>"));
    }
    let (start, end) = range(container).ok_or_else(|| format!("Invalid containerPort: {container}"))?;
    let published = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("Invalid hostPort: {host}"))?),
    };
    if let Some((first, last)) = published
        && last - first != end - start
        && start != end
    {
        let ranges = format!("{container} and {host}");
        return Err(format!(
            "Invalid ranges specified for container and host Ports: {ranges}"
        ));
    }
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("Invalid proto: {protocol}"));
    }
    let mut ports: Vec<_> = (start..=end)
        .map(|target| ShortPort {
            host_ip: host_ip.clone(),
            published: match published {
                None => String::new(),
                // One port of the container takes any of a range.
                Some((first, last)) if start == end && first != last => format!("{first}-{last}"),
                Some((first, _)) => (first + (target - start)).to_string(),
            },
            target,
            protocol: protocol.clone(),
        })
        .collect();
    // Docker keeps them by name, and a name is a text.
    ports.sort_by_key(|port| format!("{}/{}", port.target, port.protocol));
    Ok(ports)
}

/// An address without the brackets of IPv6.
fn address(text: &str) -> Result<String, String> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .ok_or_else(|| format!("Invalid ip address {text}: address {text}:: missing ']' in address"))?,
        None if text.contains(':') => {
            return Err(format!(
                "Invalid ip address {text}: address {text}:: too many colons in address"
            ));
        }
        None => text,
    };
    if !inner.is_empty() && !is_address(inner) {
        return Err(format!("Invalid ip address: {inner}"));
    }
    Ok(inner.to_owned())
}

/// Whether it is an IPv4 or IPv6 address.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    match text.split_once('-') {
        None => port(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last.split('-').next()?)?);
            (first <= last).then_some((first, last))
        }
    }
}

/// Reads `/anonymous`, `name:/path`, `./folder:/path:ro,z`.
///
/// # Errors
/// What is wrong.
pub(crate) fn volume(text: &str, at: Position) -> Result<Value, String> {
    let mut mount = ShortVolume::default();
    match text.chars().count() {
        0 => return Err("invalid empty volume spec".to_owned()),
        1 | 2 => {
            mount.target = text.to_owned();
            return Ok(mount.into_value(at, false));
        }
        _ => {}
    }
    let sections = sections(text);
    let last = sections.len() - 1;
    for (index, section) in sections.iter().enumerate() {
        mount
            .take(section, index == last)
            .map_err(|reason| format!("invalid spec: {text}: {reason}"))?;
    }
    Ok(mount.into_value(at, true))
}

/// What is between colons; those within variables and after the letter of a drive do not count.
fn sections(text: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    let mut nested = 0_usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let section = sections.last_mut().expect("there is always one");
        let drive = section.chars().count() == 1 && section.chars().all(char::is_alphabetic);
        match c {
            '$' if chars.peek() == Some(&'{') => nested += 1,
            '}' if nested > 0 => nested -= 1,
            ':' if nested == 0 && !drive => {
                sections.push(String::new());
                continue;
            }
            _ => {}
        }
        sections.last_mut().expect("there is always one").push(c);
    }
    sections
}

#[derive(Default)]
struct ShortVolume {
    source: String,
    target: String,
    read_only: bool,
    no_copy: bool,
    propagation: Option<String>,
    selinux: Option<String>,
}

impl ShortVolume {
    fn take(&mut self, section: &str, last: bool) -> Result<(), &'static str> {
        if section.is_empty() {
            return Err("empty section between colons");
        }
        if self.source.is_empty() && last {
            section.clone_into(&mut self.target);
        } else if self.source.is_empty() {
            section.clone_into(&mut self.source);
        } else if self.target.is_empty() {
            section.clone_into(&mut self.target);
        } else if last {
            section.split(',').for_each(|option| self.option(option));
        } else {
            return Err("too many colons");
        }
        Ok(())
    }

    fn option(&mut self, option: &str) {
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nocopy" => self.no_copy = true,
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                self.propagation = Some(option.to_owned());
            }
            "z" | "Z" => self.selinux = Some(option.to_owned()),
            // Docker takes unknown options as well.
            _ => {}
        }
    }

    fn into_value(self, at: Position, typed: bool) -> Value {
        let text = |text: String| (!text.is_empty()).then_some(Value::Text(text));
        let is_bind = is_file(&self.source);
        let mut bind: Vec<(&'static str, Value)> = Vec::new();
        bind.extend(self.propagation.map(|text| ("propagation", Value::Text(text))));
        bind.extend(self.selinux.map(|text| ("selinux", Value::Text(text))));
        if is_bind {
            bind.push(("create_host_path", Value::Bool(true)));
        }
        let volume = self.no_copy.then_some(("nocopy", Value::Bool(true)));
        let has_volume = self.no_copy || (typed && !is_bind);
        let fields = [
            ("type", text(if is_bind { "bind" } else { "volume" }.to_owned())),
            ("source", text(self.source)),
            ("target", text(clean(&self.target))),
            ("read_only", self.read_only.then_some(Value::Bool(true))),
            ("bind", (!bind.is_empty()).then(|| Node::map(bind, at).value)),
            ("volume", has_volume.then(|| Node::map(volume, at).value)),
        ];
        Node::map(fields.into_iter().filter_map(|(key, value)| Some((key, value?))), at).value
    }
}

/// Whether a mount's source is a path, and not a volume's name.
fn is_file(source: &str) -> bool {
    let mut chars = source.chars();
    match (chars.next(), chars.next()) {
        (Some('.' | '/' | '~'), _) => true,
        (Some('\\'), Some('\\')) => true,
        (Some(drive), Some(':')) => drive.is_alphabetic(),
        _ => false,
    }
}

/// A path without `.`, `..`, and double slashes, as far as that goes.
pub(crate) fn clean(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports() {
        let check = |text: &str, expected: &[(&str, &str, u16, &str)]| {
            let ports = ports(text).unwrap_or_else(|reason| panic!("{text}: {reason}"));
            let short: Vec<_> = ports
                .iter()
                .map(|p| (p.host_ip.as_str(), p.published.as_str(), p.target, p.protocol.as_str()))
                .collect();
            assert_eq!(short, expected, "{text}");
        };
        check("80", &[("", "", 80, "tcp")]);
        check("8080:80", &[("", "8080", 80, "tcp")]);
        check("127.0.0.1::80/UDP", &[("127.0.0.1", "", 80, "udp")]);
        check("[::1]:1:2", &[("::1", "1", 2, "tcp")]);
        check("1-2:3-4", &[("", "1", 3, "tcp"), ("", "2", 4, "tcp")]);
        check("9-10", &[("", "", 10, "tcp"), ("", "", 9, "tcp")]);
        check("1-2:3", &[("", "1-2", 3, "tcp")]);
        let refused = |text: &str, expected: &str| assert_eq!(ports(text).unwrap_err(), expected, "{text}");
        refused("x", "Invalid containerPort: x");
        refused("70000", "Invalid containerPort: 70000");
        refused("a:1", "Invalid hostPort: a");
        refused("1:", "No port specified: 1:<empty>");
        refused(
            "1-3:1-2",
            "Invalid ranges specified for container and host Ports: 1-2 and 1-3",
        );
        refused("1/x", "Invalid proto: x");
        refused("300.1.1.1:1:1", "Invalid ip address: 300.1.1.1");
    }

    #[test]
    fn reads_volumes() {
        let at = Position::default();
        let check = |text: &str, path: &[&str], expected: &str| {
            let node = Node::new(volume(text, at).expect(text), at);
            let found = node
                .find(path)
                .map_or_else(|| "none".to_owned(), |node| node.value.to_text());
            assert_eq!(found, expected, "{text}");
        };
        check("/a", &["type"], "volume");
        check("name:/a", &["source"], "name");
        check("./x:/a:ro", &["type"], "bind");
        check("./x:/a:ro", &["read_only"], "true");
        check("./x:/a:z,rslave", &["bind", "propagation"], "rslave");
        check("c:\\x:/a", &["source"], "c:\\x");
        check("nn:/a/../b", &["target"], "/b");
        check("nn:/a:nocopy", &["volume", "nocopy"], "true");
        check("${A:-x}:/a", &["source"], "${A:-x}");
        assert!(volume("aa:/b:cc:dd", at).is_err() && volume("", at).is_err() && volume("aa::b", at).is_err());
    }
}
