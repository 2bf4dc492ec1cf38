//! Connections to an engine: made when needed, kept for the next call.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use crate::{Client, Endpoint, Error, Result, call::Body, listening::Listening, lock, tls};

/// Sends requests on one connection, one after the other.
pub(crate) type Sender = http1::SendRequest<Body>;

/// The bytes of a connection.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects.
    async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Endpoint::Ssh(ssh) => ssh.connect().map(Self::Unix),
            Endpoint::Tcp { host, port } => tcp(host, *port).await.map(Self::Tcp),
            Endpoint::Tls { host, port, tls } => {
                let stream = tcp(host, *port).await?;
                Ok(Self::Tls(Box::new(tls::connect(stream, host, tls).await?)))
            }
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_flush(cx),
            Self::Tcp(s) => Pin::new(s).poll_flush(cx),
            Self::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

impl Client {
    /// A new connection's bytes.
    pub(crate) async fn dial(&self) -> Result<Stream> {
        let connecting = tokio::time::timeout(self.timeout, Stream::connect(&self.endpoint));
        let result = match connecting.await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        result.map_err(|e| match &self.endpoint {
            Endpoint::Ssh(_) => Error::transport(io::Error::other(format!("cannot start ssh: {e}"))),
            endpoint => Error::connect(&endpoint.to_string(), &e),
        })
    }

    /// A connection that can take a request: a waiting one, or a new one.
    pub(crate) async fn sender(&self) -> Result<Sender> {
        while let Some(sender) = self.take_idle() {
            if !sender.is_closed() {
                return Ok(sender);
            }
        }
        let io = TokioIo::new(Listening::new(self.dial().await?));
        let (sender, connection) = http1::handshake(io).await.map_err(Error::transport)?;
        // It ends when the sender or the engine lets go; what it failed with the call reports.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn take_idle(&self) -> Option<Sender> {
        lock(&self.idle).pop()
    }

    /// Keeps a connection whose last answer has been read to its end.
    pub(crate) fn keep(&self, sender: Sender) {
        if !sender.is_closed() {
            lock(&self.idle).push(sender);
        }
    }
}
