//! TCP connections: to a host by its name, and through proxies.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::auth::{Secret, basic_header};
use crate::endpoint::Address;
use crate::error::reason;

/// Longest answer of a proxy to CONNECT, in bytes.
const PROXY_ANSWER_MAX: usize = 8 << 10;

/// Connects to the first of a host's addresses that answers.
pub(super) async fn dial(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(addresses) => addresses.collect(),
        Err(error) => return Err(format!("dial tcp: lookup {host}: {}", lookup_reason(&error))),
    };
    let share = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let patience = (limit / share).max(Duration::from_secs(3));
    let mut first = None;
    for address in &addresses {
        let failed = match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it small requests only wait a little longer.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => format!("dial tcp {address}: connect: {}", reason(&error)),
            Err(_) => format!("dial tcp {address}: i/o timeout"),
        };
        first.get_or_insert(failed);
    }
    Err(first.unwrap_or_else(|| format!("dial tcp: lookup {host}: no such host")))
}

/// Asks a proxy for a connection to `address` (RFC 9110 §9.3.6).
pub(super) async fn tunnel(tcp: &mut TcpStream, address: &Address, credentials: Option<&Secret>) -> Result<(), String> {
    let host = if address.host.contains(':') {
        format!("[{}]:{}", address.host, address.port)
    } else {
        format!("{}:{}", address.host, address.port)
    };
    let authorization = credentials.map_or(String::new(), |secret| {
        format!("Proxy-Authorization: {}\r\n", secret.expose())
    });
    let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n");
    let failed = |e: io::Error| format!("proxyconnect tcp: {}", reason(&e));
    tcp.write_all(request.as_bytes()).await.map_err(failed)?;
    // Nothing follows the head before we speak, so reading to its end reads no more.
    let mut head = BytesMut::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        if tcp.read_buf(&mut head).await.map_err(failed)? == 0 || head.len() > PROXY_ANSWER_MAX {
            return Err("proxyconnect tcp: unexpected EOF".into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("proxyconnect tcp: proxy refused: {line}")),
    }
}

/// A proxy's address and what to tell it.
pub(super) struct Proxy {
    pub(super) address: Address,
    pub(super) credentials: Option<Secret>,
}

impl Proxy {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bad = || "invalid proxy address in the configuration".to_owned();
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(format!("unsupported proxy scheme {scheme:?}")),
            None => text,
        };
        let rest = rest.split('/').next().unwrap_or_default();
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            basic_header(&decode(name), &decode(password).into())
        });
        Ok(Self {
            address: Address::parse(authority, false).ok_or_else(bad)?,
            credentials,
        })
    }
}

fn lookup_reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(": ").map_or(text.as_str(), |(_, last)| last) {
        "Name or service not known" | "No address associated with hostname" => "no such host".into(),
        other => other.to_owned(),
    }
}
