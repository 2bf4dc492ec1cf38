//! Bodies: what is read of requests, and the kinds of answer.

use std::{future::Future, io, pin::Pin, time::Duration};

use bytes::Bytes;
use corten_api::image::{ErrorDetail, Progress};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::{
    error::{ApiError, ApiResult, Form},
    refusal,
    request::RequestBody,
};

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer.
pub(crate) type Answer = Response<Body>;

/// The longest JSON document that is read, in bytes.
pub(crate) const JSON_LIMIT: usize = 4 << 20;

/// Lines of progress that may wait for a slow client.
const LINES: usize = 2048;

/// A body of given bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of pieces as they come; an error among them cuts the connection.
pub(crate) fn streamed(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

/// A body of what a channel gives.
pub(crate) fn received(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    streamed(stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    }))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    with_status(status, full(Bytes::new()))
}

/// An answer with a body of a media type.
pub(crate) fn typed(media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// 200 with a JSON document.
pub(crate) fn json(value: &impl Serialize) -> ApiResult<Answer> {
    json_with(StatusCode::OK, value)
}

/// A JSON document with a status.
pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> ApiResult<Answer> {
    let mut answer = typed("application/json", full(line(value)?));
    *answer.status_mut() = status;
    Ok(answer)
}

/// A document and the line feed that Go's encoder writes after it.
pub(crate) fn line(value: &impl Serialize) -> ApiResult<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn with_status(status: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// What a failed request is answered with.
pub(crate) fn failure(error: &ApiError) -> Answer {
    if error.status == StatusCode::NOT_MODIFIED {
        return empty(error.status);
    }
    let body = corten_api::ErrorBody {
        message: error.message.clone(),
    };
    let (media_type, end) = match error.form {
        Form::Json => {
            return json_with(error.status, &body).unwrap_or_else(|_| empty(error.status));
        }
        Form::Text => ("text/plain; charset=utf-8", "\n"),
        Form::Stream => (crate::hijack::RAW, "\r\n"),
    };
    let mut answer = typed(media_type, full(body.message + end));
    *answer.status_mut() = error.status;
    answer
}

/// Reads a whole body of JSON.
///
/// # Errors
/// 400 when it is something else, 413 when it is too long.
pub(crate) async fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: RequestBody) -> ApiResult<T> {
    let bytes = read_document(headers, body).await?;
    if bytes.is_empty() {
        return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
    }
    decode(&bytes)
}

/// As [`read_json`], with an empty body as the default; so Docker reads most bodies.
///
/// # Errors
/// As [`read_json`].
pub(crate) async fn read_json_or_default<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: RequestBody,
) -> ApiResult<T> {
    let bytes = read_document(headers, body).await?;
    if bytes.is_empty() {
        Ok(T::default())
    } else {
        decode(&bytes)
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    // For Go, null leaves a structure as it is.
    let bytes = match bytes.trim_ascii() {
        b"null" => b"{}",
        [b'[', ..] => return Err(ApiError::invalid(refusal::array::<T>(bytes))),
        _ => bytes,
    };
    corten_api::decode_request(bytes).map_err(|error| ApiError::invalid(refusal::reason::<T>(bytes, &error)))
}

/// The most of a body that is read though nobody wants it, in bytes; as Go's server has it.
const DRAINED: usize = 256 << 10;

/// Reads what a client sends though it is of no use: it may look for the answer only when all is sent.
pub(crate) async fn drain(body: &mut RequestBody) {
    drain_some(body, DRAINED).await;
}

async fn drain_some(body: &mut RequestBody, mut left: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

async fn read_document(headers: &HeaderMap, body: RequestBody) -> ApiResult<Bytes> {
    if body.is_unseen() {
        // One of another type is refused for that.
        check_media_type(headers)?;
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "authorization plugins must see the body: send it with 'Content-Type: application/json'",
        ));
    }
    match Limited::new(body, JSON_LIMIT).collect().await {
        Ok(collected) => {
            check_media_type(headers)?;
            Ok(collected.to_bytes())
        }
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {JSON_LIMIT} bytes"),
        )),
        Err(error) => Err(ApiError::invalid(format!("the body cannot be read: {error}"))),
    }
}

/// moby `httputils.CheckForJSON`: a body must be JSON, if it says what it is.
fn check_media_type(headers: &HeaderMap) -> ApiResult<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim();
    if media_type.is_empty() || media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "unsupported Content-Type header ({text}): must be 'application/json'"
    )))
}

/// Sends a request's body on, until its end or until nobody wants it any more.
pub(crate) async fn pump(mut body: RequestBody, pieces: mpsc::Sender<io::Result<Bytes>>) {
    hand_on(&mut body, pieces).await;
}

/// How much of an archive that was refused is read, in bytes.
const UNWANTED: usize = 64 << 20;
/// And for how long.
const UNWANTED_TIME: Duration = Duration::from_secs(2);

/// As [`pump`], and takes what nobody wants any more too, as much and as long as is decent: a client that is still
/// sending when its answer comes may not read it.
pub(crate) async fn pump_and_drain(mut body: RequestBody, pieces: mpsc::Sender<io::Result<Bytes>>) {
    if !hand_on(&mut body, pieces).await {
        // A client that is slower reads its answer while it sends, or does not get to see it.
        let _ = tokio::time::timeout(UNWANTED_TIME, drain_some(&mut body, UNWANTED)).await;
    }
}

/// Sends a body on; whether all of it was wanted.
async fn hand_on(body: &mut RequestBody, pieces: mpsc::Sender<io::Result<Bytes>>) -> bool {
    while let Some(frame) = body.frame().await {
        let piece = match frame.map(Frame::into_data) {
            Ok(Ok(piece)) => Ok(piece),
            // Trailers mean nothing here.
            Ok(Err(_)) => continue,
            Err(error) => Err(io::Error::other(error)),
        };
        let failed = piece.is_err();
        if pieces.send(piece).await.is_err() {
            return false;
        }
        if failed {
            break;
        }
    }
    true
}

type Work = Pin<Box<dyn Future<Output = corten_engine::Result<()>> + Send>>;

/// Work that reports lines while it goes on.
struct Reporting {
    work: Option<Work>,
    lines: mpsc::Receiver<Progress>,
    /// What was received before the answer began.
    first: Option<Progress>,
    /// How the work failed, when the answer had already begun.
    failure: Option<Progress>,
}

/// Answers with a stream of JSON lines. Work that fails before its first line is answered with an
/// error's status; later a last line tells of it. A client that leaves ends the work.
///
/// # Errors
/// The work's, if it comes before the first line.
pub(crate) async fn progress<F>(work: impl FnOnce(mpsc::Sender<Progress>) -> F) -> ApiResult<Answer>
where
    F: Future<Output = corten_engine::Result<()>> + Send + 'static,
{
    let mut state = Reporting::new(work);
    if let Some(work) = &mut state.work {
        tokio::select! {
            biased;
            Some(first) = state.lines.recv() => state.first = Some(first),
            result = work => {
                state.first = state.lines.try_recv().ok();
                match (result, &state.first) {
                    (Err(error), None) => return Err(error.into()),
                    (result, _) => state.end(result),
                }
            }
        }
    }
    Ok(state.answer())
}

/// As [`progress`], for work whose failures are always told by a line, as Docker does when it loads
/// images.
pub(crate) fn progress_only<F>(work: impl FnOnce(mpsc::Sender<Progress>) -> F) -> Answer
where
    F: Future<Output = corten_engine::Result<()>> + Send + 'static,
{
    Reporting::new(work).answer()
}

fn line_of(progress: &Progress) -> io::Result<Bytes> {
    // Docker ends these lines as HTTP does.
    let mut bytes = serde_json::to_vec(progress).map_err(io::Error::other)?;
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes.into())
}

impl Reporting {
    fn new<F>(work: impl FnOnce(mpsc::Sender<Progress>) -> F) -> Self
    where
        F: Future<Output = corten_engine::Result<()>> + Send + 'static,
    {
        let (sender, lines) = mpsc::channel(LINES);
        Self {
            work: Some(Box::pin(work(sender))),
            lines,
            first: None,
            failure: None,
        }
    }

    fn answer(self) -> Answer {
        let pieces = stream::unfold(self, |mut state| async move {
            let line = state.next().await?;
            Some((line_of(&line), state))
        });
        typed("application/json", streamed(pieces))
    }

    async fn next(&mut self) -> Option<Progress> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let Some(work) = &mut self.work else {
                return match self.lines.recv().await {
                    Some(line) => Some(line),
                    None => self.failure.take(),
                };
            };
            tokio::select! {
                biased;
                line = self.lines.recv() => match line {
                    Some(line) => return Some(line),
                    // The work has dropped its end; only its result is missing.
                    None => {
                        let result = (&mut *work).await;
                        self.end(result);
                    }
                },
                result = &mut *work => self.end(result),
            }
        }
    }

    fn end(&mut self, result: corten_engine::Result<()>) {
        self.work = None;
        if let Err(error) = result {
            let message = error.report();
            self.failure = Some(Progress {
                error_detail: Some(ErrorDetail {
                    message: message.clone(),
                    ..ErrorDetail::default()
                }),
                error: message,
                ..Progress::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corten_engine::error::Error;

    fn status(text: &str) -> Progress {
        Progress {
            status: text.to_owned(),
            ..Progress::default()
        }
    }

    async fn text(answer: Answer) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn early_failures_have_a_status_and_late_ones_a_line() {
        let early = progress(|_| async { Err(Error::not_found("manifest unknown")) })
            .await
            .unwrap_err();
        assert_eq!(
            (early.status.as_u16(), early.message.as_str()),
            (404, "manifest unknown")
        );
        let late = progress(|lines| async move {
            for n in 0..3 {
                lines.send(status(&n.to_string())).await.unwrap();
            }
            Err(Error::internal("gone"))
        });
        let expected = "{\"status\":\"0\"}\r\n{\"status\":\"1\"}\r\n{\"status\":\"2\"}\r\n\
                        {\"errorDetail\":{\"message\":\"gone\"},\"error\":\"gone\"}\r\n";
        assert_eq!(text(late.await.unwrap()).await, expected);
    }

    #[tokio::test]
    async fn silent_success_is_an_empty_answer() {
        let answer = progress(|_| async { Ok(()) }).await.unwrap();
        assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (200, ""));
    }
}
