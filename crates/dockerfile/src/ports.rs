//! Ports of `EXPOSE`: `80`, `53/udp`, `8000-8010/tcp`.

use crate::error::{Error, Result};

/// The ports that a word stands for, each with its protocol: `80/tcp`. An address and a host's port
/// before the container's do not count.
///
/// # Errors
/// When it is no port, in Docker's words.
pub fn exposed(word: &str) -> Result<Vec<String>> {
    let bad = || Error::new(format!("invalid containerPort: {word}"));
    let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::new(format!("invalid proto: {protocol}")));
    }
    let ports = ports.rsplit(':').next().unwrap_or(ports);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let first: u16 = first.parse().map_err(|_| bad())?;
    let last: u16 = last.parse().map_err(|_| bad())?;
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        let check = |word: &str, expected: &[&str]| assert_eq!(exposed(word).unwrap(), expected, "{word}");
        check("80", &["80/tcp"]);
        check("53/UDP", &["53/udp"]);
        check("1-3/sctp", &["1/sctp", "2/sctp", "3/sctp"]);
        check("127.0.0.1:1:2", &["2/tcp"]);
        for bad in ["", "x", "3-1", "70000", "80/icmp", "1-"] {
            assert!(exposed(bad).is_err(), "{bad}");
        }
    }
}
