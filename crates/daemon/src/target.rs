//! Requests whose target has characters that must be escaped and are not: `?filters={"label":["a"]}`.
//!
//! Go's server takes them, and people type them; our HTTP library refuses the whole request. So the first bytes
//! of a connection are looked at, and escaped if there is need. What comes later on the same connection goes
//! past this: it may be anything, also what a container's user types.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// The most of a request that is looked at, in bytes: longer targets are left as they are.
const LOOKED_AT: usize = 16 << 10;

/// A socket whose first bytes can be looked at.
pub(crate) trait Socket: AsFd + AsyncRead + AsyncWrite + Unpin {
    /// Waits until there is something to read, and reads by `read`.
    fn when_readable<T>(&self, read: impl FnMut() -> io::Result<T>) -> impl Future<Output = io::Result<T>>;
}

impl Socket for UnixStream {
    async fn when_readable<T>(&self, read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.async_io(Interest::READABLE, read).await
    }
}

impl Socket for TcpStream {
    async fn when_readable<T>(&self, read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.async_io(Interest::READABLE, read).await
    }
}

/// Takes a connection's first bytes if their target must be escaped, and gives what is to be read instead.
/// Anything unusual is left to the HTTP library.
pub(crate) async fn escaped<S: Socket>(socket: &S, patience: Duration) -> Option<Bytes> {
    let looked = socket.when_readable(|| receive(socket, RecvFlags::PEEK));
    escape(&timeout(patience, looked).await.ok()?.ok()?)?;
    let taken = timeout(patience, socket.when_readable(|| receive(socket, RecvFlags::empty())));
    let taken = taken.await.ok()?.ok()?;
    Some(escape(&taken).unwrap_or(taken).into())
}

fn receive(socket: &impl AsFd, flags: RecvFlags) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LOOKED_AT];
    let (length, _) = recv(socket, &mut bytes[..], flags)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Escapes a request's target; none when the HTTP library takes it, or there is no whole line of a request.
fn escape(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes.get(..end)?;
    let start = line.iter().position(|byte| *byte == b' ')? + 1;
    let length = line.get(start..)?.windows(6).position(|six| six == b" HTTP/")?;
    let (before, rest) = bytes.split_at(start);
    let (target, after) = rest.split_at(length);
    if !target.iter().any(|byte| matches!(byte, b'"' | b'<' | b'>' | b'`')) {
        return None;
    }
    let mut escaped = before.to_vec();
    for byte in target {
        match is_unsafe(byte) {
            true => escaped.extend(format!("%{byte:02X}").bytes()),
            false => escaped.push(*byte),
        }
    }
    escaped.extend_from_slice(after);
    Some(escaped)
}

/// RFC 3986: in no part of a URI. A space ends the target, and is not among them.
fn is_unsafe(byte: &u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// A socket of which something was read already.
#[derive(Debug)]
pub(crate) struct Begun<S> {
    first: Bytes,
    socket: S,
}

impl<S> Begun<S> {
    /// A socket and what is to be read before it.
    pub(crate) fn new(first: Bytes, socket: S) -> Self {
        Self { first, socket }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..length]);
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_are_escaped() {
        let case = |text: &str| escape(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(
            case("GET /containers/json?filters={\"a\":[\"<b>\"]} HTTP/1.1\r\nX: \"y\"\r\n\r\n\"body\"").as_deref(),
            Some("GET /containers/json?filters=%7B%22a%22:[%22%3Cb%3E%22]%7D HTTP/1.1\r\nX: \"y\"\r\n\r\n\"body\"")
        );
        for left in [
            "GET /version HTTP/1.1\r\nX: \"\r\n\r\n",
            "GET /\"",
            "GET /\" HTTP/1.1",
            "POST / HTTP/1.1\r\n\r\n{\"a\": \" HTTP/\"}\n",
            "\n",
            "",
        ] {
            assert_eq!(case(left), None, "{left:?}");
        }
    }
}
