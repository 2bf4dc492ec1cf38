//! What each test has to itself: a registry, a store and a client.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corten_distribution::endpoint::Config;
use corten_distribution::{AuthConfig, Error, Event, Progress, PullRequest, Pulled, Registries, Step};
use corten_oci::digest::Digest;
use corten_oci::platform::Platform;
use corten_store::{Options, Store};
use corten_tests::images::TestImage;
use corten_tests::registry::Registry;
use tempfile::TempDir;

/// Events as they came.
pub(crate) type Events = Arc<Mutex<Vec<Event>>>;

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) registries: Registries,
    pub(crate) store: Store,
    pub(crate) events: Events,
    pub(crate) root: TempDir,
}

/// Settings with which nothing takes long.
pub(crate) fn quick() -> Config {
    Config {
        retry_pause: Duration::from_millis(2),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        certificates: Vec::new(),
        ..Config::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(quick())
    }

    pub(crate) fn with(config: Config) -> Self {
        let root = TempDir::new().expect("a folder");
        Self {
            registry: Registry::start(),
            registries: Registries::new(config),
            store: Store::open(root.path(), Options::default()).expect("a store"),
            events: Events::default(),
            root,
        }
    }

    /// The reference of an image at the test registry.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host())
    }

    pub(crate) fn request(&self, reference: &str) -> PullRequest {
        PullRequest {
            reference: reference.parse().expect("a reference"),
            platform: None,
            auth: None,
            is_nameless: false,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let events = self.events.clone();
        Progress::new(move |event| events.lock().expect("events").push(event))
    }

    /// Pulls from the test registry.
    pub(crate) async fn pull(&self, name: &str) -> Result<Pulled, Error> {
        self.pull_request(&self.request(&self.at(name))).await
    }

    pub(crate) async fn pull_as(&self, name: &str, auth: AuthConfig) -> Result<Pulled, Error> {
        let mut request = self.request(&self.at(name));
        request.auth = Some(auth);
        self.pull_request(&request).await
    }

    pub(crate) async fn pull_for(&self, name: &str, platform: &str) -> Result<Pulled, Error> {
        let mut request = self.request(&self.at(name));
        request.platform = Some(platform.parse::<Platform>().expect("a platform"));
        self.pull_request(&request).await
    }

    /// Pulls in a task of its own, as the engine does: so the future has to be `Send`.
    pub(crate) async fn pull_request(&self, request: &PullRequest) -> Result<Pulled, Error> {
        let (registries, store) = (self.registries.clone(), self.store.clone());
        let (request, progress) = (request.clone(), self.progress());
        let task = tokio::spawn(async move { registries.pull(&store, &request, &progress).await });
        task.await.expect("no panic")
    }

    /// The events as Docker's lines, `id: status`; downloads and extractions left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        let events = self.events.lock().expect("events");
        let shown = events.iter().filter(|event| match event {
            Event::Layer { step, .. } => step.counts().is_none(),
            _ => true,
        });
        shown
            .map(|event| match event.id() {
                Some(id) => format!("{id}: {}", event.text()),
                None => event.text().into_owned(),
            })
            .collect()
    }

    /// How often a layer reported a step.
    pub(crate) fn steps(&self, wanted: impl Fn(&Step) -> bool) -> usize {
        let events = self.events.lock().expect("events");
        let fits = |event: &&Event| matches!(event, Event::Layer { step, .. } if wanted(step));
        events.iter().filter(fits).count()
    }

    /// Waits until an event fits.
    pub(crate) async fn wait_for(&self, fits: impl Fn(&Event) -> bool) {
        let deadline = tokio::time::Instant::now() + corten_tests::until::PATIENCE;
        while !self.events.lock().expect("events").iter().any(&fits) {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", self.lines());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Checks that an image is in the store as it should be, down to its layers' bytes.
    pub(crate) fn check(&self, pulled: &Pulled, image: &TestImage) {
        assert_eq!(pulled.image, image.id);
        let stored = self.store.images().by_reference(&pulled.reference).expect("named");
        assert_eq!(stored.id(), &image.id);
        assert_eq!(stored.layers(), image.diff_ids);
        for layer in stored.layers() {
            let layer = self.store.layers().get(layer).expect("the layer");
            layer.verify().expect("whole");
        }
        let digests: Vec<_> = stored.digests().iter().filter_map(|name| name.digest()).collect();
        assert!(digests.contains(&&pulled.digest), "{digests:?}");
        let (bytes, _) = (self.store.images().document(&image.digest()).expect("readable"), ());
        assert_eq!(bytes.expect("the manifest").1, image.manifest);
    }

    /// Checks that nothing at all is in the store, no part of a download either.
    pub(crate) fn check_empty(&self) {
        self.store.flush();
        assert_eq!(self.store.images().list().len(), 0);
        assert_eq!(self.store.layers().list().len(), 0);
        assert_eq!(self.files("image/downloads"), Vec::<PathBuf>::new());
        assert_eq!(self.files("image/documents"), Vec::<PathBuf>::new());
        // What is thrown away is removed in the background.
        let deadline = Instant::now() + corten_tests::until::PATIENCE;
        while let Some(path) = self.files("overlay2").into_iter().find(|p| !p.ends_with(".empty")) {
            assert!(Instant::now() < deadline, "{}", path.display());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// The file that holds the beginning of a layer.
    pub(crate) fn download(&self, layer: &Digest) -> PathBuf {
        self.root
            .path()
            .join("image/downloads")
            .join(format!("sha256-{}", layer.hex()))
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        entries(&self.root.path().join(folder))
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = corten_sys::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}
