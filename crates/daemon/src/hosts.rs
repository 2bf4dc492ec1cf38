//! Where to listen: `-H` and `hosts`, as dockerd reads them.

use std::{fmt, path::PathBuf};

/// The socket that `unix://` alone means.
const DEFAULT_SOCKET: &str = "/run/corten.sock";

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A unix socket.
    Unix(PathBuf),
    /// `address:port`; the port may be none for the default one.
    Tcp {
        /// An address or name.
        address: String,
        /// The port.
        port: Option<u16>,
    },
    /// What systemd passed: all sockets, or one by number or name.
    Fd(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { address, port } => {
                write!(f, "tcp://{address}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Fd(which) => write!(f, "fd://{which}"),
        }
    }
}

/// Reads a host. Without a scheme it is TCP.
///
/// # Errors
/// A sentence for what is none.
pub(crate) fn parse(text: &str) -> Result<Host, String> {
    let bad = || format!("invalid bind address ({text})");
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("tcp", text.trim()));
    match scheme {
        "unix" if rest.is_empty() => Ok(Host::Unix(DEFAULT_SOCKET.into())),
        "unix" if rest.contains("://") || !rest.starts_with('/') => Err(bad()),
        "unix" => Ok(Host::Unix(rest.into())),
        "fd" => Ok(Host::Fd(rest.to_owned())),
        "tcp" => tcp(rest).ok_or_else(bad),
        _ => Err(bad()),
    }
}

fn tcp(rest: &str) -> Option<Host> {
    let rest = rest.trim_end_matches('/');
    if rest.contains('/') {
        return None;
    }
    let (address, port) = match rest.rsplit_once(':') {
        Some((address, port)) if !port.contains(']') => (address, Some(port.parse().ok()?)),
        _ => (rest, None),
    };
    let address = if address.is_empty() { "127.0.0.1" } else { address };
    // A colon is left only in an IPv6 address, which needs brackets.
    if address.contains(':') && !(address.starts_with('[') && address.ends_with(']')) {
        return None;
    }
    Some(Host::Tcp {
        address: address.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_dockerd_does() {
        let case = |text: &str, expected: Option<&str>| {
            assert_eq!(
                parse(text).ok().map(|host| host.to_string()).as_deref(),
                expected,
                "{text}"
            );
        };
        case("unix://", Some("unix:///run/corten.sock"));
        case("unix:///a/b.sock", Some("unix:///a/b.sock"));
        case("unix://relative", None);
        case("tcp://", Some("tcp://127.0.0.1"));
        case("tcp://:2375", Some("tcp://127.0.0.1:2375"));
        case("0.0.0.0:1", Some("tcp://0.0.0.0:1"));
        case("tcp://[::1]:2375/", Some("tcp://[::1]:2375"));
        case("tcp://[::1]", Some("tcp://[::1]"));
        case("tcp://::1:2375", None);
        case("tcp://a:99999", None);
        case("tcp://a:1/path", None);
        case("fd://", Some("fd://"));
        case("fd://3", Some("fd://3"));
        case("ssh://x", None);
        assert_eq!(parse("udp://x").unwrap_err(), "invalid bind address (udp://x)");
    }
}
