//! Accepting connections and speaking HTTP on them.

use std::convert::Infallible;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::answer::Answer;
use super::body::Outlet;
use super::tls::Certificates;
use super::wire::Wire;

/// Connections at once.
const CONNECTIONS: usize = 4096;
/// Memory for what a connection has read and nobody has taken yet, in bytes.
const BUFFER: usize = 128 << 10;
/// Header lines of a request.
const HEADERS: usize = 64;
/// How long a client may take for the TLS handshake, or for a request's head; an idle connection is kept
/// as long.
const HEAD: Duration = Duration::from_secs(60);

/// A place to listen at.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    socket: TcpListener,
    certificates: Option<Arc<Certificates>>,
}

/// What is known of who asks.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) outlet: Outlet,
    pub(crate) is_encrypted: bool,
}

impl Listener {
    /// Listens at `host:port` or `:port`.
    ///
    /// # Errors
    /// A sentence with the address.
    pub(crate) fn bind(address: &str, certificates: Option<Arc<Certificates>>) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot listen on {address}: {error}");
        let wanted = match address.strip_prefix(':') {
            Some(port) => format!("[::]:{port}"),
            None => address.to_owned(),
        };
        let addresses: Vec<SocketAddr> = wanted.to_socket_addrs().map_err(failed)?.collect();
        let listener = std::net::TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            socket: TcpListener::from_std(listener).map_err(failed)?,
            certificates,
        })
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.certificates.is_some()
    }
}

/// Accepts connections until told to stop; then waits for requests that go on.
pub(crate) async fn serve<F, A>(listener: Listener, handle: F, mut stop: watch::Receiver<bool>)
where
    F: Fn(Peer, http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.socket.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                // Descriptors or memory are short: others may give some back.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!("too many connections: one is refused");
            continue;
        };
        // Without it an answer's end may wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let (handle, stop) = (handle.clone(), stop.clone());
        let acceptor = listener
            .certificates
            .as_ref()
            .map(|certificates| certificates.acceptor());
        tokio::spawn(async move {
            match acceptor {
                None => {
                    let (wire, outlet) = Wire::new(stream);
                    let peer = Peer {
                        outlet,
                        is_encrypted: false,
                    };
                    speak(wire, peer, handle, stop).await;
                }
                Some(acceptor) => match timeout(HEAD, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let peer = Peer {
                            outlet: Outlet::default(),
                            is_encrypted: true,
                        };
                        speak(TokioIo::new(stream), peer, handle, stop).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
            drop(slot);
        });
    }
    // All slots are free when the last connection has ended.
    let _ = slots.acquire_many(u32::try_from(CONNECTIONS).unwrap_or(u32::MAX)).await;
}

/// As [`serve`], on a unix socket.
pub(crate) async fn serve_control<F, A>(listener: UnixListener, handle: F, mut stop: watch::Receiver<bool>)
where
    F: Fn(Peer, http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let peer = Peer {
            outlet: Outlet::default(),
            is_encrypted: false,
        };
        tokio::spawn(speak(TokioIo::new(stream), peer, handle.clone(), stop.clone()));
    }
}

async fn speak<I, F, A>(io: I, peer: Peer, handle: F, mut stop: watch::Receiver<bool>)
where
    I: Read + Write + Unpin + Send + 'static,
    F: Fn(Peer, http::Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handle(peer.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        // Docker's clients look for headers by Go's spelling.
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        result = connection.as_mut() => Some(result),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
