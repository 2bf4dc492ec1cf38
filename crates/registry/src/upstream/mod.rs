//! Pull-through: what is asked for below a prefix is fetched from another registry, once, and kept.
//!
//! Content named by digest never changes and is asked for once. A tag is believed for a while, then asked
//! about again; when the upstream does not answer, what is here is served as it is.

mod blobs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corten_distribution::endpoint::Config as Client;
use corten_distribution::{AuthConfig, Error, Kind, Upstream as Remote};
use corten_oci::digest::Digest;
use corten_sys::fs;

use crate::app::App;
use crate::config::Upstream as Wanted;
use crate::document::Document;
use crate::name::{Name, Selector, Tag};
use crate::refusal::{Code, Refusal, Result};
use crate::store::{Put, seconds};
pub(crate) use blobs::Coming;
use blobs::Fetches;

/// How long a tag is believed unless told otherwise.
const TTL: Duration = Duration::from_secs(300);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    list: Vec<Upstream>,
    fetches: Fetches,
    /// One at a time asks about a manifest. Guards itself only.
    asking: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug)]
struct Upstream {
    prefix: String,
    remote: Arc<Remote>,
    ttl: Duration,
}

/// A repository that is another registry's.
#[derive(Debug)]
pub(crate) struct Repository<'a> {
    upstreams: &'a Upstreams,
    upstream: &'a Upstream,
    /// Its name here.
    name: Name,
    /// Its name there.
    path: String,
}

impl Upstreams {
    /// Prepares for them; connects to nobody yet.
    ///
    /// # Errors
    /// A sentence about the one that cannot be.
    pub(crate) fn new(wanted: &[Wanted]) -> Result<Self, String> {
        let mut list = wanted.iter().map(Upstream::new).collect::<Result<Vec<_>, String>>()?;
        // The longest prefix is the nearest.
        list.sort_by_key(|upstream| std::cmp::Reverse(upstream.prefix.len()));
        Ok(Self {
            list,
            ..Self::default()
        })
    }

    /// The one that a repository belongs to.
    pub(crate) fn find(&self, name: &Name) -> Option<Repository<'_>> {
        self.list.iter().find_map(|upstream| {
            let path = match upstream.prefix.as_str() {
                "" => name.as_str(),
                prefix => name.as_str().strip_prefix(prefix)?.strip_prefix('/')?,
            };
            Some(Repository {
                upstreams: self,
                upstream,
                name: name.clone(),
                path: path.to_owned(),
            })
        })
    }

    fn turn(&self, what: String) -> Arc<tokio::sync::Mutex<()>> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(asking.entry(what).or_default())
    }
}

impl Upstream {
    fn new(wanted: &Wanted) -> Result<Self, String> {
        let credentials = match (&wanted.username, &wanted.password_file) {
            (Some(user), Some(path)) => {
                let password = fs::read_to_string(path).map_err(|error| error.to_string())?;
                Some(AuthConfig {
                    username: user.clone(),
                    password: password.trim_end().to_owned().into(),
                    ..AuthConfig::default()
                })
            }
            (None, None) => None,
            _ => {
                return Err(format!(
                    "upstream {}: username and password-file go together",
                    wanted.url
                ));
            }
        };
        let client = Client {
            max_download_attempts: 2,
            retry_pause: Duration::from_millis(200),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            ..Client::default()
        };
        let remote =
            Remote::new(&wanted.url, wanted.insecure, credentials, client).map_err(|error| error.to_string())?;
        Ok(Self {
            prefix: wanted.prefix.clone(),
            remote: Arc::new(remote),
            ttl: wanted.ttl.map_or(TTL, |span| span.0),
        })
    }
}

/// What an upstream's answer means for our client. What is refused to us is unknown here.
fn absent(error: &Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Unauthorized | Kind::Forbidden)
}

fn unavailable(error: &Error) -> Refusal {
    tracing::warn!(%error, "an upstream does not answer");
    Refusal::new(
        Code::Unavailable,
        format!("the upstream registry does not answer: {error}"),
    )
}

impl Repository<'_> {
    /// Sees to it that a manifest is here, and a tag names what it names upstream. What is not there
    /// is no error: it is not found here then.
    ///
    /// # Errors
    /// `UNAVAILABLE`, when it is not here and the upstream does not answer.
    pub(crate) async fn refresh(&self, app: &Arc<App>, selector: &Selector) -> Result<()> {
        if self.is_fresh(app, selector)? {
            return Ok(());
        }
        let turn = self.upstreams.turn(format!("{}:{selector}", self.name));
        let _turn = turn.lock().await;
        // Somebody else may have asked meanwhile.
        if self.is_fresh(app, selector)? {
            return Ok(());
        }
        match self.fetch(app, selector).await {
            Ok(()) => Ok(()),
            Err(error) if absent(&error) => {
                if let Selector::Tag(tag) = selector {
                    let _guard = app.store.lock_repository(&self.name);
                    app.store.remove_tag(&self.name, tag)?;
                }
                Ok(())
            }
            Err(error) if self.is_here(app, selector)? => {
                tracing::warn!(repository = %self.name, %error, "an upstream does not answer: what is here is served");
                Ok(())
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    fn is_fresh(&self, app: &App, selector: &Selector) -> Result<bool> {
        Ok(match selector {
            Selector::Digest(digest) => app.store.record(&self.name, digest)?.is_some(),
            Selector::Tag(tag) => {
                let record = app.store.tag(&self.name, tag)?;
                record.is_some_and(|record| seconds(record.pushed) < self.upstream.ttl.as_secs())
            }
        })
    }

    fn is_here(&self, app: &App, selector: &Selector) -> Result<bool> {
        Ok(match selector {
            Selector::Digest(digest) => app.store.record(&self.name, digest)?.is_some(),
            Selector::Tag(tag) => app.store.tag(&self.name, tag)?.is_some(),
        })
    }

    async fn fetch(&self, app: &Arc<App>, selector: &Selector) -> Result<(), Error> {
        let remote = &self.upstream.remote;
        if let Selector::Tag(tag) = selector {
            let named = remote.tag(&self.path, tag.as_str()).await?;
            if let Some(digest) = named
                && self.retag(app, tag, &digest).map_err(of_store)?
            {
                return Ok(());
            }
        }
        let found = remote.manifest(&self.path, &selector.to_string()).await?;
        let unusable = |refusal: Refusal| Error::new(Kind::Invalid, refusal.message);
        let document = Document::parse(&found.bytes, Some(&found.media_type)).map_err(unusable)?;
        let tags: Vec<Tag> = match selector {
            Selector::Tag(tag) => vec![tag.clone()],
            Selector::Digest(_) => Vec::new(),
        };
        let (shared, name) = (Arc::clone(app), self.name.clone());
        let kept = app.blocking(move || {
            shared.store.put_manifest(&Put {
                name: &name,
                digest: &found.digest,
                bytes: &found.bytes,
                document: &document,
                tags: &tags,
                is_complete: false,
            })
        });
        kept.await.and_then(|kept| kept).map_err(of_store)
    }

    /// Whether the manifest that a tag names is here already; the tag is young again then.
    fn retag(&self, app: &App, tag: &Tag, digest: &Digest) -> Result<bool> {
        let _guard = app.store.lock_repository(&self.name);
        let is_here = app.store.record(&self.name, digest)?.is_some();
        if is_here {
            app.store.write_tag(&self.name, tag, digest)?;
        }
        Ok(is_here)
    }

    /// How long a blob is that is not here yet.
    ///
    /// # Errors
    /// `UNAVAILABLE`
    pub(crate) async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.upstream.remote.blob_size(&self.path, digest).await {
            Ok(size) => Ok(size),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// A blob that is not here yet, as it comes. All who ask for it meanwhile share one fetch.
    ///
    /// # Errors
    /// `UNAVAILABLE`
    pub(crate) async fn blob(&self, app: &Arc<App>, digest: &Digest) -> Result<Option<Arc<Coming>>> {
        let remote = &self.upstream.remote;
        let coming = self
            .upstreams
            .fetches
            .join(app, remote, &self.name, &self.path, digest)
            .await;
        match coming {
            Ok(coming) => Ok(Some(coming)),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The tags upstream; `None` when it does not answer and those here must do.
    ///
    /// # Errors
    /// `NAME_UNKNOWN`
    pub(crate) async fn tags(&self) -> Result<Option<Vec<String>>> {
        match self.upstream.remote.tags(&self.path).await {
            Ok(tags) => Ok(Some(tags)),
            Err(error) if absent(&error) => {
                Err(Refusal::new(Code::NameUnknown, "repository name not known to registry"))
            }
            Err(error) => {
                tracing::warn!(repository = %self.name, %error, "an upstream does not list its tags");
                Ok(None)
            }
        }
    }
}

fn of_store(refusal: Refusal) -> Error {
    Error::new(Kind::Internal, refusal.message)
}
