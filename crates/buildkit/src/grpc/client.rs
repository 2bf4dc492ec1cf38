//! The side that calls.

use bytes::Bytes;
use h2::{SendStream, client::SendRequest};
use http::{HeaderName, HeaderValue, Method, Request, header};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    CONNECTION_WINDOW, Code, MEDIA_TYPE, Receiver, Result, SMALL_FRAMES, STREAM_WINDOW, STREAMS, Status,
    frames::{self, frame},
};

/// A connection over which calls are made.
#[derive(Debug, Clone)]
pub(crate) struct Channel(SendRequest<Bytes>);

impl Channel {
    /// Begins to speak; the future that comes with the channel carries its bytes, and ends with it.
    pub(crate) async fn open<I>(io: I) -> Result<(Self, impl Future<Output = Result<(), h2::Error>> + Send + use<I>)>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS)
            .data_frame_budget(SMALL_FRAMES)
            .enable_push(false)
            .handshake::<_, Bytes>(io)
            .await?;
        Ok((Self(sender), connection))
    }

    /// Begins a call; messages may then go both ways.
    pub(crate) async fn start(&self, method: &str, metadata: &[(&'static str, String)]) -> Result<Call> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        let target = format!("http://localhost{method}");
        *request.uri_mut() = target
            .parse()
            .map_err(|_| Status::invalid(format!("{method:?} is no method")))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        for (name, value) in metadata {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Status::invalid(format!("{value:?} cannot be sent as {name}")))?;
            headers.append(HeaderName::from_static(name), value);
        }
        let mut sender = self.0.clone().ready().await?;
        let (answer, stream) = sender.send_request(request, false)?;
        Ok(Call {
            out: Sender { stream, ended: false },
            incoming: Incoming {
                answer: Some(answer),
                messages: None,
            },
        })
    }

    /// A call with one message each way.
    pub(crate) async fn unary<A: Message, B: Message + Default>(&self, method: &str, message: &A) -> Result<B> {
        let mut call = self.start(method, &[]).await?;
        call.out.send(message).await?;
        call.out.end();
        let Some(answer) = call.incoming.next().await? else {
            return Err(Status::new(Code::Internal, format!("{method} gave no answer")));
        };
        // Waits for the status.
        let _: Option<B> = call.incoming.next().await?;
        Ok(answer)
    }
}

/// A call that goes on. One that is dropped is given up.
#[derive(Debug)]
pub(crate) struct Call {
    /// Our messages.
    pub(crate) out: Sender,
    /// The other side's.
    pub(crate) incoming: Incoming,
}

/// One's own messages of a call.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: SendStream<Bytes>,
    ended: bool,
}

impl Sender {
    /// Sends a message.
    pub(crate) async fn send<M: Message>(&mut self, message: &M) -> Result<()> {
        frames::send(&mut self.stream, frame(message)?).await
    }

    /// Says that no more will come. A stream that the other side has closed is at its end as it is.
    pub(crate) fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            let _ = self.stream.send_data(Bytes::new(), true);
        }
    }
}

/// The other side's messages of a call. Its head may come late: with the first message.
#[derive(Debug)]
pub(crate) struct Incoming {
    answer: Option<h2::client::ResponseFuture>,
    messages: Option<Receiver>,
}

impl Incoming {
    /// The next message; none when it has ended well.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>> {
        if let Some(answer) = self.answer.as_mut() {
            let (head, body) = answer.await?.into_parts();
            self.answer = None;
            if let Some(Err(status)) = Status::read(&head.headers) {
                return Err(status);
            }
            if !head.status.is_success() {
                return Err(Status::new(Code::Unavailable, format!("HTTP status {}", head.status)));
            }
            self.messages = Some(Receiver::new(body));
        }
        let Some(messages) = self.messages.as_mut() else {
            return Err(Status::new(Code::Internal, "the call has failed already"));
        };
        if let Some(message) = messages.next().await? {
            return Ok(Some(message));
        }
        match Status::read(&messages.trailers().await?) {
            Some(Err(status)) => Err(status),
            _ => Ok(None),
        }
    }
}
