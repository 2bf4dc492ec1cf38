//! Addresses of receivers, read as Go's `net/url` reads them.

use corten_template::quote;

/// The parts of a URL that addresses of receivers have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) path: String,
}

/// Where a receiver listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Datagrams to a host.
    Udp(HostPort),
    /// A connection to a host.
    Tcp(HostPort),
    /// The same, with TLS.
    Tls(HostPort),
    /// A stream socket on this machine.
    Unix(String),
    /// A datagram socket on this machine.
    Unixgram(String),
    /// Whichever socket of a syslog there is on this machine.
    LocalSyslog,
}

/// A host by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Url {
    /// Splits an address.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let failed = |why: &str| format!("parse {}: {why}", quote(text));
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(failed("net/url: invalid control character in URL"));
        }
        let (scheme, rest) = split_scheme(text).map_err(failed)?;
        let scheme = scheme.to_ascii_lowercase();
        let Some(rest) = rest.strip_prefix("//") else {
            let first = rest.split('/').next().unwrap_or_default();
            if scheme.is_empty() && first.contains(':') {
                return Err(failed("first path segment in URL cannot contain colon"));
            }
            let path = rest.to_owned();
            return Ok(Self {
                scheme,
                path,
                ..Self::default()
            });
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = host
            .rsplit_once(':')
            .filter(|_| !host.ends_with(']'))
            .map(|(_, port)| port);
        if let Some(port) = port.filter(|port| !port.bytes().all(|digit| digit.is_ascii_digit())) {
            return Err(failed(&format!(
                "invalid port {} after host",
                quote(&format!(":{port}"))
            )));
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// Takes `scheme:` off.
fn split_scheme(text: &str) -> Result<(&str, &str), &'static str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
    match end {
        Some(0) if text.starts_with(':') => Err("missing protocol scheme"),
        Some(end) if text[end..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((&text[..end], &text[end + 1..]))
        }
        _ => Ok(("", text)),
    }
}

/// Splits `host:port` (Go's `net.SplitHostPort`); none as port when there is none.
pub(super) fn split_host(text: &str) -> Result<(String, Option<String>), String> {
    let failed = |why: &str| format!("address {text}: {why}");
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| failed("missing ']' in address"))?;
        let port = rest.strip_prefix(':').map(str::to_owned);
        return Ok((host.to_owned(), port));
    }
    match text.split_once(':') {
        None => Ok((text.to_owned(), None)),
        Some((_, port)) if port.contains(':') => Err(failed("too many colons in address")),
        Some((host, port)) => Ok((host.to_owned(), Some(port.to_owned()))),
    }
}

/// A port's number.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("lookup tcp/{text}: unknown port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_addresses() {
        let check = |text: &str, scheme: &str, host: &str, path: &str| {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.scheme.as_str(), url.host.as_str(), url.path.as_str()),
                (scheme, host, path)
            );
        };
        check("tcp+tls://h:1", "tcp+tls", "h:1", "");
        check("unix:///dev/log", "unix", "", "/dev/log");
        check("udp://[::1]:514", "udp", "[::1]:514", "");
        check("udp://[::1]", "udp", "[::1]", "");
        check("localhost:514", "localhost", "", "514");
        check("host", "", "", "host");
    }

    #[test]
    fn refuses_as_go() {
        let check = |text: &str, why: &str| {
            assert_eq!(Url::parse(text).unwrap_err(), format!("parse {}: {why}", quote(text)));
        };
        check("127.0.0.1:514", "first path segment in URL cannot contain colon");
        check("://x", "missing protocol scheme");
        check("udp://h:port", "invalid port \":port\" after host");
    }

    #[test]
    fn splits_hosts() {
        let check = |text: &str, host: &str, port: Option<&str>| {
            let (found, number) = split_host(text).unwrap();
            assert_eq!((found.as_str(), number.as_deref()), (host, port));
        };
        check("h:1", "h", Some("1"));
        check("h", "h", None);
        check("[::1]:2", "::1", Some("2"));
        assert_eq!(
            split_host("a:b:c").unwrap_err(),
            "address a:b:c: too many colons in address"
        );
    }
}
