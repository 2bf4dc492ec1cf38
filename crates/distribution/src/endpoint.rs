//! Where a registry is: from an image's domain to the addresses to try, in order, and how each is trusted.
//!
//! Mirrors are for Docker Hub alone, and get none of its credentials. A registry is *insecure* when it
//! is on the loopback or configured so; it is tried with TLS whose certificate is not checked, then
//! without TLS, as Docker does (moby `registry/config.go`).

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use corten_oci::reference::DEFAULT_DOMAIN;
use http::Uri;

use crate::error::{Error, Kind, Result};

/// The host that answers for `docker.io`.
const HUB_HOST: &str = "registry-1.docker.io";

/// How registries are reached; the keys of `daemon.json` that say so.
#[derive(Debug, Clone)]
pub struct Config {
    /// Mirrors of Docker Hub, the first asked first (`registry-mirrors`).
    pub mirrors: Vec<Mirror>,
    /// Registries that need no valid certificate (`insecure-registries`).
    pub insecure: Vec<Insecure>,
    /// Folders that hold `<host[:port]>/{*.crt,*.cert,*.key}`.
    pub certificates: Vec<PathBuf>,
    /// Proxies to go through.
    pub proxies: Proxies,
    /// Layers fetched at once, over all pulls (`max-concurrent-downloads`).
    pub max_concurrent_downloads: usize,
    /// Layers sent at once, over all pushes (`max-concurrent-uploads`).
    pub max_concurrent_uploads: usize,
    /// Attempts at a layer that brings nothing new (`max-download-attempts`).
    pub max_download_attempts: u32,
    /// Pause before the second attempt; it doubles with each further one.
    pub retry_pause: Duration,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes of an answer.
    pub idle_timeout: Duration,
    /// What to call ourselves (`User-Agent`).
    pub user_agent: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mirrors: Vec::new(),
            insecure: Vec::new(),
            certificates: vec![
                PathBuf::from("/etc/corten/certs.d"),
                PathBuf::from("/etc/docker/certs.d"),
            ],
            proxies: Proxies::default(),
            max_concurrent_downloads: 3,
            max_concurrent_uploads: 5,
            max_download_attempts: 5,
            retry_pause: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            user_agent: concat!("corten/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// A mirror of Docker Hub: `https://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(Address);

impl FromStr for Mirror {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid(format!("invalid mirror: {why}: {text:?}"));
        let uri: Uri = text.parse().map_err(|_| bad("not a valid URI"))?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad("unsupported scheme, use http or https")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("path, query, or fragment at end of the URI"));
        }
        let authority = uri.authority().ok_or_else(|| bad("no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("username/password not allowed in URI"));
        }
        Address::parse(authority.as_str(), encrypted)
            .map(Self)
            .ok_or_else(|| bad("not a valid host"))
    }
}

/// A registry that need not prove who it is: a name with optional port, or a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insecure {
    /// As images name it: `registry.local:5000`.
    Name(String),
    /// All addresses in a network, `10.0.0.0/8`.
    Network(IpAddr, u8),
}

impl FromStr for Insecure {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("insecure registry {text} is not valid: invalid host"));
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| bad())?;
            let bits: u8 = bits.parse().map_err(|_| bad())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Self::Network(address, bits)).ok_or_else(bad);
        }
        Address::parse(text, true).ok_or_else(bad)?;
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

impl Insecure {
    fn covers(&self, domain: &str, addresses: &[IpAddr]) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(domain),
            Self::Network(network, bits) => addresses.iter().any(|a| in_network(*a, *network, *bits)),
        }
    }
}

fn in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differ = |a: u128, b: u128, width: u32| match width - u32::from(bits) {
        shift if shift >= 128 => false,
        shift => (a ^ b) >> shift != 0,
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => !differ(a.to_bits().into(), n.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => !differ(a.to_bits(), n.to_bits(), 128),
        _ => false,
    }
}

/// Proxies for outgoing requests, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` give them.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For requests without TLS: `http://[user:password@]host:port`.
    pub http: Option<String>,
    /// For requests with TLS, which go through the proxy as a tunnel.
    pub https: Option<String>,
    /// Hosts, domains (`.example.com`), addresses and networks to reach directly, by comma; `*` for all.
    pub no_proxy: String,
}

impl Proxies {
    /// The proxy for an address, if it has one. The loopback never does.
    pub(crate) fn find(&self, address: &Address) -> Option<&str> {
        let proxy = if address.encrypted { &self.https } else { &self.http };
        let proxy = proxy.as_deref().filter(|text| !text.is_empty())?;
        (!address.is_loopback() && !self.is_direct(address)).then_some(proxy)
    }

    fn is_direct(&self, address: &Address) -> bool {
        let host = address.host.to_ascii_lowercase();
        let ip: Option<IpAddr> = host.parse().ok();
        self.no_proxy.split(',').map(str::trim).any(|rule| {
            if let Some((network, bits)) = rule.split_once('/') {
                let network = network.parse().ok().zip(bits.parse().ok());
                return matches!((ip, network), (Some(ip), Some((n, b))) if in_network(ip, n, b));
            }
            let rule = rule.to_ascii_lowercase();
            let (rule, port) = match rule.rsplit_once(':') {
                Some((name, port)) if ip.is_none_or(|ip| ip.is_ipv4()) => (name, port.parse().ok()),
                _ => (rule.as_str(), None),
            };
            let name = rule.trim_start_matches("*.").trim_start_matches('.');
            let under = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
            port.is_none_or(|port: u16| port == address.port)
                && !rule.is_empty()
                && (rule == "*" || (host == name && !rule.starts_with('.')) || under)
        })
    }
}

/// Host, port and whether TLS is spoken there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) encrypted: bool,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As it was written, for `Host` and for messages.
    pub(crate) authority: String,
}

impl Address {
    /// Parses `host[:port]`.
    pub(crate) fn parse(authority: &str, encrypted: bool) -> Option<Self> {
        let parsed: http::uri::Authority = authority.parse().ok()?;
        if authority.contains('@') {
            return None;
        }
        let host = parsed.host();
        let default = if encrypted { 443 } else { 80 };
        let has_port = authority.len() > host.len();
        Some(Self {
            encrypted,
            port: if has_port { parsed.port_u16()? } else { default },
            host: host.trim_start_matches('[').trim_end_matches(']').into(),
            authority: authority.into(),
        })
    }

    /// The address that an absolute `http` or `https` URI leads to.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let encrypted = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Self::parse(uri.authority()?.as_str(), encrypted)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.encrypted { "https" } else { "http" }
    }

    /// Whether it is this machine by the look of it; names other than `localhost` are not resolved.
    pub(crate) fn is_loopback(&self) -> bool {
        let ip: Option<IpAddr> = self.host.parse().ok();
        self.host == "localhost" || ip.is_some_and(|ip| ip.is_loopback())
    }
}

/// Whether a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verification {
    Full,
    Skipped,
}

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) verification: Verification,
    pub(crate) is_mirror: bool,
}

impl Endpoint {
    /// Whether what travels there may be read or changed on the way.
    pub(crate) fn is_insecure(&self) -> bool {
        !self.address.encrypted || self.verification == Verification::Skipped
    }
}

/// The places to try for the images of a domain, in order.
///
/// # Errors
/// Invalid, when the domain is no host.
pub(crate) async fn endpoints(config: &Config, domain: &str) -> Result<Vec<Endpoint>> {
    let host = if domain == DEFAULT_DOMAIN { HUB_HOST } else { domain };
    let mut places = Vec::new();
    if domain == DEFAULT_DOMAIN {
        for Mirror(address) in &config.mirrors {
            let verification = match is_insecure(config, address).await {
                true => Verification::Skipped,
                false => Verification::Full,
            };
            let (address, is_mirror) = (address.clone(), true);
            places.push(Endpoint {
                address,
                verification,
                is_mirror,
            });
        }
    }
    let address = |encrypted| {
        Address::parse(host, encrypted)
            .ok_or_else(|| Error::new(Kind::Invalid, format!("invalid registry host {host:?}")))
    };
    let (secure, is_mirror) = (address(true)?, false);
    if !is_insecure(config, &secure).await {
        let verification = Verification::Full;
        places.push(Endpoint {
            address: secure,
            verification,
            is_mirror,
        });
        return Ok(places);
    }
    for address in [secure, address(false)?] {
        let verification = Verification::Skipped;
        places.push(Endpoint {
            address,
            verification,
            is_mirror,
        });
    }
    Ok(places)
}

async fn is_insecure(config: &Config, address: &Address) -> bool {
    if address.is_loopback() {
        return true;
    }
    let listed = |addresses: &[IpAddr]| config.insecure.iter().any(|i| i.covers(&address.authority, addresses));
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return listed(&[ip]);
    }
    let by_network = config.insecure.iter().any(|i| matches!(i, Insecure::Network(..)));
    if !by_network || listed(&[]) {
        return listed(&[]);
    }
    match tokio::net::lookup_host((address.host.as_str(), address.port)).await {
        Ok(found) => listed(&found.map(|socket| socket.ip()).collect::<Vec<_>>()),
        // A name that cannot be resolved is in no network; connecting will say why it cannot.
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(config: &Config, domain: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let found = runtime.block_on(endpoints(config, domain)).expect("endpoints");
        found
            .iter()
            .map(|e| {
                let checked = e.verification == Verification::Full;
                let mark = if checked { "" } else { " unverified" };
                format!("{}://{}:{}{mark}", e.address.scheme(), e.address.host, e.address.port)
            })
            .collect()
    }

    #[test]
    fn endpoints_follow_trust() {
        let config = Config {
            mirrors: vec!["https://mirror.example/".parse().expect("mirror")],
            insecure: vec![
                "reg.local:5000".parse().expect("name"),
                "10.0.0.0/8".parse().expect("network"),
            ],
            ..Config::default()
        };
        for (domain, expected) in [
            (
                "docker.io",
                &["https://mirror.example:443", "https://registry-1.docker.io:443"][..],
            ),
            ("192.0.2.1", &["https://192.0.2.1:443"]),
            ("192.0.2.1:5000", &["https://192.0.2.1:5000"]),
            (
                "10.1.2.3",
                &["https://10.1.2.3:443 unverified", "http://10.1.2.3:80 unverified"],
            ),
            (
                "127.0.0.1:1",
                &["https://127.0.0.1:1 unverified", "http://127.0.0.1:1 unverified"],
            ),
            (
                "[::1]:5000",
                &["https://::1:5000 unverified", "http://::1:5000 unverified"],
            ),
            (
                "localhost",
                &["https://localhost:443 unverified", "http://localhost:80 unverified"],
            ),
            (
                "reg.local:5000",
                &["https://reg.local:5000 unverified", "http://reg.local:5000 unverified"],
            ),
        ] {
            assert_eq!(places(&config, domain), expected, "{domain}");
        }
    }

    #[test]
    fn networks_are_matched_bit_by_bit() {
        for (address, network, bits, inside) in [
            ("10.255.0.1", "10.0.0.0", 8, true),
            ("11.0.0.1", "10.0.0.0", 8, false),
            ("192.168.1.129", "192.168.1.128", 25, true),
            ("192.168.1.127", "192.168.1.128", 25, false),
            ("1.2.3.4", "0.0.0.0", 0, true),
            ("::1", "::", 0, true),
            ("fd00::1", "fd00::", 8, true),
            ("fe00::1", "fd00::", 8, false),
            ("10.0.0.1", "::", 0, false),
        ] {
            let parse = |text: &str| text.parse().expect("address");
            assert_eq!(in_network(parse(address), parse(network), bits), inside, "{address}");
        }
    }

    #[test]
    fn bad_configuration_is_refused() {
        for text in [
            "mirror.example",
            "ftp://x",
            "https://x/path",
            "https://u:p@x",
            "https://x?q",
        ] {
            text.parse::<Mirror>().expect_err(text);
        }
        for text in ["10.0.0.0/33", "a/b", "http://x", "x y"] {
            text.parse::<Insecure>().expect_err(text);
        }
    }

    #[test]
    fn proxies_spare_what_no_proxy_names() {
        let proxies = Proxies {
            http: Some("http://proxy:3128".into()),
            https: None,
            no_proxy: "example.com,.internal,10.0.0.0/8,host:81,192.0.2.7".into(),
        };
        for (authority, proxied) in [
            ("other.org", true),
            ("example.com", false),
            ("reg.example.com", false),
            ("badexample.com", true),
            ("a.internal", false),
            ("internal", true),
            ("10.3.3.3", false),
            ("192.0.2.7:5000", false),
            ("host:81", false),
            ("host:82", true),
            ("127.0.0.1:5000", false),
            ("localhost", false),
        ] {
            let address = Address::parse(authority, false).expect("address");
            assert_eq!(proxies.find(&address).is_some(), proxied, "{authority}");
            let address = Address::parse(authority, true).expect("address");
            assert_eq!(proxies.find(&address), None);
        }
    }
}
