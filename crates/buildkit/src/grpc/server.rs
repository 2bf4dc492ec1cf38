//! The side that is called.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use h2::{SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    CONNECTION_WINDOW, Code, MEDIA_TYPE, Receiver, Result, SMALL_FRAMES, STREAM_WINDOW, STREAMS, Status,
    frames::{self, frame},
};

/// Messages that may wait to be sent.
const WAITING: usize = 16;

/// A call that came in.
#[derive(Debug)]
pub(crate) struct Request {
    /// `/package.Service/Method`
    pub(crate) method: String,
    /// What came along.
    pub(crate) metadata: HeaderMap,
    /// The client's messages.
    pub(crate) messages: Receiver,
}

impl Request {
    /// A value of the metadata.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.metadata.get(name)?.to_str().ok()
    }
}

/// Where a call's answers go.
#[derive(Debug, Clone)]
pub(crate) struct Answer(mpsc::Sender<Bytes>);

impl Answer {
    /// Sends a message.
    pub(crate) async fn send<M: Message>(&self, message: &M) -> Result<()> {
        let sent = self.0.send(frame(message)?).await;
        sent.map_err(|_| Status::new(Code::Cancelled, "the client has left"))
    }
}

/// What answers calls. Its future is dropped when the client gives a call up.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one call.
    fn call(self: Arc<Self>, request: Request, answer: Answer) -> impl Future<Output = Result<()>> + Send;
}

/// Speaks with a client until it leaves; calls that go on then are dropped.
pub(crate) async fn serve<S: Service>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    service: Arc<S>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(256 << 10)
        .data_frame_budget(SMALL_FRAMES)
        .handshake::<_, Bytes>(io)
        .await?;
    let mut calls = JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        calls.spawn(answer(request, respond, Arc::clone(&service)));
        while calls.try_join_next().is_some() {}
    }
    Ok(())
}

async fn answer<S: Service>(request: http::Request<h2::RecvStream>, respond: SendResponse<Bytes>, service: Arc<S>) {
    let method = request.uri().path().to_owned();
    if let Err(status) = answered(request, respond, service).await {
        tracing::debug!(method, %status, "a call ended early");
    }
}

async fn answered<S: Service>(
    request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: Arc<S>,
) -> Result<()> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if parts.method != Method::POST || !kind.is_some_and(|kind| kind.starts_with(MEDIA_TYPE.as_bytes())) {
        let mut refusal = Response::new(());
        *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        respond.send_response(refusal, true)?;
        return Ok(());
    }
    let mut head = Response::new(());
    head.headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    let mut out = respond.send_response(head, false)?;
    let request = Request {
        method: parts.uri.path().to_owned(),
        metadata: parts.headers,
        messages: Receiver::new(body),
    };
    let (sender, messages) = mpsc::channel(WAITING);
    let work = service.call(request, Answer(sender));
    deliver(&mut out, messages, work).await
}

/// Sends what the work says as it says it, until it ends or the client gives up.
async fn deliver(
    out: &mut SendStream<Bytes>,
    mut messages: mpsc::Receiver<Bytes>,
    work: impl Future<Output = Result<()>>,
) -> Result<()> {
    let mut work = std::pin::pin!(work);
    let mut result = None;
    loop {
        tokio::select! {
            ended = &mut work, if result.is_none() => result = Some(ended),
            message = messages.recv() => match (message, result.take()) {
                (Some(message), ended) => {
                    frames::send(out, message).await?;
                    result = ended;
                }
                (None, Some(ended)) => {
                    out.send_trailers(Status::trailers(&ended))?;
                    return Ok(());
                }
                // All senders are gone: only the end is still to come.
                (None, None) => result = Some(work.as_mut().await),
            },
            reason = poll_fn(|context| out.poll_reset(context)) => {
                return Err(reason.map_or_else(Status::from, |reason| Status::new(Code::Cancelled, reason.to_string())));
            }
        }
    }
}
