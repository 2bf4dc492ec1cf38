//! Building images (Docker API, `POST /build`): a request and a context in, messages and an image out.
//!
//! A build has a thread of its own, on which everything blocks; what it tells becomes Docker's text, or
//! data for a client that asks for it. It ends when the client leaves.

mod classic;
mod executor;
mod trace;

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use corten_api::{
    filters::Filters,
    host_config::{HostConfig, Resources},
    image::{AuthConfig, Progress},
    system::BuildCache,
};
use corten_build::{Cache, Context, Event, Given, Request};
use corten_oci::platform::Platform;
use corten_store::Store;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::executor::EngineExecutor;
use crate::{
    containers::Containers,
    error::{Error, Kind, Result, blocking, on_thread},
    events::Events,
    images::Images,
    pipe,
    settings::Settings,
    time_filter,
};

/// The builds of the engine.
#[derive(Debug, Clone)]
pub struct Builds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    images: Images,
    containers: Containers,
    events: Events,
    cache: Arc<Cache>,
    /// What ends the builds that have a name, by that name.
    named: Mutex<BTreeMap<String, watch::Sender<bool>>>,
}

/// What to build, and how.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the API's own parameters")]
pub struct BuildRequest {
    /// Path of the Dockerfile in the context; empty for the usual one.
    pub dockerfile: String,
    /// Where the context is, instead of in the request.
    pub remote: String,
    /// Names for the image.
    pub tags: Vec<String>,
    /// The stage to build; empty for the last.
    pub target: String,
    /// Values for `ARG`.
    pub arguments: BTreeMap<String, Option<String>>,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// `os/arch[/variant]`; empty for this machine's.
    pub platform: String,
    /// Whether only the image's id is told.
    pub quiet: bool,
    /// Whether events are told as data instead of text.
    pub trace: bool,
    /// Whether nothing is taken from the cache.
    pub no_cache: bool,
    /// Whether base images are fetched even if they are here.
    pub pull: bool,
    /// Whether the end of containers is told.
    pub remove: bool,
    /// Images whose layers may be used again.
    pub cache_from: Vec<String>,
    /// The network of commands.
    pub network: String,
    /// Entries for their `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Bytes of their `/dev/shm`; 0 for the default.
    pub shm_size: i64,
    /// Their limits.
    pub resources: Resources,
    /// Options of their confinement.
    pub security: Vec<String>,
    /// Credentials by registry.
    pub registries: BTreeMap<String, AuthConfig>,
    /// The name by which it can be cancelled.
    pub id: String,
}

/// What was forgotten of the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachePruned {
    /// Ids of records.
    pub ids: Vec<String>,
    /// Bytes that became free.
    pub bytes: u64,
}

impl Builds {
    /// Takes up the cache in the data root. Before anything else removes what refers to layers: they are
    /// the cache's as well.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn cache_of(settings: &Settings, store: &Store) -> Result<Arc<Cache>> {
        let cache = Cache::open(&settings.data_root.join("buildkit"), store.clone());
        cache.map(Arc::new).map_err(|error| converted(&error))
    }

    /// Builds over a store and what is remembered of earlier ones.
    pub(crate) fn new(
        cache: Arc<Cache>,
        store: Arc<Store>,
        images: Images,
        containers: Containers,
        events: Events,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            images,
            containers,
            events,
            cache,
            named: Mutex::default(),
        }))
    }

    /// Builds an image from a context. Dropping the future ends the build.
    ///
    /// # Errors
    /// `Invalid` for what is no Dockerfile and for commands that fail, otherwise as the step says.
    pub async fn build(
        &self,
        request: BuildRequest,
        context: pipe::Reader,
        lines: mpsc::Sender<Progress>,
    ) -> Result<()> {
        let (cancel, cancelled) = watch::channel(false);
        if !request.id.is_empty() {
            self.named().insert(request.id.clone(), cancel.clone());
        }
        let cancel = CancelOnDrop(cancel);
        let builds = self.clone();
        let executor = EngineExecutor::new(self, &request, cancelled, lines.clone())?;
        let name = request.id.clone();
        let result = on_thread(move || builds.run(&request, context, &executor, &lines)).await;
        self.named().remove(&name);
        drop(cancel);
        match result {
            Err(error) if classic::is_told(&error) => Ok(()),
            other => other,
        }
    }

    /// Ends a build by its name; one that is not there is fine.
    pub fn cancel(&self, id: &str) {
        if let Some(build) = self.named().get(id) {
            build.send_replace(true);
        }
    }

    fn named(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, watch::Sender<bool>>> {
        self.0.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(
        &self,
        request: &BuildRequest,
        mut context: pipe::Reader,
        executor: &EngineExecutor,
        lines: &mpsc::Sender<Progress>,
    ) -> Result<()> {
        let given = self.context(request, &mut context, executor)?;
        drop(context);
        let mut teller: Box<dyn FnMut(&Event)> = match request.trace {
            true => Box::new(trace::teller(lines.clone(), &given)),
            false => Box::new(classic::teller(lines.clone(), request)),
        };
        let (name, text) = (
            given.name.clone(),
            String::from_utf8_lossy(&given.dockerfile).into_owned(),
        );
        let order = order(request, given)?;
        let store = &self.0.store;
        let built = corten_build::build(store, &self.0.cache, executor, &order, &mut |event| teller(&event));
        let built = built.map_err(|error| {
            let result = if request.trace {
                trace::failure(lines, &error, &name, &text)
            } else {
                classic::failure(lines, &error)
            };
            result.unwrap_or_else(|| converted(&error))
        })?;
        self.announce(&built.image, &order);
        self.trim();
        Ok(())
    }

    fn context(&self, request: &BuildRequest, body: &mut dyn Read, executor: &EngineExecutor) -> Result<Given> {
        let store = &self.0.store;
        let given = match request.remote.as_str() {
            "" => corten_build::take_context(store, body, &request.dockerfile),
            url if url.starts_with("http://") || url.starts_with("https://") => self.remote(url, request, executor),
            "client-session" => Err(corten_build::Error::new(
                Kind::Unsupported.into(),
                "not supported yet: contexts from a session (set DOCKER_BUILDKIT=0)",
            )),
            git => Err(corten_build::Error::new(
                Kind::Unsupported.into(),
                format!("not supported yet: the git repository {git} as context"),
            )),
        };
        given.map_err(|error| converted(&error))
    }

    /// A tar or a Dockerfile from a web server.
    fn remote(
        &self,
        url: &str,
        request: &BuildRequest,
        executor: &EngineExecutor,
    ) -> Result<Given, corten_build::Error> {
        use corten_build::Executor as _;
        if url.split(['#', '?']).next().is_some_and(|url| url.ends_with(".git")) || url.contains("github.com/") {
            return Err(corten_build::Error::new(
                Kind::Unsupported.into(),
                format!("not supported yet: the git repository {url} as context"),
            ));
        }
        let (mut body, _) = executor.fetch(url)?;
        let mut start = vec![0; 512];
        let mut filled = 0;
        while filled < start.len() {
            match body.read(&mut start[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        start.truncate(filled);
        let is_text = !start.contains(&0) && std::str::from_utf8(&start).is_ok();
        let mut whole = std::io::Cursor::new(start).chain(body);
        if !is_text {
            return corten_build::take_context(&self.0.store, &mut whole, &request.dockerfile);
        }
        let mut dockerfile = Vec::new();
        whole.take(16 << 20).read_to_end(&mut dockerfile)?;
        Ok(Given {
            dockerfile,
            name: "Dockerfile".into(),
            context: Context::None,
        })
    }

    fn announce(&self, image: &corten_oci::digest::Digest, order: &Request) {
        let id = image.as_str();
        for name in &order.names {
            let name = corten_oci::reference::Reference::clone(name).or_latest().familiar();
            let attributes = BTreeMap::from([("name".to_owned(), name)]);
            self.0.events.emit("image", "tag", id, attributes);
        }
    }

    /// Keeps the cache in its bounds.
    fn trim(&self) {
        /// Bytes of layers that only the cache keeps.
        const MOST: u64 = 20 << 30;
        let own: u64 = self
            .0
            .cache
            .list()
            .iter()
            .filter(|entry| !entry.shared)
            .map(|entry| entry.size)
            .sum();
        if own > MOST
            && let Err(error) = self.0.cache.prune(false, None, MOST / 10 * 8)
        {
            tracing::warn!(%error, "cannot trim the build cache");
        }
    }

    /// What the cache holds.
    ///
    /// # Errors
    /// When an internal task ends early.
    pub async fn cache(&self) -> Result<Vec<BuildCache>> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let entries = inner.cache.list().into_iter();
            Ok(entries.map(shown).collect())
        })
        .await
    }

    /// Forgets what the cache holds: what no image has, or with `all` everything; `keep` bytes of what
    /// was used last stay, and so does what was used after `until`.
    ///
    /// # Errors
    /// `Invalid` for an unknown filter; when the data root cannot be written.
    pub async fn prune(&self, all: bool, filters: &Filters, keep: u64) -> Result<CachePruned> {
        filters.accept(&["until"])?;
        let until = time_filter::until(filters)?;
        let until = until.and_then(|time| Timestamp::from_nanosecond(time.nanoseconds().into()).ok());
        let inner = Arc::clone(&self.0);
        let pruned = blocking(move || inner.cache.prune(all, until, keep).map_err(|error| converted(&error))).await?;
        let attributes = BTreeMap::from([("reclaimed".to_owned(), pruned.bytes.to_string())]);
        self.0.events.emit("builder", "prune", "", attributes);
        Ok(CachePruned {
            ids: pruned.ids,
            bytes: pruned.bytes,
        })
    }
}

struct CancelOnDrop(watch::Sender<bool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// The order for the builder.
fn order(request: &BuildRequest, given: Given) -> Result<Request> {
    let platform = match request.platform.as_str() {
        "" => Platform::host(),
        text => text.parse().map_err(|error| Error::invalid(format!("{error}")))?,
    };
    let names = request.tags.iter().map(|tag| {
        let name = crate::images::parse_name(tag)?;
        match name.digest() {
            Some(_) => Err(Error::invalid("refusing to create a tag with a digest reference")),
            None => Ok(name),
        }
    });
    Ok(Request {
        names: names.collect::<Result<_>>()?,
        dockerfile: given.dockerfile,
        context: given.context,
        target: request.target.clone(),
        arguments: request.arguments.clone(),
        labels: request.labels.clone(),
        no_cache: request.no_cache,
        cache_from: request.cache_from.clone(),
        platform,
        platform_given: !request.platform.is_empty(),
        secrets: BTreeMap::new(),
        network: request.network.clone(),
    })
}

/// Where commands run.
fn host_config(request: &BuildRequest) -> HostConfig {
    HostConfig {
        network_mode: request.network.clone(),
        extra_hosts: Some(request.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
        shm_size: request.shm_size,
        resources: request.resources.clone(),
        security_opt: Some(request.security.clone()).filter(|options| !options.is_empty()),
        ..HostConfig::default()
    }
}

fn shown(entry: corten_build::CacheEntry) -> BuildCache {
    let time = |at: Timestamp| corten_api::time::Time::from_nanoseconds(i64::try_from(at.as_nanosecond()).unwrap_or(0));
    BuildCache {
        kind: "regular".to_owned(),
        description: entry.description,
        shared: entry.shared,
        size: i64::try_from(entry.size).unwrap_or(i64::MAX),
        created_at: entry.created.parse().map(time).unwrap_or_default(),
        last_used_at: Some(time(entry.used)),
        usage_count: i64::try_from(entry.uses).unwrap_or(i64::MAX),
        id: entry.id,
        ..BuildCache::default()
    }
}

/// The builder's error as the engine's.
fn converted(error: &corten_build::Error) -> Error {
    Error::new(Kind::from(error.kind()), error.to_string())
}
