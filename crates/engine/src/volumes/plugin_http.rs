//! The wire of plugins: JSON over HTTP, by a unix socket or TCP (Docker's "Plugin API", v1.2).

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// What a plugin may take for an answer; mounting a distant file system is slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest answer that is read, in bytes.
const LIMIT: u64 = 16 << 20;
/// The media type of both directions.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// `unix://`
    Unix(PathBuf),
    /// `tcp://` or `http://`
    Tcp(String),
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Address {
    /// Reads what a `.spec` or `.json` file says.
    ///
    /// # Errors
    /// `Unsupported` for other schemes than `unix`, `tcp` and `http`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        match text.trim().split_once("://") {
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("tcp" | "http", host)) => Ok(Self::Tcp(host.trim_end_matches('/').to_owned())),
            _ => Err(Error::unsupported(format!(
                "the plugin address {text:?} is none that this engine can reach"
            ))
            .hint("use unix:// or tcp://")),
        }
    }

    fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Self::Tcp(host) => {
                let stream = TcpStream::connect(host.as_str())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        })
    }

    /// Asks for a method such as `VolumeDriver.Get`. Blocks.
    ///
    /// # Errors
    /// `Internal` with what the plugin says, or why it cannot be reached.
    pub(super) fn call<T: DeserializeOwned>(&self, method: &str, request: &impl Serialize) -> Result<T> {
        let failed = |e: std::io::Error| {
            Error::internal(format!("error while calling plugin: Post \"http://plugin/{method}\"")).source(e)
        };
        let body = serde_json::to_vec(request).map_err(|e| Error::internal("cannot ask a plugin").source(e))?;
        let (status, answer) = self.exchange(method, &body).map_err(failed)?;
        if status != 200 {
            return Err(Error::internal(format!("{method}: {}", told(&answer))));
        }
        serde_json::from_slice(&answer)
            .map_err(|e| Error::internal(format!("{method}: the plugin's answer is no JSON")).source(e))
    }

    fn exchange(&self, method: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = self.connect()?;
        let host = match self {
            Self::Unix(_) => "plugin",
            Self::Tcp(host) => host,
        };
        let head = format!(
            "POST /{method} HTTP/1.1\r\nHost: {host}\r\nAccept: {MEDIA_TYPE}\r\nContent-Type: {MEDIA_TYPE}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.take(LIMIT).read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "malformed HTTP response"))
    }
}

/// What an error's body says: `{"Err": …}`, or the body itself.
fn told(answer: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        #[serde(rename = "Err")]
        error: String,
    }
    serde_json::from_slice::<Refusal>(answer)
        .map(|refusal| refusal.error)
        .unwrap_or_else(|_| String::from_utf8_lossy(answer).trim().to_owned())
}

/// Status and body of a whole answer.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let body = answer.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut length = None;
    let mut chunked = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<usize>().ok(),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let body = match (chunked, length) {
        (true, _) => unchunk(body)?,
        (false, Some(length)) => body.get(..length)?.to_vec(),
        (false, None) => body.to_vec(),
    };
    Some((status, body))
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line + 2..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let check = |answer: &str, expected: Option<(u16, &str)>| {
            let found = parse(answer.as_bytes());
            let expected = expected.map(|(status, body)| (status, body.as_bytes().to_vec()));
            assert_eq!(found, expected, "{answer}");
        };
        check("HTTP/1.1 200 OK\r\n\r\n{}", Some((200, "{}")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}rest", Some((200, "{}")));
        check(
            "HTTP/1.1 500 x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            Some((500, "{}")),
        );
        check("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", None);
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            None,
        );
        check("garbage", None);
    }

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!(
            Address::parse("unix:///run/x.sock\n").unwrap(),
            Address::Unix("/run/x.sock".into())
        );
        assert_eq!(
            Address::parse("tcp://127.0.0.1:80").unwrap(),
            Address::Tcp("127.0.0.1:80".into())
        );
        assert!(Address::parse("ftp://x").is_err());
    }
}
