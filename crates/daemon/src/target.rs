//! Requests whose target has characters that must be escaped and are not: `?filters={"label":["a"]}`.
//!
//! Go's server takes them, and people type them; our HTTP library refuses the whole request. So the targets of
//! requests are escaped on their way to it. Whether bytes begin a request is known for the first of a connection,
//! and after a request without a body that does not take the connection over; all else goes past this: it may be
//! anything, also what a container's user types.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{Request, header};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether the next byte of a connection begins a request.
#[derive(Debug, Clone)]
pub(crate) struct Boundary(Arc<AtomicBool>);

impl Boundary {
    /// Notes that a request's head has been read.
    pub(crate) fn pass<B: Body>(&self, request: &Request<B>) {
        let is_last = request.headers().contains_key(header::UPGRADE);
        self.0
            .store(!is_last && request.body().is_end_stream(), Ordering::Relaxed);
    }
}

/// A connection on which the targets of requests are escaped.
#[derive(Debug)]
pub(crate) struct Escaping<S> {
    socket: S,
    boundary: Boundary,
    place: Place,
    /// What was escaped and has not been read yet.
    waiting: Bytes,
}

/// Where in a connection's bytes the next one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Method,
    Target,
    /// Behind a request's target: its version, headers and body, or no request at all.
    Behind,
}

impl<S> Escaping<S> {
    /// A connection from its beginning on.
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            boundary: Boundary(Arc::new(AtomicBool::new(true))),
            place: Place::Behind,
            waiting: Bytes::new(),
        }
    }

    /// Where it is noted that requests have been read.
    pub(crate) fn boundary(&self) -> Boundary {
        self.boundary.clone()
    }

    /// Returns the bare connection, and what must be read before it.
    pub(crate) fn into_parts(self) -> (S, Bytes) {
        (self.socket, self.waiting)
    }

    /// Escapes what was read; none if it is to be taken as it is.
    fn escape(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if !bytes.is_empty() && self.boundary.0.swap(false, Ordering::Relaxed) {
            self.place = Place::Method;
        }
        escape(&mut self.place, bytes)
    }
}

/// Escapes the targets in bytes that begin at a place; none if there is nothing to do.
fn escape(place: &mut Place, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut escaped: Option<Vec<u8>> = None;
    for (index, byte) in bytes.iter().enumerate() {
        *place = match (*place, byte) {
            (Place::Behind, _) if escaped.is_none() => return None,
            (Place::Method, b'A'..=b'Z') => Place::Method,
            (Place::Method, b' ') => Place::Target,
            (Place::Target, b' ' | b'\r' | b'\n') | (Place::Method | Place::Behind, _) => Place::Behind,
            (Place::Target, _) => Place::Target,
        };
        if *place == Place::Target && is_refused(*byte) {
            let before = || bytes.get(..index).unwrap_or_default().to_vec();
            let escaped = escaped.get_or_insert_with(before);
            escaped.extend(format!("%{byte:02X}").bytes());
        } else if let Some(escaped) = &mut escaped {
            escaped.push(*byte);
        }
    }
    escaped
}

/// Whether the HTTP library takes it nowhere in a target, or not everywhere.
fn is_refused(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`')
}

impl<S: AsyncRead + Unpin> AsyncRead for Escaping<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waiting.is_empty() {
            let start = buffer.filled().len();
            std::task::ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
            match this.escape(buffer.filled().get(start..).unwrap_or_default()) {
                None => return Poll::Ready(Ok(())),
                Some(escaped) => this.waiting = escaped.into(),
            }
            buffer.set_filled(start);
        }
        let length = this.waiting.len().min(buffer.remaining());
        buffer.put_slice(this.waiting.get(..length).unwrap_or_default());
        this.waiting.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Escaping<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
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
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn only_targets_are_escaped() {
        let case = |text: &str| {
            let whole = escape(&mut Place::Method, text.as_bytes());
            // In pieces it is the same.
            let (mut place, mut pieces) = (Place::Method, Vec::new());
            for byte in text.bytes() {
                pieces.extend(escape(&mut place, &[byte]).unwrap_or_else(|| vec![byte]));
            }
            assert_eq!(whole.as_deref().unwrap_or(text.as_bytes()), pieces);
            whole.map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(
            case("GET /containers/json?filters={\"a\":[\"<b>\"]} HTTP/1.1\r\nX: \"y\"\r\n\r\n\"body\"").as_deref(),
            Some("GET /containers/json?filters={%22a%22:[%22%3Cb%3E%22]} HTTP/1.1\r\nX: \"y\"\r\n\r\n\"body\"")
        );
        for left in [
            "GET /version HTTP/1.1\r\nX: \"\r\n\r\n",
            "GET \r\n\"",
            "POST / HTTP/1.1\r\n\r\n{\"a\": \" HTTP/\"}\n",
            "\x16\x03 \"",
            "\n",
            "",
        ] {
            assert_eq!(case(left), None, "{left:?}");
        }
    }

    #[tokio::test]
    async fn what_follows_a_request_is_one_when_told() {
        let (mut far, near) = tokio::io::duplex(1 << 10);
        let mut near = Escaping::new(near);
        let boundary = near.boundary();
        let mut seen = async |text: &[u8]| {
            tokio::io::AsyncWriteExt::write_all(&mut far, text).await.unwrap();
            let mut buffer = vec![0; 100];
            let length = near.read(&mut buffer).await.unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(seen(b"GET /\"").await, "GET /%22");
        assert_eq!(seen(b"\" HTTP/1.1\r\n\r\n").await, "%22 HTTP/1.1\r\n\r\n");
        assert_eq!(seen(b"GET /\" ").await, "GET /\" ");
        boundary.pass(&Request::new(http_body_util::Empty::<Bytes>::new()));
        assert_eq!(seen(b"GET /\" ").await, "GET /%22 ");
        let upgrade = Request::builder().header("Upgrade", "tcp");
        boundary.pass(&upgrade.body(http_body_util::Empty::<Bytes>::new()).unwrap());
        assert_eq!(seen(b"GET /\" ").await, "GET /\" ");
        boundary.pass(&Request::new(http_body_util::Full::new(Bytes::from_static(b"x"))));
        assert_eq!(seen(b"GET /\" ").await, "GET /\" ");
    }
}
