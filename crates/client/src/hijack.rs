//! Connections that stop being HTTP: attach and exec (Docker API, `POST /containers/{id}/attach`).
//!
//! ```text
//!   POST … HTTP/1.1, Upgrade: tcp   ──►
//!                                   ◄──  101 UPGRADED (or 200)
//!   input, then half-close          ──►
//!                                   ◄──  output, framed unless there is a terminal
//! ```

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::{
    Client, Error, Result,
    call::{Body, Call, USER_AGENT},
    connection::Stream,
};

/// The most bytes that the head of an answer may have.
const MAX_HEAD: usize = 64 * 1024;
/// The most bytes of a refusal that are read.
const MAX_REFUSAL: usize = 1024 * 1024;

/// A connection that carries a process's streams.
pub struct Hijacked {
    stream: Stream,
    /// What came after the head in the same piece.
    rest: BytesMut,
    media_type: String,
}

impl std::fmt::Debug for Hijacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hijacked")
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

/// The output side.
pub struct ReadHalf {
    stream: tokio::io::ReadHalf<Stream>,
    rest: BytesMut,
}

/// The input side; shutting it down is the half-close that ends the process's input.
pub struct WriteHalf {
    stream: tokio::io::WriteHalf<Stream>,
}

impl Hijacked {
    /// Whether output is one raw stream (a terminal), as the engine says; none when it does not say.
    pub fn is_raw(&self) -> Option<bool> {
        match self.media_type.as_str() {
            "application/vnd.docker.raw-stream" => Some(true),
            "application/vnd.docker.multiplexed-stream" => Some(false),
            _ => None,
        }
    }

    /// Both sides.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        let (reader, writer) = tokio::io::split(self.stream);
        (
            ReadHalf {
                stream: reader,
                rest: self.rest,
            },
            WriteHalf { stream: writer },
        )
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let take = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..take]);
        this.rest.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Client {
    /// A connection on which nothing was said yet.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub async fn raw(&self) -> Result<Hijacked> {
        Ok(Hijacked {
            stream: self.dial().await?,
            rest: BytesMut::new(),
            media_type: String::new(),
        })
    }

    /// Sends a request and takes the connection over.
    pub(crate) async fn hijack(&self, call: Call) -> Result<Hijacked> {
        match self.hijack_once(&call).await {
            Err(error) if self.step_down(&error) => self.hijack_once(&call).await,
            other => other,
        }
    }

    async fn hijack_once(&self, call: &Call) -> Result<Hijacked> {
        let mut stream = self.dial().await?;
        stream
            .write_all(&self.hijack_head(call))
            .await
            .map_err(Error::transport)?;
        let mut rest = BytesMut::with_capacity(4096);
        let head = read_head(&mut stream, &mut rest).await?;
        if head.status == 101 || head.status == 200 {
            self.proven();
            let media_type = head.header("content-type").unwrap_or_default().to_owned();
            return Ok(Hijacked {
                stream,
                rest,
                media_type,
            });
        }
        let body = read_refusal(&mut stream, rest, &head).await?;
        Err(Error::answer(head.status, &body, &call.path))
    }

    /// The request's bytes.
    fn hijack_head(&self, call: &Call) -> Vec<u8> {
        let body: &[u8] = match &call.body {
            Body::Bytes(bytes) => bytes,
            Body::Empty | Body::Pieces(_) => &[],
        };
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n",
            call.method,
            call.target(&self.api_version()),
            self.endpoint.host_header(),
            body.len(),
        );
        let own = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let given = call.headers.iter().map(|(n, v)| (*n, v.as_str()));
        for (name, value) in own.chain(given) {
            // A line break would end the header and start another one.
            if !value.contains(['\r', '\n']) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// The head of an answer.
#[derive(Debug)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { status, headers })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

async fn read_head(stream: &mut Stream, buffer: &mut BytesMut) -> Result<Head> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            let text = String::from_utf8_lossy(&head);
            return Head::parse(&text).ok_or_else(|| Error::transport("the answer is no HTTP"));
        }
        if buffer.len() > MAX_HEAD {
            return Err(Error::transport("the head of the answer is too long"));
        }
        if stream.read_buf(buffer).await.map_err(Error::transport)? == 0 {
            return Err(Error::transport("unexpected EOF"));
        }
    }
}

/// The body of a refusal: as long as it says, or what comes until the end.
async fn read_refusal(stream: &mut Stream, mut body: BytesMut, head: &Head) -> Result<Vec<u8>> {
    let length: Option<usize> = head.header("content-length").and_then(|l| l.parse().ok());
    let chunked = head
        .header("transfer-encoding")
        .is_some_and(|e| e.eq_ignore_ascii_case("chunked"));
    loop {
        let complete = match length {
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        if complete || body.len() > MAX_REFUSAL {
            break;
        }
        if stream.read_buf(&mut body).await.map_err(Error::transport)? == 0 {
            break;
        }
    }
    Ok(if chunked { unchunk(&body) } else { body.to_vec() })
}

/// Joins the chunks of a body (RFC 9112, section 7.1).
fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&body[..end])
            .ok()
            .and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        let rest = &body[end + 2..];
        match size {
            Some(size) if size > 0 && size <= rest.len() => {
                joined.extend_from_slice(&rest[..size]);
                body = rest.get(size + 2..).unwrap_or_default();
            }
            _ => break,
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_heads_and_chunks() {
        let head = Head::parse("HTTP/1.1 101 UPGRADED\r\nContent-Type: application/x\r\n\r\n").unwrap();
        assert_eq!((head.status, head.header("content-type")), (101, Some("application/x")));
        assert!(Head::parse("nonsense").is_none());
        assert_eq!(unchunk(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(unchunk(b"ffffffffff\r\nabc"), b"");
    }
}
