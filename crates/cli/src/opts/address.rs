//! Addresses and names of the network: `--dns`, `--dns-search`, `--add-host`, `--link`, `--mac-address`.

use std::net::IpAddr;

use super::quote;

/// Checks an IP address.
pub(crate) fn check_ip(text: &str) -> Result<(), String> {
    match text.trim().parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// Checks a search domain.
pub(crate) fn check_domain(text: &str) -> Result<(), String> {
    let name = text.trim_matches(' ');
    if name == "." {
        return Ok(());
    }
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let trimmed = name.strip_suffix('.').unwrap_or(name);
    let valid = name.len() < 255 && trimmed.chars().any(|c| c.is_ascii_alphabetic()) && trimmed.split('.').all(label);
    if valid {
        Ok(())
    } else {
        Err(format!("{name} is not a valid domain"))
    }
}

/// Reads `--add-host name=address` or `name:address`; gives `name:address`.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = match pair {
        Some((name, address)) if !name.is_empty() && !name.contains(':') => (name, address),
        _ => return Err(format!("bad format for add-host: {}", quote(text))),
    };
    if address == "host-gateway" {
        return Ok(format!("{name}:{address}"));
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|a| a.strip_suffix(']'))
        .filter(|a| !a.is_empty())
        .unwrap_or(address);
    match check_ip(bare) {
        Ok(()) => Ok(format!("{name}:{bare}")),
        Err(_) => Err(format!("invalid IP address in add-host: {}", quote(bare))),
    }
}

/// Checks `--add-host`.
pub(crate) fn check_host(text: &str) -> Result<(), String> {
    parse_host(text).map(drop)
}

/// Checks `--link name[:alias]`.
pub(crate) fn check_link(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("empty string specified for links".to_owned());
    }
    if text.split(':').count() > 2 {
        return Err(format!("bad format for links: {text}"));
    }
    Ok(())
}

/// Checks a hardware address (Go's `net.ParseMAC`: 6, 8 or 20 bytes with `:`, `-` or `.`).
pub(crate) fn check_mac(text: &str) -> Result<(), String> {
    let hex = |part: &str, len: usize| part.len() == len && part.chars().all(|c| c.is_ascii_hexdigit());
    let text = text.trim();
    let groups = |separator: char, len: usize, counts: [usize; 3]| {
        let parts: Vec<_> = text.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|p| hex(p, len))
    };
    if groups(':', 2, [6, 8, 20]) || groups('-', 2, [6, 8, 20]) || groups('.', 4, [3, 4, 10]) {
        Ok(())
    } else {
        Err(format!("{text} is not a valid mac address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts() {
        assert_eq!(parse_host("a.test:10.1.2.3").unwrap(), "a.test:10.1.2.3");
        assert_eq!(parse_host("a=[::1]").unwrap(), "a:::1");
        assert_eq!(parse_host("a:host-gateway").unwrap(), "a:host-gateway");
        assert_eq!(parse_host("abc").unwrap_err(), "bad format for add-host: \"abc\"");
        assert_eq!(
            parse_host("abc:1.2").unwrap_err(),
            "invalid IP address in add-host: \"1.2\""
        );
    }

    #[test]
    fn refuses_bad_addresses() {
        assert_eq!(
            check_ip("abc").unwrap_err(),
            "IP address is not correctly formatted: abc"
        );
        assert_eq!(check_domain("a b").unwrap_err(), "a b is not a valid domain");
        assert_eq!(check_link("a:b:c").unwrap_err(), "bad format for links: a:b:c");
        assert_eq!(check_mac("zz").unwrap_err(), "zz is not a valid mac address");
        assert!(check_domain("example.com.").is_ok() && check_domain(".").is_ok());
        assert!(check_mac("92:d0:c6:0a:29:33").is_ok() && check_mac("92d0.c60a.2933").is_ok());
    }
}
