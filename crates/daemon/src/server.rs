//! Accepting connections and speaking HTTP on them.

use std::{future::Future, io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::{
    authz::Peer,
    dispatch::{self, App},
    guard::Guard,
    listen::{Listener, Socket},
    metrics,
    target::Escaping,
};

/// Connections at once on one listener.
const CONNECTIONS: usize = 4096;

/// Connections at once that read metrics.
const METRICS_CONNECTIONS: usize = 32;

/// Memory for a request's head on each connection, in bytes.
const BUFFER: usize = 64 << 10;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long a client may take for a request's head, and keep an idle connection; dockerd's limit.
const HEAD: Duration = Duration::from_secs(300);

/// Accepts connections until the engine stops; then waits for requests that go on, but not for long.
pub(crate) async fn serve(listener: Listener, app: Arc<App>, stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = accept(&listener.socket) => accepted,
        };
        let connection = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(listener = listener.name, %error, "a connection cannot be accepted");
                // Descriptors or memory are short: others may give some back.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            tracing::warn!(listener = listener.name, "too many connections: one is refused");
            continue;
        };
        let (app, guard, stop) = (Arc::clone(&app), Arc::clone(&listener.guard), stop.clone());
        tokio::spawn(async move {
            connection.speak(Arc::clone(&app), guard, stop).await;
            app.rest.stir();
            drop(slot);
        });
    }
}

/// Serves the metrics until the engine stops.
pub(crate) async fn serve_metrics(listener: tokio::net::TcpListener, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(METRICS_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let (Ok((stream, _)), Ok(slot)) = (accepted, Arc::clone(&slots).try_acquire_owned()) else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let answer = metrics::answer(&app.metrics, &app.engine, request.method(), request.uri().path());
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HANDSHAKE)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection for metrics ended early");
            }
            drop(slot);
        });
    }
}

enum Connection {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
    Tls(tokio::net::TcpStream, tokio_rustls::TlsAcceptor),
}

async fn accept(socket: &Socket) -> io::Result<Connection> {
    match socket {
        Socket::Unix(listener) => Ok(Connection::Unix(listener.accept().await?.0)),
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Connection::Tcp(stream))
        }
        Socket::Tls(listener, acceptor) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Connection::Tls(stream, acceptor.clone()))
        }
    }
}

impl Connection {
    async fn speak(self, app: Arc<App>, guard: Arc<Guard>, stop: watch::Receiver<bool>) {
        match self {
            Self::Unix(stream) => speak(stream, app, guard, Peer::default(), stop).await,
            Self::Tcp(stream) => speak(stream, app, guard, Peer::default(), stop).await,
            Self::Tls(stream, acceptor) => match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let peer = Peer {
                        certificates: certificates(&stream),
                    };
                    speak(stream, app, guard, peer, stop).await;
                }
                Ok(Err(error)) => tracing::info!(%error, "a TLS handshake failed"),
                Err(_) => tracing::info!("a TLS handshake took too long"),
            },
        }
    }
}

/// What the client has shown to prove who it is.
fn certificates(stream: &tokio_rustls::server::TlsStream<tokio::net::TcpStream>) -> Vec<Vec<u8>> {
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    shown.iter().map(|certificate| certificate.to_vec()).collect()
}

fn speak<S>(
    socket: S,
    app: Arc<App>,
    guard: Arc<Guard>,
    peer: Peer,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let socket = Escaping::new(socket);
    let boundary = socket.boundary();
    let service = service_fn(move |request| {
        boundary.pass(&request);
        dispatch::answer(Arc::clone(&app), Arc::clone(&guard), Arc::clone(&peer), request)
    });
    let connection = http1::Builder::new()
        // Some clients look for headers by Go's spelling.
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    async move {
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
}
