//! The way in: all registries, as one engine sees them.

use std::sync::Arc;

use corten_oci::image::{Descriptor, Document, MediaKind};
use corten_oci::platform::Platform;
use corten_oci::reference::{DEFAULT_DOMAIN, Reference, Repository};
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::auth::{AuthConfig, Secret, TokenCache};
use crate::client::{Purpose, Session, Shared, parse_search, refuse};
use crate::endpoint::{Config, Verification, endpoints};
use crate::error::{Error, Kind, Result};
use crate::layers::Held;
use crate::resolve::{configuration, index_type, parse, selector};
use crate::transfers::Transfers;
use crate::transport::{Outgoing, Transport};

/// All registries: connections, tokens and transfers that requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registries {
    pub(crate) shared: Arc<Shared>,
    pub(crate) transfers: Arc<Transfers<Held>>,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) upload_slots: Arc<Semaphore>,
}

/// What a registry has under a name (`GET /distribution/{name}/json`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The manifest or index.
    pub descriptor: Descriptor,
    /// The platforms it is for.
    pub platforms: Vec<Platform>,
}

/// A repository that a search came upon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name, as it can be pulled.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// How many people marked it.
    pub star_count: i64,
    /// Whether Docker keeps it.
    pub is_official: bool,
    /// Whether Docker Hub builds it.
    pub is_automated: bool,
}

/// Where Docker Hub's search is; its registry has none.
const HUB_SEARCH: &str = "https://index.docker.io/v1/search";
/// Bytes of Docker Hub's answer.
const SEARCH_BYTES: usize = 4 << 20;

impl Registries {
    /// Prepares for requests; connects to nobody yet.
    pub fn new(config: Config) -> Self {
        let slots = |wanted: usize| Arc::new(Semaphore::new(wanted.clamp(1, Semaphore::MAX_PERMITS)));
        let (downloads, uploads) = (config.max_concurrent_downloads, config.max_concurrent_uploads);
        let config = Arc::new(config);
        let transport = Transport::new(config.clone());
        let tokens = TokenCache::default();
        Self {
            shared: Arc::new(Shared {
                config,
                transport,
                tokens,
            }),
            transfers: Arc::default(),
            slots: slots(downloads),
            upload_slots: slots(uploads),
        }
    }

    /// Lists a repository's tags, in the registry's order.
    ///
    /// # Errors
    /// As the registry says, in Docker's words.
    pub async fn tags(&self, repository: &Repository, auth: Option<&AuthConfig>) -> Result<Vec<String>> {
        let reference: Reference = repository.clone().into();
        self.anywhere(&reference, auth, |session| async move { session.tags().await })
            .await
    }

    /// Looks at what a reference leads to, without fetching layers.
    ///
    /// # Errors
    /// As the registry says, in Docker's words.
    pub async fn inspect(&self, reference: &Reference, auth: Option<&AuthConfig>) -> Result<Inspection> {
        let wanted = selector(reference);
        self.anywhere(reference, auth, |session| {
            let wanted = wanted.clone();
            async move { inspect(&session, &wanted).await }
        })
        .await
    }

    /// Finds the digest that a reference leads to now, by a `HEAD` request if the registry answers it.
    ///
    /// # Errors
    /// As the registry says, in Docker's words.
    pub async fn resolve_digest(&self, reference: &Reference, auth: Option<&AuthConfig>) -> Result<Descriptor> {
        let wanted = selector(reference);
        self.anywhere(reference, auth, |session| {
            let wanted = wanted.clone();
            async move {
                let head = session.manifest_head(&wanted).await?;
                match (head.digest, head.size) {
                    (Some(digest), Some(size)) => Ok(Descriptor::new(&head.media_type, digest, size)),
                    _ => Ok(inspect(&session, &wanted).await?.descriptor),
                }
            }
        })
        .await
    }

    /// Checks credentials with the registry at a host. Returns a token to keep instead of the password, or an
    /// empty text.
    ///
    /// # Errors
    /// Unauthorized, when the registry does not know them.
    pub async fn login(&self, host: &str, auth: &AuthConfig) -> Result<Secret> {
        let mut last = None;
        let places = endpoints(&self.shared.config, host).await?;
        for endpoint in places.into_iter().filter(|place| !place.is_mirror) {
            match Session::open(self.shared.clone(), endpoint, "", Some(auth.clone()), Purpose::Pull).await {
                Err(error) if error.is_unreachable() => last = Some(error),
                Err(error) => return Err(error),
                Ok(session) => return session.login().await,
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Internal, "no endpoint for the registry")))
    }

    /// Looks for repositories by a word: at Docker Hub, or at a registry's own search, or through its catalogue.
    ///
    /// # Errors
    /// As the registry says.
    pub async fn search(&self, host: &str, word: &str, limit: usize, auth: Option<&AuthConfig>) -> Result<Vec<Found>> {
        if host == DEFAULT_DOMAIN {
            return self.search_hub(word, limit).await;
        }
        let mut last = None;
        for endpoint in endpoints(&self.shared.config, host).await? {
            let session = match Session::open(self.shared.clone(), endpoint, "", auth.cloned(), Purpose::Pull).await {
                Err(error) if error.is_unreachable() => {
                    last = Some(error);
                    continue;
                }
                result => result?,
            };
            if let Some(found) = session.search(word, limit).await? {
                return Ok(found);
            }
            let named = |name| Found {
                name: format!("{host}/{name}"),
                ..Found::default()
            };
            return Ok(session.catalogue(word, limit).await?.into_iter().map(named).collect());
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Internal, "no endpoint for the registry")))
    }

    async fn search_hub(&self, word: &str, limit: usize) -> Result<Vec<Found>> {
        let word = utf8_percent_encode(word, NON_ALPHANUMERIC);
        let url = format!("{HUB_SEARCH}?q={word}&n={limit}")
            .parse()
            .map_err(|_| Error::invalid(format!("invalid search term {word}")))?;
        let answer = self
            .shared
            .transport
            .send(&Outgoing::get(url, Verification::Full))
            .await?;
        if answer.status != StatusCode::OK {
            return Err(refuse(answer).await);
        }
        parse_search(&answer.bytes(SEARCH_BYTES).await?)
    }

    /// Does something at the first place for the reference's domain where it can be done.
    pub(crate) async fn anywhere<T, F>(
        &self,
        reference: &Reference,
        auth: Option<&AuthConfig>,
        action: impl Fn(Arc<Session>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut last = None;
        for endpoint in endpoints(&self.shared.config, reference.domain()).await? {
            let is_mirror = endpoint.is_mirror;
            let address = endpoint.address.authority.clone();
            let (shared, auth) = (self.shared.clone(), auth.cloned());
            let error = match Session::open(shared, endpoint, reference.path(), auth, Purpose::Pull).await {
                Err(error) if is_mirror || error.is_unreachable() => error,
                Err(error) => return Err(error.during_pull(reference)),
                Ok(session) => match action(Arc::new(session)).await {
                    Err(error) if is_mirror && error.elsewhere_may_do() => error,
                    result => return result.map_err(|error| error.during_pull(reference)),
                },
            };
            if is_mirror {
                tracing::warn!(mirror = address, %error, "mirror passed over");
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Internal, "no endpoint for the registry")))
    }
}

async fn inspect(session: &Session, wanted: &str) -> Result<Inspection> {
    let fetched = session.manifest(wanted).await?;
    let size = u64::try_from(fetched.bytes.len()).unwrap_or(u64::MAX);
    let (media_type, platforms) = match parse(&fetched)? {
        Document::Index(index) => {
            let runnable = index.manifests.iter().filter(|m| !m.is_attestation());
            let platforms = runnable.filter_map(|m| m.platform.clone()).collect();
            (index_type(&index).to_owned(), platforms)
        }
        Document::Manifest(manifest) => {
            let is_image = MediaKind::of(&manifest.config.media_type) == MediaKind::Config;
            let platforms = match is_image {
                true => vec![configuration(session, &manifest).await?.config.platform()],
                false => Vec::new(),
            };
            (manifest.effective_media_type().to_owned(), platforms)
        }
    };
    Ok(Inspection {
        descriptor: Descriptor::new(&media_type, fetched.digest, size),
        platforms,
    })
}
