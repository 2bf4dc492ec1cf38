//! HTTP/1.1 connections: made, kept while idle, used again.
//!
//! One request at a time on a connection; as many connections as requests at once. Which server, how
//! trusted and with what credentials is decided above; here only bytes travel.

mod dial;
mod payload;
mod pool;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::auth::Secret;
use crate::endpoint::{Address, Config, Verification};
use crate::error::{Error, Kind, Result, reason, request_failed, tls_reason};
use crate::tls::TlsConfigs;
use dial::{Proxy, dial, tunnel};
pub(crate) use payload::{Payload, Pieces};
use pool::{Connection, Key, Lease, Pool};

/// hyper's read buffer for each connection, in bytes.
const BUFFER: usize = 256 << 10;

/// A request that can be sent again, to a place that is fully known.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Absolute.
    pub(crate) url: Uri,
    pub(crate) verification: Verification,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Outgoing {
    pub(crate) fn get(url: Uri, verification: Verification) -> Self {
        Self {
            method: Method::GET,
            url,
            verification,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn address(&self) -> Result<Address> {
        Address::of(&self.url).ok_or_else(|| Error::invalid(format!("unsupported URL {:?}", self.url)))
    }

    fn payload(&self) -> Payload {
        Payload::Whole(Full::new(self.body.clone()))
    }

    fn failed(&self, cause: &str) -> Error {
        request_failed(&self.method, &self.url.to_string(), cause)
    }
}

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Transport {
    config: Arc<Config>,
    tls: TlsConfigs,
    pool: Arc<Pool>,
}

impl Transport {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self {
            tls: TlsConfigs::new(&config.certificates),
            pool: Arc::default(),
            config,
        }
    }

    /// Sends a request and waits for the head of the answer. Redirects are answers like others.
    ///
    /// # Errors
    /// Unavailable, in Go's words, when no answer came.
    pub(crate) async fn send(&self, request: &Outgoing) -> Result<Answer> {
        let key = (request.address()?, request.verification);
        while let Some(connection) = self.pool.take(&key) {
            match self.exchange(connection, &key, request, request.payload()).await {
                // The server closed it while it was idle: not this request's fault.
                Err(Exchange::Stale) => {}
                Err(Exchange::Failed(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
        self.send_anew(&key, request, request.payload()).await
    }

    /// Sends a request whose body is a stream. It goes over a connection of its own: a stream cannot
    /// be sent again when an old connection turns out to be closed.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn send_stream(&self, request: &Outgoing, pieces: Pieces) -> Result<Answer> {
        let key = (request.address()?, request.verification);
        self.send_anew(&key, request, Payload::streamed(pieces)).await
    }

    /// Sends a request that must not arrive twice: never again by itself, and so over a new connection.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(crate) async fn send_once(&self, request: &Outgoing) -> Result<Answer> {
        let key = (request.address()?, request.verification);
        self.send_anew(&key, request, request.payload()).await
    }

    async fn send_anew(&self, key: &Key, request: &Outgoing, payload: Payload) -> Result<Answer> {
        let connection = timeout(self.config.connect_timeout, self.connect(key))
            .await
            .unwrap_or_else(|_| Err("net/http: timeout while connecting".into()))
            .map_err(|cause| request.failed(&cause).unreachable())?;
        match self.exchange(connection, key, request, payload).await {
            Ok(answer) => Ok(answer),
            Err(Exchange::Stale) => Err(request.failed("EOF")),
            Err(Exchange::Failed(error)) => Err(error),
        }
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        key: &Key,
        request: &Outgoing,
        payload: Payload,
    ) -> Result<Answer, Exchange> {
        let sent = payload.counter();
        let message = self.message(&connection, &key.0, request, payload)?;
        let answer = {
            let mut exchange = pin!(async {
                connection.sender.ready().await?;
                connection.sender.send_request(message).await
            });
            loop {
                let before = sent.load(Ordering::Relaxed);
                match timeout(self.config.idle_timeout, &mut exchange).await {
                    Ok(answer) => break answer,
                    // The answer comes when the body is through: it only must get on.
                    Err(_) if sent.load(Ordering::Relaxed) != before => {}
                    Err(_) => {
                        let late = request.failed("net/http: timeout awaiting response headers");
                        return Err(late.into());
                    }
                }
            }
        };
        let answer = answer.map_err(|error| match error {
            e if e.is_canceled() || e.is_closed() || e.is_incomplete_message() => Exchange::Stale,
            e => request.failed(&stream_reason(&e)).into(),
        })?;
        let (head, body) = answer.into_parts();
        let lease = Lease {
            pool: self.pool.clone(),
            key: key.clone(),
            connection,
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            request: request.clone(),
            body,
            lease: Some(lease),
            idle_timeout: self.config.idle_timeout,
        })
    }

    /// The request as hyper takes it: path only, or the whole URL for a proxy.
    fn message(
        &self,
        connection: &Connection,
        address: &Address,
        request: &Outgoing,
        payload: Payload,
    ) -> Result<Request<Payload>> {
        let path = request.url.path_and_query().map_or("/", |path| path.as_str());
        let target = match connection.through_proxy {
            Some(_) => request.url.clone(),
            None => Uri::try_from(path).map_err(|_| Error::invalid(format!("unsupported URL {:?}", request.url)))?,
        };
        let mut message = Request::new(payload);
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = target;
        *message.headers_mut() = request.headers.clone();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| Error::invalid(format!("{text:?} cannot stand in an HTTP header")))
        };
        message.headers_mut().insert(HOST, value(&address.authority)?);
        let agent = value(&self.config.user_agent)?;
        message.headers_mut().insert(USER_AGENT, agent);
        if let Some(Some(secret)) = &connection.through_proxy {
            let secret = sensitive(secret)?;
            message.headers_mut().insert(PROXY_AUTHORIZATION, secret);
        }
        Ok(message)
    }

    async fn connect(&self, key: &Key) -> Result<Connection, String> {
        let (address, verification) = key;
        let limit = self.config.connect_timeout;
        let Some(proxy) = self.config.proxies.find(address) else {
            let tcp = dial(&address.host, address.port, limit).await?;
            return self.shake_hands(tcp, address, *verification, None).await;
        };
        let proxy = Proxy::parse(proxy)?;
        let (host, port) = (&proxy.address.host, proxy.address.port);
        let mut tcp = dial(host, port, limit)
            .await
            .map_err(|cause| format!("proxyconnect tcp: {cause}"))?;
        if !address.encrypted {
            let through = Some(proxy.credentials);
            return self.shake_hands(tcp, address, *verification, through).await;
        }
        tunnel(&mut tcp, address, proxy.credentials.as_ref()).await?;
        self.shake_hands(tcp, address, *verification, None).await
    }

    async fn shake_hands(
        &self,
        tcp: TcpStream,
        address: &Address,
        verification: Verification,
        through_proxy: Option<Option<Secret>>,
    ) -> Result<Connection, String> {
        let sender = if address.encrypted {
            let config = self.tls.get(&address.authority, verification).await;
            let config = config.map_err(|e| e.to_string())?;
            let name = ServerName::try_from(address.host.clone())
                .map_err(|_| format!("tls: {:?} is no server name", address.host))?;
            let tls = TlsConnector::from(config).connect(name, tcp).await;
            speak(tls.map_err(|e| tls_reason(&e, &address.host))?).await?
        } else {
            speak(tcp).await?
        };
        Ok(Connection { sender, through_proxy })
    }
}

/// Starts HTTP on a stream; a task of its own moves the bytes until the connection is dropped.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Payload>, String> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| stream_reason(&e))?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told of the error; with nobody waiting it means nothing.
        let _ = connection.await;
    });
    Ok(sender)
}

/// A header value that is not printed.
pub(crate) fn sensitive(secret: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose())
        .map_err(|_| Error::invalid("credentials hold letters that HTTP does not allow"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn stream_reason(error: &hyper::Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::UnexpectedEof => "unexpected EOF".into(),
                io::ErrorKind::ConnectionReset => "read: connection reset by peer".into(),
                _ => reason(io),
            };
        }
        source = inner.source();
    }
    match error {
        e if e.is_incomplete_message() => "unexpected EOF".into(),
        e if e.is_parse() => format!("net/http: HTTP/1.x transport connection broken: {e}"),
        e => e.to_string(),
    }
}

/// Why an exchange on a connection came to nothing.
enum Exchange {
    /// The connection was closed before the server took up the request.
    Stale,
    Failed(Error),
}

impl From<Error> for Exchange {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What was asked.
    pub(crate) request: Outgoing,
    body: Incoming,
    lease: Option<Lease>,
    idle_timeout: Duration,
}

impl Answer {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Unavailable, when the connection breaks or nothing comes for too long.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = timeout(self.idle_timeout, self.body.frame())
                .await
                .map_err(|_| self.request.failed("i/o timeout"))?;
            match frame {
                None => {
                    self.release();
                    return Ok(None);
                }
                Some(Err(error)) => return Err(self.request.failed(&stream_reason(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn release(&mut self) {
        if let Some(Lease { pool, key, connection }) = self.lease.take() {
            pool.put(key, connection);
        }
    }

    /// The length the server gave, if it did.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The whole body.
    ///
    /// # Errors
    /// Invalid, when it is longer than `limit`; else as [`Self::chunk`].
    pub(crate) async fn bytes(mut self, limit: usize) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                let why = format!("answer is longer than {limit} bytes");
                return Err(Error::new(Kind::Invalid, self.request.failed(&why).to_string()));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// The beginning of the body, for an error's text; what goes wrong meanwhile does not matter.
    pub(crate) async fn excerpt(mut self, limit: usize) -> Vec<u8> {
        let mut start = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            let room = limit - start.len();
            start.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if start.len() == limit {
                break;
            }
        }
        start
    }
}
