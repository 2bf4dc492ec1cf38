//! What all requests share, and the way of each: route, who asks, may they, the answer.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::auth::{Gate, Principal, SCHEME};
use crate::config::Action;
use crate::handlers::{blobs, lists, manifests, pages, set, text, uploads};
use crate::http::{Answer, Peer, failure, json, plain};
use crate::metrics::Metrics;
use crate::name::Name;
use crate::refusal::{Code, Refusal, Result};
use crate::route::Route;
use crate::store::{Store, Uploads};
use crate::upstream::Upstreams;

/// Docker's clients know a registry by it.
const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// What is read of a request that is refused, for its connection to stay; in bytes.
const DRAINED: usize = 256 << 10;
/// The longest form of a token request, in bytes.
const FORM: usize = 64 << 10;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) uploads: Uploads,
    pub(crate) gate: Gate,
    pub(crate) upstreams: Upstreams,
    pub(crate) metrics: Metrics,
    pub(crate) delete: bool,
    /// Whether an answer waits until the disk has what it tells of.
    pub(crate) durable: bool,
}

/// 405, and what would be allowed.
pub(crate) fn method_not_allowed(allowed: &str) -> Refusal {
    Refusal::new(Code::Unsupported, "the operation is unsupported").header(header::ALLOW, allowed)
}

impl App {
    /// Runs what may wait for the disk on a thread that may wait.
    ///
    /// # Errors
    /// When it panics.
    pub(crate) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| io::Error::other(error).into())
    }

    /// Waits for the disk, unless told not to. Then what was written is in the page cache, and on the disk
    /// soon.
    pub(crate) async fn settled(&self) {
        if self.durable {
            self.store.synced().await;
        }
    }

    /// Refuses deletes where they are turned off.
    ///
    /// # Errors
    /// `UNSUPPORTED`
    pub(crate) fn check_deletes(&self) -> Result<()> {
        match self.delete {
            true => Ok(()),
            false => Err(Refusal::new(Code::Unsupported, "this registry deletes nothing")),
        }
    }

    /// Refuses pushes to what is another registry's.
    ///
    /// # Errors
    /// `UNSUPPORTED`
    pub(crate) fn check_writable(&self, name: &Name) -> Result<()> {
        match self.upstreams.find(name) {
            None => Ok(()),
            Some(_) => Err(Refusal::new(
                Code::Unsupported,
                format!("repository {name} is a copy of another registry's: push it there"),
            )),
        }
    }

    /// Answers a request.
    pub(crate) async fn answer(self: Arc<Self>, peer: Peer, mut request: http::Request<Incoming>) -> Answer {
        let start = Instant::now();
        let scheme = if peer.is_encrypted { "https" } else { "http" };
        request.headers_mut().insert(SCHEME, HeaderValue::from_static(scheme));
        let (kind, result) = match Route::parse(request.uri().path()) {
            Ok(route) => (route.kind(), self.handle(&peer, &route, request).await),
            Err(refusal) => {
                drain(request).await;
                ("unknown", Err(refusal))
            }
        };
        let mut answer = result.unwrap_or_else(|refusal| failure(&refusal));
        answer
            .headers_mut()
            .insert(VERSION, HeaderValue::from_static("registry/2.0"));
        answer
            .headers_mut()
            .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.metrics.answered(kind, answer.status().as_u16(), start.elapsed());
        answer
    }

    async fn handle(self: &Arc<Self>, peer: &Peer, route: &Route, request: http::Request<Incoming>) -> Result<Answer> {
        match route {
            Route::Health => return Ok(plain(StatusCode::OK, "ok\n")),
            Route::Token => return self.token(request).await,
            Route::Metrics if self.gate.is_open() => return Ok(self.metrics()),
            // Whoever is asked for a name here sees them at --metrics-addr only.
            Route::Metrics | Route::Unknown => {
                drain(request).await;
                return Err(Refusal::new(Code::Unsupported, "there is nothing here").status(StatusCode::NOT_FOUND));
            }
            _ => {}
        }
        let admitted = match self.gate.admit(request.headers(), route).await {
            Ok(principal) => {
                let action = action_of(route, request.method());
                let checked = self.gate.check(&principal, request.headers(), route, action);
                checked.map(|()| principal)
            }
            Err(refusal) => Err(refusal),
        };
        match admitted {
            Ok(principal) => self.dispatch(peer, &principal, route, request).await,
            Err(refusal) => {
                drain(request).await;
                Err(refusal)
            }
        }
    }

    async fn dispatch(
        self: &Arc<Self>,
        peer: &Peer,
        principal: &Principal,
        route: &Route,
        request: http::Request<Incoming>,
    ) -> Result<Answer> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let query = request.uri().query().map(str::to_owned);
        let query = query.as_deref();
        match route {
            Route::Blob(name, digest) => blobs::answer(self, peer, name, digest, &request).await,
            Route::Manifest(name, selector) => manifests::answer(self, peer, name, selector, request).await,
            Route::Uploads(name) => uploads::begin(self, principal, name, request).await,
            Route::Upload(name, id) => uploads::go_on(self, name, id, request).await,
            _ if !is_read => Err(method_not_allowed("GET, HEAD")),
            Route::Base => Ok(json(&serde_json::json!({}))),
            Route::Catalogue => lists::catalogue(self, principal, query).await,
            Route::Tags(name) => lists::tags(self, name, query).await,
            Route::Referrers(name, digest) => lists::referrers(self, name, digest, query).await,
            Route::Index => pages::index(self, principal, query).await,
            Route::Page(name) => pages::repository(self, name, query).await,
            Route::Token | Route::Health | Route::Metrics | Route::Unknown => {
                Err(Refusal::new(Code::Unsupported, "there is nothing here").status(StatusCode::NOT_FOUND))
            }
        }
    }

    async fn token(&self, request: http::Request<Incoming>) -> Result<Answer> {
        let (head, body) = request.into_parts();
        let form = match Limited::new(body, FORM).collect().await {
            Ok(form) => form.to_bytes(),
            Err(_) => {
                return Err(
                    Refusal::new(Code::Unsupported, "the form is too long").status(StatusCode::PAYLOAD_TOO_LARGE)
                );
            }
        };
        self.gate
            .token(&head.method, head.uri.query(), &head.headers, &form)
            .await
    }

    /// The numbers, for who collects them.
    pub(crate) fn metrics(&self) -> Answer {
        let text = self.metrics.write(self.uploads.count(), self.store.usage().total());
        let mut answer = plain(StatusCode::OK, text);
        set(
            &mut answer,
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        );
        answer
    }
}

fn action_of(route: &Route, method: &Method) -> Action {
    match (route, method) {
        (Route::Uploads(_) | Route::Upload(..), _) => Action::Push,
        (_, &Method::DELETE) => Action::Delete,
        (_, &Method::GET | &Method::HEAD) => Action::Pull,
        _ => Action::Push,
    }
}

/// Reads what a client sends though it is of no use: it may look for the answer only when all is sent.
async fn drain(request: http::Request<Incoming>) {
    let length: usize = text(request.headers(), header::CONTENT_LENGTH).parse().unwrap_or(0);
    if (1..=DRAINED).contains(&length) {
        let read = Limited::new(request.into_body(), DRAINED).collect();
        // What is not read by then ends with the connection.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), read).await;
    }
}
