//! One repository at one registry: requests with authorisation, redirects and patience.
//!
//! OCI distribution-spec 1.1. Credentials go to the registry itself and to its token server, never to
//! where a registry redirects to.

mod authorization;
mod locations;
mod login;
mod search;
mod upload;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use corten_oci::digest::{Algorithm, Digest};
use corten_oci::image::{MediaKind, limits, media_type};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, RANGE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;

use crate::auth::{AuthConfig, Challenge, TokenCache, parse_challenges};
use crate::endpoint::{Address, Config, Endpoint};
use crate::error::{Error, Kind, Result, head_refusal, refusal, request_failed};
use crate::transport::{Answer, Outgoing, Transport};
pub use authorization::Purpose;
use authorization::{Scheme, Scopes};
use locations::next_page;
pub(crate) use locations::{is_redirect, resolve};
pub(crate) use search::parse as parse_search;
pub(crate) use upload::Upload;

const REDIRECTS_MAX: usize = 10;
/// Longest pause a registry may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer that refuses, and of one page of tags.
const REFUSAL_BYTES: usize = 64 << 10;
const TAGS_BYTES: usize = 4 << 20;
const TAGS_MAX: usize = 100_000;
const TAGS_PER_PAGE: usize = 1000;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) transport: Transport,
    pub(crate) tokens: TokenCache,
}

/// A manifest or index as received.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The digest that it has.
    pub digest: Digest,
    /// What the registry calls it; empty when it does not say.
    pub media_type: String,
    /// The document.
    pub bytes: Bytes,
}

/// What is known of a manifest without fetching it.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) digest: Option<Digest>,
    pub(crate) media_type: String,
    pub(crate) size: Option<u64>,
}

/// A conversation about one repository.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    /// The repository's path there; empty for the registry itself.
    path: String,
    credentials: Option<AuthConfig>,
    scheme: Mutex<Scheme>,
    /// What tokens must allow, whatever the registry asks for.
    scopes: Mutex<Scopes>,
    /// Held while a token is asked for.
    asking: tokio::sync::Mutex<()>,
}

impl Session {
    /// Asks the registry whether it is one, and how it wants requests authorised.
    ///
    /// # Errors
    /// Unavailable, when it cannot be reached or is not well.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        endpoint: Endpoint,
        path: &str,
        credentials: Option<AuthConfig>,
        purpose: Purpose,
    ) -> Result<Self> {
        let session = Self {
            shared,
            path: path.into(),
            credentials: credentials.filter(|_| !endpoint.is_mirror),
            endpoint,
            scheme: Mutex::new(Scheme::Open),
            scopes: Mutex::new(Scopes::new(path, purpose)),
            asking: tokio::sync::Mutex::default(),
        };
        let ping = Outgoing::get(session.url("/v2/")?, session.endpoint.verification);
        session.patiently(|| session.ping(&ping)).await?;
        Ok(session)
    }

    async fn ping(&self, ping: &Outgoing) -> Result<()> {
        let answer = self.follow(ping.clone()).await?;
        if is_passing(answer.status) || answer.status.is_server_error() {
            return Err(refuse(answer).await);
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            self.learn(&challenges_of(&answer.headers));
        }
        // Read to the end, so that the connection can be used again.
        answer.excerpt(REFUSAL_BYTES).await;
        Ok(())
    }

    /// The registry's host, as messages name it.
    pub(crate) fn registry(&self) -> &str {
        &self.endpoint.address.authority
    }

    /// The repository's path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Fetches a manifest or index by tag or digest, and checks it against a digest asked for.
    ///
    /// # Errors
    /// NotFound, Forbidden, Unauthorized, as the registry says; Invalid, when it is too long or not
    /// what its digest says.
    pub(crate) async fn manifest(&self, tag_or_digest: &str) -> Result<Fetched> {
        let mut request = self.request(Method::GET, &format!("manifests/{tag_or_digest}"))?;
        request.headers.insert(ACCEPT, manifest_types());
        self.patiently(|| self.try_manifest(tag_or_digest, &request)).await
    }

    async fn try_manifest(&self, tag_or_digest: &str, request: &Outgoing) -> Result<Fetched> {
        let answer = self.authorized(request).await?;
        if answer.status != StatusCode::OK {
            return Err(refuse(answer).await);
        }
        let declared = header(&answer.headers, CONTENT_TYPE.as_str()).to_owned();
        let claimed: Option<Digest> = header(&answer.headers, "docker-content-digest").parse().ok();
        let asked: Option<Digest> = tag_or_digest.parse().ok();
        let bytes = answer.bytes(limits::MANIFEST_BYTES).await?;
        let expected = asked.or(claimed.filter(|d| d.algorithm() == Algorithm::Sha256));
        let digest = expected.unwrap_or_else(|| Digest::sha256(&bytes));
        if !digest.matches(&bytes) {
            return Err(Error::invalid(format!(
                "manifest verification failed for digest {digest}"
            )));
        }
        Ok(Fetched {
            digest,
            media_type: declared,
            bytes,
        })
    }

    /// Asks for a manifest's digest, type and size alone.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub(crate) async fn manifest_head(&self, tag_or_digest: &str) -> Result<Head> {
        let mut request = self.request(Method::HEAD, &format!("manifests/{tag_or_digest}"))?;
        request.headers.insert(ACCEPT, manifest_types());
        let answer = self.patiently(|| self.succeeding(&request)).await?;
        let size = header(&answer.headers, "content-length").parse().ok();
        let head = Head {
            digest: header(&answer.headers, "docker-content-digest").parse().ok(),
            media_type: header(&answer.headers, CONTENT_TYPE.as_str()).to_owned(),
            size,
        };
        answer.excerpt(0).await;
        Ok(head)
    }

    /// Starts fetching a blob from `offset` on. The answer is `200` (the whole blob, whatever the
    /// offset), `206` (from the offset on) or `416`; no other status comes back as success.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub(crate) async fn blob(&self, digest: &Digest, offset: u64) -> Result<Answer> {
        let mut request = self.request(Method::GET, &format!("blobs/{digest}"))?;
        // Digests are over the bytes as stored; nothing on the way may pack them anew.
        let identity = HeaderValue::from_static("identity");
        request.headers.insert(ACCEPT_ENCODING, identity);
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-"))
                .map_err(|e| Error::new(Kind::Internal, "invalid range").with_source(e))?;
            request.headers.insert(RANGE, range);
        }
        let answer = self.authorized(&request).await?;
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Ok(answer),
            _ => Err(refuse(answer).await),
        }
    }

    /// Fetches a small blob as a whole and checks it.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub(crate) async fn small_blob(&self, digest: &Digest, limit: usize) -> Result<Bytes> {
        let fetch = || async {
            let answer = self.blob(digest, 0).await?;
            if answer.status != StatusCode::OK {
                return Err(refuse(answer).await);
            }
            answer.bytes(limit).await
        };
        let bytes = self.patiently(fetch).await?;
        if !digest.matches(&bytes) {
            return Err(Error::invalid(format!("blob verification failed for digest {digest}")));
        }
        Ok(bytes)
    }

    /// Lists the repository's tags, page by page.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub(crate) async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags = BTreeSet::new();
        let first = self.request(Method::GET, &format!("tags/list?n={TAGS_PER_PAGE}"))?;
        let mut next = Some(first);
        while let Some(request) = next.take() {
            let answer = self.patiently(|| self.succeeding(&request)).await?;
            let link = next_page(header(&answer.headers, LINK.as_str()));
            let following = link.and_then(|link| resolve(&request.url, link));
            let bytes = answer.bytes(TAGS_BYTES).await?;
            let page: Page =
                serde_json::from_slice(&bytes).map_err(|e| Error::invalid(format!("invalid list of tags: {e}")))?;
            let (known, found) = (tags.len(), page.tags.unwrap_or_default());
            if found.is_empty() {
                break;
            }
            tags.extend(found);
            if tags.len() == known {
                return Err(Error::invalid("the pages of the list of tags lead in a circle"));
            }
            if tags.len() > TAGS_MAX {
                return Err(Error::invalid(format!("more than {TAGS_MAX} tags")));
            }
            // A link that leads elsewhere would take the credentials along, so it is not followed.
            let stays = |url: &Uri| Address::of(url).as_ref() == Some(&self.endpoint.address);
            next = following
                .filter(stays)
                .map(|url| Outgoing::get(url, self.endpoint.verification));
        }
        Ok(tags.into_iter().collect())
    }

    fn url(&self, path: &str) -> Result<Uri> {
        let address = &self.endpoint.address;
        format!("{}://{}{path}", address.scheme(), address.authority)
            .parse()
            .map_err(|_| Error::invalid(format!("{path:?} cannot stand in a URL")))
    }

    fn request(&self, method: Method, path: &str) -> Result<Outgoing> {
        let url = self.url(&format!("/v2/{}/{path}", self.path))?;
        let verification = self.endpoint.verification;
        Ok(Outgoing {
            method,
            ..Outgoing::get(url, verification)
        })
    }

    /// Sends with authorisation; only `200 OK` is success.
    async fn succeeding(&self, request: &Outgoing) -> Result<Answer> {
        let answer = self.authorized(request).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            _ => Err(refuse(answer).await),
        }
    }

    /// Repeats what failed because the registry is busy or the connection broke, with pauses.
    async fn patiently<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let config = &self.shared.config;
        let mut pause = config.retry_pause;
        for _ in 1..config.max_download_attempts {
            match ask().await {
                Err(error) if error.is_passing() && !error.is_unreachable() => {
                    tokio::time::sleep(error.asked_pause().unwrap_or(pause)).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
        ask().await
    }

    /// Sends a request and follows where the answer leads. Credentials stay with the first host, and
    /// what began with TLS goes on with it.
    async fn follow(&self, mut request: Outgoing) -> Result<Answer> {
        for _ in 0..REDIRECTS_MAX {
            let answer = self.shared.transport.send(&request).await?;
            let location = header(&answer.headers, LOCATION.as_str()).to_owned();
            if !is_redirect(answer.status) || location.is_empty() {
                return Ok(answer);
            }
            let failed = |why: &str| {
                let failed = request_failed(&request.method, &request.url.to_string(), why);
                Error::invalid(failed.to_string())
            };
            if request.method != Method::GET && request.method != Method::HEAD {
                return Err(failed("redirect refused for a request that carries data"));
            }
            let url =
                resolve(&request.url, &location).ok_or_else(|| failed(&format!("invalid redirect to {location:?}")))?;
            let (from, to) = (Address::of(&request.url), Address::of(&url));
            let (Some(from), Some(to)) = (from, to) else {
                return Err(failed(&format!("unsupported redirect to {location:?}")));
            };
            if from.encrypted && !to.encrypted && !self.endpoint.is_insecure() {
                return Err(failed("redirect from https to http refused"));
            }
            answer.excerpt(REFUSAL_BYTES).await;
            if from != to {
                request.headers.remove(AUTHORIZATION);
            }
            request.url = url;
        }
        let why = format!("stopped after {REDIRECTS_MAX} redirects");
        let failed = request_failed(&request.method, &request.url.to_string(), &why);
        Err(Error::invalid(failed.to_string()))
    }
}

/// Turns an answer that is no success into an error.
pub(crate) async fn refuse(answer: Answer) -> Error {
    let (status, challenges) = (answer.status, challenges_of(&answer.headers));
    let pause = retry_after(&answer.headers);
    if answer.request.method == Method::HEAD {
        return head_refusal(status, &challenges).retry_after(pause);
    }
    let body = answer.excerpt(REFUSAL_BYTES).await;
    refusal(status, &challenges, &body).retry_after(pause)
}

fn manifest_types() -> HeaderValue {
    const TYPES: [&str; 4] = [
        media_type::OCI_INDEX,
        media_type::OCI_MANIFEST,
        media_type::DOCKER_LIST,
        media_type::DOCKER_MANIFEST,
    ];
    debug_assert!(TYPES.iter().all(|t| MediaKind::of(t) != MediaKind::Other));
    HeaderValue::try_from(TYPES.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("*/*"))
}

fn challenges_of(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(parse_challenges).collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Whether asking again soon may go better.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The pause a registry asks for, in seconds (RFC 9110 §10.2.3; dates are not looked at).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = header(headers, RETRY_AFTER.as_str()).parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
