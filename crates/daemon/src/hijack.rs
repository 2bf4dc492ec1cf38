//! Connections that leave HTTP: attach and exec.
//!
//! A client that sends `Upgrade: tcp` gets 101 and then the raw stream; the socket itself goes to
//! the engine, and from there to the container's shim, so that the session outlives the engine.
//! Behind TLS, and for clients that do not ask for an upgrade (they get 200 and a body without a
//! length, and their request's body is the input), a pair of sockets stands between.

use std::{io, os::fd::OwnedFd};

use corten_engine::containers::{Connection, Target};
use http::{HeaderValue, StatusCode, Version, header};
use hyper::{
    ext::ReasonPhrase,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpStream, UnixStream},
    sync::mpsc,
};

use crate::{
    body::{self, Answer},
    compat::version::ApiVersion,
    error::ApiResult,
    request::RequestBody,
};

/// Output of a terminal, or of clients that know no better.
pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";

/// Output in frames.
pub(crate) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// The media type of a container's output.
pub(crate) fn media_type(tty: bool, version: ApiVersion) -> &'static str {
    if tty || version.before(42) { RAW } else { MULTIPLEXED }
}

/// Answers, and then connects the client to the target.
///
/// # Errors
/// When no pair of sockets can be made.
pub(crate) fn connect(
    target: Target,
    version: ApiVersion,
    upgrade: Option<OnUpgrade>,
    input: Option<RequestBody>,
) -> ApiResult<Answer> {
    match upgrade {
        Some(upgrade) => {
            let answer = switching(media_type(target.is_tty(), version));
            tokio::spawn(hand_over(upgrade, target));
            Ok(answer)
        }
        None => plain(target, input),
    }
}

fn switching(media_type: &'static str) -> Answer {
    let mut answer = body::typed(media_type, body::full(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("tcp"));
    // The words that Docker uses, and that some clients look for.
    answer.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    answer
}

async fn hand_over(upgrade: OnUpgrade, target: Target) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a client left before its connection was handed over"),
    };
    let result = match take(upgraded) {
        Ok(Taken::Socket(connection)) => target.connect(connection).await.map_err(|error| error.report()),
        Ok(Taken::Stream(stream)) => relay(stream, target).await,
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = result {
        tracing::warn!(error, "a client could not be attached");
    }
}

enum Taken {
    Socket(Connection),
    Stream(Upgraded),
}

/// Takes the socket out of the HTTP connection, if there is nothing but it.
fn take(upgraded: Upgraded) -> io::Result<Taken> {
    let upgraded = match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => {
            let socket = OwnedFd::from(parts.io.into_inner().into_std()?);
            return Ok(Taken::Socket(Connection {
                socket,
                preface: parts.read_buf.to_vec(),
            }));
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let socket = OwnedFd::from(parts.io.into_inner().into_std()?);
            Ok(Taken::Socket(Connection {
                socket,
                preface: parts.read_buf.to_vec(),
            }))
        }
        Err(upgraded) => Ok(Taken::Stream(upgraded)),
    }
}

/// Carries bytes between an encrypted connection and the target.
async fn relay(stream: Upgraded, target: Target) -> Result<(), String> {
    let (mut near, far) = pair().map_err(|error| error.to_string())?;
    target
        .connect(Connection {
            socket: far,
            preface: Vec::new(),
        })
        .await
        .map_err(|error| error.report())?;
    // An end that breaks off is how sessions end.
    let _ = copy_bidirectional(&mut TokioIo::new(stream), &mut near).await;
    Ok(())
}

/// Two connected sockets: one for tokio, one to pass on.
///
/// # Errors
/// When descriptors are short.
pub(crate) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (near, far) = UnixStream::pair()?;
    Ok((near, OwnedFd::from(far.into_std()?)))
}

/// Answers 200 with a body that ends with the connection.
fn plain(target: Target, input: Option<RequestBody>) -> ApiResult<Answer> {
    let (near, far) = pair().map_err(corten_engine::Error::from)?;
    let (mut output, mut to_container) = near.into_split();
    tokio::spawn(async move {
        if let Err(error) = target
            .connect(Connection {
                socket: far,
                preface: Vec::new(),
            })
            .await
        {
            tracing::warn!(error = error.report(), "a client could not be attached");
        }
    });
    tokio::spawn(async move {
        if let Some(input) = input {
            let (sender, mut pieces) = mpsc::channel(4);
            tokio::spawn(body::pump(input, sender));
            while let Some(Ok(piece)) = pieces.recv().await {
                if to_container.write_all(&piece).await.is_err() {
                    break;
                }
            }
        }
        // The container may have closed its end; then there is nothing left to close.
        let _ = to_container.shutdown().await;
    });
    let (sender, pieces) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut buffer = bytes::BytesMut::with_capacity(32 << 10);
        while let Ok(length) = output.read_buf(&mut buffer).await {
            if length == 0 || sender.send(Ok(buffer.split().freeze())).await.is_err() {
                return;
            }
            buffer.reserve(32 << 10);
        }
    });
    let mut answer = body::typed(RAW, body::received(pieces));
    // Makes the body end with the connection, without chunks: it is raw.
    *answer.version_mut() = Version::HTTP_10;
    Ok(answer)
}
