//! Connections that leave HTTP: attach and exec.
//!
//! A client that sends `Upgrade: tcp` gets 101 and then the raw stream; the socket itself goes to
//! the engine, and from there to the container's shim, so that the session outlives the engine.
//! Behind TLS, and for clients that do not ask for an upgrade (they get 200 and a body without a
//! length, and their request's body is the input), a pair of sockets stands between.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use corten_api::stream::{self, Decoder};
use corten_engine::containers::{Connection, Target};
use http::{HeaderValue, StatusCode, Version, header};
use hyper::{
    ext::ReasonPhrase,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::mpsc,
};

use crate::{
    body::{self, Answer},
    compat::version::ApiVersion,
    error::ApiResult,
    request::RequestBody,
    target::Escaping,
};

/// Output of a terminal, or of clients that know no better.
pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";

/// Output in frames.
pub(crate) const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// Output is carried in pieces of up to so many bytes.
const PIECE: usize = 32 << 10;

/// How long it is looked without pause whether the client has read the head, and how long at all: busy machines
/// let clients wait, and a container's start waits for those who attach before it.
const SPINNING: Duration = Duration::from_micros(200);
const READING: Duration = Duration::from_millis(500);

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
    form: Form,
    version: ApiVersion,
    upgrade: Option<OnUpgrade>,
    input: Option<RequestBody>,
) -> ApiResult<Answer> {
    match upgrade {
        Some(upgrade) => {
            let is_raw = matches!(form, Form::Raw) || (matches!(form, Form::Own) && target.is_tty());
            let answer = switching(media_type(is_raw, version));
            tokio::spawn(hand_over(upgrade, target, form));
            Ok(answer)
        }
        None => plain(target, form, input),
    }
}

/// How output is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the process's streams are: raw from a terminal, in frames otherwise.
    Own,
    /// In frames, though it comes from a terminal.
    Frames,
    /// Raw, though it comes in frames.
    Raw,
}

impl Form {
    /// The form for a client that takes the process for one with a terminal, or without.
    pub(crate) fn expected(target: &Target, as_tty: bool) -> Self {
        match (target.is_tty(), as_tty) {
            (true, false) => Self::Frames,
            (false, true) => Self::Raw,
            (true, true) | (false, false) => Self::Own,
        }
    }

    fn converter(self) -> Converter {
        match self {
            Self::Own => Converter::None,
            Self::Frames => Converter::Frames,
            Self::Raw => Converter::Raw(Decoder::default()),
        }
    }
}

/// Makes one form of the other.
#[derive(Debug)]
enum Converter {
    None,
    Frames,
    Raw(Decoder),
}

impl Converter {
    /// Converts a piece of output; frames may begin in one piece and end in another.
    fn convert(&mut self, piece: Bytes) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(piece),
            Self::Frames => {
                let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                let mut framed = BytesMut::with_capacity(piece.len() + stream::HEADER);
                framed.extend_from_slice(&stream::header(stream::Stream::Stdout, length));
                framed.extend_from_slice(&piece);
                Ok(framed.freeze())
            }
            Self::Raw(decoder) => {
                let (mut rest, mut bare) = (&piece[..], BytesMut::with_capacity(piece.len()));
                while let Some((_, payload)) = decoder.next(&mut rest).map_err(io::Error::other)? {
                    bare.extend_from_slice(payload);
                }
                Ok(bare.freeze())
            }
        }
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

async fn hand_over(upgrade: OnUpgrade, target: Target, form: Form) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a client left before its connection was handed over"),
    };
    let taken = take(upgraded);
    match &taken {
        Taken::Unix(.., socket) => until_read(socket.as_fd()).await,
        Taken::Tcp(.., socket) => until_read(socket.as_fd()).await,
        Taken::Other(_) => {}
    }
    let result = match (taken, form) {
        (Taken::Unix(preface, socket), Form::Own) => hand_on(target, socket.into_std(), preface).await,
        (Taken::Tcp(preface, socket), Form::Own) => hand_on(target, socket.into_std(), preface).await,
        (Taken::Unix(preface, socket), _) => relay((preface, socket), target, form).await,
        (Taken::Tcp(preface, socket), _) => relay((preface, socket), target, form).await,
        (Taken::Other(upgraded), _) => relay((Bytes::new(), TokioIo::new(upgraded)), target, form).await,
    };
    if let Err(error) = result {
        tracing::warn!(error, "a client could not be attached");
    }
}

/// A connection and what was read of it already.
enum Taken {
    Unix(Bytes, UnixStream),
    Tcp(Bytes, TcpStream),
    Other(Upgraded),
}

/// Takes the socket out of the HTTP connection, if there is nothing but it.
fn take(upgraded: Upgraded) -> Taken {
    let upgraded = match upgraded.downcast::<TokioIo<Escaping<UnixStream>>>() {
        Ok(parts) => {
            let (socket, waiting) = parts.io.into_inner().into_parts();
            return Taken::Unix(joined(parts.read_buf, waiting), socket);
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<Escaping<TcpStream>>>() {
        Ok(parts) => {
            let (socket, waiting) = parts.io.into_inner().into_parts();
            Taken::Tcp(joined(parts.read_buf, waiting), socket)
        }
        Err(upgraded) => Taken::Other(upgraded),
    }
}

fn joined(first: Bytes, then: Bytes) -> Bytes {
    match then.is_empty() {
        true => first,
        false => [first, then].concat().into(),
    }
}

/// Gives the socket itself to the target.
async fn hand_on(target: Target, socket: io::Result<impl Into<OwnedFd>>, preface: Bytes) -> Result<(), String> {
    let connection = Connection {
        socket: socket.map_err(|error| error.to_string())?.into(),
        preface: preface.into(),
    };
    target.connect(connection).await.map_err(|error| error.report())
}

/// Waits until the client has read the answer's head. Python's `http.client` reads through a buffer, and docker-py
/// then goes on with the bare socket: output that came along with the head would be lost.
async fn until_read(socket: BorrowedFd<'_>) {
    let began = Instant::now();
    while corten_sys::socket::unacknowledged(socket).is_ok_and(|bytes| bytes > 0) {
        match began.elapsed() {
            short if short < SPINNING => tokio::task::yield_now().await,
            long if long < READING => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => return,
        }
    }
}

/// Carries bytes between a connection that cannot be handed on, or whose output is converted, and the target.
async fn relay<S>((preface, stream): (Bytes, S), target: Target, form: Form) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite,
{
    let (near, far) = pair().map_err(|error| error.to_string())?;
    target
        .connect(Connection {
            socket: far,
            preface: preface.into(),
        })
        .await
        .map_err(|error| error.report())?;
    let (mut output, mut to_container) = near.into_split();
    let (mut from_client, mut to_client) = tokio::io::split(stream);
    let input = async {
        // An end that breaks off is how sessions end.
        let _ = tokio::io::copy(&mut from_client, &mut to_container).await;
        let _ = to_container.shutdown().await;
    };
    let output = async {
        let mut converter = form.converter();
        let mut buffer = BytesMut::with_capacity(PIECE);
        while let Ok(1..) = output.read_buf(&mut buffer).await {
            let Ok(piece) = converter.convert(buffer.split().freeze()) else {
                break;
            };
            if to_client.write_all(&piece).await.is_err() || to_client.flush().await.is_err() {
                break;
            }
            buffer.reserve(PIECE);
        }
        let _ = to_client.shutdown().await;
    };
    // Nobody listens to the input any more when there is no output to come.
    let mut input = std::pin::pin!(input);
    let mut output = std::pin::pin!(output);
    tokio::select! {
        () = &mut input => output.await,
        () = &mut output => {}
    }
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
fn plain(target: Target, form: Form, input: Option<RequestBody>) -> ApiResult<Answer> {
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
        let mut converter = form.converter();
        let mut buffer = BytesMut::with_capacity(PIECE);
        while let Ok(1..) = output.read_buf(&mut buffer).await {
            if sender.send(converter.convert(buffer.split().freeze())).await.is_err() {
                return;
            }
            buffer.reserve(PIECE);
        }
    });
    let mut answer = body::typed(RAW, body::received(pieces));
    // Makes the body end with the connection, without chunks: it is raw.
    *answer.version_mut() = Version::HTTP_10;
    Ok(answer)
}
