//! A registry as another one sees it that keeps copies of what it is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use corten_oci::digest::Digest;
use http::{StatusCode, Uri};

use crate::auth::{AuthConfig, TokenCache};
use crate::client::{Purpose, Session, Shared};
use crate::endpoint::{Address, Config, Endpoint, Verification};
use crate::error::{Error, Kind, Result};
use crate::transport::{Answer, Transport};

/// Conversations that are remembered, one a repository.
const REMEMBERED: usize = 1024;

/// A registry at a fixed place.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    credentials: Option<AuthConfig>,
    /// Guards itself only.
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

/// A manifest as the registry has it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its digest, which its bytes have.
    pub digest: Digest,
    /// What the registry says it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A blob on its way.
#[derive(Debug)]
pub struct Incoming {
    /// How long the whole blob is, in bytes.
    pub size: u64,
    /// Bytes to leave out at the start: the registry does not know ranges.
    pub skip: u64,
    answer: Answer,
}

impl Incoming {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// Unavailable, when the connection breaks or nothing comes for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.answer.chunk().await
    }
}

impl Upstream {
    /// The registry at `https://host[:port]` or `http://host[:port]`. Connects to nobody yet.
    ///
    /// # Errors
    /// Invalid, when the address is none.
    pub fn new(url: &str, is_insecure: bool, credentials: Option<AuthConfig>, config: Config) -> Result<Self> {
        let bad = || {
            Error::invalid(format!(
                "{url:?} is no address of a registry: write https://host[:port]"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad());
        }
        let address = Address::of(&uri).ok_or_else(bad)?;
        let verification = match is_insecure {
            true => Verification::Skipped,
            false => Verification::Full,
        };
        let config = Arc::new(config);
        Ok(Self {
            shared: Arc::new(Shared {
                transport: Transport::new(Arc::clone(&config)),
                tokens: TokenCache::default(),
                config,
            }),
            endpoint: Endpoint {
                address,
                verification,
                is_mirror: false,
            },
            credentials,
            sessions: Mutex::default(),
        })
    }

    async fn session(&self, path: &str) -> Result<Arc<Session>> {
        let known = self
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .cloned();
        if let Some(session) = known {
            return Ok(session);
        }
        let (shared, credentials) = (Arc::clone(&self.shared), self.credentials.clone());
        let session = Arc::new(Session::open(shared, self.endpoint.clone(), path, credentials, Purpose::Pull).await?);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= REMEMBERED {
            sessions.clear();
        }
        sessions.insert(path.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// The digest that a tag names there, if the registry says it without sending the manifest.
    ///
    /// # Errors
    /// As the registry says; Unavailable when it does not.
    pub async fn tag(&self, path: &str, tag: &str) -> Result<Option<Digest>> {
        let head = self.session(path).await?.manifest_head(tag).await?;
        Ok(head.digest)
    }

    /// A manifest by tag or digest.
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub async fn manifest(&self, path: &str, tag_or_digest: &str) -> Result<Received> {
        let fetched = self.session(path).await?.manifest(tag_or_digest).await?;
        Ok(Received {
            digest: fetched.digest,
            media_type: fetched.media_type,
            bytes: fetched.bytes,
        })
    }

    /// How long a blob is.
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub async fn blob_size(&self, path: &str, digest: &Digest) -> Result<Option<u64>> {
        self.session(path).await?.blob_size(digest).await
    }

    /// Starts fetching a blob from `offset` on.
    ///
    /// # Errors
    /// As [`Self::tag`]; Invalid when the answer is about other bytes than those asked for.
    pub async fn blob(&self, path: &str, digest: &Digest, offset: u64) -> Result<Incoming> {
        let session = self.session(path).await?;
        let answer = session.blob(digest, offset).await?;
        let unclear = |what: &str| {
            Error::new(
                Kind::Unavailable,
                format!("blob {digest}: the registry does not say {what}"),
            )
        };
        if answer.status == StatusCode::OK {
            let size = answer.length().ok_or_else(|| unclear("how long it is"))?;
            let skip = offset;
            return Ok(Incoming { size, skip, answer });
        }
        let range = answer.headers.get(http::header::CONTENT_RANGE);
        match range
            .and_then(|value| value.to_str().ok())
            .and_then(crate::fetch::parse_range)
        {
            Some((start, Some(size))) if start == offset => Ok(Incoming { size, skip: 0, answer }),
            _ => Err(unclear("which bytes it sends")),
        }
    }

    /// All tags of a repository.
    ///
    /// # Errors
    /// As [`Self::tag`].
    pub async fn tags(&self, path: &str) -> Result<Vec<String>> {
        self.session(path).await?.tags().await
    }
}
