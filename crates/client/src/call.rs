//! One request: built, sent, and sent again in an older API version if the engine asks for it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Method, Request,
    body::{Frame, SizeHint},
    header,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{Client, Endpoint, Error, Kind, Result, lock, response::Response};

/// What stays as it is in a path segment or query value (RFC 3986, unreserved).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stays as it is in a path that may have several segments (image names).
const PATH: &AsciiSet = &UNRESERVED.remove(b'/').remove(b':').remove(b'@');

/// A request's body.
#[derive(Debug)]
pub enum Body {
    /// None.
    Empty,
    /// Bytes at hand; can be sent again.
    Bytes(Bytes),
    /// Pieces as they come; can be sent once.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body {
    /// The same again, unless it is a stream.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Pieces(_) => None,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Pieces(receiver) => receiver.poll_recv(cx).map(|piece| piece.map(|p| p.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Bytes(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Call {
    /// A request for a path; segments that hold names come encoded (see [`segment`]).
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: String::new(),
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value.as_ref(), UNRESERVED));
        self
    }

    /// Adds a query parameter unless it is empty.
    pub(crate) fn query_some(self, name: &str, value: impl AsRef<str>) -> Self {
        if value.as_ref().is_empty() {
            self
        } else {
            self.query(name, value)
        }
    }

    /// Adds `name=1` if `on`.
    pub(crate) fn flag(self, name: &str, on: bool) -> Self {
        if on { self.query(name, "1") } else { self }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends a JSON document.
    pub(crate) fn json(mut self, document: &impl Serialize) -> Result<Self> {
        let bytes = serde_json::to_vec(document).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        self.body = Body::Bytes(bytes.into());
        Ok(self.header("Content-Type", "application/json"))
    }

    /// Sends a body of this type.
    pub(crate) fn body(mut self, kind: &str, body: Body) -> Self {
        self.body = body;
        self.header("Content-Type", kind)
    }

    /// The request's target in an API version.
    pub(crate) fn target(&self, version: &str) -> String {
        format!("/v{version}{}{}", self.path, self.query)
    }

    fn request(&self, client: &Client, version: &str, body: Body) -> Result<Request<Body>> {
        let mut builder = Request::builder()
            .method(self.method.clone())
            .uri(self.target(version))
            .header(header::HOST, client.endpoint.host_header())
            .header(header::USER_AGENT, USER_AGENT);
        if matches!(body, Body::Empty) && self.method == Method::POST {
            builder = builder.header(header::CONTENT_LENGTH, "0");
        }
        for (name, value) in &client.headers {
            builder = builder.header(name.as_str(), value.as_str());
        }
        for (name, value) in &self.headers {
            builder = builder.header(*name, value.as_str());
        }
        builder.body(body).map_err(|e| Error::new(Kind::Invalid, e.to_string()))
    }
}

/// How the client names itself.
pub(crate) const USER_AGENT: &str = concat!("Docker-Client/", env!("CARGO_PKG_VERSION"), " (linux; corten)");

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, UNRESERVED).to_string()
}

/// An image's name in a path: slashes, colons and `@` stay.
pub(crate) fn image(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

impl Client {
    /// Sends a request and returns the answer once its head is there.
    ///
    /// # Errors
    /// The engine's refusal, or that it cannot be reached.
    pub(crate) async fn send(&self, mut call: Call) -> Result<Response<'_>> {
        let body = std::mem::replace(&mut call.body, Body::Empty);
        let again = body.again();
        if again.is_none() {
            self.prove_version().await?;
        }
        match self.send_once(&call, body).await {
            Err(error) => match (again, self.step_down(&error)) {
                (Some(body), true) => self.send_once(&call, body).await,
                _ => Err(error),
            },
            ok => ok,
        }
    }

    async fn send_once(&self, call: &Call, body: Body) -> Result<Response<'_>> {
        let version = self.api_version();
        let mut sender = self.sender().await?;
        let request = call.request(self, &version, body)?;
        let answer = sender.send_request(request).await.map_err(|e| self.broken(e))?;
        let response = Response::new(self, sender, answer, call.path.clone());
        if response.status() >= 400 {
            return Err(response.into_error().await);
        }
        self.proven();
        Ok(response)
    }

    /// What to say of a connection that broke before an answer.
    fn broken(&self, error: hyper::Error) -> Error {
        let broken = Error::transport(error);
        match &self.endpoint {
            Endpoint::Ssh(ssh) => Error::new(
                Kind::Unavailable,
                format!(
                    "{broken} ({}): make sure that '{} system dial-stdio' works there",
                    self.endpoint, ssh.program
                ),
            ),
            _ => broken,
        }
    }

    /// Notes that the engine knows the version that is spoken.
    pub(crate) fn proven(&self) {
        lock(&self.version).proven = true;
    }

    /// Makes sure of the version before a body that can be sent only once.
    async fn prove_version(&self) -> Result<()> {
        if lock(&self.version).proven {
            return Ok(());
        }
        self.ping().await
    }

    /// Speaks an older version if the engine refused ours as too new.
    pub(crate) fn step_down(&self, error: &Error) -> bool {
        let Some(version) = error.supported_version() else {
            return false;
        };
        let mut spoken = lock(&self.version);
        if spoken.fixed || spoken.version == version {
            return false;
        }
        spoken.version = version;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_targets() {
        let call = Call::get(format!("/containers/{}/json", segment("a b")))
            .query("filters", r#"{"a":["b"]}"#)
            .query_some("empty", "")
            .flag("size", true);
        assert_eq!(
            call.target("1.51"),
            "/v1.51/containers/a%20b/json?filters=%7B%22a%22%3A%5B%22b%22%5D%7D&size=1"
        );
        assert_eq!(image("reg:5000/a/b@sha256:00"), "reg:5000/a/b@sha256:00");
    }
}
