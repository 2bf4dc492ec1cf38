//! Building images (Docker API, `POST /build`): a request and a context in, messages and an image out.
//!
//! A build has a thread of its own, on which everything blocks; what it tells becomes Docker's text, or
//! data for a client that asks for it. It ends when the client leaves.

mod cache;
mod classic;
mod executor;
mod git;
mod outputs;
mod pruning;
mod session;
mod sources;
mod trace;
mod watcher;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use corten_api::{
    host_config::{HostConfig, Resources},
    image::{AuthConfig, Progress},
    system::BuildCache,
};
use corten_build::{Built, Cache, Event, Request};
use corten_store::Store;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::executor::EngineExecutor;
use crate::{
    containers::Containers,
    error::{Error, Result, blocking, on_thread},
    events::Events,
    images::Images,
    pipe,
    settings::Settings,
};

pub use self::pruning::{CacheRules, HistoryRules, rule as prune_rule};
pub use self::session::Credentials;
pub use self::watcher::{Watch, Watcher};
/// What [`Builds::solve`] is told, and tells.
pub use corten_build as builder;

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
    settings: Arc<Settings>,
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
    /// Whether the end of containers is told.
    pub remove: bool,
    /// Images whose layers may be used again.
    pub cache_from: Vec<String>,
    /// How commands run.
    pub steps: StepSettings,
    /// The name by which it can be cancelled.
    pub id: String,
    /// Bytes at the beginning of the context that say more ([`corten_api::build::Extended`]).
    pub preface: usize,
}

/// How the commands of a build run, and how its base images are fetched.
#[derive(Debug, Clone, Default)]
pub struct StepSettings {
    /// Their network.
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
    /// Who is asked for other credentials.
    pub credentials: Option<Credentials>,
    /// Whether base images are fetched even if they are here.
    pub pull: bool,
}

impl StepSettings {
    /// Where commands run.
    fn host_config(&self) -> HostConfig {
        HostConfig {
            network_mode: self.network.clone(),
            extra_hosts: Some(self.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
            shm_size: self.shm_size,
            resources: self.resources.clone(),
            security_opt: Some(self.security.clone()).filter(|options| !options.is_empty()),
            ..HostConfig::default()
        }
    }
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
        settings: Arc<Settings>,
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
            settings,
            named: Mutex::default(),
        }))
    }

    /// Builds what a request says and a context holds. Dropping the future ends the build. Who watches hears of
    /// builds that are told as data.
    ///
    /// # Errors
    /// `Invalid` for what is no Dockerfile and for commands that fail, otherwise as the step says.
    pub async fn build(
        &self,
        request: BuildRequest,
        context: pipe::Reader,
        lines: mpsc::Sender<Progress>,
        watcher: Watcher,
    ) -> Result<()> {
        let (cancel, _) = watch::channel(false);
        if !request.id.is_empty() {
            self.named().insert(request.id.clone(), cancel.clone());
        }
        let guard = CancelOnDrop(cancel.clone());
        let builds = self.clone();
        let executor = EngineExecutor::new(self, request.steps.clone(), cancel);
        let name = request.id.clone();
        let result = on_thread(move || builds.run(&request, context, &executor, &lines, &watcher)).await;
        self.named().remove(&name);
        drop(guard);
        match result {
            Err(error) if classic::is_told(&error) => Ok(()),
            other => other,
        }
    }

    /// Builds a request whose context, secrets and outputs are the caller's own. What is sent to `cancel`
    /// ends it, and so does dropping the future.
    ///
    /// # Errors
    /// The builder's, with the lines of the Dockerfile.
    pub async fn solve(
        &self,
        request: Request,
        settings: StepSettings,
        cancel: watch::Sender<bool>,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> std::result::Result<Built, corten_build::Error> {
        let guard = CancelOnDrop(cancel.clone());
        let builds = self.clone();
        let executor = EngineExecutor::new(self, settings, cancel);
        let solved = on_thread(move || Ok(builds.solved(&executor, &request, &tell))).await;
        drop(guard);
        match solved {
            Ok(result) => result,
            Err(error) => Err(corten_build::Error::new(error.kind(), error.to_string())),
        }
    }

    /// Where images and layers of builds are kept.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
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
        watcher: &Watcher,
    ) -> Result<()> {
        let sources = sources::Sources {
            builds: self,
            request,
            executor,
        };
        let (given, extended) = sources.take(&mut context)?;
        drop(context);
        let order = sources.order(&given, &extended)?;
        let (name, text) = (
            given.name.clone(),
            String::from_utf8_lossy(&given.dockerfile).into_owned(),
        );
        if request.trace {
            let teller = trace::Teller::new(lines.clone(), &given);
            let built = self.solved(executor, &order, &|event| {
                if let Some(watcher) = watcher {
                    watcher.event(&event);
                }
                teller.event(event);
            });
            if let Some(watcher) = watcher {
                watcher.end(built.as_ref());
            }
            let built = built
                .map_err(|error| trace::failure(lines, &error, &name, &text).unwrap_or_else(|| converted(&error)))?;
            trace::finished(lines, &built);
            return Ok(());
        }
        let teller = classic::Teller::new(lines.clone(), request);
        let built = self.solved(executor, &order, &|event| teller.event(event));
        teller.finish();
        built.map_err(|error| classic::failure(lines, &error).unwrap_or_else(|| converted(&error)))?;
        Ok(())
    }

    /// Builds, and does what is to be done afterwards.
    fn solved(
        &self,
        executor: &EngineExecutor,
        order: &Request,
        tell: &(dyn Fn(Event) + Sync),
    ) -> corten_build::Result<Built> {
        let image = Mutex::new(String::new());
        let told = |event: Event| {
            let mut image = image.lock().unwrap_or_else(PoisonError::into_inner);
            match &event {
                Event::Built(id) => *image = id.to_string(),
                Event::Tagged(name) => {
                    let attributes = BTreeMap::from([("name".to_owned(), name.clone())]);
                    self.0.events.emit("image", "tag", &image, attributes);
                }
                _ => {}
            }
            drop(image);
            tell(event);
        };
        let built = corten_build::build(&self.0.store, &self.0.cache, executor, order, &told);
        executor.forget();
        let built = built?;
        self.trim();
        Ok(built)
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
}

struct CancelOnDrop(watch::Sender<bool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

fn shown(entry: corten_build::CacheEntry) -> BuildCache {
    let time = |at: Timestamp| corten_api::time::Time::from_nanoseconds(i64::try_from(at.as_nanosecond()).unwrap_or(0));
    BuildCache {
        kind: entry.kind.name().to_owned(),
        description: entry.description,
        in_use: entry.in_use,
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
    Error::new(error.kind(), error.to_string())
}
